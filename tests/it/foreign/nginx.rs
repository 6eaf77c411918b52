//! nginx as an upstream: what stands in front of most APIs. Behind it is the scripted one, which looks at tokens.

use std::net::SocketAddr;
use std::process::Command;

use super::{curl, file_of_noise, noise};
use crate::support::peers::{Daemon, free_address, installed, skip_unless};
use crate::support::tls_front::Authority;
use crate::support::{Request, Setup, TokenEndpoint, Upstream, stage};

/// How its server is set up beside what is always there.
const KEEPS_ALIVE: &str = "keepalive_timeout 60s;";

struct Nginx {
    _server: Daemon,
    address: SocketAddr,
}

impl Nginx {
    /// `lines` stand in its one server, `listen` after its address.
    fn start(setup: &Setup, upstream: &Upstream, listen: &str, lines: &str) -> Self {
        let address = free_address();
        let directory = setup.directory();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String = paths.iter().map(|path| format!("{path}_temp_path temp-{path};\n")).collect();
        let text = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr warn;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n{paths}access_log off; server {{\nlisten {address} {listen};\n{lines}\n\
             add_header x-connection $connection always;\nadd_header x-protocol $server_protocol always;\n\
             client_max_body_size 64m;\n\
             location / {{ proxy_pass {}; proxy_http_version 1.1; proxy_set_header connection ''; proxy_buffering off; }}\n\
             location /unbuffered/ {{ proxy_pass {}; proxy_http_version 1.1; proxy_request_buffering off; }}\n\
             location /small-ones/ {{ client_max_body_size 1k; proxy_pass {}; }}\n\
             location /files/ {{ alias ./; }}\n}}\n}}\n",
            upstream.url(),
            upstream.url(),
            upstream.url(),
        );
        std::fs::write(directory.join("nginx.conf"), text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg("stderr").arg("-p").arg(directory).args(["-c", "nginx.conf"]);
        Self { _server: Daemon::start(&mut command, address, &directory.join("nginx.log")), address }
    }
}

/// nginx before the scripted upstream, and a setup of bearerd before nginx.
fn behind_nginx(lines: &str) -> Option<(Nginx, TokenEndpoint, Upstream, Setup)> {
    if skip_unless(installed("nginx"), "nginx") || skip_unless(installed("curl"), "curl") {
        return None;
    }
    let (endpoint, upstream, setup) = stage(300);
    let nginx = Nginx::start(&setup, &upstream, "", lines);
    let setup = setup.upstream(&format!("http://{}", nginx.address)).top("workers = 1");
    Some((nginx, endpoint, upstream, setup))
}

#[test]
fn connections_to_nginx_are_kept_and_a_revoked_token_is_healed_over_them() {
    let Some((_nginx, endpoint, upstream, setup)) = behind_nginx(KEEPS_ALIVE) else { return };
    let bearerd = setup.start_ready();
    let over = |n: usize| bearerd.get(&format!("/items/{n}")).expect(200).field("x-connection").unwrap().to_owned();
    let first = over(0);
    assert!((1..20).all(|n| over(n) == first), "a new connection though the old one was open");
    endpoint.tokens().revoke_all();
    assert_eq!(over(20), first);
    bearerd.send(&Request::post("/items", "body")).expect(200);
    assert_eq!((endpoint.count(), upstream.count()), (2, 23));
}

#[test]
fn a_connection_that_nginx_closes_meanwhile_costs_no_request() {
    // It says that it will, it says nothing and does so at once, and it does so in the middle of a series.
    for lines in ["keepalive_timeout 0;", "keepalive_timeout 1ms;", "keepalive_requests 7;"] {
        let Some((_nginx, _endpoint, upstream, setup)) = behind_nginx(lines) else { return };
        let bearerd = setup.start_ready();
        for n in 0..200 {
            bearerd.get(&format!("/items/{n}")).expect(200);
        }
        assert_eq!(upstream.count(), 200, "{lines}");
        for n in 0..100 {
            bearerd.send(&Request::new("PUT", &format!("/puts/{n}")).body("body")).expect(200);
        }
        assert!(upstream.requests().iter().all(|seen| seen.standing == crate::support::Standing::Live), "{lines}");
    }
}

#[test]
fn large_bodies_pass_whole_through_nginx() {
    let Some((_nginx, _endpoint, upstream, setup)) = behind_nginx(KEEPS_ALIVE) else { return };
    let file = file_of_noise(setup.directory(), 20 << 20);
    let bearerd = setup.start_ready();
    let url = |path: &str| format!("http://{}{path}", bearerd.address());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (status, body) = curl(&[version, &url(&format!("/files/noise-{}", 20 << 20))]);
        assert!(status == 200 && body == noise(20 << 20), "{version}: {status}, {} bytes", body.len());
    }
    let data = format!("@{}", file.display());
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    for (arguments, path) in
        [(&[][..], "/up"), (&chunked, "/up"), (&[], "/unbuffered/up"), (&chunked, "/unbuffered/up"), (&["-0"], "/up")]
    {
        let (status, told) = curl(&[arguments, &["--data-binary", &data, &url(path)]].concat());
        assert_eq!(status, 200, "{arguments:?}: {}", String::from_utf8_lossy(&told));
        let seen = upstream.requests().pop().unwrap();
        assert!(seen.body == noise(20 << 20), "{arguments:?} {path}: {} bytes came", seen.body.len());
    }
}

#[test]
fn what_nginx_says_to_a_body_that_is_too_large_is_not_lost() {
    let Some((_nginx, _endpoint, upstream, setup)) = behind_nginx(KEEPS_ALIVE) else { return };
    let file = file_of_noise(setup.directory(), 20 << 20);
    let bearerd = setup.start_ready();
    let data = format!("@{}", file.display());
    let url = format!("http://{}/small-ones/up", bearerd.address());
    for arguments in [
        &[][..],
        &["-H", "Transfer-Encoding: chunked"],
        &["-H", "Expect:"],
        &["-H", "Expect:", "-H", "Transfer-Encoding: chunked"],
        &["--http2-prior-knowledge"],
    ] {
        let (status, body) = curl(&[arguments, &["--data-binary", &data, &url]].concat());
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(status == 413 && body.contains("nginx"), "{arguments:?}: {status} {body}");
    }
    assert_eq!(upstream.count(), 0);
    bearerd.get("/items").expect(200);
}

#[test]
fn references_of_nginx_to_itself_lead_through_us_again() {
    let Some((nginx, _endpoint, _upstream, setup)) = behind_nginx("location = /old { return 301 /new; }") else {
        return;
    };
    let bearerd = setup.start_ready();
    // It makes the reference absolute, with its own address.
    let answer = bearerd.get("/old").expect(301);
    let location = answer.field("location").unwrap();
    assert_eq!(location, format!("http://{}/new", bearerd.address()), "nginx listens on {}", nginx.address);
}

#[test]
fn nginx_speaks_http2_over_tls_and_ends_its_connections_without_a_loss() {
    if skip_unless(installed("nginx"), "nginx") {
        return;
    }
    let (endpoint, upstream, setup) = stage(300);
    let authority = Authority::new();
    authority.file(setup.directory(), "ca.pem");
    authority.issue("localhost").write(setup.directory(), "server");
    // After so many requests it says GOAWAY, and that it has done nothing with those that are behind.
    let lines = "ssl_certificate server.pem; ssl_certificate_key server.key; keepalive_requests 30;";
    let nginx = Nginx::start(&setup, &upstream, "ssl http2", lines);
    let url = format!("https://localhost:{}", nginx.address.port());
    let bearerd = setup.upstream(&url).route("tls = { ca = \"ca.pem\" }").top("workers = 1").start_ready();
    for n in 0..100 {
        let answer = bearerd.send(&Request::post(&format!("/items/{n}"), "body")).expect(200);
        assert_eq!(answer.field("x-protocol"), Some("HTTP/2.0"));
    }
    endpoint.tokens().revoke_all();
    let address = bearerd.address();
    let callers: Vec<_> =
        (0..50).map(|n| std::thread::spawn(move || Request::get(&format!("/items/{n}")).send(address))).collect();
    let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let bad: Vec<_> =
        answers.iter().filter(|answer| answer.status != 200).map(|a| a.raw_head.clone() + &a.text()).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(endpoint.count(), 2);
}
