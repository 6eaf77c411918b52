//! Ten thousand callers that each send half a request head (slow loris; RELIABILITY T38, G7a).

use std::time::Duration;

use crate::crowd::{Crowd, Then, closed_between};
use crate::figures::{Row, held, row, secs};
use crate::honest::{HONEST, Honest};
use crate::process::{Memory, resident};
use crate::support::{Bearerd, Request, Setup, TokenEndpoint, Upstream, eventually, now, pause, seconds, stage};

const TIMEOUT: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(2);
/// How slow one in a hundred of the other callers may be meanwhile.
const OTHERS: Duration = Duration::from_millis(20);

/// How long memory may take to be given back.
const BACK: Duration = Duration::from_secs(10);

pub(crate) fn prove() -> Vec<Row> {
    let mut rows = held_off("10,000 half heads of 0.5 KiB", 10_000, 512, 16);
    rows.extend(held_off("5,000 half heads of 30 KiB", 5_000, 30 << 10, 64));
    rows.extend(shut_out_no_longer_than_the_timeout());
    rows
}

fn calm(limits: &str) -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    upstream.count_only();
    (endpoint, upstream, setup.section("[timeouts]\nrequest_head = \"3s\"").section(limits))
}

/// The beginning of a request as a browser or an SDK writes it, without the end of its head.
fn half_head(bearerd: &Bearerd, size: usize) -> Vec<u8> {
    let head = Request::get("/items").field("User-Agent", "half/1").field("Accept", "*/*").head_text(bearerd.address());
    let mut head = head.trim_end().to_owned() + "\r\n";
    while head.len() < size {
        let left = (size - head.len()).min(500);
        head.push_str(&format!("X-Filling: {}\r\n", "x".repeat(left.saturating_sub(13))));
    }
    head.into_bytes()
}

/// With the usual limits there is room for all of them, and they are gone in time.
fn held_off(what: &str, count: usize, size: usize, kib_each: u64) -> Vec<Row> {
    let (_endpoint, _upstream, setup) = calm("");
    let bearerd = setup.start_ready();
    Honest::warm(bearerd.address());
    let before = resident(&bearerd);
    let memory = Memory::watch(&bearerd);
    let honest = Honest::start(bearerd.address());
    let start = now();
    let crowd = Crowd::start(bearerd.address(), count, Then::Listen, half_head(&bearerd, size));
    let connected = eventually("all are connected", seconds(60.0), || crowd.said() == count);
    let open = bearerd.metric("bearerd_connections", &[]).unwrap();
    let fates = crowd.wait();
    let took = start.elapsed();
    let met = honest.stop();
    let (first, last) = closed_between(&fates);
    let told = fates.iter().filter(|fate| fate.heard.starts_with(b"HTTP/1.1 408 ")).count();
    let counted = bearerd.metric("bearerd_refused_total", &[("reason", "C011")]).unwrap();
    let each = memory.grown() as f64 / count as f64;
    eventually("no connection is left", seconds(3.0), || bearerd.metric("bearerd_connections", &[]) <= Some(1.0));
    let start = now();
    let is_back = || resident(&bearerd) <= before + before / 5;
    // Others go on calling, as they do.
    while !is_back() && start.elapsed() < BACK {
        bearerd.get("/honest").expect(200);
        pause(seconds(0.05));
    }
    let (after, back) = (resident(&bearerd), start.elapsed());

    assert!(last <= TIMEOUT + GRACE, "{what}: the last was closed after {last:?}; connecting took {connected:?}");
    assert_eq!((told, counted as usize), (count, count), "{what}: told, counted");
    assert!(each <= kib_each as f64, "{what}: {each:.1} KiB each");
    let mut rows = vec![
        row(format!("{what}: connecting them took"), secs(connected), ""),
        row(format!("{what}: open at that moment, of all"), open, ""),
        row(
            format!("{what}: closed after, first to last"),
            format!("{} to {}", secs(first), secs(last)),
            "≤ 3 s + 2 s",
        ),
        row(format!("{what}: all over after"), secs(took), ""),
        row(format!("{what}: told 408, counted"), format!("{told}, {counted}"), "all"),
        row(format!("{what}: memory for each"), format!("{each:.1} KiB"), format!("≤ {kib_each} KiB")),
        held(
            format!("{what}: memory before, and {} after the last was closed", secs(back)),
            format!("{before}, {after} KiB"),
            "back within 20 %",
            after <= before + before / 5,
        ),
    ];
    rows.extend(met.verdicts(what, [OTHERS; 2]));
    rows
}

/// Where attackers take every place there is, who comes later is told so, and is served when their time is over.
fn shut_out_no_longer_than_the_timeout() -> Vec<Row> {
    const PLACES: usize = 1_000;
    let (_endpoint, _upstream, setup) = calm(&format!("[limits]\nconnections = {PLACES}"));
    let bearerd = setup.start_ready();
    let served = || {
        let start = now();
        let status = Request::get("/honest").try_send(bearerd.address()).map_or(0, |answer| answer.status);
        // Without an answer where too many are being refused for each to be waited for.
        assert!([200, 503, 0].contains(&status), "an honest caller was told {status}");
        assert!(start.elapsed() < HONEST, "nobody waits to be refused: {:?}", start.elapsed());
        status == 200
    };
    let crowd = Crowd::start(bearerd.address(), 2 * PLACES, Then::Listen, half_head(&bearerd, 512));
    eventually("no place is left", seconds(10.0), || !served());
    let start = now();
    let shut_out = eventually("a place is free again", TIMEOUT + GRACE, || crowd.said() == 2 * PLACES && served());
    pause(seconds(0.5));
    assert!(served(), "and stays so; {:?}", start.elapsed());
    let told = crowd.wait();
    let refused = told.iter().filter(|fate| fate.heard.starts_with(b"HTTP/1.1 503 ")).count();
    let what = "1,000 places, 2,000 half heads";
    vec![
        row(format!("{what}: honest callers were shut out for"), secs(shut_out), "≤ 3 s + 2 s"),
        row(format!("{what}: half heads told 503"), refused, ""),
    ]
}
