//! Models of the replay memory: real bodies of several workers, which keep what they can and give it back.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::mpsc;

use super::super::intake::{Handling, Intake, Lost};
use super::*;
use crate::server::fuzzing::conversation;
use crate::server::{Answer, CallerBody, ConnectionInfo, Handler, Refusal};
use crate::sync::models::{block_on, check, draw, linger, thread};

fn budget(limit: usize) -> Arc<Budget> {
    Arc::new(Budget::new(limit, IntGauge::new("g", "g").unwrap()))
}

fn is_all_given_back(budget: &Budget) {
    assert_eq!((budget.used.load(Ordering::Relaxed), budget.gauge.get()), (0, 0));
}

/// What is taken at the same time, as those who have it count it. Nothing here is a point.
#[derive(Default)]
struct Held(std::sync::atomic::AtomicUsize);

impl Held {
    fn add(&self, bytes: usize, limit: usize) {
        assert!(self.0.fetch_add(bytes, Ordering::SeqCst) + bytes <= limit);
    }

    fn remove(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::SeqCst);
    }
}

#[test]
fn workers_never_have_more_than_the_limit_together_and_give_all_of_it_back() {
    check(|| {
        let (budget, held) = (budget(10), Arc::new(Held::default()));
        let worker = |_| {
            let (budget, held) = (Arc::clone(&budget), Arc::clone(&held));
            thread::spawn(move || {
                let mut taken = 0;
                for _ in 0..3 {
                    let bytes = draw(6) as usize;
                    if budget.reserve(bytes) {
                        held.add(bytes, 10);
                        taken += bytes;
                    }
                }
                held.remove(taken);
                budget.release(taken);
            })
        };
        let workers: Vec<_> = (0..3).map(worker).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        is_all_given_back(&budget);
    });
}

/// Sends a body that was rejected once more, if all of it could be kept.
struct Replays {
    budget: Arc<Budget>,
    is_asked: Cell<bool>,
}

const CONTENT: &[u8] = b"forty bytes in four pieces of ten bytes.";

impl Handler for Replays {
    type Body = Empty<Bytes>;

    async fn handle(&self, _: Rc<ConnectionInfo>, request: Request<CallerBody>) -> Answer<Empty<Bytes>> {
        self.is_asked.set(true);
        let handling = Handling {
            keep: Some(64),
            budget: Arc::clone(&self.budget),
            idle: None,
            ours: Arc::default(),
            resumes: false,
            discard: mpsc::unbounded_channel().0,
            notes: None,
        };
        let intake = Intake::new(request.into_body(), handling, None);
        let mut first = intake.body().unwrap();
        for _ in 0..draw(6) {
            if first.frame().await.is_none() {
                break;
            }
        }
        linger().await;
        intake.park();
        match intake.complete().await {
            Ok(()) => {
                let again = intake.body().unwrap().collect().await.unwrap().to_bytes();
                assert_eq!(again, CONTENT);
            }
            Err(lost) => assert_eq!(lost, Lost::OverBudget),
        }
        Response::new(Empty::new()).into()
    }

    fn refuse(&self, _: &ConnectionInfo, _: Refusal, _: bool) -> Bytes {
        Bytes::new()
    }
}

#[test]
fn bodies_of_several_workers_are_sent_again_whole_or_not_at_all() {
    check(|| {
        // Enough for one of them and a part of another.
        let budget = budget(65);
        let worker = |_| {
            let budget = Arc::clone(&budget);
            thread::spawn(move || {
                let head: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n";
                let pieces: Vec<_> = std::iter::once(head).chain(CONTENT.chunks(10)).collect();
                let handler = Rc::new(Replays { budget, is_asked: Cell::new(false) });
                block_on(conversation(&pieces, Rc::clone(&handler)));
                assert!(handler.is_asked.get());
            })
        };
        let workers: Vec<_> = (0..3).map(worker).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        is_all_given_back(&budget);
    });
}
