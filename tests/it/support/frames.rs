//! HTTP/2 as bytes, for callers that no library would be: frames of any kind in any order (RFC 9113 §4, §6).

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that are not indexed (RFC 7541 §6.2.2). None longer than 126 bytes.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A request's fields; `more` come after the usual four.
pub(crate) fn request(method: &str, path: &str, authority: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)];
    fields(&[&usual, more].concat())
}

/// Why the other end ends the connection (RFC 9113 §6.8).
#[derive(Clone, Debug)]
pub(crate) struct Goaway {
    /// The last stream that it has looked at.
    pub(crate) last: u32,
    pub(crate) code: u32,
    pub(crate) text: String,
}

impl Goaway {
    fn read(payload: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?));
        let text = String::from_utf8_lossy(payload.get(8..)?).into_owned();
        Some(Self { last: word(0)?, code: word(4)?, text })
    }
}

/// A connection after the preface and both sides' SETTINGS.
pub(crate) struct Frames(TcpStream);

impl Frames {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        stream.write_all(&frame(SETTINGS, 0, 0, []))?;
        Ok(Self(stream))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// The next frame: its kind, its flags, its stream and its payload.
    pub(crate) fn next(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload)?;
        Ok((kind, flags, u32::from_be_bytes(stream), payload))
    }

    /// The body of an answer; an error if there is none.
    pub(crate) fn body(&mut self, of: u32) -> io::Result<String> {
        let mut body = Vec::new();
        loop {
            let (kind, flags, stream, payload) = self.next()?;
            match kind {
                DATA if stream == of => body.extend(payload),
                RST_STREAM if stream == of => return Err(io::Error::other(format!("reset: {payload:?}"))),
                GOAWAY => return Err(io::Error::other(format!("GOAWAY: {}", String::from_utf8_lossy(&payload)))),
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && stream == of && flags & END_STREAM != 0 {
                return Ok(String::from_utf8_lossy(&body).into_owned());
            }
        }
    }

    /// The first byte of an answer's fields, which is its status if that is one of HPACK's own (RFC 7541 §A): 0x88 is 200.
    pub(crate) fn status(&mut self, of: u32) -> io::Result<u8> {
        loop {
            match self.next()? {
                (HEADERS, _, stream, payload) if stream == of => return Ok(payload[0]),
                (RST_STREAM, _, stream, payload) if stream == of => {
                    return Err(io::Error::other(format!("reset: {payload:?}")));
                }
                _ => {}
            }
        }
    }

    /// This many bytes of a stream, at least; an error if it ends or is reset before.
    pub(crate) fn bytes(&mut self, of: u32, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            match self.next()? {
                (DATA, flags, stream, payload) if stream == of => {
                    bytes.extend(payload);
                    if flags & END_STREAM != 0 && bytes.len() < count {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                (RST_STREAM, _, stream, payload) if stream == of => {
                    return Err(io::Error::other(format!("reset: {payload:?}")));
                }
                _ => {}
            }
        }
        Ok(bytes)
    }

    /// How a stream ends: the code of its reset, or none if it ends in good order. What comes before is thrown away.
    pub(crate) fn end(&mut self, of: u32) -> io::Result<Option<u32>> {
        loop {
            match self.next()? {
                (DATA, flags, stream, _) if stream == of && flags & END_STREAM != 0 => return Ok(None),
                (RST_STREAM, _, stream, payload) if stream == of => {
                    return Ok(payload.try_into().ok().map(u32::from_be_bytes));
                }
                _ => {}
            }
        }
    }

    /// How a stream ends: with a status, `RST` and its code, or `GOAWAY` and its code.
    pub(crate) fn outcome(&mut self, of: u32) -> io::Result<String> {
        let mut status = String::new();
        loop {
            let (kind, flags, stream, payload) = self.next()?;
            let code = |at: usize| payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
            match kind {
                RST_STREAM if stream == of && status.is_empty() => return Ok(format!("RST {}", code(0).unwrap())),
                // The rest of the request is not wanted; the answer stands.
                RST_STREAM if stream == of => return Ok(status),
                GOAWAY => return Ok(format!("GOAWAY {}", code(4).unwrap())),
                HEADERS if stream == of && status.is_empty() => status = status_of(&payload),
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && stream == of && flags & END_STREAM != 0 {
                return Ok(status);
            }
        }
    }

    /// What GOAWAY says when the other end has ended the connection; `None` if it ends without one or goes on.
    pub(crate) fn goaway(&mut self) -> Option<Goaway> {
        loop {
            match self.next() {
                Ok((GOAWAY, _, _, payload)) => return Goaway::read(&payload),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// The same if it has come already.
    pub(crate) fn goaway_so_far(&mut self) -> io::Result<Option<Goaway>> {
        loop {
            self.0.set_nonblocking(true)?;
            let there = self.0.peek(&mut [0]);
            self.0.set_nonblocking(false)?;
            match there {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            if let (GOAWAY, _, _, payload) = self.next()? {
                return Ok(Goaway::read(&payload));
            }
        }
    }

    /// Reads and forgets whatever comes: who does not read the answers to what it sends is soon not read from either.
    pub(crate) fn read_on(&self) -> JoinHandle<()> {
        let mut socket = self.0.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 64 << 10];
            while let Ok(1..) = socket.read(&mut bytes) {}
        })
    }

    /// Says that nothing more will be sent.
    pub(crate) fn close(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}

impl AsRef<TcpStream> for Frames {
    fn as_ref(&self) -> &TcpStream {
        &self.0
    }
}

/// The status that a block of fields begins with (RFC 7541 §6, appendix A).
fn status_of(block: &[u8]) -> String {
    let indexed = ["200", "204", "206", "304", "400", "404", "500"];
    match *block {
        [index @ 0x88..=0x8e, ..] => indexed[usize::from(index - 0x88)].to_owned(),
        // A literal whose name is the eighth of the table.
        [0x08 | 0x18 | 0x48, length, ..] if length & 0x80 == 0 => String::from_utf8_lossy(&block[2..5]).into_owned(),
        [0x08 | 0x18 | 0x48, length, ..] => digits(&block[2..2 + usize::from(length & 0x7f)]),
        _ => format!("fields {block:?}"),
    }
}

/// Three digits in Huffman's code (RFC 7541 appendix B): five bits for 0 to 2, six for the others.
fn digits(bytes: &[u8]) -> String {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
    let mut some = |count: usize, first: u32| bits.by_ref().take(count).fold(first, |all, bit| 2 * all + bit);
    let digit = |_| match some(5, 0) {
        small @ 0..=2 => small,
        large => some(1, large) - 0b011001 + 3,
    };
    (0..3).map(digit).map(|digit| digit.to_string()).collect()
}

#[test]
fn a_status_is_read_from_a_block_of_fields() {
    assert_eq!(status_of(&[0x88, 0x5f]), "200");
    assert_eq!(status_of(&[0x48, 0x82, 0x64, 0x02]), "302", "the example of RFC 7541 C.6.1");
    assert_eq!(status_of(&[0x08, 3, b'4', b'2', b'1']), "421");
}
