//! Sockets that a bearerd is started with, as systemd does it.
//!
//! The sockets stay open here, as they do in systemd, so that one bearerd after the other can be given them.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// The most that a test hands over.
const MOST: usize = 16;

/// Sockets with the names that they are handed over by.
pub(crate) struct HandOver(Vec<(String, OwnedFd)>);

impl HandOver {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn with(mut self, name: &str, socket: impl Into<OwnedFd>) -> Self {
        self.0.push((name.to_owned(), socket.into()));
        self
    }

    /// The same command, started with the sockets.
    pub(crate) fn to(&self, command: &Command) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/hand_over.py");
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        let mut launcher = Command::new("python3");
        launcher.arg(script).arg(names.join(":")).arg(command.get_program()).args(command.get_args());
        launcher.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        launcher.stdin(self.message()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(directory) = command.get_current_dir() {
            launcher.current_dir(directory);
        }
        launcher
    }

    /// The end of a stream in which the sockets lie ready.
    fn message(&self) -> Stdio {
        let (sender, receiver) = UnixStream::pair().expect("a pair");
        let sockets: Vec<BorrowedFd<'_>> = self.0.iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        assert!(sockets.is_empty() || message.push(SendAncillaryMessage::ScmRights(&sockets)), "too many sockets");
        sendmsg(sender, &[IoSlice::new(b"!")], &mut message, SendFlags::empty()).expect("a message");
        OwnedFd::from(receiver).into()
    }
}
