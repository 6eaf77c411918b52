//! The real binary: configured in a directory of its own, started on ports that the kernel chose, watched, ended.
//!
//! Owns the proof that no secret came out: when a [`Bearerd`] is dropped, everything it printed, its metrics and its
//! status page are searched for every secret of the test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::canaries::Canaries;
use super::client::{Request, Response};
use super::token_endpoint::TokenEndpoint;
use super::upstream::Upstream;
use super::{eventually, now, pause, seconds};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_bearerd");

/// The secret that the usual setup has.
pub(crate) const CLIENT_SECRET: &str = "cs/canary+client secret-9f31";

/// How one bearerd is to be started.
#[derive(Clone)]
pub(crate) struct Setup {
    directory: Arc<TempDir>,
    canaries: Canaries,
    config: ConfigText,
    arguments: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    routes: Vec<String>,
    binary: PathBuf,
    uid: Option<u32>,
}

/// The configuration file: the usual one with lines added to its tables, or one that the test wrote.
#[derive(Clone)]
enum ConfigText {
    Usual { top: String, upstream: String, route: String, credential: String, sections: String },
    Given(String),
}

impl Setup {
    /// One route and one credential with id and secret.
    pub(crate) fn between(upstream: &Upstream, endpoint: &TokenEndpoint) -> Self {
        let credential = format!(
            "token_endpoint = \"{}\"\nclient_id = \"svc\"\nclient_secret = \"{CLIENT_SECRET}\"\n",
            endpoint.url()
        );
        endpoint.canaries().add_basic("svc", CLIENT_SECRET);
        Self::new(endpoint.canaries()).credential_only(&upstream.url(), &credential)
    }

    /// No file at all yet, and no arguments.
    pub(crate) fn new(canaries: &Canaries) -> Self {
        Self {
            directory: Arc::new(tempfile::tempdir().expect("a directory")),
            canaries: canaries.clone(),
            config: ConfigText::Given(String::new()),
            arguments: None,
            environment: Vec::new(),
            routes: vec!["api".to_owned()],
            binary: BINARY.into(),
            uid: None,
        }
    }

    /// The usual file with another credential.
    pub(crate) fn credential_only(mut self, upstream: &str, credential: &str) -> Self {
        self.config = ConfigText::Usual {
            top: String::new(),
            upstream: format!("upstream = \"{upstream}\"\n"),
            route: String::new(),
            credential: credential.to_owned(),
            sections: String::new(),
        };
        self
    }

    /// A whole file. It says where to listen; the routes named are those that will be waited for.
    pub(crate) fn file(mut self, text: &str, routes: &[&str]) -> Self {
        self.config = ConfigText::Given(text.to_owned());
        self.routes = routes.iter().map(|&route| route.to_owned()).collect();
        self
    }

    /// Lines before the first table.
    pub(crate) fn top(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { top, .. } = &mut self.config {
            let _ = writeln!(top, "{lines}");
        }
        self
    }

    /// Lines of `[routes.api]`.
    pub(crate) fn route(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { route, .. } = &mut self.config {
            let _ = writeln!(route, "{lines}");
        }
        self
    }

    /// Another `upstream` of `[routes.api]`.
    pub(crate) fn upstream(mut self, url: &str) -> Self {
        if let ConfigText::Usual { upstream, .. } = &mut self.config {
            *upstream = format!("upstream = \"{url}\"\n");
        }
        self
    }

    /// Lines of `[credentials.api]`.
    pub(crate) fn credential(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { credential, .. } = &mut self.config {
            let _ = writeln!(credential, "{lines}");
        }
        self
    }

    /// Whole tables, after all others.
    pub(crate) fn section(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { sections, .. } = &mut self.config {
            let _ = writeln!(sections, "{lines}");
        }
        self
    }

    /// Waits for these routes at the start, not only for `api`.
    pub(crate) fn routes(mut self, routes: &[&str]) -> Self {
        self.routes = routes.iter().map(|&route| route.to_owned()).collect();
        self
    }

    /// No file: these arguments after `run`. The one route is then called `default`.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = Some(arguments.iter().map(|&argument| argument.to_owned()).collect());
        self.routes = vec!["default".to_owned()];
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts as another user, which only root can.
    pub(crate) fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Starts a copy of the binary.
    pub(crate) fn binary(mut self, path: &Path) -> Self {
        self.binary = path.to_owned();
        self
    }

    pub(crate) fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    /// Where relative paths of the configuration begin.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a secret into a file beside the configuration and remembers that it is one.
    pub(crate) fn secret_file(&self, name: &str, secret: &str) -> PathBuf {
        self.canaries.add(secret.trim_end_matches('\n'));
        let path = self.directory.path().join(name);
        std::fs::write(&path, secret).expect("a secret file");
        path
    }

    /// The configuration as it will be written.
    pub(crate) fn text(&self) -> String {
        match &self.config {
            ConfigText::Given(text) => text.clone(),
            ConfigText::Usual { top, upstream, route, credential, sections } => format!(
                "{}{top}\n{}[log]\nformat = \"json\"\nlevel = \"info\"\n\n\
                 [routes.api]\n{upstream}{route}\n[credentials.api]\n{credential}\n{sections}",
                unless_given(top, "listen", "listen = \"127.0.0.1:0\"\n"),
                unless_given(sections, "[admin]", "[admin]\nlisten = \"127.0.0.1:0\"\n\n"),
            ),
        }
    }

    /// The command, ready to start, with the file written.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(verb);
        match &self.arguments {
            Some(arguments) => {
                command.args(arguments);
            }
            None => {
                let path = self.directory.path().join("bearerd.toml");
                std::fs::write(&path, self.text()).expect("a configuration file");
                command.arg("--config").arg(path);
            }
        }
        // Nothing of the machine's own environment may decide a test, proxies above all.
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(self.environment.iter().cloned());
        command.current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(uid) = self.uid {
            std::os::unix::process::CommandExt::uid(&mut command, uid);
        }
        command
    }

    /// Starts it and waits until every route and the admin listener are bound.
    #[track_caller]
    pub(crate) fn start(&self) -> Bearerd {
        let mut bearerd = self.spawn();
        let deadline = now() + seconds(20.0);
        while !bearerd.learn_addresses() {
            let ended = bearerd.child.try_wait().expect("a status");
            assert!(ended.is_none() && now() < deadline, "did not start listening: {ended:?}\n{}", bearerd.told());
            pause(Duration::from_millis(5));
        }
        bearerd
    }

    /// Starts it and waits for a token too.
    #[track_caller]
    pub(crate) fn start_ready(&self) -> Bearerd {
        let bearerd = self.start();
        bearerd.wait_ready(10.0);
        bearerd
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub(crate) fn spawn(&self) -> Bearerd {
        let mut child = self.command("run").spawn().expect("the binary starts");
        let output = Output::default();
        let readers = vec![
            output.follow(child.stdout.take().expect("a pipe")),
            output.follow(child.stderr.take().expect("a pipe")),
        ];
        Bearerd {
            setup: self.clone(),
            child,
            output,
            readers,
            addresses: BTreeMap::new(),
            admin: None,
            probe: None,
            ended: None,
        }
    }

    /// Runs a verb to its end.
    #[track_caller]
    pub(crate) fn run_verb(&self, verb: &str) -> Ended {
        finish(self.command(verb), &self.canaries)
    }
}

fn unless_given(text: &str, key: &str, usual: &'static str) -> &'static str {
    if text.lines().any(|line| line.starts_with(key)) { "" } else { usual }
}

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
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    fn follow(&self, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.0.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while matches!(from.read_until(b'\n', &mut line), Ok(1..)) {
                lines.lock().unwrap().push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        })
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A running bearerd.
pub(crate) struct Bearerd {
    setup: Setup,
    child: Child,
    output: Output,
    readers: Vec<JoinHandle<()>>,
    addresses: BTreeMap<String, SocketAddr>,
    admin: Option<SocketAddr>,
    probe: Option<SocketAddr>,
    ended: Option<ExitStatus>,
}

impl Bearerd {
    /// Where its first route listens.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address_of(&self.setup.routes[0])
    }

    #[track_caller]
    pub(crate) fn address_of(&self, route: &str) -> SocketAddr {
        *self.addresses.get(route).unwrap_or_else(|| panic!("no listener of {route:?}: {:?}", self.addresses))
    }

    #[track_caller]
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("an admin listener")
    }

    /// Where anybody may ask for probes and metrics.
    #[track_caller]
    pub(crate) fn probe_address(&self) -> SocketAddr {
        let port = self.probe.expect("a listener of probes").port();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// A GET through the first route.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        Request::get(target).send(self.address())
    }

    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Response {
        request.send(self.address())
    }

    /// A GET of the admin listener.
    #[track_caller]
    pub(crate) fn admin_get(&self, target: &str) -> Response {
        Request::get(target).send(self.admin())
    }

    pub(crate) fn is_ready(&self) -> bool {
        Request::get("/readyz").try_send(self.admin()).is_ok_and(|response| response.status == 200)
    }

    /// Waits until it is ready; returns how long that took.
    #[track_caller]
    pub(crate) fn wait_ready(&self, within: f64) -> Duration {
        eventually("ready", seconds(within), || self.is_ready())
    }

    /// The metric with this name and these labels, in any order; `None` if there is no such series.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let page = self.admin_get("/metrics").expect(200).text();
        let line = page.lines().find(|line| is_series(line, name, labels))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// `bearerd_token_requests_total` of the credential `api`.
    #[track_caller]
    pub(crate) fn token_requests(&self, outcome: &str) -> f64 {
        let labels = [("credential", "api"), ("outcome", outcome)];
        self.metric("bearerd_token_requests_total", &labels).expect("exists from the start")
    }

    /// `bearerd_token_rejections_total` of the credential `api`.
    #[track_caller]
    pub(crate) fn rejections(&self, action: &str) -> f64 {
        let labels = [("credential", "api"), ("action", action)];
        self.metric("bearerd_token_rejections_total", &labels).expect("exists from the start")
    }

    /// Every line printed so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.output.lines()
    }

    /// The lines printed so far that contain `text`.
    pub(crate) fn log_with(&self, text: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains(text)).collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str, within: f64) {
        eventually(&format!("{text:?} in the log"), seconds(within), || !self.log_with(text).is_empty());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal");
    }

    /// Whether it has ended by itself, and how.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a status");
        }
        self.ended
    }

    /// Waits until it ends by itself; returns its exit code.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self, within: f64) -> Option<i32> {
        let deadline = now() + seconds(within);
        while self.has_ended().is_none() {
            assert!(now() < deadline, "still running after {within} s");
            pause(Duration::from_millis(10));
        }
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.ended.and_then(|status| status.code())
    }

    /// Asks it to end, and fails unless it ends well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait_exit(10.0), Some(0));
    }

    /// Reads the addresses out of the log; whether all that are waited for are known.
    fn learn_addresses(&mut self) -> bool {
        for line in self.output.lines() {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let member = |name: &str| {
                let flat = event.get(name).or_else(|| event.get("fields").and_then(|fields| fields.get(name)));
                flat.and_then(Value::as_str).map(str::to_owned)
            };
            let Some(address) = member("address").and_then(|address| address.parse().ok()) else { continue };
            match (member("message").as_deref(), member("route")) {
                (Some("listening"), Some(route)) => {
                    self.addresses.entry(route).or_insert(address);
                }
                (Some("admin listening"), _) => self.admin = Some(address),
                (Some("probes listening"), _) => self.probe = Some(address),
                _ => {}
            }
        }
        self.admin.is_some() && self.setup.routes.iter().all(|route| self.addresses.contains_key(route))
    }

    /// What a person needs to understand a failure.
    fn told(&self) -> String {
        let text = self.setup.text();
        let command = self.setup.command("run");
        format!(
            "--- command\n{command:?}\n--- configuration\n{text}\n--- output\n{}\n---",
            self.output.lines().join("\n")
        )
    }

    /// What it shows to those who may look.
    fn pages(&self) -> String {
        let Some(admin) = self.admin else { return String::new() };
        let mut all = String::new();
        for page in ["/metrics", "/status", "/readyz?verbose", "/"] {
            if let Ok(response) = Request::get(page).try_send(admin) {
                all.push_str(&response.raw_head);
                all.push_str(&response.text());
            }
        }
        all
    }
}

impl Drop for Bearerd {
    fn drop(&mut self) {
        let pages = if self.has_ended().is_none() { self.pages() } else { String::new() };
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let shown = format!("{}\n{pages}", self.output.lines().join("\n"));
        if std::thread::panicking() {
            eprintln!("{}", self.told());
            return;
        }
        let panicked = shown.contains("panicked at");
        if let Some(line) = self.setup.canaries.found_in(&shown) {
            panic!("a secret came out: {line}\n{}", self.told());
        }
        assert!(!panicked, "it panicked\n{}", self.told());
    }
}

/// Whether a line of the metrics page is the series with this name and at least these labels.
fn is_series(line: &str, name: &str, labels: &[(&str, &str)]) -> bool {
    let Some(rest) = line.strip_prefix(name) else { return false };
    rest.starts_with(['{', ' ']) && labels.iter().all(|(key, value)| rest.contains(&format!("{key}=\"{value}\"")))
}

#[test]
fn a_series_is_found_by_its_name_and_labels() {
    let line = "bearerd_token_requests_total{credential=\"api\",outcome=\"success\"} 3";
    for (name, labels, found) in [
        ("bearerd_token_requests_total", &[("outcome", "success"), ("credential", "api")][..], true),
        ("bearerd_token_requests_total", &[("outcome", "refused")], false),
        ("bearerd_token_requests", &[("outcome", "success")], false),
    ] {
        assert_eq!(is_series(line, name, labels), found, "{name} {labels:?}");
    }
}
