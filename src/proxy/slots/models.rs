//! Models of the places: workers that take, keep, give back and wait.

use super::*;
use crate::sync::models::{block_on, check, for_a_while, linger, thread};

/// How many have a place, as those who have one count. Nothing here is a point.
#[derive(Clone, Default)]
struct InFlight(Arc<std::sync::atomic::AtomicUsize>);

impl InFlight {
    fn begin(&self, slot: Slot, limit: usize) -> Request {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) < limit, "more than there are places");
        Request { in_flight: self.clone(), _slot: slot }
    }
}

/// One request with its place.
struct Request {
    in_flight: InFlight,
    _slot: Slot,
}

impl Drop for Request {
    fn drop(&mut self) {
        // Before the place is free.
        self.in_flight.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What each worker does with `limit` places, of which it is told the limit.
fn at_once<const N: usize>(slots: Slots, parts: [fn(&Rc<Places>, &InFlight); N]) {
    let (slots, in_flight) = (Arc::new(slots), InFlight::default());
    let taken = slots.taken.load(Ordering::SeqCst);
    let worker = |part: fn(&Rc<Places>, &InFlight)| {
        let (slots, in_flight) = (Arc::clone(&slots), in_flight.clone());
        thread::spawn(move || part(&Places::new(slots), &in_flight))
    };
    parts.map(worker).into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!((slots.taken.load(Ordering::SeqCst), slots.waiting.load(Ordering::SeqCst)), (taken, 0));
}

fn slots(limit: usize) -> Slots {
    // Time stands still: whoever is not woken waits for ever.
    Slots::new(limit, Duration::from_secs(1))
}

async fn take(places: &Rc<Places>, in_flight: &InFlight, limit: usize) -> Request {
    let slot = match places.try_take() {
        Some(slot) => slot,
        None => places.wait().await.unwrap(),
    };
    in_flight.begin(slot, limit)
}

#[test]
fn whoever_waits_for_the_only_place_gets_it_and_nobody_has_it_twice() {
    let twice = |places: &Rc<Places>, in_flight: &InFlight| {
        block_on(async {
            for _ in 0..2 {
                let request = take(places, in_flight, 1).await;
                linger().await;
                drop(request);
            }
        });
    };
    check(move || at_once(slots(1), [twice; 3]));
}

#[test]
fn whoever_leaves_the_queue_takes_no_place_along() {
    fn serve(places: &Rc<Places>, in_flight: &InFlight) {
        block_on(async {
            let request = take(places, in_flight, 1).await;
            linger().await;
            drop(request);
        });
    }
    fn leave(places: &Rc<Places>, in_flight: &InFlight) {
        drop(block_on(for_a_while(take(places, in_flight, 1))));
    }
    check(|| at_once(slots(1), [serve, serve, leave]));
}

#[test]
fn what_a_worker_keeps_for_its_next_request_is_given_to_those_who_wait() {
    /// So many that two workers keep one each.
    const LIMIT: usize = SPARE_PART * 2;
    /// For each one request, and one more.
    const LEFT: usize = 3;
    let overlapping = |places: &Rc<Places>, in_flight: &InFlight| {
        block_on(async {
            let mut last = take(places, in_flight, LEFT).await;
            for _ in 0..2 {
                let next = take(places, in_flight, LEFT).await;
                linger().await;
                drop(std::mem::replace(&mut last, next));
            }
        });
    };
    check(move || {
        let slots = slots(LIMIT);
        assert!(slots.try_take(LIMIT - LEFT));
        at_once(slots, [overlapping; 2]);
    });
}
