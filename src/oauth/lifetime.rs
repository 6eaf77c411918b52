//! How long a token lives: pure arithmetic over what the answer says.
//!
//! Owns the order of the sources (DESIGN section 4): `expires_in`, else an absolute time, else the token's own JWT
//! claims, else what the cookie says that carries it, else the configured default. A lifetime is only ever shortened: where the JWT ends earlier than the answer
//! says, the JWT is believed. What is null, not numeric, or not positive counts as absent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

/// The longest lifetime that is believed: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How far two clocks may be apart to be called the same.
const AGREEMENT: Duration = Duration::from_secs(5);

/// A number from here on is milliseconds since 1970 (as seconds it would be the year 5138).
const MILLISECONDS_FROM: f64 = 1e11;

/// A time before this (2001) is a mistake of who made the token: a duration, most likely.
const SINCE_2001: f64 = 1e9;

/// What an answer says about its token's life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sources {
    /// Seconds from now, positive.
    pub(super) expires_in: Option<f64>,
    /// Seconds since 1970.
    pub(super) expires_at: Option<f64>,
    pub(super) claims: Option<Claims>,
    /// Seconds that the token's cookie lives, positive.
    pub(super) cookie: Option<f64>,
}

/// The times in a JSON Web Token (RFC 7519 §4.1), seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Claims {
    pub(super) exp: f64,
    pub(super) iat: Option<f64>,
}

/// The wall clocks around one token request.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallTimes {
    /// Ours when the request was sent.
    pub(super) sent: SystemTime,
    /// Ours when the answer arrived.
    pub(super) arrived: SystemTime,
    /// The answer's `Date`.
    pub(super) date: Option<SystemTime>,
}

/// The lifetime from when the request was sent. `None` if the token has already expired, by a clock on which
/// both sides agree.
pub(super) fn lifetime(sources: &Sources, times: &WallTimes, default: Duration) -> Option<Duration> {
    let sent = since_1970(times.sent);
    let said = sources.expires_in.or_else(|| positive(sources.expires_at? - sent));
    let claimed = sources.claims.and_then(|claims| match claims.iat {
        // Both times come from one clock, so a wrong one of ours is harmless.
        Some(iat) => positive(claims.exp - iat),
        None => positive(claims.exp - sent),
    });
    let mut seconds = match (said, claimed, sources.claims) {
        (Some(said), Some(claimed), Some(Claims { iat: Some(_), .. })) => said.min(claimed),
        (Some(said), _, _) => said,
        (None, Some(claimed), _) => claimed,
        (None, None, _) => sources.cookie.unwrap_or(default.as_secs_f64()),
    };
    // Some endpoints hand out the same token until it expires; then `exp - iat` is more than what is left. Only a
    // clock that both sides share can tell that from a fresh token and a wrong clock.
    if let Some(claims) = sources.claims
        && claims.exp >= SINCE_2001
        && times.agree()
    {
        seconds = seconds.min(positive(claims.exp - sent)?);
    }
    Duration::try_from_secs_f64(seconds)
        .map_or(Some(LONGEST), |lifetime| Some(lifetime.clamp(Duration::from_millis(1), LONGEST)))
}

impl WallTimes {
    fn agree(&self) -> bool {
        self.date.is_some_and(|date| (since_1970(date) - since_1970(self.arrived)).abs() <= AGREEMENT.as_secs_f64())
    }
}

/// Seconds, as a number or as text that is one. Whether they make sense is not asked yet.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

/// What an `expires_in` says: seconds as a number or a numeric string, if positive.
pub(super) fn expires_in(value: &Value) -> Option<f64> {
    positive(number(value)?)
}

/// What an absolute time says, in seconds since 1970: RFC 3339, epoch seconds, or epoch milliseconds.
pub(super) fn expires_at(value: &Value) -> Option<f64> {
    if let Some(number) = number(value) {
        return positive(if number >= MILLISECONDS_FROM { number / 1000.0 } else { number });
    }
    let timestamp: jiff::Timestamp = value.as_str()?.trim().parse().ok()?;
    positive(timestamp.as_duration().as_secs_f64())
}

/// The times in a token, if it is a JSON Web Token that says when it ends. The signature is none of our business:
/// who issued the token may shorten its life.
pub(super) fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    let exp = positive(number(payload.get("exp")?)?)?;
    Some(Claims { exp, iat: payload.get("iat").and_then(number).and_then(positive) })
}

/// How long a cookie lives, in seconds: `Max-Age` goes before `Expires` (RFC 6265 §5.3), and that is a time of the server's clock.
pub(super) fn of_cookie(max_age: Option<i64>, expires: Option<SystemTime>, times: &WallTimes) -> Option<f64> {
    match (max_age, expires) {
        (Some(seconds), _) => positive(seconds as f64),
        (None, Some(at)) => positive(since_1970(at) - since_1970(times.date.unwrap_or(times.arrived))),
        (None, None) => None,
    }
}

fn positive(seconds: f64) -> Option<f64> {
    (seconds > 0.0).then_some(seconds)
}

fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_656_575_918;
    const DEFAULT: Duration = Duration::from_secs(3600);

    fn times() -> WallTimes {
        let sent = UNIX_EPOCH + Duration::from_secs(NOW);
        WallTimes { sent, arrived: sent, date: None }
    }

    fn jwt(payload: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
    }

    fn sources(answer: &Value, token: &str) -> Sources {
        Sources {
            expires_in: answer.get("expires_in").and_then(expires_in),
            expires_at: answer.get("expires_at").and_then(expires_at),
            claims: claims(token),
            cookie: None,
        }
    }

    fn check(answer: &Value, claims: &Value, wanted: f64) {
        let found = lifetime(&sources(answer, &jwt(claims)), &times(), DEFAULT).unwrap();
        assert!((found.as_secs_f64() - wanted).abs() < 1e-3, "{answer} with {claims} gave {found:?}");
    }

    #[test]
    fn expires_in_is_a_number_or_numeric_text_and_all_else_counts_as_absent() {
        let row = |value: Value, wanted: f64| check(&json!({ "expires_in": value }), &json!({}), wanted);
        row(json!(60), 60.0);
        row(json!("60"), 60.0);
        row(json!(" 60 "), 60.0);
        row(json!(3600.5), 3600.5);
        row(json!("3600.5"), 3600.5);
        row(json!(1e18), LONGEST.as_secs_f64());
        row(json!(1e300), LONGEST.as_secs_f64());
        row(json!(u64::MAX), LONGEST.as_secs_f64());
        row(json!(1e-300), 0.001);
        for absent in [json!(null), json!(0), json!(-1), json!("0"), json!("-1"), json!(true), json!("soon"), json!("")]
        {
            row(absent, 3600.0);
        }
        for absent in [json!("NaN"), json!("inf"), json!([60]), json!({ "a": 1 }), json!(-1e300)] {
            row(absent, 3600.0);
        }
        check(&json!({}), &json!({}), 3600.0);
    }

    #[test]
    fn a_cookie_says_how_long_it_lives_if_nothing_else_does() {
        let date = Some(UNIX_EPOCH + Duration::from_secs(NOW - 1000));
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(of_cookie(Some(90), at(NOW), &times()), Some(90.0));
        assert_eq!(of_cookie(None, at(NOW + 90), &times()), Some(90.0));
        assert_eq!(of_cookie(None, at(NOW - 910), &WallTimes { date, ..times() }), Some(90.0));
        assert_eq!(of_cookie(None, None, &times()), None);
        let with = |expires_in| Sources { expires_in, cookie: Some(90.0), ..Sources::default() };
        assert_eq!(lifetime(&with(None), &times(), DEFAULT), Some(Duration::from_secs(90)));
        assert_eq!(lifetime(&with(Some(30.0)), &times(), DEFAULT), Some(Duration::from_secs(30)));
    }

    #[test]
    fn an_absolute_time_counts_if_there_is_no_expires_in() {
        let row = |value: Value, wanted: f64| check(&json!({ "expires_at": value }), &json!({}), wanted);
        row(json!(NOW + 60), 60.0);
        row(json!((NOW + 60).to_string()), 60.0);
        row(json!((NOW + 60) * 1000 + 500), 60.5);
        row(json!("2022-06-30T07:59:38Z"), 60.0);
        row(json!("2022-06-30T09:59:38.250+02:00"), 60.25);
        for absent in [json!(NOW - 1), json!("2001-01-01T00:00:00Z"), json!("tomorrow"), json!(null), json!(-5)] {
            row(absent, 3600.0);
        }
        check(&json!({ "expires_in": 30, "expires_at": NOW + 60 }), &json!({}), 30.0);
        check(&json!({ "expires_in": null, "expires_at": NOW + 60 }), &json!({}), 60.0);
    }

    #[test]
    fn a_jwt_counts_by_its_own_clock_and_by_ours_only_without_iat() {
        check(&json!({}), &json!({ "exp": 1_656_576_038, "iat": 1_656_575_918 }), 120.0);
        check(&json!({}), &json!({ "exp": 1_656_576_038, "iat": 1_656_575_918, "token_type": "access" }), 120.0);
        check(&json!({}), &json!({ "exp": 1120, "iat": 1000 }), 120.0);
        check(&json!({}), &json!({ "exp": "1120", "iat": "1000" }), 120.0);
        check(&json!({}), &json!({ "exp": NOW + 90 }), 90.0);
        check(&json!({}), &json!({ "exp": NOW - 90 }), 3600.0);
        check(&json!({}), &json!({ "exp": 100, "iat": 100 }), 3600.0);
        check(&json!({}), &json!({ "exp": null }), 3600.0);
        check(&json!({}), &json!([1]), 3600.0);
    }

    #[test]
    fn a_jwt_shortens_what_the_answer_says_and_never_prolongs_it() {
        check(&json!({ "expires_in": 600 }), &json!({ "exp": 1120, "iat": 1000 }), 120.0);
        check(&json!({ "expires_in": 60 }), &json!({ "exp": 1120, "iat": 1000 }), 60.0);
        check(&json!({ "expires_at": NOW + 600 }), &json!({ "exp": 1120, "iat": 1000 }), 120.0);
        // Without `iat` it would be our wall clock against the server's word.
        check(&json!({ "expires_in": 600 }), &json!({ "exp": NOW + 5 }), 600.0);
    }

    #[test]
    fn a_token_issued_before_ends_when_it_says_if_both_clocks_agree() {
        let claims = Claims { exp: NOW as f64 + 20.0, iat: Some(NOW as f64 - 100.0) };
        let sources = Sources { claims: Some(claims), ..Sources::default() };
        let at = |date: Option<u64>| {
            let date = date.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            lifetime(&sources, &WallTimes { date, ..times() }, DEFAULT).map(|found| found.as_secs())
        };
        assert_eq!(at(Some(NOW)), Some(20));
        assert_eq!(at(Some(NOW + 2)), Some(20));
        assert_eq!(at(Some(NOW + 3600)), Some(120), "one of the clocks is wrong");
        assert_eq!(at(Some(NOW - 3600)), Some(120));
        assert_eq!(at(None), Some(120));
        let expired = Sources { claims: Some(Claims { exp: NOW as f64 - 1.0, ..claims }), ..Sources::default() };
        let same = WallTimes { date: Some(times().sent), ..times() };
        assert_eq!(lifetime(&expired, &same, DEFAULT), None);
        let duration = Sources { claims: Some(Claims { exp: 3600.0, iat: None }), ..Sources::default() };
        assert_eq!(lifetime(&duration, &same, DEFAULT), Some(DEFAULT), "an `exp` that is no time says nothing");
    }

    #[test]
    fn what_is_no_jwt_has_no_claims() {
        for token in ["", ".", "..", "a.b", "a.b.c", "a.e30.c", "a.e30.c.d.e", "sk-418e41", "a.W10.c", "..."] {
            assert_eq!(claims(token), None, "{token}");
        }
        let padded = format!("e30.{}==.s", URL_SAFE_NO_PAD.encode("{\"exp\":12}"));
        assert_eq!(claims(&padded), Some(Claims { exp: 12.0, iat: None }));
    }

    proptest! {
        #[test]
        fn a_lifetime_is_never_zero_nor_longer_than_ten_years(
            expires_in in proptest::option::of(any::<f64>()),
            expires_at in proptest::option::of(any::<f64>()),
            exp in any::<f64>(),
            iat in proptest::option::of(any::<f64>()),
            skew in any::<u32>(),
        ) {
            let value = |number: f64| Value::from(number);
            let sources = Sources {
                expires_in: expires_in.map(value).as_ref().and_then(super::expires_in),
                expires_at: expires_at.map(value).as_ref().and_then(super::expires_at),
                claims: claims(&jwt(&json!({ "exp": exp, "iat": iat }))),
                cookie: None,
            };
            let date = Some(UNIX_EPOCH + Duration::from_secs(skew.into()));
            if let Some(found) = lifetime(&sources, &WallTimes { date, ..times() }, DEFAULT) {
                prop_assert!(found > Duration::ZERO && found <= LONGEST);
                if let Some(said) = sources.expires_in {
                    prop_assert!(found.as_secs_f64() <= said.max(0.001) + 1e-6, "but for the rounding to nanoseconds");
                }
            }
        }
    }
}
