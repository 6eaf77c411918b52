//! What Unix and Windows have each in its own way, and what only one of them has.
//!
//! Owns the small differences that several rooms meet: Unix sockets, modes of files, locks, the signals that end a process. A
//! difference that is one room's own stands in that room, in a `unix` and a `windows` beside each other. Refuses to play a part that a
//! system has not: what is missing is a mistake in the configuration with a reason, or a warning, and its types have no values.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// Whether this system has something, or why not and what there is instead: the end of a sentence about a configuration.
pub(crate) type Available = Result<(), &'static str>;
