//! Requests that are not what they seem (RELIABILITY T14 to T21, appendix A), and callers that take too much.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::client::{Response, read_response};
use crate::support::peers::{Peer, has_python_package, skip_unless};
use crate::support::wire::{Wire, chunk};
use crate::support::{Bearerd, Request, Setup, TokenEndpoint, Upstream, eventually, now, pause, seconds, stage};

fn running() -> (TokenEndpoint, Upstream, Bearerd) {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    (endpoint, upstream, bearerd)
}

/// A request behind another one: whoever reads the first one wrongly serves this.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn get(fields: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

/// Sends these bytes and reads every answer until the connection closes, or nothing more comes for a while.
fn answers(address: SocketAddr, bytes: &[u8]) -> (Vec<Response>, bool) {
    let mut wire = Wire::connect(address).unwrap();
    // Whoever is refused early may close before all is written.
    let _ = wire.send(bytes);
    let mut all = Vec::new();
    loop {
        let patience = if all.is_empty() { seconds(10.0) } else { seconds(0.3) };
        wire.socket().set_read_timeout(Some(patience)).unwrap();
        match read_response(&mut wire, "GET") {
            Ok(response) => all.push(response),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return (all, true),
            Err(_) => return (all, false),
        }
    }
}

/// Whatever these bytes are, they are refused once, with this status and code, the connection closes, and nobody upstream hears.
#[track_caller]
fn refused(bearerd: &Bearerd, status: u16, code: &str, payload: impl AsRef<[u8]>) {
    let payload = payload.as_ref();
    let told = payload.escape_ascii().to_string();
    let (mut answers, closed) = answers(bearerd.address(), payload);
    assert_eq!(answers.len(), 1, "{told}: {answers:?}");
    assert!(closed, "{told}: the connection stays open");
    let answer = answers.remove(0);
    assert_eq!(answer.status, status, "{told}: {answer:?}");
    assert_eq!(answer.field("connection"), Some("close"), "{told}: {answer:?}");
    answer.expect_problem(status, code);
}

#[test]
fn two_sayings_about_the_length_of_a_body_are_refused() {
    let (_endpoint, upstream, bearerd) = running();
    let lengths = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding:\r\n chunked",
        " Transfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3, 3",
        "Content-Length: +2",
        "Content-Length: -1",
        "Content-Length: 0x2",
        "Content-Length: 99999999999999999999999",
        "Content-Length:",
        "Content-Length: 1 2",
        "Content-Length : 3",
    ];
    for fields in lengths {
        refused(&bearerd, 400, "C005", post(fields, &format!("0\r\n\r\n{SMUGGLED}")));
    }
    refused(
        &bearerd,
        400,
        "C005",
        "POST /a HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    assert_eq!(upstream.count(), 0);
    let counted = bearerd.metric("bearerd_refused_total", &[("reason", "C005")]);
    assert_eq!(counted, Some(lengths.len() as f64 + 1.0));
}

#[test]
fn a_chunked_body_that_is_not_exactly_one_is_refused() {
    let (_endpoint, upstream, bearerd) = running();
    let bodies = [
        "ffffffffffffffffff\r\nx",
        "5\nhello\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "0x2\r\nab\r\n0\r\n\r\n",
        "+2\r\nab\r\n",
        "-2\r\nab\r\n",
        " 2\r\nab\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\r\nab0\r\n\r\n",
        "2\r\nab\n0\r\n\r\n",
        "2\rab\r\n",
        "g\r\n",
        "\r\n",
        ";a\r\n",
        "2;\0\r\nab\r\n",
        "0\r\na b: c\r\n\r\n",
        "0\r\n a: b\r\n\r\n",
        "0\r\na: \0\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\na: b\n\r\n",
        "0\r\nno colon\r\n\r\n",
    ];
    for body in bodies {
        refused(&bearerd, 400, "C005", chunked(&format!("{body}{SMUGGLED}")));
    }
    refused(&bearerd, 431, "C012", chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(101))));
    assert_eq!(upstream.count(), 0, "what is wrong in the first packet is not forwarded at all");
    // Later it is too late for that, but not for the caller to hear what is wrong.
    for (number, body) in bodies.iter().enumerate() {
        let mut wire = Wire::connect(bearerd.address()).unwrap();
        wire.send(chunked("3\r\nabc\r\n")).unwrap();
        eventually("the request upstream", seconds(5.0), || upstream.count() == number + 1);
        wire.send(format!("{body}{SMUGGLED}")).unwrap();
        read_response(&mut wire, "POST").unwrap().expect_problem(400, "C005");
        assert!(wire.closes_within(seconds(3.0)), "{body:?}");
    }
    assert!(upstream.requests_for("/smuggled").is_empty());
}

#[test]
fn a_head_that_is_no_http_is_refused() {
    let (_endpoint, upstream, bearerd) = running();
    let bad = |payload: &str| refused(&bearerd, 400, "C005", payload);
    for line in [
        "GET /",
        "GET /a HTTP/9.9",
        "GET /a HTTP/2.0",
        "GET /a HTTP/1.2",
        "GET /a http/1.1",
        "GET /a HTTP/1.1 ",
        "GET  /a HTTP/1.1",
        "GET\t/a HTTP/1.1",
        " GET /a HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G(T /a HTTP/1.1",
        "GET a HTTP/1.1",
        "GET @evil.test HTTP/1.1",
        "GET .evil.test HTTP/1.1",
        "GET :80@evil.test HTTP/1.1",
        "GET \\\\evil.test HTTP/1.1",
        "GET /a\0 HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /a\x0b HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://localhost/ HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET http://u@localhost/a HTTP/1.1",
        "GET http://localhost:x/ HTTP/1.1",
        "GET http://localhost#@evil.test/ HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        // Without a preface that is HTTP/2's own.
        bad(&format!("{line}\r\nHost: localhost\r\n\r\n"));
    }
    for fields in [
        "X Y: z\r\n",
        "X : y\r\n",
        ": y\r\n",
        "X\r\n",
        "X: y\rZ: z\r\n",
        "X: y\r\r\n",
        "X: \0\r\n",
        "X: \x07\r\n",
        "X: y\r\n z\r\n",
        "X: y\r\n\tz\r\n",
        "\tX: y\r\n",
        "(X): y\r\n",
        "X\x0b: y\r\n",
        "Host: localhost\r\n",
        "host: evil.test\r\n",
    ] {
        bad(&get(fields));
    }
    bad("GET /a HTTP/1.1\r\n\r\n");
    bad("GET /a HTTP/1.1\r\n X: y\r\nHost: localhost\r\n\r\n");
    bad("GET http://localhost/a HTTP/1.1\r\n\r\n");
    bad("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03");
    refused(&bearerd, 405, "C004", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\nGET /a HTTP/1.1\r\n");
    refused(&bearerd, 421, "C003", "GET http://evil.test HTTP/1.1\r\nHost: localhost\r\n\r\n");
    refused(&bearerd, 421, "C003", "GET http://evil.test/a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    refused(&bearerd, 421, "C003", "GET /a HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    refused(&bearerd, 400, "C005", "GET http://localhost/a HTTP/1.1\r\nHost: no host\r\n\r\n");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.clone().start_ready();
    refused(&bearerd, 431, "C012", get(&"X: y\r\n".repeat(200)));
    refused(&bearerd, 431, "C012", get(&format!("X: {}\r\n", "y".repeat(64 << 10))));
    refused(&bearerd, 431, "C012", format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "y".repeat(40_000)));
    refused(&bearerd, 431, "C012", "y".repeat(100_000));
    assert_eq!(upstream.count(), 0);
    let (answers, _) = answers(bearerd.address(), get(&format!("X: {}\r\n", "y".repeat(30_000))).as_bytes());
    assert_eq!(answers[0].status, 200);
    let (answers, _) = self::answers(bearerd.address(), get(&"X: y\r\n".repeat(99)).as_bytes());
    assert_eq!(answers[0].status, 200);
    let bearerd = setup.section("[limits]\nhead = \"100KiB\"").start_ready();
    let (answers, _) = self::answers(bearerd.address(), get(&format!("X: {}\r\n", "y".repeat(64 << 10))).as_bytes());
    assert_eq!(answers[0].status, 200);
}

#[test]
fn what_is_odd_but_clear_is_forwarded_in_our_own_writing() {
    let (_endpoint, upstream, bearerd) = running();
    let forwarded = |payload: &str, target: &str, body: &str| {
        let before = upstream.count();
        let (answers, _) = answers(bearerd.address(), payload.as_bytes());
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200], "{payload:?}");
        let all = upstream.requests();
        assert_eq!(all.len(), before + 1, "{payload:?}");
        let seen = all.last().unwrap();
        assert_eq!((seen.target(), &*String::from_utf8_lossy(&seen.body)), (target, body), "{payload:?}");
        let lines = seen.raw_head();
        assert!(!lines.replace("\r\n", "").contains(['\r', '\n']), "{lines:?}");
        lines
    };
    forwarded("GET /a HTTP/1.1\nHost: localhost\n\n", "/a", "");
    forwarded("POST /a HTTP/1.1\nHost: localhost\nContent-Length: 3\n\nabc", "/a", "abc");
    forwarded("\r\n\r\nGET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "/a", "");
    forwarded("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "/a", "");
    forwarded("GET http://localhost/a?b HTTP/1.1\r\nHost: other\r\n\r\n", "/a?b", "");
    forwarded("GET http://localhost?b HTTP/1.1\r\nHost: localhost\r\n\r\n", "/?b", "");
    forwarded("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "*", "");
    forwarded("GET /a/../%2e%2e/b\\c//d;e?f HTTP/1.1\r\nHost: localhost\r\n\r\n", "/a/../%2e%2e/b\\c//d;e?f", "");
    forwarded(&post("content-length: \t003 ", "abc"), "/a", "abc");
    forwarded(&post("transfer-encoding: CHUNKED", "3;x=\"y\"\r\nabc\r\n00\r\n\r\n"), "/a", "abc");
    let lines = forwarded(&chunked("3\r\nabc\r\n0\r\nAuthorization: Bearer EVIL\r\nSum: 1\r\n\r\n"), "/a", "abc");
    assert!(!lines.contains("EVIL"), "{lines}");
    let trailers = upstream.requests().pop().unwrap().trailers;
    assert!(!trailers.has("authorization"), "{trailers:?}");
    forwarded(&get("X-Empty:\r\nX-Tab: a\tb\r\nX_Forwarded_For: 1\r\nX-Latin: \u{e9}\r\n"), "/a", "");
}

#[test]
fn a_request_behind_an_upgrade_that_is_not_granted_is_an_ordinary_request() {
    let (_endpoint, upstream, bearerd) = running();
    let upgrade = get("Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAAA\r\n");
    let (answers, _) = answers(bearerd.address(), format!("{upgrade}{SMUGGLED}").as_bytes());
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200]);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    assert!(!requests[0].head.fields.has("upgrade") && !requests[0].head.fields.has("http2-settings"));
}

#[test]
fn nothing_is_read_from_behind_a_request_before_its_answer_has_ended() {
    let (_endpoint, upstream, bearerd) = running();
    upstream.on("/first", |exchange| {
        pause(seconds(0.5));
        exchange.answer(200, &[], "first")
    });
    let first = "GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (answers, closed) =
        answers(bearerd.address(), format!("{first}GET /bad HTTP/1.1\r\n\r\n{SMUGGLED}").as_bytes());
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 400]);
    assert_eq!(answers[0].text(), "first");
    assert!(closed);
    assert_eq!(upstream.only_request().target(), "/first");
}

#[test]
fn a_refused_caller_that_still_sends_reads_the_refusal() {
    let (_endpoint, upstream, bearerd) = running();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(post("Content-Length: 5000000\r\nContent-Length: 5000000", "")).unwrap();
    for _ in 0..50 {
        wire.send(vec![b'x'; 100_000]).expect("what a refused caller sends is taken");
    }
    read_response(&mut wire, "POST").unwrap().expect_problem(400, "C005");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_slow_head_is_408_and_a_silent_connection_is_closed_without_a_word() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.section("[timeouts]\nrequest_head = \"1s\"\nkeep_alive = \"1s\"").start_ready();
    let start = now();
    let mut silent = Wire::connect(bearerd.address()).unwrap();
    let mut slow = Wire::connect(bearerd.address()).unwrap();
    let mut second = Wire::connect(bearerd.address()).unwrap();
    second.send(get("")).unwrap();
    read_response(&mut second, "GET").unwrap().expect(200);
    for byte in get("").as_bytes().iter().take(40) {
        let _ = slow.send([*byte]);
        let _ = second.send([*byte]);
        pause(seconds(0.05));
    }
    for wire in [&mut slow, &mut second] {
        read_response(wire, "GET").unwrap().expect_problem(408, "C011");
        assert!(wire.closes_within(seconds(2.0)));
    }
    assert_eq!(silent.rest(seconds(3.0)), b"");
    assert!(start.elapsed() < seconds(5.0), "{:?}", start.elapsed());
    assert_eq!(upstream.count(), 1);
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C011")]), Some(2.0));
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_closed() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.top("workers = 2").section("[limits]\nconnections = 3").start_ready();
    let mut open: Vec<_> = (0..3).map(|_| Wire::connect(bearerd.address()).unwrap()).collect();
    eventually("three connections", seconds(3.0), || bearerd.metric("bearerd_connections", &[]) == Some(3.0));
    for _ in 0..5 {
        let response = Request::get("/a").send(bearerd.address()).expect_problem(503, "C014");
        assert_eq!(response.field("retry-after"), Some("1"));
    }
    for wire in &mut open {
        wire.send(get("")).unwrap();
        read_response(wire, "GET").unwrap().expect(200);
    }
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C014")]), Some(5.0));
    drop(open.pop());
    eventually("a place", seconds(3.0), || bearerd.metric("bearerd_connections", &[]) == Some(2.0));
    bearerd.get("/a").expect(200);
}

#[test]
fn requests_beyond_the_limit_wait_for_the_queue_and_are_then_503() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/hold", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        exchange.wire.send(chunk("held"))?;
        exchange.wire.closes_within(seconds(10.0));
        Ok(crate::support::After::Close)
    });
    let limits = "[limits]\nrequests_in_flight = 2\nqueue = \"1s\"";
    let bearerd = setup.top("workers = 2").section(limits).start_ready();
    let hold = || {
        let wire = Wire::connect(bearerd.address()).unwrap();
        wire.send(Request::get("/hold").bytes(bearerd.address())).unwrap();
        wire
    };
    let mut held = vec![hold(), hold()];
    eventually("both upstream", seconds(3.0), || upstream.count() == 2);
    let start = now();
    let response = bearerd.get("/a").expect_problem(503, "C013");
    assert!(start.elapsed() >= seconds(0.9), "{:?}", start.elapsed());
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C013")]), Some(1.0));
    // What is refused anyway does not wait.
    let start = now();
    Request::get("/a").field("Host", "evil.test").send(bearerd.address()).expect_problem(421, "C003");
    assert!(start.elapsed() < seconds(0.9));
    let address = bearerd.address();
    let waiting = std::thread::spawn(move || Request::get("/a").send(address).status);
    pause(seconds(0.3));
    drop(held.pop());
    assert_eq!(waiting.join().unwrap(), 200, "a place became free in time");
    assert_eq!(upstream.requests_for("/a").len(), 1);
}

/// What the strict upstream saw so far.
fn seen_by(peer: &Peer) -> Value {
    Request::get("/.seen").send(peer.address()).expect(200).json()
}

/// A few thousand pseudo-random numbers are enough to be surprised; the same each time, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// A payload with one, seldom more, of its places spoilt.
    fn spoil(&mut self, payload: &str) -> Vec<u8> {
        const INSERTS: &[&str] = &[
            "\r\n",
            "\n",
            "\r",
            " ",
            "\t",
            ":",
            "\0",
            ",",
            ";",
            "0",
            "5",
            "x",
            "#",
            "\x0b",
            "\r\n ",
            "\r\n\r\n",
            "chunked",
            "é",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding:",
            SMUGGLED,
            "Host: localhost\r\n",
        ];
        let mut bytes = payload.as_bytes().to_vec();
        for _ in 0..=self.below(2) * self.below(3) {
            let place = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[place] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(bytes.remove(place)),
                _ => drop(bytes.splice(place..place, INSERTS[self.below(INSERTS.len())].bytes())),
            }
        }
        bytes
    }
}

#[test]
fn a_strict_upstream_never_sees_a_request_that_was_not_counted() {
    if skip_unless(has_python_package("h11"), "h11 (PyPI)") {
        return;
    }
    let peer = Peer::start("strict.py", &[]);
    let (_endpoint, _upstream, setup): (_, _, Setup) = stage(300);
    let setup = setup.upstream(&format!("http://{}", peer.address()));
    let times = "[timeouts]\nrequest_head = \"200ms\"\nrequest_body_idle = \"200ms\"\nkeep_alive = \"100ms\"";
    let bearerd = setup.section(times).start_ready();
    let whole = [
        get(""),
        post("Content-Length: 5", "hello"),
        chunked("5\r\nhello\r\n0\r\n\r\n"),
        chunked("3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nSum: 1\r\n\r\n"),
        get("Connection: close, X-A\r\nX-A: b\r\nExpect: 100-continue\r\n"),
        "GET http://localhost/a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut threads = Vec::new();
    for _ in 0..8 {
        let address = bearerd.address();
        let payloads: Vec<_> = (0..250)
            .map(|_| {
                let payload = &whole[dice.below(whole.len())];
                [dice.spoil(payload), SMUGGLED.as_bytes().to_vec()].concat()
            })
            .collect();
        threads.push(std::thread::spawn(move || {
            for payload in payloads {
                let mut wire = Wire::connect(address).unwrap();
                let _ = wire.send(&payload);
                while read_response(&mut wire, "GET").is_ok() {}
            }
        }));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    bearerd.get("/last").expect(200);
    let seen = seen_by(&peer);
    let requests = seen["requests"].as_array().unwrap();
    assert_eq!(seen["errors"], serde_json::json!([]), "what h11 does not read");
    let in_flight = || bearerd.metric("bearerd_requests_in_flight", &[]);
    eventually("every request to end", seconds(5.0), || in_flight() == Some(0.0));
    assert!(requests.len() > 400, "{}", requests.len());
    let counted = bearerd.metric("bearerd_request_duration_seconds_count", &[("route", "api")]).unwrap();
    assert!(requests.len() as f64 <= counted, "{} seen, {counted} counted", requests.len());
}
