//! Every way to a token, at real authorization servers that nobody here wrote.
//!
//! A cell is a grant, a client authentication and a server. What each has to show: the API verifies the first token by
//! introspection or by its signature and finds the right client in it, then rejects it, and the caller still gets its answer,
//! with another token. `docs/authorization-servers.md` is the table of all cells.

mod canaille;
mod cells;
mod client;
mod glewlwyd;
mod oidc_provider;
mod races;
mod server;

use serde_json::Value;

use crate::support::{Bearerd, Setup, eventually, seconds};

/// The thumbprint of a certificate (RFC 8705 §3.1).
const CERTIFICATE: &str = "x5t#S256";
/// The thumbprint of a key (RFC 9449 §6.1).
const KEY: &str = "jkt";

/// One combination that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    grant: &'static str,
    authentication: &'static str,
    server: &'static str,
}

/// What a server has for a cell: a bearerd's configuration, and what must be found in its tokens.
struct Stage {
    setup: Setup,
    client: String,
    /// The `sub`, where the server says it.
    subject: Option<&'static str>,
    /// What the token must be bound by: a member of `cnf` (RFC 7800).
    bound_by: Option<&'static str>,
}

impl Cell {
    #[track_caller]
    fn passes(self) {
        let stage = match self.server {
            "oidc-provider" => oidc_provider::stage(self),
            "Glewlwyd" => glewlwyd::stage(self),
            "Canaille" => canaille::stage(self),
            other => panic!("no server {other}"),
        };
        if let Some(stage) = stage {
            let bearerd = stage.setup.start_ready();
            stage.verify(&bearerd);
        }
    }

    fn has_certificate(self) -> bool {
        self.authentication.ends_with("tls_client_auth")
    }

    fn bound_by(self) -> Option<&'static str> {
        self.has_certificate().then_some(CERTIFICATE)
    }
}

impl Stage {
    /// The first token, then another one because the API rejects it.
    #[track_caller]
    fn verify(&self, bearerd: &Bearerd) -> [Value; 2] {
        let first = self.judge(bearerd.get("/items").expect(200).json());
        // Canaille makes the same token twice within a second.
        let made = second_of(&first);
        eventually("another second", seconds(5.0), || unix_time() > made);
        // The API is everybody's; what it rejects is of this bearerd alone.
        let once = format!("/spend/{}", bearerd.pid());
        let second = self.judge(bearerd.get(&once).expect(200).json());
        assert_ne!(first["token"], second["token"], "the API rejected the first one");
        [first, second]
    }

    /// Holds what the API found in a token to what must be there.
    #[track_caller]
    fn judge(&self, claims: Value) -> Value {
        assert_eq!(claims["client_id"], self.client, "{claims}");
        assert!(["introspection", "signature"].contains(&claims["verified"].as_str().unwrap()), "{claims}");
        if let Some(subject) = self.subject {
            assert_eq!(claims["sub"], subject, "{claims}");
        }
        // The API has compared it with what it was shown.
        for member in [CERTIFICATE, KEY] {
            assert_eq!(claims["cnf"][member].is_string(), self.bound_by == Some(member), "{claims}");
        }
        claims
    }
}

/// The second in which a token was made, by the server's own word.
fn second_of(claims: &Value) -> u64 {
    claims["iat"].as_f64().unwrap_or_default() as u64
}

fn unix_time() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
