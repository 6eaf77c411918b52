//! The body of a caller's request on its way through: never delayed, copied while it may be needed again.
//!
//! Owns the one reader of the caller's body. The first attempt streams it upstream ([`RequestBody::Live`]) and leaves a copy
//! here, within the route's limit and the process's budget; a replay sends the copy. What an answered request has left unread
//! is read and thrown away for a while, so that the caller gets to read the answer.

mod body;

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

pub(super) use body::RequestBody;

use super::access::Notes;
use super::budget::Budget;
use super::gate::Gate;
use super::headers;
use crate::server::{CallerBody, Refusal};

/// How the body of one request is treated.
#[derive(Clone, Debug)]
pub(super) struct Handling {
    /// The longest body that is kept, in bytes; `None` keeps none.
    pub(super) keep: Option<usize>,
    /// Where the kept bytes are accounted for.
    pub(super) budget: Arc<Budget>,
    /// The longest pause of the caller within its body.
    pub(super) idle: Option<Duration>,
    /// Fields that a caller has no say in; no trailer may be called so.
    pub(super) ours: Arc<[HeaderName]>,
    /// Whether the rest may follow live when the beginning is sent again: a conversation has no end to wait for (gRPC).
    pub(super) resumes: bool,
    /// Takes bodies that nobody reads any more.
    pub(super) discard: mpsc::UnboundedSender<CallerBody>,
    /// Where the access log has its length noted.
    pub(super) notes: Option<Rc<Notes>>,
}

/// One request's body, shared by the attempts to send it.
#[derive(Debug)]
pub(super) struct Intake {
    state: RefCell<State>,
    handling: Handling,
    gate: Option<Gate>,
    /// How long the body is, as declared; unknown for a chunked one.
    declared: SizeHint,
    began_empty: bool,
    progress: Cell<Progress>,
    /// Whether a pause of the caller ends its request: until the answer's head is there, and again for a replay.
    hurried: Cell<bool>,
    /// When the upstream's connection took the last piece, unless it has asked for the next since.
    taken: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct State {
    source: Option<CallerBody>,
    kept: Kept,
    reserved: usize,
    /// Counts the attempts; only the latest is given anything.
    turn: u32,
    /// Whether that one was stopped.
    is_parked: bool,
    /// Wakes whoever waits for the end of the body.
    at_end: Option<Waker>,
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Untouched,
    Reading,
    Ended,
    Stalled,
    Failed,
    Malformed(Refusal),
}

#[derive(Debug)]
enum Kept {
    Copy { data: BytesMut, trailers: Option<HeaderMap> },
    Lost(Lost),
}

/// Why a body cannot be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Longer than the route keeps.
    TooLong,
    /// The process's budget is spent.
    OverBudget,
    /// The caller stopped sending.
    Stalled,
    /// The caller went away.
    Failed,
    /// The caller's chunks are none.
    Malformed(Refusal),
}

/// The caller's body ended badly, as whoever sends the request is told.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum IntakeError {
    /// It paused for too long.
    #[error("the caller's request body stalled")]
    Stalled,
    /// It broke off.
    #[error("the caller's request body broke off")]
    Failed,
}

impl Intake {
    /// Of a request without a body; any number of requests may share it.
    pub(super) fn none(handling: Handling) -> Rc<Self> {
        let kept = Kept::Copy { data: BytesMut::new(), trailers: None };
        Self::begin(None, SizeHint::with_exact(0), kept, handling, None)
    }

    /// Takes over a caller's body. With a gate nothing is read until it opens.
    pub(super) fn new(source: CallerBody, handling: Handling, gate: Option<Gate>) -> Rc<Self> {
        let declared = source.size_hint();
        let kept = match handling.keep {
            Some(limit) if declared.lower() <= limit as u64 => Kept::Copy { data: BytesMut::new(), trailers: None },
            _ => Kept::Lost(Lost::TooLong),
        };
        Self::begin(Some(source), declared, kept, handling, gate)
    }

    fn begin(
        source: Option<CallerBody>,
        declared: SizeHint,
        kept: Kept,
        handling: Handling,
        gate: Option<Gate>,
    ) -> Rc<Self> {
        let began_empty = source.is_none();
        let progress = if began_empty { Progress::Ended } else { Progress::Untouched };
        let state = State { source, kept, reserved: 0, turn: 0, is_parked: false, at_end: None, pause: None };
        Rc::new(Self {
            state: RefCell::new(state),
            handling,
            gate,
            declared,
            began_empty,
            progress: Cell::new(progress),
            hurried: Cell::new(true),
            taken: Cell::new(None),
        })
    }

    /// Whether there is no body at all.
    pub(super) fn is_empty(&self) -> bool {
        self.began_empty
    }

    /// Whether not one byte of it has been asked for.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.progress.get(), Progress::Untouched) || self.began_empty
    }

    /// Whether all of it has been read.
    pub(super) fn has_ended(&self) -> bool {
        self.progress.get() == Progress::Ended
    }

    /// Whether the caller's side is at fault for a request that was not sent, and how.
    pub(super) fn fault(&self) -> Option<Lost> {
        match self.progress.get() {
            Progress::Stalled => Some(Lost::Stalled),
            Progress::Failed => Some(Lost::Failed),
            Progress::Malformed(refusal) => Some(Lost::Malformed(refusal)),
            Progress::Untouched | Progress::Reading | Progress::Ended => None,
        }
    }

    /// The gate that holds the body back, if the caller waits for `100 Continue`.
    pub(super) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// Whether there is a body for another attempt.
    pub(super) fn can_repeat(&self) -> bool {
        match self.progress.get() {
            Progress::Untouched => true,
            Progress::Reading | Progress::Ended => self.began_empty || self.is_kept(),
            Progress::Stalled | Progress::Failed | Progress::Malformed(_) => false,
        }
    }

    /// The body for an attempt: live while nothing has been read, the copy afterwards, and what is still to come after that;
    /// `None` if it cannot be sent again. What earlier attempts have not read they will not get.
    pub(super) fn body(self: &Rc<Self>) -> Option<RequestBody> {
        if self.began_empty {
            return Some(RequestBody::Empty);
        }
        if !self.can_repeat() {
            return None;
        }
        let mut state = self.state.borrow_mut();
        state.turn = state.turn.wrapping_add(1);
        state.is_parked = false;
        let (intake, turn) = (Rc::clone(self), state.turn);
        match &state.kept {
            _ if self.progress.get() == Progress::Untouched => Some(RequestBody::Live { ahead: None, intake, turn }),
            Kept::Copy { data, trailers } if self.has_ended() => {
                let trailers = trailers.clone().map(Box::new);
                Some(RequestBody::Kept { data: Some(Bytes::copy_from_slice(data)), trailers })
            }
            Kept::Copy { data, .. } => {
                let ahead = (!data.is_empty()).then(|| Bytes::copy_from_slice(data));
                Some(RequestBody::Live { ahead, intake, turn })
            }
            Kept::Lost(_) => None,
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self.state.borrow().kept, Kept::Copy { .. })
    }

    /// The answer has begun: from here on the caller may take its time (gRPC, long conversations).
    pub(super) fn answered(&self) {
        self.hurried.set(false);
    }

    /// Stops the attempt that streams the body: it gets nothing more. Returns whether there was more to come.
    pub(super) fn park(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.turn = state.turn.wrapping_add(1);
        state.is_parked = true;
        state.source.is_some()
    }

    /// An answer is about to be passed on: what was parked will never be sent, and its caller may read nothing before it has sent all.
    pub(super) fn discard_parked(&self) {
        let mut state = self.state.borrow_mut();
        if state.is_parked
            && let Some(source) = state.source.take()
        {
            self.discard(source);
        }
    }

    fn discard(&self, source: CallerBody) {
        // Behind a closed gate the caller has been promised nothing and sends nothing.
        if self.gate.as_ref().is_none_or(Gate::is_open) {
            // A worker that has ended discards the body by dropping it.
            let _ = self.handling.discard.send(source);
        }
    }

    /// Reads what the caller still sends, so that all of it can be sent again. A body that waits behind its gate is left there.
    ///
    /// # Errors
    /// [`Lost`] as soon as it is clear that the body cannot be sent again.
    pub(super) async fn complete(&self) -> Result<(), Lost> {
        if self.began_empty || (self.is_untouched() && self.gate.is_some()) {
            return Ok(());
        }
        if self.handling.resumes && self.can_repeat() {
            return Ok(());
        }
        self.hurried.set(true);
        std::future::poll_fn(|cx| {
            loop {
                // It may have ended badly before anybody asked.
                if let Some(lost) = self.fault() {
                    return Poll::Ready(Err(lost));
                }
                if let Kept::Lost(lost) = self.state.borrow().kept {
                    return Poll::Ready(Err(lost));
                }
                if ready!(self.poll_source(cx)).is_none() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }

    /// Waits until the whole body has been handed to the upstream's connection.
    pub(super) async fn sent(&self) {
        std::future::poll_fn(|cx| {
            if self.has_ended() {
                return Poll::Ready(());
            }
            self.state.borrow_mut().at_end = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Since when the upstream has not taken what it was sent; `None` while it is the caller who is waited for.
    pub(super) fn held_up_since(&self) -> Option<Instant> {
        self.taken.get()
    }

    /// The next piece from the caller, copied while it may be needed again.
    fn poll_source(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IntakeError>>> {
        let mut state = self.state.borrow_mut();
        let Some(source) = state.source.as_mut() else { return Poll::Ready(None) };
        if self.progress.get() == Progress::Untouched {
            self.progress.set(Progress::Reading);
        }
        match Pin::new(source).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                state.pause = None;
                self.taken.set(Some(Instant::now()));
                if let Some(trailers) = frame.trailers_mut() {
                    headers::strip_trailers(trailers, &self.handling.ours);
                }
                if let (Some(notes), Some(piece)) = (&self.handling.notes, frame.data_ref()) {
                    notes.received(piece.len());
                }
                self.keep(&mut state, &frame);
                if state.source.as_ref().is_some_and(Body::is_end_stream) {
                    self.end(&mut state, Progress::Ended);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end(&mut state, Progress::Ended);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "request body of a caller broke off");
                let how = error.refusal().map_or(Progress::Failed, Progress::Malformed);
                self.end(&mut state, how);
                Poll::Ready(Some(Err(IntakeError::Failed)))
            }
            Poll::Pending => {
                self.taken.set(None);
                let patience = self.handling.idle.filter(|_| self.hurried.get());
                ready!(poll_pause(&mut state.pause, patience, cx));
                if let Some(source) = &state.source {
                    source.give_up();
                }
                self.end(&mut state, Progress::Stalled);
                Poll::Ready(Some(Err(IntakeError::Stalled)))
            }
        }
    }

    fn keep(&self, state: &mut State, frame: &Frame<Bytes>) {
        let Kept::Copy { data, trailers } = &mut state.kept else { return };
        if let Some(piece) = frame.data_ref() {
            let lost = if data.len() + piece.len() > self.handling.keep.unwrap_or(0) {
                Lost::TooLong
            } else if !self.handling.budget.reserve(piece.len()) {
                Lost::OverBudget
            } else {
                data.extend_from_slice(piece);
                state.reserved += piece.len();
                return;
            };
            state.kept = Kept::Lost(lost);
            self.handling.budget.release(std::mem::take(&mut state.reserved));
        } else if let Some(came) = frame.trailers_ref() {
            *trailers = Some(came.clone());
        }
    }

    fn end(&self, state: &mut State, how: Progress) {
        state.source = None;
        state.pause = None;
        self.progress.set(how);
        if let Some(waiting) = state.at_end.take() {
            waiting.wake();
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        self.handling.budget.release(state.reserved);
        if let Some(source) = state.source.take() {
            self.discard(source);
        }
    }
}

fn poll_pause(pause: &mut Option<Pin<Box<Sleep>>>, patience: Option<Duration>, cx: &mut Context<'_>) -> Poll<()> {
    let Some(patience) = patience else { return Poll::Pending };
    pause.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience))).as_mut().poll(cx)
}

#[cfg(test)]
mod tests;
