//! Opening one connection: resolve, try every address, TLS, all within one deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::origin::Origin;

/// Opens connections to one origin.
#[derive(Clone, Debug)]
pub struct Connector {
    origin: Origin,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    timeout: Duration,
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
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
#[error("{}", match .failure {
    ConnectFailure::Name => "name resolution failed",
    ConnectFailure::Connect => "connection failed",
    ConnectFailure::Timeout => "connecting took too long",
    ConnectFailure::Tls => "TLS handshake failed",
})]
pub struct ConnectError {
    /// The step.
    pub failure: ConnectFailure,
    /// What the system or the TLS library said.
    #[source]
    pub source: io::Error,
}

impl ConnectError {
    /// The connection was open but HTTP could not begin on it.
    pub(super) fn handshake(error: hyper::Error) -> Self {
        Self { failure: ConnectFailure::Connect, source: io::Error::other(error) }
    }
}

/// An open connection, plain or TLS: a Tokio stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The origin's host is no name that TLS can check.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no DNS name or address that a certificate could name")]
pub struct BadServerName(pub String);

impl Connector {
    /// A connector to `origin`. `tls` is used where the origin is https; `server_name` replaces the name that is
    /// sent (SNI) and checked.
    ///
    /// # Errors
    /// [`BadServerName`] if the name to check is none.
    pub fn new(
        origin: Origin,
        tls: Arc<ClientConfig>,
        server_name: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, BadServerName> {
        todo!()
    }

    /// Where it connects to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Opens a connection. Cancel-safe.
    ///
    /// # Errors
    /// [`ConnectError`] with the step that failed.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        todo!()
    }
}
