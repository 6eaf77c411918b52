//! Callers and upstreams that mean harm, or behave as if they did: nothing hangs, nothing stays, nobody gets another's answer.

use crate::support::client::{read_response, read_response_head};
use crate::support::wire::Wire;
use crate::support::{After, Bearerd, Request, eventually, now, seconds, stage};

#[test]
fn the_authority_of_an_absolute_target_is_what_keep_host_forwards() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.route("keep_host = true").start_ready();
    // The Host line was never checked: the target decides (RFC 9112 §3.2.2).
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send("GET http://app.localhost/items HTTP/1.1\r\nHost: evil.test\r\n\r\n").unwrap();
    read_response(&mut wire, "GET").unwrap().expect(200);
    assert_eq!(upstream.only_request().head.fields.all("host"), ["app.localhost"]);
}

#[test]
fn a_length_beside_chunks_is_not_believed() {
    let (_endpoint, upstream, setup) = stage(300);
    for (path, length) in [("/short", 2), ("/long", 20)] {
        upstream.on(path, move |exchange| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n");
            exchange.wire.send(head + "4\r\nfour\r\n0\r\n\r\n")?;
            Ok(After::KeepAlive)
        });
    }
    let bearerd = setup.start_ready();
    for path in ["/short", "/long"] {
        let answer = bearerd.get(path).expect(200);
        assert_eq!(answer.text(), "four");
        assert!(!answer.fields.has("content-length"), "{answer:?}");
    }
    assert_eq!(upstream.connections(), 2, "who cannot frame one answer is not trusted with the next");
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_502() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/switch", |exchange| {
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        exchange.wire.send(head)?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    bearerd.get("/switch").expect_problem(502, "U007");
    // This one is never asked for on anybody's behalf.
    let asked = Request::get("/switch").field("Connection", "upgrade").field("Upgrade", "h2c");
    bearerd.send(&asked).expect_problem(502, "U007");
}

#[test]
fn an_answer_of_http_1_0_is_given_in_our_own_version() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/old", |exchange| {
        exchange.wire.send("HTTP/1.0 200 OK\r\n\r\nold")?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    for _ in 0..2 {
        wire.send(Request::get("/old").bytes(bearerd.address())).unwrap();
        let answer = read_response(&mut wire, "GET").unwrap().expect(200);
        assert_eq!(answer.text(), "old");
        assert!(answer.fields.has("transfer-encoding"), "its end can be told from a broken connection: {answer:?}");
    }
}

#[test]
fn interim_answers_without_end_are_502_and_hold_up_nobody() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/flood", |exchange| {
        let hundred = "HTTP/1.1 100 Continue\r\n\r\n".repeat(4000);
        while exchange.wire.send(&hundred).is_ok() {}
        Ok(After::Close)
    });
    let bearerd = setup.top("workers = 1").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/flood").bytes(bearerd.address())).unwrap();
    let start = now();
    bearerd.get("/items").expect(200);
    read_response(&mut wire, "GET").unwrap().expect_problem(502, "U007");
    assert!(start.elapsed() < seconds(3.0), "{:?}", start.elapsed());
}

#[test]
fn an_upload_that_is_abandoned_after_its_answer_leaves_nothing_behind() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/accepted", |exchange| {
        exchange.wire.send("HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nsoon")?;
        exchange.wire.closes_within(seconds(60.0));
        Ok(After::Close)
    });
    upstream.on("/rejected", |exchange| {
        exchange.wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")?;
        exchange.wire.closes_within(seconds(60.0));
        Ok(After::Close)
    });
    let bearerd = setup.section("[timeouts]\nrequest_body_idle = \"1s\"").start_ready();
    let callers: Vec<Wire> = ["/accepted", "/rejected"].into_iter().map(|path| abandon(&bearerd, path)).collect();
    let gone =
        || gauge(&bearerd, "bearerd_connections") == 0.0 && gauge(&bearerd, "bearerd_replay_memory_bytes") == 0.0;
    eventually("connections closed and kept bytes given back", seconds(20.0), gone);
    drop(callers);
}

/// Sends half a body, reads the answer, and falls silent.
fn abandon(bearerd: &Bearerd, path: &str) -> Wire {
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::new("POST", path).field("Content-Length", "10");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    wire.send("half ").unwrap();
    read_response_head(&mut wire).unwrap();
    wire
}

fn gauge(bearerd: &Bearerd, name: &str) -> f64 {
    bearerd.metric(name, &[]).unwrap()
}

#[test]
fn an_answer_whose_body_is_searched_and_never_comes_passes_as_far_as_it_came() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/half", |exchange| {
        exchange.wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf")?;
        exchange.wire.closes_within(seconds(30.0));
        Ok(After::Close)
    });
    let rule = "[credentials.api.rejection]\nbody = [{ status = 403, contains = \"token_expired\" }]";
    let bearerd = setup.section(rule).section("[timeouts]\nresponse_head = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/half").bytes(bearerd.address())).unwrap();
    let start = now();
    read_response_head(&mut wire).unwrap().expect(403);
    assert!(start.elapsed() < seconds(5.0), "{:?}", start.elapsed());
    assert_eq!(endpoint.count(), 1, "what cannot be read says nothing of the token");
}
