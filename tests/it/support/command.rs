//! A command's output: followed while it runs, or taken at its end and searched for secrets.

use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{ioctl_fionread, read};

use super::canaries::Canaries;

/// Runs a command to its end, and fails if it says a secret.
#[track_caller]
pub(crate) fn finish(mut command: Command, canaries: &Canaries) -> Ended {
    let output = command.output().expect("the command starts");
    let ended = Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let leaked = canaries.found_in(&ended.told());
    assert_eq!(leaked, None, "a secret came out of {command:?}");
    ended
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn told(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.told());
        self
    }
}

/// Everything that a process prints, line by line.
///
/// What was written to a pipe before somebody asks for the lines is among them, however late the thread is that follows it: a line that
/// a process writes before it counts something can be looked for as soon as the count is seen.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<Mutex<Vec<Printed>>>);

impl Output {
    /// Takes what comes, so that the pipe is never full, until its end.
    pub(crate) fn follow(&self, from: impl Into<OwnedFd>) -> JoinHandle<()> {
        let pipe = Arc::new(from.into());
        let all = self.0.clone();
        let number = {
            let mut all = all.lock().unwrap();
            all.push(Printed { pipe: Arc::clone(&pipe), lines: Vec::new(), begun: Vec::new() });
            all.len() - 1
        };
        std::thread::spawn(move || {
            while wait(&pipe) {
                all.lock().unwrap()[number].take();
            }
            all.lock().unwrap()[number].end();
        })
    }

    /// First those of the first pipe.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut all = self.0.lock().unwrap();
        all.iter_mut().for_each(Printed::take);
        all.iter().flat_map(|printed| &printed.lines).cloned().collect()
    }
}

/// What one pipe has brought. Nobody else reads from it.
struct Printed {
    pipe: Arc<OwnedFd>,
    lines: Vec<String>,
    /// Of a line without an end so far.
    begun: Vec<u8>,
}

impl Printed {
    /// Reads what is there now, and does not wait.
    fn take(&mut self) {
        let there = ioctl_fionread(&self.pipe).expect("a pipe");
        let mut bytes = vec![0; usize::try_from(there).unwrap()];
        // As many are there, and nobody else reads.
        let count = if bytes.is_empty() { 0 } else { read(&self.pipe, &mut bytes).expect("what is there") };
        self.begun.extend_from_slice(&bytes[..count]);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            self.push(&line);
        }
    }

    /// What the last line lacks is an end.
    fn end(&mut self) {
        let line = std::mem::take(&mut self.begun);
        if !line.is_empty() {
            self.push(&line);
        }
    }

    fn push(&mut self, line: &[u8]) {
        self.lines.push(String::from_utf8_lossy(line).trim_end().to_owned());
    }
}

/// Until something can be read. `false`: nothing will come any more.
fn wait(pipe: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    while poll(&mut polled, None).is_err() {}
    polled[0].revents().contains(PollFlags::IN)
}
