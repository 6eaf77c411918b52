//! Networks that fail on both sides of bearerd (G14): connections are reset at random, a share of the pieces comes late.
//!
//! A relay within this process does it (`relay`): it needs no rights, and it knows how many connections it really broke.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::figures::{Row, held, milliseconds, row};
use crate::load::{Pace, Paced, Report};
use crate::network::{Relay, Weather};
use crate::setting::scaled;
use crate::support::{Request, pause, seconds, stage};

/// Requests a second that are safe to send again, and that are not.
const RATES: [f64; 2] = [400.0, 200.0];
/// Of each kind: enough for the rate where every fifth answer is late.
const CONNECTIONS: usize = 64;
/// On average a connection sees some dozens of requests.
const LIFE: Duration = Duration::from_secs(3);
const LATE: f64 = 0.05;

pub(crate) fn prove() -> Vec<Row> {
    let time = scaled(seconds(60.0), seconds(600.0));
    let (endpoint, upstream, setup) = stage(20);
    upstream.count_only();
    upstream.on("/", |exchange| exchange.brief());
    let applied = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let ids = Arc::clone(&applied);
    upstream.on("/orders", move |exchange| {
        let id = String::from_utf8_lossy(&exchange.read_body()?).into_owned();
        // One with a token that is not good was not carried out.
        if exchange.token_is_live() {
            *ids.lock().unwrap().entry(id).or_default() += 1;
        }
        exchange.brief()
    });
    let weather = Weather { mean_life: Some(LIFE), late: LATE };
    let behind = Relay::start(upstream.address(), weather);
    let bearerd = setup.upstream(&format!("http://{}", behind.address())).start_ready();
    let before = Relay::start(bearerd.address(), weather);
    // The allowed host names the relay.
    let address = before.address();
    let get = Paced::start(address, Pace::of(RATES[0], CONNECTIONS), &Request::get("/items"));
    let post = Paced::start_with(address, Pace::of(RATES[1], CONNECTIONS), move |number| {
        Request::post("/orders", format!("order {number}")).bytes(address)
    });
    pause(time);
    let (get, post) = (get.stop(), post.stop());
    let (near, far) = (before.broken(), behind.broken());
    drop(bearerd);
    rows(time, [&get, &post], [near, far], &applied.lock().unwrap(), endpoint.count())
}

fn rows(
    time: Duration,
    reports: [&Report; 2],
    broken: [[u64; 2]; 2],
    applied: &BTreeMap<String, usize>,
    fetches: usize,
) -> Vec<Row> {
    let what = format!("{} s of broken connections", time.as_secs());
    let [get, post] = reports;
    get.tell(&format!("{what}: GET"));
    post.tell(&format!("{what}: POST"));
    let failed = get.failed() + post.failed();
    let [near, far] = broken;
    let twice = applied.values().filter(|count| **count > 1).count();
    let rejected = get.with(401) + post.with(401);
    let unheard = applied.len() as u64 >= post.with(200);
    vec![
        row(
            format!("{what}: connections broken towards bearerd, and towards the upstream"),
            format!("{}, {}", near[0], far[0]),
            "",
        ),
        row(format!("{what}: of these while an answer was awaited"), format!("{}, {}", near[1], far[1]), ""),
        held(
            format!("{what}: failed, of {} requests", get.total() + post.total()),
            format!("{failed} ({} GET, {} POST)", get.failed(), post.failed()),
            format!("≤ {} that were broken", near[0] + far[0]),
            failed <= near[0] + far[0],
        ),
        held(
            format!("{what}: failed GETs, which are sent again towards the upstream"),
            get.failed(),
            format!("≤ {} broken towards bearerd", near[0]),
            get.failed() <= near[0],
        ),
        held(format!("{what}: POSTs that the upstream saw twice, of {}", applied.len()), twice, "0", twice == 0),
        held(format!("{what}: POSTs answered 200 that the upstream had seen"), unheard, "all", unheard),
        held(format!("{what}: answers 401"), rejected, "0", rejected == 0),
        row(format!("{what}: token requests"), fetches, ""),
        row(format!("{what}: p99 of a GET"), milliseconds(get.times.quantile(0.99)), ""),
    ]
}
