//! Proofs that take minutes, and those of what attacks and sizes cost: the real binary, built for release.
//!
//! `tests/long/run` builds everything, runs this and prints the table; it is no part of `cargo test`. Names given as
//! arguments choose among the proofs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a proof fails by panicking and tells why"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "servers and callers are blocking threads on the real clock"
)]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the short tests use the rest")]
mod support;

#[path = "../it/appendix.rs"]
mod appendix;
mod crowd;
mod figures;
mod fleets;
mod gibibyte;
mod half_bodies;
mod half_heads;
mod honest;
mod http2_attacks;
mod process;
mod refresh_tokens;
mod reloads;
mod slow_readers;
mod tokens;

use std::process::ExitCode;

use figures::Row;

/// A name, and what proves it or panics.
type Proof = (&'static str, fn() -> Vec<Row>);

const PROOFS: &[Proof] = &[
    ("rest", tokens::start_and_rest),
    ("steady", tokens::five_second_tokens_for_a_minute),
    ("revocation", tokens::a_thousand_requests_after_a_revocation),
    ("password", tokens::a_wrong_password_for_three_minutes),
    ("refresh-race", refresh_tokens::a_thousand_renewals_by_eight_processes),
    ("refresh-kills", refresh_tokens::a_hundred_kills),
    ("fleet", fleets::a_hundred_instances_for_a_hundred_lives),
    ("fleet-refresh", fleets::a_thousand_renewals_in_redis),
    ("reloads", reloads::prove),
    ("half-heads", half_heads::prove),
    ("half-bodies", half_bodies::prove),
    ("slow-readers", slow_readers::prove),
    ("gibibyte", gibibyte::prove),
    ("http2-attacks", http2_attacks::prove),
    ("appendix", || payloads("HTTP/1", appendix::http1())),
    ("appendix", || payloads("HTTP/2", appendix::http2())),
];

/// The two tables of payloads, which the short tests hold to as well.
fn payloads(version: &str, outcomes: Vec<appendix::Outcome>) -> Vec<Row> {
    appendix::hold(&outcomes);
    let rows = outcomes.into_iter();
    rows.map(|outcome| figures::row(format!("{version}: {}", outcome.what), outcome.ours, outcome.wanted)).collect()
}

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_known = |name: &String| PROOFS.iter().any(|(proof, _)| proof == name);
    if let Some(unknown) = chosen.iter().find(|name| !is_known(name)) {
        let names: Vec<_> = PROOFS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no proof {unknown:?}; there are: {}", names.join(" "));
        return ExitCode::from(2);
    }
    let mut table = Vec::new();
    let mut failed = 0;
    for (name, proof) in PROOFS {
        if !chosen.is_empty() && !chosen.iter().any(|chosen| chosen == name) {
            continue;
        }
        eprintln!("==> {name}");
        match std::panic::catch_unwind(proof) {
            Ok(rows) => table.extend(rows),
            Err(_) => {
                failed += 1;
                table.push(figures::row(*name, "FAILED, see above", ""));
            }
        }
    }
    figures::print(&table);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
