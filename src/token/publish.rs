//! The write half: every change of a credential's state, with its metrics and its log line.
//!
//! Owns the only way to replace the snapshot; there is one publisher per credential. One line per token event, and
//! of equal failures in a row the first, then fewer and fewer with their number. Nothing here decides anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::AccessToken;
use super::schedule::Next;
use super::shared::{Failure, Phase, Shared};
use crate::clock::Moment;
use crate::log::Intervals;
use crate::oauth::{Class, FetchError};
use crate::reason::Reason;
use crate::traces::{self, TokenRequest};

/// The only writer of a credential's state. Dropping it tells all readers that no token will come.
#[derive(Debug)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
    complaint: Option<Complaint>,
    outage: Option<Outage>,
    traces: traces::Current,
}

/// The last failure that was logged.
#[derive(Debug)]
struct Complaint {
    reason: Reason,
    message: String,
    logged_at: Moment,
    /// How long nothing more is said of it.
    quiet: Intervals,
    silent: u32,
}

/// Failures since the last token.
#[derive(Debug)]
struct Outage {
    began: Moment,
    failures: u32,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, complaint: None, outage: None, traces: traces::Current::default() }
    }

    /// Token requests are recorded there.
    pub(super) fn record_to(&mut self, traces: traces::Current) {
        self.traces = traces;
    }

    /// A token request begins.
    pub(super) fn asking(&self) {
        self.set_phase(Phase::Asking);
    }

    /// A token request that `began` then ended, well or badly, after `took`.
    pub(super) fn count(&self, outcome: Result<(), &FetchError>, began: SystemTime, took: Duration) {
        let metrics = &self.shared.metrics;
        metrics.request_duration.observe(took.as_secs_f64());
        let (counter, word) = match outcome.map_err(|error| error.class) {
            Ok(()) => (&metrics.success, "success"),
            Err(Class::Transient) => (&metrics.transient, "transient"),
            Err(Class::Refused) => (&metrics.refused, "refused"),
            Err(Class::Permanent) => (&metrics.permanent, "permanent"),
        };
        counter.inc();
        self.traces.token_request(&TokenRequest {
            credential: &self.shared.settings.name,
            began,
            took,
            outcome: word,
            failure: outcome.err().map(|error| error.reason),
            status: outcome.err().and_then(|error| error.status).map(|status| status.as_u16()),
        });
    }

    /// There is a token: another one, or the same with its lifetime as the endpoint sees it now.
    pub(super) fn issued(&mut self, token: AccessToken, lifetime: Duration, renew_at: Moment, is_own: bool) {
        let now = self.shared.clock.now();
        let again = self.shared.snapshot().generation() == token.generation();
        let credential = &self.shared.settings.name;
        let outage = self.outage.take();
        tracing::info!(
            credential,
            generation = token.generation(),
            lifetime = %readable(lifetime),
            renews_in = %readable(renew_at.since(now)),
            after_failures = outage.as_ref().map(|outage| outage.failures),
            failing_for = outage.as_ref().map(|outage| readable(now.since(outage.began))).map(tracing::field::display),
            "{}", what_came(again, is_own)
        );
        let metrics = &self.shared.metrics;
        metrics.expiry.set(epoch_seconds(token.expires_wall));
        metrics.last_success.set(epoch_seconds(self.shared.clock.wall()));
        metrics.valid.set(i64::from(now < token.expires_at()));
        metrics.latched.set(0);
        self.complaint = None;
        self.shared.expiry_noticed.store(false, Ordering::Release);
        self.shared.replace(|snapshot| {
            snapshot.token = Some(Arc::new(token));
            snapshot.phase = Phase::Resting(renew_at);
            snapshot.settled += 1;
            snapshot.settled_once = true;
            snapshot.failure = None;
            snapshot.last_success = Some(now);
        });
    }

    /// The token that there is will be renewed at another time. Returns whether there is one.
    pub(super) fn rests(&self, renew_at: Moment) -> bool {
        let is_resting = matches!(self.shared.snapshot().phase, Phase::Resting(_) | Phase::Asking);
        if is_resting {
            self.set_phase(Phase::Resting(renew_at));
        }
        is_resting
    }

    /// Asking brought no token; `next` is what follows. The old token stays until it expires.
    pub(super) fn failed(&mut self, error: &FetchError, next: Next) {
        self.log_failure(error, next);
        self.shared.metrics.latched.set(i64::from(next == Next::Latched));
        self.shared.metrics.last_failure.set(epoch_seconds(self.shared.clock.wall()));
        let failure = Failure { reason: error.reason, message: error.message.clone() };
        self.shared.replace(|snapshot| {
            snapshot.phase = next.into();
            snapshot.settled += 1;
            snapshot.settled_once = true;
            snapshot.failure = Some(failure);
        });
    }

    /// An earlier run was refused, and what it was refused with has not changed.
    pub(super) fn restored(&self, reason: Reason, next: Next) {
        let name = &self.shared.settings.name;
        let cure = cure(next, self.shared.clock.now(), name);
        tracing::warn!(credential = name, code = %reason, "{reason} {name}: {} before the restart; {cure}", reason.title());
        self.shared.metrics.latched.set(i64::from(next == Next::Latched));
        let message = format!("{} before the restart", reason.title());
        self.shared.replace(|snapshot| {
            snapshot.phase = next.into();
            snapshot.settled_once = true;
            snapshot.failure = Some(Failure { reason, message });
        });
    }

    fn set_phase(&self, phase: Phase) {
        self.shared.replace(|snapshot| snapshot.phase = phase);
    }

    fn log_failure(&mut self, error: &FetchError, next: Next) {
        let now = self.shared.clock.now();
        let name = &self.shared.settings.name;
        let same = |last: &&mut Complaint| last.reason == error.reason && last.message == error.message;
        self.outage.get_or_insert(Outage { began: now, failures: 0 }).failures += 1;
        let (mut repeated, mut quiet) = (String::new(), Intervals::FIRST);
        if let Some(last) = self.complaint.as_mut().filter(same) {
            // The latch is news even if the words are the same.
            if now.since(last.logged_at) < last.quiet.length() && next != Next::Latched {
                last.silent += 1;
                return;
            }
            quiet = last.quiet.grown();
            repeated = format!(" ({} times since)", last.silent + 1);
        }
        let code = error.reason;
        let cure = cure(next, now, name);
        let serves = self.shared.snapshot().fresh_token(now).map_or_else(String::new, |token| {
            format!("; the current token serves for another {}", readable(token.expires_at().since(now)))
        });
        tracing::warn!(credential = name, %code, "{code} {name}: {}{repeated}; {cure}{serves}", error.message);
        let (reason, message) = (error.reason, error.message.clone());
        self.complaint = Some(Complaint { reason, message, logged_at: now, quiet, silent: 0 });
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.set_phase(Phase::Stopped);
    }
}

/// When the end of the token has to be noticed; `None` if it has been, or there is no token.
pub(super) fn unnoticed_expiry(shared: &Shared) -> Option<Moment> {
    let noticed = shared.expiry_noticed.load(Ordering::Acquire);
    shared.snapshot().token.as_ref().filter(|_| !noticed).map(|token| token.expires_at())
}

/// Says once that the token has expired, if it has.
pub(super) fn notice_expiry(shared: &Shared) {
    let expired = unnoticed_expiry(shared).is_some_and(|end| end <= shared.clock.now());
    if !expired || shared.expiry_noticed.swap(true, Ordering::AcqRel) {
        return;
    }
    let credential = &shared.settings.name;
    tracing::warn!(credential, "token has expired before another could be had");
    shared.metrics.valid.set(0);
    shared.metrics.expiry.set(0.0);
    shared.bell.send_replace(());
}

/// [`notice_expiry`] at the very time, while something else goes on.
pub(super) async fn notice_expiry_in_time(shared: &Shared) -> Infallible {
    if let Some(end) = unnoticed_expiry(shared) {
        shared.clock.sleep_until(end).await;
        notice_expiry(shared);
    }
    std::future::pending().await
}

/// Says that a new token was rejected like the one before, and what follows.
pub(super) fn report_useless_token(name: &str, width: Duration) {
    let reason = Reason::TokenNotAccepted;
    tracing::warn!(
        credential = name, code = %reason,
        "{reason} {name}: {}; for the next {} such answers pass without asking for a token",
        reason.title(), readable(width)
    );
}

fn what_came(again: bool, is_own: bool) -> &'static str {
    match (again, is_own) {
        (false, true) => "token issued",
        (true, true) => "token endpoint handed out the same token again",
        (_, false) => "token taken from the token store",
    }
}

fn cure(next: Next, now: Moment, name: &str) -> String {
    match next {
        Next::Renew(at) | Next::Retry(at) => format!("trying again in {}", readable(at.since(now))),
        Next::Held(at) => format!(
            "not tried again for {}, unless the configuration or a secret changes, or: bearerd retry {name}",
            readable(at.since(now))
        ),
        Next::Confirm(at) => format!(
            "tried once more in {} to be sure, sooner if the configuration or a secret changes, or: bearerd retry {name}",
            readable(at.since(now))
        ),
        Next::Latched => {
            format!("not tried again until the configuration or a secret changes, or: bearerd retry {name}")
        }
    }
}

/// Whole seconds, or milliseconds below one.
fn readable(time: Duration) -> humantime::FormattedDuration {
    let exact = if time < Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(0))
    } else {
        Duration::from_secs(time.as_secs())
    };
    humantime::format_duration(exact)
}

fn epoch_seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
