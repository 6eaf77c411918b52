//! A Unix socket before another, which lets every piece through as one step.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::steps::Steps;

/// The relay. The threads of a connection end with it; the one that accepts lives as long as the tests.
pub(crate) struct Relay {
    directory: TempDir,
}

impl Relay {
    /// Relays to this socket, with steps called a question and an answer.
    pub(crate) fn start(to: &Path, steps: &Steps) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("relay.sock")).unwrap();
        let (to, steps) = (to.to_owned(), steps.clone());
        std::thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&to) else { return };
                let (back, forth) = (server.try_clone().unwrap(), caller.try_clone().unwrap());
                let (asking, answering) = (steps.clone(), steps.clone());
                std::thread::spawn(move || pass(caller, server, &asking, "a question to the store"));
                std::thread::spawn(move || pass(back, forth, &answering, "an answer of the store"));
            }
        });
        Self { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("relay.sock")
    }
}

fn pass(mut from: UnixStream, mut to: UnixStream, steps: &Steps, what: &str) {
    let mut piece = [0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !steps.make(what) || to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    // Either end going away is the other's end too.
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}
