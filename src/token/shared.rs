//! What the refresher and all readers of one credential have in common.
//!
//! Owns the snapshot that the publisher replaces as a whole, the bell that rings when it has, and the numbers by which
//! readers ask for a token request. Nothing here takes a lock that a request could wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::gap::Gap;
use super::schedule::Next;
use super::{AccessToken, Settings, Unavailable};
use crate::clock::{Clock, Moment};
use crate::metrics::CredentialMetrics;
use crate::reason::Reason;
use crate::sync::{ArcSwap, AtomicBool, AtomicU64, Notify, watch};

/// The common ground of the two halves.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Fixed,
    pub(super) clock: Clock,
    pub(super) metrics: CredentialMetrics,
    pub(super) gap: Gap,
    /// Rings after each new snapshot. Subscribe first, look at the snapshot then, wait last.
    pub(super) bell: watch::Sender<()>,
    /// Wakes the refresher.
    pub(super) wake: Notify,
    /// Whether the end of the current token has been told.
    pub(super) expiry_noticed: AtomicBool,
    snapshot: ArcSwap<Snapshot>,
    /// All of the settings as they are now.
    figures: ArcSwap<Settings>,
    /// The number of the token request that somebody needs, whatever the schedule says.
    wanted: AtomicU64,
    /// Whether a refresh token that is the only credential is being used.
    pub(super) in_turn: watch::Sender<bool>,
}

/// What of the settings is the same for as long as the credential goes on.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) name: String,
    pub(super) is_bound: bool,
    pub(super) lives_by_refresh_token: bool,
}

/// Everything that changes, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The last token, which may have expired.
    pub(super) token: Option<Arc<AccessToken>>,
    pub(super) phase: Phase,
    /// How many times asking has ended, either way. Asking with a refresh token and then with the original grant
    /// counts once.
    pub(super) settled: u64,
    /// Whether that has happened, in this process or in the one before.
    pub(super) settled_once: bool,
    /// The last failure since the last success.
    pub(super) failure: Option<Failure>,
    /// When the last token was issued.
    pub(super) last_success: Option<Moment>,
}

/// What the refresher does just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It asks, or is about to.
    Asking,
    /// There is a token, and this is when it will be renewed.
    Resting(Moment),
    /// It may not ask before then.
    Waiting(Moment),
    /// It does not ask until somebody acts.
    Latched,
    /// It is gone.
    Stopped,
}

/// Why the last token request brought nothing.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Shared {
    pub(super) fn new(settings: Settings, clock: Clock, metrics: CredentialMetrics) -> Self {
        let snapshot = Snapshot {
            token: None,
            phase: Phase::Asking,
            settled: 0,
            settled_once: false,
            failure: None,
            last_success: None,
        };
        Self {
            gap: Gap::new(settings.gap),
            settings: Fixed {
                name: settings.name.clone(),
                is_bound: settings.is_bound,
                lives_by_refresh_token: settings.lives_by_refresh_token,
            },
            figures: ArcSwap::from_pointee(settings),
            clock,
            metrics,
            bell: watch::Sender::new(()),
            wake: Notify::new(),
            expiry_noticed: AtomicBool::new(true),
            snapshot: ArcSwap::from_pointee(snapshot),
            wanted: AtomicU64::new(0),
            in_turn: watch::Sender::new(false),
        }
    }

    /// How long a request may wait, cut to what can be added to any time.
    pub(super) fn wait(&self) -> Duration {
        self.figures().wait.min(Duration::from_secs(86_400))
    }

    /// The settings as they are now.
    pub(super) fn figures(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.figures.load()
    }

    /// From now on these count; returns those before.
    pub(super) fn change(&self, settings: Settings) -> Arc<Settings> {
        let before = Arc::clone(&self.figures.load());
        self.gap.grows_to(settings.gap);
        self.figures.store(Arc::new(settings));
        before
    }

    /// Wait-free.
    pub(super) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// For the publisher alone: there is one writer, so reading and then storing loses nothing.
    pub(super) fn replace(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = Snapshot::clone(&self.snapshot.load());
        change(&mut snapshot);
        self.snapshot.store(Arc::new(snapshot));
        self.bell.send_replace(());
    }

    /// Waits until no refresh token is being used that is the only credential.
    pub(super) async fn turn_ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.in_turn.subscribe().wait_for(|in_turn| !in_turn).await;
    }

    /// Asks for the token request after the `settled`th. Asking late is harmless: the number has passed by then.
    pub(super) fn want(&self, settled: u64) {
        if self.wanted.fetch_max(settled + 1, Ordering::AcqRel) <= settled {
            self.wake.notify_one();
        }
    }

    /// Whether the next token request is wanted.
    pub(super) fn is_wanted(&self, settled: u64) -> bool {
        self.wanted.load(Ordering::Acquire) > settled
    }
}

impl Snapshot {
    /// The token, unless it has expired.
    pub(super) fn fresh_token(&self, now: Moment) -> Option<&Arc<AccessToken>> {
        self.token.as_ref().filter(|token| now < token.expires_at())
    }

    /// The generation of the last token; 0 before the first.
    pub(super) fn generation(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| token.generation())
    }

    /// Why there is no token, for a caller.
    pub(super) fn unavailable(&self, now: Moment) -> Unavailable {
        let retry_in = self.phase.retry_in(now);
        let (reason, message) = match (&self.failure, self.phase, &self.token) {
            (_, Phase::Stopped, _) => (Reason::Draining, "bearerd is shutting down".to_owned()),
            (Some(failure), ..) => (failure.reason, failure.message.clone()),
            (None, _, None) => (Reason::TokenPending, "the first token request has not been answered".to_owned()),
            (None, _, Some(_)) => (Reason::TokenPending, "the token has expired and the next is on its way".to_owned()),
        };
        Unavailable { reason, message, retry_in }
    }
}

impl Phase {
    /// The time until the next token request; `None` if none is planned.
    pub(super) fn retry_in(self, now: Moment) -> Option<Duration> {
        match self {
            Self::Asking => Some(Duration::ZERO),
            Self::Resting(at) | Self::Waiting(at) => Some(at.since(now)),
            Self::Latched | Self::Stopped => None,
        }
    }
}

impl From<Next> for Phase {
    fn from(next: Next) -> Self {
        match next {
            Next::Renew(at) => Self::Resting(at),
            Next::Retry(at) | Next::Held(at) | Next::Confirm(at) => Self::Waiting(at),
            Next::Latched => Self::Latched,
        }
    }
}
