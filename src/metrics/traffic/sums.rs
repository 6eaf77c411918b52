//! The counts of all workers, added up in the form in which the registry collects them.

use std::collections::BTreeMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::{BUCKETS, ByStatus, RouteCounts, RouteMetrics, Tally, Times, Traffic};

impl Collector for Traffic {
    fn desc(&self) -> Vec<&Desc> {
        self.names.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let [requests, request_times, upstream_times, in_flight] = &*self.names;
        let routes = self.routes();
        let times = |of: fn(&RouteCounts) -> &Times| routes.iter().map(move |route| times_of(route, of)).collect();
        let answered = routes.iter().flat_map(|route| answered_by(route)).collect();
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.requests_in_flight() as f64);
        vec![
            family(requests, proto::MetricType::COUNTER, answered),
            family(request_times, proto::MetricType::HISTOGRAM, times(|counts| &counts.requests)),
            family(upstream_times, proto::MetricType::HISTOGRAM, times(|counts| &counts.upstream)),
            family(in_flight, proto::MetricType::GAUGE, vec![proto::Metric::from_gauge(gauge)]),
        ]
    }
}

fn family(name: &Desc, kind: proto::MetricType, metrics: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(name.fq_name.clone());
    family.set_help(name.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

/// In the order of their names, as the text format has them.
fn labels(pairs: &[(&str, &str)]) -> Vec<proto::LabelPair> {
    let label = |(name, value): &(&str, &str)| {
        let mut label = proto::LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    pairs.iter().map(label).collect()
}

fn answered_by(route: &RouteMetrics) -> Vec<proto::Metric> {
    let workers = route.of_workers();
    let origin = |origin: &'static str, of: fn(&RouteCounts) -> &ByStatus| {
        let mut sums = BTreeMap::new();
        for (code, count) in workers.iter().flat_map(|counts| of(counts).counted()) {
            *sums.entry(code).or_insert(0) += count;
        }
        sums.into_iter().filter(|(_, sum)| *sum > 0).map(move |(code, sum)| (origin, code, sum)).collect::<Vec<_>>()
    };
    let sums = [origin("bearerd", |counts| &counts.by_bearerd), origin("upstream", |counts| &counts.by_upstream)];
    let metric = |(origin, code, sum): (&str, usize, u64)| {
        let code = code.to_string();
        let mut counter = proto::Counter::default();
        counter.set_value(sum as f64);
        let mut metric =
            proto::Metric::from_label(labels(&[("code", &code), ("origin", origin), ("route", &route.name)]));
        metric.set_counter(counter);
        metric
    };
    sums.into_iter().flatten().map(metric).collect()
}

fn times_of(route: &RouteMetrics, of: fn(&RouteCounts) -> &Times) -> proto::Metric {
    let workers = route.of_workers();
    let sum = |of_one: &dyn Fn(&Times) -> u64| workers.iter().map(|counts| of_one(of(counts))).sum::<u64>();
    let counts: Vec<u64> =
        (0..=BUCKETS.len()).map(|index| sum(&|times| times.buckets.get(index).map_or(0, Tally::value))).collect();
    let mut so_far = 0;
    let bucket = |(bound, count): (&f64, &u64)| {
        so_far += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(so_far);
        bucket
    };
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(BUCKETS.iter().zip(&counts).map(bucket).collect());
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum(&|times| times.nanoseconds.value()) as f64 / 1e9);
    let mut metric = proto::Metric::from_label(labels(&[("route", &route.name)]));
    metric.set_histogram(histogram);
    metric
}
