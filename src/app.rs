//! The composition root: settings in, a running bearerd out.
//!
//! Owns the order in which things come to life and end. Everything that can fail is done before anything is served: TLS files
//! are read, names checked, sockets bound. Then the control thread (the caller's runtime) runs refreshers, acceptors and
//! admin, and worker threads serve callers.

mod assemble;
mod run;
mod sockets;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

pub use assemble::{token_endpoint, upstream, ways};
pub use run::run;

use crate::clock::Clock;
use crate::config::{ListenAddress, Mistakes, Settings};
use crate::metrics::Metrics;
use crate::server::{self, Inherited, Threads};
use crate::shutdown::Trigger;
use crate::tls::TlsError;
use crate::token::Reader;
use crate::upstream::connect::BadServerName;

/// A running bearerd. To be started, and drained, in a `LocalRuntime`.
#[derive(Debug)]
pub struct App {
    bound: Bound,
    metrics: Arc<Metrics>,
    readers: BTreeMap<String, Reader>,
    drain_delay: Duration,
    drain: Duration,
    /// Readiness is false from here on.
    unready: Trigger,
    /// No more connections; those that are open end with their request.
    draining: Trigger,
    /// Everything ends.
    ending: Trigger,
    acceptors: JoinSet<()>,
    background: JoinSet<()>,
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
        assemble::start(settings, inherited, clock)
    }

    /// Where it listens.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Its metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The read half of a credential.
    pub fn reader(&self, credential: &str) -> Option<Reader> {
        self.readers.get(credential).cloned()
    }

    /// Ends gently: unready at once, serving for `drain_delay`, then no new connections, then the end of those in flight or of
    /// the time for it. Returns whether everything in flight was finished.
    pub async fn drain(mut self) -> bool {
        self.unready.fire();
        tokio::time::sleep(self.drain_delay).await;
        self.draining.fire();
        while self.acceptors.join_next().await.is_some() {}
        let finished = tokio::time::timeout(self.drain, self.threads.ended()).await.is_ok();
        self.ending.fire();
        if !finished {
            tracing::warn!(waited = ?self.drain, "requests were still in flight at the end of the drain; they are cut");
            self.threads.ended().await;
        }
        while self.background.join_next().await.is_some() {}
        finished
    }
}
