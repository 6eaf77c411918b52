//! What is counted for each request: by every worker for itself, and summed when somebody looks.
//!
//! Two workers that wrote to one counter would take its memory from each other's processor with every request, which costs more than
//! the rest of the counting. So each count has one writer, which needs no more than a load and a store. `sums` adds them up.

mod reading;
mod sums;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::StatusCode;
use prometheus::core::Desc;

pub use reading::{Counted, RouteReading};

/// Seconds; from loopback speed to the slowest token endpoint.
pub(super) const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The same in nanoseconds.
const BOUNDS: [u64; BUCKETS.len()] = {
    let mut bounds = [0; BUCKETS.len()];
    let mut index = 0;
    while index < bounds.len() {
        #[expect(
            clippy::indexing_slicing,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in bounds, and whole nanoseconds"
        )]
        {
            bounds[index] = (BUCKETS[index] * 1e9) as u64;
        }
        index += 1;
    }
    bounds
};

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The upstream.
    Upstream,
    /// bearerd itself.
    Bearerd,
}

/// A number that one thread changes and any may read.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// For its one writer.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// For its one writer.
    pub fn subtract(&self, less: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(less), Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long something took, counted by one thread.
#[derive(Debug, Default)]
struct Times {
    /// The last one is beyond the last bound.
    buckets: [Tally; BUCKETS.len() + 1],
    nanoseconds: Tally,
}

impl Times {
    fn note(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let index = BOUNDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(index) {
            bucket.add(1);
        }
        self.nanoseconds.add(nanoseconds);
    }
}

/// The counts of one route, as one worker keeps them.
#[derive(Debug, Default)]
pub struct RouteCounts {
    by_upstream: ByStatus,
    by_bearerd: ByStatus,
    requests: Times,
    upstream: Times,
}

impl RouteCounts {
    /// Counts an answered request.
    pub fn answered(&self, status: StatusCode, by: AnsweredBy) {
        match by {
            AnsweredBy::Upstream => self.by_upstream.add(status),
            AnsweredBy::Bearerd => self.by_bearerd.add(status),
        }
    }

    /// Notes how long a request took, to the end of its answer.
    pub fn took(&self, time: Duration) {
        self.requests.note(time);
    }

    /// Notes how long the upstream took to the head of its answer.
    pub fn upstream_took(&self, time: Duration) {
        self.upstream.note(time);
    }
}

/// Counts by HTTP status, made room for when first needed: a route meets few of the 900 that there are.
#[derive(Debug, Default)]
struct ByStatus([OnceLock<Box<Hundred>>; 9]);

/// The counts of 100 to 199, of 200 to 299, …
type Hundred = [Tally; 100];

impl ByStatus {
    fn add(&self, status: StatusCode) {
        let code = usize::from(status.as_u16());
        let hundred = self.0.get((code / 100).wrapping_sub(1));
        let hundred =
            hundred.map(|hundred| hundred.get_or_init(|| Box::new(std::array::from_fn(|_| Tally::default()))));
        if let Some(count) = hundred.and_then(|hundred| hundred.get(code % 100)) {
            count.add(1);
        }
    }

    /// What was counted, by status.
    fn counted(&self) -> impl Iterator<Item = (usize, u64)> {
        let begun = self.0.iter().enumerate().filter_map(|(hundreds, counts)| Some((hundreds, counts.get()?)));
        begun.flat_map(|(hundreds, counts)| {
            counts.iter().enumerate().map(move |(rest, count)| ((hundreds + 1) * 100 + rest, count.value()))
        })
    }
}

/// One route's series.
#[derive(Debug)]
pub struct RouteMetrics {
    name: String,
    workers: Mutex<Vec<Arc<RouteCounts>>>,
}

impl RouteMetrics {
    /// The counts of one more worker; those of a worker's share that is gone (reload) go on.
    pub fn worker(&self) -> Arc<RouteCounts> {
        one_more(&self.workers)
    }

    fn of_workers(&self) -> Vec<Arc<RouteCounts>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The counts of all requests, over all routes and workers.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    names: Arc<[Desc; 4]>,
    routes: Arc<Mutex<BTreeMap<String, Arc<RouteMetrics>>>>,
    in_flight: Arc<Mutex<Vec<Arc<Tally>>>>,
}

impl Traffic {
    pub(super) fn new() -> prometheus::Result<Self> {
        let name = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())
        };
        let names = [
            name(
                "bearerd_requests_total",
                "Requests by HTTP status and by who answered.",
                &["route", "code", "origin"],
            )?,
            name("bearerd_request_duration_seconds", "From a request's head to the end of its answer.", &["route"])?,
            name(
                "bearerd_upstream_duration_seconds",
                "From sending a request to the answer's head, each attempt.",
                &["route"],
            )?,
            name("bearerd_requests_in_flight", "Requests being served.", &[])?,
        ];
        Ok(Self { names: Arc::new(names), routes: Arc::default(), in_flight: Arc::default() })
    }

    /// The route of this name; its series exist from here on.
    pub(super) fn route(&self, name: &str) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(name.to_owned());
        let made = || Arc::new(RouteMetrics { name: name.to_owned(), workers: Mutex::default() });
        Arc::clone(route.or_insert_with(made))
    }

    /// The series of a route are no more.
    pub(super) fn forget_route(&self, name: &str) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The requests in flight of one more worker.
    pub(super) fn in_flight(&self) -> Arc<Tally> {
        one_more(&self.in_flight)
    }

    pub(super) fn requests_in_flight(&self) -> u64 {
        let workers = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        workers.iter().fold(0, |sum: u64, tally| sum.wrapping_add(tally.value()))
    }

    fn routes(&self) -> Vec<Arc<RouteMetrics>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Counts for one more writer. Those whose writer is gone get another one, so that what was counted stays and nothing piles up.
fn one_more<T: Default>(all: &Mutex<Vec<Arc<T>>>) -> Arc<T> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    // Nobody else can take a reference meanwhile: clones are made under this lock, or by the writer that there is not.
    if let Some(orphan) = all.iter().find(|counts| Arc::strong_count(counts) == 1) {
        return Arc::clone(orphan);
    }
    let counts = Arc::<T>::default();
    all.push(Arc::clone(&counts));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn counts_without_a_writer_go_on_with_the_next() {
        let metrics = Metrics::new();
        let (first, second) = (metrics.route("api").worker(), metrics.route("api").worker());
        first.answered(StatusCode::OK, AnsweredBy::Upstream);
        drop(first);
        let third = metrics.route("api").worker();
        third.answered(StatusCode::OK, AnsweredBy::Upstream);
        second.answered(StatusCode::OK, AnsweredBy::Upstream);
        assert!(
            metrics.render().contains("bearerd_requests_total{code=\"200\",origin=\"upstream\",route=\"api\"} 3\n")
        );
        assert_eq!(metrics.route("api").of_workers().len(), 2);
        metrics.forget_route("api");
        assert!(!metrics.render().contains("route=\"api\""));
    }

    #[test]
    fn what_several_workers_counted_is_summed() {
        let metrics = Metrics::new();
        let route = metrics.route("api");
        let in_flight = [metrics.worker(), metrics.worker()];
        for (counts, in_flight) in [route.worker(), route.worker()].iter().zip(&in_flight) {
            counts.answered(StatusCode::OK, AnsweredBy::Upstream);
            counts.answered(StatusCode::BAD_GATEWAY, AnsweredBy::Bearerd);
            counts.took(Duration::from_micros(500));
            counts.took(Duration::from_micros(501));
            counts.took(Duration::from_secs(61));
            counts.upstream_took(Duration::from_millis(1500));
            in_flight.add(2);
            in_flight.subtract(1);
        }
        // One that ends on another worker than it began on would go below zero there; the sum is right all the same.
        in_flight[0].subtract(2);
        in_flight[1].add(2);
        let page = metrics.render();
        for line in [
            "bearerd_requests_total{code=\"200\",origin=\"upstream\",route=\"api\"} 2\n",
            "bearerd_requests_total{code=\"502\",origin=\"bearerd\",route=\"api\"} 2\n",
            "bearerd_request_duration_seconds_bucket{route=\"api\",le=\"0.0005\"} 2\n",
            "bearerd_request_duration_seconds_bucket{route=\"api\",le=\"0.001\"} 4\n",
            "bearerd_request_duration_seconds_bucket{route=\"api\",le=\"60\"} 4\n",
            "bearerd_request_duration_seconds_bucket{route=\"api\",le=\"+Inf\"} 6\n",
            "bearerd_request_duration_seconds_sum{route=\"api\"} 122.002002\n",
            "bearerd_request_duration_seconds_count{route=\"api\"} 6\n",
            "bearerd_upstream_duration_seconds_bucket{route=\"api\",le=\"1\"} 0\n",
            "bearerd_upstream_duration_seconds_bucket{route=\"api\",le=\"2.5\"} 2\n",
            "bearerd_requests_in_flight 2\n",
        ] {
            assert!(page.contains(line), "missing {line:?} in\n{page}");
        }
    }
}
