//! The command as Unix runs it: in a group of its own, with signals passed on, below the first process of a container where we are that.

mod init;
mod signals;

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::child;
use crate::process::Limits;
pub(super) use init::run as run_as_first;
pub(super) use signals::Signals;

/// Runs a command to its end, with `limits`, and passes signals on. Its exit code, 128+N after signal N, 126 or 127 if it does not start.
pub(super) async fn run(command: Command, signals: &mut Signals, limits: &Limits) -> u8 {
    attend(command, signals, limits, Child::try_wait).await
}

/// The same, `ended` being asked for the end whenever some child has ended.
async fn attend(
    mut command: Command,
    signals: &mut Signals,
    limits: &Limits,
    mut ended: impl FnMut(&mut Child) -> io::Result<Option<ExitStatus>>,
) -> u8 {
    if !signals::has_terminal() {
        // Who signals a group means us, and gets through once. With a terminal that would take the command out of its foreground.
        command.process_group(0);
    }
    let name = command.get_program().to_string_lossy().into_owned();
    let started = signal(SignalKind::child()).and_then(|ends| Ok((ends, limits.lend(|| command.spawn())?)));
    let (mut ends, mut child) = match started {
        Ok(started) => started,
        Err(error) => return child::not_started(&name, &error),
    };
    loop {
        match ended(&mut child) {
            Ok(Some(status)) => return code(status),
            Ok(None) => {}
            Err(error) => return child::lost(&name, &error),
        }
        tokio::select! {
            _ = ends.recv() => {}
            signal = signals.next() => pass(signal, &child),
        }
    }
}

fn pass(signal: Signal, child: &Child) {
    if !signals::came_to_all(signal)
        && let Err(error) = kill_process(Pid::from_child(child), signal)
    {
        tracing::debug!(%error, ?signal, "a signal cannot be passed on");
    }
}

fn code(status: ExitStatus) -> u8 {
    status.code().map_or_else(|| killed(status.signal().unwrap_or_default()), child::code)
}

/// What shells say of a process that a signal has ended.
fn killed(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Our exit code if a signal comes before there is a command; `None` if it is one that ends nothing.
pub(super) fn ended_by(signal: Signal) -> Option<u8> {
    signals::ends(signal).then(|| killed(signal.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_command_is_told_as_shells_do() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(15)), 143);
    }

    #[test]
    fn a_signal_before_the_command_ends_us_unless_it_is_the_commands_own() {
        assert_eq!(ended_by(Signal::TERM), Some(143));
        assert_eq!(ended_by(Signal::USR1), None);
    }
}
