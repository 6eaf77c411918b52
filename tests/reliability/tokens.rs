//! Tokens over minutes: against a real authorization server, and (where that is too slow for the load) a scripted one.

use crate::figures::{Row, held, milliseconds, row};
use crate::load::{Pace, Paced, Report};
use crate::setting::scaled;
use crate::support::client::{Load, burst, statuses};
use crate::support::provider::{PASSWORD, Provider, SECRET};
use crate::support::{
    BINARY, Bearerd, Request, Setup, TokenEndpoint, Tokens, Upstream, eventually, now, pause, seconds, stage,
};

fn provider(lifetime: u64) -> Provider {
    Provider::start(lifetime).expect("oidc-provider is installed: ./reliability does it")
}

/// Cold start to the first proxied request, and what a process costs that does nothing.
pub(crate) fn start_and_rest() -> Vec<Row> {
    let tokens = Tokens::new(300);
    let endpoint = TokenEndpoint::start(&tokens);
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
    let size = std::fs::metadata(BINARY).unwrap().len() as f64 / 1e6;
    vec![
        row("cold start to the first proxied request, median of 10", format!("{:.1?}", times[5]), ""),
        row("resident memory at rest", format!("{resident:.1} MB"), ""),
        row("size of the binary", format!("{size:.1} MB"), ""),
    ]
}

pub(crate) fn five_second_tokens_for_a_minute() -> Vec<Row> {
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
        row("60 s with 5 s tokens: requests a second", format!("{rate:.0}"), "at least 1,000"),
        row("60 s with 5 s tokens: answers", format!("{}", report.total()), ""),
        row("60 s with 5 s tokens: answers other than 200", "0".to_owned(), "0"),
        row("60 s with 5 s tokens: requests that the upstream rejected", rejected.to_string(), "0"),
        row("60 s with 5 s tokens: token requests", requests.to_string(), "renewals + 1, ± 1"),
        row("60 s with 5 s tokens: renewals seen by the upstream", (used - 1).to_string(), ""),
        row("60 s with 5 s tokens: p50 of a request", format!("{:.2?}", report.quantile(0.5)), ""),
        row("60 s with 5 s tokens: p99 of a request", format!("{:.2?}", report.quantile(0.99)), ""),
        row("60 s with 5 s tokens: p99.9 of a request", format!("{:.2?}", report.quantile(0.999)), ""),
    ]
}

/// A bearerd with tokens of that many seconds, and what it met so far.
struct Contender {
    endpoint: TokenEndpoint,
    upstream: Upstream,
    bearerd: Bearerd,
    met: Report,
}

impl Contender {
    fn start(lifetime: u64) -> Self {
        let (endpoint, upstream, setup) = stage(lifetime);
        upstream.count_only();
        upstream.on("/", |exchange| exchange.brief());
        let bearerd = setup.start_ready();
        Self { endpoint, upstream, bearerd, met: Report::default() }
    }

    fn face(&mut self, rate: f64, time: f64) {
        let load = Paced::start(self.bearerd.address(), Pace::of(rate, 64), &Request::get("/items"));
        // The first requests make connections.
        pause(seconds(1.0));
        load.take();
        pause(seconds(time));
        self.met.merge(load.stop());
    }
}

/// Short and long tokens take turns under the same load, on the same machine, in the same minutes.
pub(crate) fn five_second_tokens_beside_long_ones() -> Vec<Row> {
    const RATE: f64 = 5_000.0;
    let (rounds, time) = scaled((3, 20.0), (10, 60.0));
    let mut short = Contender::start(5);
    let mut long = Contender::start(36_000);
    for _ in 0..rounds {
        short.face(RATE, time);
        long.face(RATE, time);
    }
    // Every token but the last is used: in the turns of the other one there is no load.
    let [requests, tokens] = [short.endpoint.count(), short.endpoint.tokens().count()];
    let successes = short.bearerd.token_requests("success");
    for (contender, name) in [(&short, "5 s tokens"), (&long, "10 h tokens")] {
        contender.met.tell(name);
    }
    let what = format!("{:.0} s with 5 s tokens", f64::from(rounds) * time);
    let rates = [&short, &long].map(|contender| contender.met.rate());
    let failed = [&short, &long].map(|contender| contender.met.failed());
    let bad = [&short, &long].map(|contender| contender.upstream.counted()[1]);
    let p999 = [&short, &long].map(|contender| contender.met.times.quantile(0.999));
    let p50 = [&short, &long].map(|contender| milliseconds(contender.met.times.quantile(0.5)));
    vec![
        held(
            format!("{what}, as many with 10 h tokens: requests a second"),
            format!("{:.0}, {:.0}", rates[0], rates[1]),
            "5,000",
            rates.iter().all(|rate| *rate >= 0.98 * RATE),
        ),
        held(format!("{what}: failed, of {} requests", short.met.total()), failed[0], "0", failed == [0, 0]),
        held(format!("{what}: requests that the upstream rejected"), bad[0], "0", bad == [0, 0]),
        held(
            format!("{what}: token requests, tokens"),
            format!("{requests}, {tokens}"),
            "as many, ± 1",
            requests.abs_diff(tokens) <= 1 && requests.abs_diff(successes as usize) <= 1,
        ),
        row(format!("{what}: p50, and with 10 h tokens"), p50.join(", "), ""),
        held(
            format!("{what}: p99.9, and with 10 h tokens"),
            p999.map(milliseconds).join(", "),
            "≤ 2 times that",
            p999[0] <= p999[1] * 2,
        ),
    ]
}

pub(crate) fn a_thousand_requests_after_a_revocation() -> Vec<Row> {
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
    // Less the one before.
    let seen = provider.count("accepted") + provider.count("rejected") - 1;
    assert_eq!(statuses(&answers), [(200, CALLERS)].into());
    assert_eq!(fetched, 1);
    assert!(seen <= 2 * CALLERS as u64, "{seen} requests at the upstream");
    vec![
        row("1,000 requests at once after a revocation: token requests", fetched.to_string(), "exactly 1"),
        row("1,000 requests at once after a revocation: answers 200", CALLERS.to_string(), "1,000"),
        row(
            "1,000 requests at once after a revocation: seen by the upstream, with the replays",
            seen.to_string(),
            "at most 2,000",
        ),
        row("1,000 requests at once after a revocation: took", format!("{took:.1?}"), ""),
    ]
}

pub(crate) fn a_wrong_password() -> Vec<Row> {
    let time = scaled(seconds(180.0), seconds(3_600.0));
    let what = format!("{} min with a wrong password", time.as_secs() / 60);
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
    while start.elapsed() < time {
        let count = provider.count("passwords");
        if attempts.len() < count as usize {
            attempts.push(start.elapsed());
        }
        assert!(count <= 2, "{count} attempts after {:?}", start.elapsed());
        pause(seconds(0.1));
    }
    let took = start.elapsed();
    let report = load.stop();
    let rate = report.total() as f64 / took.as_secs_f64();
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
        held(format!("{what}: requests a second"), format!("{rate:.0}"), "at least 1,000", rate >= 1_000.0),
        row(format!("{what}: requests answered 503"), report.total().to_string(), "all"),
        row(format!("{what}: attempts"), attempts.len().to_string(), "at most 2"),
        row(format!("{what}: time between them"), format!("{apart:.1?}"), "at least 60 s"),
        row("the same after a restart, 5 s: further attempts", "0".to_owned(), "0"),
        row("the right password written to the file: works after", format!("{healed:.1?}"), "at most 5 s"),
    ]
}

fn heal(bearerd: &Bearerd, setup: &Setup) -> std::time::Duration {
    setup.secret_file("password", &format!("{PASSWORD}\n"));
    eventually("200", seconds(5.0), || bearerd.get("/items").status == 200)
}
