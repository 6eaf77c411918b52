//! Words that nobody would write and a token could be.
//!
//! Owns the guessing by looks, for tokens that no mask knows since nobody has them yet: an answer that was not understood may be one.
//! Knows no values. Two measures: [`Strictness::Prose`] for texts that are surely about an error, where identifiers help a reader, and
//! [`Strictness::Words`] for answers that should have held a token, of which plain words alone are shown.

use std::ops::Range;

/// From this many characters on a word can be a token worth stealing, whatever the text around it is.
const SHORTEST: usize = 16;

/// The longest plain word.
const LONGEST_WORD: usize = 30;

/// The longest plain word of an answer that should have held a token.
const LONGEST_STRICT: usize = 15;

/// So many words besides make a text of one that only mentions an identifier.
const WORDS_OF_PROSE: usize = 4;

/// How much like a token a word must look to be taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Long, and no words of any language, nor numbers of errors; UUIDs in a sentence are names of things.
    Prose,
    /// Anything but plain words and short numbers.
    Words,
}

/// The words of a text that may be tokens.
pub(super) fn words(text: &str, strictness: Strictness) -> Vec<Range<usize>> {
    let is_prose = is_prose(text);
    runs(text)
        .filter(|range| {
            let word = text.get(range.clone()).unwrap_or_default();
            match strictness {
                Strictness::Prose if is_prose => is_opaque(&without_uuids(word)),
                Strictness::Prose => is_opaque(word),
                Strictness::Words => !is_plain(word),
            }
        })
        .collect()
}

/// Whether a text is one lower-case code, such as `invalid_scope`.
pub(super) fn is_code(text: &str) -> bool {
    text.contains('_') && is_plain(text) && text.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
}

/// Whether a member could be called so by somebody who wrote a server.
pub(super) fn is_name(text: &str) -> bool {
    segments(text).all(|segment| {
        let letters = segment.trim_end_matches(|c: char| c.is_ascii_digit());
        segment.len() - letters.len() <= 2 && (letters.is_empty() || is_camel(letters))
    })
}

/// Pieces of the characters that tokens are made of.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let belongs = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=!".contains(c);
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(belongs)?;
        let rest = text.get(start..)?;
        let end = start + rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        from = end;
        Some(start..end)
    })
}

/// A sentence, and no data.
fn is_prose(text: &str) -> bool {
    let is_word = |word: &&str| word.chars().all(|c| c.is_alphabetic() || ".,;:'()".contains(c));
    !text.starts_with(['{', '[', '<']) && text.split_whitespace().filter(is_word).count() >= WORDS_OF_PROSE
}

fn segments(word: &str) -> impl Iterator<Item = &str> {
    word.split(['-', '_', '.', '~', '+', '/', '=', '!']).filter(|segment| !segment.is_empty())
}

fn is_opaque(word: &str) -> bool {
    word.len() >= SHORTEST && !segments(word).all(is_readable)
}

/// A word, a number, or what errors are numbered by: `AADSTS7000215`, `oauth2`, `12ms`.
fn is_readable(segment: &str) -> bool {
    let of = |text: &str, digit: bool| text.bytes().take_while(|c| c.is_ascii_digit() == digit).count();
    let (letters, digits) = (of(segment, false), of(segment, true));
    let (head, tail) = segment.split_at(letters.max(digits));
    let is_number = |text: &str| text.len() <= 10 && text.bytes().all(|c| c.is_ascii_digit());
    match letters {
        0 => is_number(head) && tail.len() <= 2 && tail.bytes().all(|c| c.is_ascii_alphabetic()),
        _ => is_camel(head) && is_number(tail),
    }
}

/// Letters as people write them: not longer than words are, with large ones where words begin.
fn is_camel(letters: &str) -> bool {
    let is_letters = letters.bytes().all(|c| c.is_ascii_alphabetic());
    let humps = letters
        .as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
    is_letters && letters.len() <= LONGEST_WORD && (humps.count() + 1) * 3 <= letters.len().max(3) + 1
}

/// `Client`, `invalid_scope`, `API`, `403`: nothing that mixes letters and digits.
fn is_plain(word: &str) -> bool {
    let word = word.trim_end_matches(['.', '-', '/', '!']);
    let is_number = word.len() <= 6 && word.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let is_word = |segment: &str| {
        let rest = segment.get(1..).unwrap_or_default();
        let is_one = |test: fn(&u8) -> bool| rest.as_bytes().iter().all(test);
        segment.len() <= LONGEST_STRICT
            && segment.bytes().all(|c| c.is_ascii_alphabetic())
            && (is_one(u8::is_ascii_lowercase) || segment.bytes().all(|c| c.is_ascii_uppercase()))
    };
    is_number || !word.contains(['+', '=', '~', '!']) && segments(word).all(is_word) && segments(word).count() <= 6
}

fn without_uuids(word: &str) -> String {
    const LENGTH: usize = 36;
    let mut kept = word.to_owned();
    let mut at = 0;
    while let Some(piece) = kept.get(at..at + LENGTH) {
        if is_uuid(piece) {
            kept.replace_range(at..at + LENGTH, "");
        } else {
            at += 1;
        }
    }
    kept
}

/// RFC 9562 §4.
fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.bytes().all(|c| c == b'-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tokens of all the forms that servers hand out.
    pub(in crate::oauth) const TOKENS: &[&str] = &[
        "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "5F4DCC3B5AA765D61D8327DEB882CF99",
        "0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f",
        "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ+/8=",
        "dGhpcyBpcyBhIHRva2VuIG9mIHNvbWVib2R5",
        "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
        "00D5e000000HZvk!AQEAQFJVKd8pC2NY_1cGeMqYxXf0XBdUgCzK",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "v2.local.4fTrQ0pT2mB8kD1uYs6nXw9cZa7eHg3jLr5i",
    ];

    /// Too short to be told from names but where an answer should have held a token.
    pub(in crate::oauth) const SHORT_TOKENS: &[&str] = &["a1b2c3d4", "tok-1", "Zx9", "QwErTyUi", "YWJjZGVmZ2g="];

    #[track_caller]
    fn check(text: &str, strictness: Strictness, wanted: &[&str]) {
        let found: Vec<_> = words(text, strictness).into_iter().map(|range| text.get(range).unwrap()).collect();
        assert_eq!(found, wanted, "{text}");
    }

    #[test]
    fn tokens_are_found_in_every_form() {
        for token in TOKENS {
            assert!(!words(token, Strictness::Prose).is_empty(), "{token}");
            assert!(!words(token, Strictness::Words).is_empty(), "{token}");
            assert!(!is_code(token) && !is_name(token), "{token}");
        }
        for token in SHORT_TOKENS {
            assert!(!words(token, Strictness::Words).is_empty(), "{token}");
        }
    }

    #[test]
    fn what_errors_say_stays() {
        let said = [
            "invalid_client: AADSTS7000215: Invalid client secret provided.",
            "AADSTS700016: Application with identifier '0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f' was not found in the directory",
            "gateway_auth_wrong_redirect_url: Wrong redirect url or not set",
            "https://login.microsoftonline.com/0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f/oauth2/v2.0/token was not found here",
            "no Route matched with those values, at /realms/master/protocol/openid-connect/token on 2024-01-01T12:00:00.000Z",
            "org.springframework.security.oauth2.common.exceptions.InvalidClientException",
            "value_error.missing.ResourceNotFoundException",
            "upstream ip-10-0-113-17.eu-central-1.compute.internal:8443 did not answer in 10000ms",
            "One or Many Required parameters from company name must be missing, E.g error \"Company Name\",",
        ];
        for text in said {
            check(text, Strictness::Prose, &[]);
        }
        check("Unauthorized, see docs/errors (403): invalid_scope. Try later!", Strictness::Words, &[]);
    }

    #[test]
    fn of_a_success_plain_words_alone_stay() {
        check("Client unknown, a1b2c3", Strictness::Words, &["a1b2c3"]);
        check("x: abcdefghijklmnop", Strictness::Words, &["abcdefghijklmnop"]);
        check(
            "client 0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f is not known here today",
            Strictness::Words,
            &["0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f"],
        );
        check(
            "{\"token\": \"0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f\", \"a\": 1, \"b\": 2, \"c\": 3}",
            Strictness::Prose,
            &["0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f"],
        );
    }

    #[test]
    fn codes_and_names_are_what_people_write() {
        for code in ["invalid_scope", "temporarily_unavailable"] {
            assert!(is_code(code) && is_name(code), "{code}");
        }
        for name in ["data", "accessToken", "access_token", "expiresIn", "ID", "oauth2", "x-request-id", "userId"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["a1b2c3d4", "YWJjZGVmZ2g", "QwErTyUi"] {
            assert!(!is_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,120}") {
            words(&text, Strictness::Prose);
            words(&text, Strictness::Words);
            is_code(&text);
            is_name(&text);
        }
    }
}
