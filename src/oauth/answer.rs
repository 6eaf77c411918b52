//! Reading a success: where the token is, and whether it can be used.
//!
//! Owns the rules for what is accepted from a token endpoint (RFC 6749 §5.1, RFC 6750 §2.1). Refuses whatever two
//! readers could read differently: a member that comes twice, text that is not UTF-8, a body that is compressed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Issued;
use super::lifetime::{self, Sources, WallTimes, lifetime};
use super::settings::{ResponseShape, Settings};
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

/// Reads the answer to a token request.
pub(super) fn read(body: &[u8], settings: &Settings, times: &WallTimes) -> Result<Issued, Defect> {
    let shape = &settings.response;
    let text = text(body)?;
    let mut answer = if shape.access_token.is_empty() { whole(text) } else { parse(text)? };
    let token = match take_text(&mut answer, &shape.access_token) {
        Ok(token) => token,
        Err(why) => return Err(Defect::NoToken { why: format!("{why}{}", names(&answer)), answer }),
    };
    let token_type = sibling(&answer, shape, "token_type");
    let must_be_bearer = settings.token_is_b64 && settings.dpop.is_none();
    let checked =
        check_token(token.expose(), settings.token_is_b64).and_then(|()| check_type(token_type, must_be_bearer));
    if let Err(why) = checked {
        return Err(Defect::NoToken { why, answer });
    }
    let bound = if settings.dpop.is_some() { check_bound(token_type) } else { Ok(()) };
    let sources = Sources {
        expires_in: answer.pointer(&shape.expires_in).and_then(lifetime::expires_in),
        expires_at: shape.expires_at.as_ref().and_then(|at| answer.pointer(at)).and_then(lifetime::expires_at),
        claims: lifetime::claims(token.expose()),
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

/// A JSON document that means one thing.
///
/// # Errors
/// What is wrong with it, without any of its text.
pub(super) fn document(body: &[u8]) -> Result<Value, String> {
    text(body).and_then(parse).map_err(|defect| match defect {
        Defect::NotUnderstood(why) | Defect::NoToken { why, .. } | Defect::NotBound { why, .. } => why,
    })
}

fn text(body: &[u8]) -> Result<&str, Defect> {
    let not_understood = |why: &str| Defect::NotUnderstood(why.to_owned());
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        return Err(not_understood("it is UTF-16 text"));
    }
    let text = std::str::from_utf8(body).map_err(|_| not_understood("it is not UTF-8 text"))?.trim();
    match text {
        "" => Err(not_understood("empty body")),
        text if text.starts_with('<') => Err(not_understood("it is a page (HTML or XML) and not JSON")),
        text => Ok(text),
    }
}

/// The whole answer is the token: a JSON text, or text as it is.
fn whole(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::String(_) | Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_))) => value,
        Ok(Value::Number(_)) | Err(_) => Value::String(text.to_owned()),
    }
}

fn parse(text: &str) -> Result<Value, Defect> {
    match serde_json::from_str::<Unambiguous>(text) {
        Ok(answer) => Ok(answer.0),
        // The place of the mistake may be told; serde_json shows nothing of the text itself.
        Err(error) if error.is_eof() => Err(Defect::NotUnderstood("the JSON is cut off".to_owned())),
        Err(error) if text.contains("access_token=") => {
            Err(Defect::NotUnderstood(format!("it is form-encoded and not JSON ({error})")))
        }
        Err(error) => Err(Defect::NotUnderstood(format!("it is not valid JSON ({error})"))),
    }
}

/// Takes the text at `pointer` out of the answer, so that no second copy stays.
fn take_text(answer: &mut Value, pointer: &str) -> Result<Secret, String> {
    let place = if pointer.is_empty() { "the whole answer" } else { pointer };
    match answer.pointer_mut(pointer) {
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
fn names(answer: &Value) -> String {
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
    answer.pointer(parent)?.get(name)
}

/// Whether the token can stand in a header without meaning anything else there.
fn check_token(token: &str, is_b64: bool) -> Result<(), String> {
    if token.len() > LONGEST_TOKEN {
        return Err(format!("the token is longer than {} KiB", LONGEST_TOKEN / 1024));
    }
    if is_b64 && !is_b64token(token) {
        return Err("the token has characters that no bearer token may have (RFC 6750 section 2.1)".to_owned());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has characters that no header may carry".to_owned());
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

/// JSON in which no member comes twice: "parameters MUST NOT be included more than once" (RFC 6749 §3.2).
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Unambiguous>()? {
            list.push(item.0);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = entries.next_entry::<String, Unambiguous>()? {
            if members.insert(name, value.0).is_some() {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(members))
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
        read(body.as_bytes(), &settings, &times()).unwrap_or_else(|defect| panic!("{body} gave {defect:?}"))
    }

    fn check_defect(body: impl AsRef<[u8]>, understood: bool, words: &str, change: impl FnOnce(&mut Settings)) {
        let mut settings = settings();
        change(&mut settings);
        let body = body.as_ref();
        let shown = String::from_utf8_lossy(body.get(..80).unwrap_or(body)).into_owned();
        let why = match read(body, &settings, &times()) {
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
        let other = |s: &mut Settings| s.token_is_b64 = false;
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
        check_defect("access_token=a&token_type=bearer", false, "form-encoded", |_| {});
        check_defect(r#"{"access_token":"a","access_token":"b"}"#, false, "a member comes twice", |_| {});
        check_defect(r#"{"access_token":"a","x":{"y":1,"y":1}}"#, false, "a member comes twice", |_| {});
        check_defect(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), false, "recursion limit", |_| {});
        check_defect("{\"x\":".repeat(10_000), false, "recursion limit", |_| {});
        check_defect(b"\xff\xfe{\0}\0", false, "UTF-16", |_| {});
        check_defect(b"{\"access_token\":\"\xff\"}", false, "not UTF-8", |_| {});
        check_defect(b"\x1f\x8b\x08\0\0", false, "not UTF-8", |_| {});
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
        let defect = read(body.as_bytes(), &settings(), &times).unwrap_err();
        assert!(matches!(defect, Defect::NoToken { why, .. } if why.contains("expired")));
    }

    proptest! {
        #[test]
        fn no_answer_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&body, &settings(), &times());
        }

        #[test]
        fn no_token_that_is_accepted_can_break_a_header(token in any::<String>()) {
            if let Ok(issued) = read(with_token(&token).as_bytes(), &settings(), &times()) {
                let token = issued.access_token.expose();
                prop_assert!(http::HeaderValue::from_str(&["Bearer ", token].concat()).is_ok());
                prop_assert!(token.bytes().all(|c| c.is_ascii_graphic()));
            }
        }
    }
}
