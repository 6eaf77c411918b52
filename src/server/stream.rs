//! A caller's connection: TCP, TLS, or a Unix socket.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::delegate::stream_of;
use crate::platform::net::UnixStream;

/// An open connection of a caller.
#[derive(Debug)]
pub(super) enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP, after the handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Writes what there is room for.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

stream_of!(Stream { Plain, Unix, Tls });
