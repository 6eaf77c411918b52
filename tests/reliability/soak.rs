//! The soak (G13): tokens of 5 seconds, 1,000 requests a second, and everything that happens to a sidecar in two months, one thing after
//! the other at random moments: tokens revoked, the token endpoint restarted, the configuration reloaded, secrets rotated.
//!
//! What happens is what can be survived: the next thing comes when there is a good token again, because a token that is taken back
//! while nobody issues another cannot be cured by anybody. `BEARERD_SOAK_MINUTES` sets another length.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::figures::{Row, held, milliseconds, row, secs};
use crate::load::{Pace, Paced, Report};
use crate::process::holdings;
use crate::rotated_secret::RotatedSecret;
use crate::setting::scaled;
use crate::support::swaps::replace;
use crate::support::{Bearerd, Request, Setup, Standing, eventually, now, pause, seconds};

const LIFETIME: u64 = 5;
/// How long it may take until there is a good token again.
const HEALS: f64 = 20.0;
/// Kept connections, a connection for each request, and bodies that are kept for a replay: requests a second.
const RATES: [f64; 3] = [900.0, 50.0, 50.0];
/// In two hours; the figure asks for it.
const RENEWALS: f64 = 1_400.0;
/// Shorter runs cannot tell the growth of an hour.
const TELLING: Duration = Duration::from_secs(45 * 60);

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
    let samples = Samples::take_from(bearerd.pid());
    let loads = loads(&bearerd);
    let mut events = Events::new(&rotating, &bearerd);
    let start = now();
    while start.elapsed() < length {
        pause(seconds(2.0 + 8.0 * fastrand::f64()).min(length.saturating_sub(start.elapsed())));
        events.next();
    }
    let mut report = Report::default();
    loads.into_iter().map(Paced::stop).for_each(|load| report.merge(load));
    let took = start.elapsed();
    let samples = samples.end();
    report.tell(&what);

    let standing = |standing| rotating.upstream.counted_as(standing);
    let issued = rotating.endpoint.tokens().count();
    let least = RENEWALS * minutes / 120.0;
    let rate = report.total() as f64 / took.as_secs_f64();
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
    rows.extend(samples.rows(&what));
    rows
}

fn secret(number: usize) -> String {
    format!("soak-canary-secret-{number}")
}

fn loads(bearerd: &Bearerd) -> Vec<Paced> {
    let get = Request::get("/items");
    let requests = [get.clone(), get.field("Connection", "close"), Request::post("/items", vec![b'x'; 4096])];
    let start = |(request, rate)| Paced::start(bearerd.address(), Pace::of(rate, 32), request);
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
        Self { rotating, bearerd, texts, secrets: 0, reloads: 0, counts: BTreeMap::new() }
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

/// What the process held, once a second.
struct Samples {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Duration, [u64; 3])>>,
}

impl Samples {
    fn take_from(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let start = now();
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                samples.push((start.elapsed(), holdings(pid)));
                pause(until_next_second(start));
            }
            samples
        });
        Self { stop, thread }
    }

    fn end(self) -> Held {
        self.stop.store(true, Ordering::Relaxed);
        let all = self.thread.join().unwrap();
        let length = all.last().unwrap().0;
        // A quarter of an hour, as the figure says, or less of a shorter run.
        let warm = (length / 4).min(Duration::from_secs(900));
        Held { warm, length, all: all.into_iter().filter(|(at, _)| *at >= warm).collect() }
    }
}

fn until_next_second(start: Instant) -> Duration {
    Duration::from_nanos(1_000_000_000 - u64::from(start.elapsed().subsec_nanos()))
}

/// The samples after the warm-up.
struct Held {
    warm: Duration,
    length: Duration,
    all: Vec<(Duration, [u64; 3])>,
}

impl Held {
    fn rows(&self, what: &str) -> Vec<Row> {
        let slope = self.slope(0);
        let measured = (self.length - self.warm).as_secs_f64() / 3_600.0;
        let told = format!("{:+.2} MB/h", slope / 1e3);
        let when = format!("after {} of warm-up", secs(self.warm));
        let (wanted, holds) = if self.length >= TELLING {
            ("< 1 MB/h".to_owned(), slope < 1_000.0)
        } else {
            (format!("< 1 MB in {:.0} s; < 1 MB/h in a longer run", measured * 3_600.0), slope * measured < 1_000.0)
        };
        let of = |index: usize| self.all.iter().map(move |(_, values)| values[index]);
        let (least, most) = (of(0).min().unwrap(), of(0).max().unwrap());
        let descriptors = [self.most(1, 0), self.most(1, 3)];
        let threads = [self.most(2, 0), self.most(2, 3)];
        vec![
            held(format!("{what}: slope of resident memory {when}"), told, wanted, holds),
            row(format!("{what}: resident memory {when}, least and most"), format!("{least}, {most} KiB"), ""),
            held(
                format!("{what}: most descriptors, in the first and in the last quarter"),
                format!("{}, {}", descriptors[0], descriptors[1]),
                "no more than 10 % more",
                descriptors[1] <= descriptors[0] * 11 / 10,
            ),
            held(
                format!("{what}: most threads, in the first and in the last quarter"),
                format!("{}, {}", threads[0], threads[1]),
                "no more",
                threads[1] <= threads[0],
            ),
        ]
    }

    /// By least squares, in KiB an hour.
    fn slope(&self, index: usize) -> f64 {
        let points = || self.all.iter().map(|(at, values)| (at.as_secs_f64() / 3_600.0, values[index] as f64));
        let count = self.all.len() as f64;
        let (x, y) = points().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let (both, square) = points().fold((0.0, 0.0), |(both, square), point| {
            (both + (point.0 - x) * (point.1 - y), square + (point.0 - x).powi(2))
        });
        both / square
    }

    /// Within one quarter of the time. Whenever callers have to wait, connections to the upstream come that go again later, so only
    /// the most says something.
    fn most(&self, index: usize, quarter: usize) -> u64 {
        let length = self.all.len().div_ceil(4);
        self.all.chunks(length).nth(quarter).unwrap().iter().map(|(_, values)| values[index]).max().unwrap()
    }
}
