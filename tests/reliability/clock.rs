//! Clocks that jump and processes that stand still (G16): no expired token is sent, no token is asked for without need.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::figures::{Row, held, row, secs};
use crate::load::{Pace, Paced};
use crate::setting::scaled;
use crate::support::{Bearerd, Request, Standing, eventually, now, pause, seconds, stage};

/// Where Debian puts it.
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// The wall clock jumps two hours ahead, then to the day before.
pub(crate) fn the_wall_clock_jumps() -> Vec<Row> {
    let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
    let library = library.expect("faketime is installed: ./reliability does it");
    let (endpoint, upstream, setup) = stage(600);
    upstream.count_only();
    upstream.on("/", |exchange| exchange.brief());
    let jumps = setup.directory().join("jumps");
    fs::write(&jumps, "+0").unwrap();
    let setup = setup
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", jumps.to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        // The wall clock alone: who counts time counts it by others.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let bearerd = setup.start_ready();
    let load = Paced::start(bearerd.address(), Pace::of(500.0, 8), &Request::get("/items"));
    let mut rows = Vec::new();
    for (jump, hours) in [("+2h", 2.0), ("-1d", -24.0)] {
        fs::write(&jumps, jump).unwrap();
        let shown = eventually_jumped(&bearerd, hours * 3_600.0);
        pause(seconds(scaled(10.0, 120.0)));
        rows.push(row(format!("wall clock {jump}: what the process takes for now"), shown, "so"));
    }
    let report = load.stop();
    report.tell("the wall clock jumped");
    let (requests, bad) = (endpoint.count(), upstream.counted()[1]);
    let what = "wall clock +2 h, then −1 d, tokens with expires_in";
    rows.extend([
        held(format!("{what}: token requests"), requests, "1, the first", requests == 1),
        held(format!("{what}: failed, of {} requests", report.total()), report.failed(), "0", report.failed() == 0),
        held(format!("{what}: requests at the upstream without a live token"), bad, "0", bad == 0),
    ]);
    rows
}

/// Waits until the lines of its log say so; what they say.
fn eventually_jumped(bearerd: &Bearerd, by: f64) -> String {
    let mut shown = String::new();
    eventually("another time in the log", seconds(10.0), || {
        bearerd.reload("success");
        let line = bearerd.log().pop().unwrap_or_default();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        shown = told["ts"].as_str().unwrap_or_default().to_owned();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        epoch_of(&shown).is_some_and(|then| (then - wall - by).abs() < 60.0)
    });
    shown
}

/// Seconds of a time like 2026-01-02T03:04:05.678Z.
fn epoch_of(text: &str) -> Option<f64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond() as f64 / 1e3)
}

/// The process stands still for two lives of its token, as machines that sleep do.
pub(crate) fn the_process_stands_still() -> Vec<Row> {
    const LIFETIME: u64 = 5;
    let times = scaled(3, 20);
    let mut delays = Vec::new();
    let (mut fetches, mut expired, mut failed, mut total) = (Vec::new(), 0, 0, 0);
    for _ in 0..times {
        let (endpoint, upstream, setup) = stage(LIFETIME);
        upstream.count_only();
        upstream.on("/", |exchange| exchange.brief());
        let bearerd = setup.start_ready();
        let pace = Pace::of(500.0, 16).without_catching_up();
        let load = Paced::start(bearerd.address(), pace, &Request::get("/items"));
        pause(seconds(1.0));
        bearerd.signal(Signal::STOP);
        pause(seconds(2.0 * LIFETIME as f64));
        endpoint.tokens().set_lifetime(600);
        let before = endpoint.count();
        bearerd.signal(Signal::CONT);
        let resumed = now();
        endpoint.wait_for(before + 1, 10.0);
        delays.push(endpoint.requests()[before].at.saturating_duration_since(resumed));
        pause(seconds(3.0));
        let report = load.stop();
        report.tell("the process stood still");
        fetches.push(endpoint.count() - before);
        expired += upstream.counted_as(Standing::Expired);
        (failed, total) = (failed + report.failed(), total + report.total());
    }
    let what = format!("stopped for 2 lives of a token, {times} times");
    delays.sort();
    let most = delays[delays.len() - 1];
    vec![
        held(format!("{what}: answers other than 200, of {total}"), failed, "0", failed == 0),
        held(format!("{what}: expired tokens at the upstream"), expired, "0", expired == 0),
        held(
            format!("{what}: token requests after it"),
            format!("{fetches:?}"),
            "1",
            fetches.iter().all(|each| *each == 1),
        ),
        held(
            format!("{what}: it came after, median and most"),
            format!("{}, {}", secs(delays[delays.len() / 2]), secs(most)),
            "≤ 1 s",
            most <= seconds(1.0),
        ),
    ]
}
