//! The command: its environment, its start, its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::signals::{self, Signals};
use crate::process::Limits;

/// What shells say of a command that is there and cannot be run.
const NOT_EXECUTABLE: u8 = 126;
/// What they say of one that is not there.
const NOT_FOUND: u8 = 127;

/// A command that gets the environment, without what is `withheld`, and `variables`.
pub(super) fn command(
    words: &[OsString],
    withheld: &[String],
    variables: impl IntoIterator<Item = (String, String)>,
) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
    command.args(words);
    for name in withheld {
        command.env_remove(name);
    }
    command.envs(variables);
    command
}

/// Runs a command to its end, with `limits`, and passes signals on. Its exit code, 128+N after signal N, 126 or 127 if it does not start.
pub(super) async fn run(command: Command, signals: &mut Signals, limits: &Limits) -> u8 {
    attend(command, signals, limits, Child::try_wait).await
}

/// The same, `ended` being asked for the end whenever some child has ended.
pub(super) async fn attend(
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
        Err(error) => {
            tracing::error!("{name} cannot be run: {error}");
            return if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
        }
    };
    loop {
        match ended(&mut child) {
            Ok(Some(status)) => return code(status),
            Ok(None) => {}
            Err(error) => {
                tracing::error!("how {name} ended cannot be told: {error}");
                return 1;
            }
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
    let own = status.code().map(|code| u8::try_from(code).unwrap_or(u8::MAX));
    own.unwrap_or_else(|| of_signal(status.signal().unwrap_or_default()))
}

/// What shells say of a process that a signal has ended.
pub(super) fn of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
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
    fn the_command_gets_no_variable_that_is_withheld() {
        let withheld = ["A".to_owned()];
        let command = command(&["x".into(), "-y".into()], &withheld, [("B".to_owned(), "1".to_owned())]);
        let variables: Vec<_> = command.get_envs().collect();
        assert_eq!(variables, [(OsStr::new("A"), None), (OsStr::new("B"), Some(OsStr::new("1")))]);
        assert_eq!((command.get_program(), command.get_args().count()), (OsStr::new("x"), 1));
    }
}
