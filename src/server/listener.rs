//! Binding addresses, before anything is served.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, Type};

use super::unix::{self, SocketFile};
use crate::platform;
use crate::platform::blocking::UnixListener;

/// The longest path of a Unix socket in bytes (`sun_path` in unix(7), less the byte that ends it).
pub const LONGEST_PATH: usize = 107;

/// Connections that may wait to be accepted: as many as Linux allows by itself. Who comes when they are too many tries again after a
/// second.
pub(super) const BACKLOG: i32 = 4096;
/// How often a port that the system chose for one loopback is tried on the other.
const PORT_TRIES: usize = 16;

/// A bound, listening socket and the group of routes that it serves.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    group: usize,
}

impl Listener {
    /// Marks a bound socket as serving the routes of `group`.
    pub fn new(socket: Socket, group: usize) -> Self {
        Self { socket, group }
    }

    /// Which group of routes it serves.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }
}

/// A bound, listening socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, with its file if that is ours.
    Unix(UnixListener, Option<SocketFile>),
}

impl Socket {
    /// The same socket once more. Of a Unix socket's file only the first one is the owner.
    ///
    /// # Errors
    /// If the system has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket, _) => Ok(Self::Unix(socket.try_clone()?, None)),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Whatever the system says when asked.
    pub fn address(&self) -> io::Result<Bound> {
        match self {
            Self::Tcp(socket) => Ok(Bound::Tcp(socket.local_addr()?)),
            Self::Unix(_, Some(file)) => Ok(Bound::Unix(file.path().into())),
            Self::Unix(socket, None) => Ok(Bound::Unix(unix::name(socket)?.into())),
        }
    }
}

/// Where a socket listens, with the port that the system chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// An address.
    Tcp(SocketAddr),
    /// A file, or `@NAME` without one.
    Unix(Arc<Path>),
}

impl Bound {
    /// The address; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What to bind: one address, a port on both loopbacks, or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// 127.0.0.1 and, where the machine has it, ::1.
    Localhost(u16),
    /// This one.
    One(SocketAddr),
    /// A Unix socket with this path.
    Unix(Arc<Path>),
}

/// Binds an address. No `SO_REUSEPORT`: a second process of the same user could take half of our connections.
///
/// # Errors
/// What the system says: in use, not permitted, not an address of this machine.
pub fn bind(address: &Address) -> io::Result<Vec<Socket>> {
    let sockets = match address {
        Address::One(address) => vec![bind_one(*address)?],
        Address::Localhost(0) => bind_localhost_anywhere()?,
        Address::Localhost(port) => bind_localhost(*port)?,
        Address::Unix(path) => {
            let (socket, file) = unix::bind(path, BACKLOG)?;
            return Ok(vec![Socket::Unix(socket, Some(file))]);
        }
    };
    Ok(sockets.into_iter().map(Socket::Tcp).collect())
}

fn bind_localhost(port: u16) -> io::Result<Vec<TcpListener>> {
    let first = bind_one((Ipv4Addr::LOCALHOST, port).into())?;
    let port = first.local_addr()?.port();
    match bind_one((Ipv6Addr::LOCALHOST, port).into()) {
        Ok(second) => Ok(vec![first, second]),
        // A taken port is a mistake to report; a machine without IPv6 is not.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(error) => {
            tracing::debug!(%error, "no ::1 on this machine");
            Ok(vec![first])
        }
    }
}

fn bind_localhost_anywhere() -> io::Result<Vec<TcpListener>> {
    for _ in 1..PORT_TRIES {
        match bind_localhost(0) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => (),
            result => return result,
        }
    }
    bind_localhost(0)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // 0.0.0.0 and [::] are different wishes.
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for connections of the last life to leave TIME_WAIT.
    platform::allow_rebinding(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_both_loopbacks_on_one_port() {
        let bound = bind(&Address::Localhost(0)).unwrap();
        let addresses: Vec<_> = bound.iter().map(|l| l.address().unwrap().tcp().unwrap()).collect();
        let ports: Vec<_> = addresses.iter().map(SocketAddr::port).collect();
        assert!(ports.windows(2).all(|w| w[0] == w[1]), "{ports:?}");
        assert!(addresses[0].is_ipv4());
    }

    #[test]
    fn a_port_that_is_taken_is_an_error() {
        let first = bind(&Address::One((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
        let taken = first[0].address().unwrap().tcp().unwrap();
        assert_eq!(bind(&Address::One(taken)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(&Address::Localhost(taken.port())).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
