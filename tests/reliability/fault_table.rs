//! Everything that a token endpoint can do wrong (G19), each to a bearerd of its own that has a token and is being asked.
//!
//! Whatever it is: nothing panics, memory stays, the token that there is stays in use, the endpoint is asked once a second at most, and
//! renewal goes on, by itself or (where trying again may do harm) when a person says so. Nothing reaches the target of a redirect.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::figures::{Row, held, row};
use crate::process::{Memory, resident};
use crate::support::client::Load;
use crate::support::listener::Listener;
use crate::support::{FLOOR, Reply, Request, Standing, now, pause, seconds, stage};

/// How many are tried at the same time: they wait more than they work.
const AT_ONCE: usize = 10;
/// What a bad answer may cost, in KiB.
const MEMORY: u64 = 2 << 10;
/// What the figure asks for.
const ROWS: usize = 60;

type Fault = (String, Reply);

/// What became of the next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The answer was a token, in spite of all.
    Taken,
    /// Another token came by itself when the fault was over.
    Healed,
    /// It came when a person asked for it.
    WhenAsked,
    Never,
}

/// What one fault showed.
#[derive(Debug)]
struct Shown {
    name: String,
    outcome: Outcome,
    failed: usize,
    dead_tokens: usize,
    /// The least time between two token requests.
    apart: Duration,
    memory: u64,
}

pub(crate) fn prove() -> Vec<Row> {
    let touched = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&touched);
    let trap = Listener::start(Arc::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    let waiting = Mutex::new(faults(trap.address()));
    let count = waiting.lock().unwrap().len();
    let shown = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(fault) = { waiting.lock().unwrap().pop() } {
                    let one = try_one(fault);
                    shown.lock().unwrap().push(one);
                }
            });
        }
    });
    rows(count, touched.load(Ordering::Relaxed), &shown.into_inner().unwrap())
}

/// A bearerd has a token, meets the fault when it renews that, and the fault passes.
fn try_one((name, fault): Fault) -> Shown {
    let (endpoint, upstream, setup) = stage(12);
    let setup = setup.credential("refresh = { early = \"50%\" }").section("[timeouts]\ntoken_request = \"700ms\"");
    let bearerd = setup.start_ready();
    let load = Load::start(bearerd.address(), 1, seconds(0.02), Request::get("/items"));
    pause(seconds(1.0));
    // What it needs for its usual work it has by now.
    let memory = Memory::watch(&bearerd);
    let before = resident(&bearerd);
    endpoint.tokens().set_lifetime(300);
    endpoint.always(fault);
    endpoint.wait_for(2, 12.0);
    let start = now();
    let met = || bearerd.token_requests("success") > 1.0 || endpoint.count() > 2;
    while !met() && start.elapsed() < seconds(2.0) {
        pause(seconds(0.02));
    }
    // The old token lives on until here in every case.
    let report = load.stop();
    let grown = memory.grown();
    let taken = bearerd.token_requests("success") > 1.0;
    endpoint.always(Reply::Token);
    let outcome = if taken { Outcome::Taken } else { recovered(&bearerd) };
    let requests = endpoint.requests();
    let apart = requests.windows(2).map(|two| two[1].at - two[0].at).min().unwrap_or(Duration::MAX);
    let failed = report.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum();
    if failed > 0 || outcome == Outcome::Never {
        eprintln!("{name}: {outcome:?}, from {before} KiB, {report:?}, {:#?}", bearerd.log_with("T0"));
    }
    let dead_tokens = upstream.count() - upstream.with_token(Standing::Live);
    Shown { name, outcome, failed, dead_tokens, apart, memory: grown }
}

fn recovered(bearerd: &crate::support::Bearerd) -> Outcome {
    let has_another = |within: f64| {
        let start = now();
        while bearerd.token_requests("success") < 2.0 && start.elapsed() < seconds(within) {
            pause(seconds(0.05));
        }
        bearerd.token_requests("success") >= 2.0
    };
    if has_another(7.0) {
        return Outcome::Healed;
    }
    Request::new("POST", "/retry/api").send(bearerd.admin());
    if has_another(5.0) { Outcome::WhenAsked } else { Outcome::Never }
}

fn rows(count: usize, touched: usize, shown: &[Shown]) -> Vec<Row> {
    let mut by_outcome: BTreeMap<Outcome, Vec<&str>> = BTreeMap::new();
    for one in shown {
        by_outcome.entry(one.outcome).or_default().push(&one.name);
    }
    by_outcome.values_mut().for_each(|names| names.sort_unstable());
    let of = |outcome: Outcome| {
        let names = by_outcome.get(&outcome).cloned().unwrap_or_default();
        (names.len(), names.join(", "))
    };
    let taken = of(Outcome::Taken);
    let healed = of(Outcome::Healed);
    let asked = of(Outcome::WhenAsked);
    let never = of(Outcome::Never);
    let failed: usize = shown.iter().map(|one| one.failed).sum();
    let dead: usize = shown.iter().map(|one| one.dead_tokens).sum();
    let nearest = shown.iter().min_by_key(|one| one.apart).unwrap();
    let largest = shown.iter().max_by_key(|one| one.memory).unwrap();
    let what = "a token endpoint's faults";
    vec![
        held(format!("{what}: tried"), count, format!("≥ {ROWS}"), count >= ROWS && shown.len() == count),
        row(format!("{what}: panics"), 0, "0"),
        held(format!("{what}: requests that failed while the old token lived"), failed, "0", failed == 0),
        held(format!("{what}: requests at the upstream without a live token"), dead, "0", dead == 0),
        held(
            format!("{what}: least time between two token requests ({})", nearest.name),
            format!("{:.2?}", nearest.apart),
            format!("≥ 1 s, as it is received ≥ {FLOOR} s"),
            nearest.apart >= seconds(FLOOR),
        ),
        held(
            format!("{what}: most memory for one ({})", largest.name),
            format!("{} KiB", largest.memory),
            format!("≤ {MEMORY} KiB"),
            largest.memory <= MEMORY,
        ),
        held(format!("{what}: connections to the targets of redirects"), touched, "0", touched == 0),
        row(format!("{what}: a token in spite of all: {}", taken.1), taken.0, ""),
        row(format!("{what}: renewal went on by itself: {}", healed.1), healed.0, ""),
        row(format!("{what}: renewal went on when it was told to: {}", asked.1), asked.0, ""),
        held(format!("{what}: renewal did not go on {}", never.1), never.0, "0", never.0 == 0),
    ]
}

fn json(body: impl Into<String>) -> Reply {
    Reply::json(200, body.into())
}

/// An answer around a good token.
fn with_token(shape: impl Fn(&str) -> String + Send + Sync + 'static) -> Reply {
    Reply::custom(move |_, tokens| json(shape(&tokens.issue())))
}

fn raw(head: &str, body: &[u8]) -> Reply {
    Reply::Raw([b"HTTP/1.1 200 OK\r\n", head.as_bytes(), b"\r\n", body].concat())
}

fn named(name: impl Into<String>, reply: Reply) -> Fault {
    (name.into(), reply)
}

/// All of them.
fn faults(trap: SocketAddr) -> Vec<Fault> {
    [bodies(), members(), tokens(), connections(), statuses(), redirects(trap)].concat()
}

fn bodies() -> Vec<Fault> {
    let good = |token: &str| format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":300}}"#);
    let with_bytes = |before: &'static [u8], more: &'static str| {
        Reply::custom(move |_, tokens| {
            let body = [before, good(&tokens.issue()).as_bytes()].concat();
            raw(&format!("{more}Content-Length: {}\r\n", body.len()), &body)
        })
    };
    let utf_16 = Reply::custom(move |_, tokens| {
        let body: Vec<u8> = good(&tokens.issue()).encode_utf16().flat_map(u16::to_be_bytes).collect();
        raw(&format!("Content-Length: {}\r\n", body.len()), &body)
    });
    let form = Reply::custom(|_, tokens| {
        let body = format!("access_token={}&token_type=bearer&expires_in=300", tokens.issue());
        Reply::text(200, "application/x-www-form-urlencoded", &body)
    });
    vec![
        named("HTML", Reply::text(200, "text/html", "<html><body>Please sign in</body></html>")),
        named("empty", json("")),
        named("truncated JSON", json(r#"{"access_token":"abc","expires_"#)),
        named("two documents", json(r#"{"access_token":"abc"}{"access_token":"abc"}"#)),
        named("an array", json(r#"["access_token"]"#)),
        named("a number", json("1")),
        named("null", json("null")),
        named("10,000 levels of nesting", json("[".repeat(10_000))),
        named(
            "twice the same member",
            with_token(|token| format!(r#"{{"access_token":"{token}","access_token":"{token}","expires_in":300}}"#)),
        ),
        named("a byte order mark", with_bytes(b"\xef\xbb\xbf", "Content-Type: application/json\r\n")),
        named("UTF-16", utf_16),
        named("bytes that are no text", raw("Content-Length: 4\r\n", b"\xff\xfe\x80\x81")),
        named("another content type", with_bytes(b"", "Content-Type: text/plain\r\n")),
        named("no content type", with_bytes(b"", "")),
        named("a form", form),
        named("XML", Reply::text(200, "text/xml", "<a><token>abc</token></a>")),
        named("20 MB", json(format!(r#"{{"access_token":"{}"}}"#, "x".repeat(20_000_000)))),
        named(
            "gzip that nobody asked for",
            raw("Content-Encoding: gzip\r\nContent-Length: 1000000\r\n", &[0; 1_000_000]),
        ),
    ]
}

fn members() -> Vec<Fault> {
    let lifetimes = ["", "0", "-1", "\"3600\"", "3600.5", "1e18", "null", "true", "\"soon\"", "[]"].map(|value| {
        let member = if value.is_empty() { String::new() } else { format!(r#","expires_in":{value}"#) };
        let reply = with_token(move |token| format!(r#"{{"access_token":"{token}","token_type":"Bearer"{member}}}"#));
        named(format!("expires_in {value:?}"), reply)
    });
    let types = ["", "\"bearer\"", "\"MAC\"", "\"\"", "null", "7"].map(|value| {
        let member = if value.is_empty() { String::new() } else { format!(r#","token_type":{value}"#) };
        let reply = with_token(move |token| format!(r#"{{"access_token":"{token}","expires_in":300{member}}}"#));
        named(format!("token_type {value:?}"), reply)
    });
    let errors = [
        r#"{"error":"server_error"}"#,
        r#"{"error":"temporarily_unavailable","access_token":""}"#,
        r#"{"error":{"code":7}}"#,
    ]
    .map(|body| named(format!("200 with {body}"), json(body)));
    lifetimes.into_iter().chain(types).chain(errors).collect()
}

fn tokens() -> Vec<Fault> {
    let values = [
        "\"\"",
        "1",
        "null",
        "true",
        "[]",
        "{}",
        "\"with space\"",
        "\"nul\\u0000\"",
        "\"tökén\"",
        "\"a\\r\\nX-Evil: 1\"",
    ];
    let illegal = values.map(|value| {
        named(format!("access_token {value}"), json(format!(r#"{{"access_token":{value},"expires_in":300}}"#)))
    });
    let long = [("17 KiB", 17 << 10), ("1 MiB", 1 << 20)].map(|(name, length)| {
        let body = format!(r#"{{"access_token":"{}","expires_in":300}}"#, "x".repeat(length));
        named(format!("access_token of {name}"), json(body))
    });
    let again = Reply::custom(|_, tokens| {
        let last = tokens.issued().pop().unwrap_or_default();
        json(format!(r#"{{"access_token":"{last}","token_type":"Bearer","expires_in":3}}"#))
    });
    illegal.into_iter().chain(long).chain([named("the same token again", again)]).collect()
}

fn connections() -> Vec<Fault> {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(5_000);
    vec![
        named("closed without an answer", Reply::Close),
        named("silence", Reply::Stall(Vec::new())),
        named("half a head", Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec())),
        named(
            "half a body, then silence",
            Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"acc".to_vec()),
        ),
        named("half a body, then the end", raw("Content-Length: 500\r\n", b"{\"access_token\":")),
        named("chunks that end too early", raw("Transfer-Encoding: chunked\r\n", b"5\r\n{\"acc\r\n")),
        named("chunks that are none", raw("Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n")),
        named("5,000 interim answers", Reply::Raw(interim)),
        named("a TLS alert", Reply::Raw(vec![0x15, 3, 3, 0, 2, 2, 40])),
        named("no HTTP", Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        named("HTTP/0.9", Reply::Raw(b"{\"access_token\":\"abc\"}".to_vec())),
        named("a head without end", Reply::Raw([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat())),
        named(
            "10,000 fields",
            Reply::Raw([b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(10_000), b"\r\n".to_vec()].concat()),
        ),
        named("two lengths", raw("Content-Length: 2\r\nContent-Length: 3\r\n", b"{}")),
        named("too late", Reply::Token.late(1.5)),
    ]
}

fn statuses() -> Vec<Fault> {
    let plain = [201, 206, 400, 401, 403, 404, 405, 408, 418, 500, 502, 503, 504]
        .map(|status| named(format!("{status}"), Reply::text(status, "text/plain", "no")));
    let busy = ["1", "Fri, 31 Dec 2010 23:59:59 GMT", "nonsense", "315360000", "-1"].map(|value| {
        named(
            format!("429, Retry-After {value}"),
            Reply::text(429, "text/plain", "slow down").with("Retry-After", value),
        )
    });
    let skewed = Reply::custom(|_, tokens| {
        let token = tokens.issue();
        json(format!(r#"{{"access_token":"{token}","expires_in":300}}"#)).with("Date", "Fri, 31 Dec 2010 23:59:59 GMT")
    });
    let others = [
        named("204", Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())),
        named("status 999", Reply::Raw(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n".to_vec())),
        named("a Date of other years", skewed),
    ];
    plain.into_iter().chain(busy).chain(others).collect()
}

fn redirects(trap: SocketAddr) -> Vec<Fault> {
    let targets = [format!("http://{trap}/token"), format!("//{trap}/token"), "/elsewhere".to_owned()];
    let all = [301, 302, 303, 307, 308].into_iter().flat_map(|status| {
        targets.clone().map(|target| {
            let place = target.replace(&trap.to_string(), "other");
            named(format!("{status} to {place}"), Reply::text(status, "text/plain", "").with("Location", &target))
        })
    });
    all.collect()
}
