//! Requests changed at random, and what an upstream sees of them (RELIABILITY G10): nothing that does not stand in them.

use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;

use crate::figures::{Row, held, row, secs};
use crate::oracle::{self, Read};
use crate::setting::scaled;
use crate::support::client::Request;
use crate::support::listener::Listener;
use crate::support::peers::{Peer, has_python_package};
use crate::support::wire::Wire;
use crate::support::{After, Bearerd, Setup, TokenEndpoint, Tokens, Upstream, now, pause, seconds};

/// Connections side by side, each with an upstream of its own, so that it is known whose request came.
const LANES: usize = 24;
/// How long nothing must come before the caller says that nothing more will follow.
const QUIET: Duration = Duration::from_millis(60);
/// The same where each request that reaches the upstream is to be counted: one whose caller has left has no status to be counted by.
/// More than the second after which a body is sent to an upstream that does not ask for it.
const PATIENT: Duration = Duration::from_secs(3);
/// What would give the end away: the last request of every connection, changed or not.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

pub(crate) fn prove() -> Vec<Row> {
    oracle::hold_known_readings();
    let mut rows = by_the_oracle(scaled(20_000, 1_000_000));
    rows.extend(by_h11(scaled(3_000, 100_000)));
    rows
}

/// A request as the upstream of a lane got it.
#[derive(Debug)]
struct Came {
    method: Vec<u8>,
    target: Vec<u8>,
    /// Whether one live token came, and the upstream's own authority.
    is_ours: bool,
    /// `None` until all of it has come.
    body: Option<Vec<u8>>,
}

type Log = Arc<Mutex<Vec<Arc<Mutex<Came>>>>>;

/// A route, its upstream, and what came there.
struct Lane {
    address: SocketAddr,
    log: Log,
    _upstream: Upstream,
}

/// A server that nobody was ever pointed to, other than by callers.
struct Decoy {
    listener: Listener,
    calls: Arc<AtomicUsize>,
}

impl Decoy {
    fn start() -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let listener = Listener::start(Arc::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        Self { listener, calls }
    }

    fn authority(&self) -> String {
        self.listener.address().to_string()
    }
}

const HEAD: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\nlevel = \"info\"\n\
    [timeouts]\nrequest_head = \"2s\"\nrequest_body_idle = \"2s\"\nkeep_alive = \"2s\"\n";

fn by_the_oracle(count: usize) -> Vec<Row> {
    let tokens = Tokens::new(36_000);
    let endpoint = TokenEndpoint::start(&tokens);
    let decoy = Decoy::start();
    let upstreams: Vec<(Upstream, Log)> = (0..LANES).map(|_| watched(&tokens)).collect();
    let mut text = format!("{HEAD}[credentials.api]\ntoken_endpoint = \"{}\"\n", endpoint.url());
    let names: Vec<String> = (0..LANES).map(|lane| format!("lane{lane}")).collect();
    for (name, (upstream, _)) in names.iter().zip(&upstreams) {
        text += &format!("[routes.{name}]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n", upstream.url());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bearerd = Setup::new(endpoint.canaries()).file(&text, &names).start_ready();
    let lanes: Vec<Lane> = upstreams
        .into_iter()
        .zip(&names)
        .map(|((upstream, log), name)| Lane { address: bearerd.address_of(name), log, _upstream: upstream })
        .collect();
    let (start, next, decoy_authority) = (now(), AtomicUsize::new(0), decoy.authority());
    let (next, authority) = (&next, decoy_authority.as_str());
    let met: Vec<Met> = std::thread::scope(|scope| {
        let lanes: Vec<_> = lanes.iter().map(|lane| scope.spawn(move || run(lane, next, count, authority))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("a lane")).collect()
    });
    let sum = |part: fn(&Met) -> usize| met.iter().map(part).sum::<usize>();
    let findings: Vec<&String> = met.iter().flat_map(|met| &met.findings).collect();
    findings.iter().take(20).for_each(|finding| eprintln!("mutations: {finding}"));
    let what = format!("{count} changed requests{}", scaled(" of 1,000,000", ""));
    let mut rows = vec![
        held(
            format!("{what}: requests at the upstream that do not stand in them, or not so"),
            format!("{} of {}", findings.len(), sum(|met| met.forwarded)),
            "0",
            findings.is_empty(),
        ),
        row(
            format!("{what}: requests that the oracle reads in them, answers, of those refusals by bearerd"),
            format!("{}, {}, {}", sum(|met| met.read), sum(|met| met.answers), sum(|met| met.refused)),
            "",
        ),
    ];
    rows.extend(unharmed(&what, &bearerd, &decoy));
    rows.push(row(format!("{what}: took"), secs(start.elapsed()), ""));
    rows
}

fn unharmed(what: &str, bearerd: &Bearerd, decoy: &Decoy) -> Vec<Row> {
    let calls = decoy.calls.load(Ordering::Relaxed);
    let panics = bearerd.metric("bearerd_panics_total", &[]).unwrap();
    vec![
        held(format!("{what}: connections to another authority"), calls, "0", calls == 0),
        held(format!("{what}: panics"), panics, "0", panics == 0.0),
    ]
}

/// An upstream that notes every request as soon as its head has come.
fn watched(tokens: &Tokens) -> (Upstream, Log) {
    let (upstream, log) = (Upstream::start(tokens), Log::default());
    upstream.count_only();
    let (notes, own) = (Arc::clone(&log), upstream.address().to_string());
    upstream.on("", move |exchange| {
        let fields = &exchange.head.fields;
        let one_token = fields.all("authorization").len() == 1 && exchange.token_is_live();
        let came = Arc::new(Mutex::new(Came {
            method: bytes(exchange.method()),
            target: bytes(exchange.target()),
            is_ours: one_token && fields.all("host") == [&own],
            body: None,
        }));
        notes.lock().unwrap().push(Arc::clone(&came));
        let body = exchange.read_body()?;
        came.lock().unwrap().body = Some(body);
        exchange.answer(200, &[], "").map(|_| After::KeepAlive)
    });
    (upstream, log)
}

/// What was read as one character for each byte, as bytes.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|character| character as u8).collect()
}

/// What a lane met.
#[derive(Default)]
struct Met {
    read: usize,
    forwarded: usize,
    answers: usize,
    refused: usize,
    findings: Vec<String>,
}

fn run(lane: &Lane, next: &AtomicUsize, count: usize, decoy: &str) -> Met {
    let mut met = Met::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return met;
        }
        let payload = changed(number as u64, decoy);
        let wanted = oracle::requests(&payload);
        let heard = send(lane.address, &payload, QUIET);
        let came = std::mem::take(&mut *lane.log.lock().unwrap());
        met.read += wanted.len();
        met.forwarded += came.len();
        met.answers += heard.matches("HTTP/1.1 ").count();
        met.refused += heard.matches("application/problem+json").count();
        if wrong_with(&came, &wanted).is_some()
            && let Some(wrong) = again(lane, &payload, &wanted)
        {
            met.findings.push(format!("case {number}: {wrong}: {}", payload.escape_ascii()));
        }
    }
}

/// What one case says may be the end of another that was abandoned; alone it is the same each time.
fn again(lane: &Lane, payload: &[u8], wanted: &[Read]) -> Option<String> {
    pause(seconds(0.5));
    lane.log.lock().unwrap().clear();
    send(lane.address, payload, QUIET);
    pause(seconds(0.5));
    wrong_with(&std::mem::take(&mut *lane.log.lock().unwrap()), wanted)
}

/// Every request must be the one that stands at its place.
fn wrong_with(came: &[Arc<Mutex<Came>>], wanted: &[Read]) -> Option<String> {
    came.iter().enumerate().find_map(|(at, came)| {
        let came = came.lock().unwrap();
        let Some(wanted) = wanted.get(at) else { return Some(format!("request {at} does not stand there: {came:?}")) };
        let is_same = came.method == wanted.method && came.target == wanted.target && came.is_ours;
        let has_same_body = came.body.is_none() || came.body == wanted.body;
        (!is_same || !has_same_body).then(|| format!("request {at} should be {wanted:?}, was {came:?}"))
    })
}

/// Sends it on a connection of its own; everything that comes back until that is closed.
fn send(address: SocketAddr, payload: &[u8], quiet: Duration) -> String {
    let Ok(mut wire) = Wire::connect(address) else { return String::new() };
    // Whoever is refused early may close before all is written.
    let _ = wire.send(payload);
    let heard = wire.rest(quiet);
    let _ = wire.socket().shutdown(Shutdown::Write);
    let rest = wire.rest(seconds(5.0));
    String::from_utf8_lossy(&[heard, rest].concat()).into_owned()
}

/// The same with an upstream that reads with h11: whatever bearerd sends is well-formed, and counted.
fn by_h11(count: usize) -> Vec<Row> {
    assert!(has_python_package("h11"), "h11 is installed: ./reliability does it");
    let (server, decoy) = (Peer::start("strict.py", &[]), Decoy::start());
    let endpoint = TokenEndpoint::start(&Tokens::new(36_000));
    let credential = format!("token_endpoint = \"{}\"\n", endpoint.url());
    let url = format!("http://{}", server.address());
    let setup = Setup::new(endpoint.canaries()).credential_only(&url, &credential);
    let bearerd = setup.section("[timeouts]\nrequest_head = \"2s\"\nrequest_body_idle = \"2s\"").start_ready();
    let (next, authority) = (AtomicUsize::new(0), decoy.authority());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    send(bearerd.address(), &changed(u64::MAX - number as u64, &authority), PATIENT);
                }
            });
        }
    });
    let seen = Request::get("/.seen").send(server.address()).expect(200).json();
    let length = |name: &str| seen[name].as_array().map_or(usize::MAX, Vec::len);
    let page = bearerd.admin_get("/metrics").expect(200).text();
    let counted: f64 = page
        .lines()
        .filter(|line| line.starts_with("bearerd_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    let errors = length("errors");
    if errors > 0 {
        eprintln!("h11: {}", seen["errors"]);
    }
    let what = format!("{count} others, with an upstream that reads with h11");
    let mut rows = vec![
        held(
            format!("{what}: requests there, and all that bearerd has counted"),
            format!("{}, {counted}", length("requests")),
            "none that is not counted",
            length("requests") as f64 <= counted && length("requests") > count / 10,
        ),
        held(format!("{what}: requests that h11 does not take"), errors, "0", errors == 0),
    ];
    rows.extend(unharmed(&what, &bearerd, &decoy));
    rows
}

// ---- Changing requests ----------------------------------------------------------------------------------------------

/// What there is one meaning of, to begin with. `DECOY` is another server.
const VALID: &[&str] = &[
    "GET /a?b=c HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: mutant/1\r\n\r\n",
    "HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /chunks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "PUT /trailers HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 1\r\n\r\n",
    "POST /smuggle HTTP/1.1\r\nHost: localhost\r\nContent-Length: 46\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\nxyz",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET http://localhost/absolute HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /old HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
    "DELETE /d HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer EVIL\r\nCookie: a=b; c=d\r\n\r\n",
    "POST /expect HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET /upgrade HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n",
    "GET /hop HTTP/1.1\r\nHost: localhost\r\nConnection: Authorization, X-A\r\nX-A: 1\r\nProxy-Authorization: Basic eA==\r\n\r\n",
];

/// What is put somewhere.
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    "\x0b",
    ":",
    ";",
    ",",
    "#",
    "?",
    "//",
    "\\",
    "@",
    "%00",
    "%0d%0a",
    "/../",
    "*",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length:\r\n",
    "Content-Length : 5\r\n",
    "Content_Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "TRANSFER-ENCODING: CHUNKED\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Host: DECOY\r\n",
    "Host: localhost\r\n",
    "X-Forwarded-Host: DECOY\r\n",
    "http://DECOY",
    "http://DECOY/",
    "@DECOY",
    "@DECOY/",
    ":80@DECOY/",
    "//DECOY/",
    "localhost:80@DECOY",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: Host, Content-Length\r\n",
    "Connection: Transfer-Encoding\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\n",
    "Connection: Upgrade\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "0\n\n",
    "00000000\r\n\r\n",
    "ffffffffffffffff\r\n",
    "0x5\r\n",
    "5;\n",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "HTTP/0.9",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT DECOY HTTP/1.1\r\n",
    "TRACE /",
    "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET http://DECOY/ HTTP/1.1\r\nHost: DECOY\r\n\r\n",
    "X-A: b\r\n",
    " X-A: folded\r\n",
    ": empty\r\n",
    "\u{80}",
    "\u{ff}",
    "X-A\u{e9}: b\r\n",
];

/// The bytes of one connection: one to three requests and a last one, changed in one to five places.
fn changed(seed: u64, decoy: &str) -> Vec<u8> {
    let mut dice = Rng::with_seed(seed);
    let some = |dice: &mut Rng| VALID[dice.usize(..VALID.len())];
    let mut all: Vec<u8> = (0..dice.usize(1..=3)).flat_map(|_| some(&mut dice).bytes()).collect();
    all.extend(LAST.bytes());
    for _ in 0..dice.usize(1..=5) {
        change(&mut all, &mut dice, decoy);
    }
    all
}

fn change(all: &mut Vec<u8>, dice: &mut Rng, decoy: &str) {
    let at = place(all, dice);
    let length = dice.usize(1..=12);
    let end = (at + length).min(all.len());
    match dice.u8(..10) {
        0..4 => {
            let word = WORDS[dice.usize(..WORDS.len())].replace("DECOY", decoy);
            // One byte for each character.
            drop(all.splice(at..at, word.chars().map(|character| character as u8)));
        }
        4 => drop(all.drain(at..end)),
        5 => {
            let again = all[at..end].to_vec();
            drop(all.splice(end..end, again));
        }
        6 => {
            if let Some(byte) = all.get_mut(at) {
                *byte = dice.u8(..);
            }
        }
        7 => {
            if let Some(byte) = all.get_mut(at) {
                *byte ^= 0x20;
            }
        }
        8 => number(all, dice),
        _ => {
            let other = VALID[dice.usize(..VALID.len())].as_bytes();
            let from = dice.usize(..other.len());
            drop(all.splice(at..end, other[from..].iter().copied()));
        }
    }
}

/// Anywhere; half of the time at the beginning of a line or behind a name.
fn place(all: &[u8], dice: &mut Rng) -> usize {
    let anywhere = dice.usize(..=all.len());
    if dice.bool() {
        return anywhere;
    }
    let after = all.get(anywhere..).unwrap_or_default();
    after.iter().position(|byte| matches!(byte, b'\n' | b':' | b' ')).map_or(anywhere, |next| anywhere + next + 1)
}

/// Another digit for one that stands there.
fn number(all: &mut [u8], dice: &mut Rng) {
    let digits: Vec<usize> = (0..all.len()).filter(|at| all[*at].is_ascii_digit()).collect();
    if let Some(at) = digits.get(dice.usize(..digits.len().max(1))) {
        all[*at] = b'0' + dice.u8(..10);
    }
}
