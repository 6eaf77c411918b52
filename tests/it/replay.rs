//! Requests with bodies in the 401 cycle (DESIGN section 5, point 5): what is kept, what is sent again, what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::client::{burst, read_response, read_response_head, statuses};
use crate::support::upstream::DENIAL;
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Request, eventually, seconds, stage};

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
    wire.send(Request::chunked("/upload").head_text(bearerd.address())).unwrap();
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
    wire.send(Request::chunked("/upload").head_text(bearerd.address())).unwrap();
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
    bearerd.settle();
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
        bearerd.settle();
    }
}

#[test]
fn who_uploads_too_much_to_be_sent_again_before_reading_anything_reads_the_rejection() {
    const LENGTH: usize = 32 * 1024 * 1024;
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/long", |exchange| {
        // More than fits on its way to somebody who does not read it.
        exchange.answer(401, &[("WWW-Authenticate", "Bearer")], vec![b'd'; LENGTH])?;
        exchange.wire.closes_within(seconds(20.0));
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::post("/long", vec![b'u'; LENGTH]).bytes(bearerd.address())).unwrap();
    assert_eq!(read_response(&mut wire, "POST").unwrap().expect(401).body.len(), LENGTH);
    assert_eq!(bearerd.rejections("passed_body"), 1.0);
}

#[test]
fn a_rejection_that_breaks_off_passes_as_far_as_it_came_if_the_replay_is_not_answered() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/broken", |exchange| {
        if !exchange.token_is_live() {
            exchange.wire.send("HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nContent-Length: 10\r\n\r\n")?;
        }
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/broken").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(401);
    assert_eq!(wire.rest(seconds(5.0)), b"");
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
        let head = request.head_text(bearerd.address());
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
    let head = request.head_text(bearerd.address());
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
    let head =
        Request::chunked("/trailers").head_text(bearerd.address()).replace("\r\n\r\n", "\r\nTrailer: X-Sum\r\n\r\n");
    wire.send(head).unwrap();
    wire.send([chunk("hello"), b"0\r\nX-Sum: 42\r\n\r\n".to_vec()].concat()).unwrap();
    read_response(&mut wire, "POST").unwrap().expect(200);
    let seen = upstream.requests_for("/trailers");
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].trailers.first("x-sum"), Some("42"), "{:?}", seen[1]);
}

/// RFC 9209 §2: each intermediary adds to the field, and the first that was there first comes first.
#[test]
fn a_rejection_of_the_replay_too_is_told_beside_what_others_have_told() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/never", |exchange| {
        exchange.read_body()?;
        exchange.answer(401, &[("Proxy-Status", "edge; error=http_request_denied")], DENIAL)
    });
    let bearerd = setup.start_ready();
    let response = bearerd.get("/never").expect(401);
    let told = response.fields.all("proxy-status");
    assert_eq!((told.len(), told[0]), (2, "edge; error=http_request_denied"), "{}", response.raw_head);
    assert!(told[1].starts_with("bearerd; received-status=401"), "{}", response.raw_head);
    assert_eq!(upstream.requests_for("/never").len(), 2);
}
