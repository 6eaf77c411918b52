//! The head of a request, from judged bytes to fields (RFC 9112 §§3, 5).
//!
//! Pure. `framing::head` has refused what is ambiguous; what is left has one reading.

use std::ops::Range;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};

use super::super::Refusal;
use super::super::framing::{Place, Places};
use crate::http1::is_mere_option;
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

/// Makes a request of a whole head, the parts of which stand at these places. `Connection` is left out where it says no more than
/// [`Asked`] does.
///
/// # Errors
/// [`Refusal`] if it has anything that `http` does not take.
pub(super) fn read(head: &Bytes, places: &Places) -> Result<(Request<()>, Asked), Refusal> {
    let part = |place: &Range<usize>| head.get(place.clone()).unwrap_or_default();
    let mut request = Request::new(());
    *request.method_mut() =
        Method::from_bytes(part(&places.method)).map_err(|_| unreadable("the method is no token"))?;
    *request.uri_mut() =
        Uri::from_maybe_shared(head.slice_ref(part(&places.target))).map_err(|_| unreadable("the target is no URI"))?;
    let is_old = places.is_http_1_0;
    *request.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    let is_head = *request.method() == Method::HEAD;
    let mut asked = Asked { is_old, is_head, persists: !is_old, trailers: false, expects: false };
    let headers = request.headers_mut();
    headers.reserve(places.fields.len() + OUR_FIELDS);
    for Place { name, value } in &places.fields {
        let (name, value) = (HeaderName::from_bytes(part(name)), part(value));
        let name = name.map_err(|_| unreadable("a field's name is none"))?;
        asked.note(&name, value);
        if name == header::CONNECTION && is_mere_option(value) {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(head.slice_ref(value));
        headers.append(name, value.map_err(|_| unreadable("a field's value is none"))?);
    }
    Ok((request, asked))
}

/// So many fields are added on the way, so that the map need not grow. In most heads the place of `Connection` is free beside it.
const OUR_FIELDS: usize = 1;

#[cold]
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
            let names = options(value).filter_map(|coding| coding.split(|byte| *byte == b';').next());
            self.trailers |= names.map(<[u8]>::trim_ascii).any(|name| name.eq_ignore_ascii_case(b"trailers"));
        } else if *name == header::EXPECT {
            // HTTP/1.0 has no interim answers.
            self.expects |= !self.is_old && value.eq_ignore_ascii_case(b"100-continue");
        }
    }
}

fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::super::super::framing::places;
    use super::*;

    fn asked(text: &str) -> (Request<()>, Asked) {
        read(&Bytes::copy_from_slice(text.as_bytes()), &places(text.as_bytes())).unwrap()
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
