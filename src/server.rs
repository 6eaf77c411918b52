//! The side towards the callers: listeners, one acceptor, workers, connections.
//!
//! Owns sockets and the threads that serve them. Knows nothing of proxying: what a request means is the business of a
//! [`Handler`], of which each worker makes its own. One acceptor hands every accepted socket to the worker with the
//! fewest connections; a connection then stays on its worker's thread for good.

mod acceptor;
mod connection;
mod listener;
mod patience;
mod worker;

pub use acceptor::accept;
pub use connection::{CallerBody, ConnectionInfo, Handler};
pub use listener::{Address, Listener, bind};
pub use patience::Watched;
pub use worker::{Threads, Workers, start};

use std::time::Duration;

/// How callers' connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From the first byte of a request's head to its end; `None` waits for ever.
    pub request_head: Option<Duration>,
    /// Between two requests; `None` waits for ever.
    pub keep_alive: Option<Duration>,
}
