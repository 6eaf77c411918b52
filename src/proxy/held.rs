//! An answer's body, part of which may have been read before the caller gets any of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::headers;
use super::intake::RequestBody;
use crate::upstream::{AnswerBody, Connection, HttpError};

/// A body with what was read ahead of it. To whoever reads it, the body as it came.
#[derive(Debug)]
pub(super) struct Held {
    rest: Option<AnswerBody<RequestBody>>,
    /// In a box: of few answers anything is read ahead, and every answer is moved about.
    ahead: Option<Box<Ahead>>,
    declared: SizeHint,
    /// Whether anything was asked of it by whoever passes it on.
    has_begun: bool,
}

/// What was read ahead.
#[derive(Debug, Default)]
struct Ahead {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
    failed: Option<HttpError>,
    /// What the rest was, once it has ended.
    spent: Option<AnswerBody<RequestBody>>,
}

impl Held {
    /// Nothing read ahead yet.
    pub(super) fn new(rest: AnswerBody<RequestBody>) -> Self {
        let declared = rest.size_hint();
        Self { rest: Some(rest), ahead: None, declared, has_begun: false }
    }

    /// The length that the answer declared, in bytes.
    pub(super) fn declared_length(&self) -> Option<u64> {
        self.declared.exact()
    }

    /// Has the connection closed after this answer.
    pub(super) fn forfeit_connection(&mut self) {
        let spent = self.ahead.as_mut().and_then(|ahead| ahead.spent.as_mut());
        if let Some(rest) = self.rest.as_mut().or(spent) {
            rest.forfeit();
        }
    }

    /// The connection, after an answer of 101.
    pub(super) fn take_connection(&mut self) -> Option<Connection<RequestBody>> {
        self.rest.as_mut().and_then(AnswerBody::take_connection)
    }

    /// Reads ahead until the end or until `limit` bytes are held. Cancel-safe.
    pub(super) async fn fill(&mut self, limit: usize) {
        while self.ahead.as_ref().is_none_or(|ahead| ahead.bytes < limit) && self.rest.is_some() {
            std::future::poll_fn(|cx| self.poll_ahead(cx)).await;
        }
    }

    /// Whether what was read ahead contains `text`.
    pub(super) fn contains(&self, text: &[u8]) -> bool {
        let pieces = self.ahead.iter().flat_map(|ahead| &ahead.pieces);
        let whole: Vec<u8> = pieces.flatten().copied().collect();
        text.is_empty() || whole.windows(text.len()).any(|window| window == text)
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(()) };
        let frame = ready!(Pin::new(&mut *rest).poll_frame(cx));
        let mut is_over = rest.is_end_stream();
        let ahead = self.ahead.get_or_insert_default();
        match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    ahead.bytes += data.len();
                    ahead.pieces.push_back(data);
                }
                Err(frame) => {
                    ahead.trailers = frame.into_trailers().ok();
                    is_over = false;
                }
            },
            Some(Err(error)) => {
                ahead.failed = Some(error);
                is_over = true;
            }
            None => is_over = true,
        }
        if is_over {
            ahead.spent = self.rest.take();
        }
        Poll::Ready(())
    }

    /// It broke off before anything of it was passed on: that is told when it is asked for again, so that the head goes out before.
    /// HTTP/2 would forget it over the reset.
    #[cold]
    fn put_off<T>(&mut self, error: HttpError, cx: &Context<'_>) -> Poll<T> {
        let ahead = self.ahead.get_or_insert_default();
        ahead.failed = Some(error);
        ahead.spent = self.rest.take().or(ahead.spent.take());
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(ahead) = &mut self.ahead {
            if let Some(data) = ahead.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(error) = ahead.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
        }
        if let Some(rest) = &mut self.rest {
            let mut frame = ready!(Pin::new(rest).poll_frame(cx));
            if let Some(trailers) = frame.as_mut().and_then(|f| f.as_mut().ok()).and_then(Frame::trailers_mut) {
                headers::strip_trailers(trailers, &[]);
            }
            return Poll::Ready(frame);
        }
        let trailers = self.ahead.as_mut().and_then(|ahead| ahead.trailers.take());
        Poll::Ready(trailers.map(|mut trailers| {
            headers::strip_trailers(&mut trailers, &[]);
            Ok(Frame::trailers(trailers))
        }))
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let polled = self.poll_next(cx);
        let is_first = !self.has_begun;
        self.has_begun |= polled.is_ready();
        match polled {
            Poll::Ready(Some(Err(error))) if is_first => self.put_off(error, cx),
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_read = |ahead: &Ahead| ahead.pieces.is_empty() && ahead.failed.is_none() && ahead.trailers.is_none();
        self.ahead.as_deref().is_none_or(is_read) && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let pieces = self.ahead.iter().flat_map(|ahead| &ahead.pieces);
        let ahead: u64 = pieces.map(|data| data.len() as u64).sum();
        match &self.rest {
            // What broke off must not pass as whole: whoever writes it says the length that was declared.
            None if self.ahead.as_ref().is_some_and(|ahead| ahead.failed.is_some()) => self.declared,
            // A body that was read to its end without a declared length may still have trailers to send.
            None if self.declared.exact().is_none() => SizeHint::default(),
            None => SizeHint::with_exact(ahead),
            Some(rest) => rest.size_hint().exact().map_or_else(SizeHint::default, |n| SizeHint::with_exact(n + ahead)),
        }
    }
}
