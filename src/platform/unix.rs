//! Linux and macOS.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Available;

/// `unix:PATH`.
pub(crate) const UNIX_SOCKETS: Available = Ok(());
/// `fd:NAME`.
pub(crate) const HANDED_OVER_SOCKETS: Available = Ok(());
/// `callers.uids` and `callers.gids`.
pub(crate) const ACCOUNTS: Available = Ok(());
/// A token store in files.
pub(crate) const LOCAL_STORES: Available = Ok(());

/// Where a configuration is looked for if none is named.
pub(crate) const USUAL_PLACES: &[&str] = &["bearerd.toml", "/etc/bearerd/bearerd.toml"];
/// The same, for who has none there.
pub(crate) const NOT_IN_USUAL_PLACES: &str = "no ./bearerd.toml, no /etc/bearerd/bearerd.toml";

/// Unix sockets that block.
pub(crate) mod blocking {
    pub(crate) use std::os::unix::net::{UnixListener, UnixStream};
}

/// Unix sockets of a runtime.
pub(crate) mod net {
    pub(crate) use tokio::net::{UnixListener, UnixStream};
}

/// The program that runs, even if its file was replaced since, where that can be had.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn itself() -> io::Result<File> {
    File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?))
}

/// A file that is made is readable and writable for its owner alone.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// A file that is made can be read and run by everybody.
pub(crate) fn executable(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o755)
}

/// Makes names that were added or removed survive a crash of the machine.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Lets a port be bound again while connections of its last life are in `TIME_WAIT`.
///
/// # Errors
/// What the system says.
pub(crate) fn allow_rebinding(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// A lock between processes, which ends with the process that holds it, however that ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// The lock that a file stands for; made if it is not there.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        private(OpenOptions::new().create(true).truncate(false).write(true)).open(path).map(Self)
    }

    /// Takes it without waiting, until this is dropped; whether nobody else has it.
    ///
    /// # Errors
    /// If the file system has no locks.
    pub(crate) fn take(&mut self) -> io::Result<bool> {
        loop {
            match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(true),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What asks the process to end: SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// Takes them over from here on.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What asks the process to read its configuration again: SIGHUP.
#[derive(Debug)]
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Takes it over from here on.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// The next one. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        // The stream has no end.
        let _ = self.0.recv().await;
    }
}
