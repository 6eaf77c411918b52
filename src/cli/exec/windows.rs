//! The command as Windows runs it: in our console, whose keys and end it hears of by itself, so that nothing is passed on.
//!
//! Whoever ends bearerd by force leaves the command running: only a job object would end it too, and there is no safe call for one.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use super::child;
use crate::platform::Ends;
use crate::process::Limits;

/// The exit code after ^C and what else ends a process from outside: what shells say of SIGINT.
const INTERRUPTED: u8 = 130;

/// Somebody wants us to end.
#[derive(Clone, Copy)]
pub(super) struct Signal;

/// What asks the process to end.
pub(super) struct Signals(Ends);

impl Signals {
    /// Takes them over from here on.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn listen() -> io::Result<Self> {
        Ends::listen().map(Self)
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        let name = self.0.next().await;
        tracing::debug!(name, "asked to end");
        Signal
    }
}

/// No process is the first one here.
pub(super) fn run_as_first(_arguments: &[OsString], _limits: &Limits) -> Option<u8> {
    None
}

/// Runs a command to its end. Its exit code, 255 for one that is no byte, 126 or 127 if it does not start.
pub(super) async fn run(mut command: Command, signals: &mut Signals, limits: &Limits) -> u8 {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = match limits.lend(|| command.spawn()) {
        Ok(child) => child,
        Err(error) => return child::not_started(&name, &error),
    };
    let mut ended = tokio::task::spawn_blocking(move || child.wait());
    loop {
        tokio::select! {
            status = &mut ended => return match status.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(status) => status.code().map_or(u8::MAX, child::code),
                Err(error) => child::lost(&name, &error),
            },
            // The command has got it too, and ends when it likes.
            Signal = signals.next() => {}
        }
    }
}

/// Our exit code if it comes before there is a command.
pub(super) fn ended_by(_signal: Signal) -> Option<u8> {
    Some(INTERRUPTED)
}
