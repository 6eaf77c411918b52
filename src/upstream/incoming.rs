//! An answer's body as it comes, whichever HTTP brings it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::{Frame, SizeHint};

use super::http1::Http1Error;

/// What went wrong with HTTP on an upstream's connection.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// HTTP/1.
    #[error("{0}")]
    Http1(#[from] Http1Error),
    /// HTTP/2. A source of its own, so that a caller's stream is reset for the same reason.
    #[error("HTTP/2 failed")]
    Http2(#[from] h2::Error),
}

#[derive(Debug)]
pub(super) enum Incoming {
    /// It is read from its connection.
    Http1,
    Http2(Box<Streamed>),
    /// None: the stream is no longer HTTP.
    Switched,
}

/// The body on a stream of HTTP/2.
#[derive(Debug)]
pub(super) struct Streamed {
    stream: RecvStream,
    /// What is still to come, where the answer said how much it is.
    left: Option<u64>,
    data_ended: bool,
}

impl Streamed {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let left = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { stream, left, data_ended: false }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    // Whoever took it has room for more.
                    self.stream.flow_control().release_capacity(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(self.end(error)),
                None => self.data_ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(self.end(error)),
        }
    }

    /// A server that has said everything and wants no more of the request says so by a reset (RFC 9113 §8.1).
    fn end(&self, error: h2::Error) -> Option<Result<Frame<Bytes>, h2::Error>> {
        let is_whole = self.left.is_none_or(|left| left == 0);
        (error.reason() != Some(Reason::NO_ERROR) || !error.is_reset() || !is_whole).then_some(Err(error))
    }
}
