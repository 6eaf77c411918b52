//! WebSocket over HTTP/2 (RFC 8441), on either side and on both. HTTP/1 on both sides is in `upgrades`.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use base64::Engine as _;
use rustix::process::Signal;

use crate::support::client::{read_response, read_response_head};
use crate::support::frames::*;
use crate::support::peers::{Peer, has_python_package, installed, skip_unless, venv_python};
use crate::support::tls_front::Authority;
use crate::support::upstream::Exchange;
use crate::support::wire::Wire;
use crate::support::{After, Bearerd, Request, Setup, TokenEndpoint, Tokens, Upstream, eventually, seconds, stage};

const H2: &str = "upstream_protocol = \"h2\"";
/// HPACK's 200.
const OK: u8 = 0x88;
/// RFC 9113 §7.
const CANCEL: u32 = 8;

fn setup(upstream: &str) -> (TokenEndpoint, Setup) {
    let endpoint = TokenEndpoint::start(&Tokens::new(300));
    let credential = format!("token_endpoint = \"{}\"\nclient_id = \"svc\"\n", endpoint.url());
    let setup = Setup::new(endpoint.canaries()).credential_only(upstream, &credential);
    (endpoint, setup)
}

fn lacks_peers() -> bool {
    skip_unless(installed("node"), "node") || skip_unless(has_python_package("websockets"), "Python's websockets")
}

/// A server of `tests/peers` and a bearerd before it.
fn before(script: &str, words: &[&str], route: &str) -> (TokenEndpoint, Peer, Bearerd) {
    let server = Peer::start(script, &[&["server"], words].concat());
    let (endpoint, setup) = setup(&format!("http://{}", server.address()));
    (endpoint, server, setup.route(route).start_ready())
}

/// Has a client of `tests/peers` say all that a WebSocket can.
#[track_caller]
fn client(script: &str, url: &str, ca: Option<&Path>) {
    let path = format!("{}/tests/peers/{script}", env!("CARGO_MANIFEST_DIR"));
    let runner = if script.ends_with(".py") { venv_python() } else { "node".into() };
    let mut command = Command::new(runner);
    command.args([&path, "client", url]).envs(ca.map(|ca| ("NODE_EXTRA_CA_CERTS", ca)));
    let output = command.output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.trim_end().ends_with("ok"), "{told}");
}

#[track_caller]
fn node_client(bearerd: &Bearerd) {
    client("websocket.mjs", &format!("http://localhost:{}", bearerd.address().port()), None);
}

#[track_caller]
fn python_client(bearerd: &Bearerd) {
    client("websocket.py", &format!("ws://localhost:{}", bearerd.address().port()), None);
}

fn connect(bearerd: &Bearerd, path: &str, protocol: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&[(":protocol", protocol)], more].concat();
    request("CONNECT", path, &bearerd.address().to_string(), &fields)
}

/// A caller of HTTP/2 that has asked for a WebSocket on stream 1.
fn ask(bearerd: &Bearerd, path: &str) -> Frames {
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    frames.send(frame(HEADERS, END_HEADERS, 1, connect(bearerd, path, "websocket", &[]))).unwrap();
    frames
}

/// The same, and it was granted.
#[track_caller]
fn open(bearerd: &Bearerd, path: &str) -> Frames {
    let mut frames = ask(bearerd, path);
    assert_eq!(frames.status(1).unwrap(), OK);
    // Only now are bearerd's windows those that it has announced.
    frames.send(frame(SETTINGS, 1, 0, [])).unwrap();
    frames
}

/// A caller of HTTP/1 that has asked for a WebSocket.
fn ask_http1(bearerd: &Bearerd, path: &str) -> Wire {
    let asked = Request::get(path).field("Connection", "Upgrade").field("Upgrade", "websocket");
    let asked = asked.field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").field("Sec-WebSocket-Version", "13");
    let wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(asked.bytes(bearerd.address())).unwrap();
    wire
}

/// Takes the handshake as a WebSocket server would; 401 without a live token.
fn accept(exchange: &mut Exchange<'_>) -> std::io::Result<bool> {
    if !exchange.token_is_live() {
        exchange.deny()?;
        return Ok(false);
    }
    let key = exchange.head.fields.first("sec-websocket-key").unwrap_or_default();
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let answer = base64::engine::general_purpose::STANDARD.encode(digest);
    exchange.wire.send(format!(
        "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {answer}\r\n\r\nhello"
    ))?;
    Ok(true)
}

/// Sends back what comes.
fn echo(exchange: &mut Exchange<'_>) -> std::io::Result<After> {
    if !accept(exchange)? {
        return Ok(After::KeepAlive);
    }
    loop {
        let came = exchange.wire.some()?;
        if came.is_empty() {
            exchange.wire.send("bye")?;
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

fn in_flight(bearerd: &Bearerd) -> Option<f64> {
    bearerd.metric("bearerd_requests_in_flight", &[])
}

// ---- The matrix, by those who know WebSocket; each handshake is rejected once -------------------------------------------

#[test]
fn from_http2_to_http1() {
    if lacks_peers() {
        return;
    }
    let (_endpoint, _server, bearerd) = before("websocket.py", &[], "");
    node_client(&bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn from_http1_to_http2() {
    if lacks_peers() {
        return;
    }
    let (_endpoint, _server, bearerd) = before("websocket.mjs", &[], H2);
    python_client(&bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn from_http2_to_http2() {
    if lacks_peers() {
        return;
    }
    let (_endpoint, _server, bearerd) = before("websocket.mjs", &[], H2);
    node_client(&bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn where_tls_agrees_on_http2_the_upstream_is_asked_the_way_it_can() {
    if lacks_peers() {
        return;
    }
    for (words, http) in [(&[][..], "2"), (&["silent"], "1")] {
        let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.issue("localhost").write(directory.path(), "server");
        let file = |name: &str| directory.path().join(name).display().to_string();
        let tls = format!("tls={},{}", file("server.key"), file("server.pem"));
        let server = Peer::start("websocket.mjs", &[&["server", tls.as_str()], words].concat());
        let (_endpoint, setup) = setup(&format!("https://localhost:{}", server.address().port()));
        authority.file(setup.directory(), "ca.pem");
        let own = authority.issue("localhost");
        own.write(setup.directory(), "own");
        let ca = setup.directory().join("ca.pem");
        let plain = setup.clone().route("tls = { ca = \"ca.pem\" }").start_ready();
        let mut wire = ask_http1(&plain, "/chat");
        let answer = read_response_head(&mut wire).unwrap().expect(101);
        assert_eq!(answer.field("x-http"), Some(http), "{}", answer.raw_head);
        assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        python_client(&plain);
        node_client(&plain);
        drop(plain);
        // And from a caller with which TLS agrees on HTTP/2, too.
        let secure = setup.route("tls = { ca = \"ca.pem\" }");
        let secure = secure.section("[tls]\ncertificate = \"own.pem\"\nkey = \"own.key\"").start_ready();
        client("websocket.mjs", &format!("https://localhost:{}", secure.address().port()), Some(&ca));
    }
}

// ---- What is asked for, and what comes back -----------------------------------------------------------------------------

#[test]
fn an_http1_upstream_gets_an_ordinary_handshake() {
    let (endpoint, upstream, setup) = echoing();
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    let more =
        [("sec-websocket-key", "the caller's"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")];
    let more =
        [&more[..], &[("authorization", "Bearer mine"), ("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2")]];
    frames.send(frame(HEADERS, END_HEADERS, 1, connect(&bearerd, "/echo?x=1", "websocket", &more.concat()))).unwrap();
    // What is sent early waits for the yes, through the replay as well.
    frames.send(frame(DATA, 0, 1, "early")).unwrap();
    assert_eq!(frames.status(1).unwrap(), OK);
    assert_eq!(frames.bytes(1, 10).unwrap(), b"helloearly");
    let seen = upstream.requests();
    assert_eq!((seen.len(), bearerd.rejections("replayed")), (2, 1.0));
    let fields = &seen[1].head.fields;
    assert_eq!((seen[1].method(), seen[1].target()), ("GET", "/echo?x=1"));
    assert_eq!((fields.all("upgrade"), fields.all("connection")), (vec!["websocket"], vec!["Upgrade"]));
    assert_eq!(
        (fields.first("sec-websocket-version"), fields.first("sec-websocket-protocol")),
        (Some("13"), Some("chat"))
    );
    assert_eq!((fields.all("cookie"), fields.all("te").len()), (vec!["a=1; b=2"], 0));
    assert!(!fields.has("content-length") && !fields.has("transfer-encoding"), "{}", seen[1].raw_head());
    let key = fields.first("sec-websocket-key").unwrap();
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(key).unwrap().len(), 16, "{key}");
    assert_eq!(in_flight(&bearerd), Some(1.0));
    let labels = [("route", "api"), ("code", "200"), ("origin", "upstream")];
    assert_eq!(bearerd.metric("bearerd_requests_total", &labels), Some(1.0));
}

#[test]
fn what_is_not_configured_is_not_passed_on() {
    let (_endpoint, upstream, setup) = echoing();
    let check = |bearerd: &Bearerd, fields: Vec<u8>, code: &str| {
        let mut frames = Frames::connect(bearerd.address()).unwrap();
        frames.send(frame(HEADERS, END_HEADERS, 1, fields)).unwrap();
        let told = frames.body(1).unwrap();
        assert!(told.contains(code), "{code}: {told}");
        assert_eq!(upstream.count(), 0);
    };
    let bearerd = setup.clone().start_ready();
    check(&bearerd, connect(&bearerd, "/echo", "connect-udp", &[]), "\"status\":501");
    check(&bearerd, connect(&bearerd, "/echo", "h2c", &[]), "C017");
    check(&bearerd, fields(&[(":method", "CONNECT"), (":authority", &bearerd.address().to_string())]), "C004");
    // The rules who may call are the same as for every request.
    check(&bearerd, connect(&bearerd, "/echo", "websocket", &[("origin", "https://evil.example")]), "C002");
    let evil = request("CONNECT", "/echo", "evil.example", &[(":protocol", "websocket")]);
    check(&bearerd, evil, "C003");
    // Not even as gRPC, whose answers have 200: to CONNECT that would be a yes.
    let grpc = [("content-type", "application/grpc"), ("origin", "https://evil.example")];
    check(&bearerd, connect(&bearerd, "/echo", "websocket", &grpc), "\"status\":403");
    drop(bearerd);
    let none = setup.route("upgrades = []").start_ready();
    check(&none, connect(&none, "/echo", "websocket", &[]), "C017");
}

#[test]
fn an_answer_that_is_no_yes_opens_nothing() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/plain", |exchange| exchange.answer(200, &[], "leak"));
    upstream.on("/wrong", |exchange| {
        let answer = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        exchange
            .wire
            .send(format!("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{answer}\r\n\r\nleak"))?;
        Ok(After::Close)
    });
    upstream.on("/none", |exchange| {
        exchange.wire.send("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nleak")?;
        Ok(After::Close)
    });
    upstream.on("/refuses", |exchange| {
        let early = exchange.wire.rest(seconds(0.5));
        assert!(early.is_empty(), "{early:?}");
        exchange.answer(403, &[], "the upstream's own no")
    });
    let bearerd = setup.start_ready();
    let check = |path: &str, told: &str| {
        let mut frames = ask(&bearerd, path);
        frames.send(frame(DATA, 0, 1, "early")).unwrap();
        let body = frames.body(1).unwrap();
        assert!(body.contains(told) && !body.contains("leak"), "{path}: {body}");
    };
    check("/plain", "U011");
    check("/wrong", "U007");
    check("/none", "U007");
    check("/refuses", "the upstream's own no");
    eventually("nothing in flight", seconds(3.0), || in_flight(&bearerd) == Some(0.0));
}

#[test]
fn an_http2_upstream_that_cannot_is_502_and_its_own_no_passes() {
    if lacks_peers() {
        return;
    }
    let (_endpoint, _server, bearerd) = before("websocket.mjs", &["silent"], H2);
    let mut wire = ask_http1(&bearerd, "/chat");
    read_response(&mut wire, "GET").unwrap().expect_problem(502, "U011");
    assert!(ask(&bearerd, "/chat").body(1).unwrap().contains("U011"));
    drop(bearerd);
    let (_endpoint, _server, bearerd) = before("websocket.mjs", &[], H2);
    let mut wire = ask_http1(&bearerd, "/forbidden");
    let answer = read_response(&mut wire, "GET").unwrap().expect(403);
    assert_eq!((answer.text().as_str(), answer.field("x-from")), ("not you", Some("upstream")));
    assert_eq!(ask(&bearerd, "/forbidden").body(1).unwrap(), "not you");
    // Nobody could answer a key that is not there.
    let keyless = Request::get("/chat").field("Connection", "Upgrade").field("Upgrade", "websocket");
    bearerd.send(&keyless).expect_problem(400, "C005");
}

// ---- Ends ---------------------------------------------------------------------------------------------------------------

#[test]
fn an_end_is_an_end_on_the_other_side() {
    let (_endpoint, _upstream, setup) = echoing();
    let bearerd = setup.start_ready();
    let mut frames = open(&bearerd, "/echo");
    frames.send(frame(DATA, END_STREAM, 1, "last words")).unwrap();
    // The upstream has seen the end, and says more before its own.
    assert_eq!(frames.bytes(1, 18).unwrap(), b"hellolast wordsbye");
    assert_eq!(frames.end(1).unwrap(), None);
    eventually("nothing in flight", seconds(3.0), || in_flight(&bearerd) == Some(0.0));
    // And over HTTP/2 towards the upstream.
    if lacks_peers() {
        return;
    }
    let (_endpoint, _server, bearerd) = before("websocket.mjs", &[], H2);
    let mut wire = ask_http1(&bearerd, "/chat");
    read_response_head(&mut wire).unwrap().expect(101);
    wire.socket().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(wire.closes_within(seconds(5.0)));
    expect_ends(&bearerd, &[0]);
}

#[test]
fn what_a_caller_breaks_off_breaks_off_at_an_http1_upstream() {
    let (_endpoint, upstream, setup) = stage(300);
    let (ended, wait) = mpsc::channel();
    let (_over, until) = mpsc::channel::<()>();
    let (ended, until) = (std::sync::Mutex::new(ended), std::sync::Mutex::new(until));
    upstream.on("/hold", move |exchange| {
        accept(exchange)?;
        let closes = exchange.wire.closes_within(seconds(5.0));
        let _ = ended.lock().unwrap().send(closes);
        // Keeps its own half open: after a mere end bearerd would wait for more.
        let _ = until.lock().unwrap().recv_timeout(seconds(5.0));
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    // By itself, and in one breath with the last words.
    for words in [vec![], frame(DATA, 0, 1, "last words")] {
        let mut frames = open(&bearerd, "/hold");
        frames.send([words, frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes())].concat()).unwrap();
        assert!(wait.recv_timeout(seconds(6.0)).unwrap());
        eventually("nothing in flight", seconds(3.0), || in_flight(&bearerd) == Some(0.0));
    }
    // The whole connection, too.
    let frames = open(&bearerd, "/hold");
    drop(frames);
    assert!(wait.recv_timeout(seconds(6.0)).unwrap());
    eventually("nothing in flight", seconds(3.0), || in_flight(&bearerd) == Some(0.0));
}

#[test]
fn what_an_http1_upstream_breaks_off_resets_the_callers_stream() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/break", |exchange| {
        accept(exchange)?;
        exchange.wire.some()?;
        // A reset, as of a process that was killed.
        socket2::SockRef::from(exchange.wire.socket()).set_linger(Some(seconds(0.0)))?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let mut frames = open(&bearerd, "/break");
    frames.send(frame(DATA, 0, 1, "now")).unwrap();
    assert_eq!(frames.end(1).unwrap(), Some(CANCEL));
    // The connection is as good as before.
    let more = request("GET", "/items", &bearerd.address().to_string(), &[]);
    frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, more)).unwrap();
    assert!(frames.body(3).unwrap().contains("/items"));
    eventually("nothing in flight", seconds(3.0), || in_flight(&bearerd) == Some(0.0));
}

/// How the streams of Node's server have ended: codes of resets, 0 for good order.
#[track_caller]
fn expect_ends(bearerd: &Bearerd, codes: &[u32]) {
    eventually("the upstream's streams end", seconds(5.0), || {
        bearerd.get("/ends").expect(200).json().as_array().unwrap().len() == codes.len()
    });
    assert_eq!(bearerd.get("/ends").expect(200).json(), serde_json::json!(codes));
}

#[test]
fn resets_pass_both_ways_where_the_upstream_speaks_http2() {
    if lacks_peers() {
        return;
    }
    let (_endpoint, _server, bearerd) = before("websocket.mjs", &[], H2);
    let mut frames = open(&bearerd, "/stall");
    frames.send(frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes())).unwrap();
    expect_ends(&bearerd, &[CANCEL]);
    let mut wire = ask_http1(&bearerd, "/stall");
    read_response_head(&mut wire).unwrap().expect(101);
    socket2::SockRef::from(wire.socket()).set_linger(Some(seconds(0.0))).unwrap();
    drop(wire);
    expect_ends(&bearerd, &[CANCEL, CANCEL]);
    let mut frames = open(&bearerd, "/reset");
    for stream in [0, 1] {
        frames.send(frame(WINDOW_UPDATE, 0, stream, (4u32 << 20).to_be_bytes())).unwrap();
    }
    frames.send(frame(DATA, 0, 1, "now")).unwrap();
    assert_eq!(frames.end(1).unwrap(), Some(CANCEL));
    let mut wire = ask_http1(&bearerd, "/reset");
    read_response_head(&mut wire).unwrap().expect(101);
    wire.send("now").unwrap();
    assert!(wire.closes_within(seconds(5.0)));
    eventually("only the look at it in flight", seconds(3.0), || in_flight(&bearerd) == Some(0.0));
}

// ---- Beside other streams -----------------------------------------------------------------------------------------------

/// Sends until bearerd takes no more on stream 1, and then has another request answered on the same connection.
fn fill_and_ask(bearerd: &Bearerd, mut frames: Frames) {
    for _ in 0..7 {
        frames.send(frame(DATA, 0, 1, vec![b'x'; 16 * 1024])).unwrap();
    }
    for stream in [3, 5, 7] {
        let more = request("GET", "/ends", &bearerd.address().to_string(), &[]);
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, more)).unwrap();
        frames.body(stream).unwrap();
    }
    eventually("the tunnel alone in flight", seconds(3.0), || in_flight(bearerd) == Some(1.0));
}

#[test]
fn a_tunnel_that_nobody_reads_holds_up_no_other_stream() {
    let (_endpoint, upstream, setup) = stage(300);
    let (done, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    upstream.on("/stall", move |exchange| {
        accept(exchange)?;
        let _ = wait.lock().unwrap().recv_timeout(seconds(20.0));
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    fill_and_ask(&bearerd, open(&bearerd, "/stall"));
    drop(done);
    if lacks_peers() {
        return;
    }
    let (_endpoint, _server, bearerd) = before("websocket.mjs", &[], H2);
    fill_and_ask(&bearerd, open(&bearerd, "/stall"));
    expect_ends(&bearerd, &[CANCEL]);
}

#[test]
fn a_tunnel_may_finish_until_the_end_of_the_drain() {
    let (_endpoint, _upstream, setup) = echoing();
    let mut bearerd = setup.section("[timeouts]\ndrain = \"6s\"\nkeep_alive = \"500ms\"").start_ready();
    let mut frames = open(&bearerd, "/echo");
    assert_eq!(frames.bytes(1, 5).unwrap(), b"hello");
    let mut converse = || {
        frames.send(frame(DATA, 0, 1, "still there")).unwrap();
        assert_eq!(frames.bytes(1, 11).unwrap(), b"still there");
        crate::support::pause(seconds(0.1));
    };
    // A connection is not idle while a tunnel is open, however quiet.
    crate::support::pause(seconds(1.0));
    converse();
    bearerd.signal(Signal::TERM);
    for _ in 0..8 {
        converse();
    }
    assert!(bearerd.has_ended().is_none());
    eventually("bearerd ends", seconds(15.0), || bearerd.has_ended().is_some());
}
