//! nghttp2's client and server: another implementation of HTTP/2 than hyper's, Node's and curl's libraries in their use here.

use std::net::SocketAddr;
use std::process::Command;

use super::{before, curl, file_of_noise, noise};
use crate::support::peers::{Daemon, free_address, installed, skip_unless};
use crate::support::tls_front::Authority;
use crate::support::{Bearerd, Setup, TokenEndpoint, stage};

/// What nghttp prints: each exchange with its fields.
#[track_caller]
fn nghttp(arguments: &[&str], urls: &[&str]) -> String {
    let output =
        Command::new("nghttp").args(["-v", "--no-dep", "-t", "30"]).args(arguments).args(urls).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    told
}

/// How many answers of this status nghttp saw.
fn answers(told: &str, status: u16) -> usize {
    told.matches(&format!(":status: {status}\n")).count()
}

/// How many connections spoke HTTP/2 to nghttpd: each begins with settings.
fn connections(printed: &str) -> usize {
    printed.lines().filter(|line| line.contains("recv SETTINGS frame") && line.contains("flags=0x00")).count()
}

fn missing() -> bool {
    skip_unless(installed("nghttp"), "nghttp") || skip_unless(installed("curl"), "curl")
}

/// nghttpd on a free port, and bearerd in front of it.
fn nghttpd(arguments: &[&str], make: impl FnOnce(&str, Setup) -> Setup) -> (Daemon, TokenEndpoint, Bearerd) {
    let address = free_address();
    let (endpoint, setup) = before("http://unused.example");
    let directory = setup.directory().to_owned();
    let mut command = Command::new("nghttpd");
    command.args(["-v", "-a", "127.0.0.1", "-d", "."]).args(arguments).current_dir(&directory);
    command.arg(address.port().to_string());
    if arguments.contains(&"--no-tls") {
        std::fs::write(directory.join("small"), "small\n").unwrap();
    } else {
        command.args(["server.key", "server.pem"]);
    }
    let setup = make(&address.to_string(), setup);
    let server = Daemon::start(&mut command, address, &directory.join("nghttpd.log"));
    let bearerd = setup.start_ready();
    (server, endpoint, bearerd)
}

fn by_prior_knowledge(arguments: &[&str]) -> (Daemon, TokenEndpoint, Bearerd) {
    let make = |address: &str, setup: Setup| {
        setup.upstream(&format!("http://{address}")).route("upstream_protocol = \"h2\"").top("workers = 1")
    };
    nghttpd(&[arguments, &["--no-tls"]].concat(), make)
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

#[test]
fn nghttp_is_served_also_where_the_token_was_revoked() {
    if missing() {
        return;
    }
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let address = bearerd.address();
    let many: Vec<_> = (0..60).map(|n| url(address, &format!("/items/{n}"))).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    // All on one connection, side by side.
    let told = nghttp(&["-H", "authorization: Bearer mine"], &many);
    assert_eq!((answers(&told, 200), answers(&told, 401)), (60, 0), "{told}");
    let seen = upstream.requests();
    assert!(seen.iter().all(|seen| seen.head.fields.all("authorization").len() == 1));
    assert_eq!(endpoint.count(), 2, "one fetch for all of them");
}

#[test]
fn nghttp_uploads_with_trailers_padding_and_expectations() {
    if missing() {
        return;
    }
    let (_endpoint, upstream, setup) = stage(300);
    let file = file_of_noise(setup.directory(), 3 << 20);
    let bearerd = setup.start_ready();
    let url = url(bearerd.address(), "/upload");
    let data = format!("--data={}", file.display());
    // Beside a Content-Length, which HTTP/1 keeps, there is no room for trailers (RFC 9112 §7.1.2).
    for arguments in [&["--trailer=x-sum: 7", "--no-content-length"][..], &["--padding=200"], &["--expect-continue"]] {
        let told = nghttp(&[&[&*data], arguments].concat(), &[&url]);
        assert_eq!(answers(&told, 200), 1, "{arguments:?}: {told}");
        let seen = upstream.requests().pop().unwrap();
        assert!(seen.body == noise(3 << 20), "{arguments:?}: {} bytes came", seen.body.len());
        assert_eq!(seen.trailers.first("x-sum").is_some(), arguments.len() == 2, "{arguments:?}");
    }
    assert_eq!(upstream.count(), 3);
}

#[test]
fn nghttp_is_refused_where_any_caller_would_be() {
    if missing() {
        return;
    }
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let url = url(bearerd.address(), "/items");
    let check = |field: &str, status: u16, code: &str| {
        let told = nghttp(&["-H", field], &[&url]);
        assert!(answers(&told, status) == 1 && told.contains(code), "{field}: {told}");
    };
    check(":authority: evil.example", 421, "C003");
    check("origin: https://evil.example", 403, "C002");
    check(":method: TRACE", 405, "C004");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn nghttpd_is_an_upstream_by_prior_knowledge() {
    if missing() {
        return;
    }
    let (server, _endpoint, bearerd) = by_prior_knowledge(&[]);
    let told = nghttp(&[], &[&url(bearerd.address(), "/small")]);
    assert!(answers(&told, 200) == 1 && told.contains("small\n"), "{told}");
    bearerd.get("/small").expect(200);
    bearerd.get("/nothing").expect(404);
    let printed = server.printed();
    assert_eq!(printed.matches("sensitive) authorization: Bearer ").count(), 3, "{printed}");
    assert!(printed.contains(":scheme: http\n"), "{printed}");
    assert_eq!(connections(&printed), 1, "{printed}");
}

#[test]
fn large_bodies_pass_whole_from_and_to_nghttpd() {
    if missing() {
        return;
    }
    let (_server, _endpoint, bearerd) = by_prior_knowledge(&["--echo-upload", "--trailer=x-sum: 7"]);
    let directory = tempfile::tempdir().unwrap();
    let file = file_of_noise(directory.path(), 20 << 20);
    let data = format!("@{}", file.display());
    let url = url(bearerd.address(), "/echo");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (status, body) = curl(&[version, "--data-binary", &data, &url]);
        assert!(status == 200 && body == noise(20 << 20), "{version}: {status}, {} bytes came back", body.len());
    }
    // Its trailers stand behind a body of known length, which over HTTP/1 leaves no room for them.
    let told = nghttp(&[&format!("--data={}", file.display())], &[&url]);
    assert!(answers(&told, 200) == 1 && told.contains(" x-sum: 7\n"), "the trailers are lost");
}

#[test]
fn nghttpd_behind_tls_is_met_by_alpn() {
    if missing() {
        return;
    }
    let authority = Authority::new();
    let make = |address: &str, setup: Setup| {
        authority.file(setup.directory(), "ca.pem");
        authority.issue("localhost").write(setup.directory(), "server");
        std::fs::write(setup.directory().join("small"), "small\n").unwrap();
        let port = address.rsplit(':').next().unwrap();
        setup.upstream(&format!("https://localhost:{port}")).route("tls = { ca = \"ca.pem\" }")
    };
    let (server, _endpoint, bearerd) = nghttpd(&[], make);
    assert_eq!(bearerd.get("/small").expect(200).text(), "small\n");
    let printed = server.printed();
    assert!(printed.contains("h2") && printed.contains("authorization: Bearer "), "{printed}");
}
