//! The TLS handshake of a caller: within a deadline, with the names of its certificate as a result.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Refusal;
use super::peer::Peer;
use super::stream::Stream;
use crate::log::Pace;
use crate::reason::Reason;
use crate::tls::{self, CallerName};

/// The most that a handshake may take where `timeouts.request_head` is off: nobody may hold a connection for ever before it
/// is known who it is.
const LONGEST: Duration = Duration::from_secs(10);

/// What a caller that writes `http://` is told.
pub(super) const PLAIN: Refusal =
    Refusal::new(Reason::CallerTls, "this listener speaks TLS: write https:// instead of http://");

/// As what a handshake that failed is counted; its log line says why.
pub(super) const FAILED: Refusal = Refusal::new(Reason::CallerTls, "TLS handshake failed");

/// A connection after its handshake, and what the caller's certificate names.
pub(super) type Shaken = (Stream, Option<Arc<[CallerName]>>);

/// Why there is no TLS.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller went away without a word, as health checks of load balancers do.
    Silent,
    /// It speaks plain HTTP. Nothing of that has been read.
    Plain(TcpStream),
    /// The handshake failed or took too long, in one line.
    Broken(String),
}

/// Shakes hands.
pub(super) async fn shake(socket: TcpStream, tls: &tls::Server, limit: Option<Duration>) -> Result<Shaken, Failure> {
    let limit = limit.unwrap_or(LONGEST);
    let shaking = async {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(0) | Err(_) => return Err(Failure::Silent),
            // A method, where the record of a ClientHello would begin with 22 (RFC 8446 §5.1).
            Ok(_) if first.iter().all(u8::is_ascii_uppercase) => return Err(Failure::Plain(socket)),
            Ok(_) => {}
        }
        TlsAcceptor::from(tls.config()).accept(socket).await.map_err(|error| Failure::Broken(readable(&error)))
    };
    match timeout(limit, shaking).await {
        Ok(shaken) => shaken.map(|stream| {
            let names = names(&stream);
            (Stream::Tls(Box::new(stream)), names)
        }),
        Err(_) => Err(Failure::Broken(format!("it was not finished within {}", humantime::format_duration(limit)))),
    }
}

/// Logs a handshake that failed: each at debug, and one in a while where people look.
pub(super) fn complain(pace: &Pace, peer: Peer, why: &str) {
    let code = Reason::CallerTls.code();
    tracing::debug!(%peer, "TLS handshake with a caller failed: {why}");
    if let Some(unsaid) = pace.turn() {
        tracing::warn!(code, %peer, unsaid, "{code} TLS handshake with a caller failed: {why}");
    }
}

fn names(stream: &TlsStream<TcpStream>) -> Option<Arc<[CallerName]>> {
    let chain = stream.get_ref().1.peer_certificates()?;
    Some(chain.first().map(|own| tls::caller_names(own)).unwrap_or_default().into())
}

fn readable(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "the caller closed the connection in the middle of it".to_owned();
    }
    tls::cause(error).map_or_else(|| error.to_string(), tls::explain_caller)
}
