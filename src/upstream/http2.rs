//! An HTTP/2 connection to an upstream, shared by the requests of one worker.
//!
//! Owns the count of the streams under way, the request as HTTP/2 wants it, and the end of a request that nobody waits for any
//! more: its stream is reset, so that the upstream stops working on it. Uses h2 itself, since hyper's client cannot reset a
//! stream whose request is held up after its answer has begun.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Response, Uri, Version};
use tokio::time::{Instant, timeout};

use super::connect::{ConnectError, Stream};
use super::connection::{Outbound, RequestHead, SendError, SendFailure};
use super::extended_connect::{Tunnel, Wish};
use super::greeting::{Greeted, Greeting};
use super::http1::head;
use super::incoming::{HttpError, Incoming, Streamed};
use super::interim::{self, OnInterim};
use super::origin::{Origin, Scheme};
use super::upload::{self, Cut};

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

/// A connection that serves many requests at once.
#[derive(Debug)]
pub(super) struct Shared {
    sender: SendRequest<Bytes>,
    greeted: Rc<Greeted>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    retired: Cell<bool>,
}

impl Shared {
    /// Begins HTTP/2 on an open stream.
    pub(super) async fn begin(stream: Stream) -> Result<Rc<Self>, ConnectError> {
        let greeted = Rc::default();
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .max_header_list_size(head::LIMIT as u32)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(STREAMS_BEFORE_SETTINGS);
        let made = builder.handshake(Greeting::new(stream, Rc::clone(&greeted))).await;
        let (sender, connection) = made.map_err(|error| ConnectError::handshake(error.into()))?;
        // It ends when nobody can send on it any more and all answers have ended.
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "upstream connection ended");
            }
        });
        let (streams, idle_since, retired) = (Cell::new(0), Cell::new(Instant::now()), Cell::new(false));
        Ok(Rc::new(Self { sender, greeted, streams, idle_since, retired }))
    }

    /// Whether another request may begin on it.
    pub(super) fn has_room(&self) -> bool {
        !self.is_spent() && self.streams.get() < self.sender.current_max_send_streams().min(STREAM_LIMIT)
    }

    /// Waits until the upstream has said how many streams it allows, if it has not yet; whether it had not.
    pub(super) async fn settle(&self) -> bool {
        if self.greeted.is_heard() {
            return false;
        }
        // An upstream that says nothing at all leaves it at what is allowed before.
        timeout(SETTINGS_PATIENCE, self.greeted.wait()).await.is_ok()
    }

    /// Whether the upstream changes the protocol of single streams, as it must have announced (RFC 8441 §3).
    async fn can_switch(&self) -> bool {
        self.settle().await;
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// The same, as far as it is known now.
    pub(super) fn is_known_to_switch(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Whether no other request may ever begin on it; those under way may end.
    pub(super) fn is_spent(&self) -> bool {
        // A copy that waits for no stream is always ready, unless the connection has failed or GOAWAY has come.
        let mut sender = self.sender.clone();
        self.retired.get() || matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }

    /// Whether nothing has been under way since `then`.
    pub(super) fn idles_since(&self, then: Instant) -> bool {
        self.streams.get() == 0 && self.idle_since.get() < then
    }
}

/// The right to one request on a shared connection. Dropped before its answer has ended, it resets the stream.
#[derive(Debug)]
pub(super) struct Lease {
    shared: Rc<Shared>,
    cut: Rc<Cut>,
    finished: bool,
    /// Both halves of the stream, after an answer that has changed its protocol.
    switched: Option<Box<(SendStream<Bytes>, RecvStream)>>,
}

impl Lease {
    pub(super) fn of(shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get().saturating_add(1));
        Self { shared: Rc::clone(shared), cut: Rc::default(), finished: false, switched: None }
    }

    /// Sends the request.
    pub(super) async fn send<B: Outbound>(
        &mut self,
        head: &RequestHead<'_>,
        body: B,
        origin: &Origin,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = head.to_request();
        let wish = Wish::take(&mut request);
        let is_empty = body.is_end_stream() && wish.is_none();
        let begun = self.begin(as_http2(request, body.size_hint().exact(), origin), is_empty).await;
        let (answer, stream) = begun.map_err(|error| self.failed(error, true))?;
        if let Some(wish) = wish {
            return self.switch(wish, answer, stream).await;
        }
        if !is_empty {
            tokio::task::spawn_local(upload::send(body, stream, Rc::clone(&self.cut)));
        }
        let (head, stream) = self.answered(answer, head.on_interim.clone()).await?.into_parts();
        let body = Incoming::Http2(Box::new(Streamed::new(stream, &head.headers)));
        Ok(Response::from_parts(head, body))
    }

    async fn answered(
        &self,
        answer: ResponseFuture,
        on_interim: Option<OnInterim>,
    ) -> Result<Response<RecvStream>, SendError> {
        let answer = interim::past(answer, on_interim).await.map_err(|error| self.failed(error, false))?;
        answer.ok_or(SendError { sent: true, refused: false, failure: SendFailure::Flooded })
    }

    /// Waits for the answer to an extended CONNECT. Nothing is sent before it, and nothing after a no.
    async fn switch(
        &mut self,
        wish: Wish,
        answer: ResponseFuture,
        mut send: SendStream<Bytes>,
    ) -> Result<Response<Incoming>, SendError> {
        let (mut head, receive) = self.answered(answer, None).await?.into_parts();
        if wish.grant(&mut head) {
            self.switched = Some(Box::new((send, receive)));
            return Ok(Response::from_parts(head, Incoming::Switched));
        }
        // An upstream that has said no may have ended the stream already.
        let _ = send.send_data(Bytes::new(), true);
        let body = Incoming::Http2(Box::new(Streamed::new(receive, &head.headers)));
        Ok(Response::from_parts(head, body))
    }

    /// Whether its stream can be changed to another protocol.
    pub(super) async fn can_switch(&self) -> bool {
        self.shared.can_switch().await
    }

    /// The stream itself, if its protocol was changed.
    pub(super) fn into_stream(mut self) -> Option<Tunnel> {
        let switched = self.switched.take()?;
        Some(Tunnel::new(*switched, self))
    }

    async fn begin(&self, head: Request<()>, is_empty: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.shared.sender.clone().ready().await?.send_request(head, is_empty)
    }

    fn failed(&self, error: h2::Error, never_sent: bool) -> SendError {
        let refused = never_sent || is_refusal(&error);
        if refused {
            self.shared.retired.set(true);
        }
        let is_malformed = error.is_library();
        let error = HttpError::Http2(error);
        let failure = if is_malformed { SendFailure::Malformed(error) } else { SendFailure::Closed(error) };
        SendError { sent: !refused, refused, failure }
    }

    /// The answer has ended. What is left of the request's body goes on its way for a while, unless it is cut.
    pub(super) fn finish(mut self) -> Rc<Cut> {
        self.finished = true;
        // One is the lease's, another that of a body which has not ended.
        if Rc::strong_count(&self.cut) > 1 {
            tokio::task::spawn_local(upload::wind_up(Rc::downgrade(&self.cut)));
        }
        Rc::clone(&self.cut)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.streams.set(self.shared.streams.get().saturating_sub(1));
        self.shared.idle_since.set(Instant::now());
        if !self.finished {
            self.cut.make();
        }
    }
}

/// Whether the upstream says that it has done nothing with the request (RFC 9113 §8.7).
fn is_refusal(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
}

/// The request with its authority where HTTP/2 has it, and nothing of HTTP/1's connections (RFC 9113 §8.2.2, §8.3.1).
fn as_http2(mut request: Request<()>, length: Option<u64>, origin: &Origin) -> Request<()> {
    say_length(&mut request, length);
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

/// Says how long the body is, where that is known and means something.
fn say_length(request: &mut Request<()>, length: Option<u64>) {
    let Some(length) = length else { return };
    let has_meaning = length > 0 || matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if has_meaning && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
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
            let request = as_http2(request, None, &origin);
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
