//! An HTTP/1 connection to an upstream: one request at a time, and the stream itself after a 101.

use std::rc::Rc;
use std::time::Duration;

use http::header::{HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Request, StatusCode};
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::connect::{ConnectError, Stream};
use super::connection::{Outbound, SendError, SendFailure};
use super::incoming::{HttpError, Incoming};
use super::wire::{Traffic, Wire};
use crate::tunnel::Ahead;

/// Longest head of an answer, in bytes (DESIGN section 6).
pub(super) const HEAD_LIMIT: usize = 64 * 1024;
/// Most fields in an answer's head.
const FIELD_LIMIT: usize = 256;
/// Most bytes that are read, interim answers included, until the head of the answer is whole.
const BEFORE_BODY: usize = 4 * HEAD_LIMIT;
/// How long a request's body may go on after its answer has ended.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// How long such a body may pause.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// A connection that serves one request after the other. Dropped before its answer ends, it is closed.
#[derive(Debug)]
pub(super) struct Alone<B> {
    sender: http1::SendRequest<B>,
    driver: AbortHandle,
    traffic: Rc<Traffic>,
    /// The stream, when hyper has done with it.
    released: Option<oneshot::Receiver<Ahead<Stream>>>,
}

impl<B> Drop for Alone<B> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl<B: Outbound> Alone<B> {
    /// Begins HTTP/1 on an open stream. See `Options::preserve_header_case`.
    pub(super) async fn begin(stream: Stream, preserve_header_case: bool) -> Result<Self, ConnectError> {
        let traffic = Rc::new(Traffic::default());
        let io = TokioIo::new(Wire::new(stream, Rc::clone(&traffic)));
        let mut builder = http1::Builder::new();
        // The buffer has room for a head, and bodies are read in pieces of that size: hyper's own 400 KiB wait in memory for
        // each caller that does not read.
        builder.max_header_size(HEAD_LIMIT).max_headers(FIELD_LIMIT).max_buf_size(HEAD_LIMIT);
        builder.preserve_header_case(preserve_header_case).title_case_headers(preserve_header_case);
        let made = builder.handshake(io).await;
        let (sender, connection) = made.map_err(|error| ConnectError::handshake(error.into()))?;
        let (release, released) = oneshot::channel();
        let driver = tokio::task::spawn_local(drive(connection, release)).abort_handle();
        Ok(Self { sender, driver, traffic, released: Some(released) })
    }

    /// Sends one request.
    pub(super) async fn send(&mut self, mut request: Request<B>) -> Result<http::Response<Incoming>, SendError> {
        say_that_there_is_a_body(&mut request);
        let may_switch = request.headers().contains_key(UPGRADE);
        let written_before = self.traffic.written();
        self.traffic.await_head(BEFORE_BODY);
        let response = match self.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failed) => {
                let never_written = failed.take_message().is_some();
                let sent = !never_written && self.traffic.written() != written_before;
                let failure = match failed.into_error() {
                    _ if self.traffic.is_flooded() => SendFailure::Flooded,
                    error if error.is_parse() => SendFailure::Malformed(HttpError::Http1(error)),
                    error => SendFailure::Closed(HttpError::Http1(error)),
                };
                return Err(SendError { sent, refused: false, failure });
            }
        };
        self.traffic.head_came();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch {
            return Err(SendError { sent: true, refused: false, failure: SendFailure::Switched });
        }
        Ok(response.map(Incoming::Http1))
    }

    /// The stream itself, after an answer of 101.
    pub(super) async fn into_stream(mut self) -> Option<Ahead<Stream>> {
        self.released.take()?.await.ok()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it can serve no other request.
    pub(super) fn is_spent(&self) -> bool {
        self.sender.is_closed() || self.traffic.write_failed()
    }

    /// The connection, when its request has been written to the end; `None` if the caller pauses or takes too long.
    pub(super) async fn written(mut self) -> Option<Self> {
        let until = Instant::now() + LINGER;
        loop {
            let written = self.traffic.written();
            match timeout(PAUSE, self.sender.ready()).await {
                Ok(ended) => return ended.is_ok().then_some(self),
                Err(_) if Instant::now() >= until || self.traffic.written() == written => return None,
                Err(_) => (),
            }
        }
    }
}

async fn drive<B: Outbound>(
    mut connection: http1::Connection<TokioIo<Wire<Stream>>, B>,
    release: oneshot::Sender<Ahead<Stream>>,
) {
    if let Err(error) = (&mut connection).await {
        // Whoever waits for an answer hears of it; an idle connection that ends is no event.
        tracing::trace!(%error, "upstream connection ended");
        return;
    }
    let parts = connection.into_parts();
    let stream = Ahead::new(parts.io.into_inner().into_inner(), parts.read_buf);
    // Nobody waits for it unless the answer was a 101.
    if let Err(mut unwanted) = release.send(stream) {
        let _ = unwanted.shutdown().await;
    }
}

/// hyper drops the body of a GET whose length is not known, unless told that there is one.
fn say_that_there_is_a_body<B: Body>(request: &mut Request<B>) {
    let is_of_unknown_length = !request.body().is_end_stream() && request.body().size_hint().exact().is_none();
    if is_of_unknown_length && matches!(*request.method(), Method::GET | Method::HEAD) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}
