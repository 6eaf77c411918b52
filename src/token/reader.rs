//! The read half of a credential: what the request path may know and ask.
//!
//! Owns the decisions of DESIGN section 5, points 2 to 4. It fetches nothing: it reads the snapshot, and where
//! that is not enough asks the refresher and waits for its bell.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::time::{Instant, timeout_at};

use super::shared::{Phase, Shared, Snapshot};
use super::status::Status;
use super::{AccessToken, TokenState, Unavailable};
use crate::clock::Moment;
use crate::metrics::CredentialMetrics;
use crate::sync::watch;

/// The read half: what the request path knows of a credential. Cheap to clone, shared by all workers.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// What to do with an answer that rejected the token.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Send the request again with this token.
    Replay(Arc<AccessToken>),
    /// The original answer goes to the caller.
    Pass(Pass),
}

/// Why a rejection is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The gap after a useless re-authentication is open.
    Gap,
    /// No other token could be had.
    Unavailable,
}

/// Tells requests apart in the gap's memory: a hash of method and path (with query left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestHash(pub u64);

/// How a rejection can go on, before any waiting.
enum Course {
    Replaced(Arc<AccessToken>),
    Closed(Pass),
    /// Wait for the token request after the `settled`th.
    Join {
        settled: u64,
    },
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The credential's name.
    pub fn name(&self) -> &str {
        &self.shared.settings.name
    }

    /// Whether its tokens are bound to a key, so that a proof goes with each.
    pub fn is_bound(&self) -> bool {
        self.shared.settings.is_bound
    }

    /// The credential's metrics: the proxy counts there what followed on rejections.
    pub fn metrics(&self) -> &CredentialMetrics {
        &self.shared.metrics
    }

    /// The current token if it has not expired. Wait-free. Meeting an expired one wakes the refresher.
    pub fn current(&self) -> Option<Arc<AccessToken>> {
        let snapshot = self.shared.snapshot();
        let fresh = snapshot.fresh_token(self.shared.clock.now()).cloned();
        if fresh.is_none() {
            self.wake_if_resting(&snapshot);
        }
        fresh
    }

    /// As [`Reader::current`], in memory that only the caller uses: `copy`, made anew for each new token, and where the same one was
    /// handed out again with another life.
    pub fn current_copy(&self, copy: &mut Option<Arc<AccessToken>>) -> Option<Arc<AccessToken>> {
        let snapshot = self.shared.snapshot();
        let Some(fresh) = snapshot.fresh_token(self.shared.clock.now()) else {
            *copy = None;
            self.wake_if_resting(&snapshot);
            return None;
        };
        match copy {
            Some(copied) if copied.is_as_current_as(fresh) => Some(Arc::clone(copied)),
            _ => Some(Arc::clone(copy.insert(Arc::new(fresh.copied())))),
        }
    }

    /// Where the credential stands.
    pub fn state(&self) -> TokenState {
        let snapshot = self.shared.snapshot();
        let now = self.shared.clock.now();
        match snapshot.fresh_token(now) {
            Some(token) => TokenState::Valid(token.clone()),
            None if snapshot.settled_once => TokenState::Unavailable(snapshot.unavailable(now)),
            None => TokenState::Pending,
        }
    }

    /// The current token, or the next one if it comes within the credential's `refresh.wait`.
    ///
    /// # Errors
    /// [`Unavailable`] at once if no token request is planned within the wait, else when the wait is over.
    pub async fn usable(&self) -> Result<Arc<AccessToken>, Unavailable> {
        match self.current() {
            Some(token) => Ok(token),
            None => self.wait_for_token().await,
        }
    }

    /// Whether this token may still be sent: it has not expired.
    pub fn is_fresh(&self, token: &AccessToken) -> bool {
        self.shared.clock.now() < token.expires_at()
    }

    /// Decides what follows on an answer that rejected `sent` (DESIGN section 5, points 2 to 4); waits for the forced
    /// fetch if there is one, at most `refresh.wait`. All callers that wait join one fetch; a caller that goes away
    /// cancels nothing.
    pub async fn rejected(&self, sent: &AccessToken, request: RequestHash) -> Verdict {
        let course = self.course(sent, |now| self.shared.gap.admits(request, sent.generation(), now));
        match course {
            Course::Replaced(token) => Verdict::Replay(token),
            Course::Closed(pass) => Verdict::Pass(pass),
            Course::Join { settled } => self.join(sent, settled).await,
        }
    }

    /// Asks for a new token without waiting for it: for a rejection that cannot be replayed.
    pub fn renew_after_rejection(&self, sent: &AccessToken, request: RequestHash) {
        self.course(sent, |now| self.shared.gap.admits_unreplayed(request, sent.generation(), now));
    }

    /// Where the credential stands, for people.
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// Ends a latch or a wait: the refresher asks again at once. Returns whether there was anything to end.
    pub fn retry(&self) -> bool {
        let snapshot = self.shared.snapshot();
        let waits = matches!(snapshot.phase, Phase::Waiting(_) | Phase::Latched);
        if waits {
            self.shared.want(snapshot.settled);
        }
        waits
    }

    /// Reports that an answer did not reject `sent`. Costs one atomic load while no gap is open.
    pub fn satisfied(&self, sent: &AccessToken, request: impl FnOnce() -> RequestHash) {
        self.shared.gap.satisfied(request, sent.generation(), || self.shared.clock.now());
    }

    /// Reports how a replay with `sent` ended: rejected again opens (or widens) the gap, accepted closes it.
    pub fn replayed(&self, sent: &AccessToken, rejected_again: bool) {
        if !rejected_again {
            self.shared.gap.useful(sent.generation());
        } else if let Some(width) = self.shared.gap.useless(sent.generation(), self.shared.clock.now()) {
            super::publish::report_useless_token(self.name(), width);
        }
    }

    /// Points 2 to 4. `admits` is asked only where a fetch would have to be forced.
    fn course(&self, sent: &AccessToken, admits: impl FnOnce(Moment) -> bool) -> Course {
        let snapshot = self.shared.snapshot();
        let now = self.shared.clock.now();
        if let Some(token) = newer(&snapshot, sent, now) {
            return Course::Replaced(token);
        }
        // A token that has expired on the way was rightly rejected: the gap is about others, and the fetch is due anyway. It has the
        // life that is known now, which may be another than when it was sent.
        if snapshot.fresh_token(now).is_some() && !admits(now) {
            return Course::Closed(Pass::Gap);
        }
        match snapshot.phase {
            Phase::Waiting(_) | Phase::Latched | Phase::Stopped => return Course::Closed(Pass::Unavailable),
            Phase::Resting(_) => self.shared.want(snapshot.settled),
            Phase::Asking => {}
        }
        Course::Join { settled: snapshot.settled }
    }

    async fn join(&self, sent: &AccessToken, settled: u64) -> Verdict {
        let mut bell = self.shared.bell.subscribe();
        let deadline = Instant::now() + self.shared.wait();
        loop {
            {
                let snapshot = self.shared.snapshot();
                if let Some(token) = newer(&snapshot, sent, self.shared.clock.now()) {
                    return Verdict::Replay(token);
                }
                if snapshot.settled > settled || snapshot.phase == Phase::Stopped {
                    return Verdict::Pass(Pass::Unavailable);
                }
            }
            if !heard(&mut bell, deadline).await {
                return Verdict::Pass(Pass::Unavailable);
            }
        }
    }

    async fn wait_for_token(&self) -> Result<Arc<AccessToken>, Unavailable> {
        let _waiting = Waiting::enter(&self.shared.metrics.waiting);
        let mut bell = self.shared.bell.subscribe();
        let deadline = Instant::now() + self.shared.wait();
        loop {
            {
                let snapshot = self.shared.snapshot();
                let now = self.shared.clock.now();
                if let Some(token) = snapshot.fresh_token(now) {
                    return Ok(token.clone());
                }
                self.wake_if_resting(&snapshot);
                let left = deadline.saturating_duration_since(Instant::now());
                let unavailable = snapshot.unavailable(now);
                if left == Duration::ZERO || unavailable.retry_in.is_none_or(|retry_in| retry_in > left) {
                    return Err(unavailable);
                }
            }
            heard(&mut bell, deadline).await;
        }
    }

    /// For whoever has met an expired token: the timer that should have renewed it is late.
    fn wake_if_resting(&self, snapshot: &Snapshot) {
        if matches!(snapshot.phase, Phase::Resting(_)) {
            self.shared.want(snapshot.settled);
        }
    }
}

/// Counts a request that waits, for as long as it does: one that is dropped waits no longer.
struct Waiting<'a>(&'a IntGauge);

impl<'a> Waiting<'a> {
    fn enter(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The current token if it is another than `sent` and may be sent.
fn newer(snapshot: &Snapshot, sent: &AccessToken, now: Moment) -> Option<Arc<AccessToken>> {
    snapshot.fresh_token(now).filter(|token| token.generation() > sent.generation()).cloned()
}

/// Whether the bell rang before the deadline. The bell lives as long as the reader, so it cannot go away.
async fn heard(bell: &mut watch::Receiver<()>, deadline: Instant) -> bool {
    matches!(timeout_at(deadline, bell.changed()).await, Ok(Ok(())))
}
