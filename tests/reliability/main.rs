//! The figures of reliability (G1 to G27) and some more: the real binary, built for release, real peers, real load, and a verdict.
//!
//! `./reliability` builds everything, runs this and prints the tables; it is no part of `cargo test`. Names given as
//! arguments choose among the scenarios; `G1` chooses all whose name begins so.
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

mod always_401;
#[path = "../it/appendix.rs"]
mod appendix;
mod browsers;
mod chaos;
mod clock;
mod crowd;
mod drains;
mod fault_table;
mod figures;
mod fleets;
mod fuzzed;
mod gibibyte;
mod growth;
mod half_bodies;
mod half_heads;
mod herd;
mod honest;
mod http2_attacks;
mod idle_callers;
mod load;
mod mutations;
mod network;
mod open_streams;
mod oracle;
mod outage;
mod process;
mod refresh_tokens;
mod reloads;
mod results;
mod rotated_secret;
mod rotations;
mod secrets_kept;
mod setting;
mod slow_readers;
mod soak;
mod stale_connections;
mod streams;
mod supply_chain;
mod tests_of_it;
mod tokens;
mod uploads;

use std::process::ExitCode;

use figures::Row;

/// What can be run by name.
struct Scenario {
    name: &'static str,
    title: &'static str,
    /// Panics where nothing more can be measured; a figure that is missed is a row.
    run: fn() -> Vec<Row>,
}

const fn scenario(name: &'static str, title: &'static str, run: fn() -> Vec<Row>) -> Scenario {
    Scenario { name, title, run }
}

/// In the order of the table. A `-` separates the parts of a figure.
const SCENARIOS: &[Scenario] = &[
    scenario("G1a", "the token endpoint is killed, the token valid", outage::within_the_life_of_the_token),
    scenario("G1b-c", "the token endpoint away beyond the token's end, and back", outage::beyond_the_life_of_the_token),
    scenario("G1d", "a start without the token endpoint", outage::at_the_start),
    scenario("G2-real", "tokens of 5 seconds of a real server under load", tokens::five_second_tokens_for_a_minute),
    scenario("G2-load", "tokens of 5 seconds at 5,000 requests a second", tokens::five_second_tokens_beside_long_ones),
    scenario("G3", "1,000 requests at once after a revocation", tokens::a_thousand_requests_after_a_revocation),
    scenario("G4", "a path that always says 401", always_401::prove),
    scenario("G5", "a wrong password", tokens::a_wrong_password),
    scenario("G6-files", "8 processes, one single-use token", refresh_tokens::a_thousand_renewals_by_eight_processes),
    scenario("G6-kills", "kill -9 while such a token is in use", refresh_tokens::a_hundred_kills),
    scenario("G6-redis", "8 processes, a Redis, one single-use refresh token", fleets::renewals_in_redis),
    scenario(
        "G6-django",
        "8 processes, a Redis, a server that ends what it renews",
        fleets::renewals_that_end_the_token_before,
    ),
    scenario("G6-fleet", "100 processes, a Redis, 100 tokens", fleets::a_hundred_instances_for_a_hundred_lives),
    scenario("G6-lost", "answers that are lost on their way", || tests_of_it::pass("a lost answer", LOST, 3)),
    scenario("G7a", "10,000 half request heads", half_heads::prove),
    scenario("G7b", "1,000 half request bodies", half_bodies::prove),
    scenario("G7c", "10,000 idle connections", idle_callers::prove),
    scenario("G8", "the floods of HTTP/2 beside honest callers", http2_attacks::prove),
    scenario("G9", "1,000 uploads at once", uploads::prove),
    scenario("G10-http1", "ambiguous and malformed HTTP/1", || payloads("HTTP/1", appendix::http1())),
    scenario("G10-http2", "ambiguous and malformed HTTP/2", || payloads("HTTP/2", appendix::http2())),
    scenario("G10-mutations", "requests changed at random", mutations::prove),
    scenario("G11", "100 reloads in 100 seconds under load", reloads::prove),
    scenario("G12", "SIGTERM under load", drains::prove),
    scenario("G13", "the soak", soak::prove),
    scenario("G14", "broken connections on both sides", chaos::prove),
    scenario("G15", "no secret comes out", secrets_kept::prove),
    scenario("G16-wall", "the wall clock jumps", clock::the_wall_clock_jumps),
    scenario("G16-stopped", "the process stands still", clock::the_process_stands_still),
    scenario("G16-suspend", "a machine that slept", || tests_of_it::pass_in_library("suspend", SUSPEND, 3)),
    scenario("G17", "what web pages can send", browsers::prove),
    scenario("G18", "TLS on both sides", tls),
    scenario("G19", "everything that a token endpoint can do wrong", fault_table::prove),
    scenario("G20", "200 instances started in one second", herd::prove),
    scenario("G21", "an upstream that closes idle connections", stale_connections::prove),
    scenario("G22", "20 rotations of a secret under load", rotations::prove),
    scenario("G23", "properties over changed inputs", fuzzed::prove),
    scenario("G25", "streams across renewals and reloads", open_streams::prove),
    scenario("G26", "what it is made of", supply_chain::prove),
    scenario("G27", "panics", || tests_of_it::pass_in_library("panics", PANICS, 3)),
    scenario("restart", "a restart with the token in the store", fleets::a_restart_within_a_lifetime),
    scenario("rest", "start and rest", tokens::start_and_rest),
    scenario("slow-readers", "1,000 callers that read nothing", slow_readers::prove),
    scenario("gibibyte", "1 GiB up and down", gibibyte::prove),
];

/// With a refresh token that was used and whose successor nobody knows.
const LOST: &[&str] = &["grants::a_lost_", "renewal::a_refresh_token_that_fails"];

/// With a clock that jumps as that of a machine does which slept.
const SUSPEND: &[&str] = &[
    "clock::tests::a_suspend",
    "token::tests::renewals::a_token_that_expired",
    "token::tests::renewals::meeting_an_expired",
];

/// Made to happen in a request, in a token request, and anywhere.
const PANICS: &[&str] = &["server::worker::tests::a_panic", "token::tests::panics::", "panics::tests::a_panic"];

/// Peers that are not who they should be, on both sides, and versions that are too old.
fn tls() -> Vec<Row> {
    let mut rows = tests_of_it::pass("upstreams and token endpoints, eight bad ones of each", &["tls_peers::"], 4);
    rows.extend(tests_of_it::pass("certificates, names, authorities", &["tls::", "tls_files::"], 10));
    rows.extend(tests_of_it::pass("callers", &["tls_callers::"], 10));
    rows
}

/// The two tables of payloads, which the short tests hold to as well.
fn payloads(version: &str, outcomes: Vec<appendix::Outcome>) -> Vec<Row> {
    appendix::hold(&outcomes);
    let rows = outcomes.into_iter();
    rows.map(|outcome| figures::row(format!("{version}: {}", outcome.what), outcome.ours, outcome.wanted)).collect()
}

/// Those that these words choose; all for none.
fn choose(words: &[String]) -> Result<Vec<&'static Scenario>, String> {
    let is_meant = |name: &str, word: &str| {
        let rest = name.strip_prefix(word);
        rest.is_some_and(|rest| !word.is_empty() && !rest.starts_with(|next: char| next.is_ascii_digit()))
    };
    if let Some(unknown) = words.iter().find(|word| !SCENARIOS.iter().any(|scenario| is_meant(scenario.name, word))) {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        return Err(format!("there is no scenario {unknown:?}; there are: {}", names.join(" ")));
    }
    let is_chosen = |scenario: &&Scenario| words.is_empty() || words.iter().any(|word| is_meant(scenario.name, word));
    Ok(SCENARIOS.iter().filter(is_chosen).collect())
}

/// Runs one and tells what it showed; returns whether everything held.
fn prove(scenario: &Scenario, run: &results::Run) -> bool {
    eprintln!("==> {}: {}", scenario.name, scenario.title);
    let start = support::now();
    let rows = std::panic::catch_unwind(scenario.run)
        .unwrap_or_else(|_| vec![figures::held(scenario.title, "failed, see the output", "", false)]);
    eprintln!("<== {}: {}", scenario.name, figures::secs(start.elapsed()));
    let table = figures::markdown(&rows);
    println!("## {}: {}\n\n{table}", scenario.name, scenario.title);
    results::write(scenario.name, scenario.title, run, &table);
    rows.iter().all(|row| row.holds)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen = match choose(&words) {
        Ok(chosen) => chosen,
        Err(mistake) => {
            eprintln!("{mistake}");
            return ExitCode::from(2);
        }
    };
    let run = results::Run::now();
    let missed: Vec<_> =
        chosen.iter().filter(|scenario| !prove(scenario, &run)).map(|scenario| scenario.name).collect();
    println!("{} scenarios, {} held; missed: {missed:?}", chosen.len(), chosen.len() - missed.len());
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
