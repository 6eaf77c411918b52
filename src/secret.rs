//! Values that nobody may read by accident.
//!
//! Owns the type of every secret and token in the process and the one method that reads it,
//! [`Secret::expose`]: a search for that name finds every use. Refuses to print: `Debug` shows
//! `[secret]`, there is no `Display`, and the memory is wiped when the last copy is dropped.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

/// The longest secret in a file, in bytes. Keys and service accounts' tokens take a few KiB.
const LONGEST: usize = 64 * 1024;

/// A secret text: a client secret, a password, a token.
///
/// Clones share one allocation, which is wiped when the last of them is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes ownership of the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where a secret is kept, as the configuration says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Written in the configuration itself.
    Inline(Secret),
    /// An environment variable, captured when the configuration was read.
    Env {
        /// The variable's name, for messages.
        name: String,
        /// What it held.
        value: Secret,
    },
    /// A file, read again at each use; one trailing newline is trimmed. A systemd credential is a file
    /// below `$CREDENTIALS_DIRECTORY`.
    File(PathBuf),
}

impl SecretSource {
    /// A source for text that is not secret but stands where a secret may stand (a user name).
    pub fn inline(text: impl Into<String>) -> Self {
        Self::Inline(Secret::new(text))
    }

    /// Reads the secret as it is now.
    ///
    /// # Errors
    /// [`SecretError`] if a file cannot be read, is empty, too long, no file at all, or not UTF-8. The error names the path and
    /// never shows content.
    pub async fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Inline(value) | Self::Env { value, .. } => Ok(value.clone()),
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking({
                    let path = path.clone();
                    move || read_file(path)
                });
                read.await.unwrap_or(Err(SecretError::Interrupted(path)))
            }
        }
    }

    /// Reads the secret without a runtime: for `check` and for start-up.
    ///
    /// # Errors
    /// As [`SecretSource::read`].
    pub fn read_now(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Inline(value) | Self::Env { value, .. } => Ok(value.clone()),
            Self::File(path) => read_file(path.clone()),
        }
    }
}

/// Why a secret could not be read. Names the place, never the content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read.
    #[error("cannot read the secret file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else than a file.
    #[error(
        "{path} is a {kind}, not a file; a secret is read again at every token request, so it must be a file that can be"
    )]
    NotFile {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Larger than any secret.
    #[error("the secret file {0} is larger than 64 KiB, which no secret is")]
    TooLong(PathBuf),
    /// The file held nothing, which is taken for a rotation in progress.
    #[error("the secret file {0} is empty")]
    Empty(PathBuf),
    /// The file is not text.
    #[error("the secret file {0} is not UTF-8 text")]
    NotText(PathBuf),
    /// The reading task was cancelled at shutdown.
    #[error("reading the secret file {0} was interrupted")]
    Interrupted(PathBuf),
}

fn read_file(path: PathBuf) -> Result<Secret, SecretError> {
    // Looked at before it is opened: to open a pipe may wait for ever.
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => (),
        Ok(found) if found.is_dir() => return Err(SecretError::NotFile { path, kind: "directory" }),
        Ok(_) => return Err(SecretError::NotFile { path, kind: "pipe or device" }),
        Err(source) => return Err(SecretError::Unreadable { path, source }),
    }
    let bytes = match read_at_most(&path, LONGEST + 1) {
        Ok(bytes) if bytes.len() <= LONGEST => Zeroizing::new(bytes),
        Ok(_) => return Err(SecretError::TooLong(path)),
        Err(source) => return Err(SecretError::Unreadable { path, source }),
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(SecretError::NotText(path));
    };
    // Editors and `echo` end files with a newline that is not part of the secret; one, not all.
    let text = text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
    if text.is_empty() {
        return Err(SecretError::Empty(path));
    }
    Ok(Secret::new(text))
}

fn read_at_most(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(limit).min(limit);
    // In one piece, since a buffer that grows leaves copies behind.
    let mut bytes = Vec::with_capacity(length + 1);
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_the_secret() {
        let source = SecretSource::inline("hunter2");
        assert!(!format!("{source:?}").contains("hunter2"));
    }

    #[test]
    fn exactly_one_trailing_newline_is_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let check = |content: &str, wanted: &str| {
            std::fs::write(&path, content).unwrap();
            let read = SecretSource::File(path.clone()).read_now().unwrap();
            assert_eq!(read.expose(), wanted, "file content {content:?}");
        };
        check("abc", "abc");
        check("abc\n", "abc");
        check("abc\r\n", "abc");
        check("abc\n\n", "abc\n");
        check(" abc ", " abc ");
    }

    #[test]
    fn what_is_no_file_of_a_secrets_size_is_refused_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let check = |path: &Path, wanted: &str| {
            let error = SecretSource::File(path.to_owned()).read_now().unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains(&*path.to_string_lossy()), "{error}");
        };
        check(dir.path(), "is a directory, not a file");
        check(Path::new("/dev/zero"), "is a pipe or device, not a file");
        let (pipe, _writer) = std::io::pipe().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&pipe);
        check(Path::new(&format!("/proc/self/fd/{number}")), "is a pipe or device, not a file");
        let long = dir.path().join("long");
        std::fs::write(&long, vec![b'x'; LONGEST]).unwrap();
        assert!(SecretSource::File(long.clone()).read_now().is_ok());
        std::fs::write(&long, vec![b'x'; LONGEST + 1]).unwrap();
        check(&long, "larger than 64 KiB");
    }

    #[test]
    fn an_empty_file_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        std::fs::write(&path, "\n").unwrap();
        let error = SecretSource::File(path.clone()).read_now().unwrap_err();
        assert!(error.to_string().contains(&*path.to_string_lossy()));
    }
}
