//! Two hundred instances that were started in one second (G20): their renewals do not stay together.

use std::time::{Duration, Instant};

use crate::figures::{Row, held, row, secs};
use crate::setting::scaled;
use crate::support::{Bearerd, eventually, now, pause, seconds, stage};

const INSTANCES: usize = 200;
const LIFETIME: u64 = 60;
/// Of the fleet, within any second after the first round.
const SHARE: f64 = 0.15;

pub(crate) fn prove() -> Vec<Row> {
    // All instances renew within 48 s: one round more in the short setting, a dozen in the full one.
    let time = scaled(seconds(100.0), seconds(600.0));
    let (endpoint, _upstream, setup) = stage(LIFETIME);
    let setup = setup.top("workers = 1");
    let start = now();
    let mut bearerds: Vec<Bearerd> = (0..INSTANCES).map(|_| setup.spawn()).collect();
    let spawned = start.elapsed();
    bearerds.iter_mut().for_each(Bearerd::wait_until_it_listens);
    eventually("a token for each", seconds(30.0), || endpoint.count() >= INSTANCES);
    let first = start.elapsed();
    pause(time.saturating_sub(start.elapsed()));
    let ready = bearerds.iter().filter(|bearerd| bearerd.is_ready()).count();
    let times: Vec<_> = endpoint.requests().iter().map(|request| request.at).collect();
    let later = &times[INSTANCES..];
    let busiest = busiest_second(later);
    let at_first = busiest_second(&times[..INSTANCES]);
    let most = (INSTANCES as f64 * SHARE) as usize;
    let least = INSTANCES * ((time - first).as_secs() / 48) as usize;
    let what = format!("{INSTANCES} instances, {} s of {LIFETIME} s tokens", time.as_secs());
    vec![
        held(format!("{what}: all started within"), secs(spawned), "1 s", spawned <= seconds(1.0)),
        row(format!("{what}: first round done after, its busiest second"), format!("{}, {at_first}", secs(first)), ""),
        held(format!("{what}: token requests after it"), later.len(), format!("≥ {least}"), later.len() >= least),
        held(format!("{what}: busiest second after it"), busiest, format!("≤ {most}"), busiest <= most),
        held(format!("{what}: ready at the end"), ready, "all", ready == INSTANCES),
    ]
}

/// The most within any second, wherever it begins.
fn busiest_second(times: &[Instant]) -> usize {
    let mut sorted = times.to_vec();
    sorted.sort();
    let within = |from: usize| sorted[from..].partition_point(|at| *at < sorted[from] + Duration::from_secs(1));
    (0..sorted.len()).map(within).max().unwrap_or(0)
}
