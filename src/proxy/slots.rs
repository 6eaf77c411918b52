//! How many requests are in flight at a time, over all workers, and the queue of those that wait.
//!
//! One atomic while there is room, and that not for every request: a worker keeps a few places for those that follow. Beyond it
//! requests wait, the one that came first is woken first, each until its own deadline.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::sync::{AtomicUsize, Notify};

/// The most places that a worker keeps without using them…
const SPARE: usize = 16;
/// …and all workers together this part of all: what is kept is nobody else's, so that so many fewer requests than the limit may
/// find themselves in the queue.
const SPARE_PART: usize = 64;

/// The places of requests in flight, shared by all workers.
#[derive(Debug)]
pub struct Slots {
    limit: usize,
    queue: Duration,
    taken: AtomicUsize,
    waiting: AtomicUsize,
    workers: AtomicUsize,
    freed: Notify,
}

/// The places that one worker has at hand.
#[derive(Debug)]
pub(super) struct Places {
    slots: Arc<Slots>,
    /// Taken, and not used.
    spare: Cell<usize>,
    /// Used.
    used: Cell<usize>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(super) struct Slot(Rc<Places>);

impl Slots {
    /// `limit` places, for each of which a request may wait as long as `queue`.
    pub fn new(limit: usize, queue: Duration) -> Self {
        let [taken, waiting, workers] = [const { AtomicUsize::new(0) }; 3];
        Self { limit, queue, taken, waiting, workers, freed: Notify::new() }
    }

    /// Waits for a place, in the queue; whether one became free in time.
    async fn wait(&self) -> bool {
        let _waiting = Waiting::new(&self.waiting);
        let deadline = Instant::now() + self.queue;
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // In the queue before the last look, so that no place can become free unseen in between.
            freed.as_mut().enable();
            if self.try_take(1) {
                return true;
            }
            if timeout_at(deadline, freed).await.is_err() {
                return false;
            }
        }
    }

    fn has_queue(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn try_take(&self, count: usize) -> bool {
        let room = |taken: usize| (taken + count <= self.limit).then_some(taken + count);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_ok()
    }

    fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::SeqCst);
        for _ in 0..count.min(self.waiting.load(Ordering::SeqCst)) {
            self.freed.notify_one();
        }
    }
}

impl Places {
    /// One worker's.
    pub(super) fn new(slots: Arc<Slots>) -> Rc<Self> {
        slots.workers.fetch_add(1, Ordering::Relaxed);
        Rc::new(Self { slots, spare: Cell::new(0), used: Cell::new(0) })
    }

    fn most_spare(&self) -> usize {
        SPARE.min(self.slots.limit / (SPARE_PART * self.slots.workers.load(Ordering::Relaxed).max(1)))
    }

    fn slot(self: &Rc<Self>) -> Slot {
        self.used.set(self.used.get() + 1);
        Slot(Rc::clone(self))
    }

    /// A place, if there is one and nobody waits for it: nobody overtakes those who wait by simply coming later.
    pub(super) fn try_take(self: &Rc<Self>) -> Option<Slot> {
        let is_there = !self.slots.has_queue() && (self.take_spare() || self.slots.try_take(1));
        is_there.then(|| self.slot())
    }

    /// Waits for a place; `None` if none became free in time. Who waits keeps nothing: it would wait for what it has itself.
    pub(super) async fn wait(self: &Rc<Self>) -> Option<Slot> {
        self.slots.give_back(self.spare.take());
        self.slots.wait().await.then(|| self.slot())
    }

    fn take_spare(&self) -> bool {
        // Who serves nothing else takes one alone.
        let more = self.most_spare();
        if self.spare.get() == 0 && self.used.get() > 0 && more > 0 && self.slots.try_take(more) {
            self.spare.set(more);
        }
        let left = self.spare.get().checked_sub(1);
        left.inspect(|left| self.spare.set(*left)).is_some()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let places = &*self.0;
        let Places { slots, spare, used } = places;
        used.set(used.get().saturating_sub(1));
        // Who serves nothing keeps nothing.
        if slots.has_queue() || used.get() == 0 {
            slots.give_back(1 + spare.take());
        } else if spare.get() < places.most_spare() {
            spare.set(spare.get() + 1);
        } else {
            slots.give_back(1);
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.slots.give_back(self.spare.get());
        self.slots.workers.fetch_sub(1, Ordering::Relaxed);
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
mod models;
#[cfg(test)]
mod tests {
    use super::*;

    async fn take(places: &Rc<Places>) -> Option<Slot> {
        match places.try_take() {
            Some(slot) => Some(slot),
            None => places.wait().await,
        }
    }

    fn places(limit: usize, queue: u64) -> Rc<Places> {
        Places::new(Arc::new(Slots::new(limit, Duration::from_secs(queue))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_as_long_as_the_queue_allows() {
        let places = places(1, 1);
        let first = take(&places).await.unwrap();
        let began = Instant::now();
        assert!(take(&places).await.is_none());
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        let ends = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(take(&places), ends);
        assert!(waited.is_some());
        drop(waited);
        assert!(take(&places).await.is_some(), "the place is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_waiting_does_not_take_the_place_of_the_next() {
        let places = places(1, 10);
        let first = take(&places).await.unwrap();
        let mut gives_up = Box::pin(take(&places));
        let mut stays = Box::pin(take(&places));
        for waiting in [&mut gives_up, &mut stays] {
            assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
        }
        drop(first);
        drop(gives_up);
        assert!(stays.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_worker_keeps_it_gives_to_those_who_wait() {
        let limit = SPARE_PART * 2 * 2;
        let slots = Arc::new(Slots::new(limit, Duration::from_secs(1)));
        let taken = || slots.taken.load(Ordering::SeqCst);
        let (one, other) = (Places::new(Arc::clone(&slots)), Places::new(Arc::clone(&slots)));
        let first = take(&one).await.unwrap();
        assert_eq!(taken(), 1, "who serves one request keeps nothing for others");
        let second = take(&one).await.unwrap();
        assert_eq!((taken(), one.spare.get()), (3, 1), "one is kept for the next");
        let mut all = Vec::new();
        while let Some(slot) = other.try_take() {
            all.push(slot);
        }
        assert_eq!((all.len(), taken()), (limit - 3, limit));
        let ends = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(first);
        };
        let ((third, fourth), ()) = tokio::join!(async { tokio::join!(take(&other), take(&other)) }, ends);
        assert!(third.is_some() && fourth.is_some());
        drop(second);
        assert_eq!((one.spare.get(), one.used.get()), (0, 0), "who serves nothing keeps nothing");
        drop((all, third, fourth, one, other));
        assert_eq!(taken(), 0);
    }

    #[test]
    fn threads_never_take_more_than_there_are_and_lose_none() {
        for limit in [3, 3 * 4 * SPARE_PART] {
            let slots = Arc::new(Slots::new(limit, Duration::from_secs(60)));
            let used = Arc::new(AtomicUsize::new(0));
            let threads = (0..4).map(|_| {
                let (slots, used) = (Arc::clone(&slots), Arc::clone(&used));
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                    let places = Places::new(slots);
                    runtime.block_on(async {
                        for _ in 0..2_000 {
                            let slot = take(&places).await.unwrap();
                            assert!(used.fetch_add(1, Ordering::SeqCst) < limit);
                            tokio::task::yield_now().await;
                            used.fetch_sub(1, Ordering::SeqCst);
                            drop(slot);
                        }
                    });
                })
            });
            for thread in threads.collect::<Vec<_>>() {
                thread.join().unwrap();
            }
            assert_eq!((slots.taken.load(Ordering::SeqCst), slots.waiting.load(Ordering::SeqCst)), (0, 0));
        }
    }
}
