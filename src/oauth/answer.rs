//! Reading a success: where the token is, and whether it can be used.
//!
//! Owns the rules for what is accepted from a token endpoint (RFC 6749 §5.1, RFC 6750 §2.1), wherever in the answer it stands.
//! Refuses a token that could mean something else in the place where it will be sent, and a field that comes twice.

use http::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::lifetime::{self, Sources, WallTimes, lifetime};
use super::settings::{Elsewhere, Format, Legal, ResponseShape, Settings};
use super::{Issued, format, jar};
use crate::dpop::SCHEME;
use crate::secret::Secret;

/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// How many member names are told when the token is not among them.
const MOST_NAMES: usize = 8;

/// Why a 2xx brought no token.
#[derive(Debug)]
pub(super) enum Defect {
    /// It is not JSON that means one thing.
    NotUnderstood(String),
    /// It is, but there is no usable token in it.
    NoToken {
        /// What is wrong. May hold names of the peer's.
        why: String,
        /// The answer, in which an error may stand.
        answer: Value,
    },
    /// There is a token, but not one that is bound to our key (RFC 9449 §5).
    NotBound {
        /// What is wrong. May hold names of the peer's.
        why: String,
        /// The refresh token that came with it, which may be the only one that is still good.
        refresh_token: Option<Secret>,
    },
}

/// Reads the answer to a token request: its body and its header fields.
pub(super) fn read(body: &[u8], headers: &HeaderMap, settings: &Settings, times: &WallTimes) -> Result<Issued, Defect> {
    let shape = &settings.response;
    let found = match &shape.elsewhere {
        None => in_body(body, headers, shape)?,
        Some(elsewhere) => {
            // What else the body says is welcome, but need not be there.
            let answer = format::parse(body, headers, shape.format).unwrap_or_default();
            match outside(elsewhere, headers, times) {
                Ok((token, cookie_life)) => Found { token, cookie_life, answer },
                Err(why) => return Err(Defect::NoToken { why, answer }),
            }
        }
    };
    let Found { token, cookie_life, mut answer } = found;
    let token_type = sibling(&answer, shape, "token_type");
    let must_be_bearer = settings.legal.bearer && settings.dpop.is_none();
    let checked = check_token(token.expose(), settings.legal).and_then(|()| check_type(token_type, must_be_bearer));
    if let Err(why) = checked {
        return Err(Defect::NoToken { why, answer });
    }
    let bound = if settings.dpop.is_some() { check_bound(token_type) } else { Ok(()) };
    let sources = Sources {
        expires_in: format::at(&answer, &shape.expires_in).and_then(lifetime::expires_in),
        expires_at: shape.expires_at.as_ref().and_then(|at| format::at(&answer, at)).and_then(lifetime::expires_at),
        claims: lifetime::claims(token.expose()),
        cookie: cookie_life,
    };
    let Some(lifetime) = lifetime(&sources, times, shape.default_lifetime) else {
        return Err(Defect::NoToken { why: "the token has already expired".to_owned(), answer });
    };
    let scope = sibling(&answer, shape, "scope").and_then(Value::as_str).map(str::to_owned);
    let refresh_token = take_text(&mut answer, &shape.refresh_token).ok();
    let refresh_token =
        refresh_token.filter(|token| settings.use_refresh_token && token.expose().len() <= LONGEST_TOKEN);
    // An identity token, or a refresh token that is not used.
    crate::secret::wipe(&mut answer);
    if let Err(why) = bound {
        return Err(Defect::NotBound { why, refresh_token });
    }
    Ok(Issued { access_token: token, lifetime, refresh_token, scope, key: None })
}

/// A token and what came with it.
struct Found {
    token: Secret,
    /// How long its cookie lives, in seconds.
    cookie_life: Option<f64>,
    answer: Value,
}

fn in_body(body: &[u8], headers: &HeaderMap, shape: &ResponseShape) -> Result<Found, Defect> {
    let is_whole = shape.access_token.is_empty() && matches!(shape.format, Format::Auto | Format::Json);
    let answer = if is_whole { format::whole(body) } else { format::parse(body, headers, shape.format) };
    let mut answer = answer.map_err(Defect::NotUnderstood)?;
    match take_text(&mut answer, &shape.access_token) {
        Ok(token) => Ok(Found { token, cookie_life: None, answer }),
        Err(why) => Err(Defect::NoToken { why: format!("{why}{}", names(&answer)), answer }),
    }
}

/// The token in a header field or a cookie, and how long the latter lives.
fn outside(elsewhere: &Elsewhere, headers: &HeaderMap, times: &WallTimes) -> Result<(Secret, Option<f64>), String> {
    match elsewhere {
        Elsewhere::Header(name) => Ok((in_header(headers, name)?, None)),
        Elsewhere::Cookie(name) => {
            let cookie = jar::the_one(headers, name, times.date.unwrap_or(times.arrived));
            let cookie = cookie.ok_or_else(|| format!("it sets no cookie {name}"))?;
            let life = lifetime::of_cookie(cookie.max_age, cookie.expires, times);
            Ok((Secret::new(cookie.bare_value()), life))
        }
    }
}

/// A token in a header field, without the scheme that some servers put before it.
fn in_header(headers: &HeaderMap, name: &HeaderName) -> Result<Secret, String> {
    let text = header_value(headers, name)?;
    let is_scheme = |word: &str| word.eq_ignore_ascii_case("bearer");
    let bare = text.split_once(' ').filter(|(scheme, _)| is_scheme(scheme)).map_or(text, |(_, token)| token.trim());
    Ok(Secret::new(bare))
}

/// The one value of a header field.
pub(super) fn header_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().ok_or_else(|| format!("it has no header field {name}"))?;
    if values.any(|other| other != first) {
        return Err(format!("its header field {name} comes several times"));
    }
    match first.to_str().map(str::trim) {
        Ok("") => Err(format!("its header field {name} is empty")),
        Ok(text) => Ok(text),
        Err(_) => Err(format!("its header field {name} is not ASCII text")),
    }
}

/// Takes the text at `pointer` out of the answer, so that no second copy stays.
pub(super) fn take_text(answer: &mut Value, pointer: &str) -> Result<Secret, String> {
    let place = if pointer.is_empty() { "the whole answer" } else { pointer };
    match format::at_mut(answer, pointer) {
        None => Err(format!("there is no {place}")),
        Some(Value::Null) => Err(format!("{place} is null")),
        Some(found @ Value::String(_)) => match found.take() {
            Value::String(text) if !text.is_empty() => Ok(Secret::new(text)),
            _ => Err(format!("{place} is empty")),
        },
        Some(_) => Err(format!("{place} is not a text")),
    }
}

/// `; it has: data, status`: what a person needs to write the right pointer.
pub(super) fn names(answer: &Value) -> String {
    let Some(members) = answer.as_object() else { return String::new() };
    let is_name = |name: &&String| {
        (1..=24).contains(&name.len())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'))
    };
    let names: Vec<_> = members.keys().filter(is_name).take(MOST_NAMES).map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; the answer has: {}", names.join(", ")) }
}

/// A member beside the access token.
fn sibling<'a>(answer: &'a Value, shape: &ResponseShape, name: &str) -> Option<&'a Value> {
    let (parent, _) = shape.access_token.rsplit_once('/')?;
    format::at(answer, &format!("{parent}/{name}"))
}

/// Whether the token can stand wherever it will be put without meaning anything else there.
fn check_token(token: &str, legal: Legal) -> Result<(), String> {
    if token.is_empty() {
        return Err("the token is empty".to_owned());
    }
    if token.len() > LONGEST_TOKEN {
        return Err(format!("the token is longer than {} KiB", LONGEST_TOKEN / 1024));
    }
    if legal.bearer && !is_b64token(token) {
        return Err("the token has characters that no bearer token may have (RFC 6750 section 2.1)".to_owned());
    }
    if legal.header && !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has characters that no header may carry".to_owned());
    }
    // RFC 6265 §4.1.1, cookie-octet.
    if legal.cookie && !token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)) {
        return Err("the token has characters that no cookie may carry (RFC 6265 section 4.1.1)".to_owned());
    }
    Ok(())
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1), and `!`: a large vendor's tokens have
/// it, and it means nothing in a header.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'!');
    !body.is_empty() && body.bytes().all(legal)
}

/// RFC 6749 §7.1: a client must not use a token whose type it does not understand. Where the configuration sends it
/// with another scheme, it understands. Absent and empty count as Bearer: many servers leave it out.
fn check_type(token_type: Option<&Value>, must_be_bearer: bool) -> Result<(), String> {
    match token_type {
        None | Some(Value::Null) => Ok(()),
        _ if !must_be_bearer => Ok(()),
        Some(Value::String(kind)) if kind.trim().is_empty() || kind.trim().eq_ignore_ascii_case("bearer") => Ok(()),
        Some(Value::String(kind)) => {
            let kind: String = kind.chars().take(20).collect();
            Err(format!("its token_type is {kind:?} and not Bearer"))
        }
        Some(_) => Err("its token_type is not a text".to_owned()),
    }
}

/// RFC 9449 §5: a token of another type than `DPoP` is bound to no key, and whoever steals it can use it. That is what the operator
/// wanted to be safe from, so it is not sent to anybody.
fn check_bound(token_type: Option<&Value>) -> Result<(), String> {
    match token_type {
        Some(Value::String(kind)) if kind.trim().eq_ignore_ascii_case(SCHEME) => Ok(()),
        Some(Value::String(kind)) => {
            let kind: String = kind.chars().take(20).collect();
            Err(format!("its token_type is {kind:?} and not {SCHEME}"))
        }
        _ => Err(format!("it has no token_type, which must be {SCHEME}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::super::testing::settings;
    use super::*;

    fn times() -> WallTimes {
        WallTimes { sent: SystemTime::now(), arrived: SystemTime::now(), date: None }
    }

    fn issued(body: &str, change: impl FnOnce(&mut Settings)) -> Issued {
        let mut settings = settings();
        change(&mut settings);
        read(body.as_bytes(), &HeaderMap::new(), &settings, &times())
            .unwrap_or_else(|defect| panic!("{body} gave {defect:?}"))
    }

    fn check_defect(body: impl AsRef<[u8]>, understood: bool, words: &str, change: impl FnOnce(&mut Settings)) {
        let mut settings = settings();
        change(&mut settings);
        let body = body.as_ref();
        let shown = String::from_utf8_lossy(body.get(..80).unwrap_or(body)).into_owned();
        let why = match read(body, &HeaderMap::new(), &settings, &times()) {
            Ok(_) => panic!("{shown} was accepted"),
            Err(Defect::NotUnderstood(why)) => {
                assert!(!understood, "{shown} should have been understood, gave {why}");
                why
            }
            Err(Defect::NoToken { why, .. } | Defect::NotBound { why, .. }) => {
                assert!(understood, "{shown} should not have been understood, gave {why}");
                why
            }
        };
        assert!(why.contains(words), "{shown} gave {why:?}, which does not contain {words:?}");
    }

    fn with_token(token: &str) -> String {
        serde_json::json!({ "access_token": token }).to_string()
    }

    #[test]
    fn the_success_answers_of_the_five_vendors_are_read() {
        let stretch = issued(r#"{"access_token":"abc","token_type":"Bearer"}"#, |_| {});
        assert_eq!((stretch.access_token.expose(), stretch.lifetime), ("abc", Duration::from_secs(3600)));

        let jwt =
            "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjoxNjU2NTc2MDM4LCJpYXQiOjE2NTY1NzU5MTh9.c2ln";
        let body = format!(r#"{{"refresh_token":"{jwt}","access_token":"{jwt}","release_version":"7.8.9"}}"#);
        let klearstack = issued(&body, |_| {});
        assert_eq!(klearstack.lifetime, Duration::from_secs(120));
        assert_eq!(klearstack.refresh_token.unwrap().expose(), jwt);

        let auth0 = issued(
            r#"{"access_token":"a.b-c_d","token_type":"Bearer","expires_in":86400,"scope":"read:messages"}"#,
            |_| {},
        );
        assert_eq!((auth0.lifetime.as_secs(), auth0.scope.as_deref()), (86400, Some("read:messages")));

        let wrapped =
            r#"{"data": {"access_token": "sk-418e41", "token_type": "Bearer", "expires_in": 3600, "scope": "s"}}"#;
        let wrapped = issued(wrapped, |s| {
            s.response.access_token = "/data/access_token".to_owned();
            s.response.expires_in = "/data/expires_in".to_owned();
        });
        assert_eq!((wrapped.access_token.expose(), wrapped.scope.as_deref()), ("sk-418e41", Some("s")));

        let orglogin = issued(r#"{"orgs": [{"id": 1}], "access_token": "t"}"#, |_| {});
        assert_eq!(orglogin.access_token.expose(), "t");
    }

    #[test]
    fn the_whole_answer_can_be_the_token() {
        let whole = |s: &mut Settings| s.response.access_token = String::new();
        assert_eq!(issued("\"abc\"", whole).access_token.expose(), "abc");
        assert_eq!(issued("abc.def\n", whole).access_token.expose(), "abc.def");
        assert_eq!(issued("12345", whole).access_token.expose(), "12345");
        check_defect("{}", true, "the whole answer is not a text", whole);
        check_defect("null", true, "null", whole);
        check_defect("two words", true, "RFC 6750", whole);
    }

    #[test]
    fn a_token_must_be_one_legal_header_value() {
        for legal in ["a", "a=", "-._~+/09azAZ==", "00D5e!AQ.x", &"x".repeat(LONGEST_TOKEN)] {
            assert_eq!(issued(&with_token(legal), |_| {}).access_token.expose(), legal);
        }
        let refused = ["a b", "a\0", "a\r\nX: y", "zoë", "=", "a=b", "a|b", "a,b", "\"", " a", "a\n"];
        for illegal in refused {
            check_defect(with_token(illegal), true, "RFC 6750", |_| {});
        }
        check_defect(with_token(&"x".repeat(LONGEST_TOKEN + 1)), true, "longer than 16 KiB", |_| {});
        check_defect(with_token(""), true, "is empty", |_| {});
        check_defect(r#"{"access_token":1}"#, true, "is not a text", |_| {});
        check_defect(r#"{"access_token":null}"#, true, "is null", |_| {});
        check_defect(r#"{"access_token":["a"]}"#, true, "is not a text", |_| {});
        check_defect(
            r#"{"token":"a","data":{},"%":1}"#,
            true,
            "there is no /access_token; the answer has: data, token",
            |_| {},
        );
        check_defect("[]", true, "there is no /access_token", |_| {});
        check_defect("null", true, "there is no /access_token", |_| {});
    }

    #[test]
    fn other_schemes_take_any_visible_ascii() {
        let other = |s: &mut Settings| s.legal.bearer = false;
        assert_eq!(issued(&with_token("a|b,\"c"), other).access_token.expose(), "a|b,\"c");
        assert_eq!(issued(r#"{"access_token":"a","token_type":"MAC"}"#, other).access_token.expose(), "a");
        check_defect(with_token("a b"), true, "no header", other);
        check_defect(with_token("a\r\nX: y"), true, "no header", other);
        check_defect(with_token("ä"), true, "no header", other);
    }

    #[test]
    fn a_token_type_that_is_present_must_be_bearer() {
        let with_type = |kind: &str| format!(r#"{{"access_token":"a","token_type":{kind}}}"#);
        for accepted in ["\"Bearer\"", "\"bearer\"", "\"BEARER\"", "\"\"", "null"] {
            issued(&with_type(accepted), |_| {});
        }
        check_defect(with_type("\"MAC\""), true, "\"MAC\" and not Bearer", |_| {});
        check_defect(with_type("7"), true, "not a text", |_| {});
    }

    #[test]
    fn with_dpop_only_a_bound_token_is_used() {
        let with_dpop = |s: &mut Settings| s.dpop = Some(super::super::dpop::KeySource::Generated);
        for accepted in ["DPoP", "dpop", "DPOP"] {
            issued(&format!(r#"{{"access_token":"a","token_type":"{accepted}"}}"#), with_dpop);
        }
        check_defect(r#"{"access_token":"a","token_type":"Bearer"}"#, true, "\"Bearer\" and not DPoP", with_dpop);
        check_defect(r#"{"access_token":"a"}"#, true, "no token_type", with_dpop);
        check_defect(r#"{"access_token":"a","token_type":null}"#, true, "no token_type", with_dpop);
        check_defect(r#"{"access_token":"a b","token_type":"DPoP"}"#, true, "RFC 6750", with_dpop);
        check_defect(r#"{"access_token":"a","token_type":"DPoP"}"#, true, "and not Bearer", |_| {});
    }

    #[test]
    fn what_is_not_json_of_one_meaning_is_not_understood() {
        check_defect("", false, "empty body", |_| {});
        check_defect(" \n", false, "empty body", |_| {});
        check_defect("<html>Log in</html>", false, "page", |_| {});
        check_defect(r#"{"access_token":"a"#, false, "cut off", |_| {});
        check_defect(r#"{"access_token":"a"} x"#, false, "not valid JSON", |_| {});
        check_defect("access_token=a&token_type=bearer", false, "not valid JSON", |s| s.response.format = Format::Json);
        check_defect(r#"{"access_token":"a","access_token":"b"}"#, false, "a member comes twice", |_| {});
        check_defect(r#"{"access_token":"a","x":{"y":1,"y":1}}"#, false, "a member comes twice", |_| {});
        check_defect(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), false, "recursion limit", |_| {});
        check_defect("{\"x\":".repeat(10_000), false, "recursion limit", |_| {});
        check_defect(b"\xff\xfe{\0}\0", false, "UTF-16", |_| {});
        check_defect(b"{\"access_token\":\"\xff\"}", false, "not UTF-8", |_| {});
        check_defect(b"\x1f\x8b\x08\0\0", false, "not UTF-8", |_| {});
    }

    #[test]
    fn forms_and_xml_are_read_like_json() {
        let form =
            issued("access_token=abc&expires=120&refresh_token=r", |s| s.response.expires_in = "/expires".to_owned());
        assert_eq!((form.access_token.expose(), form.lifetime.as_secs()), ("abc", 120));
        assert_eq!(form.refresh_token.unwrap().expose(), "r");
        let xml = "<s:Envelope xmlns:s=\"urn:s\"><s:Body><Login><token t=\"x\">abc</token><expires_in>60</expires_in></Login></s:Body></s:Envelope>";
        let xml = issued(xml, |s| {
            s.response.access_token = "/Envelope/Body/Login/token".to_owned();
            s.response.expires_in = "/Envelope/Body/Login/expires_in".to_owned();
        });
        assert_eq!((xml.access_token.expose(), xml.lifetime.as_secs()), ("abc", 60));
        let twice = "<oauth><access_token>a</access_token><access_token>b</access_token></oauth>";
        let pointed = |s: &mut Settings| s.response.access_token = "/oauth/access_token".to_owned();
        check_defect(twice, true, "/oauth/access_token is not a text", pointed);
        check_defect("<oauth><token>a</token></oauth>", true, "the answer has: oauth", pointed);
    }

    #[test]
    fn a_token_may_come_outside_of_the_body() {
        let read = |lines: &[(&'static str, &'static str)], body: &str, elsewhere: Elsewhere| {
            let mut settings = settings();
            settings.response.elsewhere = Some(elsewhere);
            let name = |name| HeaderName::from_static(name);
            let headers: HeaderMap = lines.iter().map(|(n, value)| (name(n), value.parse().unwrap())).collect();
            match read(body.as_bytes(), &headers, &settings, &times()) {
                Ok(issued) => Ok((issued.access_token.expose().to_owned(), issued.lifetime.as_secs())),
                Err(Defect::NoToken { why, .. } | Defect::NotBound { why, .. } | Defect::NotUnderstood(why)) => Err(why),
            }
        };
        let header = || Elsewhere::Header(HeaderName::from_static("x-auth-token"));
        let cookie = || Elsewhere::Cookie("SID".to_owned());
        let token = |token: &str, lifetime| Ok((token.to_owned(), lifetime));
        assert_eq!(read(&[("x-auth-token", "abc")], "", header()), token("abc", 3600));
        assert_eq!(read(&[("x-auth-token", "Bearer abc")], "{\"expires_in\":60}", header()), token("abc", 60));
        assert_eq!(read(&[("x-auth-token", "a"), ("x-auth-token", "a")], "<html>", header()), token("a", 3600));
        let several = read(&[("x-auth-token", "a"), ("x-auth-token", "b")], "", header());
        assert!(several.unwrap_err().contains("several times"));
        assert!(read(&[], "{}", header()).unwrap_err().contains("no header field x-auth-token"));
        assert!(read(&[("x-auth-token", "a b")], "", header()).unwrap_err().contains("RFC 6750"));
        assert_eq!(read(&[("set-cookie", "SID=abc; Path=/; Max-Age=90")], "", cookie()), token("abc", 90));
        assert_eq!(read(&[("set-cookie", "SID=\"abc\"; Secure")], "", cookie()), token("abc", 3600));
        assert_eq!(read(&[("set-cookie", "SID=old"), ("set-cookie", "SID=new")], "", cookie()), token("new", 3600));
        assert!(read(&[("set-cookie", "SID=; Max-Age=0")], "", cookie()).unwrap_err().contains("no cookie SID"));
        assert!(read(&[("set-cookie", "sid=a")], "", cookie()).unwrap_err().contains("no cookie SID"));
    }

    #[test]
    fn a_token_must_be_legal_where_it_is_sent() {
        let any = Legal::default();
        for (token, legal) in
            [("a|b", Legal { header: true, ..any }), ("a b\u{e4}\n", any), ("a=b/c", Legal { cookie: true, ..any })]
        {
            assert_eq!(check_token(token, legal), Ok(()), "{token}");
        }
        for (token, legal, words) in [
            ("a b", Legal { header: true, ..any }, "no header"),
            ("a;b", Legal { cookie: true, ..any }, "no cookie"),
            ("a\"b", Legal { cookie: true, ..any }, "no cookie"),
            ("a b", Legal { cookie: true, ..any }, "no cookie"),
            ("", any, "empty"),
        ] {
            assert!(check_token(token, legal).unwrap_err().contains(words), "{token}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(issued("\u{feff}{\"access_token\":\"a\"}", |_| {}).access_token.expose(), "a");
    }

    #[test]
    fn a_refresh_token_is_kept_only_where_it_is_used() {
        let body = r#"{"access_token":"a","refresh_token":"r t"}"#;
        assert_eq!(issued(body, |_| {}).refresh_token.unwrap().expose(), "r t");
        assert_eq!(issued(body, |s| s.use_refresh_token = false).refresh_token, None);
        for absent in ["null", "\"\"", "7"] {
            assert_eq!(
                issued(&format!(r#"{{"access_token":"a","refresh_token":{absent}}}"#), |_| {}).refresh_token,
                None
            );
        }
    }

    #[test]
    fn a_token_that_has_already_expired_is_not_used() {
        let body = with_token("e30.eyJleHAiOjE2NTY1NzYwMzh9.c2ln");
        let times = WallTimes { date: Some(SystemTime::now()), ..times() };
        let defect = read(body.as_bytes(), &HeaderMap::new(), &settings(), &times).unwrap_err();
        assert!(matches!(defect, Defect::NoToken { why, .. } if why.contains("expired")));
    }

    proptest! {
        #[test]
        fn no_answer_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&body, &HeaderMap::new(), &settings(), &times());
        }

        #[test]
        fn no_token_that_is_accepted_can_break_a_header(token in any::<String>()) {
            if let Ok(issued) = read(with_token(&token).as_bytes(), &HeaderMap::new(), &settings(), &times()) {
                let token = issued.access_token.expose();
                prop_assert!(http::HeaderValue::from_str(&["Bearer ", token].concat()).is_ok());
                prop_assert!(token.bytes().all(|c| c.is_ascii_graphic()));
            }
        }
    }
}
