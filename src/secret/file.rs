//! Secrets in files: read in one piece, whatever the file is by then.
//!
//! Owns what is accepted as the file of a secret. Remembers nothing of a file but its name, so that it makes no difference whether it is
//! written anew, replaced by a rename, or swapped with its whole directory (the `..data` link of a Kubernetes volume).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{LONGEST, Secret, SecretError, without_newline};

/// Reads the file as it is now.
pub(super) fn read(path: PathBuf) -> Result<Secret, SecretError> {
    // Looked at before it is opened: to open a pipe may wait for ever.
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => (),
        Ok(found) if found.is_dir() => return Err(SecretError::NotFile { path, kind: "directory" }),
        Ok(_) => return Err(SecretError::NotFile { path, kind: "pipe or device" }),
        Err(source) => return Err(SecretError::Unreadable { path, source }),
    }
    let bytes = match read_at_most(&path, LONGEST + 1) {
        Ok(bytes) if bytes.len() <= LONGEST => bytes,
        Ok(_) => return Err(SecretError::TooLong(path)),
        Err(source) => return Err(SecretError::Unreadable { path, source }),
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(SecretError::NotText(path));
    };
    // Some editors begin files with a byte order mark, which no secret does.
    match without_newline(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        "" => Err(SecretError::Empty(path)),
        text => Ok(Secret::new(text)),
    }
}

fn read_at_most(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for the longest one at once, and wiped even if reading fails: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::SecretSource;
    use super::*;

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
