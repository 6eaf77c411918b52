//! The soak (G13): tokens of 5 seconds, 1,000 requests a second, and everything that happens to a sidecar in two months, one thing after
//! the other at random moments: tokens revoked, the token endpoint restarted, the configuration reloaded, secrets rotated.
//!
//! What happens is what can be survived: the next thing comes when there is a good token again, because a token that is taken back
//! while nobody issues another cannot be cured by anybody. `BEARERD_SOAK_MINUTES` sets another length.
//!
//! What grows is told in two ways. Without callers, after a warm-up with all of that and at the end, the process has to hold the same:
//! this tells of a single descriptor. With callers it holds what they need: two sockets each while all of them wait, which in a short
//! run comes in some quarters and not in others, so that only a long one can tell something by that.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::figures::{Row, held, milliseconds, row};
use crate::growth::{AtRest, Samples};
use crate::load::{Pace, Paced, Report};
use crate::rotated_secret::RotatedSecret;
use crate::setting::scaled;
use crate::support::swaps::replace;
use crate::support::{Bearerd, Request, Setup, Standing, eventually, now, pause, seconds};

const LIFETIME: u64 = 5;
/// How long it may take until there is a good token again.
const HEALS: f64 = 20.0;
/// Kept connections, a connection for each request, and bodies that are kept for a replay: requests a second.
const RATES: [f64; 3] = [900.0, 50.0, 50.0];
/// For each of these.
const CALLERS: usize = 32;
/// In two hours; the figure asks for it.
const RENEWALS: f64 = 1_400.0;

fn length() -> Duration {
    let wanted = std::env::var("BEARERD_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse::<f64>().ok());
    wanted.map_or_else(|| scaled(seconds(300.0), seconds(7_200.0)), |minutes| seconds(minutes * 60.0))
}

pub(crate) fn prove() -> Vec<Row> {
    let length = length();
    let minutes = length.as_secs_f64() / 60.0;
    let what = format!("{minutes:.0} min of 5 s tokens");
    let rotating = RotatedSecret::stage(LIFETIME, "secret", &secret(0));
    replace(&rotating.setup.directory().join("secret"), &secret(0));
    rotating.upstream.count_only();
    rotating.upstream.on("/", |exchange| exchange.brief());
    let bearerd = rotating.setup.start_ready();
    // A quarter of an hour, as the figure says, or less of a shorter run.
    let warm = (length / 4).min(seconds(900.0));
    let mut events = Events::new(&rotating, &bearerd);
    let mut report = events.under_load(warm);
    let before = AtRest::of(bearerd.pid());
    let samples = Samples::take_from(bearerd.pid());
    report.merge(events.under_load(length - warm));
    let samples = samples.end();
    let after = AtRest::of(bearerd.pid());
    report.tell(&what);

    let standing = |standing| rotating.upstream.counted_as(standing);
    let issued = rotating.endpoint.tokens().count();
    let least = RENEWALS * minutes / 120.0;
    let rate = report.total() as f64 / events.took.as_secs_f64();
    let never = [Standing::Expired, Standing::Unknown, Standing::Missing].map(standing);
    let mut rows = vec![
        held(format!("{what}: requests a second"), format!("{rate:.0}"), "1,000", rate >= 970.0),
        held(format!("{what}: failed, of {} requests", report.total()), report.failed(), "0", report.failed() == 0),
        held(format!("{what}: tokens"), issued, format!("≥ {least:.0}"), issued as f64 >= least),
        row(format!("{what}: what happened meanwhile"), events.told(), ""),
        row(format!("{what}: requests that the upstream rejected, all replayed"), standing(Standing::Revoked), ""),
        held(
            format!("{what}: requests with an expired, unknown or no token"),
            format!("{never:?}"),
            "0",
            never == [0; 3],
        ),
        held(format!("{what}: token requests with a wrong secret"), rotating.refused(), "0", rotating.refused() == 0),
        row(
            format!("{what}: p50, p99, max of a request"),
            [0.5, 0.99, 1.0].map(|share| milliseconds(report.times.quantile(share))).join(", "),
            "",
        ),
    ];
    rows.extend(samples.rows(&what, warm));
    rows.extend(before.rows(&after, &what, length - warm));
    rows
}

fn secret(number: usize) -> String {
    format!("soak-canary-secret-{number}")
}

fn loads(bearerd: &Bearerd) -> Vec<Paced> {
    let get = Request::get("/items");
    let requests = [get.clone(), get.field("Connection", "close"), Request::post("/items", vec![b'x'; 4096])];
    let start = |(request, rate)| Paced::start(bearerd.address(), Pace::of(rate, CALLERS), request);
    requests.iter().zip(RATES).map(start).collect()
}

/// What happens, and how often it has.
struct Events<'a> {
    rotating: &'a RotatedSecret,
    bearerd: &'a Bearerd,
    /// The configurations that take turns; the last one is broken.
    texts: Vec<String>,
    secrets: usize,
    reloads: usize,
    counts: BTreeMap<&'static str, usize>,
    /// With callers.
    took: Duration,
}

impl<'a> Events<'a> {
    fn new(rotating: &'a RotatedSecret, bearerd: &'a Bearerd) -> Self {
        let setup = &rotating.setup;
        let changed = [
            setup.clone().route("headers = { set = { x-tenant = \"7\" } }"),
            setup.clone().section("[limits]\nconnections = 5000"),
            setup.clone().credential("scope = \"another\""),
        ];
        let mut texts = vec![setup.text()];
        texts.extend(changed.iter().map(Setup::text));
        texts.push("[routes.api]\nupstream = nonsense\n".to_owned());
        Self { rotating, bearerd, texts, secrets: 0, reloads: 0, counts: BTreeMap::new(), took: Duration::ZERO }
    }

    /// One after the other at random moments, with callers all the time, and at the very first a moment when all of them wait:
    /// whatever they need at most is needed before the end of the warm-up.
    fn under_load(&mut self, length: Duration) -> Report {
        let loads = loads(self.bearerd);
        let start = now();
        if self.counts.is_empty() {
            self.let_all_wait();
        }
        while start.elapsed() < length {
            pause(seconds(2.0 + 8.0 * fastrand::f64()).min(length.saturating_sub(start.elapsed())));
            self.next();
        }
        let mut report = Report::default();
        loads.into_iter().map(Paced::stop).for_each(|load| report.merge(load));
        self.took += start.elapsed();
        report
    }

    /// One of them, and the wait until all is well.
    fn next(&mut self) {
        let what = match fastrand::u8(..10) {
            0..4 => self.revoke(),
            4..6 => self.restart(),
            6..8 => self.reload(),
            _ => self.rotate(),
        };
        *self.counts.entry(what).or_default() += 1;
    }

    fn revoke(&self) -> &'static str {
        self.awaiting_another_token(|rotating| rotating.endpoint.tokens().revoke_last());
        "revocations"
    }

    fn restart(&self) -> &'static str {
        self.rotating.endpoint.go_down();
        pause(seconds(0.1 + 3.0 * fastrand::f64()));
        self.awaiting_another_token(|rotating| rotating.endpoint.come_back());
        "restarts of the token endpoint"
    }

    fn let_all_wait(&self) {
        self.rotating.endpoint.go_down();
        let all = (RATES.len() * CALLERS) as f64;
        let are_waiting = || self.bearerd.metric("bearerd_requests_in_flight", &[]).is_some_and(|count| count >= all);
        eventually("all callers wait", seconds(HEALS), are_waiting);
        self.awaiting_another_token(|rotating| rotating.endpoint.come_back());
    }

    fn reload(&mut self) -> &'static str {
        self.reloads += 1;
        let number = self.reloads % self.texts.len();
        replace(&self.rotating.setup.directory().join("bearerd.toml"), &self.texts[number]);
        let is_broken = number == self.texts.len() - 1;
        self.bearerd.reload(if is_broken { "failure" } else { "success" });
        // Another credential has a token of its own first.
        self.bearerd.settle();
        "reloads"
    }

    fn rotate(&mut self) -> &'static str {
        let old = secret(self.secrets);
        self.secrets += 1;
        let path = self.rotating.setup.directory().join("secret");
        self.rotating.rotate(&old, &secret(self.secrets), |new| replace(&path, new));
        "rotations of the secret"
    }

    fn awaiting_another_token(&self, after: impl FnOnce(&RotatedSecret)) {
        let before = self.rotating.endpoint.tokens().count();
        after(self.rotating);
        eventually("another token", seconds(HEALS), || self.rotating.endpoint.tokens().count() > before);
        self.bearerd.settle();
    }

    fn told(&self) -> String {
        let counts: Vec<_> = self.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        counts.join(", ")
    }
}
