//! A proxy that nobody here wrote.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::support::peers::{installed, skip_unless};
use crate::support::{Setup, TokenEndpoint, Upstream, eventually, seconds, stage};

/// A tinyproxy that lets `robot` connect to these ports.
struct Tinyproxy {
    child: Child,
    address: SocketAddr,
}

impl Tinyproxy {
    fn start(setup: &Setup, password: &str, ports: &[u16]) -> Self {
        // It cannot choose a port by itself and say which.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let ports: String = ports.iter().map(|port| format!("ConnectPort {port}\n")).collect();
        let text = format!(
            "Port {}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nBasicAuth robot {password}\n{ports}LogLevel Error\n",
            free.port()
        );
        let path = setup.directory().join("tinyproxy.conf");
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new("tinyproxy");
        command.args(["-d", "-c"]).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let proxy = Self { child: command.spawn().expect("tinyproxy starts"), address: free };
        eventually("tinyproxy listens", seconds(10.0), || std::net::TcpStream::connect(free).is_ok());
        proxy
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn behind_tinyproxy(
    ports: impl Fn(&TokenEndpoint, &Upstream) -> Vec<u16>,
    login: &str,
) -> Option<(Tinyproxy, TokenEndpoint, Upstream, Setup)> {
    if skip_unless(installed("tinyproxy"), "tinyproxy") {
        return None;
    }
    let (endpoint, upstream, setup) = stage(300);
    let proxy = Tinyproxy::start(&setup, "tiny-canary", &ports(&endpoint, &upstream));
    endpoint.canaries().add_basic("robot", "tiny-canary");
    let line = format!("proxy = \"http://{login}@{}\"", proxy.address);
    let setup = setup.route(&line).credential(&line);
    Some((proxy, endpoint, upstream, setup))
}

#[test]
fn tinyproxy_lets_us_through_with_a_login() {
    let ports =
        |endpoint: &TokenEndpoint, upstream: &Upstream| vec![endpoint.address().port(), upstream.address().port()];
    let Some((_proxy, endpoint, upstream, setup)) = behind_tinyproxy(ports, "robot:tiny-canary") else { return };
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    assert!(upstream.count() >= 3);
}

#[test]
fn tinyproxys_refusals_are_told() {
    let only_tokens = |endpoint: &TokenEndpoint, _: &Upstream| vec![endpoint.address().port()];
    let Some((_proxy, _endpoint, upstream, setup)) = behind_tinyproxy(only_tokens, "robot:tiny-canary") else { return };
    let text = setup.start_ready().get("/items").expect_problem(502, "U010").text();
    assert!(text.contains("403 Forbidden"), "{text}");
    let Some((_proxy, _endpoint, _upstream, setup)) = behind_tinyproxy(only_tokens, "robot:wrong") else { return };
    setup.start().wait_for_log("T024", 5.0);
    assert_eq!(upstream.connections(), 0);
}
