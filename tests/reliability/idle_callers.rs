//! Ten thousand callers that have asked once and keep their connection (G7c). `bench/idle.py` measures the same of other proxies.

use std::time::Duration;

use crate::crowd::{Crowd, Then};
use crate::figures::{Row, held, row};
use crate::process::resident;
use crate::support::{Bearerd, Request, Upstream, eventually, pause, seconds, stage};

const CALLERS: usize = 10_000;
/// What the first of them cost for good is no other's.
const FIRST: usize = 20;
const KIB_EACH: f64 = 6.0;
/// After how long a connection counts as idle.
const REST: Duration = Duration::from_secs(3);

pub(crate) fn prove() -> Vec<Row> {
    let (_endpoint, upstream, setup) = stage(3_600);
    upstream.count_only();
    upstream.on("/", |exchange| exchange.answer(200, &[], [b'x'; 100]));
    let bearerd = setup.start_ready();
    hold(&bearerd, &upstream, FIRST);
    let before = resident(&bearerd);
    let (after, answered) = hold(&bearerd, &upstream, CALLERS);
    let each = after.saturating_sub(before) as f64 / CALLERS as f64;
    eventually("no connection is left", seconds(10.0), || bearerd.metric("bearerd_connections", &[]) <= Some(1.0));
    pause(REST);
    vec![
        held(
            format!("{CALLERS} idle connections of HTTP/1: answered once and open until the end"),
            answered,
            "all",
            answered == CALLERS,
        ),
        held(
            format!("{CALLERS} idle connections of HTTP/1: memory for each"),
            format!("{each:.2} KiB"),
            format!("≤ {KIB_EACH} KiB"),
            each <= KIB_EACH,
        ),
        row(
            format!("{CALLERS} idle connections of HTTP/1: memory before, with them, afterwards"),
            format!("{before}, {after}, {} KiB", resident(&bearerd)),
            "",
        ),
    ]
}

/// Memory while so many are idle, in KiB, and how many of them were answered and not closed.
fn hold(bearerd: &Bearerd, upstream: &Upstream, count: usize) -> (u64, usize) {
    let before = upstream.counted()[0];
    let crowd = Crowd::start(bearerd.address(), count, Then::Listen, Request::get("/idle").bytes(bearerd.address()));
    eventually("all have been answered", seconds(50.0), || upstream.counted()[0] >= before + count);
    pause(REST);
    let with_them = resident(bearerd);
    let fates = crowd.send_home();
    let is_good = |fate: &&crate::crowd::Fate| {
        fate.closed_after.is_none() && fate.heard.starts_with(b"HTTP/1.1 200 ") && fate.heard.ends_with(b"x")
    };
    (with_them, fates.iter().filter(is_good).count())
}
