//! Pipes that are waited for together, and a group of processes that ends together.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Collected;

/// What a child prints.
pub(super) struct Pipes {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Pipes {
    /// # Errors
    /// None.
    pub(super) fn of(child: &mut Child) -> io::Result<Self> {
        Ok(Self { stdout: child.stdout.take(), stderr: child.stderr.take() })
    }

    /// Reads what is there once there is something, or nothing after `tick`, of less than a second.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn read_within(
        &mut self,
        tick: Duration,
        output: &mut Collected,
        complaint: &mut Collected,
    ) -> io::Result<()> {
        let Self { stdout, stderr } = self;
        let open: Vec<_> = [stdout.as_ref().map(|pipe| pipe.as_fd()), stderr.as_ref().map(|pipe| pipe.as_fd())].into();
        let mut wanted: Vec<_> =
            open.iter().flatten().map(|pipe| PollFd::from_borrowed_fd(*pipe, PollFlags::IN)).collect();
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(tick.subsec_nanos()) };
        match poll(&mut wanted, Some(&tick)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = wanted.iter().map(|pipe| !pipe.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        if stdout.is_some() && ready.next() == Some(true) {
            output.take_from(stdout)?;
        }
        if stderr.is_some() && ready.next() == Some(true) {
            complaint.take_from(stderr)?;
        }
        Ok(())
    }

    /// Whether nobody can print any more.
    pub(super) fn have_ended(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }
}

/// Makes a command the leader of a group, so that its children go with it.
pub(in crate::secret::command) fn set_apart(command: &mut Command) {
    command.process_group(0);
}

/// Ends a child that leads its group, and the group.
pub(super) fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}
