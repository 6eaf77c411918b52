//! An HTTP/1 connection to an upstream: one request at a time, and the stream itself after a 101.
//!
//! Spoken by ourselves, in the task of whoever waits for the answer. hyper's client is a task of its own behind two channels, which
//! costs each request more than its HTTP does; it loses an answer that comes while a write fails; and it skips
//! interim answers without end. A request goes on while its answer comes, then in a task of its own ([`Joint`]); the connection serves
//! another one when both have ended.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
pub(super) mod head;
mod joint;
mod request;

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::UPGRADE;
use http::{Method, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use super::connect::Stream;
use super::connection::{Outbound, RequestHead, SendError, SendFailure};
use super::incoming::HttpError;
use super::interim::OnInterim;
use crate::http1::body::{Decoder, Step};
use crate::http1::outgoing::{Outgoing, Unsent};
use crate::tunnel::Ahead;
use head::{Head, Malformed};
pub(super) use joint::Joint;

/// Most bytes that are read, interim answers included, until the head of the answer is whole.
const BEFORE_BODY: usize = 4 * head::LIMIT;
/// How long a request's body may go on after its answer has ended.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// How long such a body may pause.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// How much is read at a time at first, and at least, in bytes.
const LEAST_ROOM: usize = 4 * 1024;
/// How much is read at a time as soon as a read has filled the room that it had: what waits in memory for a caller that does not read.
const MOST_ROOM: usize = 64 * 1024;

/// A connection that serves one request after the other. Dropped before its answer ends, it is closed.
#[derive(Debug)]
pub(super) struct Alone<B>(Box<Link<B>>);

#[derive(Debug)]
struct Link<B> {
    stream: Stream,
    upload: Outgoing<B>,
    /// What came and was not taken yet.
    ahead: Bytes,
    /// What a head is put together in, and room for more.
    received: BytesMut,
    room: usize,
    decoder: Decoder,
    /// Whether another request may follow.
    persists: bool,
    spells: bool,
}

/// What went wrong with HTTP/1.
#[derive(Debug, thiserror::Error)]
pub enum Http1Error {
    /// What came is no answer.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The connection ended within an answer, or before one.
    #[error("the connection ended before the answer did")]
    Ended,
    /// The request could not be sent to its end.
    #[error("{0}")]
    Unsent(#[from] Unsent),
}

/// What has come in place of an answer's head.
enum Failed {
    Http1(Http1Error),
    Flooded,
}

impl<B: Outbound> Alone<B> {
    /// Begins HTTP/1 on an open stream. With `spells`, names of fields are written as the request's [`Spelling`] says.
    pub(super) fn begin(stream: Stream, spells: bool) -> Self {
        Self(Box::new(Link {
            stream,
            upload: Outgoing::request(),
            ahead: Bytes::new(),
            received: BytesMut::new(),
            room: LEAST_ROOM,
            decoder: Decoder::Length(0),
            persists: true,
            spells,
        }))
    }

    /// Begins to send one request; [`Alone::answered`] goes on with it.
    pub(super) fn begin_request(&mut self, head: &RequestHead<'_>, body: B) {
        let link = &mut *self.0;
        request::begin(&mut link.upload, head, body, link.spells);
    }

    /// Sends the request that has begun, and waits for the head of its answer; the request's body goes on after that.
    pub(super) async fn answered(&mut self, head: &RequestHead<'_>) -> Result<Response<()>, SendError> {
        let link = &mut *self.0;
        let written_before = link.upload.written();
        let RequestHead { method, on_interim, headers, .. } = head;
        let mut allowance = BEFORE_BODY;
        let head = std::future::poll_fn(|cx| {
            if let Poll::Ready(Err(unsent)) = link.poll_upload(cx) {
                return Poll::Ready(Err(Failed::Http1(unsent.into())));
            }
            link.poll_head(method, on_interim.as_ref(), &mut allowance, cx)
        });
        let switched = |head: &Head| head.parts.status == StatusCode::SWITCHING_PROTOCOLS;
        let failure = match head.await {
            Ok(head) if switched(&head) && !headers.contains_key(UPGRADE) => SendFailure::Switched,
            Ok(head) => {
                link.persists = head.persists;
                link.decoder = head.body;
                return Ok(Response::from_parts(head.parts, ()));
            }
            Err(Failed::Flooded) => SendFailure::Flooded,
            Err(Failed::Http1(error @ Http1Error::Malformed(_))) => SendFailure::Malformed(HttpError::Http1(error)),
            Err(Failed::Http1(error)) => SendFailure::Closed(HttpError::Http1(error)),
        };
        Err(SendError { sent: link.upload.written() != written_before, refused: false, failure })
    }

    /// The next piece of the answer, the request of which has been written.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        self.0.poll_frame(cx)
    }

    /// Whether the answer has ended.
    pub(super) fn is_end_stream(&self) -> bool {
        self.0.decoder.is_over()
    }

    /// How much of the answer is to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.0.decoder.size_hint()
    }

    /// The stream itself, after an answer of 101.
    pub(super) fn into_stream(self) -> Ahead<Stream> {
        Ahead::new(self.0.stream, self.0.ahead)
    }

    /// Whether the last request has been written to its end.
    pub(super) fn is_written(&self) -> bool {
        self.0.upload.is_done()
    }

    /// Whether it can serve another request, as far as is known.
    pub(super) fn may_persist(&self) -> bool {
        let link = &*self.0;
        link.persists && !link.upload.has_failed() && link.ahead.is_empty() && link.received.is_empty()
    }

    /// Whether it can serve no other request: it was said so, or something came that nobody asked for, the end for example.
    pub(super) fn is_spent(&mut self) -> bool {
        // While an upstream keeps silent this costs no system call.
        !self.may_persist() || self.0.poll_fill(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// The same as the system knows it, which costs a call.
    pub(super) fn has_news(&self) -> bool {
        self.0.stream.has_news()
    }

    /// Nothing is under way: gives back what a large answer took.
    pub(super) fn rest(&mut self) {
        if self.0.room > LEAST_ROOM {
            self.0.room = LEAST_ROOM;
            self.0.received = BytesMut::new();
        }
    }

    /// The connection, when its request has been written to the end; `None` if the caller pauses or takes too long.
    pub(super) async fn written(mut self) -> Option<Self> {
        let until = Instant::now() + LINGER;
        loop {
            let link = &mut *self.0;
            let written = link.upload.written();
            let rest = std::future::poll_fn(|cx| link.poll_upload(cx));
            match timeout(PAUSE, rest).await {
                Ok(ended) => return ended.is_ok().then_some(self),
                Err(_) if Instant::now() >= until || self.0.upload.written() == written => return None,
                Err(_) => (),
            }
        }
    }
}

impl<B: Outbound> Link<B> {
    /// Writes on.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        self.upload.poll(&mut self.stream, cx)
    }
}

impl<B> Link<B> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        loop {
            match self.decoder.step(&mut self.ahead) {
                Err(malformed) => return Poll::Ready(Some(Err(Malformed::from(malformed).into()))),
                Ok(Step::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Step::End) => return Poll::Ready(None),
                Ok(Step::Hungry) => {}
            }
            match ready!(self.poll_fill(cx)) {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(0) if self.decoder == Decoder::UntilClose => {
                    self.decoder = Decoder::Length(0);
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(Http1Error::Ended))),
                Ok(_) => self.ahead = self.received.split().freeze(),
            }
        }
    }

    fn poll_head(
        &mut self,
        method: &Method,
        on_interim: Option<&OnInterim>,
        allowance: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, Failed>> {
        loop {
            if let Some(head) = self.head(method).map_err(|malformed| Failed::Http1(malformed.into()))? {
                if !head.parts.status.is_informational() || head.parts.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                if let Some(on_interim) = on_interim {
                    on_interim.tell(head.parts.status);
                }
                continue;
            }
            match ready!(self.poll_fill(cx)) {
                Err(error) => return Poll::Ready(Err(Failed::Http1(error.into()))),
                Ok(0) => return Poll::Ready(Err(Failed::Http1(Http1Error::Ended))),
                Ok(came) => *allowance = allowance.saturating_sub(came),
            }
            if *allowance == 0 {
                return Poll::Ready(Err(Failed::Flooded));
            }
        }
    }

    /// The next head, if it is whole.
    fn head(&mut self, method: &Method) -> Result<Option<Head>, Malformed> {
        if self.ahead.is_empty() {
            self.ahead = self.received.split().freeze();
        }
        if self.ahead.is_empty() {
            return Ok(None);
        }
        let head = head::read(&mut self.ahead, method)?;
        if head.is_none() {
            // Few heads come in several pieces; those are put together by copying.
            let rest = std::mem::take(&mut self.received);
            self.received.reserve(self.ahead.len() + rest.len() + self.room);
            self.received.extend_from_slice(&std::mem::take(&mut self.ahead));
            self.received.extend_from_slice(&rest);
        }
        Ok(head)
    }

    /// Reads once from the socket.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.received.capacity() - self.received.len() < self.room / 2 {
            self.received.reserve(self.room);
        }
        let room = self.received.capacity() - self.received.len();
        let came = ready!(pin!(self.stream.read_buf(&mut self.received)).poll(cx))?;
        if came == room {
            self.room = MOST_ROOM;
        }
        Poll::Ready(Ok(came))
    }
}
