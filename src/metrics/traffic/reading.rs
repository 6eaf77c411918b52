//! The counts of all routes at one moment, for whoever compares two of them: rates, shares and quantiles of the time between.

use std::collections::BTreeMap;

use super::{BUCKETS, ByStatus, RouteCounts, RouteMetrics, Tally, Times, Traffic};

/// What a route has counted up to a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteReading {
    /// Answers.
    pub answered: u64,
    /// Of these with a 4xx.
    pub client_errors: u64,
    /// Of these with a 5xx.
    pub errors: u64,
    /// Of these from bearerd itself, whatever the status.
    pub by_bearerd: u64,
    /// How long requests took, to the end of their answers.
    pub requests: Counted,
    /// How long the upstream took, to the heads of its answers.
    pub upstream: Counted,
}

/// How many took how long: the counts of a histogram's buckets, each for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted([u64; BUCKETS.len() + 1]);

impl RouteReading {
    fn of(route: &RouteMetrics) -> Self {
        let mut reading = Self::default();
        for counts in route.of_workers() {
            reading.add(&counts.by_upstream, false);
            reading.add(&counts.by_bearerd, true);
            reading.requests.add(&counts.requests);
            reading.upstream.add(&counts.upstream);
        }
        reading
    }

    fn add(&mut self, counts: &ByStatus, by_bearerd: bool) {
        for (code, count) in counts.counted() {
            self.answered += count;
            self.by_bearerd += if by_bearerd { count } else { 0 };
            match code / 100 {
                4 => self.client_errors += count,
                5 => self.errors += count,
                _ => {}
            }
        }
    }

    /// What was counted since an earlier reading. A route that has begun anew has counted all it has.
    pub fn since(&self, earlier: &Self) -> Self {
        if self.answered < earlier.answered {
            return self.clone();
        }
        Self {
            answered: self.answered.saturating_sub(earlier.answered),
            client_errors: self.client_errors.saturating_sub(earlier.client_errors),
            errors: self.errors.saturating_sub(earlier.errors),
            by_bearerd: self.by_bearerd.saturating_sub(earlier.by_bearerd),
            requests: self.requests.since(&earlier.requests),
            upstream: self.upstream.since(&earlier.upstream),
        }
    }
}

impl Counted {
    fn add(&mut self, times: &Times) {
        for (sum, bucket) in self.0.iter_mut().zip(&times.buckets) {
            *sum += Tally::value(bucket);
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.0;
        for (count, before) in counts.iter_mut().zip(&earlier.0) {
            *count = count.saturating_sub(*before);
        }
        Self(counts)
    }

    /// An estimate of the quantile `q` in seconds, even within its bucket, as Prometheus' `histogram_quantile` has it: what lies
    /// beyond the last bound counts as that bound. `None` if nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total: u64 = self.0.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = q * total as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, upper) in self.0.iter().map(|count| *count as f64).zip(BUCKETS) {
            if count > 0.0 && below + count >= rank {
                return Some(lower + (upper - lower) * ((rank - below) / count).max(0.0));
            }
            below += count;
            lower = upper;
        }
        Some(lower)
    }
}

impl Traffic {
    /// Every route as it stands.
    pub(in crate::metrics) fn reading(&self) -> BTreeMap<String, RouteReading> {
        self.routes().iter().map(|route| (route.name.clone(), RouteReading::of(route))).collect()
    }
}

/// The counts of one route alone.
impl From<&RouteCounts> for Counted {
    fn from(counts: &RouteCounts) -> Self {
        let mut counted = Self::default();
        counted.add(&counts.requests);
        counted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::metrics::{AnsweredBy, Metrics};

    #[test]
    fn a_quantile_lies_within_the_bucket_that_prometheus_would_say() {
        let check = |milliseconds: &[u64], q: f64, wanted: Option<f64>| {
            let counts = RouteCounts::default();
            milliseconds.iter().for_each(|time| counts.took(Duration::from_millis(*time)));
            let found = Counted::from(&counts).quantile(q);
            let close = match (found, wanted) {
                (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-9,
                (found, wanted) => found == wanted,
            };
            assert!(close, "{milliseconds:?} {q}: {found:?}, not {wanted:?}");
        };
        check(&[], 0.5, None);
        check(&[2, 2], 0.5, Some(0.00175));
        check(&[2, 2], 1.0, Some(0.0025));
        check(&[1, 40, 40, 40], 0.5, Some(0.025 + 0.025 / 3.0));
        check(&[70_000], 0.99, Some(60.0));
        check(&[0], 0.99, Some(0.0005 * 0.99));
    }

    #[test]
    fn a_reading_sums_workers_and_is_compared_with_an_earlier_one() {
        let metrics = Metrics::new();
        let route = metrics.route("api");
        let workers = [route.worker(), route.worker()];
        workers[0].answered(StatusCode::OK, AnsweredBy::Upstream);
        let before = metrics.traffic.reading()["api"].clone();
        for counts in &workers {
            counts.answered(StatusCode::NOT_FOUND, AnsweredBy::Upstream);
            counts.answered(StatusCode::SERVICE_UNAVAILABLE, AnsweredBy::Bearerd);
            counts.upstream_took(Duration::from_millis(3));
        }
        let since = metrics.traffic.reading()["api"].since(&before);
        assert_eq!((since.answered, since.client_errors, since.errors, since.by_bearerd), (4, 2, 2, 2));
        assert_eq!((since.requests.quantile(0.5), since.upstream.quantile(1.0)), (None, Some(0.005)));
        let anew = RouteReading { answered: 1, ..RouteReading::default() };
        assert_eq!(anew.since(&before).answered, 0);
        assert_eq!(RouteReading::default().since(&before).answered, 0);
    }
}
