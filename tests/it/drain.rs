//! The end of a bearerd as its callers see it: asked to go elsewhere, served to the end, cut at the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::support::client::{read_response, read_response_head};
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, frame, request};
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Bearerd, Request, Upstream, eventually, now, pause, seconds, stage};

/// The flag of a frame that answers one.
const ACK: u8 = 1;

/// A path whose answer begins at once and ends when the switch is turned.
fn endless(upstream: &Upstream) -> Arc<AtomicBool> {
    let end = Arc::new(AtomicBool::new(false));
    let switch = end.clone();
    upstream.on("/endless", move |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        exchange.wire.send(chunk("first"))?;
        while !switch.load(Ordering::SeqCst) {
            pause(seconds(0.02));
        }
        exchange.wire.send([chunk("last"), b"0\r\n\r\n".to_vec()].concat())?;
        Ok(After::KeepAlive)
    });
    end
}

fn get(path: &str, stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, request("GET", path, "localhost", &[]))
}

fn begin_to_drain(bearerd: &Bearerd) {
    bearerd.signal(Signal::TERM);
    eventually("not ready", seconds(2.0), || !bearerd.is_ready());
}

#[test]
fn answers_of_http1_ask_to_go_elsewhere_while_new_connections_are_still_served() {
    let (_endpoint, _upstream, setup) = stage(300);
    let mut bearerd = setup.section("[timeouts]\ndrain_delay = \"3s\"").start_ready();
    let address = bearerd.address();
    let call = |wire: &mut Wire| {
        wire.send(Request::get("/items").bytes(address)).unwrap();
        read_response(wire, "GET").unwrap().expect(200)
    };
    let mut kept = Wire::connect(address).unwrap();
    assert!(call(&mut kept).fields.all("connection").is_empty());
    begin_to_drain(&bearerd);
    // It is not closed while nothing is asked for, and its next answer is its last.
    assert_eq!(call(&mut kept).fields.all("connection"), ["close"]);
    assert!(kept.closes_within(seconds(2.0)));
    let mut fresh = Wire::connect(address).unwrap();
    assert_eq!(call(&mut fresh).fields.all("connection"), ["close"]);
    assert_eq!(bearerd.wait_exit(6.0), Some(0));
}

#[test]
fn connections_of_http2_are_told_to_go_and_finish_what_they_have() {
    let (_endpoint, upstream, setup) = stage(300);
    let end = endless(&upstream);
    let mut bearerd = setup.section("[timeouts]\ndrain_delay = \"3s\"").start_ready();
    let mut caller = Frames::connect(bearerd.address()).unwrap();
    caller.send(get("/endless", 1)).unwrap();
    caller.status(1).unwrap();
    begin_to_drain(&bearerd);
    let start = now();
    let goaway = caller.goaway().expect("GOAWAY");
    assert_eq!(goaway.code, 0, "{goaway:?}");
    assert!(start.elapsed() < seconds(2.5), "GOAWAY came after {:?} only", start.elapsed());
    // A connection that begins now is served.
    let mut late = Frames::connect(bearerd.address()).unwrap();
    late.send(get("/items", 1)).unwrap();
    late.status(1).unwrap();
    late.close();
    // What comes before the answer to this may still begin (RFC 9113 §6.8).
    let asked = loop {
        if let (PING, 0, _, payload) = caller.next().unwrap() {
            break payload;
        }
    };
    caller.send(frame(PING, ACK, 0, asked)).unwrap();
    end.store(true, Ordering::SeqCst);
    let mut body = Vec::new();
    loop {
        // The last word of GOAWAY comes in between.
        if let (DATA, flags, 1, bytes) = caller.next().unwrap() {
            body.extend(bytes);
            if flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert!(body.ends_with(b"last"), "{body:?}");
    assert_eq!(bearerd.wait_exit(8.0), Some(0));
}

#[test]
fn a_long_answer_is_cut_at_the_deadline_and_the_exit_is_clean() {
    let (_endpoint, upstream, setup) = stage(300);
    let end = endless(&upstream);
    let mut bearerd = setup.section("[timeouts]\ndrain = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/endless").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    frames.send(get("/endless", 1)).unwrap();
    frames.status(1).unwrap();
    let start = now();
    begin_to_drain(&bearerd);
    assert_eq!(wire.chunk().unwrap().unwrap(), b"first");
    assert!(wire.chunk().is_err(), "an answer that is cut does not look whole");
    assert!(start.elapsed() >= seconds(0.9), "{:?}", start.elapsed());
    assert_eq!(bearerd.wait_exit(3.0), Some(0));
    bearerd.wait_for_log("they are cut", 1.0);
    end.store(true, Ordering::SeqCst);
}

#[test]
fn a_websocket_lives_until_the_deadline() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/echo", |exchange| exchange.switch_and_echo());
    let mut bearerd = setup.section("[timeouts]\ndrain = \"2s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let asking = Request::get("/echo")
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    wire.send(asking.bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(101);
    let start = now();
    begin_to_drain(&bearerd);
    wire.send("still").unwrap();
    assert_eq!(wire.exactly(5).unwrap(), b"still");
    assert!(wire.closes_within(seconds(4.0)));
    assert!(start.elapsed() >= seconds(1.8), "{:?}", start.elapsed());
    assert_eq!(bearerd.wait_exit(3.0), Some(0));
}

#[test]
fn quitquitquit_drains_like_a_signal_where_it_is_switched_on() {
    let (_endpoint, upstream, setup) = stage(300);
    let end = endless(&upstream);
    let setup = setup.section("[admin]\nlisten = \"127.0.0.1:0\"\nprobe_listen = \"127.0.0.1:0\"\nquit = true");
    let mut bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/endless").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    let wrong = bearerd.admin_get("/quitquitquit").expect(405);
    assert_eq!(wrong.field("allow"), Some("POST"));
    Request::post("/quitquitquit", "").send(bearerd.probe_address()).expect(404);
    let page = Request::post("/quitquitquit", "").field("Origin", "https://evil.example");
    page.send(bearerd.admin()).expect(403);
    assert!(bearerd.is_ready());
    Request::post("/quitquitquit", "").send(bearerd.admin()).expect(202);
    eventually("not ready", seconds(2.0), || !bearerd.is_ready());
    end.store(true, Ordering::SeqCst);
    assert_eq!(wire.chunk().unwrap().unwrap(), b"first");
    assert_eq!(wire.chunk().unwrap().unwrap(), b"last");
    assert_eq!(bearerd.wait_exit(5.0), Some(0));
}

#[test]
fn quitquitquit_says_how_it_is_switched_on() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let off = Request::post("/quitquitquit", "").send(bearerd.admin()).expect(403);
    assert!(off.text().contains("quit = true"), "{}", off.text());
    assert!(bearerd.is_ready());
}
