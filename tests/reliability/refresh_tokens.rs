//! One refresh token that works once, and eight processes that live by it, at a real server that ends the grant on its second use.

use crate::figures::{Row, row};
use crate::support::fleet::Fleet;
use crate::support::{now, seconds};

const PROCESSES: usize = 8;
const RENEWALS: u64 = 1_000;

pub(crate) fn a_thousand_renewals_by_eight_processes() -> Vec<Row> {
    let mut fleet = Fleet::new(4, &[]).expect("oidc-provider is installed: ./reliability does it");
    fleet.start(PROCESSES);
    let start = now();
    let outcome = fleet.race(RENEWALS, seconds(900.0));
    let [revoked, reused, refused] =
        ["revoked_grants", "reused", "refusals"].map(|name| fleet.provider.count(name).to_string());
    fleet.expect_no_reuse();
    vec![
        row("8 processes, one single-use refresh token: renewals", outcome.renewals.to_string(), "at least 1,000"),
        row("8 processes, one single-use refresh token: revoked grants", revoked, "0"),
        row("8 processes, one single-use refresh token: tokens that came twice", reused, "0"),
        row("8 processes, one single-use refresh token: refused renewals", refused, "0"),
        row("8 processes, one single-use refresh token: requests meanwhile, all 200", outcome.requests.to_string(), ""),
        row("8 processes, one single-use refresh token: took", format!("{:.0?}", start.elapsed()), ""),
    ]
}

/// A process is killed and replaced, a hundred times at random moments, where the server takes the last token again.
pub(crate) fn a_hundred_kills() -> Vec<Row> {
    let mut fleet =
        Fleet::new(4, &["--keep-last", "--delay=200"]).expect("oidc-provider is installed: ./reliability does it");
    fleet.start(4);
    fleet.kill_at_random(100, seconds(1.0));
    let before = fleet.provider.count("refreshes");
    fleet.race(before + 20, seconds(120.0));
    let [revoked, lost] = ["revoked_grants", "reused"].map(|name| fleet.provider.count(name));
    assert_eq!(revoked, 0);
    vec![
        row("100 times kill -9 among 4 processes: revoked grants", revoked.to_string(), "0"),
        row("100 times kill -9 among 4 processes: answers that were lost and made up for", lost.to_string(), ""),
        row("100 times kill -9 among 4 processes: renewals until then", before.to_string(), ""),
    ]
}
