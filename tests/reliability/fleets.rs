//! Many instances that share a Redis: one token for all of them, and one refresh token that works once.

use std::time::Duration;

use crate::figures::{Row, held, milliseconds, row};
use crate::setting::scaled;
use crate::support::client::Load;
use crate::support::fleet::Fleet;
use crate::support::provider::Provider;
use crate::support::redis::{Redis, SEAL_KEY};
use crate::support::{Bearerd, Request, Setup, now, pause, seconds, stage};

const RESTARTS: usize = 21;
const INSTANCES: usize = 100;
const LIVES: usize = 100;

fn redis() -> Redis {
    Redis::start().expect("redis-server is installed: ./ci tools does it")
}

/// A hundred real processes for a hundred lives of a token.
pub(crate) fn a_hundred_instances_for_a_hundred_lives() -> Vec<Row> {
    let redis = redis();
    let (endpoint, _upstream, setup) = stage(4);
    let setup = setup.section(&redis.section());
    let mut bearerds: Vec<Bearerd> = Vec::new();
    for _ in 0..INSTANCES / 10 {
        let mut ten: Vec<_> = (0..10).map(|_| setup.spawn()).collect();
        ten.iter_mut().for_each(Bearerd::wait_until_it_listens);
        bearerds.append(&mut ten);
    }
    bearerds.iter().for_each(|bearerd| {
        bearerd.wait_ready(30.0);
    });
    let loads: Vec<_> = bearerds
        .iter()
        .step_by(10)
        .map(|each| Load::start(each.address(), 1, seconds(0.1), Request::get("/items")))
        .collect();
    // The first life counts from the first token on.
    let (began, before) = (now(), endpoint.count());
    while endpoint.tokens().issued().len() < before + LIVES {
        assert!(began.elapsed() < seconds(900.0), "{} lives", endpoint.tokens().issued().len() - before);
        pause(seconds(0.2));
    }
    let requests = endpoint.count() - before;
    let took = began.elapsed();
    let answers: usize = loads
        .into_iter()
        .map(|load| {
            let report = load.stop();
            report.expect_all_ok();
            report.total()
        })
        .sum();
    let adopted: f64 = bearerds
        .iter()
        .filter_map(|bearerd| bearerd.metric("bearerd_token_adopted_total", &[("credential", "api")]))
        .sum();
    let apart = endpoint.requests().windows(2).skip(before).map(|two| two[1].at - two[0].at).min().unwrap();
    vec![
        held(
            format!("{INSTANCES} instances, a Redis, {LIVES} tokens one after the other: token requests"),
            requests,
            "at most 101",
            requests <= LIVES + 1,
        ),
        held(
            "tokens that instances took over from each other meanwhile",
            format!("{adopted:.0}"),
            "about 10,000",
            (adopted - (INSTANCES * LIVES) as f64).abs() < 200.0,
        ),
        // The first of a hundred renews as early as a token of this life is renewed: 2.2 s after it was asked for.
        held(
            "least time between two requests, where a token lives 4 s",
            format!("{apart:.1?}"),
            "at least 2 s, half of its life",
            apart >= seconds(2.0),
        ),
        row("answers to callers meanwhile, all 200", answers.to_string(), ""),
        row("took", format!("{took:.0?}"), ""),
    ]
}

/// Eight processes that renew with one single-use refresh token, in a Redis.
pub(crate) fn renewals_in_redis() -> Vec<Row> {
    let redis = redis();
    // A second each: the token lives for two, and is renewed when half of that is over.
    let wanted = scaled(250, 1_000);
    let mut fleet = Fleet::new(2, &[]).expect("oidc-provider is installed: ./reliability does it");
    fleet.setup = fleet.setup.clone().section(&redis.section());
    fleet.start(8);
    let start = now();
    let outcome = fleet.race(wanted, seconds(1_800.0));
    let [revoked, reused] = ["revoked_grants", "reused"].map(|name| fleet.provider.count(name).to_string());
    fleet.expect_no_reuse();
    vec![
        row(
            "8 processes, a Redis, one single-use refresh token: renewals",
            outcome.renewals.to_string(),
            format!("at least {wanted}"),
        ),
        row("revoked grants", revoked, "0"),
        row("tokens that came twice", reused, "0"),
        row("requests meanwhile, all 200", outcome.requests.to_string(), ""),
        row("took", format!("{:.0?}", start.elapsed()), ""),
    ]
}

/// The same at a server that ends the access token, too, when its refresh token is used: whoever still has it hears 401.
pub(crate) fn renewals_that_end_the_token_before() -> Vec<Row> {
    let redis = redis();
    let wanted = scaled(100, 1_000);
    let mut fleet = Fleet::at(Provider::django(2).expect("django-oauth-toolkit is installed: ./ci tools does it"));
    fleet.setup = fleet.setup.clone().section(&redis.section());
    fleet.start(8);
    let start = now();
    let outcome = fleet.race(wanted, seconds(1_800.0));
    let [revoked, reused, refused, rejected] =
        ["revoked_grants", "reused", "refusals", "rejected"].map(|name| fleet.provider.count(name).to_string());
    fleet.expect_no_reuse();
    vec![
        row(
            "8 processes, django-oauth-toolkit, one single-use refresh token: renewals",
            outcome.renewals.to_string(),
            format!("at least {wanted}"),
        ),
        row("revoked grants", revoked, "0"),
        row("tokens that came twice", reused, "0"),
        row("refused renewals", refused, "0"),
        row("requests that the API rejected, for their token had just been replaced", rejected, ""),
        row("requests meanwhile, all 200", outcome.requests.to_string(), ""),
        row("took", format!("{:.0?}", start.elapsed()), ""),
    ]
}

/// From the start of a process to its first answer 200, when the token is in the store: no token request.
pub(crate) fn a_restart_within_a_lifetime() -> Vec<Row> {
    let redis = redis();
    let in_files = format!("[store]\nkind = \"file\"\ndirectory = \"store\"\nseal_key = \"{SEAL_KEY}\"\n");
    let mut rows = Vec::new();
    for (name, section) in [("a Redis", redis.section()), ("files", in_files)] {
        let (endpoint, _upstream, setup) = stage(3_600);
        let setup = setup.section(&section);
        setup.start_ready().stop();
        let mut times: Vec<_> = (0..RESTARTS).map(|_| restart(&setup)).collect();
        times.sort();
        let (middle, most) = (times[RESTARTS / 2], times[RESTARTS - 1]);
        let requests = endpoint.count() - 1;
        let what = format!("{RESTARTS} restarts with the token in {name}");
        rows.push(held(format!("{what}: token requests"), requests, "0", requests == 0));
        let told = format!("{}, {}", milliseconds(middle), milliseconds(most));
        rows.push(held(
            format!("{what}: start to the first answer 200, median and most"),
            told,
            "median ≤ 100 ms",
            middle <= seconds(0.1),
        ));
    }
    rows
}

/// How long it took; a request waits for its token by itself.
fn restart(setup: &Setup) -> Duration {
    let begun = now();
    let bearerd = setup.start();
    while bearerd.get("/items").status != 200 {
        assert!(begun.elapsed() < seconds(10.0), "no answer 200");
        pause(seconds(0.001));
    }
    let took = begun.elapsed();
    bearerd.stop();
    took
}
