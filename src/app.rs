//! The composition root: settings in, a running bearerd out.
//!
//! Owns the order in which things come to life, change and end. Everything that can fail is done before anything is served: TLS files
//! are read, names checked, sockets bound (`plan`). Then nothing can fail any more (`adopt`): the control thread (the caller's runtime)
//! runs refreshers, acceptors and admin, and worker threads serve callers. A start and a reload are the same two steps.

mod assemble;
mod credentials;
mod reload;
mod routes;
mod run;
mod sockets;
mod store;
mod told;
mod watch;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use assemble::{token_endpoint, upstream, ways};
pub use reload::Changes;
pub use run::{Start, run};

use crate::admin;
use crate::clock::{Clock, Moment};
use crate::config::{ListenAddress, Mistakes, Settings};
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::server::{self, Inherited, Policy, Threads, Workers};
use crate::shutdown::{Shutdown, Trigger};
use crate::tls::{self, TlsError};
use crate::token::Reader;
use crate::traces::Traces;
use crate::upstream::connect::BadServerName;
use credentials::Credentials;
use routes::Routes;
use sockets::Doors;

/// A running bearerd. To be started, and drained, in a `LocalRuntime`.
#[derive(Debug)]
pub struct App {
    clock: Clock,
    started: Moment,
    observed: Rc<admin::Observed>,
    metrics: Arc<Metrics>,
    /// As they are in force.
    settings: Arc<Settings>,
    /// What no reload changes.
    began: reload::Began,
    bound: Bound,
    doors: Doors,
    tls: Option<tls::Server>,
    store: store::Common,
    credentials: Credentials,
    routes: Routes,
    traces: Traces,
    /// What runs for the present settings alone: it ends with them.
    epoch: Trigger,
    /// Tells workers what to serve by.
    gateways: tokio::sync::watch::Sender<Arc<Gateway>>,
    policy: Policy,
    admin: Rc<admin::Current>,
    /// Reloads that the admin listener was asked for.
    asked: mpsc::Receiver<admin::AskedReload>,
    reload: admin::Reload,
    quit: admin::Quit,
    /// Readiness is false from here on.
    unready: (Trigger, Shutdown),
    /// Everything ends.
    ending: (Trigger, Shutdown),
    acceptors: JoinSet<()>,
    background: JoinSet<()>,
    workers: Workers,
    threads: Threads,
}

/// Where it listens, with the ports that the system chose.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// Each route with its addresses, in the order of the configuration.
    pub routes: Vec<(String, Vec<server::Bound>)>,
    /// The admin listener; of several the first.
    pub admin: Option<server::Bound>,
    /// The probe listener.
    pub probe: Option<server::Bound>,
}

/// Why it did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{} cannot listen on {address}", crate::reason::Reason::ListenFailed)]
    Bind {
        /// As configured.
        address: ListenAddress,
        /// What the system says.
        source: io::Error,
    },
    /// The sockets that were handed over are not those of the configuration.
    #[error("the configuration does not fit the sockets that were handed over")]
    Inherited(Mistakes),
    /// A TLS file of the configuration cannot be used.
    #[error("{}", crate::reason::Reason::ConfigFile)]
    Tls(#[from] TlsError),
    /// A host that TLS cannot check.
    #[error("{}", crate::reason::Reason::ConfigWrongValue)]
    ServerName(#[from] BadServerName),
    /// A secret of the configuration cannot be read any longer.
    #[error("{}", crate::reason::Reason::ConfigSecret)]
    Secret(#[from] crate::secret::SecretError),
    /// So few files may be open that nobody could be served.
    #[error("only {files} files may be open at a time, and bearerd needs {}", assemble::LEAST_FILES)]
    Files {
        /// As the system has it.
        files: usize,
    },
    /// The system refused a thread or a descriptor.
    #[error("the system refused a resource")]
    System(#[from] io::Error),
}

impl App {
    /// Starts everything that the settings ask for, `inherited` being what the service manager handed over. Returns as soon as it listens, before the first token.
    ///
    /// # Errors
    /// [`StartError`], and then nothing runs and nothing listens.
    pub async fn start(settings: Settings, inherited: Inherited, clock: Clock) -> Result<Self, StartError> {
        reload::start(settings, inherited, clock)
    }

    /// Where it listens.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Its metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What its status shows besides the present.
    pub fn observed(&self) -> &admin::Observed {
        &self.observed
    }

    /// The read half of a credential.
    pub fn reader(&self, credential: &str) -> Option<Reader> {
        self.credentials.reader(credential)
    }

    /// Waits until the admin listener is asked for a reload. Cancel-safe.
    pub async fn asked_to_reload(&mut self) -> admin::AskedReload {
        match self.asked.recv().await {
            Some(asked) => asked,
            // The sender is ours, too.
            None => std::future::pending().await,
        }
    }

    /// How everything stands, and where each credential does.
    pub fn standing(&self) -> (admin::Standing, Vec<crate::token::Status>) {
        (self.admin.standing(), self.admin.statuses())
    }

    /// What the admin listener is asked to end it by.
    pub fn quit(&self) -> admin::Quit {
        self.quit.clone()
    }

    /// Ends gently: unready at once, serving for `drain_delay`, then no new connections, then the end of those in flight or of
    /// the time for it. Returns whether everything in flight was finished.
    pub async fn drain(self) -> bool {
        let Self { doors, store, credentials, traces, mut acceptors, mut background, workers, mut threads, .. } = self;
        let timeouts = self.settings.timeouts;
        self.unready.0.fire();
        tokio::time::sleep(timeouts.drain_delay).await;
        doors.drain();
        // A worker ends when nobody can give it connections any more.
        drop(workers);
        while acceptors.join_next().await.is_some() {}
        let finished = tokio::time::timeout(timeouts.drain, threads.ended()).await.is_ok();
        self.ending.0.fire();
        self.epoch.fire();
        doors.end();
        if !finished {
            tracing::warn!(waited = ?timeouts.drain, "requests were still in flight at the end of the drain; they are cut");
            threads.ended().await;
        }
        credentials.end();
        traces.end();
        while background.join_next().await.is_some() {}
        store.end();
        finished
    }
}

async fn report(what: &'static str, task: impl Future<Output = io::Result<()>>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "{what}");
    }
}
