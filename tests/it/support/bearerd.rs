//! The real binary, running: asked, watched, ended.
//!
//! Owns the proof that no secret came out: when a [`Bearerd`] is dropped, everything it printed, its metrics and its
//! status page are searched for every secret of the test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, ExitStatus};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::{Request, Response};
use super::command::Output;
use super::setup::Setup;
use super::wire::Wire;
use super::{eventually, now, pause, seconds};

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
    /// Follows what a started process prints.
    pub(crate) fn watch(setup: &Setup, mut child: Child) -> Self {
        let output = Output::default();
        let readers = vec![
            output.follow(child.stdout.take().expect("a pipe")),
            output.follow(child.stderr.take().expect("a pipe")),
        ];
        let (setup, addresses) = (setup.clone(), BTreeMap::new());
        Self { setup, child, output, readers, addresses, admin: None, probe: None, ended: None }
    }

    /// Waits until every route and the admin listener are bound.
    #[track_caller]
    pub(crate) fn wait_until_it_listens(&mut self) {
        let deadline = now() + seconds(20.0);
        while !self.learn_addresses() {
            let ended = self.has_ended();
            assert!(ended.is_none() && now() < deadline, "did not start listening: {ended:?}");
            pause(Duration::from_millis(5));
        }
    }

    /// Waits until a reload has opened a listener for this route.
    #[track_caller]
    pub(crate) fn wait_for_route(&mut self, route: &str) -> SocketAddr {
        let deadline = now() + seconds(10.0);
        while !self.addresses.contains_key(route) {
            assert!(now() < deadline, "no listener of {route:?}");
            self.learn_addresses();
            pause(Duration::from_millis(5));
        }
        self.address_of(route)
    }

    /// `bearerd_config_reloads_total`.
    #[track_caller]
    pub(crate) fn reloads(&self, outcome: &str) -> f64 {
        self.metric("bearerd_config_reloads_total", &[("outcome", outcome)]).expect("exists from the start")
    }

    /// Reloads by a signal and waits for the end of it.
    #[track_caller]
    pub(crate) fn reload(&self, outcome: &str) {
        let before = self.reloads(outcome);
        self.signal(Signal::HUP);
        eventually(&format!("a reload that ends with {outcome}"), seconds(10.0), || self.reloads(outcome) > before);
    }

    /// Where its first route listens.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address_of(&self.setup.route_names()[0])
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

    /// Waits until the token in use is good, so that the next revocation takes back that one.
    #[track_caller]
    pub(crate) fn settle(&self) {
        eventually("a good token", seconds(3.0), || self.get("/settle").status == 200);
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

    /// It stands still while so many callers connect and ask and SIGTERM comes, so that it meets all of them at once. Returns what the
    /// callers read from.
    #[track_caller]
    pub(crate) fn meet_at_its_end(&self, callers: usize) -> Vec<Wire> {
        self.signal(Signal::STOP);
        let call = |_| {
            let wire = Wire::connect(self.address()).expect("a place in the queue");
            wire.send(Request::get("/items").bytes(self.address())).expect("room for a request");
            wire
        };
        let callers = (0..callers).map(call).collect();
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        callers
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
        let has_probes = self.setup.text().contains("probe_listen");
        self.admin.is_some()
            && self.probe.is_some() == has_probes
            && self.setup.route_names().iter().all(|route| self.addresses.contains_key(route))
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
        if let Some(line) = self.setup.canaries().found_in(&shown) {
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
