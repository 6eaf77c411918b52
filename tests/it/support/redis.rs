//! A real Redis on a Unix socket, which can be killed, started again, paused and wiped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::peers::{installed, skip_unless};
use super::{eventually, seconds};

/// A running server with its data in a directory of its own.
pub(crate) struct Redis {
    directory: TempDir,
    child: Child,
}

impl Redis {
    /// `None` if it is not installed.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        if skip_unless(installed("redis-server") && installed("redis-cli"), "redis-server") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(directory.path());
        let redis = Self { directory, child };
        redis.wait();
        Some(redis)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// `[store]` that names it.
    pub(crate) fn section(&self) -> String {
        format!("[store]\nkind = \"redis\"\nurl = \"unix://{}\"\nseal_key = \"{SEAL_KEY}\"\n", self.socket().display())
    }

    fn wait(&self) {
        eventually("redis answers", seconds(20.0), || self.command(&["ping"]).contains("PONG"));
    }

    /// What `redis-cli` prints.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli").arg("-s").arg(self.socket()).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.command(&["keys", "*"]).lines().filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }

    /// Every byte of every entry, as the server has it.
    pub(crate) fn contents(&self) -> String {
        let mut all = String::new();
        for key in self.keys() {
            let kind = self.command(&["type", &key]);
            let words: &[&str] = if kind.trim() == "hash" { &["hgetall", &key] } else { &["get", &key] };
            all.push_str(&key);
            all.push_str(&self.command(words));
        }
        all
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After [`Redis::kill`]; with nothing of what it had.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.directory.path());
        self.wait();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

/// The seal key of every test.
pub(crate) const SEAL_KEY: &str = "seal-key-canary-0123456789abcdef-3c";

fn spawn(directory: &Path) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(directory.join("redis.sock"))
        .arg("--dir")
        .arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
