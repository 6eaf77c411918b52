//! What a connection is doing, and how long its caller may keep us waiting.
//!
//! Owns two deadlines: how long a connection may idle between requests, and how long the head of a request may take from its
//! first byte. Bodies are not our business: whoever reads one knows whether it is wanted.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::super::Settings;

/// What the connection is doing, told by the service and read by the stream.
#[derive(Debug)]
pub(in crate::server) struct Activity {
    phase: Cell<Phase>,
    /// Requests being served; HTTP/2 has many at once.
    requests: Cell<usize>,
    /// Whether the caller fell silent within a body, and was waited for already.
    given_up: Cell<bool>,
    /// Whether the caller took nothing of an answer for too long.
    unread: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests, since then.
    Idle(Instant),
    /// A head has begun, then.
    Head(Instant),
    /// A request is being served.
    Busy,
}

impl Activity {
    /// Idle from now on.
    pub(in crate::server) fn new() -> Rc<Self> {
        let phase = Cell::new(Phase::Idle(Instant::now()));
        let (requests, reader) = (Cell::new(0), RefCell::new(None));
        let [given_up, unread] = [const { Cell::new(false) }; 2];
        Rc::new(Self { phase, requests, given_up, unread, reader })
    }

    /// A whole head has been read: no deadline of ours until the request's body and its answer have both ended.
    pub(in crate::server) fn request_began(self: &Rc<Self>) -> Rc<Busy> {
        self.phase.set(Phase::Busy);
        self.requests.set(self.requests.get().saturating_add(1));
        Rc::new(Busy(Rc::clone(self)))
    }

    /// Whether the first bytes of a request have come, and not yet its whole head.
    pub(in crate::server) fn is_in_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Head(_))
    }

    /// Since when nothing is being served.
    pub(in crate::server) fn idle_since(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Idle(since) | Phase::Head(since) => Some(since),
            Phase::Busy => None,
        }
    }

    /// The one request of HTTP/1 is being served.
    pub(in crate::server) fn serving_began(&self) {
        self.phase.set(Phase::Busy);
    }

    /// Its answer is written, and its body read.
    pub(in crate::server) fn serving_ended(&self) {
        self.phase.set(Phase::Idle(Instant::now()));
    }

    /// The caller has been waited for long enough.
    pub(in crate::server) fn give_up(&self) {
        self.given_up.set(true);
    }

    /// The caller took nothing of an answer for too long.
    pub(in crate::server) fn leave_unread(&self) {
        self.unread.set(true);
    }

    /// Whether that is why the connection ended.
    pub(in crate::server) fn is_unread(&self) -> bool {
        self.unread.get()
    }

    /// Whether there is nobody to wait for.
    pub(in crate::server) fn is_given_up(&self) -> bool {
        self.given_up.get() || self.unread.get()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn head_began(&self) {
        if let Phase::Idle(_) = self.phase.get() {
            self.phase.set(Phase::Head(Instant::now()));
        }
    }

    /// Has the connection look again as soon as [`Activity::wake_reader`] is called.
    pub(in crate::server) fn wait(&self, cx: &Context<'_>) {
        let mut reader = self.reader.borrow_mut();
        if reader.as_ref().is_none_or(|reader| !reader.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
    }

    /// Wakes the connection, unless it is what runs now.
    pub(in crate::server) fn wake_reader(&self, by: Option<&Context<'_>>) {
        if let Some(reader) = self.reader.take()
            && by.is_none_or(|by| !reader.will_wake(by.waker()))
        {
            reader.wake();
        }
    }
}

/// A request is being served for as long as this is held.
#[derive(Debug)]
pub(in crate::server) struct Busy(Rc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let left = self.0.requests.get().saturating_sub(1);
        self.0.requests.set(left);
        if left > 0 {
            return;
        }
        self.0.phase.set(Phase::Idle(Instant::now()));
        // The stream was last polled when it could not go on; it must look again.
        self.0.wake_reader(None);
    }
}

/// When the caller will have taken too long.
pub(super) fn deadline(phase: Phase, settings: &Settings) -> Option<Instant> {
    let (since, patience): (Instant, Option<Duration>) = match phase {
        Phase::Busy => return None,
        Phase::Idle(since) => (since, settings.keep_alive),
        Phase::Head(since) => (since, settings.request_head),
    };
    Some(since + patience?)
}

/// A body that keeps its connection busy until it ends.
#[derive(Debug)]
pub(in crate::server) struct Watched<B> {
    body: B,
    busy: Option<Rc<Busy>>,
}

impl<B: Body> Watched<B> {
    pub(in crate::server) fn new(body: B, busy: Rc<Busy>) -> Self {
        let busy = (!body.is_end_stream()).then_some(busy);
        Self { body, busy }
    }
}

impl<B> Watched<B> {
    /// Says that the caller has been waited for long enough: its connection ends as soon as its answer is written.
    pub(in crate::server) fn give_up(&self) {
        if let Some(busy) = &self.busy {
            busy.0.give_up();
        }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.busy = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
