//! SIGTERM under load, with downloads, WebSockets and conversations open (RELIABILITY T42, G12).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::figures::{Row, held, secs};
use crate::setting::scaled;
use crate::streams::Far;
use crate::support::client::{Response, read_response, read_response_head};
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Request, Upstream, eventually, now, pause, seconds, stage};

const GRACE: u64 = 30;
const DOWNLOADS: usize = 50;
/// Callers that keep their connections, and callers that make one for each request.
const KEPT: usize = 12;
const FRESH: usize = 6;
const REST: Duration = Duration::from_millis(2);

pub(crate) fn prove() -> Vec<Row> {
    let mut rows = in_time("SIGTERM, drain_delay = \"0s\"", "0s");
    rows.extend(in_time("SIGTERM, drain_delay = \"2s\"", "2s"));
    rows.extend(too_late());
    rows.extend(queued());
    rows
}

/// Everything that is open ends within the grace; then so does the process.
fn in_time(what: &str, delay: &str) -> Vec<Row> {
    let (_endpoint, upstream, setup) = stage(3_600);
    upstream.count_only();
    let far = Far::start(&upstream);
    let over = trickle(&upstream);
    let timeouts = format!("[timeouts]\ndrain = \"{GRACE}s\"\ndrain_delay = \"{delay}\"");
    let mut bearerd = far.beside(setup.section(&timeouts)).start_ready();
    let address = bearerd.address();
    let streams = far.open(&bearerd, 5);
    let downloads: Vec<_> = (0..DOWNLOADS).map(|_| std::thread::spawn(move || download(address))).collect();
    let callers: Vec<_> =
        (0..KEPT + FRESH).map(|n| std::thread::spawn(move || call_until_refused(address, n < KEPT))).collect();
    let start = now();
    pause(seconds(3.0));
    let before = upstream.counted()[0];
    let rate = before as f64 / start.elapsed().as_secs_f64();
    let signalled = now();
    bearerd.signal(Signal::TERM);
    let served: Vec<Served> = callers.into_iter().map(|caller| caller.join().expect("a caller")).collect();
    // Long after the last caller was turned away, and well within the grace.
    pause(Duration::from_secs(scaled(8, GRACE - 5)).saturating_sub(signalled.elapsed()));
    assert!(bearerd.has_ended().is_none(), "{what}: it did not wait for what is open");
    over.store(true, Ordering::Relaxed);
    let mut rows = streams.end(what);
    let lost: Vec<String> =
        downloads.into_iter().filter_map(|download| download.join().expect("a download").err()).collect();
    let ended = now();
    let code = bearerd.wait_exit(GRACE as f64);
    let (exit, whole) = (ended.elapsed(), signalled.elapsed());
    rows.push(held(
        format!("{what}: {DOWNLOADS} slow downloads: cut"),
        format!("{} {}", lost.len(), lost.first().cloned().unwrap_or_default()),
        "0",
        lost.is_empty(),
    ));
    rows.extend(told(what, rate, &served, signalled, delay != "0s"));
    rows.push(held(
        format!("{what}: exit code, after the last stream, after the signal"),
        format!("{code:?}, {}, {}", secs(exit), secs(whole)),
        format!("0, ≤ 1 s, ≤ {GRACE} s + 1 s"),
        code == Some(0) && exit <= seconds(1.0) && whole <= Duration::from_secs(GRACE + 1),
    ));
    rows
}

/// With a delay callers are told to go before anything closes, so nothing at all may break. Without one a connection that is just
/// then neither asked nor answered is closed in order, whoever is about to use it, and so is the door.
fn told(what: &str, rate: f64, served: &[Served], signalled: Instant, is_delayed: bool) -> Vec<Row> {
    let sum = |count: fn(&Served) -> usize| served.iter().map(count).sum::<usize>();
    let broken: Vec<&Broken> = served.iter().flat_map(|served| &served.broken).collect();
    for broken in broken.iter().take(5) {
        eprintln!("{what}: {}", broken.told);
    }
    let (before, late): (Vec<&Broken>, Vec<&Broken>) =
        broken.iter().copied().partition(|broken| broken.made < signalled);
    let reset = before.iter().filter(|broken| broken.is_reset).count();
    vec![
        held(
            format!("{what}: requests a second at that moment"),
            format!("{rate:.0}"),
            "at least 5,000, on two free cores",
            rate >= 5_000.0,
        ),
        held(
            format!("{what}: answers, connections, of them reset that were made before the signal"),
            format!("{}, {}, {reset}", sum(|served| served.answered), sum(|served| served.connections)),
            "0 of the last",
            reset == 0,
        ),
        held(
            format!(
                "{what}: requests lost as a kept connection was closed in order, and as the door closed behind a new one"
            ),
            format!("{}, {}", before.len() - reset, late.len()),
            if is_delayed { "0, 0" } else { "" },
            !is_delayed || broken.is_empty(),
        ),
    ]
}

/// What is still open at the end of the grace is cut, and the process ends.
fn too_late() -> Vec<Row> {
    let grace = scaled(5, GRACE);
    let (_endpoint, upstream, setup) = stage(3_600);
    let _over = trickle(&upstream);
    let mut bearerd = setup.section(&format!("[timeouts]\ndrain = \"{grace}s\"")).start_ready();
    let address = bearerd.address();
    let downloads: Vec<_> = (0..DOWNLOADS).map(|_| std::thread::spawn(move || download(address))).collect();
    eventually("all have begun", seconds(10.0), || upstream.count() >= DOWNLOADS);
    let start = now();
    bearerd.signal(Signal::TERM);
    let code = bearerd.wait_exit(grace as f64 + 10.0);
    let took = start.elapsed();
    let whole = downloads.into_iter().filter_map(|download| download.join().unwrap().ok()).count();
    vec![held(
        format!(
            "{DOWNLOADS} downloads that never end, a grace of {grace} s: exit code, after, downloads that look whole"
        ),
        format!("{code:?}, {}, {whole}", secs(took)),
        "0, ≤ grace + 1 s, 0",
        code == Some(0) && took <= Duration::from_secs(grace + 1) && whole == 0,
    )]
}

/// Who waits to be accepted when the signal comes, a thousand at a time.
fn queued() -> Vec<Row> {
    const CALLERS: usize = 1_000;
    let (_endpoint, upstream, setup) = stage(3_600);
    upstream.count_only();
    let mut bearerd = setup.start_ready();
    let answered = bearerd
        .meet_at_its_end(CALLERS)
        .into_iter()
        .filter_map(|mut wire| read_response(&mut wire, "GET").ok())
        .filter(|answer| answer.status == 200)
        .count();
    let code = bearerd.wait_exit(10.0);
    vec![held(
        format!("{CALLERS} callers that waited to be accepted when the signal came: answered 200, exit code"),
        format!("{answered}, {code:?}"),
        "all, 0",
        answered == CALLERS && code == Some(0),
    )]
}

/// A path whose answer comes a little at a time, numbered, until it is told to end.
fn trickle(upstream: &Upstream) -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&over);
    upstream.on("/trickle", move |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for number in 0_u64.. {
            if switch.load(Ordering::Relaxed) {
                break;
            }
            exchange.wire.send(chunk(number.to_be_bytes()))?;
            pause(seconds(0.05));
        }
        exchange.wire.send("0\r\n\r\n").map(|()| After::KeepAlive)
    });
    over
}

/// Takes all of it; what is wrong with it otherwise.
fn download(address: SocketAddr) -> Result<(), String> {
    let mut came = Vec::new();
    let mut take = || {
        let mut wire = Wire::connect(address)?;
        wire.send(Request::get("/trickle").bytes(address))?;
        let head = read_response_head(&mut wire)?;
        if head.status != 200 {
            return Err(io::Error::other(head.raw_head));
        }
        while let Some(piece) = wire.chunk()? {
            came.extend_from_slice(&piece);
        }
        Ok(())
    };
    take().map_err(|error: io::Error| format!("{error} after {} bytes", came.len()))?;
    let numbers: Vec<u8> = (0..came.len() as u64 / 8).flat_map(u64::to_be_bytes).collect();
    if came == numbers { Ok(()) } else { Err("not in order".to_owned()) }
}

/// What one caller met until nobody took its connections any more.
#[derive(Default)]
struct Served {
    answered: usize,
    connections: usize,
    /// Connections that were made, and requests on them that were not answered.
    broken: Vec<Broken>,
}

struct Broken {
    made: Instant,
    is_reset: bool,
    told: String,
}

fn call_until_refused(address: SocketAddr, keeps: bool) -> Served {
    let mut served = Served::default();
    loop {
        let mut wire = match Wire::connect(address) {
            Ok(wire) => wire,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return served,
            Err(error) => {
                served.broken.push(Broken { made: now(), is_reset: true, told: format!("no connection: {error}") });
                return served;
            }
        };
        let made = now();
        served.connections += 1;
        let mut requests = 0;
        loop {
            // As every client with a pool does before it uses a connection again.
            if requests > 0 && has_ended(&wire) {
                break;
            }
            let (began, answer) = (now(), call(&mut wire, address, keeps));
            let is_last = match answer {
                Ok(answer) if answer.status == 200 => answer.field("connection") == Some("close"),
                other => {
                    served.broken.push(lost(made, requests, began, other.map(|answer| answer.status)));
                    break;
                }
            };
            served.answered += 1;
            requests += 1;
            pause(REST);
            if is_last {
                break;
            }
        }
    }
}

fn call(wire: &mut Wire, address: SocketAddr, keeps: bool) -> io::Result<Response> {
    let request = Request::get("/items");
    let request = if keeps { request } else { request.field("Connection", "close") };
    wire.send(request.bytes(address))?;
    read_response(wire, "GET")
}

fn lost(made: Instant, requests: usize, began: Instant, answer: io::Result<u16>) -> Broken {
    let is_reset = answer.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::UnexpectedEof);
    let told = format!("{answer:?} after {:?} to request {} of a connection", began.elapsed(), requests + 1);
    Broken { made, is_reset, told }
}

/// Whether the other end has closed.
fn has_ended(wire: &Wire) -> bool {
    let socket = wire.socket();
    socket.set_nonblocking(true).expect("a socket");
    let there = socket.peek(&mut [0]);
    socket.set_nonblocking(false).expect("a socket");
    !matches!(there, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
