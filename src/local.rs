//! Spawning where the spawner runs: what hyper spawns for HTTP/2 holds `Rc`s of its worker.

use hyper::rt::Executor;

/// An executor on the current thread's own runtime.
#[derive(Clone, Copy, Debug)]
pub struct Here;

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
