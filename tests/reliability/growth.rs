//! What a process holds while it works for a long time, and what has become more: memory, descriptors, threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::figures::{Row, held, row, secs};
use crate::process::holdings;
use crate::support::{now, pause, seconds};

/// Shorter runs cannot tell the growth of an hour by a slope, nor by what was most.
const TELLING: Duration = Duration::from_secs(45 * 60);
/// Longer than an idle connection to an upstream is kept: 15 s, and 15 s more until somebody looks.
const CALM: f64 = 31.0;
/// Longer than a token lives: between renewals there are moments without any.
const LOOKED_AT: f64 = 6.0;
/// In an hour, in KiB.
const GROWTH: f64 = 1_000.0;

/// What it holds without callers: the least there is between one renewal and the next.
pub(crate) struct AtRest([u64; 3]);

impl AtRest {
    /// Callers must be gone. Takes 37 s.
    pub(crate) fn of(pid: u32) -> Self {
        pause(seconds(CALM));
        let start = now();
        let mut least = holdings(pid);
        while start.elapsed() < seconds(LOOKED_AT) {
            least.iter_mut().zip(holdings(pid)).for_each(|(least, now)| *least = now.min(*least));
            pause(Duration::from_millis(20));
        }
        Self(least)
    }

    /// Held to what it was `between` ago.
    pub(crate) fn rows(&self, after: &Self, what: &str, between: Duration) -> Vec<Row> {
        let hours = (between.as_secs_f64() / 3_600.0).max(1.0);
        let ([memory, descriptors, threads], [memory_after, descriptors_after, threads_after]) = (self.0, after.0);
        let when = "without callers, after the warm-up and at the end";
        let grown = memory_after.saturating_sub(memory) as f64;
        vec![
            held(
                format!("{what}: resident memory {when}"),
                format!("{memory}, {memory_after} KiB"),
                format!("less than {:.0} KiB more", GROWTH * hours),
                grown < GROWTH * hours,
            ),
            held(
                format!("{what}: descriptors {when}"),
                format!("{descriptors}, {descriptors_after}"),
                "no more",
                descriptors_after <= descriptors,
            ),
            held(
                format!("{what}: threads {when}"),
                format!("{threads}, {threads_after}"),
                "no more",
                threads_after <= threads,
            ),
        ]
    }
}

/// What the process held, once a second.
pub(crate) struct Samples {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Duration, [u64; 3])>>,
}

impl Samples {
    pub(crate) fn take_from(pid: u32) -> Self {
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

    pub(crate) fn end(self) -> Series {
        self.stop.store(true, Ordering::Relaxed);
        let all = self.thread.join().unwrap();
        Series { length: all.last().unwrap().0, all }
    }
}

fn until_next_second(start: Instant) -> Duration {
    Duration::from_nanos(1_000_000_000 - u64::from(start.elapsed().subsec_nanos()))
}

/// The samples.
pub(crate) struct Series {
    length: Duration,
    all: Vec<(Duration, [u64; 3])>,
}

impl Series {
    /// After a warm-up of this length.
    pub(crate) fn rows(&self, what: &str, warm: Duration) -> Vec<Row> {
        let slope = self.slope(0);
        let when = format!("after {} of warm-up", secs(warm));
        let of = |index: usize| self.all.iter().map(move |(_, values)| values[index]);
        let (least, most) = (of(0).min().unwrap(), of(0).max().unwrap());
        let descriptors = [0, 3].map(|quarter| self.quarter(1, quarter).max().unwrap());
        let threads = [0, 3].map(|quarter| self.quarter(2, quarter).max().unwrap());
        let kept = [0, 3].map(|quarter| self.quarter(2, quarter).min().unwrap());
        let is_telling = self.length + warm >= TELLING;
        let judged = |what: String, figure: String, wanted: &str, holds: bool| match is_telling {
            true => held(what, figure, wanted, holds),
            false => row(what, figure, ""),
        };
        vec![
            judged(
                format!("{what}: slope of resident memory {when}"),
                format!("{:+.2} MB/h", slope / 1e3),
                "< 1 MB/h",
                slope < GROWTH,
            ),
            row(format!("{what}: resident memory {when}, least and most"), format!("{least}, {most} KiB"), ""),
            judged(
                format!("{what}: most descriptors, in the first and in the last quarter"),
                format!("{}, {}", descriptors[0], descriptors[1]),
                "no more than 10 % more",
                descriptors[1] <= descriptors[0] * 11 / 10,
            ),
            judged(
                format!("{what}: most threads, in the first and in the last quarter"),
                format!("{}, {}", threads[0], threads[1]),
                "no more",
                threads[1] <= threads[0],
            ),
            held(
                format!("{what}: least threads, in the first and in the last quarter"),
                format!("{}, {}", kept[0], kept[1]),
                "no more",
                kept[1] <= kept[0],
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

    /// Of one quarter of the time. Whenever callers have to wait, connections to the upstream come that go again later, so of descriptors
    /// only the most says something. One more thread comes whenever files are read at the same moment, and goes: the least tells what stays.
    fn quarter(&self, index: usize, quarter: usize) -> impl Iterator<Item = u64> {
        let length = self.all.len().div_ceil(4);
        self.all.chunks(length).nth(quarter).unwrap().iter().map(move |(_, values)| values[index])
    }
}
