//! Real servers, each in a directory of its own, on a Unix socket or on free ports of the loopback interface. They end with the test.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// Whether the tests must be left out.
#[track_caller]
pub(super) fn are_missing() -> bool {
    let there = ["redis-server", "redis-sentinel", "redis-cli"]
        .into_iter()
        .all(|program| Command::new(program).arg("--version").output().is_ok());
    if there {
        return false;
    }
    assert!(std::env::var_os("BEARERD_TEST_PEERS").is_none(), "redis-server is not installed");
    // Past the capture of the test harness, so that it is seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: redis-server is not installed; ./ci installs it");
    true
}

/// A server of one test.
pub(super) struct Started {
    child: Child,
    program: &'static str,
    arguments: Vec<String>,
    pub(super) directory: tempfile::TempDir,
    pub(super) socket: PathBuf,
}

impl Started {
    /// A server on a Unix socket; with `--port` among the arguments also on that.
    pub(super) async fn standalone(arguments: &[&str]) -> Self {
        Self::start("redis-server", arguments, None).await
    }

    /// A sentinel on a Unix socket and a port, with this configuration.
    pub(super) async fn sentinel(port: u16, configuration: &str) -> Self {
        Self::start("redis-sentinel", &["--port", &port.to_string()], Some(configuration)).await
    }

    async fn start(program: &'static str, arguments: &[&str], configuration: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let mut all = Vec::new();
        if let Some(configuration) = configuration {
            let path = directory.path().join("conf");
            std::fs::write(&path, configuration).unwrap();
            all.push(path.display().to_string());
        }
        let (dir, at) = (directory.path().display().to_string(), socket.display().to_string());
        all.extend(["--dir", &dir, "--unixsocket", &at, "--save", "", "--bind", "127.0.0.1"].map(str::to_owned));
        if !arguments.contains(&"--port") {
            all.extend(["--port", "0"].map(str::to_owned));
        }
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let child = launch(program, &all, directory.path());
        let mut started = Self { child, program, arguments: all, directory, socket };
        started.answers().await;
        started
    }

    /// Waits until it answers, whatever.
    async fn answers(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.cli(&["PING"]).contains("PONG") && !self.cli(&["PING"]).contains("NOAUTH") {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.printed());
            assert!(Instant::now() < deadline, "it does not answer: {}", self.printed());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What `redis-cli` says.
    pub(super) fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli").arg("-s").arg(&self.socket).args(arguments).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
            .trim_end()
            .to_owned()
    }

    /// Ends it as a power cut would.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    pub(super) async fn start_again(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        self.child = launch(self.program, &self.arguments, self.directory.path());
        self.answers().await;
    }

    /// Stops its process, which keeps its sockets.
    pub(super) fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.path().join("log")).unwrap()).into_owned()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "{} {:?} printed:\n{}", self.program, self.arguments, self.printed());
        }
    }
}

fn launch(program: &str, arguments: &[String], directory: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

/// A port that nobody has just now, and whose neighbour 10,000 further on nobody has either: nodes of a cluster talk there. Both are below
/// those that systems give to whoever asks for any (32768 and more), so that no connection takes them before the server does.
pub(super) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..22_000);
        if [port, port + 10_000].into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
}
