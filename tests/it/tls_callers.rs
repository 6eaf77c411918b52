//! https towards the callers, and the certificates that they must show.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::support::peers::{installed, skip_unless};
use crate::support::tls_front::Authority;
use crate::support::{Bearerd, Request, Setup, TokenEndpoint, Upstream, eventually, seconds, stage};

/// A bearerd that shows callers a certificate of `authority` for localhost.
fn secure(authority: &Authority) -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    authority.file(setup.directory(), "ca.pem");
    authority.issue("localhost").write(setup.directory(), "server");
    let setup = setup.section("[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"");
    (endpoint, upstream, setup)
}

/// The same, which lets in only callers with a certificate of the same authority.
fn mutual(authority: &Authority, callers: &str) -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = secure(authority);
    (endpoint, upstream, setup.section(&format!("client_ca = \"ca.pem\"\n[callers]\n{callers}")))
}

fn url(bearerd: &Bearerd, path: &str) -> String {
    format!("https://localhost:{}{path}", bearerd.address().port())
}

/// What curl says in the setup's directory, and its exit code.
fn curl(setup: &Setup, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--noproxy", "*", "-m", "20", "--cacert", "ca.pem"]).args(arguments);
    let output = command.current_dir(setup.directory()).output().expect("curl is installed");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), told)
}

#[track_caller]
fn curl_gets(setup: &Setup, arguments: &[&str], beginning: &str) {
    let (code, told) = curl(setup, arguments);
    assert!(code == 0 && told.starts_with(beginning), "{arguments:?}: {code} {told}");
}

/// curl, whose connection ends before there is an answer.
#[track_caller]
fn curl_fails(setup: &Setup, arguments: &[&str]) -> String {
    let (code, told) = curl(setup, arguments);
    assert!(code != 0 && !told.contains("HTTP/1"), "{arguments:?}: {code} {told}");
    told
}

#[track_caller]
fn check_failed_handshakes(bearerd: &Bearerd, wanted: f64) {
    let count = || bearerd.metric("bearerd_refused_total", &[("reason", "C015")]).expect("exists from the start");
    eventually(&format!("{wanted} failed handshakes"), seconds(2.0), || count() >= wanted);
    assert_eq!(count(), wanted);
}

#[test]
fn curl_is_served_over_every_version_of_tls_and_of_http() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (endpoint, upstream, setup) = secure(&Authority::new());
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let url = url(&bearerd, "/items");
    curl_gets(&setup, &["--tls-max", "1.2", &url], "HTTP/2 200");
    curl_gets(&setup, &["--tlsv1.3", &url], "HTTP/2 200");
    curl_gets(&setup, &["--http1.1", &url], "HTTP/1.1 200");
    curl_gets(&setup, &["-0", &url], "HTTP/1.");
    curl_gets(&setup, &["--no-alpn", &url], "HTTP/1.1 200");
    curl_gets(&setup, &["--http2", &url], "HTTP/2 200");
    curl_gets(&setup, &["--http2-prior-knowledge", &url], "HTTP/2 200");
    check_failed_handshakes(&bearerd, 0.0);
    assert!(upstream.requests().iter().all(|seen| !seen.head.fields.has("x-forwarded-proto")));
    // Health and metrics stay plain.
    bearerd.admin_get("/readyz").expect(200);
    assert!(bearerd.log_with("https://127.0.0.1:").len() == 1, "the line that says what goes where");
}

#[test]
fn references_to_the_upstream_come_back_as_https() {
    let authority = Authority::new();
    let (_endpoint, upstream, setup) = secure(&authority);
    let bearerd = setup.start_ready();
    let tunnel = authority.tunnel(bearerd.address(), None);
    let location = format!("{}/next", upstream.url());
    upstream.on("/moved", move |exchange| exchange.answer(302, &[("Location", &location)], ""));
    let answer = Request::get("/moved").send(tunnel).expect(302);
    assert_eq!(answer.field("location"), Some(format!("https://{tunnel}/next").as_str()));
}

#[test]
fn an_absolute_target_must_have_the_scheme_of_the_listener() {
    let authority = Authority::new();
    let (_endpoint, _upstream, setup) = secure(&authority);
    let bearerd = setup.start_ready();
    let tunnel = authority.tunnel(bearerd.address(), None);
    Request::get(&format!("https://{tunnel}/items")).send(tunnel).expect(200);
    Request::get(&format!("http://{tunnel}/items")).send(tunnel).expect_problem(400, "C005");
}

#[test]
fn bodies_pass_whole_in_both_directions() {
    let authority = Authority::new();
    let (_endpoint, upstream, setup) = secure(&authority);
    let bearerd = setup.start_ready();
    let tunnel = authority.tunnel(bearerd.address(), None);
    upstream.on("/echo", |exchange| {
        let body = exchange.read_body()?;
        exchange.answer(200, &[], body)
    });
    let body: Vec<u8> = (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let answer = Request::post("/echo", body.clone()).send(tunnel).expect(200);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}

#[test]
fn what_is_not_tls_1_2_or_later_gets_no_further_than_the_handshake() {
    if skip_unless(installed("openssl"), "openssl") {
        return;
    }
    let (_endpoint, upstream, setup) = secure(&Authority::new());
    let bearerd = setup.start_ready();
    let address = bearerd.address();
    for version in ["-tls1", "-tls1_1"] {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &address.to_string(), version, "-cipher", "DEFAULT@SECLEVEL=0"])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl is installed");
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && told.contains("SSL alert number"), "{version}: {told}");
    }
    let answer = bearerd.get("/items").expect_problem(400, "C015");
    assert!(answer.text().contains("https://"), "{}", answer.text());
    Request::post("/items", vec![b'x'; 100_000]).send(address).expect_problem(400, "C015");
    let mut noise = TcpStream::connect(address).unwrap();
    noise.write_all(b"\x00\x01\x02\x03\x04\x05\x06\x07").unwrap();
    let mut answer = Vec::new();
    let _ = noise.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    check_failed_handshakes(&bearerd, 5.0);
    let line = bearerd.log_with("C015").join("\n");
    assert!(line.contains("no TLS version"), "{line}");
    assert_eq!(bearerd.log_with("C015").len(), 1, "the others are left unsaid for a while");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_handshake_that_takes_too_long_is_ended_and_one_that_never_begins_is_no_event() {
    let (_endpoint, _upstream, setup) = secure(&Authority::new());
    let bearerd = setup.section("[timeouts]\nrequest_head = \"1s\"").start_ready();
    drop(TcpStream::connect(bearerd.address()).unwrap());
    let check = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(bearerd.address()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.set_read_timeout(Some(seconds(5.0))).unwrap();
        let start = crate::support::now();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "{bytes:?}");
        assert!(start.elapsed() > seconds(0.8) && start.elapsed() < seconds(4.0), "{:?}", start.elapsed());
    };
    check(b"");
    // The beginning of a ClientHello.
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    check_failed_handshakes(&bearerd, 2.0);
}

#[test]
fn without_the_right_certificate_nobody_is_let_in() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (authority, other) = (Authority::new(), Authority::new());
    let (_endpoint, upstream, setup) = mutual(&authority, "");
    let bearerd = setup.start_ready();
    let url = url(&bearerd, "/items");
    authority.issue("app.example").write(setup.directory(), "app");
    authority.issue_until("app.example", 2020).write(setup.directory(), "old");
    other.issue("app.example").write(setup.directory(), "foreign");
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<_> = version.split('=').collect();
        let with = |more: &[&'static str]| [&version[..], more, &[&url]].concat();
        curl_fails(&setup, &with(&[]));
        curl_fails(&setup, &with(&["--cert", "old.pem", "--key", "old.key"]));
        curl_fails(&setup, &with(&["--cert", "foreign.pem", "--key", "foreign.key"]));
    }
    assert_eq!(upstream.count(), 0);
    check_failed_handshakes(&bearerd, 6.0);
    assert!(bearerd.log_with("C015")[0].contains("the caller showed no certificate"), "{:?}", bearerd.log_with("C015"));
    let own = ["--cert", "app.pem", "--key", "app.key", &url];
    curl_gets(&setup, &own, "HTTP/2 200");
    // A page that rebinds a name has no certificate, so that Host proves nothing more.
    curl_gets(&setup, &[&["-H", "Host: anything.example"], &own[..]].concat(), "HTTP/2 200");
    // But a browser that has one may be used by a page of another site.
    curl_gets(&setup, &[&["-H", "Origin: https://evil.example"], &own[..]].concat(), "HTTP/2 403");
}

#[test]
fn only_certificates_with_an_allowed_name_are_let_in() {
    let authority = Authority::new();
    let names = "client_names = [\"App.example\", \"spiffe://cluster.local/ns/a\"]";
    let (_endpoint, upstream, setup) = mutual(&authority, names);
    let bearerd = setup.start_ready();
    let send = |name: &str| {
        let tunnel = authority.tunnel(bearerd.address(), Some(&authority.issue(name)));
        Request::get("/items").send(tunnel)
    };
    for name in ["app.example", "spiffe://cluster.local/ns/a"] {
        send(name).expect(200);
    }
    let served = upstream.count();
    for name in ["other.example", "sub.app.example", "*.example", "spiffe://cluster.local/ns/b"] {
        let answer = send(name).expect_problem(403, "C006");
        assert!(answer.text().contains(&format!("client_names = [\\\"{name}\\\"]")), "{}", answer.text());
    }
    assert_eq!(upstream.count(), served);
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C006")]), Some(4.0));
}

#[test]
fn certificates_are_rule_enough_to_listen_beyond_loopback() {
    let authority = Authority::new();
    let (_endpoint, _upstream, setup) = mutual(&authority, "");
    let bearerd = setup.top("listen = \"0.0.0.0:0\"").start_ready();
    let address = SocketAddr::from(([127, 0, 0, 1], bearerd.address().port()));
    let tunnel = authority.tunnel(address, Some(&authority.issue("app.example")));
    Request::get("/items").send(tunnel).expect(200);
    assert!(Request::get("/items").try_send(authority.tunnel(address, None)).is_err());
    // An address that is written counts too.
    let (_endpoint, _upstream, setup) = mutual(&authority, "from = [\"192.0.2.0/24\"]");
    let bearerd = setup.top("listen = \"0.0.0.0:0\"").start_ready();
    let address = SocketAddr::from(([127, 0, 0, 1], bearerd.address().port()));
    let tunnel = authority.tunnel(address, Some(&authority.issue("app.example")));
    Request::get("/items").send(tunnel).expect_problem(403, "C006");
}

#[test]
fn keep_alive_and_draining_work_over_tls_too() {
    let authority = Authority::new();
    let (_endpoint, upstream, setup) = secure(&authority);
    let bearerd = setup.start_ready();
    let tunnel = authority.tunnel(bearerd.address(), None);
    upstream.on("/slow", |exchange| {
        crate::support::pause(seconds(1.0));
        exchange.answer(200, &[], "done")
    });
    let mut wire = crate::support::wire::Wire::connect(tunnel).unwrap();
    for path in ["/items", "/items", "/slow"] {
        wire.send(Request::get(path).bytes(tunnel)).unwrap();
        if path == "/slow" {
            eventually("it is under way", seconds(5.0), || upstream.requests_for("/slow").len() == 1);
            bearerd.signal(rustix::process::Signal::TERM);
        }
        let answer = crate::support::client::read_response(&mut wire, "GET").unwrap();
        assert_eq!(answer.status, 200);
    }
    assert!(wire.closes_within(seconds(5.0)));
}
