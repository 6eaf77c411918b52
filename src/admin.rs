//! Seeing how a running bearerd does: health, metrics, status, and the one thing to do about it, `retry`.
//!
//! Owns the admin listener and the probe listener. Answers from memory alone: it never dials anybody and waits for nothing but a reload
//! that it was asked for, so a probe costs no token request and cannot hang. Shows nothing secret: every answer is built from the fields of `health` and
//! `status`, never from a configuration, the environment or a token. The admin listener checks `Host` and cross-site marks
//! like the proxy does; the probe listener answers anybody, and so has neither status nor retry.

mod answer;
mod health;
mod log_level;
mod observed;
mod page;
mod quit;
mod reload;
mod standing;
mod status;
pub mod words;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::clock::{Clock, Moment};
use crate::guard::HostRules;
use crate::log::Threshold;
use crate::metrics::Metrics;
use crate::platform::net::UnixListener;
use crate::server::Socket;
use crate::shutdown::Shutdown;
use crate::token;
use crate::upstream::Origin;
pub use observed::{Configuration, LastReload, Observed};
pub use quit::Quit;
pub use reload::{AskedReload, Reload, Reloaded, reloads};
pub use standing::Standing;

/// Connections that are open at once; one more ends the oldest, so that idle ones never keep a probe out.
const CONNECTIONS: usize = 64;
/// From a connection's start, or the end of its last answer, to the end of the next head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head that is read, in bytes. hyper takes no less.
const HEAD_SIZE: usize = 8192;
/// How long to wait when the system has no descriptor left for another connection.
const BREATH: Duration = Duration::from_millis(50);

/// All that the listeners answer from.
pub struct Admin {
    /// The credentials, in the order of the configuration.
    pub credentials: Vec<Box<dyn Credential>>,
    /// The routes, in the order of the configuration.
    pub routes: Vec<RouteSummary>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// The clock of `started`.
    pub clock: Clock,
    /// When the process started.
    pub started: Moment,
    /// Fired as soon as shutdown is asked for: readiness is false from then on.
    pub draining: Shutdown,
    /// Which `Host` values the admin listener allows.
    pub hosts: HostRules,
    /// `callers.from`: who may ask on an admin listener beyond loopback; `None` lets nobody in there.
    pub from: Option<Vec<ipnet::IpNet>>,
    /// Whether `POST /retry/NAME` is served.
    pub retry: bool,
    /// What was seen so far.
    pub observed: Rc<Observed>,
    /// Serves `POST /reload`.
    pub reload: Option<Reload>,
    /// Serves `POST /quitquitquit`.
    pub quit: Option<Quit>,
    /// What the log hears.
    pub log: Threshold,
    /// Whether `POST /log-level` is served.
    pub log_level: bool,
}

/// What the listeners answer from now; a reload exchanges it while they stay.
pub struct Current(RefCell<Rc<Admin>>);

impl Current {
    /// The first.
    pub fn new(admin: Admin) -> Self {
        Self(RefCell::new(Rc::new(admin)))
    }

    /// From here on they answer from another.
    pub fn exchange(&self, admin: Admin) {
        self.0.replace(Rc::new(admin));
    }

    fn get(&self) -> Rc<Admin> {
        Rc::clone(&self.0.borrow())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

/// What the admin listener needs of a credential.
pub trait Credential {
    /// Where it stands.
    fn status(&self) -> token::Status;
    /// Ends a latch or a wait. Returns whether there was one.
    fn retry(&self) -> bool;
}

impl Credential for token::Reader {
    fn status(&self) -> token::Status {
        self.status()
    }

    fn retry(&self) -> bool {
        self.retry()
    }
}

/// What the status page shows of a route.
#[derive(Clone, Debug)]
pub struct RouteSummary {
    /// Its name.
    pub name: String,
    /// Where it listens, as bound.
    pub listen: Vec<String>,
    /// The host that it is limited to.
    pub host: Option<String>,
    /// Its path prefix.
    pub path: String,
    /// Where it goes to. An origin, not a URL, because a path or query may hold a key.
    pub upstream: Origin,
    /// Its credential.
    pub credential: Option<String>,
}

/// Which of the two listeners it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// `admin.listen`: everything, for those whom [`HostRules`] allow.
    Admin,
    /// `admin.probe_listen`: probes and metrics, for anybody.
    Probes,
}

/// Serves until `shutdown`, which is the end of draining, not its begin: probes want to hear that we drain. To be run in a
/// `LocalRuntime`.
///
/// # Errors
/// If the listener cannot be watched; nothing that a caller does ends it.
pub async fn serve(socket: Socket, admin: Rc<Current>, face: Face, shutdown: Shutdown) -> io::Result<()> {
    match socket {
        Socket::Tcp(socket) => {
            let listener = TcpListener::from_std(socket)?;
            let is_loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
            let accept = async || {
                let (socket, peer) = listener.accept().await?;
                let local = socket.local_addr()?.ip();
                Ok((
                    socket,
                    Door { face, came_in: Some(Address { local, peer: peer.ip().to_canonical(), is_loopback }) },
                ))
            };
            serve_accepted(accept, admin, shutdown).await;
        }
        Socket::Unix(socket, _file) => {
            let listener = UnixListener::from_std(socket)?;
            let accept = async || Ok((listener.accept().await?.0, Door { face, came_in: None }));
            serve_accepted(accept, admin, shutdown).await;
        }
    }
    Ok(())
}

async fn serve_accepted<S>(accept: impl AsyncFn() -> io::Result<(S, Door)>, admin: Rc<Current>, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut open = Open::default();
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            () = shutdown.fired() => return,
        };
        match accepted {
            Ok((socket, door)) => {
                open.take(socket, Rc::clone(&admin), door);
                // Who comes in a burst gets its answer before it is the oldest.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection on the admin listener");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
struct Door {
    face: Face,
    /// `None` on a Unix socket.
    came_in: Option<Address>,
}

#[derive(Clone, Copy, Debug)]
struct Address {
    /// The connection's own end.
    local: IpAddr,
    /// The caller's.
    peer: IpAddr,
    /// Whether only this machine can reach the listener.
    is_loopback: bool,
}

/// The open connections, oldest first. They end with it.
#[derive(Default)]
struct Open {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Open {
    fn take<S>(&mut self, socket: S, admin: Rc<Current>, door: Door)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|task| !task.is_finished());
        if self.oldest_first.len() >= CONNECTIONS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        self.oldest_first.push_back(self.tasks.spawn_local(serve_connection(socket, admin, door)));
    }
}

async fn serve_connection<S>(socket: S, admin: Rc<Current>, door: Door)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request| {
        let admin = admin.get();
        async move { Ok::<_, Infallible>(answer::answer(&admin, door, &request).await) }
    });
    let served = http1::Builder::new()
        // Without a timer the timeout silently does nothing (RELIABILITY item 7).
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the admin listener ended");
    }
}

#[cfg(test)]
mod tests;
