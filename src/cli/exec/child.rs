//! The command: its environment, and what is said of its start and its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Command;

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

/// Says that a command did not start, and returns the exit code.
pub(super) fn not_started(name: &str, error: &io::Error) -> u8 {
    tracing::error!("{name} cannot be run: {error}");
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// Says that nobody knows how a command ended, and returns the exit code.
pub(super) fn lost(name: &str, error: &io::Error) -> u8 {
    tracing::error!("how {name} ended cannot be told: {error}");
    1
}

/// The exit code of a command that gave this one.
pub(super) fn code(own: i32) -> u8 {
    u8::try_from(own).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_gets_no_variable_that_is_withheld() {
        let withheld = ["A".to_owned()];
        let command = command(&["x".into(), "-y".into()], &withheld, [("B".to_owned(), "1".to_owned())]);
        let variables: Vec<_> = command.get_envs().collect();
        assert_eq!(variables, [(OsStr::new("A"), None), (OsStr::new("B"), Some(OsStr::new("1")))]);
        assert_eq!((command.get_program(), command.get_args().count()), (OsStr::new("x"), 1));
    }
}
