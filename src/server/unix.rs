//! Unix sockets to listen on, and the files by which callers find them.
//!
//! Owns the file: it is made with a mode that lets owner and group in, replaces one that nobody answers on, and is removed at
//! the end. Refuses to touch a file that is no socket, or one that somebody serves.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::net::UnixStream;

use super::peer::Peer;

/// Who may connect: the owner and the group.
const MODE: u32 = 0o660;

/// The file of a socket that we listen on. Removed when dropped, if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another bearerd may have taken the place over.
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the file of a socket");
        }
    }
}

/// What a socket is called that somebody else bound: its path, `@NAME` for one without a file (unix(7)), or `@` alone.
///
/// # Errors
/// What the system says.
pub(super) fn name(socket: &UnixListener) -> io::Result<PathBuf> {
    let address = socket.local_addr()?;
    let without_file = || format!("@{}", abstract_name(&address).escape_ascii()).into();
    Ok(address.as_pathname().map_or_else(without_file, Path::to_owned))
}

#[cfg(target_os = "linux")]
fn abstract_name(address: &SocketAddr) -> &[u8] {
    use std::os::linux::net::SocketAddrExt as _;

    address.as_abstract_name().unwrap_or_default()
}

/// Only Linux has sockets with a name and without a file.
#[cfg(not(target_os = "linux"))]
fn abstract_name(_address: &SocketAddr) -> &[u8] {
    b""
}

/// Binds a socket to a path and listens.
///
/// # Errors
/// What the system says; `AddrInUse` if somebody serves the path, `AlreadyExists` if what is there is no socket.
pub(super) fn bind(path: &Path, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let made = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), device: made.dev(), inode: made.ino() };
    // Before it listens nobody can connect, so that whoever the mode keeps out never could.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    socket.listen(backlog)?;
    Ok((socket.into(), file))
}

/// A connection that is queued already, without waiting.
///
/// # Errors
/// What the system says; `WouldBlock` if there is none.
pub(super) fn accept_queued(socket: &tokio::net::UnixListener) -> io::Result<UnixStream> {
    let (stream, _) = SockRef::from(socket).accept()?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream.into())
}

/// The process that connected.
///
/// # Errors
/// What the system says.
pub(super) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let caller = stream.peer_cred()?;
    Ok(Peer::Unix { uid: caller.uid(), gid: caller.gid(), pid: caller.pid() })
}

/// Removes a socket that nobody answers on.
fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    // Without waiting: a server whose queue is full is a server.
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens on this socket already")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;

    use super::*;

    #[test]
    fn a_socket_is_for_owner_and_group_and_its_file_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let (_listener, file) = bind(&path, 8).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert_eq!(file.path(), path);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_socket_that_nobody_answers_on_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, _file) = bind(&path, 8).unwrap();
        assert_eq!(bind(&path, 8).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        let other = directory.path().join("text");
        fs::write(&other, "mine").unwrap();
        assert_eq!(bind(&other, 8).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
    }

    #[test]
    fn a_socket_of_somebody_else_is_called_by_its_path_or_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let by_path = UnixListener::bind(&path).unwrap();
        assert_eq!(name(&by_path).unwrap(), path);
        let abstract_name = format!("bearerd test {}", directory.path().display());
        let without_file = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
        assert_eq!(name(&without_file).unwrap(), Path::new(&format!("@{abstract_name}")));
    }

    #[test]
    fn the_file_of_a_successor_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.sock");
        let (_listener, file) = bind(&path, 8).unwrap();
        // Kept, so that its inode cannot be given out again.
        fs::rename(&path, directory.path().join("old.sock")).unwrap();
        let (_successor, _file) = bind(&path, 8).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
