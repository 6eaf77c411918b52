//! The configuration of each grant and each client authentication, the same for every server.

use std::fmt::Write as _;

use serde_json::Value;

use super::Cell;
use super::server::Certificates;
use crate::support::Setup;

/// The client that a server has for each authentication.
pub(super) fn client_of(authentication: &str) -> String {
    match authentication {
        "client_secret_basic" => "svc".to_owned(),
        "client_secret_post" => "svc-post".to_owned(),
        "client_secret_jwt" => "svc-secret-jwt".to_owned(),
        "tls_client_auth" => "svc-tls".to_owned(),
        "self_signed_tls_client_auth" => "svc-self-signed".to_owned(),
        "none" => "svc-public".to_owned(),
        other => format!("svc-{}", algorithm_of(other).expect("an algorithm")),
    }
}

/// The algorithm of `private_key_jwt ALG`.
fn algorithm_of(authentication: &str) -> Option<&str> {
    authentication.strip_prefix("private_key_jwt ")
}

/// A configuration that grows: lines of the credential, and tables after it.
pub(super) struct Configuration {
    setup: Setup,
    lines: String,
    tables: String,
}

impl Configuration {
    pub(super) fn new(setup: Setup, token_endpoint: &str) -> Self {
        Self { setup, lines: format!("token_endpoint = \"{token_endpoint}\"\n"), tables: String::new() }
    }

    /// The same where the server is found by its issuer.
    pub(super) fn discovering(setup: Setup, issuer: &str) -> Self {
        Self { setup, lines: format!("issuer = \"{issuer}\"\n"), tables: String::new() }
    }

    pub(super) fn line(mut self, key: &str, value: &str) -> Self {
        let _ = writeln!(self.lines, "{key} = {value:?}");
        self
    }

    /// A key whose value is a file with a secret.
    pub(super) fn secret(mut self, key: &str, secret: &str) -> Self {
        self.setup.secret_file(key, &format!("{secret}\n"));
        let _ = writeln!(self.lines, "{key} = {{ file = {key:?} }}");
        self
    }

    /// A JWT to be signed, as `client_assertion` or `assertion`.
    pub(super) fn signed(mut self, key: &str, pem: &str, members: &[(&str, &str)]) -> Self {
        self.setup.secret_file(&format!("{key}.pem"), pem);
        let _ = writeln!(self.tables, "[credentials.api.{key}]\nkey = {{ file = \"{key}.pem\" }}");
        for (name, value) in members {
            let _ = writeln!(self.tables, "{name} = {value:?}");
        }
        self
    }

    /// How the client authenticates, with what the server told of its keys and secrets.
    pub(super) fn authentication(self, cell: Cell, told: &Value, certificates: Option<&Certificates>) -> Self {
        let client = client_of(cell.authentication);
        let known = |kind: &str, name: &str| {
            told[kind][name].as_str().unwrap_or_else(|| panic!("no {kind} of {name} at {}", cell.server)).to_owned()
        };
        let named = self.line("client_id", &client);
        let mut configuration = match (cell.authentication, algorithm_of(cell.authentication)) {
            (_, Some(algorithm)) => named.signed(
                "client_assertion",
                &known("keys", algorithm),
                &[("algorithm", algorithm), ("key_id", &format!("kid-{algorithm}"))],
            ),
            ("client_secret_basic", _) => {
                let secret = known("secrets", &client);
                named.setup.canaries().add_basic(&client, &secret);
                named.secret("client_secret", &secret)
            }
            ("client_secret_post" | "client_secret_jwt", _) => named
                .line("client_authentication", cell.authentication)
                .secret("client_secret", &known("secrets", &client)),
            _ => named.line("client_authentication", cell.authentication),
        };
        if let Some(certificates) = certificates {
            let directory = configuration.setup.directory();
            certificates.write_for_client(directory, cell.authentication == "self_signed_tls_client_auth");
            configuration.tables.push_str("[credentials.api.tls]\nca = \"ca.pem\"\n");
            if cell.has_certificate() {
                configuration.tables.push_str("certificate = \"client.pem\"\nkey = \"client.key\"\n");
            }
            configuration.tables.push_str("[routes.api.tls]\nca = \"ca.pem\"\n");
        }
        configuration
    }

    /// The whole, with `upstream` as where requests go.
    pub(super) fn setup(self, upstream: &str) -> Setup {
        std::fs::create_dir_all(self.setup.directory().join("state")).unwrap();
        self.setup.credential_only(upstream, &self.lines).top("state_directory = \"state\"").section(&self.tables)
    }
}
