//! Whether the store answers, and what follows if it does not.
//!
//! Owns the deadline of every question, and the word that the store is away: from then on every question fails at once, so that a store
//! which hangs costs the first who ask a moment and everybody else nothing. Somebody looks now and then whether it is back, and tells.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use super::backend::{Answer, Backend, StoreError};
use super::seal::SealKeys;
use crate::backoff::full_jitter;
use crate::metrics::StoreMetrics;
use crate::reason::Reason;

/// How long after a failure it is looked again, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// How often it is looked before the first answer.
const MEETING: Duration = Duration::from_millis(5);

/// A token store that may or may not answer. One for all credentials of the process, on the control thread.
pub struct Store {
    backend: Box<dyn Backend>,
    pub(super) keys: SealKeys,
    timeout: Duration,
    metrics: StoreMetrics,
    presence: watch::Sender<Presence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// Nobody has asked it yet.
    Unmet,
    /// It answers, for the `u64`th time.
    There(u64),
    /// It did not answer.
    Away,
}

/// Hears that the store is back.
#[derive(Debug)]
pub(super) struct Return {
    presence: watch::Receiver<Presence>,
    /// How many times it was there already.
    heard: u64,
}

impl Store {
    /// A store at this place. Nothing is asked before [`Store::run`] runs.
    pub fn new(backend: Box<dyn Backend>, keys: SealKeys, timeout: Duration, metrics: StoreMetrics) -> Rc<Self> {
        let presence = watch::Sender::new(Presence::Unmet);
        Rc::new(Self { backend, keys, timeout, metrics, presence })
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        self.backend.place()
    }

    /// Whether it answered when it was last asked.
    pub fn is_there(&self) -> bool {
        matches!(*self.presence.borrow(), Presence::There(_))
    }

    /// Keeps the backend going and looks whether it is there. Ends never.
    pub async fn run(self: Rc<Self>) {
        tokio::join!(self.backend.run(), self.look());
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(super) fn on_return(&self) -> Return {
        let presence = self.presence.subscribe();
        // The first time is no return.
        let heard = match *presence.borrow() {
            Presence::There(times) => times,
            Presence::Unmet => 1,
            Presence::Away => 0,
        };
        Return { presence, heard }
    }

    /// Asks, for as long as a question may take. Before the first answer it is waited for, so that a start finds what the fleet has.
    pub(super) async fn within<T>(&self, operation: &'static str, question: Answer<'_, T>) -> Result<T, StoreError> {
        let mut presence = self.presence.subscribe();
        // The sender lives as long as `self`.
        let _ = presence.wait_for(|presence| *presence != Presence::Unmet).await;
        if !self.is_there() {
            return Err(StoreError::Away);
        }
        let outcome = match tokio::time::timeout(self.timeout, question).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Slow(self.timeout)),
        };
        self.metrics.count(operation, outcome.is_ok());
        if let Err(error) = &outcome {
            self.note(operation, error);
        }
        outcome
    }

    fn note(&self, operation: &str, error: &StoreError) {
        match error {
            StoreError::Unreachable(_) | StoreError::Slow(_) => self.lose(error),
            StoreError::Refused(_) | StoreError::Nonsense(_) => {
                let code = Reason::StoreUnusable;
                tracing::warn!(%code, operation, "{code} token store at {} {error}; going on as if alone", self.place());
            }
            StoreError::Away => {}
        }
    }

    fn lose(&self, error: &StoreError) {
        let was = self.presence.send_replace(Presence::Away);
        self.metrics.up.set(0);
        if was != Presence::Away {
            let code = Reason::StoreAway;
            tracing::warn!(%code, "{code} token store at {} {error}; going on as if alone", self.place());
        }
    }

    fn regain(&self, times: u64) {
        let was = self.presence.send_replace(Presence::There(times));
        self.metrics.up.set(1);
        let place = self.place();
        match was {
            Presence::Away => tracing::info!("token store at {place} is there again"),
            _ => tracing::debug!("token store at {place} is there"),
        }
    }

    async fn look(&self) {
        let begun = tokio::time::Instant::now();
        let (mut times, mut failures) = (0, 0);
        loop {
            let answer = match tokio::time::timeout(self.timeout, self.backend.ping()).await {
                Ok(answer) => answer,
                Err(_) => Err(StoreError::Slow(self.timeout)),
            };
            match answer {
                Ok(()) => {
                    (times, failures) = (times + 1, 0);
                    self.regain(times);
                    let mut presence = self.presence.subscribe();
                    let _ = presence.wait_for(|presence| *presence == Presence::Away).await;
                    tokio::time::sleep(FIRST_LOOK).await;
                }
                Err(_) if times == 0 && begun.elapsed() < self.timeout => tokio::time::sleep(MEETING).await,
                Err(error) => {
                    self.lose(&error);
                    failures += 1;
                    tokio::time::sleep(FIRST_LOOK.max(full_jitter(
                        FIRST_LOOK,
                        failures,
                        LONGEST_LOOK,
                        fastrand::f64(),
                    )))
                    .await;
                }
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("place", &self.place()).field("presence", &*self.presence.borrow()).finish()
    }
}

impl Return {
    /// The store was away and answers again.
    pub(super) async fn happened(&mut self) {
        let heard = self.heard;
        let back = self.presence.wait_for(|presence| matches!(presence, Presence::There(times) if *times > heard));
        match back.await.as_deref() {
            Ok(Presence::There(times)) => self.heard = *times,
            // The store is gone for good: nothing happens any more.
            _ => std::future::pending().await,
        }
    }
}
