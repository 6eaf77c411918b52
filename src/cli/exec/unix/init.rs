//! The first process of a container, which everybody's orphans fall to.
//!
//! Owns no more than that: it starts the same program once more, passes signals on, and reaps whatever ends. A process of its own,
//! because the one that does the work waits for children by name.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, WaitOptions, getpid, wait};

use super::attend;
use super::signals::Signals;
use crate::process::Limits;

/// The running program, whatever has become of its file.
const ITSELF: &str = "/proc/self/exe";

/// The exit code of the same program beneath this process, if this is the first one; `None` if not, and where that is not possible.
pub(in crate::cli::exec) fn run(arguments: &[OsString], limits: &Limits) -> Option<u8> {
    if getpid() != Pid::INIT || !std::path::Path::new(ITSELF).exists() {
        return None;
    }
    let mut words = arguments.iter();
    let mut command = Command::new(ITSELF);
    command.arg0(words.next()?).args(words);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let mut signals = Signals::listen().ok()?;
        Some(attend(command, &mut signals, limits, reap).await)
    })
}

/// Takes leave of all that have ended; tells if `child` is among them.
fn reap(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let own = Pid::from_child(child);
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == own => return Ok(Some(ExitStatus::from_raw(status.as_raw()))),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
