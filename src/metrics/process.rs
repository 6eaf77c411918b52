//! `process_*`: what the process takes of the machine.
//!
//! Owns nothing but the one figure that the library's collector rounds: processor time in whole seconds would be a flat line for minutes.

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Metric, MetricFamily};
use rustix::time::{ClockId, clock_gettime};

/// Process figures cannot be read in every sandbox; without them the page is shorter, not broken.
pub(super) fn register(registry: &Registry) {
    if let Err(error) = registry.register(Box::new(Process(ProcessCollector::for_self()))) {
        tracing::warn!(%error, "process metrics are not to be had");
    }
}

struct Process(ProcessCollector);

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        for family in families.iter_mut().filter(|family| family.name() == "process_cpu_seconds_total") {
            let mut total = Counter::default();
            total.set_value(processor_seconds());
            let mut metric = Metric::default();
            metric.set_counter(total);
            family.set_metric(vec![metric]);
        }
        families
    }
}

/// What all threads have used so far, to the nanosecond.
fn processor_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_told_in_fractions_of_a_second() {
        let registry = Registry::new();
        register(&registry);
        let told = || {
            let families = registry.gather();
            let found = families.iter().find(|family| family.name() == "process_cpu_seconds_total").unwrap();
            found.get_metric()[0].get_counter().get_value()
        };
        let before = told();
        let mut work = 0_u64;
        while told() == before {
            work = std::hint::black_box(work + 1);
        }
        assert!(told() - before < 0.5, "{before} {work}");
    }
}
