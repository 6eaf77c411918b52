//! Values that nobody may read by accident.
//!
//! Owns the type of every secret and token in the process, the places where secrets live, and the one method that reads one,
//! [`Secret::expose`]: a search for that name finds every use. Refuses to print: `Debug` shows `[secret]`, there is no `Display`,
//! and the memory is wiped when the last copy is dropped, as is every buffer on the way from its place to here.

mod command;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod json;
mod said;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderValue, InvalidHeaderValue};
use zeroize::{Zeroize as _, Zeroizing};

pub use command::{Command, CommandError};
pub use json::PointerError;

/// The longest secret in a file or of a command, in bytes. Keys and service accounts' tokens take a few KiB.
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

    /// Takes ownership of a text that is wiped already when it is dropped.
    fn wiped(text: Zeroizing<String>) -> Self {
        Self(Arc::new(text))
    }

    /// Whether HTTP Basic sends it the same with and without form encoding (RFC 6749 §2.3.1).
    pub fn is_same_in_forms(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte))
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
    /// What a command prints, run again at each use; one trailing newline is trimmed.
    Command(Command),
    /// A member of what one of the others holds, which is JSON.
    Member {
        /// The place of the JSON text.
        of: Box<SecretSource>,
        /// Which member: a JSON Pointer (RFC 6901).
        pointer: String,
    },
}

tokio::task_local! {
    /// Set while somebody only looks whether something has changed.
    static GLANCE: ();
}

/// Reads secrets to see whether they have changed: whatever `reading` reads, no command is run that ran within the last
/// [`Command::REST`]. Files are read as ever, which costs next to nothing.
pub async fn glance<F: Future>(reading: F) -> F::Output {
    GLANCE.scope((), reading).await
}

impl SecretSource {
    /// A source for text that is not secret but stands where a secret may stand (a user name).
    pub fn inline(text: impl Into<String>) -> Self {
        Self::Inline(Secret::new(text))
    }

    /// Whether it may hold something else the next time that it is read.
    pub fn may_change(&self) -> bool {
        match self {
            Self::Inline(_) | Self::Env { .. } => false,
            Self::File(_) | Self::Command(_) => true,
            Self::Member { of, .. } => of.may_change(),
        }
    }

    /// Reads the secret as it is now.
    ///
    /// # Errors
    /// [`SecretError`] if a file or a command's output cannot be had, is empty, too long, or not UTF-8, or has no such member.
    /// The error names the place and never shows content.
    pub async fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Inline(value) | Self::Env { value, .. } => Ok(value.clone()),
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking({
                    let path = path.clone();
                    move || file::read(path)
                });
                read.await.unwrap_or(Err(SecretError::Interrupted(path)))
            }
            Self::Command(command) => {
                let is_glance = GLANCE.try_with(|()| ()).is_ok();
                let output = if is_glance { command.known_output().await } else { command.output().await };
                output.map_err(|error| SecretError::command(command, error))
            }
            Self::Member { of, pointer } => self.member(&Box::pin(of.read()).await?, pointer),
        }
    }

    /// Reads the secret without a runtime: for `check` and for start-up. A command is run once for all who ask within
    /// [`Command::REST`].
    ///
    /// # Errors
    /// As [`SecretSource::read`].
    pub fn read_now(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Inline(value) | Self::Env { value, .. } => Ok(value.clone()),
            Self::File(path) => file::read(path.clone()),
            Self::Command(command) => command.output_now().map_err(|error| SecretError::command(command, error)),
            Self::Member { of, pointer } => self.member(&of.read_now()?, pointer),
        }
    }

    fn member(&self, text: &Secret, pointer: &str) -> Result<Secret, SecretError> {
        json::member(text.expose(), pointer)
            .map(Secret::wiped)
            .map_err(|error| SecretError::Member { place: self.place(), error })
    }

    /// Where it is, for messages: `the secret file /run/secrets/key`.
    fn place(&self) -> String {
        match self {
            Self::Inline(_) => "the configuration".to_owned(),
            Self::Env { name, .. } => format!("the environment variable {name:?}"),
            Self::File(path) => format!("the secret file {}", path.display()),
            Self::Command(command) => format!("the output of the command {}", command.name()),
            Self::Member { of, .. } => of.place(),
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
    /// The command brought no secret.
    #[error("the command {program} {error}")]
    Command {
        /// The program, without its arguments.
        program: String,
        /// What went wrong.
        error: CommandError,
    },
    /// A `pointer` leads to no secret.
    #[error("{place} {error}")]
    Member {
        /// Where the JSON is.
        place: String,
        /// What is wrong with it.
        error: PointerError,
    },
}

impl SecretError {
    /// Whether a command was run and failed this time, which says nothing of the next.
    pub fn may_pass(&self) -> bool {
        use CommandError::{Empty, Failed, TooLate};
        matches!(self, Self::Command { error: Failed { .. } | TooLate { .. } | Empty { .. }, .. })
    }

    fn command(command: &Command, error: CommandError) -> Self {
        Self::Command { program: command.name(), error }
    }
}

/// The pieces as the value of a header field that nothing prints, in memory that is wiped when its last copy is dropped.
///
/// # Errors
/// If no header field can hold them.
pub fn header_value(pieces: &[&str]) -> Result<HeaderValue, InvalidHeaderValue> {
    let text = Zeroizing::new(pieces.concat().into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))?;
    // Keeps it out of `Debug` and out of HPACK's tables (RFC 7541 §7.1.3).
    value.set_sensitive(true);
    Ok(value)
}

/// Wipes every text in a JSON value.
pub fn wipe(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => text.zeroize(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(wipe),
        serde_json::Value::Object(members) => members.values_mut().for_each(wipe),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

/// Editors and `echo` end texts with a newline that is not part of the secret; one, not all.
fn without_newline(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_the_secret() {
        let source = SecretSource::inline("hunter2");
        assert!(!format!("{source:?}").contains("hunter2"));
    }
}
