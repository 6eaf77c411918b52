//! The token endpoint is away (G1): while the token lives, beyond its end, at the start; and it comes back.
//!
//! It is away as real ones are: its process killed, its process stopped, its connections reset or never made, or 503 from whatever stands in
//! front.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;

use crate::figures::{Row, held, row, secs};
use crate::load::{Pace, Paced, Report};
use crate::network::{Mode, Relay, Weather};
use crate::process;
use crate::setting::scaled;
use crate::support::peers::Peer;
use crate::support::setup::CLIENT_SECRET;
use crate::support::{
    Bearerd, Reply, Request, Setup, Standing, TokenEndpoint, Upstream, eventually, now, pause, seconds, stage,
    throughout,
};

/// How soon there is a token again when the endpoint is back.
const HEALS: Duration = Duration::from_secs(5);
/// How long requests wait for a token where there is none, as configured.
const WAIT: Duration = Duration::from_secs(2);

/// A process in front of a token endpoint.
struct Front {
    process: Option<Peer>,
    address: SocketAddr,
    behind: SocketAddr,
}

impl Front {
    fn before(endpoint: &TokenEndpoint) -> Self {
        let behind = endpoint.address();
        let process = Peer::start("front.py", &[&behind.to_string()]);
        Self { address: process.address(), process: Some(process), behind }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        // Whoever lets go of it waits for its end.
        self.process = None;
    }

    fn start_again(&mut self) {
        let (behind, port) = (self.behind.to_string(), self.address.port().to_string());
        self.process = Some(Peer::start("front.py", &[&behind, &port]));
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }
}

/// How it is away.
enum Away {
    Killed(Front),
    Stopped(Front),
    Reset(Relay),
    Lost(Relay),
    Busy(SocketAddr),
}

/// One of them, with its name, for an endpoint.
type Kind = (&'static str, fn(&TokenEndpoint) -> Away);

impl Away {
    fn all() -> [Kind; 5] {
        [
            ("kill -9", |endpoint| Self::Killed(Front::before(endpoint))),
            ("SIGSTOP", |endpoint| Self::Stopped(Front::before(endpoint))),
            ("connections reset", |endpoint| Self::Reset(Relay::start(endpoint.address(), Weather::default()))),
            ("connections lost", |endpoint| Self::Lost(Relay::start(endpoint.address(), Weather::default()))),
            ("503", |endpoint| Self::Busy(endpoint.address())),
        ]
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Killed(front) | Self::Stopped(front) => front.address,
            Self::Reset(relay) | Self::Lost(relay) => relay.address(),
            Self::Busy(address) => *address,
        }
    }

    fn begin(&mut self, endpoint: &TokenEndpoint) {
        match self {
            Self::Killed(front) => front.kill(),
            Self::Stopped(front) => front.signal(Signal::STOP),
            Self::Reset(relay) => relay.turn(Mode::Reset),
            Self::Lost(relay) => relay.turn(Mode::Lost),
            Self::Busy(_) => endpoint.always(Reply::text(503, "text/plain", "no healthy upstream")),
        }
    }

    fn end(&mut self, endpoint: &TokenEndpoint) {
        match self {
            Self::Killed(front) => front.start_again(),
            Self::Stopped(front) => front.signal(Signal::CONT),
            Self::Reset(relay) | Self::Lost(relay) => relay.turn(Mode::Pass),
            Self::Busy(_) => endpoint.always(Reply::Token),
        }
    }
}

/// An endpoint whose tokens live so many seconds, and an upstream that counts.
fn servers(lifetime: u64) -> (TokenEndpoint, Upstream) {
    let (endpoint, upstream, _) = stage(lifetime);
    upstream.count_only();
    upstream.on("/", |exchange| exchange.brief());
    (endpoint, upstream)
}

/// A bearerd that asks for tokens at that address.
fn setup(upstream: &Upstream, endpoint: &TokenEndpoint, address: SocketAddr, lines: &str) -> Setup {
    let credential = format!(
        "token_endpoint = \"http://{address}/token\"\nclient_id = \"svc\"\nclient_secret = \"{CLIENT_SECRET}\"\n{lines}\n"
    );
    endpoint.canaries().add_basic("svc", CLIENT_SECRET);
    Setup::new(endpoint.canaries()).credential_only(&upstream.url(), &credential)
}

/// An instance whose token endpoint is going to be away, and its twin, whose endpoint stays, both under the same load all the time.
///
/// One minute on a machine may be half as slow again as the next, whatever bearerd does, so that what one instance meets before and
/// during an outage says little; these two meet alike whatever happens beside them. If an outage cost so much of the processors that it
/// slowed both, its processor time would say so.
struct Twins {
    instances: [Bearerd; 2],
    loads: [Paced; 2],
}

/// What each of them met for some time, and whether the first was ever not ready.
struct Met {
    reports: [Report; 2],
    /// Of the processors, in seconds.
    cpu: [f64; 2],
    was_unready: bool,
    /// Requests that failed meanwhile, or since the time before.
    failed: u64,
}

impl Twins {
    const RATE: f64 = 5_000.0;

    fn start(upstream: &Upstream, endpoint: &TokenEndpoint, away: SocketAddr) -> Self {
        let start = |address| setup(upstream, endpoint, address, "refresh = { early = \"50%\" }").start_ready();
        let instances = [away, endpoint.address()].map(start);
        let pace = Pace::of(Self::RATE, 64);
        let loads = instances.each_ref().map(|one| Paced::start(one.address(), pace, &Request::get("/items")));
        Self { instances, loads }
    }

    fn watch(&self, length: Duration) -> Met {
        let (take, cpu) = (|| self.loads.each_ref().map(Paced::take), || self.instances.each_ref().map(process::cpu));
        let (start, [since, since_twin]) = (now(), cpu());
        let (missed, mut was_unready) = (take(), false);
        while start.elapsed() < length {
            was_unready |= !self.instances[0].is_ready();
            pause(seconds(0.5));
        }
        let (reports, [until, until_twin]) = (take(), cpu());
        let all = || missed.iter().chain(&reports);
        all().for_each(|report| report.tell("beside an outage"));
        let failed = all().map(Report::failed).sum();
        Met { reports, cpu: [until - since, until_twin - since_twin], was_unready, failed }
    }
}

impl Met {
    fn p99(&self) -> [Duration; 2] {
        self.reports.each_ref().map(|report| report.times.quantile(0.99))
    }
}

/// G1a: killed, within the life of the token, whose renewal is due soon after that.
pub(crate) fn within_the_life_of_the_token() -> Vec<Row> {
    let outage = scaled(60, 600);
    let length = Duration::from_secs(outage);
    // Renewal begins between 50 % and 60 % of the life, so all of the outage is before its end, and so is the next try after it.
    let lifetime = 2 * outage + 80;
    let (endpoint, upstream) = servers(lifetime);
    let mut away = Away::Killed(Front::before(&endpoint));
    let twins = Twins::start(&upstream, &endpoint, away.address());
    let (begun, bearerd) = (now(), &twins.instances[0]);
    pause(seconds(lifetime as f64 / 2.0 - 8.0).saturating_sub(begun.elapsed() + length));
    let before = twins.watch(length);
    away.begin(&endpoint);
    let during = twins.watch(length);
    let attempts = bearerd.token_requests("transient");
    let had = bearerd.token_requests("success");
    away.end(&endpoint);
    eventually("another token", seconds(40.0), || bearerd.token_requests("success") > had);
    let after = twins.loads.map(Paced::stop);
    after.iter().for_each(|report| report.tell("after an outage"));

    let what = format!("endpoint killed for {outage} s, token valid");
    let (rate, total) = (during.reports[0].rate(), during.reports[0].total());
    let failed = before.failed + during.failed + after.iter().map(Report::failed).sum::<u64>();
    let was_ready = !before.was_unready && !during.was_unready;
    let bad = upstream.counted()[1];
    let [p99, usual] = during.p99();
    let [cpu, usual_cpu] = during.cpu;
    vec![
        held(format!("{what}: requests a second"), format!("{rate:.0}"), "5,000", rate >= 0.98 * Twins::RATE),
        held(
            format!("{what}: failed, of {total} requests, and before, after and of its twin"),
            failed,
            "0",
            failed == 0,
        ),
        row("before that: p99 of this instance and of its twin", micros(before.p99()), ""),
        held(
            format!("{what}: p99 of this instance and of its twin, whose endpoint is there"),
            micros(during.p99()),
            "within 10 %",
            p99 <= usual.mul_f64(1.1),
        ),
        held(
            format!("{what}: processor time of this instance and of its twin"),
            format!("{cpu:.2} s, {usual_cpu:.2} s"),
            "within 10 %",
            cpu <= usual_cpu * 1.1,
        ),
        held(format!("{what}: token requests, all failed"), attempts, "1 to 60", (1.0..=60.0).contains(&attempts)),
        held(format!("{what}: ready all along"), was_ready, "true", was_ready),
        held(format!("{what}: requests at the upstream without a live token"), bad, "0", bad == 0),
    ]
}

fn micros(both: [Duration; 2]) -> String {
    both.map(|time| format!("{} µs", time.as_micros())).join(", ")
}

/// G1b and G1c: away until long after the token's end, in every way, and back.
pub(crate) fn beyond_the_life_of_the_token() -> Vec<Row> {
    Away::all().into_iter().flat_map(beyond).collect()
}

fn beyond((kind, make): Kind) -> Vec<Row> {
    let (endpoint, upstream) = servers(6);
    let mut away = make(&endpoint);
    let lines = format!("refresh = {{ wait = \"{}s\" }}", WAIT.as_secs());
    let bearerd = setup(&upstream, &endpoint, away.address(), &lines).start_ready();
    // All that is missed in an outage would otherwise come when it is over.
    let pace = Pace::of(1_000.0, 64).without_catching_up();
    let load = Paced::start(bearerd.address(), pace, &Request::get("/items"));
    away.begin(&endpoint);
    eventually("the token's end", seconds(15.0), || !bearerd.is_ready());
    // What was upstream by then is answered.
    pause(seconds(0.5));
    let before = load.take();
    // Long enough for the backoff to grow to its cap.
    let gone = scaled(12.0, 120.0);
    throughout("not ready", seconds(gone), || !bearerd.is_ready());
    let meanwhile = load.take();
    endpoint.tokens().set_lifetime(600);
    let fetched_before = bearerd.token_requests("success");
    away.end(&endpoint);
    let healed = eventually("200", seconds(60.0), || bearerd.get("/items").status == 200);
    load.take();
    // Nobody asks once more because so many had waited.
    throughout("ready", seconds(3.0), || bearerd.is_ready());
    let after = load.stop();
    let fetched = bearerd.token_requests("success") - fetched_before;
    let unwanted = [Standing::Expired, Standing::Missing, Standing::Unknown].map(|each| upstream.counted_as(each));
    rows(kind, gone, &[before, meanwhile, after], (healed, fetched, unwanted))
}

fn rows(kind: &str, gone: f64, reports: &[Report; 3], then: (Duration, f64, [usize; 3])) -> Vec<Row> {
    let what = format!("token endpoint away ({kind})");
    let [before, meanwhile, after] = reports;
    let (healed, fetched, unwanted) = then;
    after.tell(&what);
    let known = before.total() == before.with(200) + before.with(503);
    let is_503 = meanwhile.total() > 0 && meanwhile.total() == meanwhile.with(503);
    let unadvised = before.unadvised + meanwhile.unadvised;
    let most = before.waits.most().max(meanwhile.waits.most());
    vec![
        held(
            format!("{what}: expired, missing, unknown tokens at the upstream"),
            format!("{unwanted:?}"),
            "0",
            unwanted == [0; 3],
        ),
        held(
            format!("{what}: answers until the token's end, and for {gone} s after it"),
            format!("{:?}, {:?}", before.statuses, meanwhile.statuses),
            "200 or 503, then 503",
            known && is_503,
        ),
        held(format!("{what}: 503s without Retry-After"), unadvised, "0", unadvised == 0),
        held(
            format!("{what}: longest wait for an answer, {} s configured", WAIT.as_secs()),
            secs(most),
            "≤ that + 1 s",
            most <= WAIT + seconds(1.0),
        ),
        held(format!("{what}: first 200 after it was back, under load"), secs(healed), "≤ 5 s", healed <= HEALS),
        held(format!("{what}: token requests that succeeded then"), fetched, "1", fetched == 1.0),
        held(
            format!("{what}: failed afterwards, of {} requests", after.total()),
            after.failed(),
            "0",
            after.failed() == 0,
        ),
    ]
}

/// G1d: a start without the token endpoint.
pub(crate) fn at_the_start() -> Vec<Row> {
    let (endpoint, upstream) = servers(600);
    let mut away = Away::Killed(Front::before(&endpoint));
    away.begin(&endpoint);
    let bearerd: Bearerd = setup(&upstream, &endpoint, away.address(), "refresh = { wait = \"500ms\" }").start();
    let pace = Pace::of(1_000.0, 16).without_catching_up();
    let load = Paced::start(bearerd.address(), pace, &Request::get("/items"));
    let gone = scaled(10.0, 300.0);
    throughout("running and not ready", seconds(gone), || !bearerd.is_ready());
    let meanwhile = load.take();
    away.end(&endpoint);
    let ready = eventually("ready", seconds(60.0), || bearerd.is_ready());
    drop(load);
    let what = format!("started {gone} s before its token endpoint");
    let only_503 = meanwhile.total() == meanwhile.with(503);
    vec![
        row(format!("{what}: not ready until then"), "true", "true"),
        held(format!("{what}: answers until then"), format!("{:?}", meanwhile.statuses), "503", only_503),
        held(format!("{what}: ready after it was there"), secs(ready), "≤ 5 s", ready <= HEALS),
        row(format!("{what}: tokens"), endpoint.tokens().count(), ""),
    ]
}
