//! A thousand uploads at once, each far larger than what is kept of it for a replay (RELIABILITY T36, G9).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use crate::figures::{Row, held, row};
use crate::process::Memory;
use crate::support::client::{Response, read_response, statuses};
use crate::support::upstream::{DENIAL, Exchange};
use crate::support::wire::{Framing, Wire};
use crate::support::{After, Bearerd, Request, Upstream, eventually, now, seconds, stage};
use crate::{figures, setting};

/// What each of them sends, in pieces.
const BODY: usize = 10_000_000;
const PIECE: usize = 62_500;
/// The budget of `limits.replay_memory`, and as much again for all the rest, in KiB.
const MEMORY: u64 = (64 + 64) << 10;

/// Who closes says so.
const CLOSE: (&str, &str) = ("Connection", "close");

/// How the upstream and the callers deal with each other.
#[derive(Clone, Copy)]
enum Manners {
    /// Nobody is rejected before all have begun, so that as much is kept as there can be; the body is then read to its end.
    RejectsAllTogether,
    /// The upstream rejects as soon as it has the head, and closes while the body is still coming.
    RejectsAndCloses,
    /// Callers wait for the word before they send the body, so the rejection comes before it.
    CallersWait,
    /// The token is good.
    Accepts,
}

pub(crate) fn prove() -> Vec<Row> {
    let callers = setting::scaled(500, 1_000);
    let (endpoint, upstream, setup) = stage(3_600);
    upstream.count_only();
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    let memory = Memory::watch(&bearerd);
    let mut rows = Vec::new();
    for (what, manners) in [
        ("rejected together when all have begun", Manners::RejectsAllTogether),
        ("rejected at once on connections that then close", Manners::RejectsAndCloses),
        ("rejected before the body, for which callers wait", Manners::CallersWait),
        ("accepted", Manners::Accepts),
    ] {
        let count = if matches!(manners, Manners::RejectsAllTogether) { 1_000 } else { callers };
        bearerd.settle();
        if !matches!(manners, Manners::Accepts) {
            endpoint.tokens().revoke_all();
        }
        rows.extend(wave(&format!("{count} uploads of 10 MB, {what}"), &bearerd, &upstream, manners, count));
    }
    rows.push(held(
        "most resident memory of all",
        format!("{} KiB, {} KiB more than before", memory.most(), memory.grown()),
        format!("≤ {MEMORY} KiB"),
        memory.most() <= MEMORY,
    ));
    rows
}

/// All of them at once; each is answered, by the upstream alone.
fn wave(what: &str, bearerd: &Bearerd, upstream: &Upstream, manners: Manners, count: usize) -> Vec<Row> {
    let whole = Arc::new(AtomicUsize::new(0));
    serve(upstream, manners, count, &whole);
    let memory = Memory::watch(bearerd);
    let start = now();
    let answers = upload(bearerd.address(), manners, count);
    let took = start.elapsed();
    let counts = statuses(&answers);
    let of = |status| counts.get(&status).copied().unwrap_or(0);
    for other in answers.iter().filter(|answer| !matches!(answer, Ok(Response { status: 200 | 401, .. }))).take(3) {
        eprintln!("{what}: {other:?}");
    }
    eventually("what was kept is given back", seconds(10.0), || {
        bearerd.metric("bearerd_replay_memory_bytes", &[]) == Some(0.0)
    });
    let (good, arrived) = (of(200), whole.load(Ordering::Relaxed));
    let all_good = matches!(manners, Manners::Accepts | Manners::CallersWait);
    vec![
        held(
            format!("{what}: answered 200, 401, otherwise"),
            format!("{good}, {}, {}", of(401), count - good - of(401)),
            if all_good { "all 200" } else { "0 otherwise" },
            good + of(401) == count && (!all_good || good == count),
        ),
        held(format!("{what}: arrived whole, of those answered 200"), arrived, "all", arrived == good),
        held(
            format!("{what}: most resident memory"),
            format!("{} KiB", memory.most()),
            format!("≤ {MEMORY} KiB"),
            memory.most() <= MEMORY,
        ),
        row(format!("{what}: took"), figures::secs(took), ""),
    ]
}

fn serve(upstream: &Upstream, manners: Manners, count: usize, whole: &Arc<AtomicUsize>) {
    let (whole, begun) = (Arc::clone(whole), Barrier::new(count));
    upstream.on("/upload", move |exchange| {
        if exchange.token_is_live() {
            if exchange.head.fields.has("expect") {
                exchange.wire.send("HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let came = swallow(exchange)?;
            whole.fetch_add(usize::from(came == BODY), Ordering::Relaxed);
            return exchange.answer(200, &[CLOSE], "").map(|_| After::Close);
        }
        match manners {
            Manners::RejectsAllTogether => {
                begun.wait();
                exchange.answer(401, &[CLOSE], DENIAL)?;
                // bearerd may not send the rest of it.
                let _ = swallow(exchange);
            }
            Manners::RejectsAndCloses => {
                exchange.answer(401, &[CLOSE], DENIAL)?;
            }
            Manners::CallersWait | Manners::Accepts => return exchange.deny(),
        }
        Ok(After::Close)
    });
}

/// Reads the body and keeps nothing of it; returns its length.
fn swallow(exchange: &mut Exchange<'_>) -> io::Result<usize> {
    let Framing::Length(length) = exchange.head.request_framing() else { return Ok(0) };
    let (mut came, mut piece) = (0, vec![0; PIECE]);
    while came < length {
        let most = piece.len().min(length - came);
        came += match exchange.wire.read(&mut piece[..most])? {
            0 => return Ok(came),
            count => count,
        };
    }
    Ok(came)
}

/// Has each of `count` callers send its body, whatever it is told meanwhile.
fn upload(address: SocketAddr, manners: Manners, count: usize) -> Vec<io::Result<Response>> {
    let start = Arc::new(Barrier::new(count));
    let callers: Vec<_> = (0..count)
        .map(|_| {
            let start = Arc::clone(&start);
            let caller = move || {
                let wire = Wire::connect(address);
                start.wait();
                call(wire?, address, matches!(manners, Manners::CallersWait))
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn(caller).expect("a thread")
        })
        .collect();
    callers.into_iter().map(|caller| caller.join().expect("a caller")).collect()
}

fn call(mut wire: Wire, address: SocketAddr, waits: bool) -> io::Result<Response> {
    let patience = Some(seconds(120.0));
    wire.socket().set_read_timeout(patience)?;
    wire.socket().set_write_timeout(patience)?;
    let request = Request::new("POST", "/upload").field("Content-Length", &BODY.to_string());
    let request = if waits { request.field("Expect", "100-continue") } else { request };
    wire.send(request.head_bytes(address))?;
    if waits && wire.head()?.is_none_or(|head| head.word(1) != "100") {
        return Err(io::Error::other("a final answer before the body was asked for"));
    }
    let piece = vec![b'u'; PIECE];
    for _ in 0..BODY / PIECE {
        // Whoever closes has answered before.
        if wire.send(&piece).is_err() {
            break;
        }
    }
    read_response(&mut wire, "POST")
}
