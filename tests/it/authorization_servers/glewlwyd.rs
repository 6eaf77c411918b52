//! Glewlwyd (Debian): a server in C whose access tokens are JWTs.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use super::client::{Configuration, client_of};
use super::server::{Certificates, LIFETIME, PASSWORD, Server, peers, skip_without_the_api};
use super::{Cell, KEY, Stage};
use crate::support::canaries::Canaries;
use crate::support::client::Load;
use crate::support::peers::{installed, skip_unless, venv_python};
use crate::support::{Bearerd, Request, Setup, eventually, seconds};

const SCOPE: &str = "api.read";
const RESOURCE: &str = "https://api.test/items";

struct Shared {
    server: Server,
    certificates: Option<Certificates>,
}

fn shared(tls: bool) -> Option<&'static Shared> {
    static PLAIN: OnceLock<Option<Shared>> = OnceLock::new();
    static TLS: OnceLock<Option<Shared>> = OnceLock::new();
    let start = || start(tls, LIFETIME);
    if tls { &TLS } else { &PLAIN }.get_or_init(start).as_ref()
}

/// A server of its own, for what may be done to it only once.
fn start(tls: bool, lifetime: u64) -> Option<Shared> {
    if skip_without_the_api() || skip_unless(installed("glewlwyd"), "glewlwyd (Debian)") {
        return None;
    }
    let certificates = tls.then(Certificates::new);
    let mut command = Command::new(venv_python());
    command.arg(peers().join("glewlwyd.py"));
    let server = Server::start(command, lifetime, certificates.as_ref(), |told| {
        ["jwks", "issuer"].map(|name| format!("--{name}={}", told[name].as_str().unwrap())).to_vec()
    });
    Some(Shared { server, certificates })
}

impl Shared {
    fn stage(&self, configuration: Configuration, cell: Cell) -> Stage {
        let client = client_of(cell.authentication);
        let told = self.server.told();
        let configuration = configuration.authentication(cell, told, self.certificates.as_ref());
        // It takes id and secret as they are, without decoding what RFC 6749 §2.3.1 encodes.
        let configuration = match cell.authentication {
            "client_secret_basic" => configuration.line("basic_encoding", "raw"),
            _ => configuration,
        };
        let configuration = match cell.grant {
            "client_credentials" => configuration.line("scope", SCOPE),
            "password" => configuration.line("username", "robot").secret("password", PASSWORD).line("scope", SCOPE),
            "refresh_token" => {
                configuration.secret("refresh_token", told["refresh_tokens"][&client].as_str().expect("its token"))
            }
            other => panic!("no grant {other}"),
        };
        // Its `sub` is a name of its own making for each user.
        let setup = configuration.setup(self.server.api());
        Stage { setup, client, subject: None, bound_by: cell.bound_by() }
    }

    fn configuration(&self) -> Configuration {
        Configuration::new(Setup::new(&Canaries::default()), self.server.text("token"))
    }
}

pub(super) fn stage(cell: Cell) -> Option<Stage> {
    let shared = shared(cell.has_certificate())?;
    Some(shared.stage(shared.configuration(), cell))
}

const SIGNED: Cell = Cell { grant: "client_credentials", authentication: "private_key_jwt ES256", server: "Glewlwyd" };

#[test]
fn tokens_for_a_resource_are_made_for_it() {
    let Some(shared) = shared(false) else { return };
    let stage = shared.stage(shared.configuration().line("resource", RESOURCE), SIGNED);
    for claims in stage.verify(&stage.setup.start_ready()) {
        assert_eq!(claims["aud"], json!(RESOURCE), "{claims}");
    }
}

/// Its issuer has a path: `/api/oidc`.
#[test]
fn the_server_is_found_by_its_issuer() {
    let Some(shared) = shared(false) else { return };
    let configuration = Configuration::discovering(Setup::new(&Canaries::default()), shared.server.text("issuer"));
    let stage = shared.stage(configuration, SIGNED);
    stage.verify(&stage.setup.start_ready());
}

/// It says 400 and nothing else, and ends the whole chain.
#[test]
fn a_refresh_token_that_comes_twice_is_refused_without_a_word_and_must_be_given_anew() {
    let Some(own) = start(false, LIFETIME) else { return };
    let cell = Cell { grant: "refresh_token", authentication: "client_secret_post", ..SIGNED };
    let stage = own.stage(own.configuration(), cell);
    let bearerd = stage.setup.start_ready();
    bearerd.get("/items").expect(200);
    bearerd.stop();
    // As where state_directory is not kept over a restart.
    std::fs::remove_file(stage.setup.directory().join("state/refresh-token-api")).unwrap();
    let bearerd = stage.setup.start();
    bearerd.wait_for_log("T025", 10.0);
    bearerd.get("/items").expect_problem(503, "T025");
}

#[test]
fn four_processes_share_a_refresh_token_that_works_once() {
    let Some(own) = start(false, 4) else { return };
    let cell = Cell { grant: "refresh_token", ..SIGNED };
    let stage = own.stage(own.configuration(), cell);
    let setup = stage.setup.credential("refresh = { early = \"50%\" }");
    let mut bearerds: Vec<_> = (0..4).map(|_| setup.spawn()).collect();
    bearerds.iter_mut().for_each(Bearerd::wait_until_it_listens);
    for bearerd in &bearerds {
        bearerd.wait_ready(30.0);
    }
    let loads: Vec<_> = bearerds
        .iter()
        .map(|bearerd| Load::start(bearerd.address(), 1, seconds(0.05), Request::get("/items")))
        .collect();
    let sum = |outcome: &str| bearerds.iter().map(|bearerd| bearerd.token_requests(outcome)).sum::<f64>();
    eventually("the renewals", seconds(60.0), || sum("success") >= 24.0);
    loads.into_iter().for_each(|load| load.stop().expect_all_ok());
    assert_eq!(["refused", "permanent", "transient"].map(sum), [0.0; 3]);
}

#[test]
fn dpop_goes_with_every_way_to_authenticate() {
    let Some(shared) = shared(false) else { return };
    for authentication in ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt ES256"] {
        let stage = shared.stage(shared.configuration(), Cell { authentication, ..SIGNED });
        let stage = Stage { setup: stage.setup.credential("dpop = true"), bound_by: Some(KEY), ..stage };
        stage.verify(&stage.setup.start_ready());
    }
}
