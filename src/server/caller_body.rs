//! The body of a caller's request, whichever HTTP brings it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::Refusal;
use super::framing::Watched;
use super::http1::WireBody;

/// The body of a caller's request. What is not read of it when it is dropped ends its connection, or resets its stream.
#[derive(Debug)]
pub struct CallerBody(Kind);

#[derive(Debug)]
enum Kind {
    Empty,
    Http1(WireBody),
    Http2(Watched<Incoming>),
}

/// Why there is no more of a body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Its framing is broken, as opposed to the caller being gone.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// The connection failed, or ended within it.
    #[error("the connection ended within the body")]
    Gone(#[from] io::Error),
    /// HTTP/2 failed.
    #[error("HTTP/2 failed")]
    Http2(#[from] hyper::Error),
}

impl BodyError {
    /// The refusal, if the caller was refused.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(*refusal),
            Self::Gone(_) | Self::Http2(_) => None,
        }
    }
}

impl CallerBody {
    /// There is none.
    pub(super) fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// Says that the caller has been waited for long enough: its connection ends as soon as its answer is written.
    pub fn give_up(&self) {
        match &self.0 {
            Kind::Empty => {}
            Kind::Http1(body) => body.give_up(),
            Kind::Http2(body) => body.give_up(),
        }
    }
}

impl From<WireBody> for CallerBody {
    fn from(body: WireBody) -> Self {
        Self(Kind::Http1(body))
    }
}

impl From<Watched<Incoming>> for CallerBody {
    fn from(body: Watched<Incoming>) -> Self {
        Self(Kind::Http2(body))
    }
}

impl Body for CallerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Http1(body) => body.poll_frame(cx),
            Kind::Http2(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Http1(body) => body.is_end_stream(),
            Kind::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Http1(body) => body.size_hint(),
            Kind::Http2(body) => body.size_hint(),
        }
    }
}
