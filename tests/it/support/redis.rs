//! A real Redis on a Unix socket, which can be killed, started again, paused and wiped; and a pair of them behind a Sentinel.

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

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// `[store]` that names it.
    pub(crate) fn section(&self) -> String {
        section_at(&self.socket())
    }

    fn wait(&self) {
        eventually("redis answers", seconds(20.0), || self.command(&["ping"]).contains("PONG"));
    }

    /// A server beside it, of this program, with a port and a configuration.
    fn beside(program: &str, port: u16, words: &[&str], configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("conf");
        std::fs::write(&path, configuration).unwrap();
        let port = port.to_string();
        let all: Vec<&str> =
            ["--port", &port, "--bind", "127.0.0.1"].into_iter().chain(words.iter().copied()).collect();
        let child = launch(program, Some(&path), &all, directory.path());
        let redis = Self { directory, child };
        redis.wait();
        redis
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

/// `[store]` that names a server at this socket.
pub(crate) fn section_at(socket: &Path) -> String {
    format!("[store]\nkind = \"redis\"\nurl = \"unix://{}\"\nseal_key = \"{SEAL_KEY}\"\n", socket.display())
}

/// The seal key of every test.
pub(crate) const SEAL_KEY: &str = "seal-key-canary-0123456789abcdef-3c";

fn spawn(directory: &Path) -> Child {
    launch("redis-server", None, &["--port", "0"], directory)
}

fn launch(program: &str, configuration: Option<&Path>, words: &[&str], directory: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(configuration).args(words);
    command.args(["--save", "", "--unixsocket"]).arg(directory.join("redis.sock")).arg("--dir").arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A master, its replica, and a Sentinel that makes the replica the master when that one dies.
pub(crate) struct Watched {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    sentinel: u16,
    _watcher: Redis,
}

impl Watched {
    /// `None` if it is not installed.
    #[track_caller]
    pub(crate) fn start() -> Option<Self> {
        if skip_unless(installed("redis-server") && installed("redis-sentinel"), "redis-sentinel") {
            return None;
        }
        let [one, two, sentinel] = free_ports();
        let master = Redis::beside("redis-server", one, &[], "");
        let replica = Redis::beside("redis-server", two, &["--replicaof", "127.0.0.1", &one.to_string()], "");
        let configuration = format!(
            "sentinel monitor tokens 127.0.0.1 {one} 1\nsentinel down-after-milliseconds tokens 500\n\
             sentinel failover-timeout tokens 3000\n"
        );
        let watcher = Redis::beside("redis-sentinel", sentinel, &[], &configuration);
        eventually("the sentinel knows the replica", seconds(30.0), || {
            watcher.command(&["sentinel", "replicas", "tokens"]).contains("master-link-status\nok")
        });
        Some(Self { master, replica, sentinel, _watcher: watcher })
    }

    /// `[store]` that names the Sentinel.
    pub(crate) fn section(&self) -> String {
        let url = format!("redis://127.0.0.1:{}", self.sentinel);
        format!("[store]\nkind = \"redis\"\nurl = \"{url}\"\nsentinel = \"tokens\"\nseal_key = \"{SEAL_KEY}\"\n")
    }
}

/// Ports that nobody listened on a moment ago: what a Sentinel tells others must be known before it starts.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
