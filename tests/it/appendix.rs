//! Every row of RELIABILITY's appendices A (HTTP/1) and B (HTTP/2 in, HTTP/1 out): what is sent, what must come of it, what does.
//!
//! An outcome is written as there: the statuses, `!` if the connection was closed, and how many requests reached the upstream.
//! `./reliability G10` prints the tables.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::support::client::read_response;
use crate::support::frames::*;
use crate::support::upstream::Seen;
use crate::support::wire::Wire;
use crate::support::{Bearerd, Setup, TokenEndpoint, Upstream, pause, seconds, stage};

/// One row.
pub(crate) struct Outcome {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) ours: String,
}

impl Outcome {
    /// What is wanted may leave open whether the connection closes, and may be told in more than one way.
    fn holds(&self) -> bool {
        let matches = |wanted: &str| wanted == self.ours || wanted == self.ours.replace('!', "");
        self.wanted.split(" or ").any(matches)
    }
}

#[test]
fn every_payload_of_appendix_a_comes_out_as_written_there() {
    hold(&http1());
}

#[test]
fn every_payload_of_appendix_b_comes_out_as_written_there() {
    hold(&http2());
}

#[track_caller]
pub(crate) fn hold(outcomes: &[Outcome]) {
    let mut told = String::new();
    for Outcome { what, wanted, ours } in outcomes.iter().filter(|outcome| !outcome.holds()) {
        let _ = writeln!(told, "{what}: wanted {wanted}, was {ours}");
    }
    assert!(told.is_empty(), "{told}");
}

const REFUSED: &str = "400! fwd0";
const FORWARDED: &str = "200 fwd1";
/// A request behind another one: whoever reads the first one wrongly serves this.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A bearerd and those around it, and what came of what was sent so far.
struct Stage {
    _endpoint: TokenEndpoint,
    upstream: Upstream,
    bearerd: Bearerd,
    outcomes: Vec<Outcome>,
}

impl Stage {
    fn new(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (endpoint, upstream, setup) = stage(300);
        let bearerd = change(setup).start_ready();
        Self { _endpoint: endpoint, upstream, bearerd, outcomes: Vec::new() }
    }

    /// Sends these bytes over HTTP/1. `seen` says what is wrong with the request as the upstream got it.
    fn send(
        &mut self,
        what: &str,
        payload: impl AsRef<[u8]>,
        wanted: &str,
        seen: impl Fn(&Seen) -> Option<&'static str>,
    ) {
        let before = self.upstream.requests().len();
        let (mut ours, closed) = statuses(self.bearerd.address(), payload.as_ref());
        let requests = self.upstream.requests();
        let forwarded = requests.get(before..).unwrap_or_default();
        ours.push_str(if closed { "!" } else { "" });
        let _ = write!(ours, " fwd{}", forwarded.len());
        if let Some(wrong) = forwarded.iter().find_map(seen) {
            let _ = write!(ours, ", {wrong}");
        }
        self.outcomes.push(Outcome { what: what.to_owned(), wanted: wanted.to_owned(), ours });
    }

    fn refused(&mut self, what: &str, payload: impl AsRef<[u8]>) {
        self.send(what, payload, REFUSED, |_| None);
    }

    fn forwarded(&mut self, what: &str, payload: impl AsRef<[u8]>, seen: impl Fn(&Seen) -> Option<&'static str>) {
        self.send(what, payload, FORWARDED, seen);
    }

    /// Nothing came late.
    fn end(self) -> Vec<Outcome> {
        let before = self.upstream.count();
        self.bearerd.get("/last").expect(200);
        assert_eq!(self.upstream.count(), before + 1, "{:#?}", self.upstream.requests());
        self.outcomes
    }
}

/// The statuses of all answers to these bytes, and whether the connection was closed.
fn statuses(address: SocketAddr, payload: &[u8]) -> (String, bool) {
    let mut wire = Wire::connect(address).unwrap();
    // Whoever is refused early may close before all is written.
    let _ = wire.send(payload);
    let mut all = Vec::new();
    let closed = loop {
        let patience = if all.is_empty() { seconds(10.0) } else { seconds(0.3) };
        wire.socket().set_read_timeout(Some(patience)).unwrap();
        match read_response(&mut wire, "GET") {
            Ok(response) => all.push(response.status.to_string()),
            Err(error) => break error.kind() == std::io::ErrorKind::UnexpectedEof,
        }
    };
    (all.join(","), closed)
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

/// Appendix A.
pub(crate) fn http1() -> Vec<Outcome> {
    let mut alone = Stage::new(|setup| setup);
    lengths(&mut alone);
    heads(&mut alone);
    targets(&mut alone);
    meanings(&mut alone);
    let mut outcomes = alone.end();

    // DESIGN section 6: refused where the readings of a path pick different routes.
    let other = "[routes.other]\npath = \"/admin\"\ncredential = \"none\"\nupstream = \"http://127.0.0.1:9\"";
    let mut routes = Stage::new(|setup| setup.section(other));
    for target in ["/v1/../../admin", "/v1/%2e%2e/admin", "/v1%2f..%2fadmin"] {
        routes.refused(&format!("{target} with a route /admin beside /"), get(target, ""));
    }
    outcomes.extend(routes.end());

    let inject = "inject = { header = \"X-Api-Key\", scheme = \"\" }";
    let mut alias = Stage::new(|setup| setup.credential(inject));
    alias.upstream.expect_token_in("x-api-key", "");
    let evil = "X_Api_Key: EVIL\r\nX-API-Key: EVIL\r\nx_api-key: EVIL\r\nX_Forwarded_For: 1\r\nAuthor_ization: 1\r\n";
    alias.forwarded("X_Forwarded_For, Author_ization, and aliases of an injected X-Api-Key", get("/a", evil), |seen| {
        let raw = seen.raw_head();
        match (raw.contains("EVIL"), raw.to_lowercase().contains("x_forwarded_for")) {
            (true, _) => Some("an alias got through"),
            (false, true) => None,
            (false, false) => Some("the others did not get through"),
        }
    });
    outcomes.extend(alias.end());
    outcomes
}

fn lengths(stage: &mut Stage) {
    let smuggling = format!("0\r\n\r\n{SMUGGLED}");
    for (what, fields) in [
        ("CL 6 + TE chunked", "Content-Length: 6\r\nTransfer-Encoding: chunked"),
        ("TE chunked + CL, request behind", "Transfer-Encoding: chunked\r\nContent-Length: 6"),
        ("TE chunked, identity", "Transfer-Encoding: chunked, identity"),
        ("TE xchunked", "Transfer-Encoding: xchunked"),
        ("Transfer-Encoding :", "Transfer-Encoding : chunked"),
        ("TE with VT", "Transfer-Encoding: \x0bchunked"),
        ("two CL, different", "Content-Length: 3\r\nContent-Length: 4"),
        ("two CL, equal", "Content-Length: 3\r\nContent-Length: 3"),
        ("CL +2", "Content-Length: +2"),
        ("CL -1", "Content-Length: -1"),
        ("CL 0x2", "Content-Length: 0x2"),
        ("CL of 23 digits", "Content-Length: 99999999999999999999999"),
        ("CL empty, request behind", "Content-Length:"),
    ] {
        stage.refused(what, post(fields, &smuggling));
    }
    for (what, body) in [
        ("chunk size overflow", "ffffffffffffffffff\r\nx"),
        ("chunk size ended by LF", "5\nhello\r\n0\r\n\r\n"),
        ("last chunk 0 ended by LF", "5\r\nhello\r\n0\n\r\n"),
        ("LF in a chunk's extension", "5;a\nhello\r\n0\r\n\r\n"),
        ("chunk 0x2", "0x2\r\nab\r\n0\r\n\r\n"),
    ] {
        stage.refused(what, chunked(&format!("{body}{SMUGGLED}")));
    }
    let trailer = chunked("3\r\nabc\r\n0\r\nAuthorization: Bearer EVIL\r\nSum: 1\r\n\r\n");
    stage.forwarded("trailer Authorization: Bearer EVIL", trailer, |seen| {
        seen.trailers.has("authorization").then_some("the trailer got through")
    });
}

fn heads(stage: &mut Stage) {
    stage.forwarded("all lines ended by LF only", "GET /a HTTP/1.1\nHost: localhost\nX: y\n\n", |seen| {
        seen.raw_head().replace("\r\n", "").contains(['\r', '\n']).then_some("passed on as it came")
    });
    stage.refused("bare CR in a value", get("/a", "X: y\rZ: z\r\n"));
    stage.refused("space in a name", get("/a", "X Y: z\r\n"));
    stage.refused("empty name", get("/a", ": y\r\n"));
    stage.refused("two Hosts", get("/a", "Host: evil.test\r\n"));
    stage.send("Host evil.test", "GET /a HTTP/1.1\r\nHost: evil.test\r\n\r\n", "421 fwd0", |_| None);
    stage.refused("HTTP/9.9", "GET /a HTTP/9.9\r\nHost: localhost\r\n\r\n");
    stage.refused("HTTP/0.9", "GET /a\r\n\r\n");
    stage.send("200 fields", get("/a", &"X: y\r\n".repeat(200)), "431! fwd0", |_| None);
    stage.send("a field of 64 KiB", get("/a", &format!("X: {}\r\n", "y".repeat(64 << 10))), "431! fwd0", |_| None);
}

fn targets(stage: &mut Stage) {
    for (what, target) in [("with", "http://evil.test/a"), ("without", "http://evil.test")] {
        stage.send(&format!("absolute-form, other authority, {what} path"), get(target, ""), "421 fwd0", |_| None);
    }
    for target in ["@evil.test/a", ".evil.test/a", ":80@evil.test/a", "\\\\evil.test/a"] {
        stage.refused(&format!("target {target}"), get(target, ""));
    }
    for target in ["/v1/../../admin", "/v1/%2e%2e/admin", "/v1%2f..%2fadmin"] {
        stage.forwarded(&format!("{target} with one route"), get(target, ""), move |seen| {
            (seen.target() != target).then_some("changed on its way")
        });
    }
    stage.refused("NUL in the target", get("/a\0b", ""));
    stage.refused("TAB in the target", get("/a\tb", ""));
    stage.refused("GET *", get("*", ""));
}

fn meanings(stage: &mut Stage) {
    let connect = "CONNECT evil.test:443 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stage.send("CONNECT", connect, "405 fwd0", |_| None);
    stage.send("TRACE", "TRACE /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "405 fwd0", |_| None);
    let replaced = |seen: &Seen| {
        let all = seen.head.fields.all("authorization");
        (all.len() != 1 || all[0].contains("EVIL")).then_some("not replaced")
    };
    let evil = "Authorization: Bearer EVIL\r\n";
    stage.forwarded("the caller's Authorization, one", get("/a", evil), replaced);
    stage.forwarded("the caller's Authorization, two", get("/a", &evil.repeat(2)), replaced);
    let hop =
        "Proxy-Authorization: Basic eA==\r\nKeep-Alive: timeout=9\r\nTE: gzip\r\nConnection: X-Own\r\nX-Own: 1\r\n";
    stage.forwarded("Proxy-Authorization, Keep-Alive, TE gzip", get("/a", hop), |seen| {
        let names = ["proxy-authorization", "keep-alive", "te", "x-own"];
        names.iter().any(|name| seen.head.fields.has(name)).then_some("not stripped")
    });
    stage.upstream.on("/upgrade", |exchange| {
        // Whoever let through what follows would have by now.
        pause(seconds(0.3));
        exchange.wire.socket().set_nonblocking(true)?;
        let more = exchange.wire.socket().peek(&mut [0]);
        exchange.wire.socket().set_nonblocking(false)?;
        exchange.answer(if more.is_ok() { 500 } else { 200 }, &[], "no upgrade")
    });
    let upgrade = get("/upgrade", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    let what = "Upgrade websocket + request behind: nothing before a 101, two requests after a 200";
    stage.send(what, format!("{upgrade}{SMUGGLED}"), "200,200 fwd2", |_| None);
    stage.send("Expect: 200-maybe", get("/a", "Expect: 200-maybe\r\n"), "417 fwd0", |_| None);
}

/// Appendix B.
pub(crate) fn http2() -> Vec<Outcome> {
    let mut stage = Stage::new(|setup| setup);
    let own = stage.bearerd.address().to_string();
    // Ended by h2, as a stream or with the connection, before anybody acts on it (RFC 9113 §8.1.1).
    let ended = "RST 1 fwd0 or GOAWAY 1 fwd0";
    for (what, method, path, more) in [
        ("CRLF in a value", "GET", "/a", &[("x-a", "b\r\nc: d")][..]),
        ("LF in a value", "GET", "/a", &[("x-a", "b\nc")]),
        ("NUL in a value", "GET", "/a", &[("x-a", "b\0c")]),
        ("CR in a name", "GET", "/a", &[("x\ra", "b")]),
        ("colon in a name", "GET", "/a", &[("x:a", "b")]),
        ("upper case in a name", "GET", "/a", &[("X-A", "b")]),
        ("CRLF in :path", "GET", "/a\r\nb", &[]),
        ("space in :path", "GET", "/a b", &[]),
        ("CRLF in :method", "GET\r\nx", "/a", &[]),
        ("absolute :path", "GET", "http://evil.test/a", &[]),
        (":path @evil", "GET", "@evil.test/a", &[]),
        ("empty :path", "GET", "", &[]),
        ("two :path", "GET", "/a", &[(":path", "/b")]),
        ("pseudo after regular", "GET", "/a", &[("x-a", "b"), (":scheme", "http")]),
        ("unknown pseudo", "GET", "/a", &[(":x", "b")]),
        ("transfer-encoding", "POST", "/a", &[("transfer-encoding", "chunked")]),
        ("connection", "GET", "/a", &[("connection", "close")]),
        ("te: gzip", "GET", "/a", &[("te", "gzip")]),
        ("upgrade", "GET", "/a", &[("upgrade", "websocket")]),
        ("content-length without a body", "POST", "/a", &[("content-length", "5")]),
    ] {
        stage.send2(what, &request(method, path, &own, more), b"", ended, |_| None);
    }
    let with_body = |length: &str| request("POST", "/a", &own, &[("content-length", length)]);
    stage.send2("content-length 0 with a body", &with_body("0"), b"body", ended, |_| None);
    stage.send2("content-length too large", &with_body("9"), b"body", &format!("{ended} or 400 fwd0"), |_| None);
    let extended = [
        (":method", "CONNECT"),
        (":protocol", "evil"),
        (":scheme", "http"),
        (":authority", own.as_str()),
        (":path", "/a"),
    ];
    // Enabled by now, as RFC 8441 has it: for the protocols of the route.
    stage.send2("extended CONNECT to a protocol of no route", &fields(&extended), b"", "501 fwd0", |_| None);

    let refused = "400 fwd0";
    let host = |value: &str| request("GET", "/a", &own, &[("host", value)]);
    stage.send2("host ≠ :authority", &host("evil.test"), b"", refused, |_| None);
    stage.send2(":authority with userinfo", &request("GET", "/a", "user@localhost", &[]), b"", refused, |_| None);
    stage.send2(":path *", &request("GET", "*", &own, &[]), b"", refused, |_| None);
    let connect = fields(&[(":method", "CONNECT"), (":authority", "evil.test:443")]);
    stage.send2("CONNECT", &connect, b"", "405 fwd0", |_| None);
    stage.send2("GET with a body", &request("GET", "/a", &own, &[]), b"body", FORWARDED, |seen| {
        (seen.body != b"body").then_some("its body is lost")
    });
    stage.send2("leading space in a value", &request("GET", "/a", &own, &[("x-a", " b")]), b"", FORWARDED, |seen| {
        (seen.head.fields.first("x-a") != Some("b")).then_some("another value")
    });
    let crumbs = request("GET", "/a", &own, &[("cookie", "a=1"), ("cookie", "b=2")]);
    stage.send2("two cookie fields", &crumbs, b"", FORWARDED, |seen| {
        (seen.head.fields.all("cookie") != ["a=1; b=2"]).then_some("not joined")
    });
    stage.end()
}

impl Stage {
    /// Sends a request over HTTP/2, with these fields and this body.
    fn send2(
        &mut self,
        what: &str,
        fields: &[u8],
        body: &[u8],
        wanted: &str,
        seen: impl Fn(&Seen) -> Option<&'static str>,
    ) {
        let before = self.upstream.requests().len();
        let mut frames = Frames::connect(self.bearerd.address()).unwrap();
        let flags = if body.is_empty() { END_STREAM } else { 0 };
        frames.send(frame(HEADERS, flags | END_HEADERS, 1, fields)).unwrap();
        if !body.is_empty() {
            // Refused by its head it may be over by now.
            let _ = frames.send(frame(DATA, END_STREAM, 1, body));
        }
        let mut ours = frames.outcome(1).unwrap_or_else(|error| error.to_string());
        let requests = self.upstream.requests();
        let forwarded = requests.get(before..).unwrap_or_default();
        let _ = write!(ours, " fwd{}", forwarded.len());
        if let Some(wrong) = forwarded.iter().find_map(seen) {
            let _ = write!(ours, ", {wrong}");
        }
        self.outcomes.push(Outcome { what: what.to_owned(), wanted: wanted.to_owned(), ours });
    }
}
