//! Opening one connection: resolve, try every address, through the proxy if there is one, TLS, all within one deadline.
//!
//! Owns the order in which addresses are tried and the memory of those that were good. Knows nothing of
//! HTTP but a proxy's CONNECT. Where a proxy is configured, nothing connects past it. A name that cannot be resolved falls
//! back to the addresses that last worked, so that an outage of name service alone stops nothing. A failure says which
//! step failed and why, in one line.

mod detour;
mod race;

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http_proxy::HttpProxy;
use super::incoming::HttpError;
use super::origin::{Origin, Scheme};
use super::transport::Transport;
use crate::delegate::stream_of;
use crate::tls;
use race::{addresses_without_lookup, interleave, list, race};

/// More than anybody waits, and little enough to be added to any instant.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Opens connections to one origin. Clones share the memory of good addresses.
#[derive(Clone, Debug)]
pub struct Connector {
    origin: Origin,
    tls: Option<(tls::Client, ServerName<'static>)>,
    timeout: Duration,
    proxy: Option<HttpProxy>,
    /// Whether a login that the proxy refused is tried again whenever a connection is wanted.
    insists: bool,
    /// The addresses of the last look-up that led to a connection. Off the hot path: locked once per connection.
    last_good: Arc<Mutex<Found>>,
}

/// Where a connection is to be made, and the addresses that were found for it.
#[derive(Clone, Debug, Default)]
struct Found {
    host: String,
    port: u16,
    addresses: Vec<SocketAddr>,
}

/// Which step of connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The name has no address, or name service failed.
    Name,
    /// No address could be connected to.
    Connect,
    /// The deadline passed.
    Timeout,
    /// The handshake failed; the peer is not who it should be, or speaks no TLS.
    Tls,
    /// The proxy on the way cannot be reached, failed, or does not speak HTTP.
    Proxy,
    /// The proxy on the way answered, and did not let us through: the status.
    ProxyRefused(StatusCode),
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{}", match .failure {
    ConnectFailure::Name => "name resolution failed",
    ConnectFailure::Connect => "connection failed",
    ConnectFailure::Timeout => "connecting took too long",
    ConnectFailure::Tls => "TLS handshake failed",
    ConnectFailure::Proxy => "the proxy failed",
    ConnectFailure::ProxyRefused(_) => "the proxy refused",
})]
pub struct ConnectError {
    /// The step.
    pub failure: ConnectFailure,
    /// What the system or the TLS library said.
    #[source]
    pub source: io::Error,
}

impl ConnectError {
    /// The same for another one who waited.
    pub(super) fn again(&self) -> Self {
        Self { failure: self.failure, source: io::Error::new(self.source.kind(), self.source.to_string()) }
    }

    /// The connection was open but HTTP could not begin on it.
    pub(super) fn handshake(error: HttpError) -> Self {
        Self { failure: ConnectFailure::Connect, source: io::Error::other(error) }
    }
}

/// Which HTTP a TLS connection is offered for (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2, else HTTP/1.1.
    Both,
    /// HTTP/2 alone.
    Http2,
}

impl Offer {
    fn names(self) -> Vec<Vec<u8>> {
        let (http1, http2) = (b"http/1.1".to_vec(), HTTP2.to_vec());
        match self {
            Self::Http1 => vec![http1],
            Self::Both => vec![http2, http1],
            Self::Http2 => vec![http2],
        }
    }
}

/// HTTP/2's name in ALPN.
const HTTP2: &[u8] = b"h2";

/// An open connection, plain or TLS: a Tokio stream.
#[derive(Debug)]
pub enum Stream {
    /// No TLS with the server.
    Plain(Transport),
    /// TLS with the server.
    Tls(Box<TlsStream<Transport>>),
}

/// The origin's host is no name that TLS can check.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no DNS name or address that a certificate could name")]
pub struct BadServerName(pub String);

impl Connector {
    /// A connector to `origin`. `tls` is used where the origin is https; its `server_name` replaces the name
    /// that is sent (SNI) and checked.
    ///
    /// # Errors
    /// [`BadServerName`] if the name to check is none.
    pub fn new(origin: Origin, tls: tls::Client, timeout: Duration) -> Result<Self, BadServerName> {
        let tls = match origin.scheme() {
            Scheme::Http => None,
            Scheme::Https => {
                let server_name = tls.settings().server_name.clone();
                let name = server_name.as_deref().unwrap_or(origin.host());
                let name = tls::server_name(name).ok_or_else(|| BadServerName(name.to_owned()))?;
                Some((tls, name))
            }
        };
        Ok(Self { origin, tls, timeout, proxy: None, insists: false, last_good: Arc::default() })
    }

    /// The same through a proxy.
    #[must_use]
    pub fn through(self, proxy: Option<HttpProxy>) -> Self {
        Self { proxy, ..self }
    }

    /// The same for whoever counts refusals by himself: a proxy's login that was refused is tried at every call.
    #[must_use]
    pub fn insisting(self) -> Self {
        Self { insists: true, ..self }
    }

    /// How it speaks TLS; `None` where it does not.
    pub fn tls(&self) -> Option<&tls::Client> {
        self.tls.as_ref().map(|(tls, _)| tls)
    }

    /// Where it connects to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The proxy on the way.
    pub fn proxy(&self) -> Option<&HttpProxy> {
        self.proxy.as_ref()
    }

    /// Opens a connection for HTTP/1.1. Cancel-safe.
    ///
    /// # Errors
    /// [`ConnectError`] with the step that failed.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        self.connect_offering(Offer::Http1).await
    }

    /// Opens a connection for one of these. Cancel-safe.
    ///
    /// # Errors
    /// [`ConnectError`] with the step that failed.
    pub async fn connect_offering(&self, offer: Offer) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + self.timeout.min(LONGEST);
        let (transport, found) = match &self.proxy {
            None => {
                let (tcp, found) = self.dial(&self.origin, deadline).await?;
                (Transport::Tcp(tcp), found)
            }
            Some(proxy) => self.tunnel(proxy, deadline).await?,
        };
        let stream = match &self.tls {
            None => Stream::Plain(transport),
            Some((tls, name)) => Stream::Tls(Box::new(self.handshake((tls, offer), name, transport, deadline).await?)),
        };
        if offer == Offer::Http2 && self.tls.is_some() && !stream.agreed_on_http2() {
            let source = io::Error::other("the server does not speak HTTP/2 (ALPN); upstream_protocol demands it");
            return Err(ConnectError { failure: ConnectFailure::Tls, source });
        }
        *self.last_good.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(stream)
    }

    async fn dial(&self, origin: &Origin, deadline: Instant) -> Result<(TcpStream, Found), ConnectError> {
        let (host, port) = (origin.host(), origin.port());
        let addresses = self.resolve(host, port, deadline).await?;
        let tcp = match timeout_at(deadline, race(&addresses)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(source)) => return Err(ConnectError { failure: ConnectFailure::Connect, source }),
            Err(_) => return Err(self.too_late(&format!("no connection to {}", list(&addresses)))),
        };
        // Small writes must not wait for the peer's acknowledgement. A socket that refuses the option still works.
        let _ = tcp.set_nodelay(true);
        keep_alive(&tcp);
        Ok((tcp, Found { host: host.to_owned(), port, addresses }))
    }

    /// Whom it would connect to, the server or the proxy on the way, and the addresses of that name.
    ///
    /// # Errors
    /// [`ConnectError`] if the name has none, or nobody knows within the time for connecting.
    pub async fn look_up(&self) -> Result<(String, Vec<SocketAddr>), ConnectError> {
        let proxy = match &self.proxy {
            Some(proxy) => Some(proxy.address().await.map_err(|error| {
                let source = io::Error::other(crate::log::chain(&error));
                ConnectError { failure: ConnectFailure::Proxy, source }
            })?),
            None => None,
        };
        let origin = proxy.as_ref().map_or(&self.origin, |proxy| &proxy.origin);
        let deadline = Instant::now() + self.timeout.min(LONGEST);
        Ok((origin.host().to_owned(), self.resolve(origin.host(), origin.port(), deadline).await?))
    }

    async fn resolve(&self, host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Some(known) = addresses_without_lookup(host, port) {
            return Ok(known);
        }
        let last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let last_good = if last_good.host == host && last_good.port == port { last_good.addresses } else { Vec::new() };
        // A name service that hangs must leave time to use the addresses that we know.
        let limit =
            if last_good.is_empty() { deadline } else { deadline - deadline.duration_since(Instant::now()) / 2 };
        let failure = match timeout_at(limit, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => {
                let found = interleave(found);
                if !found.is_empty() {
                    return Ok(found);
                }
                let source = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
                ConnectError { failure: ConnectFailure::Name, source }
            }
            Ok(Err(error)) => {
                let source = io::Error::new(error.kind(), format!("{host}: {error}"));
                ConnectError { failure: ConnectFailure::Name, source }
            }
            Err(_) => self.too_late(&format!("no answer from name service for {host}")),
        };
        if last_good.is_empty() {
            return Err(failure);
        }
        tracing::debug!(host, error = %failure.source, "name resolution failed; using the addresses that last worked");
        Ok(last_good)
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        (tls, offer): (&tls::Client, Offer),
        name: &ServerName<'static>,
        transport: S,
        deadline: Instant,
    ) -> Result<TlsStream<S>, ConnectError> {
        let connector = TlsConnector::from(tls.config());
        let connecting = connector.with_alpn(offer.names()).connect(name.clone(), transport);
        match timeout_at(deadline, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                Err(ConnectError { failure: ConnectFailure::Tls, source: readable_handshake_error(error) })
            }
            Err(_) => Err(self.too_late("the server did not finish the TLS handshake")),
        }
    }

    fn too_late(&self, what: &str) -> ConnectError {
        let within = humantime::format_duration(self.timeout);
        let source = io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {within}"));
        ConnectError { failure: ConnectFailure::Timeout, source }
    }
}

impl Stream {
    /// Whether the TLS handshake chose HTTP/2.
    pub fn agreed_on_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }
}

stream_of!(Stream { Plain, Tls });

impl Stream {
    /// Whether the other end has said something or closed, as the system knows it. The runtime hears of it only when it looks for
    /// what has happened, which on a busy thread may be a while from now.
    pub(super) fn has_news(&self) -> bool {
        let transport = match self {
            Self::Plain(transport) => transport,
            Self::Tls(stream) => stream.get_ref().0,
        };
        let tcp = match transport {
            Transport::Tcp(tcp) => tcp,
            Transport::Tls(stream) => stream.get_ref().0,
        };
        let there = SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]);
        !matches!(there, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Has the system notice a peer that is gone without a word, while a stream is open that says nothing for hours. HTTP/2's
/// PING would do, but gRPC servers end connections that ping more often than every five minutes.
fn keep_alive(tcp: &TcpStream) {
    let probes =
        TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10)).with_retries(3);
    // A socket that refuses the option still works.
    let _ = SockRef::from(tcp).set_tcp_keepalive(&probes);
}

fn readable_handshake_error(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return io::Error::new(error.kind(), "the server closed the connection during the TLS handshake");
    }
    match tls::cause(&error) {
        Some(tls) => io::Error::new(error.kind(), tls::explain(tls)),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::tls::ClientSettings;
    use crate::tls::testing::Directory;

    struct Authority(tls::testing::Authority, Directory);

    impl Authority {
        fn new(name: &str) -> Self {
            Self(tls::testing::Authority::new(name), Directory::new())
        }

        fn trusted(&self) -> ClientSettings {
            let ca = self.1.write("ca.pem", &self.0.pem());
            ClientSettings { ca: Some(ca), ..Default::default() }
        }

        /// A TLS server that greets every client; the port it listens on.
        async fn serve(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> u16 {
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            change(&mut params);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &self.0.0).unwrap();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    if let Ok(mut stream) = acceptor.accept(tcp).await {
                        let _ = stream.write_all(b"hello").await;
                        let _ = stream.shutdown().await;
                    }
                }
            });
            port
        }
    }

    fn connector(url: &str, tls: &ClientSettings, timeout: Duration) -> Connector {
        let tls = tls::Client::load(tls.clone()).unwrap();
        Connector::new(Origin::of(&url.parse().unwrap()).unwrap(), tls, timeout).unwrap()
    }

    fn plain(url: &str, timeout: Duration) -> Connector {
        connector(url, &ClientSettings::default(), timeout)
    }

    const AMPLE: Duration = Duration::from_secs(20);

    async fn check_refused(connector: &Connector, failure: ConnectFailure, words: &str) {
        let error = connector.connect().await.expect_err(words);
        assert_eq!(error.failure, failure, "{error}: {}", error.source);
        let text = error.source.to_string();
        assert!(text.contains(words), "{text:?} should contain {words:?}");
        assert!(!text.contains('\n'), "{text:?} is more than one line");
    }

    async fn check_greeted(connector: &Connector) {
        let mut stream = connector.connect().await.unwrap();
        assert!(stream.is_write_vectored());
        let mut greeting = String::new();
        stream.read_to_string(&mut greeting).await.unwrap();
        assert_eq!(greeting, "hello");
    }

    #[tokio::test]
    async fn a_server_with_a_certificate_of_the_given_authority_is_connected_to() {
        let authority = Authority::new("us");
        let port = authority.serve("localhost", |_| {}).await;
        check_greeted(&connector(&format!("https://localhost:{port}"), &authority.trusted(), AMPLE)).await;
    }

    #[tokio::test]
    async fn the_configured_server_name_is_sent_and_checked_instead_of_the_urls() {
        let authority = Authority::new("us");
        let port = authority.serve("login.example.com", |_| {}).await;
        let url = format!("https://127.0.0.1:{port}");
        let tls = ClientSettings { server_name: Some("login.example.com".to_owned()), ..authority.trusted() };
        check_greeted(&connector(&url, &tls, AMPLE)).await;
    }

    #[tokio::test]
    async fn bad_certificates_are_refused_in_one_readable_line() {
        let authority = Authority::new("us");
        let trusted = authority.trusted();
        let https = |port: u16| format!("https://localhost:{port}");
        let tls = ConnectFailure::Tls;

        let port = authority.serve("other.example", |_| {}).await;
        let wrong_name = "not for \"localhost\" but for other.example";
        check_refused(&connector(&https(port), &trusted, AMPLE), tls, wrong_name).await;

        let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        let port = authority.serve("localhost", expired).await;
        check_refused(&connector(&https(port), &trusted, AMPLE), tls, "expired on 2020-01-02").await;

        let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2090, 1, 2);
        let port = authority.serve("localhost", early).await;
        check_refused(&connector(&https(port), &trusted, AMPLE), tls, "not valid before 2090").await;

        let port = Authority::new("us").serve("localhost", |_| {}).await;
        check_refused(&connector(&https(port), &trusted, AMPLE), tls, "another key").await;

        let port = Authority::new("them").serve("localhost", |_| {}).await;
        check_refused(&connector(&https(port), &trusted, AMPLE), tls, "not trusted").await;
        check_refused(&plain(&https(port), AMPLE), tls, "not trusted").await;
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_tls_is_named_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let _ = tcp.read(&mut [0; 1024]).await;
            }
        });
        let connector = plain(&format!("https://localhost:{port}"), AMPLE);
        check_refused(&connector, ConnectFailure::Tls, "does not speak TLS").await;
    }

    #[tokio::test]
    async fn a_server_that_closes_during_the_handshake_is_a_tls_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                // Reading first makes it an orderly end and not a reset.
                let _ = tcp.read(&mut [0; 4096]).await;
            }
        });
        let connector = plain(&format!("https://localhost:{port}"), AMPLE);
        check_refused(&connector, ConnectFailure::Tls, "closed the connection").await;
    }

    #[tokio::test]
    async fn a_refused_port_is_a_connect_failure_that_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        check_refused(&plain(&format!("http://{address}"), AMPLE), ConnectFailure::Connect, &address.to_string()).await;
    }

    #[tokio::test]
    async fn a_peer_that_stays_silent_in_the_handshake_is_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connector = plain(&format!("https://{}", listener.local_addr().unwrap()), Duration::from_millis(100));
        check_refused(&connector, ConnectFailure::Timeout, "TLS handshake within 100ms").await;
    }

    #[tokio::test]
    async fn every_address_is_tried_before_giving_up() {
        // `localhost` is both loopbacks; the server is on the second one, or on the first where there is no IPv6.
        let listener = match TcpListener::bind("[::1]:0").await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        let port = listener.local_addr().unwrap().port();
        plain(&format!("http://api.localhost:{port}"), AMPLE).connect().await.unwrap();
    }

    #[tokio::test]
    async fn addresses_that_last_worked_serve_while_name_service_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connector = plain(&format!("http://nowhere.invalid:{}", address.port()), AMPLE);
        check_refused(&connector, ConnectFailure::Name, "nowhere.invalid").await;
        let found = Found { host: "nowhere.invalid".to_owned(), port: address.port(), addresses: vec![address] };
        *connector.last_good.lock().unwrap() = Found { port: 1, ..found.clone() };
        check_refused(&connector, ConnectFailure::Name, "nowhere.invalid").await;
        *connector.last_good.lock().unwrap() = found;
        connector.clone().connect().await.unwrap();
    }

    #[test]
    fn a_name_that_no_certificate_can_carry_is_refused_for_https_alone() {
        let origin = |url: &str| Origin::of(&url.parse().unwrap()).unwrap();
        let made = |url: &str, name: Option<&str>| {
            let tls = ClientSettings { server_name: name.map(str::to_owned), ..Default::default() };
            Connector::new(origin(url), tls::Client::load(tls).unwrap(), AMPLE).is_ok()
        };
        assert!(!made("https://a_-.b!c", None));
        assert!(made("http://a.example", Some("not a name")));
        assert!(!made("https://a.example", Some("not a name")));
    }
}
