//! Asking a running bearerd something on its admin or probe listener.
//!
//! Owns a client just large enough for that: one request of HTTP/1.1, one connection, one deadline, no runtime. So that a probe in
//! a container costs a few milliseconds and a page of memory.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::platform::blocking::UnixStream;

/// Where the admin listener is unless configured.
pub(super) const DEFAULT_PORT: u16 = 9180;

/// The most of an answer that is read, in bytes.
const LIMIT: u64 = 1 << 20;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    /// The text is no address that can be asked.
    #[error("{0:?} is no address to ask: write HOST:PORT, as in localhost:9180, or unix:PATH")]
    Address(String),
    /// Only the running process knows where that is.
    #[error(
        "where {0:?} listens is known to the running bearerd and its socket unit alone: write what ListenStream= of that \
         unit says, as in --admin localhost:9180 or --admin unix:/run/bearerd/admin.sock"
    )]
    Inherited(String),
    /// Nothing listens that could be asked.
    #[error("nobody can be asked: [admin] listen is \"off\", and there is no probe_listen; or write --admin ADDRESS")]
    Off,
    /// The host of the address cannot be resolved.
    #[error("the name in {0:?} cannot be resolved")]
    Name(String, #[source] io::Error),
    /// Nobody listens, on any of the addresses.
    #[error("cannot reach bearerd's admin listener on {0} (is it running, and is its [admin] listen another?)")]
    Connect(String, #[source] io::Error),
    /// The connection broke, or time was up.
    #[error("no answer from {0}")]
    Exchange(Target, #[source] io::Error),
    /// The answer is no HTTP.
    #[error("what answers on {0} is not bearerd's admin listener")]
    Stranger(Target),
}

impl QueryError {
    /// Whether another address has to be written.
    pub(super) fn is_wrong_usage(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Inherited(_))
    }
}

/// Where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The addresses that a text like `localhost:9180` stands for; without one those of the default. An address to listen everywhere
/// is asked on loopback.
///
/// # Errors
/// [`QueryError::Address`], [`QueryError::Inherited`] and [`QueryError::Name`].
pub(super) fn addresses(text: Option<&str>) -> Result<Vec<Target>, QueryError> {
    let tcp = |found: Vec<SocketAddr>| found.into_iter().map(Target::Tcp).collect();
    match text.and_then(|text| text.split_once(':')) {
        Some(("unix", path)) if !path.is_empty() => Ok(vec![Target::Unix(path.into())]),
        Some(("fd", name)) => Err(QueryError::Inherited(format!("fd:{name}"))),
        _ => tcp_addresses(text).map(tcp),
    }
}

fn tcp_addresses(text: Option<&str>) -> Result<Vec<SocketAddr>, QueryError> {
    let Some(text) = text else { return Ok(both_loopbacks(DEFAULT_PORT)) };
    let bad = || QueryError::Address(text.to_owned());
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    if let Ok(address) = bare.parse::<SocketAddr>() {
        return Ok(vec![if address.ip().is_unspecified() { on_loopback(address) } else { address }]);
    }
    let (host, port) = bare.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    if host.is_empty() || host.contains([':', '/', '@', ' ']) {
        return Err(bad());
    }
    // Not left to name service, which an empty image may not have.
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(both_loopbacks(port));
    }
    match (host, port).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(QueryError::Name(text.to_owned(), error)),
    }
}

/// Sends a request without body to the first of the addresses that takes the connection.
///
/// # Errors
/// [`QueryError`] if there is no whole answer within the time given.
pub(super) fn ask(addresses: &[Target], method: &str, path: &str, within: Duration) -> Result<Answer, QueryError> {
    let deadline = Deadline(Clock::boot().now() + within);
    let mut failure = io::Error::other("there is no address");
    for address in addresses {
        let answer = deadline.left().and_then(|left| match address {
            Target::Tcp(address) => {
                TcpStream::connect_timeout(address, left).map(|socket| exchange(&socket, method, path, &deadline))
            }
            // It connects at once or not at all.
            Target::Unix(file) => UnixStream::connect(file).map(|socket| exchange(&socket, method, path, &deadline)),
        });
        match answer {
            Ok(answer) => {
                let text = answer.map_err(|error| QueryError::Exchange(address.clone(), error))?;
                return parse(&text).ok_or_else(|| QueryError::Stranger(address.clone()));
            }
            Err(error) => failure = error,
        }
    }
    let tried: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Err(QueryError::Connect(tried.join(" or "), failure))
}

/// A point in time that all steps share.
struct Deadline(Moment);

impl Deadline {
    fn left(&self) -> io::Result<Duration> {
        let left = self.0.since(Clock::boot().now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// What an exchange needs of a socket; the reading and writing is done through a reference.
trait Timed {
    fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()>;
    fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()>;
}

impl Timed for TcpStream {
    fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        Self::set_write_timeout(self, time)
    }

    fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        Self::set_read_timeout(self, time)
    }
}

impl Timed for UnixStream {
    fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        Self::set_write_timeout(self, time)
    }

    fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        Self::set_read_timeout(self, time)
    }
}

fn exchange<S>(mut socket: &S, method: &str, path: &str, deadline: &Deadline) -> io::Result<String>
where
    S: Timed,
    for<'s> &'s S: io::Read + io::Write,
{
    socket.set_write_timeout(Some(deadline.left()?))?;
    // A loopback name is allowed on every admin listener, whatever it is called from outside.
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        socket.set_read_timeout(Some(deadline.left()?))?;
        match socket.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend(piece.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            // What a socket says when its read timeout is over.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > LIMIT {
            return Err(io::Error::other("the answer is too long"));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

fn both_loopbacks(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

fn on_loopback(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;

    /// Answers one request with the given bytes; returns where, and what it was asked.
    pub(in crate::cli) fn answering(answer: &str) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = answer.to_owned();
        let thread = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = String::new();
            let mut piece = [0; 1024];
            while !asked.ends_with("\r\n\r\n") {
                let count = socket.read(&mut piece).unwrap();
                asked.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
            socket.write_all(answer.as_bytes()).unwrap();
            asked
        });
        (address, thread)
    }

    #[test]
    fn an_address_is_understood_in_every_form_that_listen_takes() {
        let check = |text: &str, wanted: &[&str]| {
            let found = addresses(Some(text)).ok().map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(found.unwrap_or_default(), wanted, "{text:?}");
        };
        check("localhost:81", &["127.0.0.1:81", "[::1]:81"]);
        check("LOCALHOST:81", &["127.0.0.1:81", "[::1]:81"]);
        check("127.0.0.2:81", &["127.0.0.2:81"]);
        check("[::1]:81", &["[::1]:81"]);
        check("0.0.0.0:81", &["127.0.0.1:81"]);
        check("[::]:81", &["[::1]:81"]);
        check("http://127.0.0.1:81/", &["127.0.0.1:81"]);
        check("unix:/run/b.sock", &["unix:/run/b.sock"]);
        for bad in [
            "",
            "off",
            "unix:",
            "fd:web",
            "81",
            ":81",
            "localhost",
            "localhost:",
            "localhost:x",
            "localhost:70000",
            "::1:81",
            "a b:81",
        ] {
            check(bad, &[]);
        }
        assert_eq!(addresses(None).unwrap().len(), 2);
        let told = addresses(Some("fd:web")).unwrap_err().to_string();
        assert!(told.contains("ListenStream=") && told.contains("--admin localhost:9180"), "{told}");
    }

    #[test]
    fn the_next_address_is_tried_when_nobody_listens_on_the_first() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (open, asked) = answering("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno\r\n\r\nway");
        let answer = ask(&[Target::Tcp(closed), Target::Tcp(open)], "GET", "/readyz", Duration::from_secs(5)).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "no\r\n\r\nway"));
        assert!(asked.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\nHost: localhost\r\n"));
        let error = ask(&[Target::Tcp(closed)], "GET", "/", Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains(&closed.to_string()), "{error}");
    }

    #[test]
    fn a_silent_server_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let started = Clock::boot().now();
        let error = ask(&[Target::Tcp(address)], "GET", "/", Duration::from_millis(50)).unwrap_err();
        assert!(Clock::boot().now().since(started) < Duration::from_secs(2), "the time given is the time taken");
        assert!(matches!(&error, QueryError::Exchange(_, e) if e.kind() == io::ErrorKind::TimedOut), "{error:?}");
    }

    #[test]
    fn an_answer_that_is_not_http_is_a_strangers() {
        let (address, _) = answering("220 mail.example ESMTP\r\n\r\n");
        let error = ask(&[Target::Tcp(address)], "GET", "/", Duration::from_secs(5)).unwrap_err();
        assert!(matches!(error, QueryError::Stranger(_)), "{error:?}");
    }
}
