//! The streams of one connection of HTTP/2, and the long heads of all connections: each of these groups takes its steps in turns with
//! everybody else on its worker.
//!
//! Each of them is a task, and a worker takes its tasks one after the other: who has a hundred streams would get a hundred times what
//! a caller with one request gets, and a few such callers would make everybody else wait. So would thousands of heads that are longer than
//! those of usual requests, sent at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

/// How long those of a group take their steps, before everybody else has had a turn: some ten steps, or one that opens a
/// connection to an upstream.
const TURN: Duration = Duration::from_micros(100);

/// What those of a group share.
#[derive(Debug)]
pub(super) struct Steps {
    /// What is left of this turn.
    left: Cell<Duration>,
    /// Who waits for the next one, the longest first.
    waiting: RefCell<VecDeque<Waker>>,
    /// Whether somebody begins the turns.
    is_turning: Cell<bool>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { left: Cell::new(TURN), waiting: RefCell::default(), is_turning: Cell::new(false) }
    }
}

impl Steps {
    /// A stream that takes its steps with the others of this connection.
    pub(super) fn pace<F: Future>(self: &Rc<Self>, stream: F) -> Paced<F> {
        Paced { steps: Rc::clone(self), stream }
    }

    /// Ready when a step may be taken, which lasts until what is returned is dropped. May be asked by a task of a
    /// [`tokio::task::LocalSet`] only.
    pub(super) fn poll_step(self: &Rc<Self>, cx: &Context<'_>) -> Poll<Step> {
        if !self.left.get().is_zero() {
            return Poll::Ready(Step { steps: Rc::clone(self), began: Instant::now() });
        }
        self.waiting.borrow_mut().push_back(cx.waker().clone());
        if !self.is_turning.replace(true) {
            // A task of its own, since any stream may end while it waits.
            tokio::task::spawn_local(Rc::clone(self).turns());
        }
        Poll::Pending
    }

    /// Begins one turn after the other, for as long as anybody waits.
    async fn turns(self: Rc<Self>) {
        loop {
            // Until the tasks that are ready have been run, and the sockets of all others have been looked at.
            tokio::task::yield_now().await;
            self.left.set(TURN);
            self.wake_next();
            if self.waiting.borrow().is_empty() {
                self.is_turning.set(false);
                // Thousands may have waited.
                self.waiting.take();
                return;
            }
        }
    }

    fn wake_next(&self) {
        let next = self.waiting.borrow_mut().pop_front();
        if let Some(next) = next {
            next.wake();
        }
    }
}

/// A step that is being taken.
#[derive(Debug)]
pub(super) struct Step {
    steps: Rc<Steps>,
    began: Instant,
}

impl Drop for Step {
    /// The next one follows in the same turn, if anything is left of it; if it comes to nothing because its stream has ended, there is
    /// another turn.
    fn drop(&mut self) {
        let left = &self.steps.left;
        left.set(left.get().saturating_sub(self.began.elapsed()));
        if !left.get().is_zero() {
            self.steps.wake_next();
        }
    }
}

pin_project! {
    /// See [`Steps::pace`].
    pub(super) struct Paced<F> {
        steps: Rc<Steps>,
        #[pin]
        stream: F,
    }
}

impl<F: Future> Future for Paced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _step = ready!(this.steps.poll_step(cx));
        this.stream.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    /// A stream with so many steps to take, each of which is counted and takes so long.
    async fn walk(steps: usize, time: Duration, taken: Rc<Cell<usize>>) {
        for _ in 0..steps {
            let began = Instant::now();
            while began.elapsed() < time {}
            taken.set(taken.get() + 1);
            let mut stepped = false;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut stepped, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// How many steps so many streams take at most in one turn, and how many turns they need, with twenty steps each of so much time.
    async fn turns(streams: usize, time: Duration) -> (usize, usize) {
        let taken = Rc::new(Cell::new(0));
        let counted = Rc::clone(&taken);
        let turns = async move {
            let steps = Rc::new(Steps::default());
            let start = |_| spawn_local(steps.pace(walk(20, time, Rc::clone(&counted))));
            let streams: Vec<_> = (0..streams).map(start).collect();
            let (mut turns, mut most) = (0, 0);
            while streams.iter().any(|stream| !stream.is_finished()) {
                let before = counted.get();
                yield_now().await;
                (turns, most) = (turns + 1, most.max(counted.get() - before));
            }
            (most, turns)
        };
        let told = LocalSet::new().run_until(turns).await;
        assert_eq!(taken.get(), streams * 20, "nobody is forgotten");
        told
    }

    #[tokio::test]
    async fn the_streams_of_a_connection_take_a_few_steps_between_those_of_others() {
        for (streams, steps) in [(2, 1), (3, 8), (4, 8), (5, 4), (9, 4), (100, 1), (100, 4)] {
            let (most, count) = turns(streams, TURN / steps).await;
            let wanted = steps as usize + 1;
            assert!(most <= wanted && count >= 20 * streams / wanted, "{streams}: {most} in one of {count} turns");
        }
    }

    #[tokio::test]
    async fn streams_that_end_while_they_wait_stop_no_other() {
        let taken = Rc::new(Cell::new(0));
        let all = async {
            let steps = Rc::new(Steps::default());
            let start = || spawn_local(steps.pace(walk(10, TURN / 2, Rc::clone(&taken))));
            let streams: Vec<_> = (0..100).map(|_| start()).collect();
            yield_now().await;
            streams.iter().step_by(2).for_each(|stream| stream.abort());
            for stream in streams.into_iter().skip(1).step_by(2) {
                stream.await.unwrap();
            }
            // And who comes later finds that all goes on.
            start().await.unwrap();
        };
        LocalSet::new().run_until(all).await;
        assert!(taken.get() >= 51 * 10, "{}", taken.get());
    }

    #[tokio::test]
    async fn a_lone_stream_takes_step_after_step() {
        let taken = Rc::new(Cell::new(0));
        let steps = Rc::new(Steps::default());
        LocalSet::new().run_until(steps.pace(walk(1_000, TURN / 10, Rc::clone(&taken)))).await;
        assert_eq!(taken.get(), 1_000);
    }
}
