//! A path that answers 401 whatever the token is (G4): it costs next to nothing, hides no real revocation, and its words pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::figures::{Row, held, row};
use crate::load::{Pace, Paced};
use crate::setting::scaled;
use crate::support::upstream::DENIAL;
use crate::support::{Request, eventually, now, pause, seconds, stage};

const RATE: f64 = 1_000.0;
/// Requests a second for a path that works.
const OTHERS: f64 = 50.0;
/// In all, the first one and that of the revocation included.
const FETCHES: usize = 12;

pub(crate) fn prove() -> Vec<Row> {
    let time = scaled(seconds(120.0), seconds(600.0));
    let (endpoint, upstream, setup) = stage(36_000);
    upstream.count_only();
    upstream.on("/", |exchange| exchange.brief());
    let counter = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&counter);
    upstream.on("/never", move |exchange| {
        seen.fetch_add(1, Ordering::Relaxed);
        exchange.read_body()?;
        exchange.deny()
    });
    let at_upstream = || counter.load(Ordering::Relaxed);
    let bearerd = setup.start_ready();
    let never = Paced::start(bearerd.address(), Pace::of(RATE, 16), &Request::get("/never"));
    let works = Paced::start(bearerd.address(), Pace::of(OTHERS, 4), &Request::get("/works"));
    let start = now();
    let mut words_pass = true;
    let mut look_until = |until: Duration| {
        while start.elapsed() < until {
            let answer = bearerd.get("/never").expect(401);
            words_pass &= answer.text() == DENIAL && answer.field("x-from") == Some("upstream");
            pause(seconds(1.0));
        }
    };
    look_until(time / 2);
    let half = never.take();
    let (seen_before, fetched_before) = (at_upstream(), endpoint.count());
    // The gap is open for a minute and more by now; the revocation ends it for what worked.
    works.take().tell("before the revocation");
    endpoint.tokens().revoke_all();
    let healed = eventually("another token", seconds(10.0), || endpoint.count() > fetched_before);
    look_until(time);
    let rest = never.stop();
    let works = works.stop();
    works.tell("the path that works, from the revocation on");
    let (seen, fetched) = (at_upstream() - seen_before, endpoint.count());
    // The requests of the test itself, one a second.
    let asked = rest.total() + (time / 2).as_secs() + 1;
    let share = seen as f64 / asked as f64;
    let total = half.total() + rest.total();
    let what = format!("{} s of 401 to a good token", time.as_secs());
    vec![
        held(format!("{what}: requests a second"), format!("{:.0}", rest.rate()), "1,000", rest.rate() >= 0.98 * RATE),
        held(
            format!("{what}: answers 401, of {total}"),
            half.with(401) + rest.with(401),
            "all",
            half.with(401) + rest.with(401) == total,
        ),
        held(format!("{what}: token requests in all"), fetched, format!("≤ {FETCHES}"), fetched <= FETCHES),
        held(
            format!("{what}: requests at the upstream for each of a caller, second half"),
            format!("{share:.4}"),
            "≤ 1.01",
            share <= 1.01,
        ),
        held(format!("{what}: the upstream's own 401 reaches the caller"), words_pass, "true", words_pass),
        row(format!("{what}: a real revocation meanwhile, another token after"), format!("{healed:.1?}"), ""),
        held(
            format!("{what}: failed on the path that worked before, of {} requests", works.total()),
            works.failed(),
            "0",
            works.failed() == 0,
        ),
    ]
}
