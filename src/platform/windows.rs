//! Windows. Checked by the compiler alone (`./ci targets`): nobody has run it yet.
//!
//! Nobody here has a uid, no service manager hands over sockets, and Unix sockets have no users that a rule could be about. Files
//! are protected by the access list that they inherit from their directory.

mod sockets;

use std::fs::{File, OpenOptions};
use std::future::pending;
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

use super::Available;

/// `unix:PATH`.
pub(crate) const UNIX_SOCKETS: Available = Err(
    "is a Unix socket, which bearerd does not have on Windows; write an address of this machine: \"localhost:8080\"",
);
/// `fd:NAME`.
pub(crate) const HANDED_OVER_SOCKETS: Available =
    Err("is a socket of systemd, which Windows has not; write an address of this machine: \"localhost:8080\"");
/// A token store in files: locks and their end are others here.
pub(crate) const LOCAL_STORES: Available = Err("is not to be had on Windows; a Redis on TCP is: kind = \"redis\"");
/// `callers.uids` and `callers.gids`.
pub(crate) const ACCOUNTS: Available =
    Err("cannot be obeyed: connections on Windows have no users; tell callers apart by callers.key or by certificates");

/// Where a configuration is looked for if none is named. Not in the root of a drive, where anybody may put one.
pub(crate) const USUAL_PLACES: &[&str] = &["bearerd.toml"];
/// The same, for who has none there.
pub(crate) const NOT_IN_USUAL_PLACES: &str = "no .\\bearerd.toml";

/// Unix sockets that block.
pub(crate) mod blocking {
    pub(crate) use super::sockets::{UnixListener, UnixStream};
}

/// Unix sockets of a runtime.
pub(crate) mod net {
    pub(crate) use super::sockets::{UnixListener, UnixStream};
}

/// The program that runs: its file cannot be replaced meanwhile.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn itself() -> io::Result<File> {
    File::open(std::env::current_exe()?)
}

/// Of a file that is made, the access list of its directory says who can read it.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Whether a file can be run shows by its name.
pub(crate) fn executable(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// There is nothing to call: names are in the journal of NTFS, which the system writes within seconds. A name that was changed
/// survives every crash but one of the machine in that time.
///
/// # Errors
/// None.
pub(crate) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

/// Nothing stands in the way of that here, and `SO_REUSEADDR` would let another program listen on our port at the same time.
///
/// # Errors
/// None.
pub(crate) fn allow_rebinding(_socket: &socket2::Socket) -> io::Result<()> {
    Ok(())
}

/// A lock between processes, which ends with the process that holds it, however that ends: who has the file open shares it with
/// nobody.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    held: Option<File>,
}

impl Lock {
    /// `ERROR_SHARING_VIOLATION`: another process has it open.
    const SHARED_BY_NOBODY: i32 = 32;

    /// The lock that a file stands for; made if it is not there. What is wrong with the file shows when the lock is taken.
    ///
    /// # Errors
    /// None.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), held: None })
    }

    /// Takes it without waiting, until this is dropped; whether nobody else has it.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn take(&mut self) -> io::Result<bool> {
        if self.held.is_none() {
            match OpenOptions::new().create(true).truncate(false).write(true).share_mode(0).open(&self.path) {
                Ok(file) => self.held = Some(file),
                Err(error) if error.raw_os_error() == Some(Self::SHARED_BY_NOBODY) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// What asks the process to end: ^C and ^Break, its console that is closed, the machine that is shut down. After the latter two the
/// system waits some seconds and no longer.
#[derive(Debug)]
pub(crate) struct Ends {
    interrupt: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Ends {
    /// Takes them over from here on.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: ctrl_c()?, stop: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// The name of the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "CTRL_C",
            _ = self.stop.recv() => "CTRL_BREAK",
            _ = self.close.recv() => "CTRL_CLOSE",
            _ = self.shutdown.recv() => "CTRL_SHUTDOWN",
        }
    }
}

/// What asks the process to read its configuration again: no signal. `POST /reload` and `watch` do.
#[derive(Debug)]
pub(crate) struct Hangup;

impl Hangup {
    /// There is nothing to take over.
    ///
    /// # Errors
    /// None.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// Never comes.
    pub(crate) async fn next(&mut self) {
        pending().await
    }
}
