//! Opening one connection to one server: look-up, TCP or Unix socket, TLS, login.
//!
//! Owns the login: the command is written here, into memory that is wiped, and not by the library, which would keep copies. What the server
//! says about it is repeated only if it repeats nothing of it. Files of certificates and secrets are read anew each time. Refuses to say
//! a password in the clear to a server beyond this machine that only a sentinel or a node of a cluster has named.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::failure::{self, line};
use crate::delegate::stream_of;
use crate::secret::{Secret, SecretSource};
use crate::store::backend::StoreError;
use crate::store::settings::{Redis, Server};
use crate::tls::{self, ClientSettings};
use crate::upstream::is_loopback_host;

/// How long one address of a name may take, so that the next one has its turn.
const ONE_ADDRESS: Duration = Duration::from_secs(2);

/// The longest answer to a login.
const LONGEST_LINE: usize = 1024;

/// What reads and writes a connection; nothing comes of it unless it is polled.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// Which of the two kinds of login that the settings know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Of the servers that have the data.
    Data,
    /// Of the sentinels.
    Sentinel,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(unix)]
    Unix(UnixStream),
}

#[cfg(unix)]
stream_of!(Stream { Tcp, Tls, Unix });
#[cfg(not(unix))]
stream_of!(Stream { Tcp, Tls });

/// A connection for questions and notifications (RESP3), logged in, with its database.
pub(super) async fn open(
    settings: &Redis,
    server: &Server,
    hear: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
) -> Result<(MultiplexedConnection, Driver), StoreError> {
    let stream = logged_in(settings, server, Who::Data).await?;
    let info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(i64::from(settings.database))
        .set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_push_sender(hear);
    let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
    let (connection, driver) = opened.map_err(|error| failure::of(&error))?;
    Ok((connection, Box::pin(driver)))
}

/// Connects, asks one question, and closes.
pub(super) async fn ask_once(settings: &Redis, server: &Server, who: Who, question: &Cmd) -> Result<Value, StoreError> {
    let stream = logged_in(settings, server, who).await?;
    let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
    let (mut connection, driver) = opened.map_err(|error| failure::of(&error))?;
    tokio::select! {
        answer = question.query_async(&mut connection) => answer.map_err(|error| failure::of(&error)),
        () = driver => Err(closed()),
    }
}

/// The server hung up.
pub(super) fn closed() -> StoreError {
    StoreError::Unreachable("the server closed the connection".to_owned())
}

async fn logged_in(settings: &Redis, server: &Server, who: Who) -> Result<Stream, StoreError> {
    let (username, password) = match who {
        Who::Data => (&settings.username, &settings.password),
        Who::Sentinel => (&settings.sentinel_username, &settings.sentinel_password),
    };
    // Before connecting: a command that says the password may take its time.
    let username = secret(username.as_ref()).await?;
    let password = secret(password.as_ref()).await?;
    if password.is_some() && settings.tls.is_none() && !settings.allow_plain_tcp && !server.is_here() {
        return Err(StoreError::Refused(line(&format!(
            "{server} was named, and to say the password there would show it to the network; write rediss://, or allow_plain_tcp = true"
        ))));
    }
    let mut stream = connect(server, settings.tls.as_ref()).await?;
    match (username, password) {
        (None, None) => {}
        (username, password) => log_in(&mut stream, username.as_ref(), password.as_ref()).await?,
    }
    Ok(stream)
}

async fn secret(source: Option<&SecretSource>) -> Result<Option<Secret>, StoreError> {
    match source {
        None => Ok(None),
        Some(source) => match source.read().await {
            Ok(secret) => Ok(Some(secret)),
            Err(error) => Err(StoreError::Unreachable(line(&crate::log::chain(&error)))),
        },
    }
}

async fn connect(server: &Server, tls: Option<&ClientSettings>) -> Result<Stream, StoreError> {
    match server {
        Server::Unix(path) => unix(path).await,
        Server::Tcp(host, port) => {
            let tcp = tcp(host, *port).await.map_err(|error| unreachable(server, &error))?;
            // Small writes must not wait for the peer's acknowledgement. A socket that refuses the option still works.
            let _ = tcp.set_nodelay(true);
            match tls {
                None => Ok(Stream::Tcp(tcp)),
                Some(settings) => handshake(settings, host, tcp).await,
            }
        }
    }
}

#[cfg(unix)]
async fn unix(path: &Path) -> Result<Stream, StoreError> {
    let connected = UnixStream::connect(path).await;
    connected.map(Stream::Unix).map_err(|error| unreachable(&Server::Unix(path.to_owned()), &error))
}

#[cfg(not(unix))]
async fn unix(_path: &Path) -> Result<Stream, StoreError> {
    Err(StoreError::Unreachable("this system has no Unix sockets".to_owned()))
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(host, port).await? {
        match timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer"),
        }
    }
    Err(last)
}

/// `localhost` and all below it is loopback by definition (RFC 6761 §6.3): a password may go there in the clear, so no resolver may say
/// otherwise.
async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if is_loopback_host(host) && host.parse::<IpAddr>().is_err() {
        return Ok([IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].map(|ip| (ip, port).into()).into());
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

async fn handshake(settings: &ClientSettings, host: &str, tcp: TcpStream) -> Result<Stream, StoreError> {
    let tls = tokio::task::spawn_blocking({
        let settings = settings.clone();
        move || tls::Client::load(settings)
    });
    let tls = match tls.await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return Err(StoreError::Unreachable(line(&crate::log::chain(&error)))),
        Err(_) => return Err(StoreError::Unreachable("reading the certificates was interrupted".to_owned())),
    };
    let name = settings.server_name.as_deref().unwrap_or(host);
    let Some(name) = tls::server_name(name) else {
        return Err(StoreError::Unreachable(line(&format!("{name:?} is no name that a certificate could have"))));
    };
    // Redis has no protocol of its own in ALPN.
    let connecting = TlsConnector::from(tls.config()).with_alpn(Vec::new()).connect(name, tcp);
    match connecting.await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => {
            let why = tls::cause(&error).map_or_else(|| error.to_string(), |tls| tls::explain(tls).to_string());
            Err(StoreError::Unreachable(line(&format!("TLS handshake failed: {why}"))))
        }
    }
}

/// `AUTH` with a user and a password, or with the password alone.
async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    username: Option<&Secret>,
    password: Option<&Secret>,
) -> Result<(), StoreError> {
    // A user may need no password; the command wants one nevertheless.
    let words = username.map(Secret::expose).into_iter().chain([password.map_or("", Secret::expose)]);
    let command = auth(&words.collect::<Vec<_>>());
    let answer = match stream.write_all(&command).await {
        Ok(()) => answer_line(stream).await?,
        Err(error) => return Err(StoreError::Unreachable(line(&error.to_string()))),
    };
    if answer == "+OK" {
        return Ok(());
    }
    let Some(said) = answer.strip_prefix('-') else {
        return Err(StoreError::Nonsense("this is not how a Redis answers to AUTH".to_owned()));
    };
    let (code, text) = said.split_once(' ').unwrap_or((said, ""));
    // Servers that do not know the command repeat what stood behind it.
    let repeats = text.contains("with args");
    Err(failure::server(code, if repeats { "the server does not know AUTH" } else { text }))
}

/// The command in memory that is wiped, of a size that never grows.
fn auth(words: &[&str]) -> Zeroizing<Vec<u8>> {
    let room = words.iter().map(|word| word.len() + 32).sum::<usize>() + 32;
    let mut command = Zeroizing::new(Vec::with_capacity(room));
    command.extend_from_slice(format!("*{}\r\n$4\r\nAUTH\r\n", words.len() + 1).as_bytes());
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word.as_bytes());
        command.extend_from_slice(b"\r\n");
    }
    command
}

/// One line, and not a byte of what may come behind it.
async fn answer_line<S: AsyncRead + Unpin>(stream: &mut S) -> Result<String, StoreError> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(closed()),
            Err(error) => return Err(StoreError::Unreachable(line(&error.to_string()))),
        }
        if read.len() > LONGEST_LINE {
            return Err(StoreError::Nonsense("this is not how a Redis answers to AUTH".to_owned()));
        }
    }
    Ok(String::from_utf8_lossy(&read).trim_end().to_owned())
}

fn unreachable(server: &Server, error: &io::Error) -> StoreError {
    StoreError::Unreachable(line(&format!("{server}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::Topology;

    async fn log_in_at(answer: &[u8]) -> (Result<(), StoreError>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer).await.unwrap();
        let (user, password) = (Secret::new("bearerd"), Secret::new("hunter2"));
        let result = log_in(&mut ours, Some(&user), Some(&password)).await;
        drop(ours);
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        (result, sent)
    }

    #[tokio::test]
    async fn the_login_is_one_command_and_its_answer_is_classed() {
        let (result, sent) = log_in_at(b"+OK\r\n").await;
        assert_eq!(result, Ok(()));
        assert_eq!(sent, b"*3\r\n$4\r\nAUTH\r\n$7\r\nbearerd\r\n$7\r\nhunter2\r\n");
        let (result, _) = log_in_at(b"-WRONGPASS invalid username-password pair\r\n").await;
        assert_eq!(result, Err(StoreError::Refused("WRONGPASS invalid username-password pair".to_owned())));
        for strange in [&b"HTTP/1.1 400 Bad Request\r\n"[..], &[b'x'; 2000], b"*1\r\n"] {
            let (result, _) = log_in_at(strange).await;
            assert!(matches!(result, Err(StoreError::Nonsense(_))), "{result:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_repeats_the_password_is_not_repeated() {
        let (result, _) =
            log_in_at(b"-ERR unknown command `AUTH`, with args beginning with: `bearerd`, `hunter2`, \r\n").await;
        let said = result.unwrap_err().to_string();
        assert!(said.contains("does not know AUTH") && !said.contains("hunter2"), "{said}");
    }

    #[tokio::test]
    async fn a_password_goes_in_the_clear_to_this_machine_alone_whoever_names_another() {
        let at = |host: &str| Server::Tcp(host.to_owned(), 1);
        let settings = Redis {
            servers: vec![at("localhost")],
            topology: Topology::Cluster,
            username: None,
            password: Some(SecretSource::inline("hunter2")),
            sentinel_username: None,
            sentinel_password: None,
            database: 0,
            tls: None,
            allow_plain_tcp: false,
        };
        // Nobody is there: whoever tried to connect would not be refused.
        let ask = async |settings: &Redis, host: &str, who| {
            timeout(Duration::from_millis(100), logged_in(settings, &at(host), who)).await.map(|outcome| outcome.err())
        };
        let refused = |outcome: Result<Option<StoreError>, _>| matches!(outcome, Ok(Some(StoreError::Refused(_))));
        for far in ["192.0.2.1", "2001:db8::1", "localhost.example"] {
            assert!(refused(ask(&settings, far, Who::Data).await), "{far}");
        }
        assert!(!refused(ask(&settings, "192.0.2.1", Who::Sentinel).await), "without a password");
        assert!(!refused(ask(&settings, "127.0.0.1", Who::Data).await));
        let allowed = Redis { allow_plain_tcp: true, ..settings };
        assert!(!refused(ask(&allowed, "192.0.2.1", Who::Data).await));
    }

    #[tokio::test]
    async fn localhost_and_all_below_it_is_this_machine_whatever_a_resolver_says() {
        for host in ["localhost", "LOCALHOST.", "cache.localhost"] {
            let found = addresses(host, 7).await.unwrap();
            assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{host}: {found:?}");
        }
        assert_eq!(addresses("192.0.2.1", 7).await.unwrap(), ["192.0.2.1:7".parse().unwrap()]);
    }

    #[test]
    fn the_buffer_of_the_login_never_grows() {
        let long = "x".repeat(5000);
        let command = auth(&["user", &long]);
        assert!(command.len() <= long.len() + 4 + 96);
    }
}
