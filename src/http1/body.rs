//! The body of a message as its bytes come (RFC 9112 §§6, 7): where it ends, and what of it is content.
//!
//! Pure. Content is handed on as it lies in memory, without a copy.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};

/// Most trailers.
const TRAILERS: usize = 100;
/// Most digits of a chunk's size, leading zeros included: more do not fit 64 bits.
const DIGITS: u8 = 15;

/// The chunks of a body are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunks are malformed")]
pub struct BadChunks;

/// Finds the content, and its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// So many bytes are still to come.
    Length(u64),
    /// The chunked coding.
    Chunked(Chunks),
    /// Until the connection ends.
    UntilClose,
}

/// What the bytes at hand hold.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Frame<Bytes>),
    /// Nothing that is whole: more must come.
    Hungry,
    End,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    place: Place,
    /// Bytes that may still come beside sizes and content: extensions of chunks, and the trailers.
    beside: usize,
    trailers: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Within a chunk's size, after so many digits.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size, up to the end of the line.
    Extension {
        size: u64,
    },
    /// Between the carriage return and the line feed behind a size.
    SizeEnd {
        size: u64,
    },
    Content {
        left: u64,
    },
    ContentReturn,
    ContentEnd,
    /// Behind the last chunk, up to an empty line.
    Trailers,
    Over,
}

impl Decoder {
    /// At the first byte of a chunked body, in which `beside` bytes may come that are neither size nor content: extensions of chunks,
    /// and the trailers.
    pub(crate) fn chunked(beside: usize) -> Self {
        let place = Place::Size { size: 0, digits: 0 };
        Self::Chunked(Chunks { place, beside, trailers: BytesMut::new() })
    }

    /// Whether nothing of the body is to come any more.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.place == Place::Over,
            Self::UntilClose => false,
        }
    }

    /// How much content is to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClose => SizeHint::default(),
        }
    }

    /// Takes what it can off the front of `bytes`.
    ///
    /// # Errors
    /// [`BadChunks`] if the chunks are none.
    pub(crate) fn step(&mut self, bytes: &mut Bytes) -> Result<Step, BadChunks> {
        match self {
            Self::Length(0) => Ok(Step::End),
            Self::Chunked(chunks) => chunks.step(bytes),
            _ if bytes.is_empty() => Ok(Step::Hungry),
            Self::Length(left) => Ok(Step::Frame(Frame::data(take(bytes, left)))),
            Self::UntilClose => Ok(Step::Frame(Frame::data(std::mem::take(bytes)))),
        }
    }
}

impl Chunks {
    fn step(&mut self, bytes: &mut Bytes) -> Result<Step, BadChunks> {
        loop {
            match &mut self.place {
                Place::Over => return Ok(Step::End),
                Place::Content { left } if !bytes.is_empty() => {
                    let content = take(bytes, left);
                    if *left == 0 {
                        self.place = Place::ContentReturn;
                    }
                    return Ok(Step::Frame(Frame::data(content)));
                }
                Place::Trailers => return self.trailers(bytes),
                _ => {}
            }
            let Some(byte) = bytes.first().copied() else { return Ok(Step::Hungry) };
            bytes.advance(1);
            self.place = self.after(byte)?;
        }
    }

    /// Where the next byte leads. Lines end with CR LF alone.
    fn after(&mut self, byte: u8) -> Result<Place, BadChunks> {
        Ok(match (self.place, byte) {
            (Place::Size { size, digits }, _) if digits < DIGITS && byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).ok_or(BadChunks)?;
                Place::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Place::Size { size, digits: 1.. }, b'\r') | (Place::Extension { size }, b'\r') => Place::SizeEnd { size },
            (Place::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Place::Extension { size },
            (Place::Extension { size }, _) if byte != b'\n' => {
                self.beside = self.beside.checked_sub(1).ok_or(BadChunks)?;
                Place::Extension { size }
            }
            (Place::SizeEnd { size: 0 }, b'\n') => Place::Trailers,
            (Place::SizeEnd { size }, b'\n') => Place::Content { left: size },
            (Place::ContentReturn, b'\r') => Place::ContentEnd,
            (Place::ContentEnd, b'\n') => Place::Size { size: 0, digits: 0 },
            _ => return Err(BadChunks),
        })
    }

    fn trailers(&mut self, bytes: &mut Bytes) -> Result<Step, BadChunks> {
        while let Some(byte) = bytes.first().copied() {
            bytes.advance(1);
            self.trailers.extend_from_slice(&[byte]);
            if self.trailers.as_ref() == b"\r\n" {
                self.place = Place::Over;
                return Ok(Step::End);
            }
            if self.trailers.ends_with(b"\r\n\r\n") {
                self.place = Place::Over;
                return fields(&self.trailers).map(|fields| Step::Frame(Frame::trailers(fields)));
            }
            if self.trailers.len() > self.beside {
                return Err(BadChunks);
            }
        }
        Ok(Step::Hungry)
    }
}

fn take(bytes: &mut Bytes, left: &mut u64) -> Bytes {
    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= taken as u64;
    bytes.split_to(taken)
}

fn fields(bytes: &[u8]) -> Result<HeaderMap, BadChunks> {
    let mut space = [httparse::EMPTY_HEADER; TRAILERS];
    let Ok(httparse::Status::Complete((length, parsed))) = httparse::parse_headers(bytes, &mut space) else {
        return Err(BadChunks);
    };
    // To the parser an LF alone ends a line, and two of them the trailers: then what follows is neither these nor another answer.
    if length != bytes.len() {
        return Err(BadChunks);
    }
    let mut fields = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadChunks)?;
        fields.append(name, HeaderValue::from_bytes(field.value).map_err(|_| BadChunks)?);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_BESIDE: usize = 1024;

    /// Decodes `text` that comes in pieces of `size`: content, trailers, and what is left behind the end.
    fn decode(text: &str, size: usize) -> Result<Option<(String, HeaderMap, String)>, BadChunks> {
        let mut decoder = Decoder::chunked(MOST_BESIDE);
        let (mut content, mut trailers) = (String::new(), HeaderMap::new());
        let mut rest = text.as_bytes();
        let mut bytes = Bytes::new();
        loop {
            match decoder.step(&mut bytes)? {
                Step::Frame(frame) => match frame.into_data() {
                    Ok(data) => content.push_str(std::str::from_utf8(&data).unwrap()),
                    Err(frame) => trailers = frame.into_trailers().unwrap(),
                },
                Step::End => {
                    let left = [&bytes[..], rest].concat();
                    return Ok(Some((content, trailers, String::from_utf8(left).unwrap())));
                }
                Step::Hungry if rest.is_empty() => return Ok(None),
                Step::Hungry => {
                    let (piece, more) = rest.split_at(size.min(rest.len()));
                    (bytes, rest) = (Bytes::copy_from_slice(piece), more);
                }
            }
        }
    }

    #[test]
    fn chunks_are_decoded_wherever_they_are_cut() {
        let text = "5\r\nhello\r\n1;x=y\r\n,\r\n00A \r\n0123456789\r\n0\r\nsum: 7\r\nb: c\r\n\r\nnext";
        for size in 1..text.len() {
            let (content, trailers, left) = decode(text, size).unwrap().unwrap();
            assert_eq!((content.as_str(), left.as_str()), ("hello,0123456789", "next"), "{size}");
            assert_eq!((trailers.len(), &trailers["sum"]), (2, &HeaderValue::from_static("7")));
        }
        assert_eq!(decode("0\r\n\r\n", 9).unwrap().unwrap(), (String::new(), HeaderMap::new(), String::new()));
    }

    #[test]
    fn half_a_body_is_no_body_and_malformed_chunks_are_refused() {
        assert!(decode("5\r\nhello\r\n0\r\n", 99).unwrap().is_none());
        assert!(decode("5\r\nhel", 99).unwrap().is_none());
        for bad in
            ["x\r\n", "\r\n", "5\nhello", "5\r\nhelloo", "0x5\r\n", "5;a\nb\r\n", "10000000000000000\r\n", "-1\r\n"]
        {
            assert_eq!(decode(bad, 99).unwrap_err(), BadChunks, "{bad:?}");
        }
        // A lone LF ends no line, not even an empty one: what follows would be nobody's.
        for bad in ["0\r\nt: a\n\nx: y\r\n\r\n", "0\r\nt: a\n\r\n\r\n", "0\r\n\nt: a\r\n\r\n"] {
            assert_eq!(decode(bad, 99).unwrap_err(), BadChunks, "{bad:?}");
        }
        assert!(decode(&format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(14)), 99).unwrap().is_some());
        assert_eq!(decode(&"0".repeat(16), 99).unwrap_err(), BadChunks);
        assert!(decode(&format!("1;{}", "x".repeat(MOST_BESIDE)), 4096).unwrap().is_none());
        assert!(decode(&format!("1;{}", "x".repeat(MOST_BESIDE + 1)), 4096).is_err());
        assert!(decode(&format!("0\r\na: {}", "x".repeat(MOST_BESIDE)), 4096).is_err());
    }
}
