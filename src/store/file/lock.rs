//! Locks on files, which the kernel takes back from whoever dies.
//!
//! Owns every use of `flock`. Nothing here waits.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// An open file that nobody else has locked. Dropping it ends the lock and then closes the file, so that who hears of the closing finds
/// it free, and no process that was just forked keeps it.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Locked {
    /// Locks this file; `None` if somebody else has.
    ///
    /// # Errors
    /// What the system says: not every file system has locks.
    pub(super) fn new(file: File) -> io::Result<Option<Self>> {
        Ok(lock(&file, FlockOperation::NonBlockingLockExclusive)?.then_some(Self(file)))
    }

    /// Makes the file if it is missing, and locks it; `None` if somebody else has, or takes it away at this moment.
    ///
    /// # Errors
    /// What the system says of the directory or the file.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600).custom_flags(no_link());
        let Some(locked) = Self::new(options.open(path)?)? else { return Ok(None) };
        // It may have been swept between the opening and the locking: then the lock is one on nothing.
        let ours = locked.0.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(Some(locked)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing it does the same, but later.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Whether somebody has locked the file.
///
/// # Errors
/// What the system says.
pub(super) fn is_locked(file: &File) -> io::Result<bool> {
    let is_free = lock(file, FlockOperation::NonBlockingLockShared)?;
    if is_free {
        let _ = flock(file, FlockOperation::Unlock);
    }
    Ok(!is_free)
}

/// Opens a file to read it, and not what a link leads to.
///
/// # Errors
/// What the system says.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(no_link()).open(path)
}

/// Whether [`open`] found a link.
pub(super) fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn no_link() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

fn lock(file: impl AsFd, operation: FlockOperation) -> io::Result<bool> {
    loop {
        match flock(file.as_fd(), operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
}
