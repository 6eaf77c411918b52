//! oidc-provider (npm): every grant with every client authentication, resource indicators, discovery.

use std::sync::OnceLock;

use serde_json::json;

use super::client::{Configuration, client_of};
use super::server::{Certificates, LIFETIME, url};
use super::{Cell, KEY, Stage};
use crate::support::Setup;
use crate::support::provider::{PASSWORD, Provider};

const SCOPE: &str = "api.read";
const RESOURCE: &str = "https://api.test/items";

struct Shared {
    provider: Provider,
    certificates: Option<Certificates>,
}

/// One process without and one with TLS, for all cells.
fn shared(tls: bool) -> Option<&'static Shared> {
    static PLAIN: OnceLock<Option<Shared>> = OnceLock::new();
    static TLS: OnceLock<Option<Shared>> = OnceLock::new();
    let start = || start(tls, &[]);
    if tls { &TLS } else { &PLAIN }.get_or_init(start).as_ref()
}

/// A server of its own, with these switches.
fn start(tls: bool, switches: &[&str]) -> Option<Shared> {
    let certificates = tls.then(Certificates::new);
    let directory = certificates.as_ref().map(Certificates::write_for_servers);
    let own = directory.as_ref().map(|directory| format!("--tls={}", directory.path().display()));
    let switches: Vec<_> = switches.iter().copied().chain(own.as_deref()).collect();
    Some(Shared { provider: Provider::start_with(LIFETIME, &switches)?, certificates })
}

impl Shared {
    fn text(&self, member: &str) -> &str {
        self.provider.told()[member].as_str().unwrap()
    }

    fn api(&self) -> String {
        url(self.certificates.is_some(), self.text("resource").parse().unwrap())
    }

    fn configuration(&self) -> Configuration {
        Configuration::new(Setup::new(&self.provider.canaries), &format!("{}/token", self.text("url")))
    }

    /// Adds what the grant needs.
    fn grant(&self, configuration: Configuration, cell: Cell, resource: Option<&str>) -> Configuration {
        let client = client_of(cell.authentication);
        let configuration = match resource {
            Some(resource) => configuration.line("resource", resource),
            None => configuration,
        };
        match cell.grant {
            "client_credentials" => configuration.line("scope", SCOPE),
            "password" => configuration.line("username", "robot").secret("password", PASSWORD).line("scope", SCOPE),
            "refresh_token" => {
                let more = resource.map(|resource| format!("&resource={resource}")).unwrap_or_default();
                configuration.secret("refresh_token", &self.provider.refresh_token(&client, &more))
            }
            "jwt-bearer" => {
                let key = self.provider.told()["keys"]["RS256"].as_str().unwrap();
                let members = [("algorithm", "RS256"), ("issuer", self.text("assertion_issuer")), ("subject", "robot")];
                configuration.line("grant_type", "jwt-bearer").signed("assertion", key, &members)
            }
            "token-exchange" => configuration
                .line("grant_type", "token-exchange")
                .secret("subject_token", &self.provider.subject_token("alice"))
                .line("subject_token_type", "access_token")
                .secret("actor_token", &self.provider.subject_token("bob"))
                .line("actor_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            other => panic!("no grant {other}"),
        }
    }

    fn stage(&self, configuration: Configuration, cell: Cell, resource: Option<&str>) -> Stage {
        let told = self.provider.told();
        let configuration = configuration.authentication(cell, told, self.certificates.as_ref());
        let setup = self.grant(configuration, cell, resource).setup(&self.api());
        let subject = match cell.grant {
            "client_credentials" => None,
            "token-exchange" => Some("alice"),
            _ => Some("robot"),
        };
        Stage { setup, client: client_of(cell.authentication), subject, bound_by: cell.bound_by() }
    }
}

pub(super) fn stage(cell: Cell) -> Option<Stage> {
    let shared = shared(cell.has_certificate())?;
    Some(shared.stage(shared.configuration(), cell, None))
}

const SIGNED: Cell =
    Cell { grant: "client_credentials", authentication: "private_key_jwt ES256", server: "oidc-provider" };

/// RFC 8707: what is asked for by `resource` is the audience of a JWT (RFC 9068).
#[test]
fn tokens_for_a_resource_are_made_for_it() {
    let Some(shared) = shared(false) else { return };
    for grant in ["client_credentials", "password", "refresh_token", "jwt-bearer", "token-exchange"] {
        let cell = Cell { grant, ..SIGNED };
        let stage = shared.stage(shared.configuration(), cell, Some(RESOURCE));
        for claims in stage.verify(&stage.setup.start_ready()) {
            assert_eq!((&claims["aud"], &claims["verified"]), (&json!(RESOURCE), &json!("signature")), "{claims}");
        }
    }
}

#[test]
fn an_actor_is_named_in_the_exchanged_token() {
    let Some(shared) = shared(false) else { return };
    let cell = Cell { grant: "token-exchange", ..SIGNED };
    let stage = shared.stage(shared.configuration(), cell, None);
    for claims in stage.verify(&stage.setup.start_ready()) {
        assert_eq!(claims["act"]["sub"], "bob", "{claims}");
    }
}

#[test]
fn the_server_is_found_by_its_issuer_with_and_without_tls() {
    for authentication in ["client_secret_basic", "private_key_jwt ES256", "tls_client_auth"] {
        let cell = Cell { authentication, ..SIGNED };
        let Some(shared) = shared(cell.has_certificate()) else { return };
        let configuration = Configuration::discovering(Setup::new(&shared.provider.canaries), shared.text("url"));
        let stage = shared.stage(configuration, cell, None);
        stage.verify(&stage.setup.start_ready());
    }
}

/// RFC 8705 §3: whoever has the token alone has nothing.
#[test]
fn a_certificate_bound_token_without_its_certificate_is_rejected() {
    let Some(shared) = shared(true) else { return };
    let cell = Cell { authentication: "tls_client_auth", ..SIGNED };
    let stage = shared.stage(shared.configuration(), cell, None);
    let text = stage.setup.text();
    // The other key signs just as well, but the token is bound to the first.
    shared.certificates.as_ref().unwrap().write_for_client(stage.setup.directory(), false);
    let own = crate::support::tls_front::Pair::self_signed("other.test");
    own.write(stage.setup.directory(), "other");
    let route = "[routes.api.tls]\nca = \"ca.pem\"\n";
    assert!(text.contains(route), "{text}");
    let changed = text.replace(route, &format!("{route}certificate = \"other.pem\"\nkey = \"other.key\"\n"));
    let bearerd = stage.setup.file(&changed, &["api"]).start_ready();
    bearerd.get("/items").expect(401);
}

/// RFC 9449, with nonces that both the server and the API demand.
#[test]
fn dpop_goes_with_every_way_to_authenticate() {
    let Some(own) = start(false, &["--dpop"]) else { return };
    for grant in ["client_credentials", "refresh_token"] {
        for authentication in
            ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt ES256"]
        {
            let cell = Cell { grant, authentication, ..SIGNED };
            let stage = own.stage(own.configuration(), cell, None);
            let stage = Stage { setup: stage.setup.credential("dpop = true"), bound_by: Some(KEY), ..stage };
            stage.verify(&stage.setup.start_ready());
        }
    }
}
