//! What carries the bytes of one connection: TCP, or TLS towards a proxy.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::delegate::stream_of;

/// The lowest layer of an upstream connection. TLS with the upstream itself lies above it.
#[derive(Debug)]
pub enum Transport {
    /// TCP, to the upstream or to a proxy.
    Tcp(TcpStream),
    /// TLS over TCP to a proxy whose URL is https.
    Tls(Box<TlsStream<TcpStream>>),
}

stream_of!(Transport { Tcp, Tls });
