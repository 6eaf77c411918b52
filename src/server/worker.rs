//! Worker threads: each a runtime of its own that serves the connections it is given.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc;

use super::acceptor::Accepted;
use super::connection::{self, Handler};
use super::{Settings, patience::Patience};
use crate::shutdown::Shutdown;

/// The workers as the acceptor sees them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers(Arc<[Desk]>);

/// Where one worker takes its connections from.
#[derive(Debug)]
struct Desk {
    incoming: mpsc::UnboundedSender<Accepted>,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Gives a connection to the worker that has the fewest.
    pub(super) fn hand_over(&self, accepted: Accepted) {
        if let Some(desk) = self.0.iter().min_by_key(|desk| desk.connections.load(Ordering::Relaxed)) {
            desk.connections.fetch_add(1, Ordering::Relaxed);
            // A worker that is gone drops the connection; only a shutdown does that.
            let _ = desk.incoming.send(accepted);
        }
    }
}

/// The workers' threads, to be waited for.
#[derive(Debug)]
pub struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Each thread holds a sender; when none is left, all have ended.
    alive: mpsc::Receiver<Infallible>,
}

impl Threads {
    /// Waits until every worker has ended. Cancel-safe.
    pub async fn ended(&mut self) {
        while self.alive.recv().await.is_some() {}
        for handle in self.handles.drain(..) {
            if handle.join().is_err() {
                tracing::error!("a worker ended with a panic");
            }
        }
    }
}

/// Starts `count` workers. `make_handler` runs once on each worker's thread.
///
/// After `draining` fires, connections end with their current request; after `ending`, at once. A worker ends when
/// every [`Workers`] is dropped and its last connection has ended.
///
/// # Errors
/// If the system refuses a thread or a runtime.
pub fn start<H: Handler>(
    count: usize,
    settings: Settings,
    make_handler: impl Fn() -> H + Clone + Send + 'static,
    draining: &Shutdown,
    ending: &Shutdown,
    gauge: &IntGauge,
) -> io::Result<(Workers, Threads)> {
    let mut desks = Vec::new();
    let mut handles = Vec::new();
    let (living, alive) = mpsc::channel(1);
    for number in 0..count.max(1) {
        let (incoming, accepted) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        desks.push(Desk { incoming, connections: Arc::clone(&connections) });
        let runtime =
            move || tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        let (make_handler, draining, ending) = (make_handler.clone(), draining.clone(), ending.clone());
        let (living, gauge) = (living.clone(), gauge.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let runtime: LocalRuntime = match runtime() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "a worker cannot start"),
            };
            // The handler may spawn tasks as it is made.
            runtime.block_on(async move {
                let handler = Rc::new(make_handler());
                Worker { settings, handler, connections, gauge, draining, ending }.run(accepted).await;
            });
            // Requests that outlived the deadline are dropped here; nothing waits for blocking tasks.
            runtime.shutdown_timeout(Duration::ZERO);
            drop(living);
        })?;
        handles.push(thread);
    }
    Ok((Workers(desks.into()), Threads { handles, alive }))
}

struct Worker<H> {
    settings: Settings,
    handler: Rc<H>,
    connections: Arc<AtomicUsize>,
    gauge: IntGauge,
    draining: Shutdown,
    ending: Shutdown,
}

impl<H: Handler> Worker<H> {
    async fn run(mut self, mut accepted: mpsc::UnboundedReceiver<Accepted>) {
        let mut open = tokio::task::JoinSet::new();
        let mut ending = self.ending.clone();
        loop {
            tokio::select! {
                next = accepted.recv() => match next {
                    Some(next) => self.serve(next, &mut open),
                    None => break,
                },
                Some(_) = open.join_next(), if !open.is_empty() => (),
            }
        }
        tokio::select! {
            () = async { while open.join_next().await.is_some() {} } => (),
            () = ending.fired() => (),
        }
    }

    fn serve(&mut self, accepted: Accepted, open: &mut tokio::task::JoinSet<()>) {
        self.gauge.inc();
        let counted = Counted(Arc::clone(&self.connections), self.gauge.clone());
        let Ok(stream) = tokio::net::TcpStream::from_std(accepted.socket) else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off delays of small packets");
        }
        let info = accepted.info;
        let stream = Patience::new(stream, self.settings);
        let served = connection::serve(stream, info, Rc::clone(&self.handler), self.draining.clone());
        open.spawn_local(async move {
            served.await;
            drop(counted);
        });
    }
}

/// Takes its connection off the worker's count, however it ends.
struct Counted(Arc<AtomicUsize>, IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.dec();
    }
}
