//! A thousand callers that each send half a request body, to an upstream that says nothing (RELIABILITY T38, G7b).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::crowd::{Crowd, Then, closed_between};
use crate::figures::{Row, row, secs};
use crate::honest::{HONEST, Honest};
use crate::process::{Memory, resident};
use crate::support::{After, Request, eventually, now, seconds, stage};

const TIMEOUT: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(2);
const CALLERS: usize = 1_000;

pub(crate) fn prove() -> Vec<Row> {
    // A body that short is kept for a replay; the longer one is not, and the upstream's socket takes all of it.
    let mut rows = half_bodies("1,000 half bodies of 1 KiB", 1 << 10, 40);
    rows.extend(half_bodies("1,000 half bodies of 32 KiB", 32 << 10, 200));
    rows.extend(half_bodies("1,000 half bodies of 128 KiB", 128 << 10, 400));
    rows
}

fn half_bodies(what: &str, size: usize, kib_each: u64) -> Vec<Row> {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.count_only();
    let held = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&held);
    upstream.on("/silent", move |exchange| {
        counter.fetch_add(1, Ordering::Relaxed);
        exchange.wire.closes_within(seconds(60.0));
        counter.fetch_sub(1, Ordering::Relaxed);
        Ok(After::Close)
    });
    let bearerd = setup.section("[timeouts]\nrequest_body_idle = \"3s\"").start_ready();
    Honest::warm(bearerd.address());
    let before = resident(&bearerd);
    let memory = Memory::watch(&bearerd);
    let honest = Honest::start(bearerd.address());
    let head = Request::new("POST", "/silent").field("Content-Length", &(2 * size).to_string());
    let half = [head.head_bytes(bearerd.address()), vec![b'x'; size]].concat();
    let start = now();
    let crowd = Crowd::start(bearerd.address(), CALLERS, Then::Listen, half);
    eventually("all have said their half", seconds(30.0), || crowd.said() == CALLERS);
    let said = start.elapsed();
    eventually("all are upstream", seconds(5.0), || held.load(Ordering::Relaxed) == CALLERS || said > TIMEOUT);
    let fates = crowd.wait();
    let gauge = |name: &str| bearerd.metric(name, &[]).unwrap();
    // Of the honest callers' own there are a few.
    let released = || {
        held.load(Ordering::Relaxed) == 0
            && gauge("bearerd_connections") < 16.0
            && gauge("bearerd_replay_memory_bytes") == 0.0
    };
    let waited = (said + TIMEOUT + GRACE).saturating_sub(start.elapsed());
    eventually("connections on both sides and kept bytes are given back", waited, released);
    let all_over = start.elapsed();
    let met = honest.stop();
    let (first, last) = closed_between(&fates);
    let told = fates.iter().filter(|fate| fate.heard.starts_with(b"HTTP/1.1 408 ")).count();
    let each = memory.grown() as f64 / CALLERS as f64;
    let after = resident(&bearerd);

    assert!(last <= TIMEOUT + GRACE, "{what}: the last was closed after {last:?}");
    assert_eq!(told, CALLERS, "{what}: told");
    let labels = [("route", "api"), ("code", "408"), ("origin", "bearerd")];
    let counted = bearerd.metric("bearerd_requests_total", &labels).unwrap();
    assert_eq!(counted as usize, CALLERS, "{what}: counted");
    assert!(each <= kib_each as f64, "{what}: {each:.1} KiB each");
    met.hold(HONEST);
    let mut rows = vec![
        row(
            format!("{what}: closed after, first to last"),
            format!("{} to {}", secs(first), secs(last)),
            "≤ 3 s + 2 s",
        ),
        row(format!("{what}: sockets on both sides given back after"), secs(all_over), "≤ 3 s + 2 s"),
        row(format!("{what}: told 408, counted"), format!("{told}, {counted}"), "all"),
        row(format!("{what}: memory for each"), format!("{each:.1} KiB"), format!("≤ {kib_each} KiB")),
        row(format!("{what}: memory before, afterwards"), format!("{before}, {after} KiB"), ""),
    ];
    rows.extend(met.rows(what, HONEST));
    rows
}
