//! Where a credential stands, for people: the status page, `/readyz`, the `status` verb.
//!
//! Owns the list of what may be shown. Refuses everything secret by not having it.

use std::time::Duration;

use super::Unavailable;
use super::shared::{Phase, Shared};

/// What the status page, `/readyz` and `retry` may know of a credential: nothing secret.
#[derive(Clone, Debug)]
pub struct Status {
    /// The credential's name.
    pub name: String,
    /// Whether readiness waits for it.
    pub required: bool,
    /// Whether a token can be sent now.
    pub usable: bool,
    /// Whether the first fetch has settled, either way.
    pub settled: bool,
    /// Whether nothing is tried until somebody acts.
    pub latched: bool,
    /// The generation of the current token; 0 without one.
    pub generation: u64,
    /// Time left of the current token.
    pub expires_in: Option<Duration>,
    /// How long the current token lives in all, counted from when it was asked for.
    pub lifetime: Option<Duration>,
    /// Time until the next token request that is planned.
    pub next_fetch_in: Option<Duration>,
    /// Time since the last token was issued.
    pub last_success_ago: Option<Duration>,
    /// Requests that wait for a token.
    pub waiting: u64,
    /// The last failure since the last success.
    pub last_error: Option<Unavailable>,
}

impl Status {
    pub(super) fn of(shared: &Shared) -> Self {
        let snapshot = shared.snapshot();
        let now = shared.clock.now();
        let fresh = snapshot.fresh_token(now);
        Self {
            name: shared.settings.name.clone(),
            required: shared.figures().required,
            usable: fresh.is_some(),
            settled: snapshot.settled_once,
            latched: snapshot.phase == Phase::Latched,
            generation: fresh.map_or(0, |token| token.generation()),
            expires_in: fresh.map(|token| token.expires_at().since(now)),
            lifetime: fresh.map(|token| token.lifetime),
            next_fetch_in: snapshot.phase.retry_in(now),
            last_success_ago: snapshot.last_success.map(|at| now.since(at)),
            waiting: u64::try_from(shared.metrics.waiting.get()).unwrap_or(0),
            last_error: snapshot.failure.is_some().then(|| snapshot.unavailable(now)),
        }
    }
}
