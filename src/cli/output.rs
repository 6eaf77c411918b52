//! Standard output, of which a script believes the exit code.
//!
//! Owns the memory whether something could not be written. Whoever closes the pipe has seen enough; a full disk is a failure.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;

static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes all of it, or remembers why not.
pub(super) fn write(text: impl AsRef<[u8]>) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_ref()).and_then(|()| out.flush());
    if let Err(error) = written
        && let Ok(mut lost) = LOST.lock()
    {
        lost.get_or_insert(error);
    }
}

/// Whether it is a file, so that what is written is saved already. What stands behind a pipe, nobody knows.
#[cfg(unix)]
pub(super) fn is_file() -> bool {
    rustix::fs::fstat(io::stdout()).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

#[cfg(not(unix))]
pub(super) fn is_file() -> bool {
    use std::io::IsTerminal as _;
    !io::stdout().is_terminal()
}

/// The exit code of the whole run: what was not written is no success.
pub(super) fn ending(code: ExitCode) -> ExitCode {
    match LOST.lock().ok().and_then(|mut lost| lost.take()) {
        Some(error) => of(code, &error),
        None => code,
    }
}

fn of(code: ExitCode, error: &io::Error) -> ExitCode {
    if code != ExitCode::SUCCESS || error.kind() == io::ErrorKind::BrokenPipe {
        return code;
    }
    let _ = writeln!(io::stderr(), "cannot write to standard output: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_no_success() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(of(ExitCode::SUCCESS, &full), ExitCode::FAILURE);
        assert_eq!(of(ExitCode::from(77), &full), ExitCode::from(77));
        assert_eq!(of(ExitCode::SUCCESS, &io::ErrorKind::BrokenPipe.into()), ExitCode::SUCCESS);
    }
}
