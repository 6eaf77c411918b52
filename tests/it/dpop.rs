//! DPoP (RFC 9449) on both sides: against a token endpoint and an API that look at every proof.

mod strict;

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::client::{Load, burst, read_response, read_response_head, statuses};
use crate::support::peers::{Daemon, free_address, installed, skip_unless};
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Bearerd, Reply, Request, eventually, finish, pause, seconds};
use strict::{Stage, verified};

/// `bearerd_dpop_nonce_replays_total`.
#[track_caller]
fn replays(bearerd: &Bearerd, side: &str) -> f64 {
    let labels = [("credential", "api"), ("side", side)];
    bearerd.metric("bearerd_dpop_nonce_replays_total", &labels).expect("exists from the start")
}

fn write_key(path: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(path, key.serialize_pem()).unwrap();
}

#[test]
fn every_request_has_one_proof_that_a_strict_server_accepts() {
    let stage = Stage::new(300);
    let bearerd = stage.setup().route("strip_path = true\npath = \"/v1\"").start_ready();
    for (method, target) in
        [("GET", "/v1/items?a=1"), ("POST", "/v1/A%2fb/%7euser?x"), ("DELETE", "/v1"), ("OPTIONS", "/v1/x//y;z=1")]
    {
        bearerd.send(&Request::new(method, target).body("body")).expect(200);
    }
    stage.expect_no_wrong_proof();
    let paths: Vec<_> = stage.api.proofs().iter().map(|proof| proof.claims["htu"].to_string()).collect();
    let url = stage.upstream.url();
    let wanted = ["/items", "/A%2fb/%7euser", "/", "/x//y;z=1"].map(|path| json!(format!("{url}{path}")).to_string());
    assert_eq!(paths, wanted);
    assert_eq!(stage.api.keys(), stage.issuer.keys(), "one key for both sides");
    assert_eq!(stage.issuer.keys().len(), 1);
    assert_eq!((replays(&bearerd, "upstream"), replays(&bearerd, "token_endpoint")), (0.0, 0.0));
}

#[test]
fn a_proof_of_the_callers_own_never_reaches_the_upstream_and_the_upstreams_nonce_never_the_caller() {
    let stage = Stage::new(300);
    stage.api.rotate();
    stage.api.tell_nonce_always();
    let bearerd = stage.setup().start_ready();
    let forged = Request::get("/x").field("DPoP", "forged.a").field("dpop", "forged.b").field("D_PoP", "forged.c");
    let response = bearerd.send(&forged).expect(200);
    assert_eq!(response.field("dpop-nonce"), None, "{}", response.raw_head);
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::chunked("/trailers").head_text(bearerd.address());
    wire.send(head.replace("\r\n\r\n", "\r\nTrailer: DPoP, X-Sum\r\n\r\n")).unwrap();
    wire.send([chunk("hello"), b"0\r\nDPoP: forged.d\r\nX-Sum: 1\r\n\r\n".to_vec()].concat()).unwrap();
    read_response(&mut wire, "POST").unwrap().expect(200);
    for seen in stage.upstream.requests() {
        assert!(!seen.raw_head().contains("forged"), "{}", seen.raw_head());
        assert_eq!(seen.trailers.first("dpop"), None);
    }
    stage.expect_no_wrong_proof();
}

#[test]
fn without_dpop_a_callers_proof_is_removed_too_but_not_where_no_token_is_sent() {
    let (endpoint, upstream, setup) = crate::support::stage(300);
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/a").field("DPoP", "forged")).expect(200);
    assert_eq!(upstream.only_request().head.fields.all("dpop").len(), 0);
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[routes.api]\nupstream = \
         \"{}\"\ncredential = \"none\"\n",
        upstream.url()
    );
    let bearerd = crate::support::Setup::new(endpoint.canaries()).file(&text, &["api"]).start();
    bearerd.send(&Request::get("/b").field("DPoP", "theirs"));
    assert_eq!(upstream.requests_for("/b")[0].head.fields.all("dpop"), ["theirs"]);
}

#[test]
fn a_token_endpoint_that_wants_a_nonce_is_asked_again_at_once_and_nothing_has_failed() {
    let stage = Stage::new(300);
    stage.issuer.rotate();
    let bearerd = stage.setup().start_ready();
    bearerd.get("/x").expect(200);
    let requests = stage.endpoint.requests();
    assert_eq!(requests.len(), 2);
    let between = requests[1].at - requests[0].at;
    assert!(between < seconds(0.7), "the floor between token requests is not for this: {between:?}");
    assert_eq!((bearerd.token_requests("success"), replays(&bearerd, "token_endpoint")), (1.0, 1.0));
    assert_eq!((bearerd.token_requests("transient"), bearerd.token_requests("refused")), (0.0, 0.0));
    assert!(bearerd.log_with("\"warn\"").is_empty(), "{:?}", bearerd.log());
    stage.expect_no_wrong_proof();
}

#[test]
fn nonces_that_change_under_load_on_both_sides_fail_no_request() {
    let stage = Stage::new(3);
    stage.issuer.rotate();
    stage.api.rotate();
    let bearerd = stage.setup().start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.002), Request::get("/items"));
    for _ in 0..30 {
        pause(seconds(0.15));
        stage.api.rotate();
        stage.issuer.rotate();
    }
    let report = load.stop();
    report.expect_all_ok();
    stage.expect_no_wrong_proof();
    assert!(replays(&bearerd, "upstream") >= 10.0, "{report:?}");
    assert_eq!(bearerd.rejections("replayed"), 0.0, "a nonce is no rejection");
    assert_eq!(bearerd.token_requests("transient") + bearerd.token_requests("refused"), 0.0);
}

#[test]
fn a_burst_that_meets_a_new_nonce_costs_no_token_request() {
    let stage = Stage::new(300);
    stage.api.rotate();
    let bearerd = stage.setup().start_ready();
    let answers = burst(bearerd.address(), 50, |n| Request::post(&format!("/{n}"), "body"));
    assert_eq!(statuses(&answers), [(200, 50)].into());
    assert_eq!(stage.endpoint.count(), 1);
    stage.expect_no_wrong_proof();
}

#[test]
fn one_post_is_sent_three_times_at_most_once_for_the_nonce_and_once_for_the_token() {
    for token_first in [false, true] {
        let stage = Stage::new(300);
        if token_first {
            stage.api.look_at_the_token_first();
        }
        let bearerd = stage.setup().start_ready();
        let body: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(20_000).collect();
        let post = |target: &str| bearerd.send(&Request::post(target, body.clone()));
        post("/plain").expect(200);
        stage.api.rotate();
        post("/nonce").expect(200);
        stage.endpoint.tokens().revoke_all();
        post("/token").expect(200);
        stage.endpoint.tokens().revoke_all();
        stage.api.forget_nonces();
        post("/both").expect(200);
        for (target, times) in [("/plain", 1), ("/nonce", 2), ("/token", 2), ("/both", 3)] {
            let seen = stage.upstream.requests_for(target);
            assert_eq!(seen.len(), times, "{target}, token first: {token_first}");
            assert!(seen.iter().all(|seen| seen.body == body), "{target}: another body");
        }
        assert_eq!((bearerd.rejections("replayed"), replays(&bearerd, "upstream")), (2.0, 2.0));
        assert_eq!(stage.endpoint.count(), 3);
        stage.expect_no_wrong_proof();
    }
}

#[test]
fn a_body_that_cannot_be_sent_again_gets_the_original_and_the_nonce_is_remembered() {
    let stage = Stage::new(300);
    let bearerd = stage.setup().section("[credentials.api.rejection]\nreplay_body_limit = \"1KiB\"").start_ready();
    stage.api.rotate();
    let response = bearerd.send(&Request::post("/long", vec![b'x'; 2_000])).expect(401);
    assert_eq!(response.text(), "{\"refused\":\"use_dpop_nonce\"}");
    assert!(response.field("www-authenticate").is_some_and(|value| value.contains("use_dpop_nonce")));
    assert!(response.field("proxy-status").is_some_and(|value| value.contains("T031")), "{}", response.raw_head);
    assert_eq!(stage.upstream.requests_for("/long").len(), 1);
    bearerd.send(&Request::post("/again", vec![b'x'; 2_000])).expect(200);
    assert_eq!(stage.upstream.requests_for("/again").len(), 1);
    assert_eq!(stage.endpoint.count(), 1, "a nonce is no reason for a token request");
    assert!(!bearerd.log_with("T031").is_empty());
}

#[test]
fn an_operator_who_wants_no_post_twice_gets_none_twice() {
    let stage = Stage::new(300);
    let bearerd = stage.setup().section("[credentials.api.rejection]\nreplay = \"idempotent\"").start_ready();
    stage.api.rotate();
    bearerd.send(&Request::post("/post", "x")).expect(401);
    assert_eq!(stage.upstream.requests_for("/post").len(), 1);
    stage.api.forget_nonces();
    bearerd.get("/get").expect(200);
    assert_eq!(stage.upstream.requests_for("/get").len(), 2);
}

#[test]
fn an_upstream_that_is_never_satisfied_with_a_nonce_is_asked_twice_and_no_token_is_fetched() {
    let stage = Stage::new(300);
    stage.upstream.on("/never", |exchange| {
        exchange.read_body()?;
        let nonce: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
        let fields = [("WWW-Authenticate", "DPoP error=\"use_dpop_nonce\""), ("DPoP-Nonce", &nonce)];
        exchange.answer(401, &fields, "again")
    });
    let bearerd = stage.setup().start_ready();
    let response = bearerd.get("/never").expect(401);
    assert_eq!(response.field("dpop-nonce"), None);
    assert!(response.field("proxy-status").is_some_and(|value| value.contains("T031")), "{}", response.raw_head);
    assert_eq!(stage.upstream.requests_for("/never").len(), 2);
    assert_eq!(stage.endpoint.count(), 1);
    // What is wrong with the proof and can be seen from nothing is not tried again either.
    stage.upstream.on("/bad", |exchange| {
        exchange.read_body()?;
        exchange.answer(401, &[("WWW-Authenticate", "DPoP error=\"invalid_dpop_proof\"")], "bad")
    });
    assert_eq!(bearerd.get("/bad").expect(401).text(), "bad");
    assert_eq!((stage.upstream.requests_for("/bad").len(), stage.endpoint.count()), (1, 1));
    // Neither is a scope that is missing.
    stage.upstream.on("/scope", |exchange| {
        exchange.read_body()?;
        exchange.answer(401, &[("WWW-Authenticate", "DPoP error=\"insufficient_scope\"")], "scope")
    });
    assert_eq!(bearerd.get("/scope").expect(401).field("proxy-status"), None);
    assert_eq!((stage.upstream.requests_for("/scope").len(), stage.endpoint.count()), (1, 1));
}

#[test]
fn a_clock_that_differs_is_corrected_by_the_servers_own() {
    for ahead in [3_000, -3_000] {
        let stage = Stage::new(300);
        stage.issuer.set_clock_ahead(ahead);
        stage.api.set_clock_ahead(ahead / 2);
        let bearerd = stage.setup().start_ready();
        for target in ["/first", "/second"] {
            bearerd.send(&Request::post(target, "body")).expect(200);
        }
        assert_eq!(stage.endpoint.count(), 2, "{ahead}");
        assert_eq!(stage.upstream.requests_for("/first").len(), 2, "{ahead}");
        assert_eq!(stage.upstream.requests_for("/second").len(), 1, "{ahead}");
        assert_eq!(bearerd.token_requests("refused"), 0.0);
        stage.expect_no_wrong_proof();
    }
}

#[test]
fn a_token_that_is_bound_to_no_key_is_not_used() {
    let stage = Stage::new(300);
    stage.endpoint.always(Reply::Token);
    let bearerd = stage.setup().start();
    bearerd.wait_for_log("T029", 5.0);
    bearerd.get("/x").expect_problem(503, "T029");
    assert_eq!(stage.upstream.count(), 0);
    assert!(bearerd.log_with("T029")[0].contains("Bearer"), "{:?}", bearerd.log_with("T029"));
    assert_eq!(bearerd.token_requests("refused"), 1.0);
}

#[test]
fn a_refresh_token_that_comes_with_an_unusable_token_is_the_one_that_is_used_next() {
    let stage = Stage::new(300);
    let answer = |kind: &str, token: &str, next: &str| {
        let body = json!({ "access_token": token, "token_type": kind, "expires_in": 300, "refresh_token": next });
        Reply::json(200, body.to_string())
    };
    let first = answer("Bearer", "unused-canary-token", "rt-canary-2");
    stage.endpoint.next([first, answer("DPoP", "used-canary-token", "rt-canary-3")]);
    for secret in ["unused-canary-token", "used-canary-token", "rt-canary-1", "rt-canary-2", "rt-canary-3"] {
        stage.endpoint.canaries().add(secret);
    }
    let setup = stage.setup().credential("grant_type = \"refresh_token\"\nrefresh_token = \"rt-canary-1\"");
    std::fs::create_dir(setup.directory().join("state")).unwrap();
    let bearerd = setup.top("state_directory = \"state\"").start();
    bearerd.wait_for_log("T029", 5.0);
    Request::new("POST", "/retry/api").send(bearerd.admin());
    bearerd.wait_ready(5.0);
    let sent: Vec<_> = stage.endpoint.requests().iter().filter_map(|request| request.field("refresh_token")).collect();
    assert_eq!(sent, ["rt-canary-1", "rt-canary-2"]);
}

#[test]
fn a_proof_that_the_token_endpoint_refuses_has_a_code_of_its_own() {
    let stage = Stage::new(300);
    stage.endpoint.always(Reply::json(400, r#"{"error":"invalid_dpop_proof","error_description":"htu mismatch"}"#));
    let bearerd = stage.setup().start();
    bearerd.wait_for_log("T028", 5.0);
    assert!(bearerd.log_with("T028")[0].contains("htu mismatch"));
    assert_eq!(stage.endpoint.count(), 1);
}

#[test]
fn a_key_is_rotated_under_load_without_a_failed_request() {
    let stage = Stage::new(2);
    let setup = stage.setup();
    let key = setup.directory().join("dpop.pem");
    write_key(&key);
    let text = setup.text().replace("dpop = true", "dpop = { key = { file = \"dpop.pem\" }, algorithm = \"ES256\" }");
    let bearerd = setup.file(&text, &["api"]).start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.003), Request::get("/items"));
    for keys in 2..=3 {
        let next = key.with_extension("new");
        write_key(&next);
        std::fs::rename(&next, &key).unwrap();
        eventually("a token that is bound to the new key", seconds(10.0), || stage.api.keys().len() == keys);
    }
    load.stop().expect_all_ok();
    stage.expect_no_wrong_proof();
    assert_eq!(bearerd.rejections("replayed"), 0.0);
}

#[test]
fn check_proves_possession_too_when_it_fetches_and_probes() {
    let stage = Stage::new(300);
    stage.issuer.rotate();
    stage.api.rotate();
    let setup = stage.setup();
    let mut command = setup.command("check");
    command.args(["--fetch", "--probe", "/items?a=b"]);
    let ended = finish(command, setup.canaries()).expect_code(0);
    assert!(ended.stdout.contains("bound to the DPoP key") && ended.stdout.contains("200"), "{}", ended.stdout);
    assert!(stage.issuer.keys().iter().all(|key| ended.stdout.contains(key)), "{}", ended.stdout);
    stage.expect_no_wrong_proof();
}

#[test]
fn a_websocket_handshake_has_a_proof_and_survives_a_new_nonce() {
    let stage = Stage::new(300);
    stage.api.rotate();
    let api = stage.api.clone();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    stage.upstream.on("/socket", move |exchange| {
        if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            let fields = [("WWW-Authenticate", "DPoP error=\"use_dpop_nonce\""), ("DPoP-Nonce", "for-sockets")];
            return exchange.answer(401, &fields, "");
        }
        let (_, claims) = verified(exchange.head.fields.first("dpop").unwrap()).unwrap();
        assert_eq!((&claims["nonce"], &claims["htm"]), (&json!("for-sockets"), &json!("GET")));
        let head = "HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nDPoP-Nonce: next\r\n\r\n";
        exchange.wire.send(head)?;
        let came = exchange.wire.some()?;
        exchange.wire.send(came)?;
        Ok(After::Close)
    });
    let bearerd = stage.setup().start_ready();
    let request = Request::get("/socket")
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .field("Sec-WebSocket-Version", "13");
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(request.bytes(bearerd.address())).unwrap();
    let response = read_response_head(&mut wire).unwrap().expect(101);
    assert_eq!(response.field("dpop-nonce"), None);
    wire.send("hello").unwrap();
    assert_eq!(wire.exactly(5).unwrap(), b"hello");
    assert!(api.wrong().is_empty());
}

#[test]
fn an_http2_upstream_gets_a_proof_with_each_request() {
    if skip_unless(installed("nghttpd"), "nghttpd") {
        return;
    }
    let stage = Stage::new(300);
    let address = free_address();
    let setup = stage.setup().upstream(&format!("http://{address}")).route("upstream_protocol = \"h2\"");
    let directory = setup.directory().to_owned();
    std::fs::write(directory.join("small"), "small\n").unwrap();
    let mut command = Command::new("nghttpd");
    command.args(["-v", "-a", "127.0.0.1", "-d", ".", "--no-tls"]).arg(address.port().to_string());
    let server = Daemon::start(command.current_dir(&directory), address, &directory.join("nghttpd.log"));
    let bearerd = setup.start_ready();
    for _ in 0..3 {
        assert_eq!(bearerd.get("/small?x").expect(200).text(), "small\n");
    }
    let printed = server.printed();
    let proofs: Vec<_> = printed.lines().filter_map(|line| line.split_once("dpop: ")).collect();
    assert_eq!(proofs.len(), 3, "{printed}");
    let mut ids = std::collections::HashSet::new();
    for (before, proof) in proofs {
        assert!(before.contains("sensitive"), "{before}");
        let (_, claims) = verified(proof.trim()).unwrap();
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("GET"), &json!(format!("http://{address}/small"))));
        assert!(ids.insert(claims["jti"].to_string()));
    }
}
