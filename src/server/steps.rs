//! The streams of one connection of HTTP/2, which take their steps in turns with everybody else on their worker.
//!
//! Each stream is a task, and a worker takes its tasks one after the other: who has a hundred streams would get a hundred times what
//! a caller with one request gets, and a few such callers would make everybody else wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

/// How many steps the streams of one connection take, before everybody else has had a turn.
const STEPS: usize = 8;

/// What the streams of one connection share.
#[derive(Debug)]
pub(super) struct Steps {
    /// So many may be taken in this turn.
    left: Cell<usize>,
    /// Who waits for the next one, the longest first.
    waiting: RefCell<VecDeque<Waker>>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { left: Cell::new(STEPS), waiting: RefCell::default() }
    }
}

impl Steps {
    /// A stream that takes its steps with the others of this connection.
    pub(super) fn pace<F: Future>(self: &Rc<Self>, stream: F) -> Paced<F> {
        Paced { steps: Rc::clone(self), stream }
    }

    /// Ready when one may be taken, which then is.
    fn poll_take(self: &Rc<Self>, cx: &Context<'_>) -> Poll<()> {
        if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            // A task of its own, since any stream may end while it waits.
            tokio::task::spawn_local(Rc::clone(self).turn());
        }
        waiting.push_back(cx.waker().clone());
        Poll::Pending
    }

    /// Lets those who wait go on, some in each turn.
    async fn turn(self: Rc<Self>) {
        loop {
            // Until the tasks that are ready have been run, and the sockets of all others have been looked at.
            tokio::task::yield_now().await;
            self.left.set(STEPS);
            let mut waiting = self.waiting.borrow_mut();
            let some = waiting.len().min(STEPS);
            waiting.drain(..some).for_each(Waker::wake);
            if waiting.is_empty() {
                return;
            }
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
        match this.steps.poll_take(cx) {
            Poll::Ready(()) => this.stream.poll(cx),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    /// A stream with so many steps to take, each of which is counted.
    async fn walk(steps: usize, taken: Rc<Cell<usize>>) {
        for _ in 0..steps {
            taken.set(taken.get() + 1);
            let mut stepped = false;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut stepped, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn the_streams_of_a_connection_take_a_few_steps_between_those_of_others() {
        let taken = Rc::new(Cell::new(0));
        let counted = Rc::clone(&taken);
        let turns = async move {
            let steps = Rc::new(Steps::default());
            let streams: Vec<_> = (0..100).map(|_| spawn_local(steps.pace(walk(20, Rc::clone(&counted))))).collect();
            let (mut turns, mut before) = (0, 0);
            while streams.iter().any(|stream| !stream.is_finished()) {
                yield_now().await;
                let now = counted.get();
                assert!(now - before <= STEPS, "{} in one turn", now - before);
                (turns, before) = (turns + 1, now);
            }
            turns
        };
        let turns = LocalSet::new().run_until(turns).await;
        assert_eq!(taken.get(), 100 * 20, "nobody is forgotten");
        assert!(turns >= taken.get() / STEPS, "{turns}");
    }

    #[tokio::test]
    async fn streams_that_end_while_they_wait_stop_no_other() {
        let taken = Rc::new(Cell::new(0));
        let all = async {
            let steps = Rc::new(Steps::default());
            let start = || spawn_local(steps.pace(walk(50, Rc::clone(&taken))));
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
        assert!(taken.get() >= 51 * 50, "{}", taken.get());
    }

    #[tokio::test]
    async fn a_lone_stream_takes_step_after_step() {
        let taken = Rc::new(Cell::new(0));
        let steps = Rc::new(Steps::default());
        LocalSet::new().run_until(steps.pace(walk(1_000, Rc::clone(&taken)))).await;
        assert_eq!(taken.get(), 1_000);
    }
}
