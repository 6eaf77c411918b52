//! A real authorization server in a process of its own: `tests/peers/oidc-provider`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::canaries::Canaries;
use super::client::Request;
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
    pub(crate) canaries: Canaries,
}

impl Provider {
    /// Starts it with tokens of `lifetime` seconds; `None` if it is not installed.
    pub(crate) fn start(lifetime: u64) -> Option<Self> {
        Self::start_with(lifetime, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(lifetime: u64, arguments: &[&str]) -> Option<Self> {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/oidc-provider");
        let there = installed("node") && directory.join("node_modules/oidc-provider").exists();
        if skip_unless(there, "oidc-provider (npm)") {
            return None;
        }
        let mut child = Command::new("node")
            .arg(directory.join("server.mjs"))
            .args([format!("--lifetime={lifetime}"), format!("--secret={SECRET}")])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        // Other lines are the library's own advice.
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let line = lines.into_iter().find(|line| line.starts_with('{')).expect("its addresses");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let address = |name: &str| told[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        let canaries = Canaries::default();
        canaries.add_basic("svc", SECRET);
        Some(Self { issuer: address("issuer"), api: address("api"), child, canaries })
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

    /// Takes back every token by the server's own revocation endpoint (RFC 7009).
    pub(crate) fn revoke_all(&self) {
        Request::new("POST", "/revoke").send(self.api).expect(200);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
