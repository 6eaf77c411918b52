//! From the settings in force to other ones, in one step; the start is the step from nothing.
//!
//! Owns the two halves of that step. `plan` does all that can fail and changes nothing; `adopt` cannot fail. What is written
//! as before stays what it was: listeners with their queues, credentials with their tokens, routes with their connections.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::assemble::{self, Face};
use super::credentials::{self, Credentials};
use super::routes::{self, Routes};
use super::sockets::{self, Closing, Doors, Opened};
use super::store;
use super::{App, StartError, report};
use crate::admin;
use crate::clock::Clock;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::proxy;
use crate::server::{self, Inherited, Policy};
use crate::shutdown;
use crate::tls;
use crate::traces::{self, Traces};

/// What a reload has changed; all empty if nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Routes by what became of them.
    pub routes: Difference,
    /// Credentials by what became of them.
    pub credentials: Difference,
    /// Addresses listened on.
    pub listeners: Difference,
    /// Whether anything else is different now.
    pub others: bool,
    /// Keys that have changed and are obeyed at the next start only.
    pub wants_restart: Vec<&'static str>,
}

/// Names by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// New ones.
    pub added: Vec<String>,
    /// Those that are written otherwise. A credential of which that is true of figures alone goes on with its token.
    pub changed: Vec<String>,
    /// Those that are no more.
    pub removed: Vec<String>,
}

/// Everything of a configuration that can fail, done.
struct Plan {
    settings: Arc<Settings>,
    tls: Option<tls::Server>,
    store: store::Planned,
    credentials: credentials::Planned,
    routes: routes::Planned,
    traces: traces::Planned,
    doors: sockets::Planned,
}

fn plan(
    settings: Settings,
    inherited: Inherited,
    clock: &Clock,
    (now, tls): (Option<&Routes>, Option<&tls::Server>),
    (store, credentials, traces, doors): (&store::Common, &Credentials, &Traces, &mut Doors),
) -> Result<Plan, StartError> {
    let same_tls = tls.filter(|now| Some(now.settings()) == settings.tls.as_ref()).cloned();
    let tls = match same_tls {
        Some(same) => Some(same),
        None => settings.tls.clone().map(tls::Server::load).transpose()?,
    };
    let store = store.plan(&settings, clock)?;
    let planned = credentials.plan(&settings, clock)?;
    let routes = routes::plan(now, &settings, (credentials, &planned))?;
    let traces = traces.plan(settings.traces.as_ref(), |wanted| assemble::collector(wanted, &settings))?;
    // Last, since it can be seen from outside.
    let doors = doors.plan(&settings, inherited)?;
    Ok(Plan { settings: Arc::new(settings), tls, store, credentials: planned, routes, traces, doors })
}

/// Starts everything.
pub(super) fn start(settings: Settings, inherited: Inherited, clock: Clock) -> Result<App, StartError> {
    assemble::check_files()?;
    let metrics = Arc::new(Metrics::new());
    let mut doors = Doors::default();
    let mut credentials = Credentials::default();
    let (mut store, mut traces) = (store::Common::new(), Traces::new(&metrics));
    let parts = (&store, &credentials, &traces, &mut doors);
    let plan = plan(settings, inherited, &clock, (None, None), parts)?;
    let settings = plan.settings;
    let opened = doors.adopt(plan.doors)?;
    let (unready, ending, epoch) = (shutdown::channel(), shutdown::channel(), shutdown::channel());
    let mut background = JoinSet::new();
    let lifetime = (settings.timeouts.drain, &ending.1);
    store.adopt(plan.store, &metrics);
    traces.adopt(plan.traces, &mut background);
    let parts = (&clock, &*metrics, &store, &traces.current());
    credentials.adopt(plan.credentials, parts, &mut background, lifetime);
    let (routes, _) =
        routes::adopt(None, plan.routes, &settings, (&credentials, &doors, &Closing::nothing()), (&metrics, &traces));
    let policy = Policy::new(assemble::server_settings(&settings), plan.tls.clone());
    let (gateways, gateway) = watch::channel(Arc::clone(&routes.gateway));
    let make_proxy = move || proxy::Live::new(gateway.clone());
    let (workers, threads) =
        server::start(settings.workers, &policy, make_proxy, (&unready.1, &ending.1), &metrics.connections)?;
    let bound = doors.bound(&settings);
    let started = clock.now();
    let (reload, asked) = admin::reloads();
    let quit = admin::Quit::default();
    let observed = Rc::new(admin::Observed::new(Arc::clone(&metrics), clock.clone()));
    background.spawn_local(Rc::clone(&observed).follow(ending.1.clone()));
    let face = Face {
        bound: &bound,
        readers: &|name| credentials.reader(name),
        metrics: &metrics,
        clock: &clock,
        started,
        observed: &observed,
        draining: unready.1.clone(),
        reload: reload.clone(),
        quit: quit.clone(),
    };
    let admin = Rc::new(admin::Current::new(assemble::admin(&settings, face)));
    assemble::announce(&settings, &bound);
    let began = (settings.workers, settings.log.format);
    let mut app = App {
        clock,
        started,
        observed,
        metrics,
        settings,
        began,
        bound,
        doors,
        tls: plan.tls,
        store,
        credentials,
        routes,
        traces,
        epoch: epoch.0,
        gateways,
        policy,
        admin,
        asked,
        reload,
        quit,
        unready,
        ending,
        acceptors: JoinSet::new(),
        background,
        workers,
        threads,
    };
    app.begin_epoch(&BTreeMap::new());
    app.serve(opened);
    app.metrics.config_last_success.set(seconds_since_epoch(&app.clock));
    Ok(app)
}

impl App {
    /// Changes everything to what other settings ask for, in one step: whatever fails, fails before anything has changed. Requests
    /// that begin after it has returned are served by the new settings, those in flight end with the old ones.
    ///
    /// # Errors
    /// [`StartError`], and then nothing has changed.
    pub fn reload(&mut self, settings: Settings) -> Result<Changes, StartError> {
        let now = (Some(&self.routes), self.tls.as_ref());
        let parts = (&self.store, &self.credentials, &self.traces, &mut self.doors);
        let plan = plan(settings, Inherited::later(), &self.clock, now, parts)?;
        let opened = self.doors.adopt(plan.doors)?;
        let before = std::mem::replace(&mut self.settings, plan.settings);
        while self.background.try_join_next().is_some() {}
        while self.acceptors.try_join_next().is_some() {}
        let certificates = self.certificates();
        let lifetime = (before.timeouts.drain, &self.ending.1);
        self.store.adopt(plan.store, &self.metrics);
        self.traces.adopt(plan.traces, &mut self.background);
        let traces = self.traces.current();
        let parts = (&self.clock, &*self.metrics, &self.store, &traces);
        let credentials = self.credentials.adopt(plan.credentials, parts, &mut self.background, lifetime);
        let parts = (&self.credentials, &self.doors, &opened.closing);
        let seen = (&self.metrics, &self.traces);
        let (routes, changed) = routes::adopt(Some(&self.routes), plan.routes, &self.settings, parts, seen);
        self.tls = plan.tls;
        self.routes = routes;
        let policy = assemble::server_settings(&self.settings);
        let owners_before = assemble::server_settings(&before).owners;
        self.policy.change(policy, self.tls.clone());
        self.gateways.send_replace(Arc::clone(&self.routes.gateway));
        self.bound = self.doors.bound(&self.settings);
        self.admin.exchange(assemble::admin(
            &self.settings,
            Face {
                bound: &self.bound,
                readers: &|name| self.credentials.reader(name),
                metrics: &self.metrics,
                clock: &self.clock,
                started: self.started,
                observed: &self.observed,
                draining: self.unready.1.clone(),
                reload: self.reload.clone(),
                quit: self.quit.clone(),
            },
        ));
        self.begin_epoch(&certificates);
        // What is learnt of a caller when its connection begins must not be missing for rules that ask for it.
        if before.tls != self.settings.tls || policy.owners && !owners_before {
            self.doors.renew_connections();
        }
        let added = opened.added.clone();
        let closing = self.serve(opened);
        self.metrics.config_last_success.set(seconds_since_epoch(&self.clock));
        let is_news = |name: &str| changed.added.iter().chain(&changed.changed).any(|other| other == name);
        assemble::announce_routes(&self.settings, &self.bound, is_news);
        Ok(Changes {
            routes: Difference { added: changed.added, changed: changed.changed, removed: changed.removed },
            credentials: Difference {
                added: credentials.added,
                changed: credentials.changed,
                removed: credentials.removed,
            },
            listeners: Difference { added, changed: Vec::new(), removed: closing.close() },
            others: others(&before, &self.settings),
            wants_restart: wants_restart(&before, &self.settings, self.began),
        })
    }

    /// The TLS configurations that are looked after, by name, and what they are made of.
    fn certificates(&self) -> BTreeMap<String, [u8; 32]> {
        let own = self.tls.iter().map(|tls| ("tls".to_owned(), tls.files_print()));
        let clients = self.credentials.tls().chain(self.routes.tls()).chain(self.traces.tls());
        own.chain(clients.map(|(name, tls)| (name, tls.files_print()))).collect()
    }

    /// Starts what looks after the parts of the present settings; what did so for the ones before ends.
    fn begin_epoch(&mut self, before: &BTreeMap<String, [u8; 32]>) {
        let (epoch, is_over) = shutdown::channel();
        self.epoch = epoch;
        let now = self.certificates();
        for (name, _) in before.iter().filter(|(name, print)| now.get(*name) != Some(print)) {
            self.metrics.forget_certificate(name);
        }
        let mut watch = tls::Watch::new(self.clock.clone());
        if let Some(tls) = &self.tls {
            watch.follow("tls", tls, &self.metrics);
        }
        for (name, tls) in self.credentials.tls().chain(self.routes.tls()).chain(self.traces.tls()) {
            watch.follow(name, tls, &self.metrics);
        }
        self.background.spawn_local(watch.run(is_over.clone()));
        let gateway = &self.routes.gateway;
        let fields = proxy::follow_fields(gateway.routes.clone());
        let mut over = is_over.clone();
        self.background.spawn_local(async move {
            tokio::select! {
                () = fields => {}
                () = over.fired() => {}
            }
        });
        for key in gateway.keys().cloned().collect::<Vec<_>>() {
            self.background.spawn_local(key.follow(is_over.clone()));
        }
    }

    /// Serves listeners that have been opened; returns those to be closed.
    fn serve(&mut self, opened: Opened) -> sockets::Closing {
        for (listener, generation, closing) in opened.proxy {
            let accepting = server::accept(listener, self.workers.clone(), generation, closing);
            self.acceptors.spawn_local(report("a listener ended", accepting));
        }
        for (socket, face, ending) in opened.admin {
            let serving = admin::serve(socket, Rc::clone(&self.admin), face, ending);
            self.background.spawn_local(report("the admin listener ended", serving));
        }
        opened.closing
    }
}

/// Whether anything but routes, credentials and listeners differs.
fn others(before: &Settings, now: &Settings) -> bool {
    before.callers != now.callers
        || before.tls != now.tls
        || before.timeouts != now.timeouts
        || before.limits != now.limits
        || before.log != now.log
        || before.admin != now.admin
        || before.store != now.store
        || before.traces != now.traces
}

/// What cannot be changed while threads and their log run, as it was at the start.
pub(super) type Began = (usize, crate::log::Format);

/// Keys of it that were changed, and not back to what is obeyed.
fn wants_restart(before: &Settings, now: &Settings, (workers, format): Began) -> Vec<&'static str> {
    let changed = [
        ("workers", before.workers != now.workers && now.workers != workers),
        ("log.format", before.log.format != now.log.format && now.log.format != format),
    ];
    changed.iter().filter(|(_, changed)| *changed).map(|(key, _)| *key).collect()
}

impl Changes {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing has changed");
        }
        let mut parts = Vec::new();
        for (what, difference) in
            [("route", &self.routes), ("credential", &self.credentials), ("listener", &self.listeners)]
        {
            let kinds = [("new", &difference.added), ("changed", &difference.changed), ("gone", &difference.removed)];
            for (kind, names) in kinds.iter().filter(|(_, names)| !names.is_empty()) {
                parts.push(format!("{what} {kind}: {}", names.join(", ")));
            }
        }
        if self.others {
            parts.push("general settings".to_owned());
        }
        if !self.wants_restart.is_empty() {
            parts.push(format!("only obeyed after a restart: {}", self.wants_restart.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}

fn seconds_since_epoch(clock: &Clock) -> f64 {
    clock.wall().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Format;

    #[test]
    fn what_was_changed_back_wants_no_restart() {
        let with = |lines: &str| {
            let route = "[routes.a]\nupstream = \"https://a.example\"\ncredential = \"none\"\n";
            crate::config::load_str(&format!("{lines}\n{route}"), std::path::Path::new("b.toml")).unwrap()
        };
        let (two, three) = (with("workers = 2"), with("workers = 3"));
        let began = (2, two.log.format);
        assert_eq!(wants_restart(&two, &three, began), ["workers"]);
        assert_eq!(wants_restart(&three, &two, began), Vec::<&str>::new());
        assert_eq!(wants_restart(&two, &with("workers = 2\nlog.format = \"json\""), (2, Format::Text)), ["log.format"]);
    }
}
