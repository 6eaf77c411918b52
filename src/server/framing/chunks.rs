//! The chunked coding of a body (RFC 9112 §7.1): where it ends, with its trailers.
//!
//! Pure, and the same wherever the bytes were cut. The coding is machine-made, so that nothing is forgiven here: no lone
//! LF, no sign or prefix before a size, nothing between data and line end.

use super::super::Refusal;
use super::fields;
use crate::reason::Reason;

/// Digits of a size, leading zeros included: more do not fit 64 bits.
const MOST_DIGITS: u8 = 15;
/// Bytes of all chunk extensions of a body; nobody uses them.
const MOST_EXTENSION: usize = 16 * 1024 - 1;

/// Follows a chunked body.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    place: Place,
    /// Bytes of extensions so far.
    extension: usize,
    trailers: usize,
    /// Bytes that trailers may still take.
    room: usize,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size {
        size: u64,
        digits: u8,
    },
    /// White space that may stand before an extension (RFC 9112 §7.1.1).
    Space {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    /// Data, so many bytes of it to come.
    Data(u64),
    DataCr,
    DataLf,
    /// The first byte of a line after the last chunk.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Over,
}

impl Chunks {
    /// At the first byte of a body whose trailers may take `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        Self { place: Place::Size { size: 0, digits: 0 }, extension: 0, trailers: 0, room }
    }

    /// Whether the body has ended.
    pub(super) fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    /// Reads on, and returns how many of the bytes are the body's: all of them unless it is over.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut position = 0;
        while let Some(byte) = bytes.get(position) {
            match self.place {
                Place::Over => break,
                Place::Data(left) => {
                    let here = bytes.len() - position;
                    let taken = usize::try_from(left).map_or(here, |left| left.min(here));
                    position += taken;
                    let left = left - taken as u64;
                    self.place = if left == 0 { Place::DataCr } else { Place::Data(left) };
                }
                place => {
                    self.place = self.step(place, *byte)?;
                    position += 1;
                }
            }
        }
        Ok(position)
    }

    fn step(&mut self, place: Place, byte: u8) -> Result<Place, Refusal> {
        Ok(match (place, byte) {
            (Place::Size { size, digits }, _) => self.size(size, digits, byte)?,
            (Place::Space { size }, b' ' | b'\t') => self.extend(Place::Space { size })?,
            (Place::Space { size }, b';') => self.extend(Place::Extension { size })?,
            (Place::Extension { size }, b'\r') => Place::SizeLf { size },
            (Place::Extension { size }, _) if fields::is_value_byte(byte) => self.extend(Place::Extension { size })?,
            (Place::SizeLf { size: 0 }, b'\n') => Place::Trailer,
            (Place::SizeLf { size }, b'\n') => Place::Data(size),
            (Place::Space { .. } | Place::Extension { .. } | Place::SizeLf { .. }, _) => {
                return Err(malformed("a chunk's size is not followed by CR LF"));
            }
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size { size: 0, digits: 0 },
            (Place::DataCr | Place::DataLf, _) => return Err(malformed("a chunk is longer than its size")),
            (Place::Trailer | Place::EndLf | Place::TrailerName | Place::TrailerValue | Place::TrailerLf, _) => {
                self.trailer(place, byte)?
            }
            (Place::Data(_) | Place::Over, _) => place,
        })
    }

    fn size(&mut self, size: u64, digits: u8, byte: u8) -> Result<Place, Refusal> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == MOST_DIGITS {
                return Err(malformed("a chunk's size is too large"));
            }
            return Ok(Place::Size { size: size << 4 | u64::from(digit), digits: digits + 1 });
        }
        match byte {
            _ if digits == 0 => Err(malformed("a chunk has no size")),
            b'\r' => Ok(Place::SizeLf { size }),
            b';' => self.extend(Place::Extension { size }),
            b' ' | b'\t' => self.extend(Place::Space { size }),
            b'\n' => Err(malformed("a chunk's size is not followed by CR LF")),
            _ => Err(malformed("a chunk's size is not a hexadecimal number")),
        }
    }

    fn extend(&mut self, place: Place) -> Result<Place, Refusal> {
        self.extension += 1;
        if self.extension >= MOST_EXTENSION {
            return Err(malformed("the chunk extensions are too long"));
        }
        Ok(place)
    }

    /// Trailers are field lines (RFC 9112 §7.1.2). Which of them go on is not decided here.
    fn trailer(&mut self, place: Place, byte: u8) -> Result<Place, Refusal> {
        self.room = self.room.checked_sub(1).ok_or_else(too_large)?;
        Ok(match (place, byte) {
            (Place::Trailer, b'\r') => Place::EndLf,
            (Place::EndLf, b'\n') => Place::Over,
            (Place::Trailer, _) if fields::is_token_byte(byte) => {
                self.trailers += 1;
                if self.trailers > fields::MOST {
                    return Err(too_large());
                }
                Place::TrailerName
            }
            (Place::TrailerName, b':') => Place::TrailerValue,
            (Place::TrailerName, _) if fields::is_token_byte(byte) => place,
            (Place::TrailerValue, b'\r') => Place::TrailerLf,
            (Place::TrailerValue, _) if fields::is_value_byte(byte) => place,
            (Place::TrailerLf, b'\n') => Place::Trailer,
            _ => return Err(malformed("a trailer is no field line, or does not end with CR LF")),
        })
    }
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Reason::BadRequest, detail)
}

fn too_large() -> Refusal {
    Refusal::new(Reason::HeadTooLarge, "the trailers are longer, or more, than a head may be")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes are the body's, `None` if it is not over, or the refusal.
    fn read(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut chunks = Chunks::new(1000);
        let length = chunks.read(bytes)?;
        Ok(chunks.is_over().then_some(length))
    }

    #[test]
    fn a_chunked_body_ends_where_its_last_chunk_says() {
        let check = |body: &str| {
            let behind = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(read(behind.as_bytes()), Ok(Some(body.len())), "{body:?}");
            for end in 0..body.len() {
                assert_eq!(read(&body.as_bytes()[..end]), Ok(None), "{:?}", &body[..end]);
            }
        };
        check("0\r\n\r\n");
        check("5\r\nhello\r\n0\r\n\r\n");
        check("5;a=b;c=\"d\"\r\nhello\r\n000\r\n\r\n");
        check("5 ;a\r\nhello\r\n0 \t;b\r\n\r\n");
        check("A\r\n0123456789\r\n0a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n");
        check("0\r\nSum: 1\r\nX:\r\n\r\n");
        check("00000000000000f\r\n0123456789abcde\r\n0\r\n\r\n");
    }

    #[test]
    fn what_is_not_exactly_the_chunked_coding_is_refused() {
        for body in [
            "\r\n",
            "\n",
            " 5\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            "5\n",
            "5\rx",
            "5\r\r\n",
            "g\r\n",
            "5x\r\n",
            ";a\r\n",
            "5;a\n",
            "5;a\rb",
            "5;\0\r\n",
            "5 \r\n",
            "5 5\r\n",
            "5\r\nhello0\r\n",
            "5\r\nhello\n",
            "5\r\nhello\rx",
            "5\r\nhello!\r\n",
            "0\n",
            "0\r\n\n",
            "0\r\n\rx",
            "0\r\n a: b\r\n",
            "0\r\n: b\r\n",
            "0\r\na b: c\r\n",
            "0\r\na\r\n",
            "0\r\na : b\r\n",
            "0\r\na: b\n",
            "0\r\na: b\rc",
            "0\r\na: \0",
            "0\r\na: b\r\n c\r\n",
            "ffffffffffffffffff\r\n",
            "0000000000000005\r\n",
            "5\u{b}\r\n",
        ] {
            let refusal = read(body.as_bytes()).unwrap_err();
            assert_eq!(refusal.reason, Reason::BadRequest, "{body:?}");
        }
        let many = "a: b\r\n".repeat(101);
        assert_eq!(read(format!("0\r\n{many}").as_bytes()).unwrap_err().reason, Reason::HeadTooLarge);
        let long = "b".repeat(1000);
        assert_eq!(read(format!("0\r\na: {long}\r\n").as_bytes()).unwrap_err().reason, Reason::HeadTooLarge);
        let long = "b".repeat(MOST_EXTENSION);
        assert_eq!(read(format!("5;{long}").as_bytes()).unwrap_err().reason, Reason::BadRequest);
    }
}
