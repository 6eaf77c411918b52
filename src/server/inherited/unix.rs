//! Descriptors that become sockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use listenfd::ListenFd;
use socket2::{Domain, Type};

use crate::server::Socket;

/// Takes the first `count` descriptors that were handed over; or what each is instead of a socket that is listened on.
pub(super) fn take(count: usize) -> impl Iterator<Item = Result<Socket, &'static str>> {
    // Reads the same variables again, and clears the first two, without which nobody heeds the third.
    let mut descriptors = ListenFd::from_env();
    (0..count).map(move |index| one(&mut descriptors, index))
}

/// Whether somebody has called `listen` on it.
#[cfg(target_os = "linux")]
fn accepts(socket: &impl AsFd) -> rustix::io::Result<bool> {
    rustix::net::sockopt::socket_acceptconn(socket)
}

/// Not to be had from every system; where it is not, the first `accept` fails and says so.
#[cfg(not(target_os = "linux"))]
fn accepts(_socket: &impl AsFd) -> rustix::io::Result<bool> {
    Ok(true)
}

/// The socket at an index, not blocking and closed on exec. What is a socket of another kind is closed.
fn one(descriptors: &mut ListenFd, index: usize) -> Result<Socket, &'static str> {
    if let Ok(Some(socket)) = descriptors.take_tcp_listener(index) {
        let ready = socket.set_nonblocking(true);
        return listening(accepts(&socket), ready, Socket::Tcp(socket));
    }
    if let Ok(Some(socket)) = descriptors.take_unix_listener(index) {
        let ready = socket.set_nonblocking(true);
        return listening(accepts(&socket), ready, Socket::Unix(socket, None));
    }
    let is_datagram = matches!(descriptors.take_udp_socket(index), Ok(Some(_)))
        || matches!(descriptors.take_unix_datagram(index), Ok(Some(_)));
    if is_datagram {
        return Err("a datagram socket");
    }
    let (family, kind) = (Domain::UNIX.into(), Type::SEQPACKET.into());
    let packets = descriptors.take_custom::<OwnedFd>(index, family, kind, "");
    Err(if matches!(packets, Ok(Some(_))) { "a socket of packets" } else { "no socket of a kind known here" })
}

fn listening(accepts: rustix::io::Result<bool>, ready: io::Result<()>, socket: Socket) -> Result<Socket, &'static str> {
    match (accepts, ready) {
        (Ok(true), Ok(())) => Ok(socket),
        (Ok(false), _) => Err("a socket that does not listen"),
        _ => Err("a socket that the system refuses to tell about"),
    }
}
