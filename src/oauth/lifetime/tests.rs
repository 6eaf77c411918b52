//! Lifetimes, in tables.

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

fn lasts(sources: &Sources, times: &WallTimes) -> Option<Duration> {
    lifetime(sources, times, DEFAULT).map(|life| life.lasts)
}

fn check(answer: &Value, claims: &Value, wanted: f64) {
    let found = lasts(&sources(answer, &jwt(claims)), &times()).unwrap();
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
    // Ten years.
    row(json!(1e18), 315_360_000.0);
    row(json!(1e300), LONGEST.as_secs_f64());
    row(json!(u64::MAX), LONGEST.as_secs_f64());
    row(json!(1e-300), 0.001);
    for absent in [json!(null), json!(0), json!(-1), json!("0"), json!("-1"), json!(true), json!("soon"), json!("")] {
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
    assert_eq!(lasts(&with(None), &times()), Some(Duration::from_secs(90)));
    assert_eq!(lasts(&with(Some(30.0)), &times()), Some(Duration::from_secs(30)));
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
        lasts(&sources, &WallTimes { date, ..times() }).map(|found| found.as_secs())
    };
    assert_eq!(at(Some(NOW)), Some(20));
    assert_eq!(at(Some(NOW + 2)), Some(20));
    assert_eq!(at(Some(NOW + 3600)), Some(120), "one of the clocks is wrong");
    assert_eq!(at(Some(NOW - 3600)), Some(120));
    assert_eq!(at(None), Some(120));
    let expired = Sources { claims: Some(Claims { exp: NOW as f64 - 1.0, ..claims }), ..Sources::default() };
    let same = WallTimes { date: Some(times().sent), ..times() };
    assert_eq!(lasts(&expired, &same), None);
    let duration = Sources { claims: Some(Claims { exp: 3600.0, iat: None }), ..Sources::default() };
    assert_eq!(lasts(&duration, &same), Some(DEFAULT), "an `exp` that is no time says nothing");
}

/// `seconds` by our clock, which the server's is `ahead` of: as an absolute time of the answer and as a JWT's.
fn check_absolute(seconds: i64, ahead: i64, wanted: Option<u64>) {
    let at = |seconds: i64| u64::try_from(NOW as i64 + seconds).unwrap();
    let date = Some(UNIX_EPOCH + Duration::from_secs(at(ahead)));
    let (end, times) = (at(seconds) as f64, WallTimes { date, ..times() });
    let said = Sources { expires_at: Some(end), ..Sources::default() };
    let claimed = Sources { claims: Some(Claims { exp: end, iat: None }), ..Sources::default() };
    for sources in [said, claimed] {
        let found = lasts(&sources, &times).map(|lasts| lasts.as_secs());
        assert_eq!(found, wanted, "{seconds} s, {ahead} s ahead: {sources:?}");
    }
}

#[test]
fn an_absolute_time_that_has_passed_by_both_clocks_ends_a_token() {
    check_absolute(-1, 0, None);
    check_absolute(0, 3, None);
    check_absolute(-60, 3600, None);
    check_absolute(-7200, -3600, None);
    let other = Sources { expires_in: Some(30.0), expires_at: Some(NOW as f64 - 60.0), ..Sources::default() };
    let same = WallTimes { date: Some(times().sent), ..times() };
    assert_eq!(lasts(&other, &same), Some(Duration::from_secs(30)), "it is not asked");
    let duration = Sources { expires_at: Some(3600.0), ..Sources::default() };
    assert_eq!(lasts(&duration, &same), Some(DEFAULT), "what is no time says nothing");
}

#[test]
fn an_absolute_time_is_of_the_servers_clock_where_that_is_apart_from_ours() {
    check_absolute(60, 3, Some(60));
    // Ours is behind.
    check_absolute(7260, 7200, Some(60));
    // It is ahead.
    check_absolute(-7140, -7200, Some(60));
}

#[test]
fn no_date_makes_a_life_longer_than_our_clock_or_the_default_has_it() {
    check_absolute(60, -(NOW as i64), Some(60));
    check_absolute(60, 3_000_000_000, Some(60));
    check_absolute(86_400, 100_000, Some(DEFAULT.as_secs()));
    check_absolute(-60, -(NOW as i64), Some(DEFAULT.as_secs()));
}

#[test]
fn a_life_is_assumed_only_if_nobody_says_one() {
    let check = |sources: Sources, wanted| {
        let same = WallTimes { date: Some(times().sent), ..times() };
        let life = lifetime(&sources, &same, DEFAULT).unwrap();
        assert_eq!(life.is_assumed, wanted, "{sources:?}: {life:?}");
    };
    let none = Sources::default();
    check(none, true);
    check(Sources { expires_in: Some(3600.0), ..none }, false);
    check(Sources { expires_at: Some(NOW as f64 + 60.0), ..none }, false);
    check(Sources { cookie: Some(60.0), ..none }, false);
    let claims = |exp, iat| Some(Claims { exp: NOW as f64 + exp, iat: Some(NOW as f64 + iat) });
    check(Sources { claims: claims(60.0, 0.0), ..none }, false);
    // Issued after its end: what is left by both clocks counts where it is shorter.
    check(Sources { claims: claims(60.0, 61.0), ..none }, false);
    check(Sources { claims: claims(7200.0, 7201.0), ..none }, true);
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
        if let Some(found) = lasts(&sources, &WallTimes { date, ..times() }) {
            prop_assert!(found > Duration::ZERO && found <= LONGEST);
            if let Some(said) = sources.expires_in {
                prop_assert!(found.as_secs_f64() <= said.max(0.001) + 1e-6, "but for the rounding to nanoseconds");
            }
        }
    }
}
