//! What waits for the exporter: workers put spans in without a lock, and never wait.
//!
//! Owns the bound: what is more is dropped and counted. The exporter looks by itself from time to time, so that a span wakes nobody
//! unless a batch is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel};

use super::settings::{Batches, Sampler};
use super::span::Span;
use crate::metrics::SpanMetrics;

/// Where spans go; shared by all who record any.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) sampler: Sampler,
    sender: UnboundedSender<Vec<Span>>,
    state: Arc<State>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Queue {
    receiver: UnboundedReceiver<Vec<Span>>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    waiting: AtomicUsize,
    batches: Batches,
    is_full: Notify,
    metrics: SpanMetrics,
}

/// Both ends of a queue.
pub(super) fn new(sampler: Sampler, batches: Batches, metrics: SpanMetrics) -> (Arc<Sink>, Queue) {
    let (sender, receiver) = unbounded_channel();
    let state = Arc::new(State { waiting: AtomicUsize::new(0), batches, is_full: Notify::new(), metrics });
    (Arc::new(Sink { sampler, sender, state: Arc::clone(&state) }), Queue { receiver, state })
}

impl Sink {
    /// Takes what belongs together, all of it or nothing.
    pub(crate) fn put(&self, spans: Vec<Span>) {
        let State { waiting, batches, is_full, metrics } = &*self.state;
        let count = spans.len();
        let before = waiting.fetch_add(count, Ordering::Relaxed);
        if before + count > batches.queue || self.sender.send(spans).is_err() {
            waiting.fetch_sub(count, Ordering::Relaxed);
            metrics.queue_full.inc_by(count as u64);
        } else if before < batches.size && before + count >= batches.size {
            is_full.notify_one();
        }
    }
}

impl Queue {
    /// Adds what waits to `batch` until that is full. Whether more can ever come.
    pub(super) fn fill(&mut self, batch: &mut Vec<Span>) -> bool {
        while batch.len() < self.state.batches.size {
            match self.receiver.try_recv() {
                Ok(spans) => {
                    self.state.waiting.fetch_sub(spans.len(), Ordering::Relaxed);
                    batch.extend(spans);
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    /// Whether there is enough for another batch.
    pub(super) fn has_batch(&self) -> bool {
        self.state.waiting.load(Ordering::Relaxed) >= self.state.batches.size
    }

    /// Waits until there is.
    pub(super) async fn batch_is_full(&self) {
        self.state.is_full.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::ids::Context;
    use super::super::span::Kind;
    use super::*;
    use crate::metrics::Metrics;

    fn span() -> Span {
        Span::new(Context::root(), Kind::Client, "x", SystemTime::now())
    }

    fn spans(count: usize) -> Vec<Span> {
        (0..count).map(|_| span()).collect()
    }

    #[tokio::test]
    async fn what_is_more_than_the_bound_is_dropped_and_counted() {
        let metrics = Metrics::new().spans;
        let batches = Batches { size: 4, queue: 10, ..Batches::USUAL };
        let (sink, mut queue) = new(Sampler::USUAL, batches, metrics.clone());
        for _ in 0..6 {
            sink.put(spans(3));
        }
        assert_eq!(metrics.queue_full.get(), 9, "what belongs together goes together");
        queue.batch_is_full().await;
        let mut batch = Vec::new();
        assert!(queue.has_batch() && queue.fill(&mut batch));
        assert_eq!(batch.len(), 6, "what came together is not torn apart");
        batch.clear();
        assert!(!queue.has_batch() && queue.fill(&mut batch));
        assert_eq!(batch.len(), 3);
        sink.put(spans(10));
        assert_eq!(metrics.queue_full.get(), 9, "there is room again");
        drop(sink);
        batch.clear();
        assert!(queue.fill(&mut batch), "full before its end was seen");
        batch.clear();
        assert!(!queue.fill(&mut batch) && batch.is_empty());
    }
}
