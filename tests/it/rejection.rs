//! The 401 cycle (DESIGN section 5): a token that the upstream rejects is replaced, and the request sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::client::{Load, burst, read_response, read_response_head, statuses};
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Bearerd, Reply, Request, Standing, eventually, seconds, stage, throughout};

/// What the scripted upstream says to a token that it does not accept.
const DENIAL: &str = r#"{"detail":"token not accepted"}"#;

#[test]
fn a_revoked_token_is_healed_with_one_fetch_and_one_replay() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    bearerd.get("/items?after=revocation").expect(200);
    assert_eq!(endpoint.count(), 2);
    let seen = upstream.requests_for("/items?after=revocation");
    assert_eq!(seen.iter().map(|seen| seen.standing).collect::<Vec<_>>(), [Standing::Revoked, Standing::Live]);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn two_hundred_requests_rejected_at_once_cost_one_token_request() {
    const CALLERS: usize = 200;
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let answers = burst(bearerd.address(), CALLERS, |n| Request::get(&format!("/items/{n}")));
    assert_eq!(statuses(&answers), [(200, CALLERS)].into());
    assert_eq!(endpoint.count(), 2, "token requests, the first one included");
    assert!(upstream.count() <= 2 * CALLERS, "{} requests at the upstream", upstream.count());
    assert_eq!(upstream.with_token(Standing::Live), CALLERS);
}

#[test]
fn a_body_of_known_length_is_sent_again() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for (method, size) in [("POST", 5), ("PATCH", 20_000), ("PUT", 60_000), ("DELETE", 0)] {
        endpoint.tokens().revoke_all();
        let body: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(size).collect();
        let target = format!("/{method}/{size}");
        bearerd.send(&Request::new(method, &target).body(body.clone())).expect(200);
        let seen = upstream.requests_for(&target);
        assert_eq!(seen.len(), 2, "{method} {size}");
        assert!(seen[1].body == body, "{method} {size}: the replay has another body");
        if size > 0 {
            assert_eq!(seen[1].head.fields.all("content-length"), [size.to_string()]);
        }
    }
}

#[test]
fn a_chunked_body_within_the_limit_is_sent_again() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(chunked_head(&bearerd, "/upload")).unwrap();
    for part in ["first ", "second ", "third"] {
        wire.send(chunk(part)).unwrap();
    }
    wire.send("0\r\n\r\n").unwrap();
    read_response(&mut wire, "POST").unwrap().expect(200);
    let seen = upstream.requests_for("/upload");
    assert_eq!(seen.len(), 2);
    assert_eq!(String::from_utf8_lossy(&seen[1].body), "first second third");
}

#[test]
fn a_streamed_body_over_the_limit_gets_the_original_and_a_new_token_is_fetched() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(chunked_head(&bearerd, "/upload")).unwrap();
    for _ in 0..30 {
        wire.send(chunk(vec![b'x'; 8 * 1024])).unwrap();
    }
    wire.send("0\r\n\r\n").unwrap();
    let response = read_response(&mut wire, "POST").unwrap().expect(401);
    assert_eq!(response.text(), DENIAL);
    assert_eq!(response.field("x-from"), Some("upstream"));
    assert!(response.field("www-authenticate").is_some_and(|value| value.contains("invalid_token")));
    assert_eq!(upstream.requests_for("/upload").len(), 1, "nothing is sent twice");
    endpoint.wait_for(2, 3.0);
    assert_eq!(bearerd.rejections("passed_body"), 1.0);
    eventually("the new token in use", seconds(3.0), || {
        let count = upstream.count();
        bearerd.get("/next").status == 200 && upstream.count() == count + 1
    });
    assert_eq!(endpoint.count(), 2);
}

#[test]
fn the_limit_is_configurable() {
    let (endpoint, upstream, setup) = stage(300);
    let setup = setup.section("[credentials.api.rejection]\nreplay_body_limit = \"100B\"");
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    bearerd.send(&Request::post("/long", vec![b'x'; 101])).expect(401);
    endpoint.wait_for(2, 3.0);
    settle(&bearerd);
    endpoint.tokens().revoke_all();
    bearerd.send(&Request::post("/short", vec![b'x'; 100])).expect(200);
    assert_eq!((upstream.requests_for("/long").len(), upstream.requests_for("/short").len()), (1, 2));
}

#[test]
fn bodies_beyond_the_memory_for_replays_get_the_original() {
    let (endpoint, upstream, setup) = stage(300);
    // Nothing is rejected before all bodies are there.
    let arrived = Arc::new(AtomicUsize::new(0));
    upstream.on("/kept", move |exchange| {
        exchange.read_body()?;
        arrived.fetch_add(1, Ordering::SeqCst);
        eventually("every body", seconds(10.0), || arrived.load(Ordering::SeqCst) >= 8);
        exchange.ordinary()
    });
    let bearerd = setup.section("[limits]\nreplay_memory = \"200KiB\"").start_ready();
    endpoint.tokens().revoke_all();
    let answers = burst(bearerd.address(), 8, |n| Request::post(&format!("/kept/{n}"), vec![b'm'; 50 * 1024]));
    let counts = statuses(&answers);
    let (healed, passed) = (counts[&200], counts[&401]);
    assert!(healed + passed == 8 && (1..=4).contains(&healed), "{counts:?}");
    assert_eq!(bearerd.rejections("passed_memory"), passed as f64);
    assert_eq!(endpoint.count(), 2);
    eventually("the memory given back", seconds(3.0), || {
        bearerd.metric("bearerd_replay_memory_bytes", &[]) == Some(0.0)
    });
}

#[test]
fn an_upstream_that_answers_and_closes_before_it_read_the_body_does_not_lose_its_answer() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/closes", |exchange| {
        if exchange.token_is_live() {
            return exchange.ordinary();
        }
        // Bytes of the body are left unread, so the close is a reset.
        exchange.deny()?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    for (n, size) in [(0, 40_000), (1, 60_000), (2, 2_000_000), (3, 8_000_000)] {
        endpoint.tokens().revoke_all();
        let target = format!("/closes/{n}");
        let response = bearerd.send(&Request::post(&target, vec![b'b'; size]));
        if size <= 64 * 1024 {
            response.expect(200);
            let seen = upstream.requests_for(&target);
            assert_eq!(seen.last().map(|seen| seen.body.len()), Some(size));
        } else {
            assert_eq!(response.expect(401).text(), DENIAL, "{size} bytes");
        }
        settle(&bearerd);
    }
}

#[test]
fn a_rejection_before_the_end_of_the_body_waits_for_the_rest_and_replays() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/early", |exchange| {
        if exchange.token_is_live() { exchange.ordinary() } else { exchange.deny().map(|_| After::Close) }
    });
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let request = Request::post("/early", vec![b'y'; 2_000]);
    let bytes = request.bytes(bearerd.address());
    let (first, second) = bytes.split_at(bytes.len() - 1_000);
    wire.send(first).unwrap();
    // The caller goes on only after the upstream has rejected.
    eventually("the rejected attempt", seconds(5.0), || upstream.requests_for("/early").len() == 1);
    wire.send(second).unwrap();
    read_response(&mut wire, "POST").unwrap().expect(200);
    let seen = upstream.requests_for("/early");
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].body, vec![b'y'; 2_000]);
}

#[test]
fn a_fetch_that_fails_passes_the_original_intact_at_once() {
    let (endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for reply in [Reply::text(503, "text/plain", "no"), Reply::json(401, r#"{"error":"invalid_client"}"#)] {
        endpoint.tokens().revoke_all();
        endpoint.always(reply);
        let start = crate::support::now();
        let response = bearerd.get("/items").expect(401);
        assert!(start.elapsed() < seconds(3.0), "{:?}", start.elapsed());
        assert_eq!(response.text(), DENIAL);
        assert_eq!(response.fields.all("x-from"), ["upstream"]);
        assert_eq!(response.field("content-type"), None, "nothing is added to the upstream's answer");
    }
    assert!(bearerd.rejections("passed_unavailable") >= 2.0);
}

#[test]
fn the_same_token_again_passes_the_original() {
    let (endpoint, upstream, setup) = stage(300);
    let token = endpoint.tokens().issue();
    endpoint.always(Reply::json(200, format!(r#"{{"access_token":"{token}","expires_in":300}}"#)));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    assert_eq!(bearerd.get("/items?again").expect(401).text(), DENIAL);
    assert_eq!(upstream.requests_for("/items?again").len(), 1, "a replay with the same token is pointless");
}

#[test]
fn a_replay_that_is_rejected_too_says_so() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/secret", |exchange| {
        let body = format!("attempt of {}", exchange.head.fields.first("authorization").unwrap_or_default().len());
        exchange.answer(401, &[("WWW-Authenticate", "Bearer realm=\"api\""), ("X-From", "upstream")], body)
    });
    let bearerd = setup.start_ready();
    let response = bearerd.get("/secret").expect(401);
    assert!(response.text().starts_with("attempt of"), "{response:?}");
    assert!(response.field("proxy-status").is_some_and(|value| value.starts_with("bearerd")), "{response:?}");
    assert_eq!(upstream.requests_for("/secret").len(), 2);
    assert_eq!(bearerd.rejections("passed_again"), 1.0);
}

#[test]
fn a_replay_that_is_not_answered_passes_the_original_intact() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/flaky", |exchange| if exchange.token_is_live() { Ok(After::Close) } else { exchange.deny() });
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let response = bearerd.send(&Request::post("/flaky", "once")).expect(401);
    assert_eq!(response.text(), DENIAL);
    assert_eq!(response.field("x-from"), Some("upstream"));
    assert_eq!(upstream.with_token(Standing::Live), 1);
}

#[test]
fn a_path_that_always_says_401_costs_next_to_nothing() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/forbidden", |exchange| exchange.answer(401, &[("X-From", "upstream")], "the upstream's own words"));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    let load = Load::start(bearerd.address(), 4, seconds(0.002), Request::get("/forbidden"));
    throughout("few token requests", seconds(6.0), || endpoint.count() <= 6);
    let report = load.stop();
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [401], "{report:?}");
    let attempts = upstream.requests_for("/forbidden").len();
    assert!(attempts <= report.total() + report.total() / 20 + 20, "{attempts} attempts for {}", report.total());
    assert_eq!(bearerd.get("/forbidden").text(), "the upstream's own words");
    assert!(bearerd.rejections("passed_gap") > 0.0);

    // A real revocation on a path that worked is healed at once all the same.
    bearerd.get("/items").expect(200);
    let before = endpoint.count();
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.count(), before + 1);
}

#[test]
fn insufficient_scope_is_never_about_the_token() {
    let (endpoint, upstream, setup) = stage(300);
    let challenge = r#"Bearer error="insufficient_scope", scope="read:messages""#;
    upstream.on("/scoped", move |exchange| {
        exchange.answer(403, &[("WWW-Authenticate", challenge)], r#"{"error":"insufficient_scope"}"#)
    });
    upstream.on("/scoped401", move |exchange| exchange.answer(401, &[("WWW-Authenticate", challenge)], "no"));
    let bearerd = setup.start_ready();
    let response = bearerd.get("/scoped").expect(403);
    assert_eq!(response.text(), r#"{"error":"insufficient_scope"}"#);
    assert_eq!(response.field("www-authenticate"), Some(challenge));
    bearerd.get("/scoped401").expect(401);
    assert_eq!((endpoint.count(), upstream.count()), (1, 2));
}

#[test]
fn a_body_rule_makes_a_403_a_rejection() {
    let (endpoint, upstream, setup) = stage(300);
    let setup = setup.section("[credentials.api.rejection]\nbody = [{ status = 403, contains = \"token_expired\" }]");
    upstream.on("/expired", |exchange| {
        if exchange.token_is_live() { exchange.ordinary() } else { exchange.answer(403, &[], "why: token_expired") }
    });
    upstream.on("/other", |exchange| exchange.answer(403, &[], "you may not"));
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    bearerd.get("/expired").expect(200);
    assert_eq!(bearerd.get("/other").expect(403).text(), "you may not");
    assert_eq!(endpoint.count(), 2);
    // The rule is written in the configuration, so POST may be sent again too.
    endpoint.tokens().revoke_all();
    bearerd.send(&Request::post("/expired", "x")).expect(200);
}

#[test]
fn a_challenge_with_invalid_token_rejects_whatever_the_4xx() {
    for status in [400, 403, 404] {
        let (endpoint, upstream, setup) = stage(300);
        upstream.on("/checked", move |exchange| {
            let challenge = r#"Basic realm="x", Bearer realm="api", error="invalid_token""#;
            if exchange.token_is_live() {
                return exchange.ordinary();
            }
            exchange.answer(status, &[("WWW-Authenticate", challenge)], "rejected")
        });
        let bearerd = setup.start_ready();
        endpoint.tokens().revoke_all();
        bearerd.get("/checked").expect(200);
        assert_eq!(endpoint.count(), 2);
        // Only a 401 says that nothing was applied (RFC 9110 §15.5.2), so a POST is not sent twice here.
        endpoint.tokens().revoke_all();
        assert_eq!(bearerd.send(&Request::post("/checked", "x")).expect(status).text(), "rejected");
        assert_eq!(upstream.requests_for("/checked").len(), 3);
        endpoint.wait_for(3, 3.0);
    }
}

#[test]
fn replay_idempotent_never_sends_post_or_patch_twice() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.section("[credentials.api.rejection]\nreplay = \"idempotent\"").start_ready();
    for (n, (method, status)) in [("POST", 401), ("PATCH", 401), ("PUT", 200), ("GET", 200)].into_iter().enumerate() {
        endpoint.tokens().revoke_all();
        let target = format!("/{method}");
        let response = bearerd.send(&Request::new(method, &target).body("x")).expect(status);
        let attempts = upstream.requests_for(&target).len();
        assert_eq!(attempts, if status == 401 { 1 } else { 2 }, "{method}");
        if status == 401 {
            assert_eq!(response.text(), DENIAL);
        }
        settle(&bearerd);
        assert_eq!(endpoint.count(), n + 2);
    }
    assert_eq!(bearerd.rejections("passed_unsafe"), 2.0);
}

#[test]
fn a_body_that_waits_for_100_continue_is_sent_after_the_rejection_too() {
    let (endpoint, upstream, setup) = stage(300);
    // An upstream that looks at the token before it asks for the body.
    upstream.on("/expect", |exchange| if exchange.token_is_live() { exchange.ordinary() } else { exchange.deny() });
    let bearerd = setup.start_ready();
    for (revoke, attempts) in [(false, 1), (true, 2)] {
        if revoke {
            endpoint.tokens().revoke_all();
        }
        let target = format!("/expect/{revoke}");
        let mut wire = Wire::connect(bearerd.address()).unwrap();
        let request = Request::post(&target, "").field("Expect", "100-continue");
        let head = String::from_utf8(request.head_bytes(bearerd.address())).unwrap();
        wire.send(head.replace("Content-Length: 0", "Content-Length: 5")).unwrap();
        let interim = wire.head().unwrap().unwrap();
        assert_eq!(interim.word(1), "100", "{interim:?}");
        wire.send("hello").unwrap();
        read_response(&mut wire, "POST").unwrap().expect(200);
        let seen = upstream.requests_for(&target);
        assert_eq!(seen.len(), attempts, "revoked: {revoke}");
        assert_eq!(seen.last().unwrap().body, b"hello");
    }
}

#[test]
fn an_upstream_that_never_says_100_gets_the_body_after_a_second() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/silent", |exchange| {
        let (body, _) = exchange.wire.body(exchange.head.request_framing())?;
        exchange.answer(200, &[], format!("{}", body.len()))?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let request = Request::post("/silent", "").field("Expect", "100-continue");
    let head = String::from_utf8(request.head_bytes(bearerd.address())).unwrap();
    wire.send(head.replace("Content-Length: 0", "Content-Length: 5")).unwrap();
    let start = crate::support::now();
    assert_eq!(wire.head().unwrap().unwrap().word(1), "100");
    assert!(start.elapsed() < seconds(4.0), "{:?}", start.elapsed());
    wire.send("hello").unwrap();
    assert_eq!(read_response(&mut wire, "POST").unwrap().expect(200).text(), "5");
}

#[test]
fn head_is_replayed_and_has_no_body() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let request = Request::new("HEAD", "/items");
    wire.send(request.bytes(bearerd.address())).unwrap();
    let response = read_response(&mut wire, "HEAD").unwrap().expect(200);
    assert!(response.field("content-length").is_some_and(|value| value != "0"), "{response:?}");
    // The connection is still in step.
    wire.send(Request::get("/second").bytes(bearerd.address())).unwrap();
    assert_eq!(read_response(&mut wire, "GET").unwrap().expect(200).json()["target"], "/second");
    assert_eq!(upstream.requests_for("/items").len(), 2);
}

#[test]
fn trailers_are_replayed_with_their_body() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = chunked_head(&bearerd, "/trailers").replace("\r\n\r\n", "\r\nTrailer: X-Sum\r\n\r\n");
    wire.send(head).unwrap();
    wire.send([chunk("hello"), b"0\r\nX-Sum: 42\r\n\r\n".to_vec()].concat()).unwrap();
    read_response(&mut wire, "POST").unwrap().expect(200);
    let seen = upstream.requests_for("/trailers");
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].trailers.first("x-sum"), Some("42"), "{:?}", seen[1]);
}

#[test]
fn a_caller_that_hangs_up_cancels_nothing() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    endpoint.always(Reply::Token.late(1.0));
    let address = bearerd.address();
    let wire = Wire::connect(address).unwrap();
    wire.send(Request::get("/first").bytes(address)).unwrap();
    endpoint.wait_for(2, 3.0);
    let others = std::thread::spawn(move || burst(address, 10, |n| Request::get(&format!("/others/{n}"))));
    drop(wire);
    assert_eq!(statuses(&others.join().unwrap()), [(200, 10)].into());
    assert_eq!(endpoint.count(), 2);
    assert_eq!(upstream.with_token(Standing::Live), 10);
}

#[test]
fn nothing_of_a_rejected_answer_reaches_the_caller_before_it_is_decided() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    endpoint.always(Reply::Token.late(0.7));
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/items").bytes(bearerd.address())).unwrap();
    eventually("the rejected attempt", seconds(3.0), || upstream.count() == 1);
    wire.socket().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(read_response_head(&mut wire).is_err(), "bytes came before the decision");
    wire.socket().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    read_response(&mut wire, "GET").unwrap().expect(200);
}

#[test]
fn a_long_rejected_answer_passes_whole() {
    let (endpoint, upstream, setup) = stage(300);
    let long: String = "0123456789abcdef".repeat(20_000);
    let body = long.clone();
    upstream.on("/long", move |exchange| exchange.answer(401, &[("X-From", "upstream")], &body));
    let bearerd = setup.start_ready();
    endpoint.always(Reply::text(500, "text/plain", "no"));
    let response = bearerd.get("/long").expect(401);
    assert!(response.text() == long, "{} bytes of {}", response.body.len(), long.len());
}

#[test]
fn a_token_revoked_right_after_its_issue_is_healed() {
    let (endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for round in 0..3 {
        endpoint.tokens().revoke_all();
        bearerd.get("/items").expect(200);
        assert_eq!(endpoint.count(), round + 2);
    }
}

/// Waits until the token in use is good, so that the next revocation takes back that one.
fn settle(bearerd: &Bearerd) {
    eventually("a good token", seconds(3.0), || bearerd.get("/settle").status == 200);
}

fn chunked_head(bearerd: &Bearerd, target: &str) -> String {
    let request = Request::new("POST", target).field("Transfer-Encoding", "chunked");
    String::from_utf8(request.head_bytes(bearerd.address())).unwrap()
}
