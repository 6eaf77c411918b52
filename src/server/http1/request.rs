//! The head of a request, from judged bytes to fields (RFC 9112 §§3, 5).
//!
//! Pure. `framing::head` has refused what is ambiguous; what is left has one reading.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};

use super::super::Refusal;
use super::super::framing::fields;
use crate::reason::Reason;

/// What of a request decides how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Whether it speaks HTTP/1.0.
    pub(super) is_old: bool,
    /// Whether an answer has no body because of the method.
    pub(super) is_head: bool,
    /// Whether the caller wants to go on with the connection (RFC 9112 §9.3).
    pub(super) persists: bool,
    /// Whether trailers are welcome (RFC 9110 §10.1.4).
    pub(super) trailers: bool,
    /// Whether it waits for `100 Continue` (RFC 9110 §10.1.1).
    pub(super) expects: bool,
}

/// Reads a whole head.
///
/// # Errors
/// [`Refusal`] if it has anything that `http` does not take.
pub(super) fn read(head: &Bytes) -> Result<(Request<()>, Asked), Refusal> {
    let mut lines = Lines(head);
    let mut request = Request::new(());
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, target, version) = (word(), word(), word());
    *request.method_mut() = Method::from_bytes(method).map_err(|_| unreadable("the method is no token"))?;
    *request.uri_mut() =
        Uri::from_maybe_shared(head.slice_ref(target)).map_err(|_| unreadable("the target is no URI"))?;
    let is_old = version == b"HTTP/1.0";
    *request.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    let is_head = *request.method() == Method::HEAD;
    let mut asked = Asked { is_old, is_head, persists: !is_old, trailers: false, expects: false };
    let headers = request.headers_mut();
    headers.reserve(USUAL_FIELDS);
    for line in lines {
        let (name, value) = fields::split(line).map_err(unreadable)?;
        let name = HeaderName::from_bytes(name).map_err(|_| unreadable("a field's name is none"))?;
        asked.note(&name, value);
        add(headers, name, HeaderValue::from_maybe_shared(head.slice_ref(value)))?;
    }
    Ok((request, asked))
}

/// So many fields cost no growing of the map, ours included.
const USUAL_FIELDS: usize = 12;

fn add<E>(headers: &mut HeaderMap, name: HeaderName, value: Result<HeaderValue, E>) -> Result<(), Refusal> {
    headers.append(name, value.map_err(|_| unreadable("a field's value is none"))?);
    Ok(())
}

fn unreadable(detail: &'static str) -> Refusal {
    Refusal::new(Reason::BadRequest, detail)
}

impl Asked {
    fn note(&mut self, name: &HeaderName, value: &[u8]) {
        if *name == header::CONNECTION {
            for option in options(value) {
                if option.eq_ignore_ascii_case(b"close") {
                    self.persists = false;
                } else if self.is_old && option.eq_ignore_ascii_case(b"keep-alive") {
                    self.persists = true;
                }
            }
        } else if *name == header::TE {
            let name =
                |coding: &[u8]| coding.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_vec();
            self.trailers |= options(value).any(|coding| name(coding).eq_ignore_ascii_case(b"trailers"));
        } else if *name == header::EXPECT {
            // HTTP/1.0 has no interim answers.
            self.expects |= !self.is_old && value.eq_ignore_ascii_case(b"100-continue");
        }
    }
}

fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The lines of a head, without their ends, up to the empty one.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> (Request<()>, Asked) {
        read(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_head_is_read_line_by_line() {
        let (request, asked) = asked("PUT /a/../b?c=%2e HTTP/1.1\r\nHost: h\r\nX-A:1\nx-a:\t2 3 \r\nX-B:\r\n\r\n");
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::PUT, "/a/../b?c=%2e"));
        let fields: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("host", &b"h"[..]), ("x-a", b"1"), ("x-a", b"2 3"), ("x-b", b"")]);
        assert_eq!(asked, Asked { is_old: false, is_head: false, persists: true, trailers: false, expects: false });
    }

    #[test]
    fn what_decides_about_the_answer_is_noted() {
        let check = |version: &str, fields: &str, wanted: [bool; 3]| {
            let asked = asked(&format!("GET / {version}\r\nHost: h\r\n{fields}\r\n")).1;
            assert_eq!([asked.persists, asked.trailers, asked.expects], wanted, "{version} {fields}");
        };
        check("HTTP/1.1", "", [true, false, false]);
        check("HTTP/1.1", "Connection: keep-alive\r\n", [true, false, false]);
        check("HTTP/1.1", "Connection: x\r\nconnection: Y,  Close\r\n", [false, false, false]);
        check("HTTP/1.0", "", [false, false, false]);
        check("HTTP/1.0", "Connection: Keep-Alive\r\n", [true, false, false]);
        check("HTTP/1.0", "Connection: keep-alive, close\r\n", [false, false, false]);
        check("HTTP/1.1", "TE: gzip, Trailers;q=0.5\r\n", [true, true, false]);
        check("HTTP/1.1", "Expect: 100-Continue\r\n", [true, false, true]);
        check("HTTP/1.0", "Expect: 100-continue\r\n", [false, false, false]);
        assert!(asked("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").1.is_head);
    }
}
