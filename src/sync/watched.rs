//! The shared types as models see them: before every operation any other thread may go on.
//!
//! Owns the wrappings, and no behaviour: what happens then is what std, arc-swap and Tokio do, in one step. What these do within an
//! operation is theirs to prove, and so is what a weaker order of memory than the sequential one would allow.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, LockResult, MutexGuard};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

thread_local! {
    /// Means nothing: all that reading it does is to ask the scheduler.
    static POINT: shuttle::sync::atomic::AtomicBool = const { shuttle::sync::atomic::AtomicBool::new(false) };
}

/// Whether this is a thread of a model, within a schedule. Other tests do not even ask shuttle, which would log that.
fn is_in_model() -> bool {
    super::models::are_running() && shuttle::current::try_get_current_task().is_some()
}

/// Where another thread may go on. Nothing outside models.
fn point() {
    if is_in_model() {
        POINT.with(|point| point.load(Ordering::SeqCst));
    }
}

/// The same with a point before each poll.
async fn stepping<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        point();
        future.as_mut().poll(context)
    })
    .await
}

macro_rules! atomic {
    ($name:ident($value:ty) { $($operation:ident($($argument:ident: $type:ty),*) -> $result:ty;)* }) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name(std::sync::atomic::$name);

        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            $(pub(crate) fn $operation(&self, $($argument: $type),*) -> $result {
                point();
                self.0.$operation($($argument),*)
            })*
        }
    };
}

atomic!(AtomicBool(bool) {
    load(order: Ordering) -> bool;
    store(value: bool, order: Ordering) -> ();
    swap(value: bool, order: Ordering) -> bool;
});

atomic!(AtomicU64(u64) {
    load(order: Ordering) -> u64;
    store(value: u64, order: Ordering) -> ();
    fetch_add(value: u64, order: Ordering) -> u64;
    fetch_max(value: u64, order: Ordering) -> u64;
    compare_exchange(old: u64, new: u64, done: Ordering, failed: Ordering) -> Result<u64, u64>;
});

atomic!(AtomicUsize(usize) {
    load(order: Ordering) -> usize;
    fetch_add(value: usize, order: Ordering) -> usize;
    fetch_sub(value: usize, order: Ordering) -> usize;
    fetch_update(set: Ordering, got: Ordering, update: impl FnMut(usize) -> Option<usize>) -> Result<usize, usize>;
});

/// A value that is replaced as a whole.
#[derive(Debug)]
pub(crate) struct ArcSwap<T>(arc_swap::ArcSwap<T>);

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self(arc_swap::ArcSwap::from_pointee(value))
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<T>> {
        point();
        self.0.load()
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        point();
        self.0.store(value);
    }
}

/// Held for one step only: a thread that waited for it would have the model wait for ever.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        point();
        self.0.lock()
    }
}

/// A bell for one.
#[derive(Debug)]
pub(crate) struct Notify(tokio::sync::Notify);

impl Notify {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::Notify::new())
    }

    pub(crate) fn notify_one(&self) {
        point();
        self.0.notify_one();
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        point();
        Notified { inner: self.0.notified() }
    }
}

pin_project! {
    /// Who waits for it.
    pub(crate) struct Notified<'a> {
        #[pin]
        inner: tokio::sync::futures::Notified<'a>,
    }

    impl<'a> PinnedDrop for Notified<'a> {
        // A ring that came for it goes to the next.
        fn drop(_this: Pin<&mut Self>) {
            point();
        }
    }
}

impl Notified<'_> {
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        point();
        self.project().inner.enable()
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        point();
        self.project().inner.poll(context)
    }
}

/// Outside models as Tokio's. In a model the work is done at once: it is about files, which no other thread has.
pub(crate) async fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    if is_in_model() {
        point();
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}

/// A value that others hear of when it changes.
pub(crate) mod watch {
    use tokio::sync::watch::Ref;
    use tokio::sync::watch::error::RecvError;

    use super::{point, stepping};

    #[derive(Debug)]
    pub(crate) struct Sender<T>(tokio::sync::watch::Sender<T>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(tokio::sync::watch::Receiver<T>);

    pub(crate) fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = tokio::sync::watch::channel(value);
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Sender<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(tokio::sync::watch::Sender::new(value))
        }

        pub(crate) fn send_replace(&self, value: T) -> T {
            point();
            self.0.send_replace(value)
        }

        pub(crate) fn subscribe(&self) -> Receiver<T> {
            point();
            Receiver(self.0.subscribe())
        }
    }

    impl<T> Drop for Sender<T> {
        // Receivers hear of that, too.
        fn drop(&mut self) {
            point();
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn has_changed(&self) -> Result<bool, RecvError> {
            point();
            self.0.has_changed()
        }

        pub(crate) fn borrow_and_update(&mut self) -> Ref<'_, T> {
            point();
            self.0.borrow_and_update()
        }

        pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
            stepping(self.0.changed()).await
        }

        pub(crate) async fn wait_for(&mut self, is_it: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
            stepping(self.0.wait_for(is_it)).await
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            point();
            Self(self.0.clone())
        }
    }
}
