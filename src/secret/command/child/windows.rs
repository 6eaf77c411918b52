//! Pipes, each read by a thread of its own, because they cannot be waited for together; and a child that is ended alone.
//!
//! What a child has started itself goes on: only a job object would end that, and there is no safe call for one. A thread whose pipe
//! such a process holds open ends when that does.

use std::io::{self, Read};
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Collected;

/// `CREATE_NEW_PROCESS_GROUP`: the ^C of our console is not for it.
const NEW_GROUP: u32 = 0x0000_0200;
/// `CREATE_NO_WINDOW`: a service has no console, and shall not open one.
const NO_WINDOW: u32 = 0x0800_0000;
/// Pieces that wait to be taken: who prints faster waits.
const WAITING: usize = 4;

/// Which of its pipes it is.
#[derive(Clone, Copy)]
enum Pipe {
    Output,
    Complaint,
}

/// What was read at once, or why nothing more can be.
type Piece = io::Result<Zeroizing<Vec<u8>>>;

/// What a child prints.
pub(super) struct Pipes {
    pieces: mpsc::Receiver<(Pipe, Piece)>,
    have_ended: bool,
}

impl Pipes {
    /// # Errors
    /// If the system refuses a thread.
    pub(super) fn of(child: &mut Child) -> io::Result<Self> {
        let (sender, pieces) = mpsc::sync_channel(WAITING);
        if let Some(pipe) = child.stdout.take() {
            let sender = sender.clone();
            thread::Builder::new().spawn(move || read(pipe, Pipe::Output, &sender))?;
        }
        if let Some(pipe) = child.stderr.take() {
            thread::Builder::new().spawn(move || read(pipe, Pipe::Complaint, &sender))?;
        }
        Ok(Self { pieces, have_ended: false })
    }

    /// Takes what was read once there is something, or nothing after `tick`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn read_within(
        &mut self,
        tick: Duration,
        output: &mut Collected,
        complaint: &mut Collected,
    ) -> io::Result<()> {
        if self.have_ended {
            // The child may run on with its pipes closed.
            thread::park_timeout(tick);
            return Ok(());
        }
        match self.pieces.recv_timeout(tick) {
            Ok((pipe, piece)) => {
                let piece = piece?;
                let mut piece = Some(&piece[..]);
                match pipe {
                    Pipe::Output => output.take_from(&mut piece),
                    Pipe::Complaint => complaint.take_from(&mut piece),
                }
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                self.have_ended = true;
                Ok(())
            }
        }
    }

    /// Whether nobody can print any more.
    pub(super) fn have_ended(&self) -> bool {
        self.have_ended
    }
}

/// Passes on what comes out of a pipe until its end, or until nobody takes it any more.
fn read(mut pipe: impl Read, of: Pipe, pieces: &SyncSender<(Pipe, Piece)>) {
    let mut room = Zeroizing::new([0; 4096]);
    loop {
        let piece = match pipe.read(&mut room[..]) {
            Ok(0) => return,
            Ok(read) => Ok(Zeroizing::new(room.get(..read).unwrap_or_default().to_vec())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if pieces.send((of, piece)).is_err() || is_last {
            return;
        }
    }
}

/// Makes a command one that the keys of our console are not for.
pub(in crate::secret::command) fn set_apart(command: &mut Command) {
    command.creation_flags(NEW_GROUP | NO_WINDOW);
}

/// Ends a child, and nothing that it has started.
pub(super) fn kill(child: &mut Child) {
    let _ = child.kill();
}
