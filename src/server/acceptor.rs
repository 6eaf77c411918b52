//! The one accept loop: small and forgiving.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::listener::Listener;
use super::worker::Workers;
use crate::shutdown::Shutdown;

/// How long to wait when the system has no descriptor or memory left for another connection.
const BREATH: Duration = Duration::from_millis(50);
/// Connections taken in one turn before others get theirs.
const BATCH: usize = 64;

/// A caller's connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) group: usize,
}

/// Accepts until shutdown, then takes what is already queued, so that no caller is reset, and closes the socket.
///
/// # Errors
/// If the socket cannot be watched; nothing that a caller does ends the loop.
pub async fn accept(listener: Listener, workers: Workers, mut shutdown: Shutdown) -> io::Result<()> {
    let (local, group) = (listener.address(), listener.group());
    let socket = AsyncFd::with_interest(listener.into_socket(), Interest::READABLE)?;
    loop {
        let mut ready = tokio::select! {
            ready = socket.readable() => ready?,
            () = shutdown.fired() => break,
        };
        match take_batch(socket.get_ref(), local, group, &workers) {
            Ok(Batch::More) => tokio::task::yield_now().await,
            Ok(Batch::Empty) => ready.clear_ready(),
            Err(error) => {
                tracing::warn!(%error, address = %local, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    while let Ok(Batch::More) = take_batch(socket.get_ref(), local, group, &workers) {}
    Ok(())
}

enum Batch {
    More,
    Empty,
}

fn take_batch(socket: &TcpListener, local: SocketAddr, group: usize, workers: &Workers) -> io::Result<Batch> {
    for _ in 0..BATCH {
        match socket.accept() {
            Ok((accepted, peer)) => {
                // On a wildcard address the connection came in on a more precise one.
                let local = accepted.local_addr().unwrap_or(local);
                if accepted.set_nonblocking(true).is_ok() {
                    workers.hand_over(Accepted { socket: accepted, peer, local, group });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Batch::Empty),
            // The caller was gone before we looked; the next one may be there.
            Err(error) if is_of_one_connection(&error) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(Batch::More)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused | Kind::Interrupted
    )
}
