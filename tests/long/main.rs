//! Proofs that take minutes: the real binary, built for release, against a real authorization server.
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

use std::process::ExitCode;

use support::client::{Load, burst, statuses};
use support::provider::{PASSWORD, Provider, SECRET};
use support::{Bearerd, Request, Setup, Tokens, Upstream, eventually, now, pause, seconds};

/// A line of the table: what was measured, the figure, what it had to be.
type Row = (&'static str, String, &'static str);

const PROOFS: &[(&str, fn() -> Vec<Row>)] = &[
    ("rest", start_and_rest),
    ("steady", five_second_tokens_for_a_minute),
    ("revocation", a_thousand_requests_after_a_revocation),
    ("password", a_wrong_password_for_three_minutes),
];

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
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
                table.push((name, "FAILED, see above".to_owned(), ""));
            }
        }
    }
    print(&table);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(table: &[Row]) {
    println!("| {:<58} | {:>24} | {:<24} |", "measured", "figure", "must be");
    println!("|{:-<60}|{:->25}:|{:-<26}|", "", "", "");
    for (what, figure, wanted) in table {
        println!("| {what:<58} | {figure:>24} | {wanted:<24} |");
    }
}

fn provider(lifetime: u64) -> Provider {
    Provider::start(lifetime).expect("oidc-provider is installed: tests/long/run does it")
}

/// Cold start to the first proxied request, and what a process costs that does nothing.
fn start_and_rest() -> Vec<Row> {
    let tokens = Tokens::new(300);
    let endpoint = support::TokenEndpoint::start(&tokens);
    let upstream = Upstream::start(&tokens);
    let setup = Setup::between(&upstream, &endpoint);
    let first = |setup: &Setup| {
        let start = now();
        let bearerd = setup.start();
        bearerd.get("/items").expect(200);
        (start.elapsed(), bearerd)
    };
    let mut times: Vec<_> = (0..10).map(|_| first(&setup).0).collect();
    times.sort();
    let (_, bearerd) = first(&setup);
    pause(seconds(2.0));
    let resident = bearerd.metric("process_resident_memory_bytes", &[]).unwrap() / 1e6;
    let size = std::fs::metadata(support::BINARY).unwrap().len() as f64 / 1e6;
    vec![
        ("cold start to the first proxied request, median of 10", format!("{:.1?}", times[5]), ""),
        ("resident memory at rest", format!("{resident:.1} MB"), ""),
        ("size of the binary", format!("{size:.1} MB"), ""),
    ]
}

fn five_second_tokens_for_a_minute() -> Vec<Row> {
    let provider = provider(5);
    let bearerd = provider.setup(&format!("client_secret = \"{SECRET}\"")).start_ready();
    let start = now();
    let load = Load::start(bearerd.address(), 16, seconds(0.006), Request::get("/items"));
    pause(seconds(60.0));
    let report = load.stop();
    let rate = report.total() as f64 / start.elapsed().as_secs_f64();
    report.expect_all_ok();
    assert!(rate >= 1_000.0, "{rate} requests a second");
    let [requests, issued, used, rejected, accepted] =
        ["token_requests", "tokens", "used", "rejected", "accepted"].map(|name| provider.count(name));
    assert_eq!((rejected, accepted as usize), (0, report.total()));
    assert!(requests.abs_diff(used) <= 1, "{requests} token requests for {used} tokens in use");
    assert_eq!(requests, issued);
    vec![
        ("60 s with 5 s tokens: requests a second", format!("{rate:.0}"), "at least 1,000"),
        ("60 s with 5 s tokens: answers", format!("{}", report.total()), ""),
        ("60 s with 5 s tokens: answers other than 200", "0".to_owned(), "0"),
        ("60 s with 5 s tokens: requests that the upstream rejected", rejected.to_string(), "0"),
        ("60 s with 5 s tokens: token requests", requests.to_string(), "renewals + 1, ± 1"),
        ("60 s with 5 s tokens: renewals seen by the upstream", (used - 1).to_string(), ""),
        ("60 s with 5 s tokens: p50 of a request", format!("{:.2?}", report.quantile(0.5)), ""),
        ("60 s with 5 s tokens: p99 of a request", format!("{:.2?}", report.quantile(0.99)), ""),
        ("60 s with 5 s tokens: p99.9 of a request", format!("{:.2?}", report.quantile(0.999)), ""),
    ]
}

fn a_thousand_requests_after_a_revocation() -> Vec<Row> {
    const CALLERS: usize = 1_000;
    let provider = provider(300);
    let bearerd = provider.setup(&format!("client_secret = \"{SECRET}\"")).start_ready();
    bearerd.get("/items").expect(200);
    provider.revoke_all();
    let before = provider.count("token_requests");
    let start = now();
    let answers = burst(bearerd.address(), CALLERS, |n| Request::get(&format!("/items/{n}")));
    let took = start.elapsed();
    let fetched = provider.count("token_requests") - before;
    assert_eq!(statuses(&answers), [(200, CALLERS)].into());
    assert_eq!(fetched, 1);
    vec![
        ("1,000 requests at once after a revocation: token requests", fetched.to_string(), "exactly 1"),
        ("1,000 requests at once after a revocation: answers 200", CALLERS.to_string(), "1,000"),
        (
            "1,000 requests at once after a revocation: rejected ones",
            provider.count("rejected").to_string(),
            "at most 1,000",
        ),
        ("1,000 requests at once after a revocation: took", format!("{took:.1?}"), ""),
    ]
}

fn a_wrong_password_for_three_minutes() -> Vec<Row> {
    let provider = provider(300);
    provider.canaries.add(PASSWORD);
    let credential =
        format!("client_secret = \"{SECRET}\"\nusername = \"robot\"\npassword = {{ file = \"password\" }}");
    let setup = provider.setup(&credential).top("state_directory = \"state\"");
    std::fs::create_dir(setup.directory().join("state")).unwrap();
    setup.secret_file("password", "wrong-canary-password\n");
    let bearerd = setup.start();
    let load = Load::start(bearerd.address(), 8, seconds(0.006), Request::get("/items"));
    let start = now();
    let mut attempts = Vec::new();
    while start.elapsed() < seconds(180.0) {
        let count = provider.count("passwords");
        if attempts.len() < count as usize {
            attempts.push(start.elapsed());
        }
        assert!(count <= 2, "{count} attempts after {:?}", start.elapsed());
        pause(seconds(0.1));
    }
    let report = load.stop();
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [503], "{report:?}");
    assert_eq!(attempts.len(), 2, "one confirmation: {attempts:?}");
    let apart = attempts[1] - attempts[0];
    assert!(apart >= seconds(59.5), "{apart:?}");
    assert_eq!(bearerd.metric("bearerd_token_latched", &[("credential", "api")]), Some(1.0));
    assert!(bearerd.log_with("T021").iter().any(|line| line.contains("bearerd retry api")), "the line is the cure");
    bearerd.stop();

    // The latch survives a restart, and the right password ends it.
    let bearerd = setup.start();
    pause(seconds(5.0));
    assert_eq!(provider.count("passwords"), 2, "it tried again after a restart");
    let healed = heal(&bearerd, &setup);
    assert_eq!(provider.count("passwords"), 3);
    vec![
        ("3 minutes with a wrong password: requests answered 503", report.total().to_string(), "all"),
        ("3 minutes with a wrong password: attempts", attempts.len().to_string(), "at most 2"),
        ("3 minutes with a wrong password: time between them", format!("{apart:.1?}"), "at least 60 s"),
        ("the same after a restart, 5 s: further attempts", "0".to_owned(), "0"),
        ("the right password written to the file: works after", format!("{healed:.1?}"), "at most 5 s"),
    ]
}

fn heal(bearerd: &Bearerd, setup: &Setup) -> std::time::Duration {
    setup.secret_file("password", &format!("{PASSWORD}\n"));
    eventually("200", seconds(5.0), || bearerd.get("/items").status == 200)
}
