//! An HTTP/2 connection to an upstream, shared by the requests of one worker.
//!
//! Owns the count of the streams under way, the request as HTTP/2 wants it, and the end of a request that nobody waits for any
//! more: its stream is reset, so that the upstream stops working on it.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::connect::{ConnectError, Stream};
use super::connection::{Outbound, SendError, SendFailure};
use super::http1::{HEAD_LIMIT, LINGER, PAUSE};
use super::origin::{Origin, Scheme};
use crate::local::Here;

/// Most requests on one connection, however many the upstream allows.
const STREAM_LIMIT: usize = 100;
/// What an upstream may send of one answer before we have read it, in bytes.
const STREAM_WINDOW: u32 = 512 * 1024;
/// The same for all answers of a connection, so that fifty callers that do not read hold up no other.
const CONNECTION_WINDOW: u32 = 50 * STREAM_WINDOW;

/// Requests that may begin before the upstream has said how many it allows.
const STREAMS_BEFORE_SETTINGS: usize = 8;
/// How long to wait for that.
const SETTINGS_PATIENCE: Duration = Duration::from_secs(1);

type Driver<B> = http2::Connection<TokioIo<Greeting>, Piped<B>, Here>;

/// A connection that serves many requests at once.
#[derive(Debug)]
pub(super) struct Shared<B: Outbound> {
    sender: http2::SendRequest<Piped<B>>,
    /// Gone when it has ended, so that requests still waiting in it hear of that.
    connection: Rc<RefCell<Option<Driver<B>>>>,
    greeted: Rc<Greeted>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    retired: Cell<bool>,
}

impl<B: Outbound> Shared<B> {
    /// Begins HTTP/2 on an open stream.
    pub(super) async fn begin(stream: Stream) -> Result<Rc<Self>, ConnectError> {
        let greeted = Rc::default();
        let made = http2::Builder::new(Here)
            .max_header_list_size(HEAD_LIMIT as u32)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
            .handshake(TokioIo::new(Greeting { stream, greeted: Rc::clone(&greeted) }))
            .await;
        let (sender, connection) = made.map_err(ConnectError::handshake)?;
        let connection = Rc::new(RefCell::new(Some(connection)));
        tokio::task::spawn_local(drive(Rc::clone(&connection)));
        let (streams, idle_since, retired) = (Cell::new(0), Cell::new(Instant::now()), Cell::new(false));
        Ok(Rc::new(Self { sender, connection, greeted, streams, idle_since, retired }))
    }

    /// Whether another request may begin on it.
    pub(super) fn has_room(&self) -> bool {
        let connection = self.connection.try_borrow();
        let limit = connection.map_or(None, |c| c.as_ref().map(Driver::current_max_send_streams));
        !self.is_spent() && self.streams.get() < limit.unwrap_or(0).min(STREAM_LIMIT)
    }

    /// Waits until the upstream has said how many streams it allows, if it has not yet; whether it had not.
    pub(super) async fn settle(&self) -> bool {
        if self.greeted.heard.get() {
            return false;
        }
        // An upstream that says nothing at all leaves it at what is allowed before.
        timeout(SETTINGS_PATIENCE, self.greeted.told.notified()).await.is_ok()
    }

    /// Whether no other request may ever begin on it; those under way may end.
    pub(super) fn is_spent(&self) -> bool {
        self.retired.get() || self.sender.is_closed()
    }

    /// Lets nothing begin on it any more.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether nothing has been under way since `then`.
    pub(super) fn idles_since(&self, then: Instant) -> bool {
        self.streams.get() == 0 && self.idle_since.get() < then
    }
}

/// The upstream's first bytes, which are its SETTINGS (RFC 9113 §3.4): from then on it is known how many streams it allows.
#[derive(Debug, Default)]
struct Greeted {
    heard: Cell<bool>,
    told: Notify,
}

/// A stream that notes its first bytes.
#[derive(Debug)]
struct Greeting {
    stream: Stream,
    greeted: Rc<Greeted>,
}

async fn drive<B: Outbound>(connection: Rc<RefCell<Option<Driver<B>>>>) {
    let ended = std::future::poll_fn(|cx| match &mut *connection.borrow_mut() {
        Some(connection) => Pin::new(connection).poll(cx),
        None => Poll::Ready(Ok(())),
    });
    if let Err(error) = ended.await {
        tracing::trace!(%error, "upstream connection ended");
    }
    connection.take();
}

/// The right to one request on a shared connection. Dropped before its answer has ended, it resets the stream.
#[derive(Debug)]
pub(super) struct Lease<B: Outbound> {
    shared: Rc<Shared<B>>,
    cut: Rc<Cut>,
    finished: bool,
}

impl<B: Outbound> Lease<B> {
    pub(super) fn of(shared: &Rc<Shared<B>>) -> Self {
        shared.streams.set(shared.streams.get().saturating_add(1));
        Self { shared: Rc::clone(shared), cut: Rc::default(), finished: false }
    }

    /// Sends the request.
    pub(super) async fn send(
        &mut self,
        request: Request<B>,
        origin: &Origin,
    ) -> Result<http::Response<Incoming>, SendError> {
        let request = as_http2(request, origin).map(|body| Piped { body, cut: Rc::clone(&self.cut) });
        let mut sender = self.shared.sender.clone();
        sender.try_send_request(request).await.map_err(|mut failed| {
            let never_written = failed.take_message().is_some();
            let error = failed.into_error();
            let refused = never_written || is_refusal(&error);
            if refused {
                self.shared.retire();
            }
            let is_malformed = h2_error(&error).is_some_and(h2::Error::is_library);
            let failure = if is_malformed { SendFailure::Malformed(error) } else { SendFailure::Closed(error) };
            SendError { sent: !refused, refused, failure }
        })
    }

    /// The answer has ended. What is left of the request's body goes on its way for a while, unless it is cut.
    pub(super) fn finish(mut self) -> Rc<Cut> {
        self.finished = true;
        // Of the two others one is the lease's and one the body's, which hyper drops at its end.
        if Rc::strong_count(&self.cut) > 1 {
            tokio::task::spawn_local(wind_up(Rc::downgrade(&self.cut)));
        }
        Rc::clone(&self.cut)
    }
}

impl<B: Outbound> Drop for Lease<B> {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get().saturating_sub(1));
        self.shared.idle_since.set(Instant::now());
        if !self.finished {
            self.cut.make();
        }
    }
}

/// Whether the upstream says that it has done nothing with the request (RFC 9113 §8.7).
fn is_refusal(error: &hyper::Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// The request with its authority where HTTP/2 has it, and nothing of HTTP/1's connections (RFC 9113 §8.2.2, §8.3.1).
fn as_http2<B>(mut request: Request<B>, origin: &Origin) -> Request<B> {
    let host = request.headers_mut().remove(HOST);
    request.headers_mut().remove(CONNECTION);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = http::uri::Parts::default();
    target.scheme = Some(match origin.scheme() {
        Scheme::Http => http::uri::Scheme::HTTP,
        Scheme::Https => http::uri::Scheme::HTTPS,
    });
    target.authority = Some(authority.unwrap_or_else(|| origin.authority().clone()));
    target.path_and_query =
        Some(request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(target) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    request
}

/// Ends the body of a request whose answer nobody waits for.
#[derive(Debug, Default)]
pub(super) struct Cut {
    made: Cell<bool>,
    /// Whether the body has got on since somebody looked.
    moved: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Cut {
    pub(super) fn make(&self) {
        self.made.set(true);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// Ends a body that goes on after its answer when it pauses or takes too long.
async fn wind_up(cut: Weak<Cut>) {
    let until = Instant::now() + LINGER;
    while let Some(cut) = cut.upgrade() {
        if Instant::now() >= until || !cut.moved.replace(false) {
            return cut.make();
        }
        drop(cut);
        tokio::time::sleep(PAUSE).await;
    }
}

/// A request's body on a stream. Whatever breaks it off, to the upstream the request is cancelled.
#[derive(Debug)]
pub(super) struct Piped<B> {
    body: B,
    cut: Rc<Cut>,
}

/// The request was given up.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up")]
pub(super) struct GivenUp(#[source] h2::Error);

impl GivenUp {
    fn new() -> Self {
        Self(h2::Reason::CANCEL.into())
    }
}

impl<B: Outbound> Body for Piped<B> {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        if self.cut.made.get() {
            return Poll::Ready(Some(Err(GivenUp::new())));
        }
        self.cut.waiting.replace(Some(cx.waker().clone()));
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.cut.moved.set(true);
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                tracing::debug!(error = %error.into(), "request body of a caller broke off");
                GivenUp::new()
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AsyncRead for Greeting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if !self.greeted.heard.replace(true) {
            // Whoever waits is polled after hyper has understood what was read.
            self.greeted.told.notify_waiters();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Greeting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_built_from_the_origin_and_the_path_alone() {
        let check = |origin: &str, host: &str, target: &str, wanted: &str| {
            let origin = Origin::of(&origin.parse().unwrap()).unwrap();
            let mut request = Request::new(());
            *request.uri_mut() = target.parse().unwrap();
            request.headers_mut().insert(HOST, host.parse().unwrap());
            request.headers_mut().insert(CONNECTION, "te".parse().unwrap());
            request.headers_mut().insert("te", "trailers".parse().unwrap());
            let request = as_http2(request, &origin);
            let uri = request.uri();
            let path = uri.path_and_query().unwrap();
            assert_eq!(format!("{} {} {path}", uri.scheme_str().unwrap(), uri.authority().unwrap()), wanted);
            assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
        };
        check("https://a.example", "a.example", "/x?y", "https a.example /x?y");
        check("http://a.example:81", "caller.example", "/", "http caller.example /");
        check("http://a.example:81", "not a host", "//evil/x", "http a.example:81 //evil/x");
        check("http://a.example:81", "a.example:81", "*", "http a.example:81 *");
    }
}
