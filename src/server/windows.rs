//! Unix sockets to listen on: there are none.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};

use super::peer::Peer;
use crate::platform::{blocking, net};

/// The file of a socket that we listen on: there is none.
#[derive(Debug)]
pub struct SocketFile(Infallible);

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        match self.0 {}
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        match self.0 {}
    }
}

pub(super) fn name(socket: &blocking::UnixListener) -> io::Result<PathBuf> {
    socket.absurd()
}

/// # Errors
/// Always; a configuration that asks for it is refused before.
pub(super) fn bind(_path: &Path, _backlog: i32) -> io::Result<(blocking::UnixListener, SocketFile)> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "bearerd has no Unix sockets on Windows"))
}

pub(super) fn accept_queued(socket: &net::UnixListener) -> io::Result<net::UnixStream> {
    socket.absurd()
}

pub(super) fn peer(stream: &net::UnixStream) -> io::Result<Peer> {
    stream.absurd()
}
