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
/// How often a waiting or latched credential looks whether its secrets have changed. Commands are not run that often:
/// [`crate::secret::Command::REST`].
const SECRET_POLL: Duration = Duration::from_secs(2);
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
    /// Answers 5xx and the like to a credential whose wrong tries may lock an account.
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

/// A [`History`] without moments, which mean something on one machine alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) transient: u32,
    pub(crate) server_errors: u32,
    pub(crate) refusals: u32,
    pub(crate) hidden: u32,
    /// For how long it has been refused for good.
    pub(crate) permanent_for: Option<Duration>,
    /// The last class that was more than transient.
    pub(crate) kept: Option<Class>,
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

    /// As it is told to others at `now`.
    pub(crate) fn told(&self, now: Moment) -> Past {
        Past {
            transient: self.transient,
            server_errors: self.server_errors,
            refusals: self.refusals,
            hidden: self.hidden,
            permanent_for: self.permanent_since.map(|since| now.since(since)),
            kept: self.kept,
        }
    }

    /// As it was heard of at `now`.
    pub(crate) fn heard(past: Past, now: Moment) -> Self {
        Self {
            transient: past.transient,
            server_errors: past.server_errors,
            refusals: past.refusals,
            permanent_since: past.permanent_for.map(|time| now - time),
            hidden: past.hidden,
            kept: past.kept,
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
            Class::Transient if at.lockout && may_count_tries(error) => {
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

/// Whether each try may cost something, though the answer says nothing of that. Some servers say a wrong password with a 500, others with a
/// 200; a 429 may come of too many tries, unless it says when the next one is welcome.
fn may_count_tries(error: &FetchError) -> bool {
    error.status.is_some_and(|status| match status {
        StatusCode::TOO_MANY_REQUESTS => error.retry_after.is_none(),
        status => status.is_server_error() || status.is_success(),
    })
}

/// How long it takes to look whether refused secrets have changed, after so many changes in a row that cured nothing. A few are a person
/// who tries; more are a command that prints something else each time, and each would be another wrong try.
pub(crate) fn secret_poll(changed_in_vain: u32) -> Duration {
    const TRIES: u32 = 3;
    changed_in_vain.checked_sub(TRIES).map_or(SECRET_POLL, |more| doubling(Duration::from_secs(60), more, TEN_MINUTES))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at(now: u64) -> Circumstances {
        Circumstances { now: Moment::ORIGIN + seconds(now), valid_until: None, lockout: false, sample: 1.0 }
    }

    fn error(class: Class, status: u16) -> FetchError {
        let status = StatusCode::from_u16(status).ok();
        FetchError {
            class,
            reason: crate::reason::Reason::TokenRefused,
            status,
            retry_after: None,
            message: String::new(),
        }
    }

    fn wait(next: Next, now: u64) -> Option<Duration> {
        next.due().map(|due| due.since(Moment::ORIGIN + seconds(now)))
    }

    #[test]
    fn a_token_is_renewed_before_its_early_point_and_after_half_of_its_life() {
        let check = |lifetime, early, first: f64, last: f64| {
            let renewed = |sample| renew_after(seconds(lifetime), early, sample).as_secs_f64();
            assert!((renewed(0.0) - first).abs() < 1e-6, "{lifetime} s, {early:?}: first {}", renewed(0.0));
            assert!((renewed(1.0) - last).abs() < 1e-6, "{lifetime} s, {early:?}: last {}", renewed(1.0));
        };
        check(5, Early::Default, 2.75, 4.0);
        check(60, Early::Default, 33.0, 48.0);
        check(3600, Early::Default, 2520.0, 2880.0);
        // A day: an hour before the end, spread over a tenth.
        check(86_400, Early::Default, 74_160.0, 82_800.0);
        check(100, Early::Share(0.1), 75.0, 90.0);
        check(100, Early::Fixed(seconds(30)), 55.0, 70.0);
        check(100, Early::Share(0.0), 85.0, 100.0);
        // More than half is half; then the spread goes on after it.
        check(100, Early::Share(0.9), 50.0, 60.0);
        check(100, Early::Fixed(seconds(500)), 50.0, 60.0);
    }

    #[test]
    fn the_last_seconds_of_a_token_that_came_before_are_waited_for() {
        let asked_again = |left| ask_again_after(Duration::from_millis(left), Early::Default, 1.0).as_millis();
        assert_eq!([0, 1, 4999].map(asked_again), [0, 1, 4999]);
        assert_eq!([5000, 60_000].map(asked_again), [4000, 48_000]);
        let are_short = [0, 9999, 10_000, 60_000].map(|life| is_short(Duration::from_millis(life)));
        assert_eq!(are_short, [true, true, false, false]);
    }

    #[test]
    fn an_hour_before_the_end_is_early_enough_for_the_longest_life() {
        let renewed = renew_after(LONGEST_LIFE, Early::Default, 1.0);
        assert_eq!(renewed, LONGEST_LIFE - seconds(3600));
    }

    #[test]
    fn the_floor_grows_with_short_lives_but_never_past_their_renewal() {
        let check = |lifetime, short_lives, wanted| {
            let floor = floor_after(Duration::from_millis(lifetime), short_lives);
            assert_eq!(floor, Duration::from_millis(wanted), "{lifetime} ms, {short_lives} before");
        };
        check(3_600_000, 0, 1000);
        check(9000, 0, 1000);
        check(9000, 1, 2000);
        check(9000, 9, 4500);
        check(5000, 9, 2500);
        check(2000, 9, 1000);
        check(1000, 0, 1000);
        check(1000, 1, 2000);
        check(1000, 9, 10_000);
        check(1, u32::MAX, 10_000);
    }

    #[test]
    fn transient_failures_back_off_to_4_s_without_a_token_and_to_30_s_with_one() {
        let check = |valid_for: Option<u64>, tries: usize, wanted| {
            let valid_until = valid_for.map(|left| Moment::ORIGIN + seconds(100 + left));
            let mut history = History::default();
            let mut next = Next::Latched;
            for _ in 0..tries {
                let circumstances = Circumstances { valid_until, ..at(100) };
                next = history.after_failure(&error(Class::Transient, 503), circumstances);
            }
            assert_eq!(wait(next, 100), Some(seconds(wanted)), "valid for {valid_for:?}, {tries} tries");
        };
        check(None, 1, 1);
        check(None, 2, 2);
        check(None, 3, 4);
        check(None, 50, 4);
        check(Some(1000), 3, 4);
        check(Some(1000), 5, 16);
        check(Some(1000), 50, 30);
        // The end of the token cuts the wait: four seconds after it, not thirty.
        check(Some(10), 50, 14);
    }

    #[test]
    fn retry_after_is_obeyed_up_to_five_minutes() {
        let check = |class, status, asked, wanted| {
            let error = FetchError { retry_after: Some(seconds(asked)), ..error(class, status) };
            let next = History::default().after_failure(&error, at(0));
            assert_eq!(wait(next, 0), Some(seconds(wanted)), "{class:?} {status} Retry-After {asked}");
        };
        check(Class::Transient, 503, 20, 20);
        check(Class::Transient, 429, 300, 300);
        check(Class::Transient, 429, 315_360_000, 300);
        check(Class::Refused, 403, 5, 30);
        check(Class::Refused, 403, 100, 100);
        check(Class::Permanent, 401, 100, 100);
        let welcome = FetchError { retry_after: Some(seconds(3)), ..error(Class::Transient, 429) };
        let next = History::default().after_failure(&welcome, Circumstances { lockout: true, ..at(0) });
        assert_eq!(wait(next, 0), Some(seconds(3)), "who says when does not count tries");
    }

    #[test]
    fn retry_after_is_obeyed_while_there_is_a_token_too() {
        let error = FetchError { retry_after: Some(seconds(20)), ..error(Class::Transient, 503) };
        let valid_until = Some(Moment::ORIGIN + seconds(1000));
        let next = History::default().after_failure(&error, Circumstances { valid_until, ..at(0) });
        assert_eq!(next, Next::Retry(Moment::ORIGIN + seconds(20)));
    }

    #[test]
    fn a_history_is_told_to_others_without_moments_and_heard_on_another_clock() {
        let mut history = History::default();
        history.after_failure(&error(Class::Permanent, 401), at(100));
        let heard = History::heard(history.told(Moment::ORIGIN + seconds(140)), Moment::ORIGIN + seconds(7_000));
        assert_eq!(heard.permanent_since, Some(Moment::ORIGIN + seconds(6_960)));
        let back = heard.told(Moment::ORIGIN + seconds(7_000));
        assert_eq!(back.permanent_for, Some(seconds(40)));
    }

    #[test]
    fn what_was_refused_before_a_restart_hides_behind_a_429_as_it_did() {
        let follows = |refusals, permanent| {
            let due = Moment::ORIGIN + seconds(100);
            let mut history = History::restored(refusals, 0, permanent, due);
            history.after_failure(&error(Class::Transient, 429), Circumstances { lockout: true, ..at(100) })
        };
        let in_an_hour = Moment::ORIGIN + seconds(3_700);
        assert_eq!(follows(2, false), Next::Held(in_an_hour), "refused");
        assert_eq!(follows(0, false), Next::Held(Moment::ORIGIN + seconds(110)), "nothing was");
        assert!(matches!(follows(0, true), Next::Confirm(_)), "for good");
    }

    #[test]
    fn after_a_restart_each_class_goes_on_where_it_was() {
        let follows = |(refusals, server_errors, permanent), class, status| {
            let mut history = History::restored(refusals, server_errors, permanent, Moment::ORIGIN + seconds(100));
            history.after_failure(&error(class, status), Circumstances { lockout: true, ..at(100) })
        };
        let held = |wait: u64| Next::Held(Moment::ORIGIN + seconds(100 + wait));
        assert_eq!(follows((0, 2, false), Class::Transient, 500), held(40));
        assert_eq!(follows((1, 0, false), Class::Refused, 403), held(3_600));
        assert_eq!(follows((0, 0, true), Class::Permanent, 401), Next::Latched);
    }

    #[test]
    fn refusals_wait_longer_each_time() {
        let check = |lockout, class, status, wanted: &[u64]| {
            let mut history = History::default();
            for (tries, wanted) in wanted.iter().enumerate() {
                let next = history.after_failure(&error(class, status), Circumstances { lockout, ..at(0) });
                assert_eq!(next, Next::Held(Moment::ORIGIN + seconds(*wanted)), "{class:?} {status}, {tries} before");
            }
        };
        check(false, Class::Refused, 403, &[30, 60, 120, 240, 480, 600, 600]);
        check(true, Class::Refused, 403, &[60, 3600, 3600]);
        check(false, Class::Refused, 407, &[60, 3600, 3600]);
        check(true, Class::Transient, 500, &[10, 20, 40, 80, 160, 320, 600, 600]);
        check(true, Class::Transient, 429, &[10, 20, 40, 80, 160, 320, 600, 600]);
    }

    #[test]
    fn a_server_error_without_an_answer_or_an_account_at_stake_is_only_transient() {
        let check = |lockout, status| {
            let next =
                History::default().after_failure(&error(Class::Transient, status), Circumstances { lockout, ..at(0) });
            assert!(matches!(next, Next::Retry(_)), "lockout {lockout}, status {status}: {next:?}");
        };
        check(false, 500);
        check(false, 429);
        check(true, 0);
        check(true, 408);
    }

    #[test]
    fn a_permanent_refusal_latches_when_confirmed_a_minute_later() {
        let mut history = History::default();
        let permanent = error(Class::Permanent, 401);
        assert_eq!(history.after_failure(&permanent, at(5)), Next::Confirm(Moment::ORIGIN + seconds(65)));
        // Somebody insisted in between: that confirms nothing and delays nothing.
        assert_eq!(history.after_failure(&permanent, at(25)), Next::Confirm(Moment::ORIGIN + seconds(65)));
        assert_eq!(history.after_failure(&permanent, at(65)), Next::Latched);
        assert_eq!(history.after_failure(&permanent, at(66)), Next::Latched);
    }

    #[test]
    fn an_outage_between_refusal_and_confirmation_does_not_start_them_over() {
        let mut history = History::default();
        history.after_failure(&error(Class::Permanent, 401), at(0));
        assert!(matches!(history.after_failure(&error(Class::Transient, 0), at(60)), Next::Retry(_)));
        assert_eq!(history.after_failure(&error(Class::Permanent, 401), at(62)), Next::Latched);
    }

    #[test]
    fn a_429_hides_a_terminal_error_so_the_earlier_class_is_kept() {
        let check = |before, wanted: Next| {
            let mut history = History::default();
            history.after_failure(&error(before, 401), Circumstances { lockout: true, ..at(0) });
            let next = history.after_failure(&error(Class::Transient, 429), Circumstances { lockout: true, ..at(60) });
            assert_eq!(next, wanted, "after {before:?}");
        };
        check(Class::Permanent, Next::Confirm(Moment::ORIGIN + seconds(120)));
        check(Class::Refused, Next::Held(Moment::ORIGIN + seconds(3660)));
        check(Class::Transient, Next::Held(Moment::ORIGIN + seconds(70)));
    }

    fn any_early() -> impl Strategy<Value = Early> {
        prop_oneof![
            Just(Early::Default),
            (0.0..1.0f64).prop_map(Early::Share),
            (0u64..100_000).prop_map(|s| Early::Fixed(seconds(s))),
        ]
    }

    proptest! {
        #[test]
        fn renewal_lies_between_half_of_the_life_and_its_end(
            millis in 1u64..400_000_000_000, early in any_early(), sample in 0.0..1.0f64
        ) {
            let lifetime = Duration::from_millis(millis);
            let renewed = renew_after(lifetime, early, sample);
            prop_assert!(renewed >= lifetime / 2 && renewed <= lifetime);
        }

        #[test]
        fn renewals_spread_over_at_least_a_tenth_of_the_life(millis in 1u64..400_000_000_000, early in any_early()) {
            let lifetime = Duration::from_millis(millis);
            let spread = renew_after(lifetime, early, 1.0) - renew_after(lifetime, early, 0.0);
            prop_assert!(spread + Duration::from_micros(1) >= lifetime / 10, "{spread:?} of {lifetime:?}");
        }

        #[test]
        fn the_early_point_is_kept_up_to_two_fifths(millis in 1u64..400_000_000_000, share in 0.0..0.4f64, sample in 0.0..1.0f64) {
            let lifetime = Duration::from_millis(millis);
            let left = lifetime - renew_after(lifetime, Early::Share(share), sample);
            prop_assert!(left + Duration::from_micros(1) >= lifetime.mul_f64(share));
        }

        #[test]
        fn the_floor_is_never_under_a_second(millis in 1u64..400_000_000_000, short_lives in any::<u32>()) {
            prop_assert!(floor_after(Duration::from_millis(millis), short_lives) >= FLOOR);
        }

        #[test]
        fn no_failure_waits_longer_than_an_hour(
            failures in proptest::collection::vec((0u8..3, 0u16..600, any::<Option<u64>>()), 1..40), lockout in any::<bool>()
        ) {
            let mut history = History::default();
            for (class, status, asked) in failures {
                let class = [Class::Transient, Class::Refused, Class::Permanent][usize::from(class)];
                let error = FetchError { retry_after: asked.map(Duration::from_secs), ..error(class, status) };
                let next = history.after_failure(&error, Circumstances { lockout, ..at(1000) });
                prop_assert!(wait(next, 1000).is_none_or(|wait| wait <= HOUR));
            }
        }
    }
}
