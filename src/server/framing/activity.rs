//! What a connection is doing, and how long its caller may keep us waiting.
//!
//! Owns two timers that hyper has only one for: how long a connection may idle between requests, and how long the head
//! of a request may take from its first byte. Bodies are not our business: whoever reads one knows whether it is wanted.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::super::Settings;
use crate::alarm::Alarm;
use crate::spelling::Spelling;

/// How long nothing must happen between two requests before the memory for serving them is given back.
const REST: Duration = Duration::from_secs(1);

/// What the connection is doing, told by the service and read by the stream.
#[derive(Debug)]
pub(in crate::server) struct Activity {
    phase: Cell<Phase>,
    /// Requests being served; HTTP/2 has many at once.
    requests: Cell<usize>,
    /// Whether the stream is about to be something else than HTTP.
    switched: Cell<bool>,
    /// Whether the caller fell silent within a body, and was waited for already.
    given_up: Cell<bool>,
    /// Whether the caller took nothing of an answer for too long.
    unread: Cell<bool>,
    /// Whether there is somebody who could rest.
    served: Cell<bool>,
    /// Whether nothing has happened for long enough to rest.
    resting: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    /// Whether the spelling of names is noted, and that of the last head.
    notes_spelling: Cell<bool>,
    spelling: RefCell<Option<Spelling>>,
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
        let [switched, given_up, unread, served, resting, notes_spelling] = [const { Cell::new(false) }; 6];
        let spelling = RefCell::new(None);
        Rc::new(Self { phase, requests, switched, given_up, unread, served, resting, reader, notes_spelling, spelling })
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

    /// There is somebody now who serves requests, and can rest when none comes.
    pub(in crate::server) fn serving_began(&self) {
        self.served.set(true);
    }

    /// Whether it is time to rest; from then on nobody serves.
    pub(in crate::server) fn take_rest(&self) -> bool {
        // A request may have come after all.
        let rests = self.resting.take() && matches!(self.phase.get(), Phase::Idle(_));
        if rests {
            self.served.set(false);
        }
        rests
    }

    /// When to rest, if nothing happens before.
    pub(super) fn rests_at(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Idle(since) if self.served.get() && !self.resting.get() => Some(since + REST),
            _ => None,
        }
    }

    /// It is time to rest.
    pub(super) fn rest(&self) {
        self.resting.set(true);
    }

    /// From now on the spelling of every head is noted.
    pub(in crate::server) fn note_spelling(&self) {
        self.notes_spelling.set(true);
    }

    /// How the names in the last head were spelled, if that is noted.
    pub(in crate::server) fn take_spelling(&self) -> Option<Spelling> {
        self.spelling.take()
    }

    /// A whole head has come, at the front of `bytes`.
    pub(super) fn head_came(&self, bytes: &[u8]) {
        if self.notes_spelling.get() {
            self.spelling.replace(Some(Spelling::of_head(bytes)));
        }
    }

    /// What follows the current answer is not HTTP, and nobody here is to read it.
    pub(in crate::server) fn switch(&self) {
        self.switched.set(true);
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
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.get() || self.unread.get()
    }

    pub(super) fn is_switched(&self) -> bool {
        self.switched.get()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn head_began(&self) {
        if let Phase::Idle(_) = self.phase.get() {
            self.phase.set(Phase::Head(Instant::now()));
        }
    }

    /// Has the stream look again as soon as [`Activity::wake_reader`] is called.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        let mut reader = self.reader.borrow_mut();
        if reader.as_ref().is_none_or(|reader| !reader.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
    }

    pub(super) fn wake_reader(&self) {
        if let Some(reader) = self.reader.take() {
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
        self.0.wake_reader();
    }
}

/// Ready when the caller has taken too long.
pub(super) fn poll_end(alarm: &mut Alarm, phase: Phase, settings: &Settings, cx: &mut Context<'_>) -> Poll<()> {
    let Some(deadline) = deadline(phase, settings) else { return Poll::Pending };
    alarm.poll_until(deadline, cx)
}

fn deadline(phase: Phase, settings: &Settings) -> Option<Instant> {
    let (since, patience): (Instant, Option<Duration>) = match phase {
        Phase::Busy => return None,
        Phase::Idle(since) => (since, settings.keep_alive),
        Phase::Head(since) => (since, settings.request_head),
    };
    Some(since + patience?)
}

/// A body that keeps its connection busy until it ends.
#[derive(Debug)]
pub struct Watched<B> {
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
    pub fn give_up(&self) {
        if let Some(busy) = &self.busy {
            busy.0.given_up.set(true);
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
