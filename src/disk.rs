//! Small files that survive a crash of the machine: those of `state_directory`, and those of the token store.
//!
//! Owns how they are written: mode 0600 where there are modes, whole or not at all, on the disk before the call returns. Everything here blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::platform;

/// How the names of files begin that are not finished.
pub(crate) const DRAFT: &str = ".draft-";

const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// A credential's name as part of a file's.
pub(crate) fn file_name(prefix: &str, credential: &str) -> String {
    format!("{prefix}{}", utf8_percent_encode(credential, NAME))
}

/// Replaces a file. After this returns, the new content survives a crash; before, the old.
///
/// # Errors
/// What the system says of the directory or the disk.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let draft = write_draft(directory, content)?;
    fs::rename(&draft, path).inspect_err(|_| remove(&draft))?;
    sync_directory(directory)
}

/// Makes names that were added or removed survive a crash.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    platform::sync_directory(directory)
}

/// A file of a name that nobody else uses, written and synced.
///
/// # Errors
/// What the system says of the directory or the disk.
pub(crate) fn write_draft(directory: &Path, content: &[u8]) -> io::Result<PathBuf> {
    open_draft(directory, content).map(|(draft, _)| draft)
}

/// Likewise, and still open.
///
/// # Errors
/// What the system says of the directory or the disk.
pub(crate) fn open_draft(directory: &Path, content: &[u8]) -> io::Result<(PathBuf, File)> {
    let draft = directory.join(format!("{DRAFT}{:016x}", fastrand::u64(..)));
    let mut file = platform::private(OpenOptions::new().write(true).create_new(true)).open(&draft)?;
    file.write_all(content).and_then(|()| file.sync_all()).inspect_err(|_| remove(&draft))?;
    Ok((draft, file))
}

/// A file that is already gone is as good as removed.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "file cannot be removed");
    }
}
