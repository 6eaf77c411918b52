//! The head of a request (RFC 9112 §§2–6): where it ends, and how long the body after it is.
//!
//! Pure: bytes in, a verdict out, the same wherever the bytes were cut. Refuses whatever two readers could understand
//! in two ways, above all two sayings about the body's length. Lines may end with LF alone, as the RFC allows
//! (§2.2); the upstream gets a head of our own making.

use std::ops::Range;

use super::super::Refusal;
use super::fields::{self, Place};
use super::target;
use crate::reason::Reason;

/// So many fields most heads have at most.
const USUAL_FIELDS: usize = 12;

/// A head that is whole and in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// In bytes, with the empty line.
    pub(super) length: usize,
    /// What follows it.
    pub(super) body: BodyLength,
}

/// How the end of a request's body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum BodyLength {
    /// This many bytes; none if nothing was said.
    Known(u64),
    /// The chunked coding.
    Chunked,
}

/// Where the parts of a head stand in it: whoever makes a request of it need not look for them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Places {
    /// The method.
    pub(in crate::server) method: Range<usize>,
    /// The request target.
    pub(in crate::server) target: Range<usize>,
    /// Whether the version is HTTP/1.0; else it is HTTP/1.1.
    pub(in crate::server) is_http_1_0: bool,
    /// The fields, in their order.
    pub(in crate::server) fields: Vec<Place>,
}

/// Reads a head as it comes. Every byte is looked at once.
#[derive(Clone, Debug)]
pub(super) struct HeadReader {
    limit: usize,
    /// Up to here the bytes are read.
    read: usize,
    /// Up to here they are all bytes of a head.
    clean: usize,
    /// Here the current line begins.
    line: usize,
    /// Lines so far; the first is the request line.
    lines: usize,
    is_head_method: bool,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    places: Places,
}

impl HeadReader {
    /// A reader of a head of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            read: 0,
            clean: 0,
            line: 0,
            lines: 0,
            is_head_method: false,
            hosts: 0,
            length: None,
            is_chunked: false,
            places: Places::default(),
        }
    }

    /// Whether nothing has been read yet.
    pub(super) fn is_new(&self) -> bool {
        self.read == 0
    }

    /// Whether the request's method is HEAD, the answer to which has no body.
    pub(super) fn is_head_method(&self) -> bool {
        self.is_head_method
    }

    /// Where the parts of the head stand, once it is whole.
    pub(super) fn take_places(&mut self) -> Places {
        std::mem::take(&mut self.places)
    }

    /// Reads on. `bytes` is all that has come since the head's first byte. `None` while it is not whole.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        if bytes == b"\r" {
            // This may become an empty line before the request, which would be none of it.
            return Ok(None);
        }
        let all = bytes.get(..self.limit).unwrap_or(bytes);
        while let Some(end) = self.line_end(all).map_err(malformed)? {
            let line = all.get(self.line..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let begins = std::mem::replace(&mut self.line, end + 1);
            if self.lines == 0 {
                self.request_line(line, begins)?;
            } else if line.is_empty() {
                return self.finish().map(Some);
            } else {
                self.field(all, line, begins)?;
            }
            self.lines += 1;
        }
        if bytes.len() >= self.limit {
            return Err(Refusal::new(Reason::HeadTooLarge, "the head is longer than limits.head allows"));
        }
        Ok(None)
    }

    /// The position of the next line feed. Bytes that stand nowhere in a head end the search, so that nobody waits for the end
    /// of what has already gone wrong.
    fn line_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        let unread = bytes.get(self.read..).unwrap_or_default();
        let end = memchr::memchr(b'\n', unread);
        let position = end.map(|end| self.read + end);
        let line_end = position.unwrap_or(bytes.len());
        if self.clean < line_end && !self.cleans(bytes, bytes.len()) && !self.cleans(bytes, line_end) {
            // A TLS record of the handshake begins with 22 (RFC 8446 §5.1).
            return Err(if self.read == 0 && bytes.first() == Some(&22) {
                "the caller speaks TLS, and this listener plain HTTP"
            } else {
                "the head has a control character"
            });
        }
        self.read = position.map_or(bytes.len(), |position| position + 1);
        Ok(position)
    }

    /// Looks at the bytes up to `end`; whether they are all of a head. What follows a head may be anything.
    fn cleans(&mut self, bytes: &[u8], end: usize) -> bool {
        let is_clean = fields::are_of_head(bytes.get(self.clean..end).unwrap_or_default());
        if is_clean {
            self.clean = end;
        }
        is_clean
    }

    /// `method SP request-target SP HTTP-version` (RFC 9112 §3), with exactly these two spaces.
    fn request_line(&mut self, line: &[u8], begins: usize) -> Result<(), Refusal> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed("the request line is not: method, target, version"));
        };
        if method.is_empty() || !fields::is_token(method) {
            return Err(malformed("the method is no token"));
        }
        self.is_head_method = method == b"HEAD";
        self.places.method = begins..begins + method.len();
        let target_begins = begins + method.len() + 1;
        self.places.target = target_begins..target_begins + target.len();
        self.places.is_http_1_0 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(malformed("the version is neither HTTP/1.1 nor HTTP/1.0")),
        };
        if method == b"CONNECT" {
            // What follows may be anything but HTTP, so that this connection is over in any case.
            return Err(Refusal::new(Reason::MethodNotAllowed, "CONNECT is never forwarded"));
        }
        target::check(target).map_err(malformed)
    }

    fn field(&mut self, all: &[u8], line: &[u8], begins: usize) -> Result<(), Refusal> {
        if self.lines > fields::MOST {
            return Err(Refusal::new(Reason::HeadTooLarge, "the head has more than 100 fields"));
        }
        let place = fields::split(line, begins).map_err(malformed)?;
        let [name, value] = [&place.name, &place.value].map(|range| all.get(range.clone()).unwrap_or_default());
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value).map_err(malformed)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value).map_err(malformed)?
            }
            _ => {}
        }
        if self.places.fields.is_empty() {
            self.places.fields.reserve(USUAL_FIELDS);
        }
        self.places.fields.push(place);
        Ok(())
    }

    /// RFC 9112 §6.3: one field, one number, nothing else. Lists and repetitions are refused even where they agree.
    fn content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if self.length.is_some() {
            return Err("more than one Content-Length");
        }
        let length = if value.iter().all(u8::is_ascii_digit) { decimal(value) } else { None };
        self.length = Some(length.ok_or("Content-Length is not a number that a body can have")?);
        Ok(())
    }

    /// RFC 9112 §6.1: we know one coding, and it is never applied twice.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if self.is_chunked {
            return Err("more than one Transfer-Encoding");
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err("Transfer-Encoding is not \"chunked\" alone");
        }
        self.is_chunked = true;
        Ok(())
    }

    fn finish(&self) -> Result<Head, Refusal> {
        if self.hosts > 1 {
            return Err(malformed("more than one Host"));
        }
        // RFC 9112 §3.2; HTTP/1.0 knew no Host.
        if self.hosts == 0 && !self.places.is_http_1_0 {
            return Err(malformed("no Host"));
        }
        if self.is_chunked && self.length.is_some() {
            return Err(malformed("Content-Length together with Transfer-Encoding"));
        }
        if self.is_chunked && self.places.is_http_1_0 {
            return Err(malformed("Transfer-Encoding in HTTP/1.0"));
        }
        let body = if self.is_chunked { BodyLength::Chunked } else { BodyLength::Known(self.length.unwrap_or(0)) };
        Ok(Head { length: self.line, body })
    }
}

#[cold]
fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Reason::BadRequest, detail)
}

/// A number that is no larger than any length in use: sums with it do not overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= u64::MAX >> 1).then_some(number)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
