//! squid: the proxy that most offices have, which wants a login before it connects.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::peers::{Daemon, free_address, installed, skip_heavy_unless};
use crate::support::tls_front::Authority;
use crate::support::{Setup, TokenEndpoint, Upstream, stage};

const LOGIN_HELPER: &str = "/usr/lib/squid/basic_ncsa_auth";

struct Squid {
    _server: Daemon,
    address: SocketAddr,
    /// Squid gives up root's rights; what it reads and writes lies where it still can.
    directory: tempfile::TempDir,
}

impl Squid {
    /// One that lets `robot` connect to these ports.
    fn start(password: &str, ports: &[u16]) -> Self {
        let address = free_address();
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let hash = Command::new("openssl").args(["passwd", "-apr1", password]).output().expect("openssl is installed");
        std::fs::write(at("logins"), format!("robot:{}", String::from_utf8(hash.stdout).unwrap())).unwrap();
        let ports: String = ports.iter().map(|port| format!(" {port}")).collect();
        let text = format!(
            "http_port {address}\npid_filename none\ncache deny all\ncache_log stdio:{}\naccess_log stdio:{}\n\
             shutdown_lifetime 0 seconds\ncoredump_dir {}\npinger_enable off\nmax_filedescriptors 1024\n\
             auth_param basic program {LOGIN_HELPER} {}\nauth_param basic realm office\n\
             acl known proxy_auth REQUIRED\nacl goal port{ports}\nacl CONNECT method CONNECT\n\
             http_access allow CONNECT known goal\nhttp_access deny all\n",
            at("cache.log"),
            at("access.log"),
            directory.path().display(),
            at("logins"),
        );
        std::fs::write(at("squid.conf"), text).unwrap();
        let mut command = Command::new("squid");
        command.args(["-N", "-f", &at("squid.conf")]);
        let server = Daemon::start(&mut command, address, &directory.path().join("squid.log"));
        Self { _server: server, address, directory }
    }

    /// Which ways it was asked for: a line each.
    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        text.lines().filter(|line| line.contains("CONNECT")).map(str::to_owned).collect()
    }
}

fn behind_squid(
    ports: impl Fn(&TokenEndpoint, &Upstream) -> Vec<u16>,
    login: &str,
) -> Option<(Squid, TokenEndpoint, Upstream, Setup)> {
    let there = || installed("squid") && std::path::Path::new(LOGIN_HELPER).exists();
    if skip_heavy_unless(there, "squid") {
        return None;
    }
    let (endpoint, upstream, setup) = stage(300);
    let squid = Squid::start("squid-canary", &ports(&endpoint, &upstream));
    endpoint.canaries().add_basic("robot", "squid-canary");
    let line = format!("proxy = \"http://{login}@{}\"", squid.address);
    let setup = setup.route(&line).credential(&line);
    Some((squid, endpoint, upstream, setup))
}

fn both(endpoint: &TokenEndpoint, upstream: &Upstream) -> Vec<u16> {
    vec![endpoint.address().port(), upstream.address().port()]
}

#[test]
fn squid_lets_us_through_with_a_login() {
    let Some((squid, endpoint, upstream, setup)) = behind_squid(both, "robot:squid-canary") else { return };
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    let body = super::noise(5 << 20);
    bearerd.send(&crate::support::Request::post("/upload", body.clone())).expect(200);
    assert!(upstream.requests().pop().unwrap().body == body);
    // It writes down what has ended.
    bearerd.stop();
    crate::support::eventually("squid's own account", crate::support::seconds(10.0), || squid.asked().len() >= 3);
    let asked = squid.asked();
    assert!(asked.iter().all(|line| line.contains("/200") && line.contains("robot")), "{asked:#?}");
}

#[test]
fn https_goes_through_squid_unread() {
    let authority = Authority::new();
    let tls = std::cell::Cell::new(None);
    let ports = |endpoint: &TokenEndpoint, upstream: &Upstream| {
        let front = authority.front("localhost", upstream.address());
        tls.set(Some(front.port()));
        vec![endpoint.address().port(), front.port()]
    };
    let Some((_squid, _endpoint, upstream, setup)) = behind_squid(ports, "robot:squid-canary") else { return };
    authority.file(setup.directory(), "ca.pem");
    let setup = setup.upstream(&format!("https://localhost:{}", tls.get().unwrap())).route("tls = { ca = \"ca.pem\" }");
    setup.start_ready().get("/items").expect(200);
    let seen = upstream.only_request();
    assert!(!seen.head.fields.has("proxy-authorization"), "{}", seen.raw_head());
}

#[test]
fn what_squid_refuses_is_told() {
    let only_tokens = |endpoint: &TokenEndpoint, _: &Upstream| vec![endpoint.address().port()];
    let Some((_squid, _endpoint, upstream, setup)) = behind_squid(only_tokens, "robot:squid-canary") else { return };
    let text = setup.start_ready().get("/items").expect_problem(502, "U010").text();
    assert!(text.contains("403"), "{text}");
    let Some((squid, _endpoint, _upstream, setup)) = behind_squid(both, "robot:wrong") else { return };
    let bearerd = setup.start();
    bearerd.wait_for_log("T024", 5.0);
    // One wrong login, however many ask.
    for _ in 0..5 {
        bearerd.get("/items").expect_problem(503, "T024");
    }
    assert_eq!(squid.asked().iter().filter(|line| line.contains("/407")).count(), 1, "{:#?}", squid.asked());
    assert_eq!(upstream.connections(), 0);
}
