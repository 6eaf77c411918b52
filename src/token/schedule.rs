//! When to ask for the next token: pure functions, no clock, no randomness, no I/O.
//!
//! Owns every figure of DESIGN section 4: the renewal point and its jitter, the floor between token requests, and
//! what follows on each class of failure.

use std::time::Duration;

use http::StatusCode;

use super::settings::Early;
use crate::backoff::{doubling, full_jitter};
use crate::clock::Moment;
use crate::oauth::{Class, FetchError};

/// The least time between two token requests of one credential, from sending to sending.
pub(crate) const FLOOR: Duration = Duration::from_secs(1);
/// Longer lives are cut to this: an endpoint that says 10^18 seconds must not overflow anything.
pub(crate) const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How often a waiting or latched credential looks whether its secrets have changed.
pub(crate) const SECRET_POLL: Duration = Duration::from_secs(2);
/// A changed secret must stay the same for so long: a file that is being written is not a new secret.
pub(crate) const SECRET_SETTLES: Duration = Duration::from_millis(500);
/// A permanent refusal is confirmed this much later: servers need time to learn a new secret.
pub(crate) const CONFIRM_AFTER: Duration = Duration::from_secs(60);

const SHORT_LIFE: Duration = Duration::from_secs(10);
const LONGEST_FLOOR: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_WITH_TOKEN: Duration = Duration::from_secs(30);
const BACKOFF_WITHOUT_TOKEN: Duration = Duration::from_secs(4);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);
const HOUR: Duration = Duration::from_secs(3600);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// What the refresher does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is a token: renew it then, or sooner if somebody needs it.
    Renew(Moment),
    /// The failure passes by itself: try again then.
    Retry(Moment),
    /// Each try may cost something: try again then, or when a secret changes.
    Held(Moment),
    /// Refused for good, so it seems: ask once more then, to be sure.
    Confirm(Moment),
    /// Refused for good: try again only when a secret changes or a person says so.
    Latched,
}

impl Next {
    /// When, unless something else happens first.
    pub(crate) fn due(self) -> Option<Moment> {
        match self {
            Self::Renew(at) | Self::Retry(at) | Self::Held(at) | Self::Confirm(at) => Some(at),
            Self::Latched => None,
        }
    }

    /// Whether a changed secret ends the wait.
    pub(crate) fn watches_secrets(self) -> bool {
        matches!(self, Self::Held(_) | Self::Confirm(_) | Self::Latched)
    }
}

/// When to renew a token, counted from when its request was sent.
///
/// Between half of the lifetime and the `early` point. The spread is a tenth of the lifetime, and more for short
/// lives, so that a fleet that started in one second does not renew in one second. Where `early` leaves less than
/// a tenth after the half (above 40 %), the spread goes on past it: asking twice per lifetime is enough.
pub(crate) fn renew_after(lifetime: Duration, early: Early, sample: f64) -> Duration {
    let half = lifetime / 2;
    let tenth = lifetime / 10;
    let margin = match early {
        Early::Default => (lifetime / 5).min(HOUR),
        Early::Share(share) => lifetime.mul_f64(share.clamp(0.0, 1.0)),
        Early::Fixed(time) => time,
    };
    let latest = lifetime.saturating_sub(margin).max(half + tenth);
    let spread = tenth.max((lifetime / 4).min(Duration::from_secs(15)));
    let earliest = latest.saturating_sub(spread).max(half);
    earliest + (latest - earliest).mul_f64(sample.clamp(0.0, 1.0))
}

/// When to ask again after the endpoint handed out the token that we already had, with `remaining` left of it: like a
/// renewal of what is left, but not at all in the last seconds, where only its end brings another.
pub(crate) fn ask_again_after(remaining: Duration, early: Early, sample: f64) -> Duration {
    if remaining < Duration::from_secs(5) { remaining } else { renew_after(remaining, early, sample) }
}

/// The time between two token requests, after `short_lives` tokens in a row that lived under ten seconds, the last of
/// them for `lifetime`. It grows, but never so that a token which can be renewed in time is not.
pub(crate) fn floor_after(lifetime: Duration, short_lives: u32) -> Duration {
    let grown = doubling(FLOOR, short_lives, LONGEST_FLOOR);
    // A token that lives less than two floors cannot be renewed in time anyway.
    if lifetime < FLOOR * 2 { grown } else { grown.min(lifetime / 2).max(FLOOR) }
}

/// Whether a life counts as short for [`floor_after`].
pub(crate) fn is_short(lifetime: Duration) -> bool {
    lifetime < SHORT_LIFE
}

/// What went wrong since the last token, as far as it decides when to ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// Failures that pass by themselves.
    pub(crate) transient: u32,
    /// Answers 5xx to a credential whose wrong tries may lock an account.
    pub(crate) server_errors: u32,
    /// Refusals of unknown cause.
    pub(crate) refusals: u32,
    /// When it was first refused for good.
    pub(crate) permanent_since: Option<Moment>,
    /// How often a 429 hid what the endpoint would have said.
    pub(crate) hidden: u32,
    /// The last class that was more than transient.
    kept: Option<Class>,
}

/// What besides the failure itself decides when to try again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// When the failure was known.
    pub(crate) now: Moment,
    /// When the current token ends, if there is one.
    pub(crate) valid_until: Option<Moment>,
    /// Whether a wrong try may lock an account.
    pub(crate) lockout: bool,
    /// Randomness, 0 to 1.
    pub(crate) sample: f64,
}

impl History {
    /// A history as it was before a restart, of a credential that asks again at `due`.
    pub(crate) fn restored(refusals: u32, server_errors: u32, permanent: bool, due: Moment) -> Self {
        Self {
            refusals,
            server_errors,
            // The next refusal for good is then its confirmation.
            permanent_since: permanent.then(|| due - CONFIRM_AFTER),
            kept: permanent.then_some(Class::Permanent).or((refusals > 0).then_some(Class::Refused)),
            ..Self::default()
        }
    }

    /// Adds a failure and says what follows on it.
    pub(crate) fn after_failure(&mut self, error: &FetchError, at: Circumstances) -> Next {
        let asked = error.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        let hidden = error.status == Some(StatusCode::TOO_MANY_REQUESTS);
        // A 429 hides a terminal error, so the earlier class stays (RELIABILITY T25).
        let class = if hidden { self.kept.unwrap_or(error.class) } else { error.class };
        match class {
            Class::Permanent => self.after_permanent(hidden, asked, at.now),
            Class::Refused => {
                self.kept = Some(Class::Refused);
                let lockout = at.lockout || error.status == Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
                let wait = refused_wait(self.refusals, lockout);
                self.refusals = self.refusals.saturating_add(1);
                Next::Held(at.now + wait.max(asked))
            }
            Class::Transient if at.lockout && error.status.is_some_and(|status| status.is_server_error()) => {
                let wait = doubling(Duration::from_secs(10), self.server_errors, TEN_MINUTES);
                self.server_errors = self.server_errors.saturating_add(1);
                Next::Held(at.now + wait.max(asked))
            }
            Class::Transient => {
                let tries = self.transient;
                self.transient = tries.saturating_add(1);
                Next::Retry(backoff(tries, asked, at))
            }
        }
    }

    fn after_permanent(&mut self, hidden: bool, asked: Duration, now: Moment) -> Next {
        self.kept = Some(Class::Permanent);
        let first = *self.permanent_since.get_or_insert(now);
        if hidden {
            let wait = doubling(CONFIRM_AFTER, self.hidden, HOUR);
            self.hidden = self.hidden.saturating_add(1);
            return Next::Confirm(now + wait.max(asked));
        }
        if now.since(first) >= CONFIRM_AFTER {
            return Next::Latched;
        }
        Next::Confirm((first + CONFIRM_AFTER).max(now + asked))
    }
}

fn refused_wait(before: u32, lockout: bool) -> Duration {
    match (lockout, before) {
        (true, 0) => Duration::from_secs(60),
        (true, _) => HOUR,
        (false, _) => doubling(Duration::from_secs(30), before, TEN_MINUTES),
    }
}

/// The end of a token makes failures urgent, so a long wait that began while it was valid is cut there.
fn backoff(tries: u32, asked: Duration, at: Circumstances) -> Moment {
    let Some(end) = at.valid_until.filter(|end| *end > at.now) else {
        return at.now + full_jitter(FIRST_BACKOFF, tries, BACKOFF_WITHOUT_TOKEN, at.sample).max(asked);
    };
    let wait = full_jitter(FIRST_BACKOFF, tries, BACKOFF_WITH_TOKEN, at.sample);
    let after_end = full_jitter(FIRST_BACKOFF, tries, BACKOFF_WITHOUT_TOKEN, at.sample);
    (at.now + wait).min(end + after_end).max(at.now + asked)
}
