//! Signals on their way to the command.
//!
//! Owns which are passed on. What the starter wants ignored (nohup, the background of a script) stays ignored, for the command too.
//! What a terminal sends to everybody in its foreground is not sent once more.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::{Signal, getpgrp};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{self, SignalKind};

const PASSED: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// Those that came and were not dealt with.
pub(in crate::cli::exec) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Takes them over from here on.
    ///
    /// # Errors
    /// If the system refuses.
    pub(in crate::cli::exec) fn listen() -> io::Result<Self> {
        let ignored = std::fs::read_to_string("/proc/self/status").map(|text| ignored(&text)).unwrap_or_default();
        let wanted = PASSED.into_iter().filter(|signal| ignored >> (signal.as_raw() - 1) & 1 == 0);
        let listen = |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        Ok(Self(wanted.map(listen).collect::<io::Result<_>>()?))
    }

    /// The next one. Cancel-safe.
    pub(in crate::cli::exec) async fn next(&mut self) -> Signal {
        let poll = |(signal, stream): &mut (Signal, unix::Signal), cx: &mut std::task::Context<'_>| match stream
            .poll_recv(cx)
        {
            Poll::Ready(Some(())) => Some(*signal),
            _ => None,
        };
        poll_fn(|cx| self.0.iter_mut().find_map(|one| poll(one, cx)).map_or(Poll::Pending, Poll::Ready)).await
    }
}

/// Whether it ends what has not begun.
pub(super) fn ends(signal: Signal) -> bool {
    !matches!(signal, Signal::USR1 | Signal::USR2)
}

/// The terminal that can send signals to us, if there is one.
fn terminal() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// Whether there is a terminal with its ways of job control.
pub(super) fn has_terminal() -> bool {
    terminal().is_some()
}

/// Whether the command has got it already: keys such as ^C are sent to the whole foreground of the terminal.
pub(super) fn came_to_all(signal: Signal) -> bool {
    let is_foreground = || terminal().and_then(|terminal| tcgetpgrp(terminal).ok()) == Some(getpgrp());
    matches!(signal, Signal::INT | Signal::QUIT) && is_foreground()
}

/// The signals that are ignored, one bit each (proc(5), `SigIgn`).
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored("Name:\tx\n"), 0);
    }
}
