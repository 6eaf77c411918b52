//! `bearerd copy-to DIR`: the binary itself, for pods whose containers share a volume and whose images lack it.

use std::env::consts::EXE_SUFFIX;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::platform;

/// The file's name there, without what Windows ends it with.
const NAME: &str = "bearerd";

/// Copies the running binary to `directory/bearerd`, readable and executable for all, whole or not at all. 0, or 1 if it cannot.
pub fn run(directory: &Path) -> ExitCode {
    match copy(directory) {
        Ok(path) => {
            super::output::write(format!("{}\n", path.display()));
            ExitCode::SUCCESS
        }
        Err((path, error)) => {
            let _ = writeln!(io::stderr(), "cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

fn copy(directory: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    let target = directory.join(format!("{NAME}{EXE_SUFFIX}"));
    let draft = directory.join(format!(".{NAME}-{:016x}", fastrand::u64(..)));
    let written = write(&draft).and_then(|()| fs::rename(&draft, &target));
    match written {
        Ok(()) => Ok(target),
        Err(error) => {
            // There may be nothing to remove; what counts is the first error.
            let _ = fs::remove_file(&draft);
            Err((target, error))
        }
    }
}

fn write(draft: &Path) -> io::Result<()> {
    let mut from = platform::itself()?;
    let mut to = platform::executable(OpenOptions::new().write(true).create_new(true)).open(draft)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_binary_is_there_and_can_be_run_by_anybody() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let path = copy(directory.path()).unwrap();
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o555, 0o555);
            assert_eq!(metadata.len(), fs::metadata(std::env::current_exe().unwrap()).unwrap().len());
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_cannot_be_written_to_is_named_and_nothing_is_left() {
        let (path, _) = copy(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(path, Path::new("/nonexistent/bearerd"));
    }
}
