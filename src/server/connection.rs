//! One caller's connection: HTTP/1 served by hyper behind our own framing, ended gently at a drain.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Refusal;
use super::framing::{Activity, Framed, Watched};
use super::peer::Peer;
use crate::shutdown::Shutdown;
use crate::tls::CallerName;

/// What hyper may take more than we let through: it must never be the one who refuses.
const HEAD_SLACK: usize = 1024;

/// What is known of a connection apart from its requests.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: Peer,
    /// Whether only this machine can reach the listener. One on every address cannot be told by the connection's own.
    pub loopback_listener: bool,
    /// The group of routes that its listener serves.
    pub group: usize,
    /// Whether it is TLS.
    pub secure: bool,
    /// What the caller's certificate names, verified; `None` where no certificate is asked for.
    pub names: Option<Arc<[CallerName]>>,
}

impl ConnectionInfo {
    /// The scheme of what is asked for on it.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// The body of a caller's request.
pub type CallerBody = Watched<Incoming>;

/// Answers requests. Each worker has one of its own; it is never shared between threads.
pub trait Handler: 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static;

    /// Whether requests must carry the spelling of their fields' names, which costs a little.
    fn wants_header_case(&self) -> bool {
        false
    }

    /// Answers one request. Dropped when the caller goes away.
    fn handle(&self, info: ConnectionInfo, request: Request<CallerBody>) -> impl Future<Output = Response<Self::Body>>;

    /// The whole answer, as HTTP/1.1 and to be the connection's last, to what was refused before it became a request. `head_only`
    /// leaves out the body, for HEAD.
    fn refuse(&self, info: &ConnectionInfo, refusal: Refusal, head_only: bool) -> Bytes;
}

/// Serves a connection until the caller, an error, a refusal or a drain ends it.
pub(super) async fn serve<S, H>(mut stream: Framed<S>, info: ConnectionInfo, handler: Rc<H>, mut draining: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    let activity = stream.activity();
    let opened = tokio::select! {
        biased;
        opened = stream.opened() => opened,
        () = drain(&mut draining, &activity) => return,
    };
    match opened {
        // In a box, so that connections on which nothing is served do not take the memory for it.
        Ok(true) => Box::pin(serve_requests(stream, info, handler, draining)).await,
        Ok(false) => finish(stream, &info, &*handler).await,
        Err(error) => tracing::debug!(%error, peer = %info.peer, "connection of a caller ended"),
    }
}

async fn serve_requests<S, H>(stream: Framed<S>, info: ConnectionInfo, handler: Rc<H>, mut draining: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    let activity = stream.activity();
    let head = stream.settings().head;
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, info) = (Rc::clone(&handler), info.clone());
        let busy = activity.request_began();
        async move {
            let request = request.map(|body| Watched::new(body, Rc::clone(&busy)));
            let response = handler.handle(info, request).await;
            Ok::<_, Infallible>(response.map(|body| Watched::new(body, busy)))
        }
    });
    let wants_case = handler.wants_header_case();
    let mut connection = http1::Builder::new()
        // The timers are ours (`framing`); hyper has one for two purposes.
        .header_read_timeout(None)
        .max_header_size(head + HEAD_SLACK)
        .preserve_header_case(wants_case)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = drain(&mut draining, &activity) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, peer = %info.peer, "connection of a caller ended");
    }
    finish(connection.into_parts().io.into_inner(), &info, &*handler).await;
}

/// Ends a connection, with an answer if it was refused.
pub(super) async fn finish<S, H>(stream: Framed<S>, info: &ConnectionInfo, handler: &H)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    stream
        .finish(|refusal, is_head_method| {
            tracing::debug!(code = %refusal.reason, detail = refusal.detail, peer = %info.peer, "refused");
            handler.refuse(info, refusal, is_head_method)
        })
        .await;
}

/// Ready when draining and not within a head: a request that has begun to come is still served.
async fn drain(draining: &mut Shutdown, activity: &Activity) {
    draining.fired().await;
    // Polled after the connection, whose progress is what changes this.
    std::future::poll_fn(|_| if activity.is_in_head() { Poll::Pending } else { Poll::Ready(()) }).await;
}
