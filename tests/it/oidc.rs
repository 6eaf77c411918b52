//! A real authorization server that nobody here wrote: npm `oidc-provider`, installed by `./ci`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::client::{Load, burst, statuses};
use crate::support::peers::{installed, skip_unless};
use crate::support::{Request, Setup, canaries::Canaries, eventually, seconds, throughout};

const SECRET: &str = "svc-canary-secret-1";

/// The server's process: an authorization server, an API that asks it about every token, and a page of counts.
struct Provider {
    child: Child,
    issuer: SocketAddr,
    api: SocketAddr,
    canaries: Canaries,
}

impl Provider {
    /// Starts it with tokens of `lifetime` seconds; `None` if it is not installed.
    fn start(lifetime: u64) -> Option<Self> {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/oidc-provider");
        let there = installed("node") && directory.join("node_modules/oidc-provider").exists();
        if skip_unless(there, "oidc-provider (npm)") {
            return None;
        }
        let mut child = Command::new("node")
            .arg(directory.join("server.mjs"))
            .args([format!("--lifetime={lifetime}"), format!("--secret={SECRET}")])
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

    fn setup(&self, credential: &str) -> Setup {
        let credential = format!(
            "token_endpoint = \"http://{}/token\"\nclient_id = \"svc\"\nscope = \"api.read\"\n{credential}\n",
            self.issuer
        );
        Setup::new(&self.canaries).credential_only(&format!("http://{}", self.api), &credential)
    }

    /// `token_requests`, `tokens`, `accepted`, `rejected`.
    fn count(&self, name: &str) -> u64 {
        let page = Request::get("/counts").send(self.api).expect(200).json();
        page[name].as_u64().unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// Takes back every token by the server's own revocation endpoint (RFC 7009).
    fn revoke_all(&self) {
        Request::new("POST", "/revoke").send(self.api).expect(200);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn five_second_tokens_of_a_real_server_under_load_fail_no_request() {
    let Some(provider) = Provider::start(5) else { return };
    let bearerd = provider.setup(&format!("client_secret = \"{SECRET}\"")).start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.005), Request::get("/items"));
    eventually("three renewals", seconds(15.0), || provider.count("tokens") >= 4);
    let report = load.stop();
    report.expect_all_ok();
    assert_eq!(provider.count("rejected"), 0);
    assert_eq!(provider.count("accepted") as usize, report.total());
    assert_eq!(provider.count("token_requests"), provider.count("tokens"));
}

#[test]
fn a_revocation_at_a_real_server_costs_one_token_request() {
    let Some(provider) = Provider::start(300) else { return };
    let bearerd = provider.setup(&format!("client_secret = \"{SECRET}\"")).start_ready();
    bearerd.get("/items").expect(200);
    provider.revoke_all();
    let answers = burst(bearerd.address(), 100, |n| Request::get(&format!("/items/{n}")));
    assert_eq!(statuses(&answers), [(200, 100)].into());
    assert_eq!(provider.count("token_requests"), 2);
    assert!(provider.count("rejected") >= 1);
}

#[test]
fn a_wrong_secret_at_a_real_server_is_tried_once_and_the_right_one_heals() {
    let Some(provider) = Provider::start(300) else { return };
    let setup = provider.setup("client_secret = { file = \"secret\" }");
    setup.secret_file("secret", "wrong-canary-secret\n");
    let bearerd = setup.start();
    bearerd.wait_for_log("T021", 5.0);
    assert!(bearerd.log_with("T021").join("\n").contains("invalid_client"));
    let load = Load::start(bearerd.address(), 4, seconds(0.01), Request::get("/items"));
    throughout("one attempt", seconds(3.0), || provider.count("token_requests") == 1);
    let report = load.stop();
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [503], "{report:?}");
    setup.secret_file("secret", &format!("{SECRET}\n"));
    eventually("200", seconds(5.0), || bearerd.get("/items").status == 200);
    assert_eq!(provider.count("token_requests"), 2);
}

#[test]
fn single_use_refresh_tokens_of_a_real_server_are_rotated() {
    let Some(provider) = Provider::start(3) else { return };
    let credential = format!("client_secret = \"{SECRET}\"\nusername = \"robot\"\npassword = \"robot-canary-pw\"");
    provider.canaries.add("robot-canary-pw");
    let setup = provider.setup(&credential);
    let text = setup.text().replace("scope = \"api.read\"", "scope = \"api.read offline_access\"");
    let bearerd = setup.file(&text, &["api"]).start_ready();
    let load = Load::start(bearerd.address(), 2, seconds(0.01), Request::get("/items"));
    eventually("three rotations", seconds(14.0), || provider.count("refreshes") >= 3);
    load.stop().expect_all_ok();
    assert_eq!(provider.count("passwords"), 1, "the password was sent once");
    assert_eq!(provider.count("refusals"), 0, "no refresh token was sent twice");
}
