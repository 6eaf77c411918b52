//! Every vendor's error envelope as one readable line.
//!
//! Owns the guessing: RFC 6749 §5.2, the members that the configuration names, and the shapes that are common in the
//! wild. What comes out is still the peer's text; nothing of it is shown before it went through [`super::mask`].

use std::borrow::Cow;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::format;
use super::settings::ResponseShape;

/// How deep an error may be wrapped in errors.
const DEEPEST: usize = 4;

/// How many entries of a list of mistakes are told.
const MOST_MISTAKES: usize = 3;

/// What an answer's body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The peer's own words, of any length, unmasked.
    Said(String),
    /// Our words for what is not worth quoting.
    Described(&'static str),
    /// Our words, and the peer's title.
    Titled(&'static str, String),
}

const MESSAGE_NAMES: &[&str] = &[
    "error_description",
    "message",
    "detail",
    "details",
    "error_message",
    "errormessage",
    "msg",
    "description",
    "title",
    "reason",
    "errorsummary",
];
const CODE_NAMES: &[&str] = &["code_reason", "error_code", "errorcode", "type", "status_code", "code"];
const LIST_NAMES: &[&str] = &["detail", "details", "errors", "error", "message"];

/// What a body says, whatever it is.
pub(super) fn told(body: &[u8], headers: &HeaderMap, compressed: bool, shape: &ResponseShape) -> Told {
    if compressed {
        return Told::Described("a compressed body");
    }
    let text = text_of(body);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Told::Described("empty body");
    }
    let said = format::error_members(trimmed, headers, shape.format).map(|value| envelope(&value, shape));
    if let Some(Some(said)) = said {
        return Told::Said(said);
    }
    if trimmed.starts_with('<') {
        return markup(trimmed);
    }
    if said.is_some() {
        return Told::Said(trimmed.to_owned());
    }
    if !trimmed.chars().any(|c| c.is_alphanumeric()) || trimmed.contains('\u{fffd}') && looks_binary(trimmed) {
        return Told::Described("a body that is not text");
    }
    Told::Said(trimmed.to_owned())
}

/// The body as text: without byte order mark, UTF-16 read as such, broken UTF-8 shown as replacement characters.
pub(super) fn text_of(body: &[u8]) -> Cow<'_, str> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).filter_map(|pair| Some(unit(pair.try_into().ok()?)));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into()
    };
    match body {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(body),
    }
}

/// The line that a JSON error says, if it has any of the known members.
pub(super) fn envelope(value: &Value, shape: &ResponseShape) -> Option<String> {
    let at = |pointer: &str| value.pointer(pointer).filter(|_| !pointer.is_empty()).and_then(scalar);
    let (code, message) = (at(&shape.error_code), at(&shape.error_message));
    match (code, message) {
        (Some(code), Some(message)) if !is_json_object(&code) => Some(join(&code, &message)),
        (Some(code), None) if !is_json_object(&code) => {
            Some(first_message(value, 0).map_or_else(|| code.clone(), |message| join(&code, &message)))
        }
        (None, Some(message)) => Some(code_of(value).map_or_else(|| message.clone(), |code| join(&code, &message))),
        _ => line_of(value, 0),
    }
}

/// The error codes that an answer carries: at the configured place, else at the standard one.
pub(super) fn code(value: &Value, shape: &ResponseShape) -> Option<String> {
    [shape.error_code.as_str(), "/error"]
        .into_iter()
        .filter(|pointer| !pointer.is_empty())
        .find_map(|pointer| value.pointer(pointer).and_then(scalar))
}

fn line_of(value: &Value, depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    match value {
        Value::String(text) => Some(match serde_json::from_str::<Value>(text) {
            Ok(inner @ Value::Object(_)) => line_of(&inner, depth + 1)?,
            _ => text.trim().to_owned(),
        })
        .filter(|text| !text.is_empty()),
        Value::Array(items) => mistakes(items, depth),
        Value::Object(members) => line_of_object(value, members, depth),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn line_of_object(value: &Value, members: &Map<String, Value>, depth: usize) -> Option<String> {
    let error = member(members, "error");
    let wrapped = match error {
        Some(inner @ Value::Object(_)) => line_of(inner, depth + 1),
        Some(Value::String(text)) if is_json_object(text) => line_of(&Value::String(text.clone()), depth + 1),
        _ => None,
    };
    if wrapped.is_some() {
        return wrapped;
    }
    let code = error.and_then(scalar).or_else(|| code_of(value));
    match (code, first_message(value, depth)) {
        (Some(code), Some(message)) => Some(join(&code, &message)),
        (None, Some(message)) => Some(message),
        (Some(code), None) => error.and_then(scalar).or(Some(code)),
        (None, None) => None,
    }
}

fn first_message(value: &Value, depth: usize) -> Option<String> {
    let members = value.as_object()?;
    // A list says which field was wrong; the text beside it seldom does.
    let list = LIST_NAMES.iter().find_map(|name| match member(members, name)? {
        Value::Array(items) => mistakes(items, depth),
        _ => None,
    });
    let text = MESSAGE_NAMES.iter().find_map(|name| match member(members, name)? {
        Value::String(text) => line_of(&Value::String(text.clone()), depth + 1),
        inner @ Value::Object(_) => line_of(inner, depth + 1),
        _ => None,
    });
    match (text, list) {
        (Some(text), Some(list)) => Some(join(&text, &list)),
        (text, list) => text.or(list),
    }
}

fn code_of(value: &Value) -> Option<String> {
    let members = value.as_object()?;
    let codes = || CODE_NAMES.iter().filter_map(|name| member(members, name));
    // A name says more than a number.
    codes()
        .find_map(|code| code.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned))
        .or_else(|| codes().find_map(scalar))
}

/// A list of mistakes: `[{location|loc, message|msg, type}]`, or plain texts.
fn mistakes(items: &[Value], depth: usize) -> Option<String> {
    let lines: Vec<_> = items.iter().filter_map(|item| mistake(item, depth)).take(MOST_MISTAKES).collect();
    if lines.is_empty() {
        return None;
    }
    let more = items.len().saturating_sub(lines.len());
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    Some(format!("{}{more}", lines.join("; ")))
}

fn mistake(item: &Value, depth: usize) -> Option<String> {
    let Value::Object(members) = item else { return line_of(item, depth + 1) };
    let place = ["location", "loc", "field", "path", "param"].iter().find_map(|name| place(member(members, name)?));
    let message = ["message", "msg", "detail", "description"].iter().find_map(|name| scalar(member(members, name)?));
    let kind = member(members, "type").and_then(scalar);
    let said = match (message, kind) {
        (Some(message), Some(kind)) => format!("{message} ({kind})"),
        (message, kind) => message.or(kind).or_else(|| line_of(item, depth + 1))?,
    };
    Some(match place {
        Some(place) => join(&place, &said),
        None => said,
    })
}

/// `["body", "username"]` as `body.username`.
fn place(value: &Value) -> Option<String> {
    match value {
        Value::Array(parts) => {
            let parts: Vec<_> = parts.iter().filter_map(scalar).collect();
            (!parts.is_empty()).then(|| parts.join("."))
        }
        value => scalar(value),
    }
}

/// A member, whatever the case of its name.
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_json_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

fn join(first: &str, second: &str) -> String {
    if first == second || second.starts_with(first) { second.to_owned() } else { format!("{first}: {second}") }
}

fn looks_binary(text: &str) -> bool {
    let broken = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER || c.is_control()).count();
    broken.saturating_mul(10) > text.chars().count()
}

/// HTML by its title; other markup by its text.
fn markup(text: &str) -> Told {
    let lower = text.to_ascii_lowercase();
    let title = || {
        let from = lower.find("<title")?;
        let from = from + lower.get(from..)?.find('>')? + 1;
        let length = lower.get(from..)?.find('<')?;
        let title = text.get(from..from + length)?.trim();
        (!title.is_empty()).then(|| title.to_owned())
    };
    let is_html = lower.starts_with("<!doctype html") || lower.contains("<html") || lower.contains("<body");
    match title() {
        Some(title) => Told::Titled("an HTML page", title),
        None if is_html => Told::Described("an HTML page"),
        None => match without_tags(text) {
            words if words.is_empty() => Told::Described("markup without text"),
            words => Told::Said(words),
        },
    }
}

/// The text of markup.
pub(super) fn without_tags(text: &str) -> String {
    let mut words = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                words.push(' ');
            }
            c if !in_tag => words.push(c),
            _ => {}
        }
    }
    words.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::settings;
    use super::*;

    fn check(body: &str, wanted: &str) {
        let said = told(body.as_bytes(), &HeaderMap::new(), false, &settings().response);
        assert_eq!(said, Told::Said(wanted.to_owned()), "{body}");
    }

    #[test]
    fn the_standard_error_is_code_and_description() {
        check(r#"{"error":"invalid_client"}"#, "invalid_client");
        check(r#"{"error":"invalid_client","error_description":"Nope"}"#, "invalid_client: Nope");
        check(r#"{"error":"invalid_request","error_uri":"https://x"}"#, "invalid_request");
        check("\u{feff}{\"error\":\"x\"}", "x");
    }

    #[test]
    fn the_envelopes_of_the_five_vendors_become_one_line() {
        // stretch
        check(
            r#"{"code": 400, "error": "gateway_auth_wrong_redirect_url", "message": "Wrong redirect url or not set"}"#,
            "gateway_auth_wrong_redirect_url: Wrong redirect url or not set",
        );
        check("{\"code\": 400\n\"error\": \"gateway_auth\"\n}", "{\"code\": 400\n\"error\": \"gateway_auth\"\n}");
        check(
            r#"{"detail":[{"loc":["body","username"],"msg":"field required","type":"value_error.missing"},{"loc":["body",1],"msg":"m"}]}"#,
            "body.username: field required (value_error.missing); body.1: m",
        );
        // klearstack
        check(
            "One or Many Required parameters from company name must be missing, E.g error \"Company Name\",",
            "One or Many Required parameters from company name must be missing, E.g error \"Company Name\",",
        );
        // auth0
        check(r#"{"error":"access_denied","error_description":"Unauthorized"}"#, "access_denied: Unauthorized");
        // wrapped
        check(
            r#"{"error": {"code": "401021", "code_reason": "invalid_client", "message": "Invalid client_id"}}"#,
            "invalid_client: Invalid client_id",
        );
        check(
            r#"{"error": "{\"code\": \"403001\", \"code_reason\": \"forbidden\", \"message\": \"No\"}"}"#,
            "forbidden: No",
        );
        check(r#"{"error": "json-string"}"#, "json-string");
        // orglogin
        check(
            r#"{"code": 401, "detail": "Authentication failed", "type": "authentication_error"}"#,
            "authentication_error: Authentication failed",
        );
        check(
            r#"{"code":422,"detail":"Invalid","type":"validation_error","errors":[{"location":["body","username"],"message":"required","type":"missing"}]}"#,
            "validation_error: Invalid: body.username: required (missing)",
        );
        check(
            r#"{"code":422,"detail":[{"location":"body","message":"required","type":"missing"}],"type":"validation_error"}"#,
            "validation_error: body: required (missing)",
        );
    }

    #[test]
    fn configured_places_come_first() {
        let mut shape = settings().response;
        shape.error_code = "/error/code_reason".to_owned();
        shape.error_message = "/error/message".to_owned();
        let body = br#"{"error": {"code": "400013", "code_reason": "invalid_request", "message": "Missing"}}"#;
        assert_eq!(told(body, &HeaderMap::new(), false, &shape), Told::Said("invalid_request: Missing".to_owned()));
        let value = serde_json::from_slice(body).unwrap();
        assert_eq!(code(&value, &shape).as_deref(), Some("invalid_request"));
        let standard = serde_json::json!({ "error": "invalid_client" });
        assert_eq!(code(&standard, &shape).as_deref(), Some("invalid_client"));
    }

    #[test]
    fn other_common_shapes_are_read_too() {
        check(r#"{"Message":"Forbidden"}"#, "Forbidden");
        check(r#"{"message":null,"detail":"x"}"#, "x");
        check(r#"{"errors":["a","b","c","d","e"]}"#, "a; b; c; and 2 more");
        check(r#"{"errorCode":"E0000004","errorSummary":"Authentication failed"}"#, "E0000004: Authentication failed");
        check(r#"{"type":"about:blank","title":"Unauthorized","status":401}"#, "about:blank: Unauthorized");
        check(r#"{"error":{"message":{"text":"deep"}},"x":1}"#, r#"{"error":{"message":{"text":"deep"}},"x":1}"#);
        check(r#""just a text""#, "just a text");
        check(r#"{"x":1}"#, r#"{"x":1}"#);
        check(r#"{"error":null}"#, r#"{"error":null}"#);
        check("<?xml version=\"1.0\"?><Error><Code>Denied</Code></Error>", "Denied");
    }

    #[test]
    fn what_is_not_worth_quoting_is_described() {
        let check = |body: &[u8], wanted: Told| {
            assert_eq!(
                told(body, &HeaderMap::new(), false, &settings().response),
                wanted,
                "{}",
                String::from_utf8_lossy(body)
            );
        };
        check(b"", Told::Described("empty body"));
        check(b" \r\n", Told::Described("empty body"));
        check(b"<html><head><title> Bad\nGateway </title>", Told::Titled("an HTML page", "Bad\nGateway".to_owned()));
        check(b"<!DOCTYPE HTML><body>x", Told::Described("an HTML page"));
        check(b"\xff\xfe{\0}\0", Told::Said("{}".to_owned()));
        check(b"\x1f\x8b\x08\x00\xff\xfe\x80\x81", Told::Described("a body that is not text"));
        check(b"\x80abc def ghi jkl mno", Told::Said("\u{fffd}abc def ghi jkl mno".to_owned()));
        assert_eq!(told(b"x", &HeaderMap::new(), true, &settings().response), Told::Described("a compressed body"));
    }

    #[test]
    fn errors_wrapped_in_errors_end_somewhere() {
        let mut text = "\"bottom\"".to_owned();
        for _ in 0..12 {
            text = format!("{{\"error\":{text}}}");
        }
        check(&text, &text);
        let deep = "{\"error\":".repeat(10_000);
        check(&deep, &deep);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            told(&body, &HeaderMap::new(), false, &settings().response);
        }

        #[test]
        fn no_json_makes_it_panic(body in "[\\[\\]{}\",:0-9a-z<> ]{0,60}") {
            told(body.as_bytes(), &HeaderMap::new(), false, &settings().response);
        }
    }
}
