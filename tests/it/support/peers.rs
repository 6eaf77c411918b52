//! Programs that nobody here wrote, and what happens where they are not installed.

use std::io::Write as _;
use std::process::Command;

/// Whether a program can be started.
pub(crate) fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Whether the test must be left out because `what` is not there. `./ci` installs all of them and sets
/// `BEARERD_TEST_PEERS`, under which a missing one is a failure.
#[track_caller]
pub(crate) fn skip_unless(there: bool, what: &str) -> bool {
    if there {
        return false;
    }
    assert!(std::env::var_os("BEARERD_TEST_PEERS").is_none(), "{what} is not installed");
    // Past the capture of the test harness, so that it is seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what} is not installed; ./ci installs it");
    true
}
