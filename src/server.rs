//! The side towards the callers: listeners, one acceptor, workers, connections.
//!
//! Owns sockets and the threads that serve them. Knows nothing of proxying: what a request means is the business of a
//! [`Handler`], of which each worker makes its own. One acceptor hands every accepted socket to the worker with the
//! fewest connections; a connection then stays on its worker's thread for good. What callers send over HTTP/1 is checked byte by byte
//! (`framing`) and answered (`http1`) by ourselves; HTTP/2 is hyper's.

mod acceptor;
mod caller_body;
mod connection;
mod ebb;
mod framing;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod handshake;
mod http1;
mod http2;
mod inherited;
mod listener;
mod offence;
mod owner;
mod patient;
mod peer;
mod policy;
mod preface;
mod pulse;
mod steps;
mod stream;
mod stuck;
mod switched;
mod turns;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
#[path = "server/windows.rs"]
mod unix;
mod worker;

pub use acceptor::accept;
pub use caller_body::{BodyError, CallerBody};
pub use connection::{Answer, ConnectionInfo, Handler, Takeover};
pub(crate) use framing::{MOST_FIELDS, check_target};
pub use inherited::{Announced, Inherited, Unclaimed};
pub use listener::{Address, Bound, LONGEST_PATH, Listener, Socket, bind};
pub use owner::Owner;
pub use peer::Peer;
pub use policy::{Generation, Policy};
pub use pulse::{Ended, Pulse};
pub use worker::{Threads, Workers, start};

use std::time::Duration;

use crate::reason::Reason;

/// How callers' connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From the first byte of a request's head to its end; `None` waits for ever.
    pub request_head: Option<Duration>,
    /// Between two requests; `None` waits for ever.
    pub keep_alive: Option<Duration>,
    /// How long an answer may wait for its caller to take any of it; `None` waits for ever.
    pub response_unread: Option<Duration>,
    /// The longest head of a request, in bytes; also the longest trailers.
    pub head: usize,
    /// The most connections at a time; further ones are turned away with an answer.
    pub connections: usize,
    /// Whether it is looked up whose socket is at the other end of a TCP connection ([`Owner`]).
    pub owners: bool,
}

/// A request, or a connection, that is refused before anybody has handled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// What is wrong, in one line.
    pub detail: &'static str,
}

impl Refusal {
    pub(crate) const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail }
    }
}
