//! What the process gives up, and what it asks for, before it reads anything secret.
//!
//! Owns the process attributes. Refuses to fail: a system that does not grant one of them gets a warning later, not a
//! proxy that does not start.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::want_open_files;
pub use system::{Limits, harden, open_files};
