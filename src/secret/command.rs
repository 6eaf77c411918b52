//! Secrets that a command prints: `vault`, `aws secretsmanager`, `pass`, `systemd-creds`, a script.
//!
//! Owns the running of it: without a shell, with nothing on its standard input, in a process group of its own that is killed at a
//! deadline, with an environment that holds no secret of ours. Decides how often it runs: a token request runs it, unless it ran a moment
//! ago; who only looks for changes waits [`Command::REST`]; after a failure everybody waits a little. Its standard output is shown to
//! nobody, its standard error only as far as [`super::said`] dares.

mod child;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{LONGEST, Secret, said, without_newline};
use crate::backoff::doubling;
use child::{Collected, Ended, Running};

/// An output so fresh is used by all who ask: one token request reads its secrets twice, and two secrets may be members of one output.
const FRESH: Duration = Duration::from_secs(2);
/// After a failure the command is not run for so long, twice as long after the next, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A command whose output is a secret. Clones are the same command and share its last output.
#[derive(Clone)]
pub struct Command(Arc<Inner>);

struct Inner {
    program: PathBuf,
    arguments: Vec<Secret>,
    timeout: Duration,
    environment: Vec<(String, Secret)>,
    /// Held while it runs, so that it runs once for all who ask at the same time.
    last: Mutex<Option<Ran>>,
}

struct Ran {
    ended: Instant,
    outcome: Result<Secret, CommandError>,
    /// The last that it printed in a run that went well: its complaints may repeat it.
    printed: Option<Secret>,
    /// In a row.
    failures: u32,
}

/// Why a command brought no secret; continues the sentence "the command NAME …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such program.
    #[error("does not exist (a name without a slash is looked for in PATH)")]
    Missing,
    /// It may not be executed.
    #[error("cannot be executed (permission denied): chmod +x, and a file system that is not mounted noexec")]
    NotExecutable,
    /// It did not start.
    #[error("could not be started: {0}")]
    NotStarted(String),
    /// The deadline passed.
    #[error("did not end within {} and was killed{}", humantime::format_duration(*.limit), Said(.said))]
    TooLate {
        /// The deadline.
        limit: Duration,
        /// Its complaint.
        said: String,
    },
    /// It said that it failed.
    #[error("failed ({how}){}", Said(.said))]
    Failed {
        /// `exit status: 1`, `signal: 9 (SIGKILL)`.
        how: String,
        /// Its complaint.
        said: String,
    },
    /// It printed nothing.
    #[error("printed nothing{}", Said(.said))]
    Empty {
        /// Its complaint.
        said: String,
    },
    /// It printed more than any secret has.
    #[error("printed more than 64 KiB, which no secret has, and was killed")]
    TooLong,
    /// What it printed is not text.
    #[error("printed what is not UTF-8 text")]
    NotText,
    /// Nobody waits for it any longer.
    #[error("was interrupted")]
    Interrupted,
}

/// ` and said: "…"`, if it said anything.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " and said: \"{}\"", self.0) }
    }
}

impl Command {
    /// How old an output may be for those who only look whether it has changed: a waiting or latched credential, the shared key of
    /// callers, header fields of routes, the URL of a proxy.
    pub const REST: Duration = Duration::from_secs(30);

    /// A command that has not run. It gets `environment` and nothing else.
    pub fn new(
        program: PathBuf,
        arguments: Vec<Secret>,
        timeout: Duration,
        environment: Vec<(String, Secret)>,
    ) -> Self {
        Self(Arc::new(Inner { program, arguments, timeout, environment, last: Mutex::default() }))
    }

    /// The program as written. The arguments are nobody's business.
    pub fn name(&self) -> String {
        self.0.program.display().to_string()
    }

    /// What it prints now.
    pub(super) async fn output(&self) -> Result<Secret, CommandError> {
        self.output_of_age(FRESH).await
    }

    /// What it printed last, unless that is older than [`Command::REST`].
    pub(super) async fn known_output(&self) -> Result<Secret, CommandError> {
        self.output_of_age(Self::REST).await
    }

    /// The same on this very thread.
    pub(super) fn output_now(&self) -> Result<Secret, CommandError> {
        self.0.output_of_age(Self::REST, &AtomicBool::new(false))
    }

    async fn output_of_age(&self, most: Duration) -> Result<Secret, CommandError> {
        /// Ends the command when nobody waits for it any more.
        struct Interrupt(Arc<AtomicBool>);

        impl Drop for Interrupt {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }

        let interrupt = Interrupt(Arc::default());
        let (inner, interrupted) = (self.0.clone(), interrupt.0.clone());
        let running = tokio::task::spawn_blocking(move || inner.output_of_age(most, &interrupted));
        running.await.unwrap_or(Err(CommandError::Interrupted))
    }
}

impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        let parts = |command: &Self| (command.0.program.clone(), command.0.timeout);
        parts(self) == parts(other) && self.0.arguments == other.0.arguments
    }
}

impl Eq for Command {}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.0.program)
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn output_of_age(&self, most: Duration, interrupted: &AtomicBool) -> Result<Secret, CommandError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ran) = &*last
            && ran.ended.elapsed() < ran.rest(most)
        {
            return ran.outcome.clone();
        }
        let before = last.as_ref().and_then(|ran| ran.printed.clone());
        let outcome = self.run(before.as_ref(), interrupted);
        let failures = match &outcome {
            Ok(_) => 0,
            // Says nothing of the command.
            Err(CommandError::Interrupted) => return outcome,
            Err(_) => last.as_ref().map_or(0, |ran| ran.failures).saturating_add(1),
        };
        let printed = outcome.as_ref().ok().cloned().or(before);
        *last = Some(Ran { ended: Instant::now(), outcome: outcome.clone(), printed, failures });
        outcome
    }

    /// Runs it to its end; `before` is what it printed the last time.
    fn run(&self, before: Option<&Secret>, interrupted: &AtomicBool) -> Result<Secret, CommandError> {
        let mut child = Running(self.spawn()?);
        let deadline = Instant::now() + self.timeout;
        let mut output = Collected::new(LONGEST + 2);
        let mut complaint = Collected::new(LONGEST);
        let ended = child.attend(deadline, interrupted, &mut output, &mut complaint);
        let said = || {
            let output = String::from_utf8_lossy(output.bytes());
            said::shown(complaint.bytes(), &[&output, before.map_or("", Secret::expose)])
        };
        match ended.map_err(|error| CommandError::NotStarted(error.to_string()))? {
            Ended::Itself(status) if status.success() => {}
            Ended::Itself(status) => return Err(CommandError::Failed { how: status.to_string(), said: said() }),
            Ended::TooLate => return Err(CommandError::TooLate { limit: self.timeout, said: said() }),
            Ended::TooLong => return Err(CommandError::TooLong),
            Ended::Interrupted => return Err(CommandError::Interrupted),
        }
        let text = std::str::from_utf8(output.bytes()).map_err(|_| CommandError::NotText)?;
        match without_newline(text) {
            "" => Err(CommandError::Empty { said: said() }),
            text if text.len() > LONGEST => Err(CommandError::TooLong),
            text => Ok(Secret::new(text)),
        }
    }

    fn spawn(&self) -> Result<Child, CommandError> {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(self.arguments.iter().map(Secret::expose))
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value.expose())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        child::set_apart(&mut command);
        command.spawn().map_err(|error| match error.kind() {
            // The interpreter that a script names may be missing as well.
            io::ErrorKind::NotFound if self.program.components().count() > 1 && Path::new(&self.program).exists() => {
                CommandError::NotStarted("the interpreter in its first line does not exist".to_owned())
            }
            io::ErrorKind::NotFound => CommandError::Missing,
            io::ErrorKind::PermissionDenied => CommandError::NotExecutable,
            _ => CommandError::NotStarted(error.to_string()),
        })
    }
}

impl Ran {
    /// How long it is not run again, if somebody wants an output that is no older than `most`.
    fn rest(&self, most: Duration) -> Duration {
        match &self.outcome {
            Ok(_) => most,
            Err(_) => most.max(doubling(FIRST_PAUSE, self.failures.saturating_sub(1), LONGEST_PAUSE)),
        }
    }
}

#[cfg(test)]
mod tests;
