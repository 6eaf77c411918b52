//! Where an answer most likely has its token, when it is not where the configuration says.
//!
//! Owns the guessing by names of members; decides nothing. No value comes out of here, and no name that could be one.

use http::HeaderMap;
use serde_json::Value;

use super::settings::Format;
use super::{format, opaque};
use crate::secret;

/// How deep a token may be wrapped.
const DEEPEST: usize = 6;

/// The longest name that is shown.
const LONGEST_NAME: usize = 40;

/// The pointer (RFC 6901) to the text whose name says best that it is an access token; the shallowest of several.
pub(super) fn token_at(body: &[u8], headers: &HeaderMap, format: Format) -> Option<String> {
    let mut answer = format::parse(body, headers, format).ok()?;
    if answer.as_str().is_some_and(|text| !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic())) {
        secret::wipe(&mut answer);
        // The whole answer is one word.
        return Some(String::new());
    }
    let mut found = Vec::new();
    walk(&answer, "", 0, &mut found);
    secret::wipe(&mut answer);
    found.into_iter().min().map(|(_, _, pointer)| pointer)
}

/// Collects rank, depth and pointer of every text whose name speaks of a token.
fn walk(value: &Value, pointer: &str, depth: usize, found: &mut Vec<(u8, usize, String)>) {
    if depth >= DEEPEST {
        return;
    }
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => return,
    };
    for (name, member) in members.iter().filter(|(name, _)| is_shown(name)) {
        let pointer = format!("{pointer}/{name}");
        // A leaf of XML may have attributes.
        let is_text = format::at(member, "").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        match rank(name) {
            Some(rank) if is_text => found.push((rank, depth, pointer)),
            _ => walk(member, &pointer, depth + 1, found),
        }
    }
}

/// Nothing that would have to be escaped, in a pointer or on a screen.
fn is_shown(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'))
        && opaque::is_name(name)
}

/// How surely a member of this name is an access token; the smallest is the surest.
fn rank(name: &str) -> Option<u8> {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // What is said of a token, or is another one.
    let about = ["type", "format", "endpoint", "url", "uri", "expires", "expiry", "expiration", "scope", "name", "id"];
    let is_about = about.iter().any(|end| name.ends_with(end)) || name.contains("expires");
    match name.as_str() {
        "accesstoken" => Some(0),
        "token" => Some(1),
        // OpenAM calls its session so.
        "tokenid" => Some(3),
        other if !other.contains("token") || is_about || other.contains("refresh") || other.contains("csrf") => None,
        "idtoken" => Some(3),
        _ => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, wanted: Option<&str>) {
        let found = token_at(body.as_bytes(), &HeaderMap::new(), Format::Auto);
        assert_eq!(found.as_deref(), wanted, "{body}");
    }

    #[test]
    fn a_pointer_leads_to_a_text_that_is_there() {
        check(r#"{"data":{"token":"x"}}"#, Some("/data/token"));
        check(r#"{"token_type":"Bearer","data":{"authToken":"x"}}"#, Some("/data/authToken"));
        check(r#"{"token":"a","result":{"access_token":"x"}}"#, Some("/result/access_token"));
        check(r#"{"token":{"value":"x","accessToken":"y"}}"#, Some("/token/accessToken"));
        check(r#"{"list":[{"token":"x"}]}"#, Some("/list/0/token"));
        check(r#"{"id_token":"x","session_token":"y"}"#, Some("/session_token"));
        check("<oauth><token>a</token></oauth>", Some("/oauth/token"));
        check("\"a.b-c\"", Some(""));
    }

    #[test]
    fn no_pointer_is_made_up() {
        check(r#"{"success":false,"message":"Client unknown"}"#, None);
        check(r#"{"token":7,"access_token":"","data":{"token":null}}"#, None);
        check(r#"{"refresh_token":"x","token_type":"Bearer","csrf_token":"y","token_expires_at":"z"}"#, None);
        check(r#"{"a b/c":{"token":"x"}}"#, None);
        check("[]", None);
        check("hello", None);
        check("\"not now\"", None);
        check(r#"{"5f4dcc3b5aa765d61d8327deb882cf99":{"token":"x"}}"#, None);
    }
}
