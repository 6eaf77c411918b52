//! One caller's connection: which HTTP it speaks, and what a handler is to one.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::caller_body::CallerBody;
use super::framing::{Activity, Framed, Opened};
use super::http1::{Served, Wire};
use super::peer::Peer;
use super::{Refusal, http1, http2};
use crate::shutdown::Shutdown;
use crate::tls::CallerName;
use crate::tunnel::Duplex;

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

/// Answers requests. Each worker has one of its own; it is never shared between threads.
pub trait Handler: 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static;

    /// Whether requests must carry the spelling of their fields' names, which costs a little. Asked with every request.
    fn wants_spelling(&self) -> bool {
        false
    }

    /// Answers one request. Dropped when the caller goes away.
    fn handle(
        &self,
        info: Rc<ConnectionInfo>,
        request: Request<CallerBody>,
    ) -> impl Future<Output = Answer<Self::Body>>;

    /// The whole answer, as HTTP/1.1 and to be the connection's last, to what was refused before it became a request. `head_only`
    /// leaves out the body, for HEAD.
    fn refuse(&self, info: &ConnectionInfo, refusal: Refusal, head_only: bool) -> Bytes;
}

/// What a handler makes of a request.
pub struct Answer<B> {
    /// What the caller is sent.
    pub response: Response<B>,
    /// Takes over the caller's stream after it: with 101, and over HTTP/2 with a 2xx to CONNECT.
    pub then: Option<Takeover>,
}

/// What is done with a caller's stream that is no longer HTTP, until the stream ends.
pub type Takeover = Box<dyn FnOnce(Box<dyn Duplex>) -> Pin<Box<dyn Future<Output = ()>>>>;

impl<B> From<Response<B>> for Answer<B> {
    fn from(response: Response<B>) -> Self {
        Self { response, then: None }
    }
}

impl<B> std::fmt::Debug for Answer<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.response.status()).finish_non_exhaustive()
    }
}

/// When a connection is to end.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// Callers are asked to go elsewhere: each answer over HTTP/1 is the connection's last, one of HTTP/2 begins nothing new.
    pub(super) leaving: Shutdown,
    /// It ends with its current request, or at once without one.
    pub(super) draining: Shutdown,
}

/// How long a caller may take from connecting to its first byte when we drain: it connected to a door that was open, and
/// may not know yet that it was accepted.
const FIRST_BYTE: Duration = Duration::from_secs(1);

/// Ready when draining, and the caller had the time to begin a request and has not.
async fn drain_unopened(ends: &mut Ends, activity: &Activity) {
    ends.draining.fired().await;
    if let Some(since) = activity.idle_since() {
        tokio::time::sleep_until(since + FIRST_BYTE).await;
    }
    http1::drain(ends, activity).await;
}

/// Serves a connection until the caller, an error, a refusal or a drain ends it.
pub(super) async fn serve<S, H>(stream: Framed<S>, info: ConnectionInfo, handler: Rc<H>, mut ends: Ends)
where
    S: Duplex + 'static,
    H: Handler,
{
    let (wire, info) = (Wire::new(stream), Rc::new(info));
    let activity = wire.activity();
    let mut opened = tokio::select! {
        biased;
        opened = poll_fn(|cx| wire.poll_opened(false, cx)) => opened,
        () = drain_unopened(&mut ends, &activity) => return,
    };
    loop {
        // In boxes, so that connections on which nothing is served do not take the memory for it.
        match opened {
            Ok(Opened::Http1) => {
                let serving = http1::serve(Rc::clone(&wire), Rc::clone(&info), Rc::clone(&handler), ends.clone());
                if Box::pin(serving).await == Served::Ended {
                    return;
                }
            }
            Ok(Opened::Http2) => {
                let Some(stream) = wire.take_framed() else { return };
                return Box::pin(http2::serve(stream, info, handler, ends)).await;
            }
            Ok(Opened::Nothing | Opened::Resting) => {
                let Some(stream) = wire.take_framed() else { return };
                return Box::pin(http1::finish(stream, &info, &*handler)).await;
            }
            Err(error) => return tracing::debug!(%error, peer = %info.peer, "connection of a caller ended"),
        }
        opened = tokio::select! {
            biased;
            opened = poll_fn(|cx| wire.poll_opened(false, cx)) => opened,
            () = http1::drain(&mut ends, &activity) => return,
        };
    }
}
