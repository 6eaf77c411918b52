//! Every wait has an end, and the answer says which one it was.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::support::client::{read_response, read_response_head};
use crate::support::frames::*;
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Request, eventually, now, pause, seconds, stage};

#[test]
fn an_upstream_that_does_not_answer_is_504() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/silent", |exchange| {
        exchange.wire.closes_within(seconds(10.0));
        Ok(After::Close)
    });
    let bearerd = setup.section("[timeouts]\nresponse_head = \"1s\"").start_ready();
    let start = now();
    bearerd.get("/silent").expect_problem(504, "U005");
    let took = start.elapsed();
    assert!(took >= seconds(0.9) && took < seconds(4.0), "{took:?}");
    assert_eq!(upstream.count(), 1, "a GET that timed out is not sent again");
    bearerd.get("/items").expect(200);
}

#[test]
fn an_upstream_that_cannot_be_connected_is_504() {
    // A listening socket whose queue is full takes no further connection and refuses none.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, seconds(0.3)) {
        held.push(stream);
        assert!(held.len() < 50, "the queue never fills");
    }
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup.upstream(&format!("http://{address}")).section("[timeouts]\nconnect = \"1s\"");
    let bearerd = setup.start_ready();
    let start = now();
    bearerd.get("/items").expect_problem(504, "U004");
    assert!(start.elapsed() < seconds(4.0), "{:?}", start.elapsed());
}

#[test]
fn a_request_body_that_stalls_before_the_answer_is_refused() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.section("[timeouts]\nrequest_body_idle = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::chunked("/items");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    wire.send(chunk("first")).unwrap();
    eventually("the request upstream", seconds(3.0), || upstream.count() == 1);
    let start = now();
    let response = read_response(&mut wire, "POST").unwrap();
    assert!(start.elapsed() < seconds(4.0), "{:?}", start.elapsed());
    let status = response.status;
    assert!([408, 504].contains(&status), "{response:?}");
    response.expect_problem(status, "C007");
    assert!(wire.closes_within(seconds(3.0)), "the rest of the body must not be read as a request");
    assert_eq!(upstream.only_request().body, b"", "the upstream never got a whole body");
}

#[test]
fn a_body_may_take_its_time_once_the_answer_has_begun() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/early", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while let Some(part) = exchange.wire.chunk()? {
            exchange.wire.send(chunk(part))?;
        }
        exchange.wire.trailers()?;
        exchange.wire.send("0\r\n\r\n").map(|()| After::Close)
    });
    let bearerd = setup.section("[timeouts]\nrequest_body_idle = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::chunked("/early");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    pause(seconds(2.0));
    wire.send(chunk("late")).unwrap();
    assert_eq!(wire.chunk().unwrap().unwrap(), b"late");
    wire.send("0\r\n\r\n").unwrap();
    assert_eq!(wire.chunk().unwrap(), None);
}

#[test]
fn a_connection_that_rested_goes_on_as_before() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.section("[timeouts]\nrequest_head = \"1s\"\nkeep_alive = \"4s\"").start_ready();
    let mut wires: Vec<_> = (0..4).map(|_| Wire::connect(bearerd.address()).unwrap()).collect();
    for round in 0..2 {
        for wire in &mut wires {
            wire.send(Request::post("/items", "body").bytes(bearerd.address())).unwrap();
            read_response(wire, "POST").unwrap().expect(200);
        }
        if round == 0 {
            // Longer than the second after which a connection gives back what it serves requests with.
            pause(seconds(1.5));
        }
    }
    pause(seconds(1.5));
    let [half, preface, bad, silent] = &mut wires[..] else { panic!() };
    half.send("\r\nGET /items HTTP/1.1\r\nHost: loc").unwrap();
    read_response(half, "GET").unwrap().expect_problem(408, "C011");
    preface.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    read_response(preface, "GET").unwrap().expect(400);
    bad.send("GET /items HTTP/1.1\r\n\r\n").unwrap();
    read_response(bad, "GET").unwrap().expect(400);
    assert!(silent.closes_within(seconds(6.0)), "keep_alive counts from the last answer");
    assert_eq!(upstream.count(), 8);
}

#[test]
fn half_a_head_is_closed() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.section("[timeouts]\nrequest_head = \"1s\"").start_ready();
    let mut half = Wire::connect(bearerd.address()).unwrap();
    half.send("GET /items HTTP/1.1\r\nHost: loc").unwrap();
    let mut second = Wire::connect(bearerd.address()).unwrap();
    second.send(Request::get("/items").bytes(bearerd.address())).unwrap();
    read_response(&mut second, "GET").unwrap().expect(200);
    second.send("GET /items HTTP/1.1\r\n").unwrap();
    for wire in [&mut half, &mut second] {
        assert!(wire.closes_within(seconds(4.0)));
    }
}

#[test]
fn an_idle_connection_is_closed_and_a_silent_answer_is_not() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/pause", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")?;
        pause(seconds(2.5));
        exchange.wire.send("other")?;
        Ok(After::KeepAlive)
    });
    let bearerd = setup.section("[timeouts]\nkeep_alive = \"1s\"\nrequest_head = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/pause").bytes(bearerd.address())).unwrap();
    assert_eq!(read_response(&mut wire, "GET").unwrap().expect(200).text(), "firstother");
    let start = now();
    assert!(wire.closes_within(seconds(4.0)));
    assert!(start.elapsed() >= seconds(0.8), "closed after {:?}", start.elapsed());
}

#[test]
fn off_disables_a_timeout() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/slow", |exchange| {
        pause(seconds(2.0));
        exchange.answer(200, &[], "slow")
    });
    let bearerd = setup.section("[timeouts]\nresponse_head = \"off\"\nkeep_alive = \"off\"").start_ready();
    assert_eq!(bearerd.get("/slow").expect(200).text(), "slow");
}

/// An upstream whose answers are larger than what sockets hold; it notes when one of them could not be sent.
fn large_answers(upstream: &crate::support::Upstream) -> std::sync::mpsc::Receiver<()> {
    let (cut, wait) = std::sync::mpsc::channel();
    let cut = std::sync::Mutex::new(cut);
    upstream.on("/large", move |exchange| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20);
        let sent = exchange.wire.send(head).and_then(|()| exchange.wire.send(vec![b'x'; 64 << 20]));
        if sent.is_err() {
            let _ = cut.lock().unwrap().send(());
        }
        Ok(After::Close)
    });
    wait
}

#[test]
fn a_caller_that_does_not_read_its_answer_is_cut_off_and_the_upstream_released() {
    let (_endpoint, upstream, setup) = stage(300);
    let cut = large_answers(&upstream);
    let bearerd = setup.section("[timeouts]\nresponse_unread = \"1s\"").start_ready();
    let gone = |count: f64| {
        cut.recv_timeout(seconds(5.0)).expect("the upstream is released");
        eventually("the connection is gone", seconds(5.0), || bearerd.metric("bearerd_connections", &[]) == Some(0.0));
        assert_eq!(bearerd.metric("bearerd_requests_in_flight", &[]), Some(0.0));
        assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C018")]), Some(count));
    };
    let start = now();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/large").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    gone(1.0);
    assert!(start.elapsed() >= seconds(0.9), "{:?}", start.elapsed());
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    let most = (i32::MAX as u32).to_be_bytes();
    frames.send(frame(SETTINGS, 0, 0, [&[0, 4], &most[..]].concat())).unwrap();
    frames.send(frame(WINDOW_UPDATE, 0, 0, (i32::MAX as u32 - 65_535).to_be_bytes())).unwrap();
    let get = request("GET", "/large", &bearerd.address().to_string(), &[]);
    frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, get)).unwrap();
    gone(2.0);
}

#[test]
fn a_stream_that_takes_nothing_of_its_answer_is_reset_and_the_others_go_on() {
    let (_endpoint, upstream, setup) = stage(300);
    let cut = large_answers(&upstream);
    let setup = setup.section("[timeouts]\nresponse_unread = \"1s\"").section("[limits]\nrequests_in_flight = 2");
    let bearerd = setup.start_ready();
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    // No stream has room for anything unless it is said for that stream.
    frames.send(frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0])).unwrap();
    let get = |path: &str| request("GET", path, &bearerd.address().to_string(), &[]);
    let start = now();
    for stream in [1, 3] {
        frames.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, get("/large"))).unwrap();
    }
    let mut reset = || loop {
        if let (RST_STREAM, _, stream, code) = frames.next().unwrap() {
            return (stream, code);
        }
    };
    let mut resets = [reset(), reset()];
    resets.sort();
    // 8 is CANCEL. The two had all the places that there are.
    assert_eq!(resets, [1, 3].map(|stream| (stream, vec![0, 0, 0, 8])));
    assert!(start.elapsed() >= seconds(0.9), "{:?}", start.elapsed());
    for _ in 0..2 {
        cut.recv_timeout(seconds(5.0)).expect("the upstream is released");
    }
    frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 5, get("/items"))).unwrap();
    frames.send(frame(WINDOW_UPDATE, 0, 5, 1000u32.to_be_bytes())).unwrap();
    assert!(!frames.body(5).unwrap().is_empty());
    assert_eq!(bearerd.metric("bearerd_requests_in_flight", &[]), Some(0.0));
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C018")]), Some(2.0));
}

#[test]
fn a_caller_that_reads_its_answer_slowly_is_not_cut_off() {
    let (_endpoint, upstream, setup) = stage(300);
    let cut = large_answers(&upstream);
    let bearerd = setup.section("[timeouts]\nresponse_unread = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/large").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    let start = now();
    while start.elapsed() < seconds(3.0) {
        wire.exactly(1 << 20).unwrap();
        pause(seconds(0.1));
    }
    assert!(cut.try_recv().is_err());
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C018")]), Some(0.0));
}

#[test]
fn an_upstream_that_stops_reading_an_upload_is_504() {
    let (_endpoint, upstream, setup) = stage(300);
    let (over, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    upstream.on("/up", move |exchange| {
        // It is not read from again until the test is over.
        let _ = wait.lock().unwrap().recv_timeout(seconds(20.0));
        let _ = exchange;
        Ok(After::Close)
    });
    let bearerd = setup.section("[timeouts]\nresponse_head = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::new("POST", "/up").field("Content-Length", "100000000");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    let writer = wire.socket().try_clone().unwrap();
    let writing = std::thread::spawn(move || Wire::new(std::sync::Arc::new(writer)).send(vec![0; 100_000_000]));
    let start = now();
    read_response(&mut wire, "POST").unwrap().expect_problem(504, "U005");
    assert!(start.elapsed() < seconds(8.0), "{:?}", start.elapsed());
    drop((over, wire));
    let _ = writing.join();
}
