//! Programs that nobody here wrote, and what happens where they are not installed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Whether a program can be started.
pub(crate) fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Whether the test must be left out because `what` is not there. `./ci` installs all of them and sets
/// `BEARERD_TEST_PEERS`, under which a missing one is a failure.
#[track_caller]
pub(crate) fn skip_unless(there: bool, what: &str) -> bool {
    if there {
        return false;
    }
    assert!(std::env::var_os("BEARERD_TEST_PEERS").is_none(), "{what} is not installed");
    // Past the capture of the test harness, so that it is seen.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what} is not installed; ./ci installs it");
    true
}

/// The same for peers that are large to install: `./ci --peers` does so and sets `BEARERD_TEST_HEAVY_PEERS`. Without that
/// the test is left out, whatever happens to be installed.
#[track_caller]
pub(crate) fn skip_heavy_unless(there: impl FnOnce() -> bool, what: &str) -> bool {
    if std::env::var_os("BEARERD_TEST_HEAVY_PEERS").is_some() {
        assert!(there(), "{what} is not installed");
        return false;
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what} is a heavy peer; ./ci --peers installs it and runs this test");
    true
}

/// A loopback address for a server that cannot choose a port by itself and say which.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that is told where to listen; it runs until it is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it takes connections. What it prints goes to the file `log`.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Self {
        let file = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut daemon = Self { child, log: log.to_owned() };
        super::eventually(&format!("{command:?} listens"), super::seconds(20.0), || {
            assert!(daemon.child.try_wait().unwrap().is_none(), "{command:?} ended: {}", daemon.printed());
            std::net::TcpStream::connect(address).is_ok()
        });
        daemon
    }

    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python of the environment that `./ci` makes, else the one on the path.
pub(crate) fn venv_python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python3");
    if own.exists() { own } else { "python3".into() }
}

/// Whether that Python has this package.
pub(crate) fn has_python_package(name: &str) -> bool {
    let import = format!("import {name}");
    Command::new(venv_python()).args(["-c", &import]).output().is_ok_and(|output| output.status.success())
}

/// A server of `tests/peers`: it prints its port as its first line and runs until it is dropped.
pub(crate) struct Peer {
    child: Child,
    port: u16,
}

impl Peer {
    #[track_caller]
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        Self::start_with(script, arguments, &[])
    }

    /// The same with more in its environment. Its standard input is held open as long as it runs.
    #[track_caller]
    pub(crate) fn start_with(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
        let runner = if script.ends_with(".py") { venv_python() } else { "node".into() };
        let mut command = Command::new(runner);
        command.arg(path).args(arguments).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a peer starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{script} printed {line:?} instead of its port"));
        Self { child, port }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    #[allow(dead_code, reason = "the scenarios of tests/reliability alone need it")]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
