//! Who is at the other end of a connection, as the system says it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::owner::Owner;

/// The other end of a caller's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// TCP.
    Tcp {
        /// The caller's address.
        peer: SocketAddr,
        /// The address that the caller connected to.
        local: SocketAddr,
        /// Whose socket it is; `None` if nobody asked ([`super::Settings::owners`]).
        owner: Option<Owner>,
    },
    /// A Unix socket: the process that connected, as it was then.
    Unix {
        /// Its effective user.
        uid: u32,
        /// Its effective group.
        gid: u32,
        /// Its number.
        pid: Option<i32>,
    },
}

impl Peer {
    /// The caller's address, IPv4 as such; a Unix socket has none.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { peer, .. } => Some(peer.ip().to_canonical()),
            Self::Unix { .. } => None,
        }
    }

    /// The address that the caller connected to; a Unix socket has none.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { local, .. } => Some(*local),
            Self::Unix { .. } => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { peer, .. } => write!(f, "{peer}"),
            Self::Unix { uid, pid: Some(pid), .. } => write!(f, "uid {uid} (process {pid})"),
            Self::Unix { uid, .. } => write!(f, "uid {uid}"),
        }
    }
}
