//! How many requests are in flight at a time, over all workers, and the queue of those that wait.
//!
//! One atomic while there is room. Beyond it requests wait, the one that came first is woken first, each until its own deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The places of requests in flight, shared by all workers.
#[derive(Debug)]
pub struct Slots {
    limit: usize,
    queue: Duration,
    taken: AtomicUsize,
    waiting: AtomicUsize,
    freed: Notify,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

impl Slots {
    /// `limit` places, for each of which a request may wait as long as `queue`.
    pub fn new(limit: usize, queue: Duration) -> Self {
        Self { limit, queue, taken: AtomicUsize::new(0), waiting: AtomicUsize::new(0), freed: Notify::new() }
    }

    /// A place, or `None` if none became free in time. Nobody overtakes those who wait by simply coming later.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Slot> {
        if self.waiting.load(Ordering::SeqCst) == 0
            && let Some(slot) = self.try_take()
        {
            return Some(slot);
        }
        let _waiting = Waiting::new(&self.waiting);
        let deadline = Instant::now() + self.queue;
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // In the queue before the last look, so that no place can become free unseen in between.
            freed.as_mut().enable();
            if let Some(slot) = self.try_take() {
                return Some(slot);
            }
            timeout_at(deadline, freed).await.ok()?;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let room = |taken: usize| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::Relaxed, room).ok()?;
        Some(Slot(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.freed.notify_one();
        }
    }
}

/// Counts a waiting request, however its waiting ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_as_long_as_the_queue_allows() {
        let slots = Arc::new(Slots::new(1, Duration::from_secs(1)));
        let first = slots.take().await.unwrap();
        let began = Instant::now();
        assert!(slots.take().await.is_none());
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.take().await.is_some() }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(slots.take().await.is_some(), "the place is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_waiting_does_not_take_the_place_of_the_next() {
        let slots = Arc::new(Slots::new(1, Duration::from_secs(10)));
        let first = slots.take().await.unwrap();
        let queue = |slots: &Arc<Slots>| {
            let slots = Arc::clone(slots);
            tokio::spawn(async move { slots.take().await.is_some() })
        };
        let gives_up = queue(&slots);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let stays = queue(&slots);
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(first);
        gives_up.abort();
        assert!(stays.await.unwrap());
    }

    #[test]
    fn threads_never_take_more_than_there_are_and_lose_none() {
        let slots = Arc::new(Slots::new(3, Duration::from_secs(60)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let slots = Arc::clone(&slots);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    runtime.block_on(async {
                        for _ in 0..2_000 {
                            let slot = slots.take().await.unwrap();
                            assert!(slots.taken.load(Ordering::SeqCst) <= 3);
                            tokio::task::yield_now().await;
                            drop(slot);
                        }
                    });
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((slots.taken.load(Ordering::SeqCst), slots.waiting.load(Ordering::SeqCst)), (0, 0));
    }
}
