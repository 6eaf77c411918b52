//! The task that brings spans to the collector: gathers, sends, waits, gives up.
//!
//! Owns the time that all of it may take and what is said of failures. Runs on the control thread; nothing waits for it but the end
//! of the process, and that only for a moment.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::delivery::{Collector, Failure, Kind, Outcome};
use super::message::{self, KeyValue};
use super::queue::Queue;
use super::settings::Batches;
use super::span::Span;
use crate::backoff::full_jitter;
use crate::log::Repeated;
use crate::metrics::SpanMetrics;
use crate::shutdown::Shutdown;

/// What the end of the process may wait for the last spans.
const FLUSH: Duration = Duration::from_secs(3);

/// The first pause before a batch is sent again, and what pauses grow to.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// The longest that a collector is left in peace because it says so.
const LONGEST_PEACE: Duration = Duration::from_secs(300);

/// Of the semantic conventions that the attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// Brings spans to one collector.
pub(super) struct Exporter {
    collector: Collector,
    resource: Vec<(String, String)>,
    batches: Batches,
    queue: Queue,
    /// What was taken out of the queue and is neither sent nor given up.
    hand: Vec<Span>,
    metrics: SpanMetrics,
    failures: Repeated<Kind>,
    /// The collector wants to hear nothing before.
    peace_until: Option<Instant>,
}

impl Exporter {
    pub(super) fn new(
        collector: Collector,
        (resource, batches): (Vec<(String, String)>, Batches),
        queue: Queue,
        metrics: SpanMetrics,
    ) -> Self {
        let (hand, failures, peace_until) = (Vec::new(), Repeated::new(), None);
        Self { collector, resource, batches, queue, hand, metrics, failures, peace_until }
    }

    /// Works until nobody can record anything any more, or until the end of the process: then what is left is sent within
    /// a deadline.
    pub(super) async fn run(mut self, mut ending: Shutdown) {
        tokio::select! {
            () = self.work() => return,
            () = ending.fired() => {}
        }
        let _ = timeout(FLUSH, self.flush()).await;
        while !self.hand.is_empty() {
            self.give_up();
            self.queue.fill(&mut self.hand);
        }
    }

    async fn work(&mut self) {
        loop {
            tokio::select! {
                () = sleep(self.batches.delay) => {}
                () = self.queue.batch_is_full() => {}
            }
            loop {
                self.leave_in_peace().await;
                let may_grow = self.queue.fill(&mut self.hand);
                self.deliver().await;
                if !may_grow {
                    return;
                }
                if !self.queue.has_batch() {
                    break;
                }
            }
        }
    }

    async fn leave_in_peace(&mut self) {
        if let Some(until) = self.peace_until {
            sleep_until(until).await;
            self.peace_until = None;
        }
    }

    /// Brings what is in the hand to the collector, or gives it up.
    async fn deliver(&mut self) {
        if self.hand.is_empty() {
            return;
        }
        let batch = self.encoded();
        let give_up = Instant::now() + self.batches.patience;
        let mut tries = 0;
        loop {
            let (failure, after) = match self.collector.send(batch.clone()).await {
                Outcome::Taken { rejected } => return self.taken(rejected),
                Outcome::Refused(failure) => {
                    self.tell(&failure, "these spans are dropped");
                    return self.give_up();
                }
                Outcome::Later(failure, after) => (failure, after),
            };
            let pause = full_jitter(BACKOFF.0, tries, BACKOFF.1, fastrand::f64());
            let again = Instant::now() + pause.max(after.unwrap_or_default().min(LONGEST_PEACE));
            self.peace_until = after.map(|_| again);
            if again > give_up {
                self.tell(&failure, "these spans are dropped");
                return self.give_up();
            }
            self.tell(&failure, "trying again; meanwhile spans wait, as many as there is room for");
            sleep_until(again).await;
            self.peace_until = None;
            tries += 1;
        }
    }

    /// Sends all that is there, each batch once. Ends with the first that is not taken.
    async fn flush(&mut self) {
        if self.peace_until.is_some() {
            return;
        }
        loop {
            self.queue.fill(&mut self.hand);
            if self.hand.is_empty() {
                return;
            }
            match self.collector.send(self.encoded()).await {
                Outcome::Taken { rejected } => self.taken(rejected),
                Outcome::Refused(failure) | Outcome::Later(failure, _) => {
                    return self.tell(&failure, "the last spans are dropped");
                }
            }
        }
    }

    fn taken(&mut self, rejected: u64) {
        let count = self.hand.len() as u64;
        self.hand.clear();
        let rejected = rejected.min(count);
        self.metrics.rejected.inc_by(rejected);
        self.metrics.exported.inc_by(count - rejected);
        if let Some(over) = self.failures.succeeded() {
            let collector = self.collector.connector.origin();
            tracing::info!(failures = over.count, "traces: the collector at {collector} takes spans again");
        }
    }

    fn give_up(&mut self) {
        self.metrics.failed.inc_by(self.hand.len() as u64);
        self.hand.clear();
    }

    fn tell(&self, failure: &Failure, what: &str) {
        if let Some(unsaid) = self.failures.failed(failure.kind) {
            let collector = self.collector.connector.origin();
            let repeated = if unsaid > 0 { format!(" ({unsaid} times since)") } else { String::new() };
            tracing::warn!("traces: the collector at {collector} {}{repeated}; {what}", failure.text);
        }
    }

    /// The batch in the hand, which stays there.
    fn encoded(&self) -> Bytes {
        let resource = self.resource.iter().map(|(key, value)| KeyValue::text(key, value));
        let scope = message::Scope { name: "bearerd".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = message::ScopeSpans {
            scope: Some(scope),
            spans: self.hand.iter().map(Span::to_message).collect(),
            schema_url: SCHEMA.to_owned(),
        };
        let request = message::Request {
            resource_spans: vec![message::ResourceSpans {
                resource: Some(message::Resource { attributes: resource.collect() }),
                scope_spans: vec![scope_spans],
                schema_url: SCHEMA.to_owned(),
            }],
        };
        request.encode_to_vec().into()
    }
}
