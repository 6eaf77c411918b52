//! HTTP/2 on both sides: every combination of versions, the rules at the entry, the end of streams and connections.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::client::read_response;
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, SETTINGS, frame, request};
use crate::support::listener::Listener;
use crate::support::peers::{Peer, installed, skip_unless};
use crate::support::tls_front::Authority;
use crate::support::wire::Wire;
use crate::support::{Bearerd, Request, Setup, TokenEndpoint, Tokens, eventually, now, seconds};

/// A token endpoint, a server of Node's and a bearerd between them; `None` where Node is not installed.
fn stage(upstream: &[&str], route: &str) -> Option<(TokenEndpoint, Peer, Bearerd)> {
    if skip_unless(installed("node"), "node") {
        return None;
    }
    let endpoint = TokenEndpoint::start(&Tokens::new(300));
    let server = Peer::start("http.mjs", &[&["server"], upstream].concat());
    let bearerd = setup(&endpoint, &format!("http://{}", server.address())).route(route).start_ready();
    Some((endpoint, server, bearerd))
}

fn setup(endpoint: &TokenEndpoint, upstream: &str) -> Setup {
    let credential = format!("token_endpoint = \"{}\"\nclient_id = \"svc\"\n", endpoint.url());
    Setup::new(endpoint.canaries()).credential_only(upstream, &credential)
}

const H2: &str = "upstream_protocol = \"h2\"";

/// Has Node's client do one of its cases.
fn client(version: &str, bearerd: &Bearerd, case: &str) -> JoinHandle<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/http.mjs");
    let url = format!("http://localhost:{}", bearerd.address().port());
    let mut command = Command::new("node");
    command.args([script, "client", version, &url, case]);
    let what = format!("{version} {case}");
    std::thread::spawn(move || {
        let output = command.output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && told.trim_end().ends_with("ok"), "{what}: {told}");
    })
}

/// curl with these arguments after the path's URL: status and body.
fn curl(bearerd: &Bearerd, path: &str, arguments: &[&str]) -> (u16, String) {
    let url = format!("http://127.0.0.1:{}{path}", bearerd.address().port());
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "--noproxy",
        "*",
        "-m",
        "20",
        "--path-as-is",
        "--http2-prior-knowledge",
        "-w",
        "\n%{http_code}",
    ]);
    let output = command.args(arguments).arg(url).output().expect("curl is installed");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = told.rsplit_once('\n').unwrap_or(("", &told));
    (status.trim().parse().unwrap_or(0), body.to_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn curl_json(bearerd: &Bearerd, path: &str, arguments: &[&str]) -> Value {
    let (status, body) = curl(bearerd, path, arguments);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn all_cases(caller: &str, bearerd: &Bearerd) {
    for case in ["small", "up", "down", "both"] {
        client(caller, bearerd, case).join().unwrap();
    }
}

// ---- The matrix: caller × upstream × (small, streaming up, streaming down, both) ----------------------------------------

#[test]
fn from_http1_to_http1() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h1", "revoked"], "") else { return };
    all_cases("h1", &bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn from_http1_to_http2_by_prior_knowledge() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2", "revoked"], H2) else { return };
    all_cases("h1", &bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
    assert_eq!(curl_json(&bearerd, "/small", &["--http1.1"])["httpVersion"], "2.0");
}

#[test]
fn from_http2_to_http1() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h1", "revoked"], "") else { return };
    all_cases("h2", &bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
    assert_eq!(curl_json(&bearerd, "/small", &[])["httpVersion"], "1.1");
}

#[test]
fn from_http2_to_http2_by_prior_knowledge() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2", "revoked"], H2) else { return };
    all_cases("h2", &bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn both_versions_share_a_port_at_the_same_time() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2"], H2) else { return };
    let clients = [("h1", "down"), ("h2", "down"), ("h1", "up"), ("h2", "up"), ("h1", "both"), ("h2", "both")];
    let clients = clients.map(|(version, case)| client(version, &bearerd, case));
    for client in clients {
        client.join().unwrap();
    }
}

/// TLS in front of Node's servers, one for each protocol that ALPN can choose.
fn behind_tls(version: &str, offered: &[&str], route: &str) -> Option<(TokenEndpoint, Peer, Bearerd)> {
    if skip_unless(installed("node"), "node") {
        return None;
    }
    let endpoint = TokenEndpoint::start(&Tokens::new(300));
    let server = Peer::start("http.mjs", &["server", version, "revoked"]);
    let authority = Authority::new();
    let port = authority.front_offering("localhost", server.address(), offered).port();
    let setup = setup(&endpoint, &format!("https://localhost:{port}")).route("tls = { ca = \"ca.pem\" }").route(route);
    authority.file(setup.directory(), "ca.pem");
    Some((endpoint, server, setup.start_ready()))
}

#[test]
fn tls_agrees_on_http2_where_the_upstream_has_it() {
    let Some((_endpoint, _server, bearerd)) = behind_tls("h2", &["h2", "http/1.1"], "") else { return };
    all_cases("h1", &bearerd);
    all_cases("h2", &bearerd);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
    assert_eq!(curl_json(&bearerd, "/small", &[])["httpVersion"], "2.0");
}

#[test]
fn tls_agrees_on_http1_where_the_upstream_has_nothing_else() {
    for (offered, route) in [(&["http/1.1"][..], ""), (&[], ""), (&["h2", "http/1.1"], "upstream_protocol = \"http1\"")]
    {
        let Some((_endpoint, _server, bearerd)) = behind_tls("h1", offered, route) else { return };
        assert_eq!(curl_json(&bearerd, "/small", &[])["httpVersion"], "1.1");
    }
}

#[test]
fn an_upstream_without_the_http2_that_is_demanded_is_502() {
    let Some((_endpoint, _server, bearerd)) = behind_tls("h1", &["http/1.1"], H2) else { return };
    bearerd.get("/small").expect_problem(502, "U003");
    drop(bearerd);
    let Some((_endpoint, _server, bearerd)) = behind_tls("h1", &[], H2) else { return };
    bearerd.get("/small").expect_problem(502, "U003");
    drop(bearerd);
    let Some((_endpoint, _server, bearerd)) = stage(&["h1"], H2) else { return };
    let response = bearerd.get("/small").expect(502);
    assert!(["U006", "U007"].iter().any(|code| response.text().contains(code)), "{}", response.text());
}

// ---- What comes in ------------------------------------------------------------------------------------------------------

#[test]
fn host_and_authority_must_agree() {
    let Some((_endpoint, server, bearerd)) = stage(&["h1"], "") else { return };
    let seen = curl_json(&bearerd, "/small", &[]);
    assert_eq!(seen["headers"]["host"], server.address().to_string());
    let (status, told) = curl(&bearerd, "/small", &["-H", ":authority: evil.example"]);
    // curl takes pseudo fields for what they say; older ones refuse to send them at all.
    assert!(status == 421 || status == 0 || status == 200, "{status} {told}");
    let (status, told) = curl(&bearerd, "/small", &["-H", "Host: evil.example"]);
    assert!(status == 421 && told.contains("C003"), "{status} {told}");
}

#[test]
fn cookie_crumbs_are_joined_and_connection_fields_never_made_up() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h1"], "") else { return };
    let fields = ["-H", "cookie: a=1", "-H", "cookie: b=2", "-H", "te: trailers", "-H", "authorization: Bearer mine"];
    let seen = curl_json(&bearerd, "/small", &fields);
    assert_eq!(seen["headers"]["cookie"], "a=1; b=2");
    let names: Vec<_> = seen["raw"].as_array().unwrap().iter().step_by(2).map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| **name == "cookie").count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == "authorization").count(), 1, "{names:?}");
    assert_ne!(seen["headers"]["authorization"], "Bearer mine");
    assert_eq!((&seen["headers"]["te"], &seen["headers"]["connection"]), (&"trailers".into(), &"te".into()));
}

#[test]
fn a_get_may_have_a_body() {
    for (version, route) in [("h1", ""), ("h2", H2)] {
        let Some((_endpoint, _server, bearerd)) = stage(&[version], route) else { return };
        let get = ["-X", "GET", "-H", "content-length:", "--data-binary", "a body"];
        assert_eq!(curl_json(&bearerd, "/small", &get)["body"], "a body");
        assert_eq!(curl_json(&bearerd, "/small", &["-X", "GET", "-d", "known"])["body"], "known");
        let chunked = ["--http1.1", "-X", "GET", "-H", "transfer-encoding: chunked", "-d", "chunks"];
        assert_eq!(curl_json(&bearerd, "/small", &chunked)["body"], "chunks");
    }
}

#[test]
fn methods_that_are_never_forwarded_are_refused_over_http2_too() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h1"], "") else { return };
    let (status, told) = curl(&bearerd, "/small", &["-X", "TRACE"]);
    assert!(status == 405 && told.contains("C004"), "{told}");
    let (status, told) = curl(&bearerd, "/small", &["-X", "OPTIONS", "--request-target", "*"]);
    assert_eq!(status, 200, "{told}");
    let (status, told) = curl(&bearerd, "/small", &["--request-target", "*"]);
    assert!(status == 400 || status == 0, "{status} {told}");
}

#[test]
fn a_head_beyond_the_limit_is_431() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h1"], "") else { return };
    let long = format!("x-long: {}", "x".repeat(40_000));
    let (status, told) = curl(&bearerd, "/small", &["-H", &long]);
    assert_eq!(status, 431, "{told}");
    let fits = format!("x-long: {}", "x".repeat(10_000));
    assert_eq!(curl_json(&bearerd, "/small", &["-H", &fits])["headers"]["x-long"].as_str().unwrap().len(), 10_000);
}

// ---- Streams and connections --------------------------------------------------------------------------------------------

#[test]
fn a_stream_that_the_upstream_refuses_goes_to_another_connection() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2"], H2) else { return };
    for _ in 0..3 {
        assert_eq!(curl_json(&bearerd, "/refuse", &["-d", "a body"])["body"], "a body");
    }
}

#[test]
fn requests_go_on_when_the_upstream_says_goaway() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2"], H2) else { return };
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| curl_json(&bearerd, "/goaway", &[]));
        for _ in 0..30 {
            curl_json(&bearerd, "/small", &["-d", "x"]);
        }
        ending.join().unwrap();
    });
}

#[test]
fn a_connection_is_shared_and_another_opened_when_it_is_full() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2", "", "streams=10"], H2) else { return };
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| bearerd.get("/slow").expect(200));
        }
    });
    let seen = curl_json(&bearerd, "/small", &[]);
    let (sessions, most) = (seen["sessions"].as_u64().unwrap(), seen["most"].as_u64().unwrap());
    assert!((3..=14).contains(&sessions), "{sessions} connections");
    assert!(most > 20, "{most} at once");
}

#[test]
fn what_a_caller_gives_up_is_given_up_upstream() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2"], H2) else { return };
    let ended = |count: usize| {
        eventually("the upstream's streams are reset", seconds(5.0), || {
            curl_json(&bearerd, "/ends", &[]).as_array().unwrap().len() == count
        });
    };
    for (count, version) in ["--http2-prior-knowledge", "--http1.1"].into_iter().enumerate() {
        let (status, _) = curl(&bearerd, "/hang", &[version, "-m", "1"]);
        assert_eq!(status, 0);
        ended(count + 1);
    }
    // 8 is CANCEL.
    assert_eq!(curl_json(&bearerd, "/ends", &[]), serde_json::json!([8, 8]));
}

#[test]
fn an_upload_that_the_upstream_holds_up_is_given_up_too() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2"], H2) else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 8 << 20]).unwrap();
    let upload = format!("@{}", file.path().display());
    for (count, version) in ["--http2-prior-knowledge", "--http1.1"].into_iter().enumerate() {
        let (_, told) = curl(&bearerd, "/stall", &[version, "-m", "1", "--data-binary", &upload]);
        assert!(told.starts_with("begun"), "{version}: {told}");
        eventually("the upstream's stream is reset", seconds(5.0), || {
            curl_json(&bearerd, "/ends", &[]).as_array().unwrap().len() == count + 1
        });
    }
    assert_eq!(curl_json(&bearerd, "/ends", &[]), serde_json::json!([8, 8]));
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_caller() {
    for (version, route) in [("h1", ""), ("h2", H2)] {
        let Some((_endpoint, _server, bearerd)) = stage(&[version], route) else { return };
        for caller in ["--http2-prior-knowledge", "--http1.1"] {
            let (_, told) = curl(&bearerd, "/break", &[caller]);
            // What came before may be lost with the stream (RFC 9113 §5.4.2); that it is not whole may not.
            assert!(told.contains("curl: ("), "{version} {caller}: {told}");
        }
    }
}

#[test]
fn what_waits_for_100_continue_is_sent_as_soon_as_the_upstream_says_so() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2", "revoked"], H2) else { return };
    // The head, and when the invitation to send the body has come.
    let invited = |target: &str| {
        let mut wire = Wire::connect(bearerd.address()).unwrap();
        let head = Request::post(target, "").field("Expect", "100-continue").head_text(bearerd.address());
        wire.send(head.replace("Content-Length: 0", "Content-Length: 5")).unwrap();
        let start = now();
        assert_eq!(wire.head().unwrap().unwrap().word(1), "100");
        let took = start.elapsed();
        wire.send("hello").unwrap();
        assert_eq!(read_response(&mut wire, "POST").unwrap().expect(200).json()["body"], "hello");
        took
    };
    // The first is rejected before its body is asked for, and healed; that takes a token request, which may have to wait.
    invited("/small");
    assert_eq!(bearerd.rejections("replayed"), 1.0);
    let took = invited("/small");
    assert!(took < seconds(0.7), "{took:?}");
    let took = invited("/silent");
    assert!(took > seconds(0.9) && took < seconds(4.0), "{took:?}");
    let flooded = Request::post("/floods", "x").field("Expect", "100-continue");
    bearerd.send(&flooded).expect_problem(502, "U007");
}

/// hyper gives no way to send it over HTTP/2, so that there is nothing to wait for.
#[test]
fn a_body_behind_an_expectation_goes_on_as_it_comes_over_http2() {
    let (_endpoint, upstream, setup) = crate::support::stage(300);
    upstream.on("/deaf", |exchange| {
        let (body, _) = exchange.wire.body(exchange.head.request_framing())?;
        exchange.answer(200, &[], body)
    });
    let bearerd = setup.start_ready();
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    let fields = request("POST", "/deaf", &bearerd.address().to_string(), &[("expect", "100-continue")]);
    let start = now();
    frames.send(frame(HEADERS, END_HEADERS, 1, fields)).unwrap();
    frames.send(frame(DATA, END_STREAM, 1, "hello")).unwrap();
    assert_eq!(frames.body(1).unwrap(), "hello");
    assert!(start.elapsed() < seconds(0.7), "{:?}", start.elapsed());
    let fields = request("POST", "/items", &bearerd.address().to_string(), &[("expect", "a miracle")]);
    frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, fields)).unwrap();
    assert!(frames.body(3).unwrap().contains("C008"));
}

#[test]
fn via_says_by_which_version_an_answer_has_come() {
    for (version, route, wanted) in [("h1", "", "1.1 bearerd"), ("h2", H2, "2 bearerd")] {
        let Some((_endpoint, _server, bearerd)) = stage(&[version], route) else { return };
        assert_eq!(bearerd.get("/small").expect(200).fields.all("via"), [wanted]);
    }
}

#[test]
fn a_large_body_that_is_answered_early_does_no_harm() {
    let Some((_endpoint, _server, bearerd)) = stage(&["h2"], H2) else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 8 << 20]).unwrap();
    let upload = format!("@{}", file.path().display());
    for caller in ["--http2-prior-knowledge", "--http1.1"] {
        let (status, told) = curl(&bearerd, "/early", &[caller, "--data-binary", &upload]);
        assert!(status == 200 && told.starts_with("early"), "{status} {told}");
    }
    curl_json(&bearerd, "/small", &[]);
}

#[test]
fn a_drain_lets_streams_end_and_new_ones_go_elsewhere() {
    let Some((_endpoint, _server, mut bearerd)) = stage(&["h2"], H2) else { return };
    let under_way = client("h2", &bearerd, "down");
    eventually("it is under way", seconds(10.0), || {
        bearerd.metric("bearerd_requests_in_flight", &[]) == Some(1.0) || under_way.is_finished()
    });
    bearerd.signal(rustix::process::Signal::TERM);
    under_way.join().unwrap();
    eventually("bearerd ends", seconds(5.0), || bearerd.has_ended().is_some());
    assert!(bearerd.has_ended().unwrap().success());
}

/// RFC 7541 §6.2.3 and §7.1.3: an intermediary, or a peer that somebody else shares, must not keep it.
#[test]
fn the_token_is_in_nobodys_table() {
    let endpoint = TokenEndpoint::start(&Tokens::new(300));
    let (tell, told) = std::sync::mpsc::channel();
    let tell = Mutex::new(tell);
    let upstream = Listener::start(Arc::new(move |stream: Arc<TcpStream>| {
        let mut stream = &*stream;
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, [])).unwrap();
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).unwrap();
            if head[3] == HEADERS {
                return tell.lock().unwrap().send(payload).unwrap();
            }
        }
    }));
    let bearerd = setup(&endpoint, &format!("http://{}", upstream.address())).route(H2).start_ready();
    bearerd.get("/").expect(502);
    let fields = told.recv().unwrap();
    // "Never indexed", with the name `authorization`, which is the 23rd of the static table.
    assert!(fields.windows(2).any(|pair| pair == [0x1f, 23 - 15]), "{fields:02x?}");
}
