//! What became of the spans of traces.

use prometheus::{IntCounter, Registry};

use super::counter_vec;

/// The handles of all that is counted of spans.
#[derive(Clone, Debug)]
pub struct SpanMetrics {
    /// The collector has them.
    pub exported: IntCounter,
    /// Too many waited.
    pub queue_full: IntCounter,
    /// They could not be sent.
    pub failed: IntCounter,
    /// The collector took the batch, but not these.
    pub rejected: IntCounter,
}

pub(super) fn register(registry: &Registry) -> SpanMetrics {
    let exported = counter_vec(registry, "bearerd_spans_exported_total", "Spans that the collector has taken.", &[]);
    let dropped = counter_vec(
        registry,
        "bearerd_spans_dropped_total",
        "Spans that the collector will never have, by what stood in the way.",
        &["reason"],
    );
    let reason = |reason: &str| dropped.with_label_values(&[reason]);
    SpanMetrics {
        exported: exported.with_label_values(&[] as &[&str]),
        queue_full: reason("queue_full"),
        failed: reason("failed"),
        rejected: reason("rejected"),
    }
}
