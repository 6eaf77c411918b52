//! HTTP/1.1 as bytes, for both ends of a test.
//!
//! Owns reading heads, bodies, chunks and trailers from a socket exactly as they came. Refuses to understand more than
//! a test must see: nothing is normalised, nothing is repaired, fields keep their order and their case.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long a test waits for bytes before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: BufReader<Shared>,
}

/// A socket that somebody else may cut.
#[derive(Debug)]
struct Shared(Arc<TcpStream>);

impl Read for Shared {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(bytes)
    }
}

/// A start line and its fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Every byte, up to and with the empty line.
    pub(crate) raw: Vec<u8>,
    /// The first line without its end.
    pub(crate) start: String,
    /// The fields as they came.
    pub(crate) fields: Fields,
}

/// Header fields in their order, names in their case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Wire {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::with_capacity(64 * 1024, Shared(stream)) }
    }

    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(Arc::new(TcpStream::connect_timeout(&address, PATIENCE)?)))
    }

    /// The socket itself, for what only a socket can do.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream.get_ref().0
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut socket = self.socket();
        socket.write_all(bytes.as_ref())?;
        socket.flush()
    }

    /// What there is, up to the length of `bytes`.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }

    /// A head, or `None` if the other end closed before its first byte.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        let mut head = Head::default();
        loop {
            let from = head.raw.len();
            if self.stream.read_until(b'\n', &mut head.raw)? == 0 {
                return if head.raw.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            let line = latin1(head.raw.get(from..).unwrap_or_default());
            let line = line.trim_end_matches(['\r', '\n']);
            if from == 0 {
                line.clone_into(&mut head.start);
            } else if line.is_empty() {
                return Ok(Some(head));
            } else {
                head.fields.push_line(line);
            }
        }
    }

    /// A whole body and its trailers.
    pub(crate) fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body)?;
            }
            Framing::UntilClose => {
                self.stream.read_to_end(&mut body)?;
            }
            Framing::Chunked => {
                while let Some(chunk) = self.chunk()? {
                    body.extend_from_slice(&chunk);
                }
                return Ok((body, self.trailers()?));
            }
        }
        Ok((body, Fields::default()))
    }

    /// One chunk, or `None` for the last one; the trailers and the empty line are still to be read then.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| invalid(format!("chunk size {line:?}")))?;
        if size == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        match self.line()?.as_str() {
            "" => Ok(Some(chunk)),
            other => Err(invalid(format!("{other:?} after a chunk"))),
        }
    }

    /// Whatever comes next; nothing if the other end has ended.
    pub(crate) fn some(&mut self) -> io::Result<Vec<u8>> {
        let came = self.stream.fill_buf()?.to_vec();
        self.stream.consume(came.len());
        Ok(came)
    }

    /// This many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The fields after the last chunk, with the empty line that ends them.
    pub(crate) fn trailers(&mut self) -> io::Result<Fields> {
        let mut trailers = Fields::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push_line(&line);
        }
    }

    /// Whether the other end closes, or resets, within `patience`. Bytes that come first are thrown away.
    pub(crate) fn closes_within(&mut self, patience: Duration) -> bool {
        let deadline = super::now() + patience;
        let mut bytes = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(super::now()).max(Duration::from_millis(1));
            self.socket().set_read_timeout(Some(left)).expect("a read timeout");
            match self.stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }

    /// Whatever comes until the other end closes or says nothing for `patience`.
    pub(crate) fn rest(&mut self, patience: Duration) -> Vec<u8> {
        self.socket().set_read_timeout(Some(patience)).expect("a read timeout");
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = self.stream.read(&mut bytes) {
            all.extend_from_slice(bytes.get(..count).unwrap_or_default());
        }
        all
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(latin1(&line).trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl Head {
    /// The n-th word of the start line.
    pub(crate) fn word(&self, n: usize) -> &str {
        self.start.split(' ').nth(n).unwrap_or_default()
    }

    /// How a request's body ends.
    pub(crate) fn request_framing(&self) -> Framing {
        self.fields.framing().unwrap_or(Framing::None)
    }

    /// How a response's body ends, if it answers a method that has one.
    pub(crate) fn response_framing(&self, status: u16, method: &str) -> Framing {
        if method == "HEAD" || status == 204 || status == 304 || status < 200 {
            return Framing::None;
        }
        self.fields.framing().unwrap_or(Framing::UntilClose)
    }
}

impl Fields {
    /// The first value of a field, its name in any case.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every value of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    fn push_line(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        self.0.push((name.to_owned(), value.trim().to_owned()));
    }

    fn framing(&self) -> Option<Framing> {
        if self.all("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        self.first("content-length").and_then(|value| value.parse().ok()).map(Framing::Length)
    }
}

/// One chunk of the chunked coding.
pub(crate) fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Bytes as text, one character each, so that nothing is lost.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
