//! The one accept loop: small and forgiving.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::connection::ConnectionInfo;
use super::listener::{BACKLOG, Listener, Socket};
use super::peer::Peer;
use super::policy::{Generation, Policy};
use super::unix;
use super::worker::Workers;
use crate::log::Repeated;
use crate::platform::blocking;
use crate::platform::net::{UnixListener, UnixStream};
use crate::shutdown::Shutdown;
use crate::tls;

/// How long to wait when the system has no descriptor or memory left for another connection.
const BREATH: Duration = Duration::from_millis(50);

/// A caller's connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) socket: Connected,
    pub(super) info: ConnectionInfo,
    /// A handshake comes first.
    pub(super) tls: Option<tls::Server>,
    /// Fires when the connection is to end with its current request.
    pub(super) draining: Shutdown,
}

/// An accepted socket, of no runtime yet.
#[derive(Debug)]
pub(super) enum Connected {
    Tcp(std::net::TcpStream),
    Unix(blocking::UnixStream),
}

/// Accepts until shutdown, then takes what is already queued, so that no caller is reset, and closes the socket. When connections end,
/// is for their `generation` to say.
///
/// # Errors
/// If the socket cannot be watched; nothing that a caller does ends the loop.
pub async fn accept(
    listener: Listener,
    workers: Workers,
    generation: Generation,
    mut shutdown: Shutdown,
) -> io::Result<()> {
    let group = listener.group();
    let policy = workers.policy().clone();
    let door = |socket| Door { socket, group, policy, generation };
    let (door, file) = match listener.into_socket() {
        Socket::Tcp(socket) => {
            let loopback = socket.local_addr()?.ip().to_canonical().is_loopback();
            let socket = TcpListener::from_std(socket)?;
            (door(Accepting::Tcp { socket, loopback }), None)
        }
        Socket::Unix(socket, file) => (door(Accepting::Unix(UnixListener::from_std(socket)?)), file),
    };
    let failures = Repeated::new();
    loop {
        let accepted = tokio::select! {
            accepted = door.accept() => accepted,
            () = shutdown.fired() => break,
        };
        match accepted {
            Ok(accepted) => {
                if let Some(over) = failures.succeeded() {
                    tracing::info!(failures = over.count, "connections are accepted again");
                }
                workers.hand_over(accepted);
            }
            // The caller was gone before we looked; the next one may be there.
            Err(error) if is_of_one_connection(&error) => (),
            Err(error) => {
                if let Some(unsaid) = failures.failed(error.raw_os_error()) {
                    tracing::warn!(%error, unsaid, "cannot accept a connection");
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    // Nobody finds the way any more; those who did are served.
    drop(file);
    for _ in 0..BACKLOG {
        match door.accept_queued() {
            Ok(accepted) => workers.hand_over(accepted),
            Err(error) if is_of_one_connection(&error) => (),
            Err(_) => break,
        }
    }
    Ok(())
}

/// A listening socket and what is the same for all its connections.
struct Door {
    socket: Accepting,
    group: usize,
    policy: Policy,
    generation: Generation,
}

enum Accepting {
    Tcp {
        socket: TcpListener,
        loopback: bool,
    },
    /// Never with TLS: nobody is in between.
    Unix(UnixListener),
}

impl Door {
    async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Accepting::Tcp { socket, loopback } => {
                let (stream, peer) = socket.accept().await?;
                self.tcp(stream, peer, *loopback)
            }
            Accepting::Unix(socket) => self.unix(socket.accept().await?.0),
        }
    }

    /// Without waiting. The system is asked, not the runtime, which sees what is queued only when it waits for it, and gives
    /// out no more than a task's share of it.
    fn accept_queued(&self) -> io::Result<Accepted> {
        match &self.socket {
            Accepting::Tcp { socket, loopback } => {
                let (stream, peer) = SockRef::from(socket).accept()?;
                stream.set_nonblocking(true)?;
                let peer = peer.as_socket().ok_or(io::ErrorKind::ConnectionAborted)?;
                self.tcp(TcpStream::from_std(stream.into())?, peer, *loopback)
            }
            Accepting::Unix(socket) => self.unix(unix::accept_queued(socket)?),
        }
    }

    fn tcp(&self, stream: TcpStream, peer: SocketAddr, loopback_listener: bool) -> io::Result<Accepted> {
        // On a wildcard address only the connection knows the address it came in on.
        let local = stream.local_addr().map_err(|_| io::ErrorKind::ConnectionAborted)?;
        let peer = Peer::Tcp { peer, local, owner: None };
        let tls = self.policy.tls();
        let info = ConnectionInfo { peer, loopback_listener, group: self.group, secure: tls.is_some(), names: None };
        Ok(Accepted { socket: Connected::Tcp(stream.into_std()?), info, tls, draining: self.generation.draining() })
    }

    fn unix(&self, stream: UnixStream) -> io::Result<Accepted> {
        let peer = unix::peer(&stream)?;
        let info = ConnectionInfo { peer, loopback_listener: true, group: self.group, secure: false, names: None };
        Ok(Accepted {
            socket: Connected::Unix(stream.into_std()?),
            info,
            tls: None,
            draining: self.generation.draining(),
        })
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused | Kind::Interrupted
    )
}
