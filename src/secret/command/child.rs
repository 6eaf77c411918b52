//! The child process of a command: read while it runs, killed with its children when it must end.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;
use zeroize::Zeroizing;

pub(super) use system::set_apart;

/// How often a running command is looked after.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// How long a command that has ended may leave its output open to others before they are not waited for any more.
const GRACE: Duration = Duration::from_millis(250);

/// How it came to an end.
pub(super) enum Ended {
    Itself(std::process::ExitStatus),
    TooLate,
    TooLong,
    Interrupted,
}

/// A child that does not outlive us.
pub(super) struct Running(pub(super) Child);

impl Running {
    /// Reads what it prints until it has ended or must be.
    pub(super) fn attend(
        &mut self,
        deadline: Instant,
        interrupted: &AtomicBool,
        output: &mut Collected,
        complaint: &mut Collected,
    ) -> io::Result<Ended> {
        let mut pipes = system::Pipes::of(&mut self.0)?;
        let mut ended = None;
        loop {
            pipes.read_within(TICK, output, complaint)?;
            if output.is_full() {
                return Ok(Ended::TooLong);
            }
            if ended.is_none() {
                ended = self.0.try_wait()?.map(|status| (status, Instant::now()));
            }
            match ended {
                Some((status, at)) if pipes.have_ended() || at.elapsed() >= GRACE => {
                    return Ok(Ended::Itself(status));
                }
                _ if interrupted.load(Ordering::Relaxed) => return Ok(Ended::Interrupted),
                _ if Instant::now() >= deadline => return Ok(Ended::TooLate),
                _ => {}
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        system::kill(&mut self.0);
        let _ = self.0.wait();
    }
}

/// What came out of a pipe, in memory of one size: a buffer that grows leaves copies behind.
pub(super) struct Collected {
    bytes: Zeroizing<Vec<u8>>,
    length: usize,
}

impl Collected {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Zeroizing::new(vec![0; most]), length: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn is_full(&self) -> bool {
        self.length >= self.bytes.len()
    }

    /// Reads once from a pipe that has something, and closes it at its end. What does not fit is dropped.
    fn take_from(&mut self, pipe: &mut Option<impl io::Read>) -> io::Result<()> {
        let Some(open) = pipe else { return Ok(()) };
        let mut spare = Zeroizing::new([0; 4096]);
        let room = match self.bytes.get_mut(self.length..) {
            Some(room) if !room.is_empty() => room,
            _ => &mut spare[..],
        };
        match open.read(room) {
            Ok(0) => *pipe = None,
            Ok(read) => self.length = self.bytes.len().min(self.length + read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
