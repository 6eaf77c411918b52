//! One caller's connection: HTTP/1 served by hyper, ended gently at a drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::patience::{Patience, Watched};
use crate::shutdown::Shutdown;

/// Longest head of a request, in bytes; a longer one is answered with 431.
const HEAD_LIMIT: usize = 32 * 1024;
/// Most fields in a request's head.
const FIELD_LIMIT: usize = 100;

/// What is known of a connection apart from its requests.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionInfo {
    /// The caller's address.
    pub peer: SocketAddr,
    /// The address that the caller connected to.
    pub local: SocketAddr,
    /// Whether only this machine can reach the listener. One on every address cannot be told by `local`.
    pub loopback_listener: bool,
    /// The group of routes that its listener serves.
    pub group: usize,
}

/// The body of a caller's request.
pub type CallerBody = Watched<Incoming>;

/// Answers requests. Each worker has one of its own; it is never shared between threads.
pub trait Handler: 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static;

    /// Answers one request. Dropped when the caller goes away.
    fn handle(&self, info: ConnectionInfo, request: Request<CallerBody>) -> impl Future<Output = Response<Self::Body>>;
}

/// Serves a connection until the caller, an error or a drain ends it.
pub(super) async fn serve<H: Handler>(
    stream: Patience<TcpStream>,
    info: ConnectionInfo,
    handler: Rc<H>,
    mut draining: Shutdown,
) {
    let activity = stream.activity();
    let service = service_fn(|request: Request<Incoming>| {
        let handler = Rc::clone(&handler);
        let busy = activity.request_began();
        async move {
            let request = request.map(|body| Watched::new(body, Rc::clone(&busy)));
            let response = handler.handle(info, request).await;
            Ok::<_, Infallible>(response.map(|body| Watched::new(body, busy)))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // The timers are ours (`patience`); hyper has one for two purposes.
            .header_read_timeout(None)
            .max_header_size(HEAD_LIMIT)
            .max_headers(FIELD_LIMIT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining.fired() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, peer = %info.peer, "connection of a caller ended");
    }
}
