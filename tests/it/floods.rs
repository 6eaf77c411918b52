//! HTTP/2 that no honest caller speaks: smuggled authorities, and the floods that bring servers down.

use std::time::Duration;

use crate::support::attacks::{ATTACKS, Attack, Material};
use crate::support::client::Load;
use crate::support::frames::*;
use crate::support::{Bearerd, Request, Setup, TokenEndpoint, Upstream, stage};

fn calm() -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    upstream.count_only();
    (endpoint, upstream, setup)
}

/// The body of the answer to one request.
fn ask(bearerd: &Bearerd, fields: &[u8]) -> std::io::Result<String> {
    let mut frames = Frames::connect(bearerd.address())?;
    frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, fields))?;
    frames.body(1)
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let own = bearerd.address().to_string();
    let check = |fields: Vec<u8>, code: &str| {
        let told = ask(&bearerd, &fields).unwrap();
        assert!(told.contains(code), "{code}: {told}");
        assert_eq!(upstream.count(), 0, "{code}: {told}");
    };
    // What is malformed ends the stream, or the connection, before anybody acts on it (RFC 9113 §8.1.1).
    let ends = |more: &[(&str, &str)], path: &str| {
        let told = ask(&bearerd, &request("POST", path, &own, more));
        assert!(told.is_err(), "{more:?} {path}: {told:?}");
        assert_eq!(upstream.count(), 0, "{more:?} {path}");
    };
    check(request("GET", "/", &own, &[("host", "evil.example")]), "C005");
    check(request("GET", "/", &own, &[("host", &own), ("host", &own)]), "C005");
    check(request("GET", "/", "user@localhost", &[]), "C005");
    check(request("GET", "/", "evil.example", &[]), "C003");
    check(request("GET", "*", &own, &[]), "C005");
    // Over HTTP/1 these are refused too.
    check(request("GET", "/\u{e4}", &own, &[]), "C005");
    check(request("GET", "/?q=\u{e4}", &own, &[]), "C005");
    check(request("GET", "/", &own, &vec![("x-field", "x"); 101]), "C012");
    check(request("TRACE", "/", &own, &[]), "C004");
    check(fields(&[(":method", "CONNECT"), (":authority", "127.0.0.1:1")]), "C004");
    ends(&[("transfer-encoding", "chunked")], "/");
    ends(&[("connection", "close")], "/");
    ends(&[("te", "gzip")], "/");
    ends(&[("X-Upper", "x")], "/");
    ends(&[], "http://evil.example/");
    ends(&[("content-length", "5")], "/");
    // What agrees goes through, host by itself as well.
    ask(&bearerd, &request("GET", "/", &own, &[("host", &own)])).unwrap();
    ask(&bearerd, &fields(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", &own)])).unwrap();
    // A hundred fields, of which the crumbs of a cookie are one (RFC 9113 §8.2.3).
    let many = [vec![("x-field", "x"); 99], vec![("cookie", "a=1"); 50]].concat();
    ask(&bearerd, &request("GET", "/", &own, &many)).unwrap();
    assert_eq!(upstream.count(), 3);
}

/// Attacks until the connection ends; returns in which round, and what GOAWAY said.
fn flood(bearerd: &Bearerd, attack: &Attack, material: &Material) -> (u32, Option<Goaway>) {
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    let reader = attack.ends.is_none().then(|| frames.read_on());
    for round in 0..attack.rounds {
        let sent = frames.send(attack.bytes(material, round));
        if attack.ends.is_some() && (sent.is_err() || round % 64 == 0) {
            match frames.goaway_so_far() {
                Ok(None) if sent.is_ok() => {}
                ended => return (round, ended.unwrap_or_default()),
            }
        }
    }
    let Some(reader) = reader else { return (attack.rounds, frames.goaway()) };
    frames.close();
    reader.join().unwrap();
    (attack.rounds, None)
}

fn memory(bearerd: &Bearerd) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bearerd.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn floods_end_their_own_connection_and_nothing_else() {
    let (_endpoint, _upstream, setup) = calm();
    let bearerd = setup.start_ready();
    let material = Material::new(bearerd.address());
    let load = Load::start(bearerd.address(), 4, Duration::from_millis(5), Request::get("/honest"));
    let before = memory(&bearerd);
    for attack in ATTACKS {
        let (round, goaway) = flood(&bearerd, attack, &material);
        let Some((code, text)) = attack.ends else { continue };
        let name = attack.name;
        assert!(round < attack.rounds || goaway.is_some(), "{name}: went on for {round} rounds");
        // It may be lost where the connection is reset behind it.
        if let Some(goaway) = goaway {
            assert!(goaway.code == code && goaway.text.contains(text), "{name}: {goaway:?}");
            // What is sent while nobody looks does not count; what is taken in does.
            assert!(text != "too_many_resets" || goaway.last < 2 * 64, "{name}: {goaway:?}");
        }
    }
    let report = load.stop();
    report.expect_all_ok();
    assert!(report.quantile(0.99) < Duration::from_secs(1), "{report:?}");
    let grown = memory(&bearerd).saturating_sub(before);
    assert!(grown < 30_000, "{grown} KiB more than before");
}
