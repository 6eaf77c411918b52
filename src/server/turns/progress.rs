//! How far a connection has been read: whether its caller has said more already than what is looked at.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// So many turns are looked ahead for what becomes of a request, if the caller has always more to say.
pub(super) const AHEAD: u32 = 32;

/// How far a connection has been read.
#[derive(Default)]
pub(in crate::server) struct Progress {
    /// Requests that have begun.
    requests: Cell<u32>,
    /// Whether everything is read that has come.
    is_level: Cell<bool>,
    turns: Cell<u32>,
    /// How often everything was read that had come, or enough of it.
    marks: Cell<u32>,
    waiting: RefCell<Vec<Waker>>,
}

impl Progress {
    /// Ready when the caller has had its say for now: what it has sent after a request may be that it does not want it any more.
    /// Pending once in any case, for who asked to look at what has come already.
    pub(in crate::server) async fn caught_up(&self) {
        let (mut looked, mark) = (false, self.marks.get());
        poll_fn(|cx| {
            let is_known = self.is_level.get() || self.marks.get() != mark;
            if is_known && std::mem::replace(&mut looked, true) {
                return Poll::Ready(());
            }
            looked = true;
            if is_known {
                cx.waker().wake_by_ref();
            } else {
                self.waiting.borrow_mut().push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// The caller has begun a request that is looked at.
    pub(in crate::server) fn request_began(&self) {
        self.requests.set(self.requests.get().wrapping_add(1));
    }

    /// How many there have been.
    pub(super) fn requests(&self) -> u32 {
        self.requests.get()
    }

    pub(super) fn turn_ended(&self) {
        self.turns.set(self.turns.get().wrapping_add(1));
        if self.turns.get().is_multiple_of(AHEAD) {
            self.mark();
        }
    }

    /// More has come.
    pub(super) fn moved_on(&self) {
        self.is_level.set(false);
    }

    /// There was nothing more to be read.
    pub(super) fn level(&self) {
        if !self.is_level.replace(true) {
            self.mark();
        }
    }

    fn mark(&self) {
        self.marks.set(self.marks.get().wrapping_add(1));
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}
