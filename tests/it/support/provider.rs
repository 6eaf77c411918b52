//! A real authorization server in a process of its own: `tests/peers/oidc-provider`, or `tests/peers/django`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::canaries::Canaries;
use super::client::Request;
use super::command::Output;
use super::peers::{installed, skip_unless};
use super::setup::Setup;

/// The secret of its client `svc`.
pub(crate) const SECRET: &str = "svc-canary-secret-1";
/// The password of its user `robot`.
pub(crate) const PASSWORD: &str = "robot-canary-pw";

/// The server's process: an authorization server, an API that asks it about every token, and a page of counts.
pub(crate) struct Provider {
    child: Child,
    issuer: SocketAddr,
    api: SocketAddr,
    told: Value,
    pub(crate) canaries: Canaries,
}

impl Provider {
    /// Starts it with tokens of `lifetime` seconds; `None` if it is not installed.
    pub(crate) fn start(lifetime: u64) -> Option<Self> {
        Self::start_with(lifetime, &[])
    }

    /// The same with switches of `server.mjs`.
    pub(crate) fn start_with(lifetime: u64, switches: &[&str]) -> Option<Self> {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/oidc-provider");
        let there = installed("node") && directory.join("node_modules/oidc-provider").exists();
        if skip_unless(there, "oidc-provider (npm)") {
            return None;
        }
        let mut command = Command::new("node");
        command.arg(directory.join("server.mjs"));
        command.args([format!("--lifetime={lifetime}"), format!("--secret={SECRET}"), "--attended".to_owned()]);
        command.args(switches);
        // Its own introspection goes over TLS too.
        if let Some(tls) = switches.iter().find_map(|switch| switch.strip_prefix("--tls=")) {
            command.env("NODE_EXTRA_CA_CERTS", format!("{tls}/ca.pem"));
        }
        Some(Self::of(&mut command))
    }

    /// django-oauth-toolkit with tokens of `lifetime` seconds, where a renewal ends the token before it; `None` if it is not installed.
    pub(crate) fn django(lifetime: u64) -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/django/bin/python3");
        if skip_unless(python.exists(), "django-oauth-toolkit (PyPI)") {
            return None;
        }
        let mut command = Command::new(python);
        command.arg(root.join("tests/peers/django/server.py"));
        command.args([format!("--lifetime={lifetime}"), format!("--secret={SECRET}")]);
        Some(Self::of(&mut command))
    }

    fn of(command: &mut Command) -> Self {
        let (child, told) = start_telling(command);
        let address = |name: &str| told[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        let canaries = Canaries::default();
        canaries.add_basic("svc", SECRET);
        Self { issuer: address("issuer"), api: address("api"), child, told, canaries }
    }

    /// What it said of itself: addresses, keys and secrets.
    pub(crate) fn told(&self) -> &Value {
        &self.told
    }

    pub(crate) fn setup(&self, credential: &str) -> Setup {
        let credential = format!(
            "token_endpoint = \"http://{}/token\"\nclient_id = \"svc\"\nscope = \"api.read\"\n{credential}\n",
            self.issuer
        );
        Setup::new(&self.canaries).credential_only(&format!("http://{}", self.api), &credential)
    }

    /// `token_requests`, `tokens`, `accepted`, `rejected`.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let page = Request::get("/counts").send(self.api).expect(200).json();
        page[name].as_u64().unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// Makes the first refresh token of a client, as a person's consent would.
    pub(crate) fn refresh_token(&self, client: &str, more: &str) -> String {
        self.control(&format!("/grant?client={client}{more}"), "refresh_token")
    }

    /// Makes an access token of somebody, to be exchanged.
    pub(crate) fn subject_token(&self, subject: &str) -> String {
        self.control(&format!("/subject?sub={subject}"), "access_token")
    }

    /// Breaks the connections of the next token requests after it has carried them out.
    pub(crate) fn lose_answers(&self, answers: usize) {
        Request::new("POST", &format!("/lose?answers={answers}")).send(self.api).expect(200);
    }

    fn control(&self, target: &str, member: &str) -> String {
        let made = Request::new("POST", target).send(self.api).expect(200).json()[member].as_str().unwrap().to_owned();
        self.canaries.add(&made);
        made
    }

    /// Takes back every token by the server's own revocation endpoint (RFC 7009).
    pub(crate) fn revoke_all(&self) {
        Request::new("POST", "/revoke").send(self.api).expect(200);
    }
}

/// Starts a server whose first line is a JSON object that says where it is. It lives as long as its standard input.
#[track_caller]
pub(crate) fn start_telling(command: &mut Command) -> (Child, Value) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // Other lines are advice.
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let printed = Output::default();
    printed.follow(child.stderr.take().expect("a pipe"));
    let Some(line) = lines.find(|line| line.starts_with('{')) else {
        panic!("{command:?} did not start:\n{}", printed.lines().join("\n"));
    };
    let told = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    // What nobody reads must not fill a pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, told)
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
