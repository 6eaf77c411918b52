//! The background task of one credential: asks, publishes, rests, asks again.
//!
//! Owns the only copy of the refresh token and the count of what went wrong. When to ask is decided in `schedule`; what is
//! seen of it, in `publish`. Nobody can cancel a token request but the end of the process.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::budget::Ledger;
use super::change::Change;
use super::fleet::{Fleet, Occasion, Stores, Turn};
use super::latch::{Digest, Latch};
use super::publish::{Publisher, notice_expiry, notice_expiry_in_time, report_useless_token, unnoticed_expiry};
use super::rotation::Rotation;
use super::schedule::{Circumstances, FLOOR, History, Next, secret_poll};
use super::shared::{Phase, Shared};
use super::supervision::caught;
use super::written::Written;
use super::{Reader, Settings, Source};
use crate::clock::{Clock, Moment};
use crate::metrics::CredentialMetrics;
use crate::oauth::{Class, FetchError, Grant, Issued, LastTokens};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::shutdown::Shutdown;
use crate::traces;

/// The write half: the background task of one credential, and the only owner of its state.
#[derive(Debug)]
pub struct Refresher<S> {
    pub(super) source: S,
    pub(super) shared: Arc<Shared>,
    pub(super) publisher: Publisher,
    pub(super) state_directory: Option<PathBuf>,
    pub(super) latch: Latch,
    pub(super) history: History,
    pub(super) refresh_token: Option<Secret>,
    /// What this instance has to do with others.
    pub(super) fleet: Fleet,
    pub(super) ledger: Ledger,
    /// The refresh token where that is the only credential.
    pub(super) rotation: Rotation,
    /// When the last token request was sent, by whomever.
    pub(super) last_sent: Option<Moment>,
    pub(super) floor: Duration,
    /// Tokens in a row that lived under ten seconds.
    pub(super) short_lives: u32,
    /// What is written of it besides its fingerprint.
    pub(super) written: Written,
    /// Figures that are to be obeyed from the next rest on.
    pub(super) changes: Option<mpsc::UnboundedReceiver<Change<S>>>,
    /// What was asked with when it was refused. `None` if it could not be read then.
    pub(super) refused: Option<Digest>,
    /// Changes of the secrets in a row that cured nothing.
    pub(super) changed_in_vain: u32,
    /// Whether there is a record on disk.
    pub(super) recorded: bool,
}

/// How soon a refresh token that could not be written to disk is tried to be written again.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// A token and the moment its request was sent, from which its lifetime counts.
pub(super) struct Sent {
    pub(super) issued: Issued,
    pub(super) at: Moment,
    pub(super) wall: std::time::SystemTime,
    /// Whether this instance asked for it.
    pub(super) is_own: bool,
}

impl<S: Source> Refresher<S> {
    /// A credential that has not asked yet, and its read half. `state_directory` is where a latch survives a restart.
    pub fn new(
        settings: Settings,
        source: S,
        clock: Clock,
        metrics: CredentialMetrics,
        state_directory: Option<PathBuf>,
    ) -> (Self, Reader) {
        let written = Written::new(&source.written(), settings.lockout);
        let shared = Arc::new(Shared::new(settings, clock, metrics));
        let refresher = Self {
            source,
            written,
            changes: None,
            publisher: Publisher::new(shared.clone()),
            fleet: Fleet::default(),
            ledger: Ledger::new(shared.figures().budget, &shared.metrics.budget),
            rotation: Rotation::new(state_directory.as_deref(), &shared.settings.name),
            state_directory,
            latch: Latch::open(None, ""),
            history: History::default(),
            refresh_token: None,
            last_sent: None,
            floor: FLOOR,
            short_lives: 0,
            refused: None,
            changed_in_vain: 0,
            recorded: false,
            shared: shared.clone(),
        };
        (refresher, Reader::new(shared))
    }

    /// The same, of a fleet whose instances share a token store, if and while there is one.
    #[must_use]
    pub fn in_fleet(mut self, stores: Stores) -> Self {
        self.fleet = Fleet::of(stores);
        self
    }

    /// Records its token requests there.
    pub fn traced(mut self, traces: traces::Current) -> Self {
        self.publisher.record_to(traces);
        self
    }

    /// Fetches, publishes and renews until shutdown, whatever panics meanwhile. A refresh token that is the only credential and is being used at that moment is waited for: its successor may come with the answer.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let shared = Arc::clone(&self.shared);
        {
            let mut live = pin!(self.live());
            tokio::select! {
                biased;
                () = shutdown.fired() => {}
                never = &mut live => match never {},
            }
            tokio::select! {
                biased;
                () = shared.turn_ended() => {}
                never = live => match never {},
            }
        }
        if let Err(error) = self.rotation.write_down().await {
            let (credential, code) = (&self.shared.settings.name, Reason::TokenStateLost);
            tracing::error!(credential, %code, %error, "{code} {credential}: the last refresh token is lost: it must be given anew");
        }
        self.fleet.let_go().await;
        self.sign_off().await;
    }

    /// Nobody needs the token any more: it is given back, if that is wanted. A failure changes nothing but the log.
    async fn sign_off(&mut self) {
        if self.fleet.slot().is_some() {
            // Others use it, and the next run will.
            return;
        }
        let Some(access) = self.shared.snapshot().token.as_ref().map(|token| token.value().clone()) else { return };
        // A refresh token that is the only credential is for the next run.
        let refresh = self.refresh_token.take().filter(|_| !self.shared.settings.lives_by_refresh_token);
        let tokens = LastTokens { access, refresh };
        let credential = &self.shared.settings.name;
        match caught(self.source.revoke(&tokens)).await {
            None => tracing::warn!(credential, "the revocation ended in a panic"),
            Some(Ok(0)) => {}
            Some(Ok(requests)) => tracing::info!(credential, requests, "tokens given back"),
            Some(Err(error)) => {
                let code = Reason::TokenNotRevoked;
                let why = error.message;
                tracing::warn!(credential, %code, "{code} {credential}: {}: {why}", code.title());
            }
        }
    }

    /// Waits until it is time, somebody needs a token, or a secret has changed; then it returns `None`. If the others
    /// have news meanwhile, it returns what follows on that instead.
    pub(super) async fn rest(&mut self, next: Next) -> Option<Next> {
        let settled = self.shared.snapshot().settled;
        let look_after = secret_poll(self.changed_in_vain);
        let mut look_at = next.watches_secrets().then(|| self.shared.clock.now() + look_after);
        loop {
            if let Some(change) = self.change() {
                return Some(self.take_up(change, next).await);
            }
            let now = self.shared.clock.now();
            notice_expiry(&self.shared);
            if self.shared.is_wanted(settled) || next.due().is_some_and(|due| due <= now) {
                return None;
            }
            if self.fleet.is_unread()
                && let Some(other) = self.look().await
            {
                return Some(other);
            }
            if look_at.is_some_and(|at| at <= now) {
                let has_changed = tokio::select! {
                    has_changed = self.secret_has_changed() => has_changed,
                    // A command may hang: whoever wants a token now does not wait for it.
                    () = self.shared.wake.notified() => continue,
                };
                if has_changed {
                    self.changed_in_vain = self.changed_in_vain.saturating_add(1);
                    self.start_over();
                    return None;
                }
                look_at = Some(self.shared.clock.now() + look_after);
            }
            // An error was told when it came first, and the next one is told at the next use.
            let write_at = match self.rotation.write_down().await {
                Ok(()) => None,
                Err(_) => Some(self.shared.clock.now() + WRITE_AGAIN),
            };
            let until = [next.due(), unnoticed_expiry(&self.shared), look_at, write_at].into_iter().flatten().min();
            let (fleet, shared) = (&mut self.fleet, &self.shared);
            let due = async {
                match until {
                    Some(until) => shared.clock.sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = shared.wake.notified() => {}
                () = fleet.changed() => {}
            }
        }
    }

    /// Asks for a token, unless another instance of the fleet has done so, and publishes how it ended.
    pub(super) async fn ask(&mut self) -> Next {
        let occasion = self.occasion();
        let planned = self.shared.snapshot().phase;
        self.publisher.asking();
        // Read before the request: if a secret changes in between, the new one is tried once more, not forgotten.
        let fingerprint = caught(self.source.fingerprint()).await.flatten();
        let asked_with = fingerprint.map(|fingerprint| self.latch.digest(&fingerprint));
        let shared = Arc::clone(&self.shared);
        let answer = async {
            match self.take_turn(fingerprint, occasion).await {
                Turn::Known(next) => Err(next),
                Turn::Ask => Ok(self.request_within_budget(fingerprint, occasion).await),
            }
        };
        let answer = tokio::select! {
            answer = answer => answer,
            never = notice_expiry_in_time(&shared) => match never {},
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(known) => return known,
        };
        match answer.and_then(|sent| self.accept(sent)) {
            Ok(next) => {
                self.tell(Some(next)).await;
                self.forget().await;
                next
            }
            Err(error) => {
                let is_shared = Self::concerns_all(&error);
                let next = match planned {
                    Phase::Resting(renew_at)
                        if occasion == Occasion::Rejected && error.reason == Reason::TokenBudget =>
                    {
                        self.decline(&error, Next::Renew(renew_at))
                    }
                    _ => self.give_way(&error, asked_with).await,
                };
                self.tell(is_shared.then_some(next)).await;
                next
            }
        }
    }

    /// A rejection that will bring no request: the token that there is serves on.
    fn decline(&mut self, error: &FetchError, next: Next) -> Next {
        self.publisher.failed(error, next);
        if let Some(width) = self.shared.gap.same_again(self.shared.clock.now()) {
            report_useless_token(&self.shared.settings.name, width);
        }
        next
    }

    async fn request_within_budget(
        &mut self,
        fingerprint: Option<[u8; 32]>,
        occasion: Occasion,
    ) -> Result<Sent, FetchError> {
        let wall = self.shared.clock.wall();
        if let Err(spent) = self.ledger.allows(self.fleet.slot(), fingerprint, wall, occasion).await {
            return Err(spent.into_error());
        }
        self.request_by_any_grant().await
    }

    /// A refresh token is sent once, whatever becomes of it: a server that rotates them takes a second use for theft and
    /// revokes everything (RFC 9700 §4.14.2). If no other comes with the answer it stays in use (RFC 6749 §6).
    async fn request_by_any_grant(&mut self) -> Result<Sent, FetchError> {
        if self.shared.settings.lives_by_refresh_token {
            return self.request_in_turn().await;
        }
        let token = match self.refresh_token.take() {
            // One of before may be in the store.
            None if self.shared.figures().use_refresh_token => self.shared_refresh_token().await,
            own => own,
        };
        if let Some(token) = token {
            match self.request(Grant::Refresh(token.clone())).await {
                Ok(sent) => {
                    self.refresh_token = Some(token);
                    return Ok(sent);
                }
                // The endpoint asks for peace, which goes before haste. What it says of the refresh token says nothing of the grant that
                // is sent then.
                Err(error) if error.retry_after.is_some() => {
                    return Err(FetchError { class: Class::Transient, ..error });
                }
                Err(error) => {
                    let credential = &self.shared.settings.name;
                    tracing::info!(credential, code = %error.reason, error = %error.message, "refresh token failed");
                }
            }
            self.prolong_turn().await;
        }
        self.request(Grant::Configured).await
    }

    /// No two token requests are nearer to each other than this, whoever sends them.
    pub(super) async fn rest_for_the_floor(&self) {
        if let Some(last) = self.last_sent {
            self.shared.clock.sleep_until(last + self.floor).await;
        }
    }

    /// Somebody sent a token request.
    pub(super) fn note_sent(&mut self, at: Moment) {
        self.last_sent = self.last_sent.max(Some(at));
    }

    pub(super) async fn request(&mut self, grant: Grant) -> Result<Sent, FetchError> {
        self.rest_for_the_floor().await;
        self.ledger.spend(self.fleet.slot(), &self.shared.settings.name).await;
        let at = self.shared.clock.now();
        let wall = self.shared.clock.wall();
        self.last_sent = Some(at);
        let outcome = match caught(self.source.fetch(grant)).await {
            Some(outcome) => outcome,
            None => Err(self.panicked("the token request ended in a panic")),
        };
        self.publisher.count(outcome.as_ref().map(|_| ()), wall, self.shared.clock.now().since(at));
        outcome.map(|issued| Sent { issued, at, wall, is_own: true })
    }

    pub(super) async fn give_way(&mut self, error: &FetchError, asked_with: Option<Digest>) -> Next {
        let now = self.shared.clock.now();
        let circumstances = Circumstances {
            now,
            valid_until: self.shared.snapshot().fresh_token(now).map(|token| token.expires_at()),
            lockout: self.shared.figures().lockout,
            sample: fastrand::f64(),
        };
        let next = self.history.after_failure(error, circumstances);
        let next = self.no_sooner_than_the_floor(next);
        if next.watches_secrets() {
            self.refused = asked_with;
            self.record(error.reason, next).await;
        }
        self.publisher.failed(error, next);
        next
    }

    /// A retry as it will really happen, for the log and the status page: backoff's jitter may say almost nothing.
    fn no_sooner_than_the_floor(&self, next: Next) -> Next {
        match (next, self.last_sent) {
            (Next::Retry(at), Some(last)) => Next::Retry(at.max(last + self.floor)),
            _ => next,
        }
    }
}

pub(super) fn failure(class: Class, reason: Reason, why: &str) -> FetchError {
    let message = format!("{}: {why}", reason.title());
    FetchError { class, reason, status: None, retry_after: None, message }
}
