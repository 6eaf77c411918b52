//! The token where an answer repeats it: a server that sends a caller elsewhere, to log in say, likes to add where he came from, and
//! with that the token in the query that he never had.
//!
//! Owns what of a reference is the token. Pure functions; `links` turns what is left.

use std::ops::Range;

use http::header::{HeaderMap, HeaderValue};

use super::links::REFERENCES;
use crate::secret::Secret;

/// How often a token may be encoded: as it was sent, in a parameter that holds a reference, and once more.
const DEPTH: usize = 3;

/// Cuts the token out of the references in an answer's head, however often it was encoded on the way there.
pub(super) fn silence(fields: &mut HeaderMap, token: &Secret) {
    for name in &REFERENCES {
        if !fields.get_all(name).iter().any(|value| find(value.as_bytes(), token).is_some()) {
            continue;
        }
        let values: Vec<HeaderValue> = fields.get_all(name).iter().cloned().collect();
        fields.remove(name);
        // A part of what was legal.
        let silenced =
            values.iter().filter_map(|value| HeaderValue::from_bytes(&without(value.as_bytes(), token)).ok());
        silenced.for_each(|value| {
            fields.append(name, value);
        });
    }
}

fn without(text: &[u8], token: &Secret) -> Vec<u8> {
    let mut text = text.to_vec();
    // What is cut may join what is left to another.
    while let Some(found) = find(&text, token) {
        text.drain(found);
    }
    text
}

/// A character as some reader would decode it, and where it stands.
struct Unit {
    byte: u8,
    place: Range<usize>,
}

/// Where the token stands for somebody who decodes the text never, once, twice…
fn find(text: &[u8], token: &Secret) -> Option<Range<usize>> {
    let token = token.expose().as_bytes();
    let mut units: Vec<Unit> =
        text.iter().enumerate().map(|(at, byte)| Unit { byte: *byte, place: at..at + 1 }).collect();
    for _ in 0..=DEPTH {
        // A space may be a plus sign.
        let is_it = |unit: &Unit, byte: &u8| unit.byte == *byte || unit.byte == b'+' && *byte == b' ';
        let mut windows = units.windows(token.len().max(1));
        let found = windows.find(|window| window.iter().zip(token).all(|(unit, byte)| is_it(unit, byte)));
        let ends = found.filter(|_| !token.is_empty()).map(|found| (found.first(), found.last()));
        if let Some((Some(first), Some(last))) = ends {
            return Some(first.place.start..last.place.end);
        }
        let before = units.len();
        units = decoded(units);
        if units.len() == before {
            return None;
        }
    }
    None
}

fn decoded(units: Vec<Unit>) -> Vec<Unit> {
    let mut decoded: Vec<Unit> = Vec::with_capacity(units.len());
    let mut units = units.as_slice();
    while let [first, rest @ ..] = units {
        let digit = |unit: &Unit| char::from(unit.byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (unit, rest) = match rest {
            [high, low, after @ ..] if first.byte == b'%' => match (digit(high), digit(low)) {
                (Some(upper), Some(lower)) => {
                    (Unit { byte: upper * 16 + lower, place: first.place.start..low.place.end }, after)
                }
                _ => (Unit { byte: first.byte, place: first.place.clone() }, rest),
            },
            _ => (Unit { byte: first.byte, place: first.place.clone() }, rest),
        };
        decoded.push(unit);
        units = rest;
    }
    decoded
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_LOCATION, LINK, LOCATION, REFRESH};

    use super::*;

    fn check(token: &str, before: &str, after: &str) {
        for name in [LOCATION, CONTENT_LOCATION, LINK, REFRESH] {
            let other = HeaderValue::from_static("/other");
            let mut fields =
                HeaderMap::from_iter([(name.clone(), before.parse().unwrap()), (name.clone(), other.clone())]);
            silence(&mut fields, &Secret::new(token));
            let found: Vec<_> = fields.get_all(&name).iter().collect();
            assert_eq!(found, [after, "/other"], "{name}");
        }
    }

    #[test]
    fn the_token_is_cut_out_of_references() {
        check(
            "tok12345",
            "/login?next=%2Fq%3Fx%3D1%26access_token%3Dtok12345",
            "/login?next=%2Fq%3Fx%3D1%26access_token%3D",
        );
        check("tok12345", "/x?access_token=tok12345&y=tok12345#tok12345", "/x?access_token=&y=#");
        check("tok12345", "5; url=/x?access_token=tok12345", "5; url=/x?access_token=");
        check("tok12345", "/x?t=tok1234", "/x?t=tok1234");
        // Cut once, it would be there again.
        check("tok12345", "/x?t=tok1tok123452345", "/x?t=");
    }

    #[test]
    fn however_often_it_was_encoded() {
        let token = "a+b/c=12 3";
        check(token, "/x?k=a+b/c=12+3&z", "/x?k=&z");
        check(token, "/x?k=a%2Bb%2Fc%3D12%203&z", "/x?k=&z");
        check(token, "/x?k=a%2bb%2fc=12+3&z", "/x?k=&z");
        check(token, "/x?n=%2F%3Fk%3Da%252Bb%252Fc%253D12%25203%26z", "/x?n=%2F%3Fk%3D%26z");
        check(token, "/x?n=a%25252Bb%25252Fc%25253D12%2525203%26z", "/x?n=%26z");
        check("tok12345", "/x?n=%74ok12345%2", "/x?n=%2");
        check("é12345", "/x?n=%C3%A912345", "/x?n=");
    }

    #[test]
    fn other_fields_and_answers_stay() {
        let mut fields = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("tok12345"))]);
        silence(&mut fields, &Secret::new("tok12345"));
        assert_eq!(fields[http::header::ETAG], "tok12345");
    }
}
