//! A thousand callers that ask for a large answer and read nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::crowd::{Crowd, Then};
use crate::figures::{Row, row, secs};
use crate::honest::{HONEST, Honest};
use crate::process::{Memory, resident};
use crate::support::{After, Request, eventually, now, seconds, stage};

const TIMEOUT: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(2);
const CALLERS: usize = 1_000;
const ANSWER: usize = 1 << 20;
/// What each may cost: far less than its answer.
const KIB_EACH: u64 = 200;

pub(crate) fn prove() -> Vec<Row> {
    let what = "1,000 answers of 1 MiB unread";
    let (_endpoint, upstream, setup) = stage(300);
    upstream.count_only();
    let (begun, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begins, counter, answer) = (Arc::clone(&begun), Arc::clone(&held), Arc::new(vec![b'x'; ANSWER]));
    upstream.on("/large", move |exchange| {
        begins.fetch_add(1, Ordering::Relaxed);
        counter.fetch_add(1, Ordering::Relaxed);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {ANSWER}\r\n\r\n");
        let sent = exchange.wire.send(head).and_then(|()| exchange.wire.send(&*answer));
        // Nothing else comes on it, so this is its end.
        let ended = sent.map(|()| exchange.wire.closes_within(seconds(60.0)));
        counter.fetch_sub(1, Ordering::Relaxed);
        ended.map(|_| After::Close)
    });
    let bearerd = setup.section("[timeouts]\nresponse_unread = \"3s\"").start_ready();
    Honest::warm(bearerd.address());
    let before = resident(&bearerd);
    let memory = Memory::watch(&bearerd);
    let honest = Honest::start(bearerd.address());
    let start = now();
    let get = Request::get("/large").bytes(bearerd.address());
    let crowd = Crowd::start(bearerd.address(), CALLERS, Then::Ignore, get);
    eventually("all have asked", seconds(30.0), || crowd.said() == CALLERS);
    eventually("all answers have begun", seconds(30.0), || begun.load(Ordering::Relaxed) == CALLERS);
    let asked = start.elapsed();
    let gauge = |name: &str| bearerd.metric(name, &[]).unwrap();
    let most_open = gauge("bearerd_connections");
    // Of the honest callers' own there are a few.
    let gone = || gauge("bearerd_connections") < 16.0 && held.load(Ordering::Relaxed) == 0;
    eventually("connections on both sides are given back", TIMEOUT + GRACE, gone);
    let all_over = start.elapsed();
    let met = honest.stop();
    let each = memory.grown() as f64 / CALLERS as f64;
    let counted = bearerd.metric("bearerd_refused_total", &[("reason", "C018")]).unwrap();
    let after = resident(&bearerd);
    crowd.send_home();

    assert_eq!(counted as usize, CALLERS, "{what}: counted");
    assert!(each <= KIB_EACH as f64, "{what}: {each:.1} KiB each");
    met.hold(HONEST);
    let mut rows = vec![
        row(format!("{what}: open when all answers had begun, after"), format!("{most_open}, {}", secs(asked)), ""),
        row(format!("{what}: all gone on both sides after"), secs(all_over), "≤ that + 3 s + 2 s"),
        row(format!("{what}: counted as C018"), counted, "all"),
        row(format!("{what}: memory for each"), format!("{each:.1} KiB"), format!("≤ {KIB_EACH} KiB")),
        row(format!("{what}: memory before, afterwards"), format!("{before}, {after} KiB"), ""),
    ];
    rows.extend(met.rows(what, HONEST));
    rows
}
