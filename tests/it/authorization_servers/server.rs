//! Processes of servers that all cells share, and the certificates that they and their clients show.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;

use crate::support::peers::{Peer, installed, skip_unless};
use crate::support::provider::start_telling;
use crate::support::tls_front::{Authority, Pair};

/// Seconds that tokens live: longer than any cell, so that what happens is what the cell does.
pub(super) const LIFETIME: u64 = 120;
/// The password of the users of every server.
pub(super) const PASSWORD: &str = "robot-canary-pw";

/// A server, and the API of `verify.mjs` behind it. Both end with the tests, when nobody holds their standard input.
pub(super) struct Server {
    told: Value,
    api: String,
    _processes: (Child, Peer),
}

impl Server {
    /// Starts it; `how` says how the API verifies tokens.
    pub(super) fn start(
        mut command: Command,
        lifetime: u64,
        tls: Option<&Certificates>,
        how: impl FnOnce(&Value) -> Vec<String>,
    ) -> Self {
        let directory = tls.map(Certificates::write_for_servers);
        let in_directory = directory.as_ref().map(|directory| directory.path().to_str().unwrap());
        if let Some(directory) = in_directory {
            command.args(["--tls", directory]);
        }
        let (child, told) = start_telling(command.args(["--lifetime", &lifetime.to_string()]));
        let mut arguments = how(&told);
        arguments.extend(in_directory.map(|directory| format!("--tls={directory}")));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ca = in_directory.map(|directory| format!("{directory}/ca.pem"));
        let environment: Vec<_> = ca.iter().map(|ca| ("NODE_EXTRA_CA_CERTS", ca.as_str())).collect();
        let peer = Peer::start_with("oidc-provider/verify.mjs", &arguments, &environment);
        Self { told, api: url(tls.is_some(), peer.address()), _processes: (child, peer) }
    }

    /// What it said of itself.
    pub(super) fn told(&self) -> &Value {
        &self.told
    }

    pub(super) fn text(&self, member: &str) -> &str {
        self.told[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.told))
    }

    /// Where the API is.
    pub(super) fn api(&self) -> &str {
        &self.api
    }
}

/// How a loopback server is called: with TLS by the name in its certificate.
pub(super) fn url(tls: bool, address: SocketAddr) -> String {
    if tls { format!("https://localhost:{}", address.port()) } else { format!("http://{address}") }
}

/// Whether the test is left out because the API's own library is not there.
pub(super) fn skip_without_the_api() -> bool {
    let there = installed("node") && peers().join("oidc-provider/node_modules/jose").exists();
    skip_unless(there, "jose (npm)")
}

pub(super) fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// An authority, and who has certificates of it.
pub(super) struct Certificates {
    authority: Authority,
    server: Pair,
    client: Pair,
    self_signed: Pair,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let authority = Authority::new();
        let (server, client) = (authority.issue("localhost"), authority.issue("svc.test"));
        Self { authority, server, client, self_signed: Pair::self_signed("self.test") }
    }

    /// Everything that servers read when they start, and never again.
    pub(super) fn write_for_servers(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        self.authority.file(directory.path(), "ca.pem");
        self.server.write(directory.path(), "server");
        self.self_signed.write(directory.path(), "self-signed");
        directory
    }

    pub(super) fn write_for_client(&self, directory: &Path, self_signed: bool) {
        self.authority.file(directory, "ca.pem");
        if self_signed { &self.self_signed } else { &self.client }.write(directory, "client");
    }
}
