//! The one accept loop: small and forgiving.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::connection::ConnectionInfo;
use super::listener::Listener;
use super::worker::Workers;
use crate::shutdown::Shutdown;
use crate::tls;

/// How long to wait when the system has no descriptor or memory left for another connection.
const BREATH: Duration = Duration::from_millis(50);

/// A caller's connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) socket: std::net::TcpStream,
    pub(super) info: ConnectionInfo,
    /// A handshake comes first.
    pub(super) tls: Option<tls::Server>,
}

/// Accepts until shutdown, then takes what is already queued, so that no caller is reset, and closes the socket.
///
/// # Errors
/// If the socket cannot be watched; nothing that a caller does ends the loop.
pub async fn accept(listener: Listener, workers: Workers, mut shutdown: Shutdown) -> io::Result<()> {
    let (address, group) = (listener.address(), listener.group());
    let (socket, tls) = listener.into_parts();
    let door = Door { address, group, tls };
    let listener = TcpListener::from_std(socket)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.fired() => break,
        };
        match accepted {
            Ok((stream, peer)) => door.hand_over(stream, peer, &workers),
            // The caller was gone before we looked; the next one may be there.
            Err(error) if is_of_one_connection(&error) => (),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        door.hand_over(stream, peer, &workers);
    }
    Ok(())
}

/// What is the same for all connections of a listener.
struct Door {
    address: SocketAddr,
    group: usize,
    tls: Option<tls::Server>,
}

impl Door {
    fn hand_over(&self, stream: TcpStream, peer: SocketAddr, workers: &Workers) {
        // On a wildcard address only the connection knows the address it came in on.
        if let Ok(local) = stream.local_addr()
            && let Ok(socket) = stream.into_std()
        {
            let loopback_listener = self.address.ip().to_canonical().is_loopback();
            let secure = self.tls.is_some();
            let info = ConnectionInfo { peer, local, loopback_listener, group: self.group, secure, names: None };
            workers.hand_over(Accepted { socket, info, tls: self.tls.clone() });
        }
    }
}

/// What a future has to say without waiting.
trait NowOrNever: Future + Sized {
    fn now_or_never(self) -> Option<Self::Output> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self).as_mut().poll(&mut context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}

impl<F: Future> NowOrNever for F {}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused | Kind::Interrupted
    )
}
