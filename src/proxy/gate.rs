//! Holds a request's body back until the upstream says `100 Continue` (RFC 9110 §10.1.1).
//!
//! The caller is asked for its body only when somebody wants it: after the upstream's 100, or after a second, since there
//! are servers that never heard of the expectation.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use crate::sync::{AtomicBool, Mutex};

/// How long the upstream may keep silent before the body is sent anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// Closed until a [`Key`] opens it or its patience ends.
#[derive(Debug)]
pub(super) struct Gate {
    lock: Arc<Lock>,
    patience: RefCell<Option<Pin<Box<Sleep>>>>,
}

/// Opens its gate.
#[derive(Clone, Debug)]
pub(super) struct Key(Arc<Lock>);

#[derive(Debug, Default)]
struct Lock {
    open: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Gate {
    /// A closed gate.
    pub(super) fn new() -> Self {
        Self { lock: Arc::default(), patience: RefCell::new(None) }
    }

    /// What the upstream's 100 turns.
    pub(super) fn key(&self) -> Key {
        Key(Arc::clone(&self.lock))
    }

    /// Whether it has been opened.
    pub(super) fn is_open(&self) -> bool {
        self.lock.open.load(Ordering::Acquire)
    }

    /// Ready when open. The patience counts from the first call.
    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_open() {
            return Poll::Ready(());
        }
        *self.lock.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        let mut patience = self.patience.borrow_mut();
        let timer = patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        if self.is_open() || timer.as_mut().poll(cx).is_ready() {
            self.lock.open.store(true, Ordering::Release);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Key {
    /// Opens the gate.
    pub(super) fn turn(&self) {
        self.0.open.store(true, Ordering::Release);
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_gate_opens_by_its_key_or_after_a_second() {
        let started = Instant::now();
        let gate = Gate::new();
        gate.key().turn();
        poll_fn(|cx| gate.poll_open(cx)).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        let gate = Gate::new();
        poll_fn(|cx| gate.poll_open(cx)).await;
        assert!(gate.is_open());
        assert_eq!(started.elapsed().as_secs(), 1);
    }
}
