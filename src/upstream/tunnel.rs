//! A way through an HTTP proxy: one CONNECT and its answer (RFC 9110 §9.3.6).
//!
//! Owns the bytes of that exchange and nothing else. The proxy's own words are never repeated: of its answer only the status and
//! the names of known login schemes are told. It sees the name and the port of the server behind it, and no request.

use std::io;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The most that is read of the heads of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// Login schemes that a message may name.
const SCHEMES: &[&str] = &["Basic", "Digest", "NTLM", "Negotiate", "Kerberos", "Bearer"];

/// Why a proxy did not open the way.
#[derive(Debug)]
pub(super) enum Blocked {
    /// It answered with a status that is not 2xx; `schemes` are the known login schemes that it offers.
    Status { status: StatusCode, schemes: Vec<&'static str> },
    /// It did not answer, or not with HTTP.
    Broken(io::Error),
}

impl From<io::Error> for Blocked {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Asks the proxy at the other end of `stream` for a way to `target` (`host:port`). `login` is the value of
/// `Proxy-Authorization`.
pub(super) async fn open<S>(stream: &mut S, target: &str, login: Option<&Secret>) -> Result<(), Blocked>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let agent = concat!("User-Agent: bearerd/", env!("CARGO_PKG_VERSION"), "\r\n");
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{agent}");
    let login_length = login.map_or(0, |login| login.expose().len());
    let mut request = Zeroizing::new(Vec::with_capacity(head.len() + login_length + 64));
    request.extend_from_slice(head.as_bytes());
    if let Some(login) = login {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(login.expose().as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    stream.flush().await?;
    answer(stream).await
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), Blocked> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        while let Some(end) = end_of_head(&bytes) {
            let head = bytes.get(..end).unwrap_or_default();
            let status = status(head).ok_or_else(|| garbage("it does not answer with HTTP"))?;
            if status.is_success() {
                // Nothing may come before we have spoken: it would be taken for the answer to the first request.
                return if bytes.len() == end { Ok(()) } else { Err(garbage("it sent bytes of its own")) };
            }
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Blocked::Status { status, schemes: schemes(head) });
            }
            bytes.drain(..end);
        }
        if bytes.len() >= LONGEST_HEAD || !may_be_http(&bytes) {
            return Err(garbage("it does not answer with HTTP"));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection before it answered");
            return Err(Blocked::Broken(source));
        }
    }
}

fn garbage(what: &str) -> Blocked {
    Blocked::Broken(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Where the first head ends, its empty line included.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if matches!(bytes.get(line..at), Some(b"" | b"\r")) && line > 0 {
            return Some(at + 1);
        }
        line = at + 1;
    }
    None
}

/// Whether it can still become a status line: other protocols are known by their first bytes, and must not make us wait.
fn may_be_http(bytes: &[u8]) -> bool {
    let beginning = b"HTTP/1.";
    bytes.iter().zip(beginning).all(|(byte, wanted)| byte == wanted)
}

/// The status of a head: `HTTP/1.` digit, space, three digits, and then a space or the end of the line.
fn status(head: &[u8]) -> Option<StatusCode> {
    let line = head.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let (digits, after) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    (minor.is_ascii_digit() && matches!(after.first(), None | Some(b' '))).then_some(())?;
    StatusCode::from_bytes(digits).ok()
}

/// The known schemes among the challenges (RFC 9110 §11.7.1).
fn schemes(head: &[u8]) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if !name.eq_ignore_ascii_case(b"proxy-authenticate") {
            continue;
        }
        for challenge in value.split(|byte| matches!(byte, b':' | b',')) {
            let word = challenge.trim_ascii().split(|byte| *byte == b' ').next().unwrap_or_default();
            let scheme = SCHEMES.iter().find(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes()));
            found.extend(scheme.filter(|scheme| !found.contains(scheme)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connect(pieces: &[&[u8]], login: Option<&str>) -> (Result<(), Blocked>, String) {
        let (mut ours, mut proxy) = tokio::io::duplex(64 * 1024);
        let login = login.map(Secret::new);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let answering = tokio::spawn(async move {
            let mut asked = vec![0; 4096];
            let count = proxy.read(&mut asked).await.unwrap();
            for piece in pieces {
                proxy.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            asked.truncate(count);
            String::from_utf8(asked).unwrap()
        });
        let result = open(&mut ours, "api.example:443", login.as_ref()).await;
        (result, answering.await.unwrap())
    }

    #[tokio::test]
    async fn the_proxy_is_asked_for_host_and_port_alone() {
        let (opened, asked) = connect(&[b"HTTP/1.1 200 OK\r\n\r\n"], None).await;
        opened.unwrap();
        let agent = concat!("User-Agent: bearerd/", env!("CARGO_PKG_VERSION"));
        assert_eq!(asked, format!("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n{agent}\r\n\r\n"));
        let (_, asked) = connect(&[b"HTTP/1.1 200 OK\r\n\r\n"], Some("Basic eA==")).await;
        assert!(asked.ends_with("\r\nProxy-Authorization: Basic eA==\r\n\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn only_a_whole_answer_of_2xx_opens_the_way() {
        let open: &[&[&[u8]]] = &[
            &[b"HTTP/1.1 200 Connection established\r\n\r\n"],
            &[b"HTTP/1.0 200\r\n\r\n"],
            &[b"HTTP/1.1 204 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
            &[b"HT", b"TP/1.1 20", b"0 OK\r\nVia: x\r", b"\n\r", b"\n"],
            &[b"HTTP/1.1 200 OK\nVia: x\n\n"],
            &[b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"],
        ];
        for pieces in open {
            connect(pieces, None).await.0.unwrap_or_else(|blocked| panic!("{pieces:?}: {blocked:?}"));
        }
        let closed: &[(&[&[u8]], &str)] = &[
            (&[b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nX: poisoned\r\n\r\n"], "bytes of its own"),
            (&[b"SSH-2.0-OpenSSH_9.6\r\n"], "not answer with HTTP"),
            (&[b"\x15\x03\x01\x00\x02\x02\x46"], "not answer with HTTP"),
            (&[b"HTTP/1.1 2000 OK\r\n\r\n"], "not answer with HTTP"),
            (&[b"HTTP/1.1  200 OK\r\n\r\n"], "not answer with HTTP"),
            (&[b"HTTP/2 200 OK\r\n\r\n"], "not answer with HTTP"),
            (&[b"HTTP/1.1 20"], "closed the connection"),
            (&[b""], "closed the connection"),
        ];
        for (pieces, wanted) in closed {
            let (blocked, _) = connect(pieces, None).await;
            let Err(Blocked::Broken(error)) = blocked else { panic!("{pieces:?}: {blocked:?}") };
            assert!(error.to_string().contains(wanted), "{pieces:?}: {error}");
        }
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(4000)].concat();
        assert!(matches!(connect(&[&endless], None).await.0, Err(Blocked::Broken(_))));
    }

    #[tokio::test]
    async fn a_refusal_tells_its_status_and_the_known_schemes() {
        let check = async |answer: &str, wanted: u16, wanted_schemes: &[&str]| {
            let (blocked, _) = connect(&[answer.as_bytes()], None).await;
            let Err(Blocked::Status { status, schemes }) = blocked else { panic!("{answer}: {blocked:?}") };
            assert_eq!((status.as_u16(), schemes.as_slice()), (wanted, wanted_schemes), "{answer}");
        };
        check("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", 403, &[]).await;
        check("HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", 302, &[]).await;
        check("HTTP/1.1 101 Switching\r\n\r\n", 101, &[]).await;
        let challenges = "Proxy-Authenticate: Negotiate, ntlm\r\nproxy-authenticate: Basic realm=\"Digest x\", odd\r\n";
        let wanted = &["Negotiate", "NTLM", "Basic"];
        check(&format!("HTTP/1.1 407 x\r\n{challenges}\r\n"), 407, wanted).await;
    }
}
