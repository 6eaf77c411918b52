//! Canaille (PyPI): an identity server on Authlib.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::client::{Configuration, client_of};
use super::server::{LIFETIME, PASSWORD, Server, peers, skip_without_the_api};
use super::{Cell, Stage};
use crate::support::Setup;
use crate::support::canaries::Canaries;
use crate::support::peers::skip_unless;

const SCOPE: &str = "profile";

fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let start = || {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/canaille/bin/python3");
        if skip_without_the_api() || skip_unless(python.exists(), "Canaille (PyPI)") {
            return None;
        }
        let mut command = Command::new(python);
        command.arg(peers().join("canaille/server.py"));
        Some(Server::start(command, LIFETIME, None, |told| {
            let text = |name: &str| told[name].as_str().unwrap();
            let secret = told["secrets"]["api"].as_str().unwrap();
            vec![
                format!("--introspection={}", text("introspection")),
                "--client=api".to_owned(),
                format!("--secret={secret}"),
            ]
        }))
    };
    SERVER.get_or_init(start).as_ref()
}

fn grant(server: &Server, configuration: Configuration, cell: Cell) -> Configuration {
    let client = client_of(cell.authentication);
    let told = server.told();
    match cell.grant {
        "client_credentials" => configuration.line("scope", SCOPE),
        "password" => {
            configuration.line("username", "robot-password").secret("password", PASSWORD).line("scope", SCOPE)
        }
        "refresh_token" => {
            configuration.secret("refresh_token", told["refresh_tokens"][&client].as_str().expect("its token"))
        }
        "jwt-bearer" => configuration.line("grant_type", "jwt-bearer").line("scope", SCOPE).signed(
            "assertion",
            told["keys"]["server"].as_str().unwrap(),
            &[("algorithm", "RS256"), ("issuer", &client), ("subject", "robot-jwt-bearer")],
        ),
        other => panic!("no grant {other}"),
    }
}

pub(super) fn stage(cell: Cell) -> Option<Stage> {
    let server = shared()?;
    let configuration = Configuration::new(Setup::new(&Canaries::default()), server.text("token"));
    let configuration = configuration.authentication(cell, server.told(), None);
    let setup = grant(server, configuration, cell).setup(server.api());
    let subject = match cell.grant {
        "password" => Some("robot-password"),
        "refresh_token" => Some("robot-refresh_token"),
        "jwt-bearer" => Some("robot-jwt-bearer"),
        _ => None,
    };
    Some(Stage { setup, client: client_of(cell.authentication), subject, bound_by: None })
}

#[test]
fn the_server_is_found_by_its_issuer() {
    let Some(server) = shared() else { return };
    let cell = Cell { grant: "client_credentials", authentication: "client_secret_basic", server: "Canaille" };
    let configuration = Configuration::discovering(Setup::new(&Canaries::default()), server.text("issuer"));
    let configuration = configuration.authentication(cell, server.told(), None);
    let setup = grant(server, configuration, cell).setup(server.api());
    let stage = Stage { setup, client: "svc".to_owned(), subject: None, bound_by: None };
    stage.verify(&stage.setup.start_ready());
}
