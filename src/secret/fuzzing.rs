//! Properties of secrets' places that hold for any bytes.
#![allow(clippy::unwrap_used, reason = "a broken property is a panic, as in a test")]

use serde_json::Value;

use super::json::member;

/// A pointer leads where it leads in any other reader of JSON, or nowhere; no message shows a value.
///
/// The first line is the pointer, what follows the text.
pub(crate) fn json_pointer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pointer, text) = text.split_once('\n').unwrap_or((text, ""));
    // The configuration refuses other pointers.
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return;
    }
    let found = member(text, pointer);
    let other: Result<Value, _> = serde_json::from_str(text.trim());
    match (&found, &other) {
        // What is not asked for is skipped, half characters and numbers beyond all measure in it too.
        (Ok(_), Err(_)) => {}
        (Ok(found), Ok(other)) => match other.pointer(pointer) {
            Some(Value::String(text)) => assert_eq!(**found, *text),
            Some(other) => assert_eq!(serde_json::from_str::<Value>(found).unwrap(), *other),
            None => unreachable!("{pointer} leads nowhere to others"),
        },
        (Err(error), other) => {
            let error = error.to_string();
            let mut texts = Vec::new();
            other.iter().for_each(|value| collect(value, &mut texts));
            for secret in
                texts.iter().filter(|secret| secret.len() >= 12 && !names(text, secret) && !pointer.contains(**secret))
            {
                assert!(!error.contains(*secret) || is_the_same_without(text, pointer, secret, &error), "{error}");
            }
        }
    }
}

/// Whether another value in its place leads to the same message, which then says by chance what the value says.
fn is_the_same_without(text: &str, pointer: &str, secret: &str, error: &str) -> bool {
    let other = text.replace(secret, &"x".repeat(secret.len()));
    other != text && member(&other, pointer).is_err_and(|other| other.to_string() == error)
}

/// All texts that are values.
fn collect<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => members.values().for_each(|member| collect(member, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a member somewhere in the text may be called so: names are shown. And what the parser itself says of a text is not ours.
fn names(text: &str, secret: &str) -> bool {
    let is_ours = "is not JSON, which `pointer` needs (expected value at line column trailing characters EOF while parsing an object)";
    is_ours.contains(secret) || text.matches(secret).count() > 1
}
