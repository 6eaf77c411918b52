//! The head of an answer (RFC 9112 §§4–6): from bytes to fields, and how the body after it ends.
//!
//! Pure. Refuses heads that two readers could understand in two ways.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version, response};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use crate::http1::body::{BadChunks, Decoder};
use crate::http1::is_mere_option;

/// Longest head, in bytes (DESIGN section 6).
pub(in crate::upstream) const LIMIT: usize = 64 * 1024;
/// Most fields.
const FIELDS: usize = 256;

/// Most bytes of a chunked body that are neither size nor content.
const MOST_BESIDE: usize = 16 * 1024;

/// A head that is whole.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: response::Parts,
    /// What follows it.
    pub(super) body: Decoder,
    /// Whether the connection may serve another request afterwards.
    pub(super) persists: bool,
}

/// What has come is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not HTTP/1.
    #[error("the answer is not HTTP/1: {0}")]
    Syntax(#[from] httparse::Error),
    /// Longer than we read.
    #[error("the head of the answer is longer than 64 KiB")]
    TooLong,
    /// No number, or several that differ.
    #[error("the answer's Content-Length is not one number")]
    Length,
    /// A coding that we do not know.
    #[error("the answer's Transfer-Encoding is not \"chunked\"")]
    Coding,
    /// Chunks that are none.
    #[error("in the answer {0}")]
    Chunks(#[from] BadChunks),
}

/// Reads a head off the front of `bytes`; `None` while it is not whole. `method` is that of the request. `Connection` is left out where
/// it says no more than [`Head::persists`] does.
///
/// # Errors
/// [`Malformed`] if this will never be one.
pub(super) fn read(bytes: &mut Bytes, method: &Method) -> Result<Option<Head>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let whole = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields)?;
    let Status::Complete(length) = whole else {
        return if bytes.len() >= LIMIT { Err(Malformed::TooLong) } else { Ok(None) };
    };
    if length > LIMIT {
        return Err(Malformed::TooLong);
    }
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(httparse::Error::Status)?;
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    if let Some(reason) = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason())
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        parts.extensions.insert(reason);
    }
    let mut framing = Framing::default();
    parts.headers.reserve(parsed.headers.len() + OUR_FIELDS);
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| httparse::Error::HeaderName)?;
        framing.note(&name, field.value)?;
        if name == header::CONNECTION && is_mere_option(field.value) {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value));
        parts.headers.append(name, value.map_err(|_| httparse::Error::HeaderValue)?);
    }
    let body = framing.body(method, status)?;
    framing.say_length_once(&mut parts.headers);
    let persists = framing.persists(parts.version) && !matches!(body, Decoder::UntilClose);
    let _ = bytes.split_to(length);
    Ok(Some(Head { parts, body, persists }))
}

/// So many fields are added on the way, so that the map need not grow. In most heads the place of `Connection` is free beside it.
const OUR_FIELDS: usize = 1;

/// What the fields say of the body's end and of the connection.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    /// How often the length was said.
    lengths: usize,
    coding: Option<Coding>,
    says_close: bool,
    says_keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Identity,
    /// One that we do not know, or several.
    Other,
}

impl Framing {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Malformed> {
        if *name == header::CONTENT_LENGTH {
            return self.note_length(value);
        }
        if *name == header::TRANSFER_ENCODING {
            self.coding = Some(match value.trim_ascii() {
                _ if self.coding.is_some() => Coding::Other,
                chunked if chunked.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
                identity if identity.eq_ignore_ascii_case(b"identity") => Coding::Identity,
                _ => Coding::Other,
            });
        } else if *name == header::CONNECTION {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.says_close |= option.eq_ignore_ascii_case(b"close");
                self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }

    /// One number, even if it was said several times (RFC 9110 §8.6).
    fn note_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for number in value.split(|byte| *byte == b',') {
            let number = decimal(number.trim_ascii()).ok_or(Malformed::Length)?;
            if self.length.is_some_and(|before| before != number) {
                return Err(Malformed::Length);
            }
            self.length = Some(number);
            self.lengths += 1;
        }
        Ok(())
    }

    /// Whoever gets the answer is told one length at most, and none beside chunks (RFC 9112 §6.3).
    fn say_length_once(&self, headers: &mut HeaderMap) {
        if self.coding.is_some() && self.lengths > 0 {
            headers.remove(header::CONTENT_LENGTH);
        } else if let Some(number) = self.length.filter(|_| self.lengths > 1) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(number));
        }
    }

    /// How the end of the body is found (RFC 9112 §6.3).
    fn body(&self, method: &Method, status: StatusCode) -> Result<Decoder, Malformed> {
        let has_none = *method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match self.coding {
            _ if has_none => Ok(Decoder::Length(0)),
            Some(Coding::Chunked) => Ok(Decoder::chunked(MOST_BESIDE)),
            Some(Coding::Identity) => Ok(Decoder::UntilClose),
            Some(Coding::Other) => Err(Malformed::Coding),
            None => Ok(self.length.map_or(Decoder::UntilClose, Decoder::Length)),
        }
    }

    /// RFC 9112 §9.3.
    fn persists(&self, version: Version) -> bool {
        // Both sayings about the length: an attempt at smuggling, perhaps (RFC 9112 §6.3).
        let is_ambiguous = self.coding.is_some() && self.lengths > 0;
        // An HTTP/1.0 server that speaks of transfer codings does not know what it does (RFC 9112 §6.1).
        let is_old = version == Version::HTTP_10;
        !is_ambiguous && !self.says_close && (!is_old || self.says_keep_alive && self.coding.is_none())
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // `parse` alone would take a sign.
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, method: &Method) -> Result<Option<(Head, String)>, Malformed> {
        let mut bytes = Bytes::copy_from_slice(text.as_bytes());
        let head = read(&mut bytes, method)?;
        Ok(head.map(|head| (head, String::from_utf8(bytes.to_vec()).unwrap())))
    }

    #[test]
    fn a_head_is_read_when_it_is_whole_and_what_follows_stays() {
        let text = "HTTP/1.1 200 Fine\r\nx: 1\r\nX: 2\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..text.len() - 3 {
            assert!(read_all(&text[..cut], &Method::GET).unwrap().is_none(), "{cut}");
        }
        let (head, rest) = read_all(text, &Method::GET).unwrap().unwrap();
        assert_eq!((head.parts.status.as_u16(), rest.as_str(), head.persists), (200, "abc", true));
        assert_eq!(head.parts.headers.get_all("x").iter().count(), 2);
        assert_eq!(head.parts.extensions.get::<ReasonPhrase>().unwrap().as_bytes(), b"Fine");
    }

    #[test]
    fn the_end_of_the_body_is_found_as_rfc_9112_says() {
        let check = |method: &Method, head: &str, wanted: Result<Decoder, Malformed>, persists: bool| {
            let text = format!("{head}\r\n\r\n");
            let found = read_all(&text, method).map(|found| found.unwrap().0);
            match (&found, &wanted) {
                (Ok(found), Ok(wanted)) => {
                    assert_eq!((&found.body, found.persists), (wanted, persists), "{head}");
                }
                (Err(found), Err(wanted)) => assert_eq!(found, wanted, "{head}"),
                _ => panic!("{head}: {found:?}"),
            }
        };
        let get = &Method::GET;
        check(get, "HTTP/1.1 200 OK\r\ncontent-length: 5", Ok(Decoder::Length(5)), true);
        check(get, "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5", Ok(Decoder::Length(5)), true);
        check(get, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: x, Close", Ok(Decoder::Length(5)), false);
        check(get, "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked", Ok(Decoder::chunked(MOST_BESIDE)), true);
        check(get, "HTTP/1.1 200 OK\r\ntransfer-encoding: identity", Ok(Decoder::UntilClose), false);
        check(get, "HTTP/1.1 200 OK", Ok(Decoder::UntilClose), false);
        check(get, "HTTP/1.1 204 No Content\r\ncontent-length: 5", Ok(Decoder::Length(0)), true);
        check(get, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5", Ok(Decoder::Length(0)), true);
        check(&Method::HEAD, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked", Ok(Decoder::Length(0)), true);
        check(get, "HTTP/1.0 200 OK\r\ncontent-length: 5", Ok(Decoder::Length(5)), false);
        check(get, "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive", Ok(Decoder::Length(5)), true);
        check(
            get,
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nconnection: keep-alive",
            Ok(Decoder::chunked(MOST_BESIDE)),
            false,
        );
        for bad in ["+5", "", "5, 6", "5x", "99999999999999999999"] {
            check(get, &format!("HTTP/1.1 200 OK\r\ncontent-length: {bad}"), Err(Malformed::Length), false);
        }
        for bad in ["gzip, chunked", "chunked, chunked", "gzip", "chunked\r\ntransfer-encoding: chunked"] {
            check(get, &format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {bad}"), Err(Malformed::Coding), false);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in
            ["HTTP/2 200 OK\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n"]
        {
            assert!(matches!(read_all(text, &Method::GET), Err(Malformed::Syntax(_))), "{text:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(LIMIT));
        assert_eq!(read_all(&long, &Method::GET).unwrap_err(), Malformed::TooLong);
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(FIELDS + 1));
        assert!(matches!(read_all(&many, &Method::GET), Err(Malformed::Syntax(httparse::Error::TooManyHeaders))));
    }
}
