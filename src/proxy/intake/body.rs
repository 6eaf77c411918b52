//! The body of one attempt: nothing, the caller's as it comes, or the copy of it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{Intake, IntakeError};

/// The body of one attempt.
#[derive(Debug)]
pub(in crate::proxy) enum RequestBody {
    /// There is none.
    Empty,
    /// Streamed from the caller.
    Live {
        /// What has been read already, to be sent again.
        ahead: Option<Bytes>,
        /// Where the rest comes from.
        intake: Rc<Intake>,
        /// Which attempt this is.
        turn: u32,
    },
    /// Sent again.
    Kept {
        /// All of it, in one piece.
        data: Option<Bytes>,
        /// What followed it. In a box: few have any, and every body is moved about.
        trailers: Option<Box<HeaderMap>>,
    },
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = IntakeError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IntakeError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Live { ahead, intake, turn } => {
                if intake.state.borrow().turn != *turn {
                    // Its connection is closed, or its stream reset, when the answer has been read; nothing wakes this again.
                    return Poll::Pending;
                }
                if let Some(data) = ahead.take() {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                if let Some(gate) = &intake.gate {
                    ready!(gate.poll_open(cx));
                }
                intake.poll_source(cx)
            }
            Self::Kept { data, trailers } => {
                if let Some(data) = data.take().filter(|data| !data.is_empty()) {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Live { ahead, intake, .. } => ahead.is_none() && intake.has_ended(),
            Self::Kept { data, trailers } => data.as_ref().is_none_or(Bytes::is_empty) && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Live { intake, .. } => intake.declared,
            // Trailers need chunks, so the length stays unsaid.
            Self::Kept { trailers: Some(_), .. } => SizeHint::default(),
            Self::Kept { data, trailers: None } => SizeHint::with_exact(data.as_ref().map_or(0, |d| d.len() as u64)),
        }
    }
}
