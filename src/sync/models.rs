//! Models: the code that threads share, run through thousands of schedules.
//!
//! A model is a test that has threads of [`thread`] use the real code, and says what must hold. [`check`] runs it again and again, each
//! time in another schedule: at every operation on what is shared (`watched`) a scheduler chooses which thread goes on, half of the
//! time at random, half of the time with few changes at odd places (probabilistic concurrency testing). A thread that waits for what
//! will not come is found as a deadlock. Time is Tokio's own and stands still; [`pass`] has it go on, and its timers fire.
//!
//! The number of schedules of each model is `MODEL_SCHEDULES`. A failing schedule is printed.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::rand::Rng as _;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};
use tokio::runtime::Runtime;

pub(crate) use shuttle::future::block_on;
pub(crate) use shuttle::thread;

/// Of each model, in a usual run.
const SCHEDULES: usize = 400;
/// The most changes in a schedule that has few.
const CHANGES: usize = 4;
/// Longer than any schedule that ends.
const STEPS: usize = 200_000;
/// Of each thread: a refresher needs more than the usual.
const STACK: usize = 512 * 1024;

thread_local! {
    static TIME: RefCell<Option<Rc<Runtime>>> = const { RefCell::new(None) };
}

/// Runs `model` through all schedules.
pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
    let wanted = std::env::var_os("MODEL_SCHEDULES");
    let schedules = wanted.map_or(SCHEDULES, |wanted| wanted.to_str().unwrap().parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let runtime = Rc::new(runtime);
    let _time = Time::begin(&runtime);
    let _entered = runtime.enter();
    let model = Arc::new(model);
    let half = schedules / 2;
    for (scheduler, share) in [(Scheduler::Random, schedules - half), (Scheduler::FewChanges, half)] {
        let model = Arc::clone(&model);
        assert_eq!(scheduler.run(share, move || model()), share);
    }
}

/// Whether a model runs on this thread; none does on one that is ending.
pub(super) fn are_running() -> bool {
    TIME.try_with(|time| time.borrow().is_some()).unwrap_or(false)
}

/// The time of the models on this thread, for as long as this lives.
struct Time;

impl Time {
    fn begin(runtime: &Rc<Runtime>) -> Self {
        TIME.set(Some(Rc::clone(runtime)));
        Self
    }
}

impl Drop for Time {
    fn drop(&mut self) {
        let runtime = TIME.take();
        if std::thread::panicking() {
            // Its end would wake those who waited in the schedule that failed, and they are gone.
            std::mem::forget(runtime);
        }
    }
}

enum Scheduler {
    Random,
    FewChanges,
}

impl Scheduler {
    fn run(self, schedules: usize, model: impl Fn() + Send + Sync + 'static) -> usize {
        let mut config = Config::new();
        config.stack_size = STACK;
        config.max_steps = MaxSteps::FailAfter(STEPS);
        config.ungraceful_shutdown_config.immediately_return_on_panic = true;
        match self {
            Self::Random => Runner::new(RandomScheduler::new(schedules), config).run(model),
            Self::FewChanges => Runner::new(PctScheduler::new(CHANGES, schedules), config).run(model),
        }
    }
}

/// So much time passes. Whoever waits for it is woken.
pub(crate) fn pass(time: Duration) {
    let runtime = TIME.with_borrow(|runtime| runtime.clone()).expect("a model");
    runtime.block_on(tokio::time::advance(time));
}

/// A number below `end`, drawn by the scheduler.
pub(crate) fn draw(end: u32) -> u32 {
    shuttle::rand::thread_rng().gen_range(0..end)
}

/// Waits as long as the scheduler likes.
pub(crate) async fn linger() {
    for _ in 0..draw(3) {
        shuttle::future::yield_now().await;
    }
}

/// What the future returns, unless that takes longer than somebody has patience, who then drops it.
pub(crate) async fn for_a_while<F: Future>(future: F) -> Option<F::Output> {
    let mut looks = draw(4);
    let mut future = pin!(future);
    poll_fn(|context| match (future.as_mut().poll(context), looks) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, 0) => Poll::Ready(None),
        (Poll::Pending, _) => {
            looks -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}
