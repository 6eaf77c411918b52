//! The credentials: which run, which a configuration wants, and how the ones become the others.
//!
//! Owns the refreshers' lives. A credential that is written as before goes on, with its token, and so does one whose figures alone have changed,
//! with the new ones; one that asks for something else begins anew beside the old one, which lives as long as requests use it, but no longer
//! than a drain takes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;

use super::StartError;
use super::assemble::token_endpoint;
use super::store::Common;
use crate::clock::Clock;
use crate::config::{Credential, Settings};
use crate::metrics::Metrics;
use crate::oauth::TokenEndpoint;
use crate::proxy::route;
use crate::shutdown::{self, Shutdown, Trigger};
use crate::tls;
use crate::token::{Figures, Reader, Refresher};
use crate::traces;

/// Every credential that runs.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    running: BTreeMap<String, Running>,
    retired: Vec<Weak<Trigger>>,
}

#[derive(Debug)]
struct Running {
    written: Written,
    tls: Option<tls::Client>,
    shared: route::Credential,
    figures: Figures<TokenEndpoint>,
}

/// All that a credential is made of.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    credential: Credential,
    connect: Duration,
    state_directory: Option<PathBuf>,
}

impl Written {
    /// Whether a token of the one is a token of the other, so that they differ in figures alone: deadlines, the way to the server, when to
    /// renew, how to take a failure, where to remember.
    fn asks_for_the_same_as(&self, other: &Self) -> bool {
        let (own, others) = (&self.credential, &other.credential);
        own.oauth.asks_for_the_same_as(&others.oauth)
            && own.token.lives_by_refresh_token == others.token.lives_by_refresh_token
            && own.token.is_bound == others.token.is_bound
            && own.tls.identity == others.tls.identity
            && own.tls.server_name == others.tls.server_name
    }
}

/// The credentials that a configuration wants, with what is new of them.
pub(super) struct Planned(Vec<(Written, Way)>);

/// How a credential comes to be what is wanted.
enum Way {
    Same,
    /// It goes on with its token and asks by this from now on.
    Goes(Box<TokenEndpoint>),
    /// It begins.
    Begins(Box<TokenEndpoint>),
}

/// What has become of the credentials, by name.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
}

impl Credentials {
    /// Makes what is wanted and does not run yet.
    ///
    /// # Errors
    /// [`StartError`] if a TLS file cannot be used or a host is no name.
    pub(super) fn plan(&self, settings: &Settings, clock: &Clock) -> Result<Planned, StartError> {
        let plan = |credential: &Credential| {
            let written = Written {
                credential: credential.clone(),
                connect: settings.timeouts.connect,
                state_directory: settings.state_directory.clone(),
            };
            let running = self.running.get(&credential.token.name).map(|running| &running.written);
            if running == Some(&written) {
                return Ok((written, Way::Same));
            }
            let endpoint = Box::new(token_endpoint(credential, settings, clock)?);
            let goes_on = running.is_some_and(|running| running.asks_for_the_same_as(&written));
            Ok((written, if goes_on { Way::Goes(endpoint) } else { Way::Begins(endpoint) }))
        };
        settings.credentials.iter().map(plan).collect::<Result<_, _>>().map(Planned)
    }

    /// Begins what is planned; what is no longer wanted ends when nobody uses it, at the latest after `patience`.
    pub(super) fn adopt(
        &mut self,
        planned: Planned,
        (clock, metrics, store, traces): (&Clock, &Metrics, &Common, &traces::Current),
        background: &mut JoinSet<()>,
        (patience, ending): (Duration, &Shutdown),
    ) -> Changed {
        let mut before = std::mem::take(&mut self.running);
        let mut outcome = Changed::default();
        for (written, way) in planned.0 {
            let name = written.credential.token.name.clone();
            let old = before.remove(&name);
            match (way, old) {
                (Way::Same, Some(same)) => drop(self.running.insert(name, same)),
                (Way::Goes(endpoint), Some(old)) => {
                    outcome.changed.push(name.clone());
                    self.running.insert(name, old.with_figures(written, *endpoint));
                }
                // A plan is adopted by whom it was made for.
                (Way::Same | Way::Goes(_), None) => {}
                (Way::Begins(endpoint), old) => {
                    if let Some(old) = old {
                        metrics.forget_credential(&name, true);
                        self.retire(old, background, (patience, ending.clone()));
                        outcome.changed.push(name.clone());
                    } else {
                        outcome.added.push(name.clone());
                    }
                    self.running.insert(name, begin(written, *endpoint, (clock, metrics, store, traces), background));
                }
            }
        }
        for (name, old) in before {
            metrics.forget_credential(&name, false);
            self.retire(old, background, (patience, ending.clone()));
            outcome.removed.push(name);
        }
        outcome
    }

    fn retire(&mut self, old: Running, background: &mut JoinSet<()>, (patience, mut ending): (Duration, Shutdown)) {
        self.retired.retain(|retired| retired.strong_count() > 0);
        let refresher = Arc::downgrade(&old.shared.refresher);
        self.retired.push(Weak::clone(&refresher));
        background.spawn_local(async move {
            tokio::select! {
                () = tokio::time::sleep(patience) => {}
                () = ending.fired() => {}
            }
            end(&refresher);
        });
    }

    /// The credential of this name, as routes use it.
    pub(super) fn get(&self, name: &str) -> Option<&route::Credential> {
        self.running.get(name).map(|running| &running.shared)
    }

    /// Whether the credential of this name goes on.
    pub(super) fn keeps(&self, planned: &Planned, name: &str) -> bool {
        let same =
            |(written, way): &(Written, Way)| written.credential.token.name == name && !matches!(way, Way::Begins(_));
        planned.0.iter().any(same) && self.running.contains_key(name)
    }

    /// The read half of a credential.
    pub(super) fn reader(&self, name: &str) -> Option<Reader> {
        self.get(name).map(|shared| shared.reader.clone())
    }

    /// The TLS towards each token endpoint, by its name in the configuration.
    pub(super) fn tls(&self) -> impl Iterator<Item = (String, &tls::Client)> {
        self.running.iter().filter_map(|(name, running)| Some((format!("credentials.{name}"), running.tls.as_ref()?)))
    }

    /// Nobody needs tokens any more.
    pub(super) fn end(&self) {
        self.running.values().for_each(|running| running.shared.refresher.fire());
        self.retired.iter().for_each(end);
    }
}

impl Running {
    /// The same, with its token and all who hold it, by other figures.
    fn with_figures(self, written: Written, endpoint: TokenEndpoint) -> Self {
        let replays = self.shared.metrics.dpop_nonce_replays.token_endpoint.clone();
        let endpoint = endpoint.counting_nonce_replays(replays);
        let tls = endpoint.tls().cloned();
        self.figures.change(written.credential.token.clone(), endpoint, written.state_directory.clone());
        Self { written, tls, ..self }
    }
}

fn end(refresher: &Weak<Trigger>) {
    if let Some(refresher) = refresher.upgrade() {
        refresher.fire();
    }
}

fn begin(
    written: Written,
    endpoint: TokenEndpoint,
    (clock, metrics, store, traces): (&Clock, &Metrics, &Common, &traces::Current),
    background: &mut JoinSet<()>,
) -> Running {
    let credential = &written.credential;
    let counters = metrics.credential(&credential.token.name);
    let endpoint = endpoint.counting_nonce_replays(counters.dpop_nonce_replays.token_endpoint.clone());
    let tls = endpoint.tls().cloned();
    let directory = written.state_directory.clone();
    let (refresher, reader) =
        Refresher::new(credential.token.clone(), endpoint, clock.clone(), counters.clone(), directory);
    let (refresher, figures) = refresher.in_fleet(store.stores()).changeable();
    let (trigger, is_ending) = shutdown::channel();
    background.spawn_local(refresher.traced(traces.clone()).run(is_ending));
    let shared = route::Credential { reader, metrics: counters, refresher: Arc::new(trigger) };
    Running { written, tls, shared, figures }
}
