//! A member of a secret that is JSON: a service account's key file, the `--output json` of a cloud's command.
//!
//! Owns the way from a text and a JSON Pointer (RFC 6901) to the member's own text. Makes no tree of the whole: whatever is not asked for
//! is skipped where it stands, and the one copy that is made is wiped. A member that comes twice is refused, since two readers could
//! take two different ones. No message shows a value.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// How many member names are told when the one that is wanted is not among them.
const MOST_NAMES: usize = 8;

/// Why a pointer leads to no secret. Shows names of members that look like names, and no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// The text is no JSON, or has a member twice on the way.
    #[error("is not JSON, which `pointer` needs ({0})")]
    NotJson(String),
    /// There is nothing at the pointer.
    #[error("has no {pointer}{names}")]
    Missing {
        /// Up to where it leads nowhere.
        pointer: String,
        /// `; there are: type, project_id`.
        names: String,
    },
    /// What is there is no secret.
    #[error("has no secret at {pointer}: it is {kind}")]
    NoSecret {
        /// The pointer.
        pointer: String,
        /// What it is instead.
        kind: &'static str,
    },
}

/// The text at `pointer`: that of a string, the digits of a number, the JSON of an object or a list (a JWK, for one).
pub(super) fn member(text: &str, pointer: &str) -> Result<Zeroizing<String>, PointerError> {
    let mut found = text.trim();
    // The whole must be JSON, not only the way to the member.
    serde_json::from_str::<IgnoredAny>(found).map_err(|error| not_json(&error))?;
    let mut walked = String::new();
    for token in pointer.split('/').skip(1) {
        walked.push('/');
        walked.push_str(token);
        // RFC 6901 §4: `~1` first.
        let name = token.replace("~1", "/").replace("~0", "~");
        found = step(found, &name)?.map_err(|names| PointerError::Missing { pointer: walked.clone(), names })?;
    }
    let no_secret = |kind| PointerError::NoSecret { pointer: pointer.to_owned(), kind };
    match found.as_bytes().first() {
        Some(b'"') => match unquoted(found) {
            Some(text) if text.is_empty() => Err(no_secret("an empty string")),
            Some(text) => Ok(text),
            None => Err(no_secret("a string that is not Unicode")),
        },
        Some(b'n') => Err(no_secret("null")),
        Some(b't' | b'f') => Err(no_secret("true or false")),
        _ => Ok(Zeroizing::new(found.to_owned())),
    }
}

/// One member of an object or a list; `Ok(Err(…))` with the names that there are instead.
fn step<'a>(text: &'a str, name: &str) -> Result<Result<&'a str, String>, PointerError> {
    let found = match text.as_bytes().first() {
        Some(b'{') => serde_json::Deserializer::from_str(text).deserialize_map(Members { name }),
        Some(b'[') => serde_json::Deserializer::from_str(text).deserialize_seq(Items { index: index(name) }),
        _ => return Ok(Err(String::new())),
    };
    found.map_err(|error| not_json(&error))
}

/// RFC 6901 §4: no sign and no leading zero.
fn index(name: &str) -> Option<usize> {
    let is_index = name == "0" || !name.starts_with(['0', '+']);
    is_index.then(|| name.parse().ok()).flatten()
}

/// `serde_json` tells the place and the kind of a mistake and nothing of the text.
fn not_json(error: &serde_json::Error) -> PointerError {
    PointerError::NotJson(error.to_string())
}

struct Members<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Result<&'de str, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut names = Vec::new();
        while let Some(Name(name)) = entries.next_key()? {
            if name != self.name {
                entries.next_value::<IgnoredAny>()?;
                if is_name(&name) && names.len() < MOST_NAMES {
                    names.push(name.into_owned());
                }
            } else if found.replace(entries.next_value::<&RawValue>()?.get()).is_some() {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        let told = if names.is_empty() { String::new() } else { format!("; there are: {}", names.join(", ")) };
        Ok(found.ok_or(told))
    }
}

struct Items {
    index: Option<usize>,
}

impl<'de> Visitor<'de> for Items {
    type Value = Result<&'de str, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut count = 0;
        while let Some(item) = items.next_element::<&RawValue>()? {
            if self.index == Some(count) {
                found = Some(item.get());
            }
            count += 1;
        }
        Ok(found.ok_or_else(|| format!("; it is a list of {count}")))
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Whether a member's name is one that a person gave, and may be shown.
fn is_name(name: &str) -> bool {
    (1..=24).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'))
}

/// What a JSON string says (RFC 8259 §7), in one piece of memory. `None` if an escape is half of a character.
fn unquoted(json: &str) -> Option<Zeroizing<String>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    // No escape is shorter than what it stands for.
    let mut text = Zeroizing::new(String::with_capacity(inner.len()));
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match rest.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => escaped(&mut rest)?,
            other => other,
        });
    }
    Some(text)
}

fn escaped(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let unit = |rest: &mut std::str::Chars<'_>| {
        let digits = rest.as_str().get(..4)?;
        rest.nth(3);
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(rest)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first.into());
    }
    if rest.next()? != '\\' || rest.next()? != 'u' {
        return None;
    }
    char::decode_utf16([first, unit(rest)?]).next()?.ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY_FILE: &str = r#"{
        "type": "service_account", "private_key": "-----BEGIN\nx\u00e9\ud83d\ude00\/\"\\\n", "n": 12.50,
        "a/b": {"m~n": ["zero", {"deep": "x"}]}, "jwk": { "kty": "EC" }, "none": null, "yes": true, "": "nameless"
    }"#;

    #[test]
    fn a_pointer_leads_to_a_members_text() {
        let check = |pointer: &str, wanted: &str| {
            assert_eq!(member(KEY_FILE, pointer).map(|text| text.to_string()).as_deref(), Ok(wanted), "{pointer}");
        };
        check("/type", "service_account");
        check("/private_key", "-----BEGIN\nxé😀/\"\\\n");
        check("/n", "12.50");
        check("/a~1b/m~0n/0", "zero");
        check("/a~1b/m~0n/1/deep", "x");
        check("/jwk", r#"{ "kty": "EC" }"#);
        check("/", "nameless");
        assert_eq!(**member(" \"whole\"\n", "").as_ref().unwrap(), *"whole");
    }

    #[test]
    fn what_leads_nowhere_is_said_with_the_names_that_there_are_and_no_value() {
        let check = |text: &str, pointer: &str, wanted: &str| {
            let error = member(text, pointer).unwrap_err().to_string();
            assert_eq!(error, wanted, "{pointer}");
        };
        let names = "has no /privatekey; there are: type, private_key, n, jwk, none, yes";
        check(KEY_FILE, "/privatekey", names);
        check(KEY_FILE, "/jwk/k", "has no /jwk/k; there are: kty");
        check(KEY_FILE, "/type/x", "has no /type/x");
        check(KEY_FILE, "/a~1b/m~0n/7", "has no /a~1b/m~0n/7; it is a list of 2");
        check(KEY_FILE, "/a~1b/m~0n/00", "has no /a~1b/m~0n/00; it is a list of 2");
        check(KEY_FILE, "/a~1b/m~0n/+0", "has no /a~1b/m~0n/+0; it is a list of 2");
        check(KEY_FILE, "/none", "has no secret at /none: it is null");
        check(KEY_FILE, "/yes", "has no secret at /yes: it is true or false");
        check(r#"{"a":""}"#, "/a", "has no secret at /a: it is an empty string");
        check(r#"{"a":"\ud800"}"#, "/a", "has no secret at /a: it is a string that is not Unicode");
        check("hunter2", "/a", "is not JSON, which `pointer` needs (expected value at line 1 column 1)");
        check(r#"{"a":1"#, "/a", "is not JSON, which `pointer` needs (EOF while parsing an object at line 1 column 6)");
        check(r#"{"a":1} x"#, "/a", "is not JSON, which `pointer` needs (trailing characters at line 1 column 9)");
        let twice = member(r#"{"a":"hunter2","a":"hunter3"}"#, "/a").unwrap_err().to_string();
        assert!(twice.contains("a member comes twice") && !twice.contains("hunter"), "{twice}");
    }

    proptest! {
        #[test]
        fn every_string_comes_out_as_it_went_in(text in "\\PC{1,40}|[\\x00-\\x7f]{1,40}") {
            let json = serde_json::json!({ "x": 1, "secret": [text] }).to_string();
            prop_assert_eq!(&**member(&json, "/secret/0").unwrap(), &text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9a-zé\\\\u ]{0,40}", pointer in "(/[a-z0-9~]{0,3}){0,3}") {
            let _ = member(&text, &pointer);
        }
    }
}
