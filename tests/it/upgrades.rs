//! Connections that are changed to another protocol: WebSocket, and what else a route allows.

use std::net::SocketAddr;
use std::process::Command;

use rustix::process::Signal;

use crate::support::client::{read_response, read_response_head};
use crate::support::peers::{has_python_package, skip_unless, venv_python};
use crate::support::upstream::Exchange;
use crate::support::wire::Wire;
use crate::support::{After, Bearerd, Request, Setup, TokenEndpoint, Upstream, eventually, seconds, stage, throughout};

fn asking_for(protocol: &str, target: &str) -> Request {
    Request::get(target).field("Connection", "keep-alive, Upgrade").field("Upgrade", protocol)
}

/// Opens a connection and sends a request on it.
fn open(address: SocketAddr, request: &Request) -> Wire {
    let wire = Wire::connect(address).unwrap();
    wire.send(request.bytes(address)).unwrap();
    wire
}

/// Agrees and sends back whatever comes, until the other end has ended; 401 without a live token.
fn echo(exchange: &mut Exchange<'_>) -> std::io::Result<After> {
    if !exchange.token_is_live() {
        return exchange.deny();
    }
    let protocol = exchange.head.fields.first("upgrade").unwrap_or_default().to_owned();
    // The greeting comes in the same packet as the head.
    let head =
        format!("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nX-From: upstream\r\n\r\nhello");
    exchange.wire.send(head)?;
    loop {
        let came = exchange.wire.some()?;
        if came.is_empty() {
            return Ok(After::Close);
        }
        exchange.wire.send(came)?;
    }
}

fn echoing() -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/echo", echo);
    (endpoint, upstream, setup)
}

#[track_caller]
fn converse(wire: &mut Wire, said: &str) {
    wire.send(said).unwrap();
    assert_eq!(String::from_utf8(wire.exactly(said.len()).unwrap()).unwrap(), said);
}

#[track_caller]
fn expect_101(wire: &mut Wire, protocol: &str) {
    let response = read_response_head(wire).unwrap().expect(101);
    assert_eq!(response.field("upgrade"), Some(protocol), "{}", response.raw_head);
    assert_eq!(response.fields.all("connection"), ["upgrade"], "{}", response.raw_head);
    assert_eq!(response.field("x-from"), Some("upstream"));
    assert_eq!(wire.exactly(5).unwrap(), b"hello");
}

fn in_flight(bearerd: &Bearerd) -> Option<f64> {
    bearerd.metric("bearerd_requests_in_flight", &[])
}

/// RFC 9110 §15.5.22: without the field nobody would know what to change to.
#[test]
fn what_the_upstream_requires_is_told() {
    let (_endpoint, upstream, setup) = stage(300);
    for (path, status) in [("/required", 426), ("/offered", 200)] {
        upstream.on(path, move |exchange| {
            let fields = [("Connection", "Upgrade, x-hop"), ("Upgrade", "HTTP/3.0"), ("X-Hop", "1")];
            exchange.answer(status, &[&fields[..], &[("Upgrade", "TLS/1.3")]].concat(), "")
        });
    }
    let bearerd = setup.start_ready();
    let required = bearerd.get("/required").expect(426);
    assert_eq!(required.fields.all("upgrade"), ["HTTP/3.0", "TLS/1.3"], "{}", required.raw_head);
    assert_eq!(required.fields.all("connection"), ["upgrade"], "{}", required.raw_head);
    assert!(!required.fields.has("x-hop"));
    assert!(!bearerd.get("/offered").expect(200).fields.has("upgrade"));
}

#[test]
fn bytes_pass_both_ways_after_a_101() {
    let (_endpoint, upstream, setup) = echoing();
    let bearerd = setup.start_ready();
    let mut wire = open(bearerd.address(), &asking_for("websocket", "/echo").field("Sec-WebSocket-Version", "13"));
    expect_101(&mut wire, "websocket");
    for n in 0..20 {
        converse(&mut wire, &format!("message {n}\r\n\r\nGET / HTTP/1.1\r\n"));
    }
    let seen = upstream.only_request();
    assert_eq!(seen.head.fields.all("upgrade"), ["websocket"]);
    assert_eq!(seen.head.fields.all("connection"), ["Upgrade"]);
    assert_eq!(seen.head.fields.first("sec-websocket-version"), Some("13"));
    assert_eq!(in_flight(&bearerd), Some(1.0));
    wire.socket().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(wire.closes_within(seconds(5.0)));
    eventually("nothing in flight", seconds(3.0), || in_flight(&bearerd) == Some(0.0));
}

#[test]
fn a_rejected_handshake_is_healed() {
    let (endpoint, upstream, setup) = echoing();
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = open(bearerd.address(), &asking_for("websocket", "/echo"));
    expect_101(&mut wire, "websocket");
    converse(&mut wire, "healed");
    assert_eq!((upstream.count(), bearerd.rejections("replayed")), (2, 1.0));
}

#[test]
fn nothing_passes_before_a_real_101() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    // The upstream answers as if it had never heard of upgrades; what follows is the next request, checked like any other.
    let smuggled = Request::get("/second").field("Authorization", "Bearer mine").field("Connection", "close");
    let address = bearerd.address();
    let wire = Wire::connect(address).unwrap();
    wire.send([asking_for("websocket", "/first").bytes(address), smuggled.bytes(address)].concat()).unwrap();
    let mut wire = wire;
    assert_eq!(read_response(&mut wire, "GET").unwrap().expect(200).json()["target"], "/first");
    assert_eq!(read_response(&mut wire, "GET").unwrap().expect(200).json()["target"], "/second");
    let seen = upstream.requests();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[1].head.fields.first("authorization"), Some("Bearer mine"));
    // And what is sent while the upstream thinks stays here until it has agreed.
    upstream.on("/slow", |exchange| {
        let early = exchange.wire.rest(seconds(0.5));
        assert!(early.is_empty(), "{early:?}");
        exchange.answer(403, &[], "no")
    });
    let mut wire = open(address, &asking_for("websocket", "/slow"));
    wire.send(b"\x81\x05hello").unwrap();
    read_response_head(&mut wire).unwrap().expect(403);
    assert!(wire.closes_within(seconds(5.0)));
}

#[test]
fn what_is_not_configured_is_not_asked_for() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut count = 0;
    let mut check = |request: Request| {
        bearerd.send(&request).expect(200);
        count += 1;
        let seen = upstream.requests().pop().unwrap();
        assert!(!seen.head.fields.has("upgrade") && !seen.head.fields.has("http2-settings"), "{}", seen.raw_head());
        assert!(!seen.head.fields.has("connection"), "{}", seen.raw_head());
    };
    check(asking_for("h2c", "/").field("HTTP2-Settings", "AAMAAABkAAQAAP__"));
    check(asking_for("TLS/1.0", "/"));
    check(asking_for("chat", "/"));
    check(Request::get("/").field("Upgrade", "websocket"));
    check(asking_for("websocket", "/").body("a body"));
    assert_eq!(count, upstream.count());
}

#[test]
fn an_upstream_that_changes_to_what_nobody_asked_for_is_502() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/101", |exchange| {
        let protocol = exchange.head.fields.first("x-answer").unwrap_or_default().to_owned();
        exchange.wire.send(format!("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nleak"))?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let check = |request: Request| {
        let response = bearerd.send(&request).expect_problem(502, "U007");
        assert!(!response.text().contains("leak"));
    };
    check(Request::get("/101").field("X-Answer", "websocket"));
    check(asking_for("websocket", "/101").field("X-Answer", "h2c"));
    check(asking_for("websocket", "/101").field("X-Answer", "websocket, h2c"));
}

#[test]
fn a_route_says_which_protocols_it_allows() {
    let (_endpoint, upstream, setup) = echoing();
    let bearerd = setup.clone().route("upgrades = [\"SPDY/3.1\"]").start_ready();
    let mut wire = open(bearerd.address(), &asking_for("SPDY/3.1", "/echo"));
    expect_101(&mut wire, "SPDY/3.1");
    converse(&mut wire, "kubectl exec");
    drop(wire);
    bearerd.send(&asking_for("websocket", "/")).expect(200);
    assert!(!upstream.requests().pop().unwrap().head.fields.has("upgrade"));
    drop(bearerd);
    let none = setup.route("upgrades = []").start_ready();
    none.send(&asking_for("websocket", "/")).expect(200);
    assert!(!upstream.requests().pop().unwrap().head.fields.has("upgrade"));
}

#[test]
fn an_upgraded_connection_outlives_renewals_and_rejections() {
    let (endpoint, upstream, setup) = stage(2);
    upstream.on("/echo", echo);
    let bearerd = setup.start_ready();
    let mut wire = open(bearerd.address(), &asking_for("websocket", "/echo"));
    expect_101(&mut wire, "websocket");
    let renewals = endpoint.count();
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    endpoint.wait_for(renewals + 3, 15.0);
    converse(&mut wire, "still there");
}

#[test]
fn an_upgraded_connection_may_finish_until_the_end_of_the_drain() {
    let (_endpoint, _upstream, setup) = echoing();
    let mut bearerd = setup.section("[timeouts]\ndrain = \"2s\"").start_ready();
    let mut wire = open(bearerd.address(), &asking_for("websocket", "/echo"));
    expect_101(&mut wire, "websocket");
    bearerd.signal(Signal::TERM);
    throughout("the conversation goes on", seconds(1.0), || {
        converse(&mut wire, "during the drain");
        true
    });
    assert!(wire.closes_within(seconds(5.0)));
    eventually("bearerd ends", seconds(5.0), || bearerd.has_ended().is_some());
}

#[test]
fn python_websockets_talk_to_each_other() {
    if skip_unless(has_python_package("websockets"), "Python's websockets") {
        return;
    }
    let (endpoint, _upstream, setup) = stage(300);
    let server = crate::support::peers::Peer::start("websocket.py", &["server"]);
    let bearerd = setup.upstream(&format!("http://{}", server.address())).start_ready();
    endpoint.tokens().revoke_all();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/websocket.py");
    let url = format!("ws://localhost:{}", bearerd.address().port());
    let output = Command::new(venv_python()).args([script, "client", &url]).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.trim_end().ends_with("ok"), "{told}");
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}
