//! Bodies stream both ways (DESIGN section 6): nothing is buffered, nothing is lost, an end is an end.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc;

use crate::support::bulk::{self, Version, Way};
use crate::support::client::{read_response, read_response_head};
use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, frame, request};
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Request, eventually, seconds, stage};

#[test]
fn server_sent_events_pass_one_by_one() {
    let (_endpoint, upstream, setup) = stage(300);
    let (next, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    upstream.on("/events", move |exchange| {
        exchange
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for n in 0..5 {
            exchange.wire.send(chunk(format!("data: {n}\n\n")))?;
            // The next event is sent only after the caller has this one.
            if wait.lock().unwrap().recv_timeout(seconds(5.0)).is_err() {
                return Ok(After::Close);
            }
        }
        exchange.wire.send("0\r\n\r\n")?;
        Ok(After::KeepAlive)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/events").bytes(bearerd.address())).unwrap();
    let head = read_response_head(&mut wire).unwrap().expect(200);
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for n in 0..5 {
        assert_eq!(wire.chunk().unwrap().unwrap(), format!("data: {n}\n\n").into_bytes());
        next.send(()).unwrap();
    }
    assert_eq!(wire.chunk().unwrap(), None);
}

#[test]
fn an_event_stream_and_a_long_poll_outlive_renewals_and_rejections() {
    let (endpoint, upstream, setup) = stage(2);
    let gate = Arc::new(std::sync::Barrier::new(3));
    let (of_events, of_poll) = (Arc::clone(&gate), Arc::clone(&gate));
    upstream.on("/events", move |exchange| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        exchange.wire.send(head)?;
        exchange.wire.send(chunk("data: 0\n\n"))?;
        of_events.wait();
        exchange.wire.send(chunk("data: 1\n\n"))?;
        exchange.wire.send("0\r\n\r\n")?;
        Ok(After::KeepAlive)
    });
    upstream.on("/poll", move |exchange| {
        of_poll.wait();
        exchange.answer(200, &[], "news")
    });
    let bearerd = setup.start_ready();
    let open = |target: &str| {
        let wire = Wire::connect(bearerd.address()).unwrap();
        wire.send(Request::get(target).bytes(bearerd.address())).unwrap();
        wire
    };
    let (mut events, mut poll) = (open("/events"), open("/poll"));
    read_response_head(&mut events).unwrap().expect(200);
    assert_eq!(events.chunk().unwrap().unwrap(), b"data: 0\n\n");
    let renewals = endpoint.count();
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    endpoint.wait_for(renewals + 3, 15.0);
    gate.wait();
    assert_eq!(events.chunk().unwrap().unwrap(), b"data: 1\n\n");
    assert_eq!(events.chunk().unwrap(), None);
    assert_eq!(read_response(&mut poll, "GET").unwrap().expect(200).text(), "news");
}

#[test]
fn a_request_body_streams_while_it_is_sent() {
    let (_endpoint, upstream, setup) = stage(300);
    let (got, parts) = mpsc::channel::<Vec<u8>>();
    let got = std::sync::Mutex::new(got);
    upstream.on("/up", move |exchange| {
        while let Some(part) = exchange.wire.chunk()? {
            got.lock().unwrap().send(part).unwrap();
        }
        exchange.wire.trailers()?;
        exchange.answer(200, &[], "done").map(|_| After::Close)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::chunked("/up");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    for n in 0..5 {
        wire.send(chunk(format!("part {n}"))).unwrap();
        let part = parts.recv_timeout(seconds(5.0)).expect("the part before the next one is sent");
        assert_eq!(String::from_utf8_lossy(&part), format!("part {n}"));
    }
    wire.send("0\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut wire, "POST").unwrap().expect(200).text(), "done");
}

#[test]
fn an_answer_may_come_while_the_request_is_still_sent() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/duplex", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while let Some(part) = exchange.wire.chunk()? {
            exchange.wire.send(chunk(part))?;
        }
        exchange.wire.trailers()?;
        exchange.wire.send("0\r\n\r\n")?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::chunked("/duplex");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    for n in 0..5 {
        wire.send(chunk(format!("echo {n}"))).unwrap();
        assert_eq!(wire.chunk().unwrap().unwrap(), format!("echo {n}").into_bytes());
    }
    wire.send("0\r\n\r\n").unwrap();
    assert_eq!(wire.chunk().unwrap(), None);
}

#[test]
fn an_upload_goes_on_while_its_caller_reads_nothing_of_the_answer() {
    const LENGTH: usize = 32 * 1024 * 1024;
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/first", |exchange| {
        // More of an answer than fits on its way to somebody who does not read it, before anything of the request is read.
        let mut answering = exchange.wire.socket().try_clone()?;
        let answer = std::thread::spawn(move || {
            answering.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes())?;
            answering.write_all(&vec![b'a'; LENGTH])
        });
        assert_eq!(exchange.read_body()?.len(), LENGTH);
        answer.join().expect("an answer")?;
        Ok(After::KeepAlive)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::post("/first", vec![b'u'; LENGTH]).bytes(bearerd.address())).unwrap();
    assert_eq!(read_response(&mut wire, "POST").unwrap().expect(200).body.len(), LENGTH);
    wire.send(Request::get("/items").bytes(bearerd.address())).unwrap();
    read_response(&mut wire, "GET").unwrap().expect(200);
    assert_eq!(upstream.connections(), 1, "nothing was wrong with the connection");
}

#[test]
fn fifty_megabytes_pass_both_ways_unchanged() {
    const SIZE: usize = 50 << 20;
    let (_endpoint, upstream, setup) = stage(300);
    let block: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1 << 20).collect();
    let body: Arc<Vec<u8>> = Arc::new(block.iter().copied().cycle().skip(7).take(SIZE).collect());
    let (expected, sent) = (body.clone(), body.clone());
    upstream.on("/up", move |exchange| {
        let (got, _) = exchange.wire.body(exchange.head.request_framing())?;
        let same = if got == *expected { "same" } else { "different" };
        exchange.answer(200, &[], same).map(|_| After::Close)
    });
    upstream.on("/down", move |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for part in sent.chunks(100_000) {
            exchange.wire.send(chunk(part))?;
        }
        exchange.wire.send("0\r\n\r\n").map(|()| After::Close)
    });
    let bearerd = setup.start_ready();
    assert_eq!(bearerd.send(&Request::post("/up", body.to_vec())).expect(200).text(), "same");
    let down = bearerd.get("/down").expect(200);
    assert!(down.body == *body, "{} bytes of {SIZE}", down.body.len());
    let resident = bearerd.metric("process_resident_memory_bytes", &[]).unwrap();
    assert!(resident < 100e6, "it keeps bodies: {resident} bytes resident");
}

#[test]
fn sixty_four_mebibytes_pass_unchanged_whichever_http_each_side_speaks() {
    const LENGTH: u64 = 64 << 20;
    let wanted = bulk::expected(LENGTH);
    for (upstream_version, route) in [(Version::Http1, ""), (Version::Http2, "upstream_protocol = \"h2\"")] {
        let (_endpoint, upstream, setup) = stage(300);
        let address = match upstream_version {
            Version::Http1 => {
                bulk::serve_http1(&upstream, LENGTH);
                upstream.address()
            }
            Version::Http2 => bulk::serve_http2(LENGTH),
        };
        let bearerd = setup.upstream(&format!("http://{address}")).route(route).start_ready();
        for caller in [Version::Http1, Version::Http2] {
            for way in [Way::Down, Way::Up] {
                let told = bulk::transfer(caller, bearerd.address(), way, LENGTH).unwrap();
                assert_eq!(told, wanted, "{caller:?} to {upstream_version:?}, {way:?}");
            }
        }
        let resident = bearerd.metric("process_resident_memory_bytes", &[]).unwrap();
        assert!(resident < 60e6, "it keeps bodies: {resident} bytes resident");
    }
}

#[test]
fn an_answer_cut_short_is_cut_short_for_the_caller_too() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/short", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")?;
        Ok(After::Close)
    });
    upstream.on("/chunks", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n")?;
        Ok(After::Close)
    });
    // Of this one all that comes has been read before the caller gets any of it.
    upstream.on("/searched", |exchange| {
        exchange.wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nonly this")?;
        Ok(After::Close)
    });
    let rule = "[credentials.api.rejection]\nbody = [{ status = 403, contains = \"token_expired\" }]";
    let bearerd = setup.section(rule).start_ready();
    for target in ["/short", "/chunks", "/searched"] {
        let error = Request::get(target).try_send(bearerd.address()).expect_err("a whole answer");
        assert!(!matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
    }
    bearerd.get("/items").expect(200);
}

#[test]
fn of_an_answer_that_breaks_off_at_once_the_head_passes() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/short", |exchange| {
        exchange.wire.send("HTTP/1.1 500 Full\r\nContent-Length: 100\r\nX-Done: 1\r\n\r\n")?;
        Ok(After::Close)
    });
    upstream.on("/chunks", |exchange| {
        exchange.wire.send("HTTP/1.1 500 Full\r\nTransfer-Encoding: chunked\r\nX-Done: 1\r\n\r\nzz\r\n")?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    for target in ["/short", "/chunks"] {
        let mut wire = Wire::connect(bearerd.address()).unwrap();
        wire.send(Request::get(target).bytes(bearerd.address())).unwrap();
        let head = read_response_head(&mut wire).unwrap().expect(500);
        assert_eq!(head.field("x-done"), Some("1"));
        assert_eq!(wire.rest(seconds(5.0)), b"", "nothing passes as a body");
        let mut frames = Frames::connect(bearerd.address()).unwrap();
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, request("GET", target, "localhost", &[]))).unwrap();
        assert_eq!(frames.status(1).unwrap(), 0x8e, "500");
        assert!(frames.end(1).unwrap().is_some(), "it is reset");
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_passes() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/close", |exchange| {
        exchange.wire.send("HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nuntil the end")?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let response = bearerd.get("/close").expect(200);
    assert_eq!((response.text().as_str(), response.field("x-old")), ("until the end", Some("yes")));
}

#[test]
fn a_caller_that_goes_away_ends_the_request_at_the_upstream() {
    let (_endpoint, upstream, setup) = stage(300);
    let (ended, wait) = mpsc::channel::<bool>();
    let ended = std::sync::Mutex::new(ended);
    upstream.on("/slow", move |exchange| {
        let closed = exchange.wire.closes_within(seconds(5.0));
        ended.lock().unwrap().send(closed).unwrap();
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/slow").bytes(bearerd.address())).unwrap();
    eventually("the request", seconds(3.0), || upstream.count() == 1);
    drop(wire);
    assert!(wait.recv_timeout(seconds(6.0)).unwrap(), "the upstream went on working for nobody");
}
