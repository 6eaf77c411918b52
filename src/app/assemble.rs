//! Building the parts and joining them: one function for each kind, none sees the whole.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::task::JoinSet;

use super::sockets::{Sockets, listens};
use super::{App, Bound, StartError};
use crate::admin::{self, Admin, RouteSummary};
use crate::clock::Clock;
use crate::config::{Credential, Route, Settings};
use crate::guard::HostRules;
use crate::metrics::Metrics;
use crate::oauth::TokenEndpoint;
use crate::proxy::callers;
use crate::proxy::route::{self, Table};
use crate::proxy::{self, Budget, Gateway, Proxy, Slots};
use crate::server::{self, Inherited, Listener, Workers};
use crate::shutdown::{self, Shutdown};
use crate::tls;
use crate::token::{Reader, Refresher};
use crate::upstream::{Connector, HttpProxy, Origin, Ways};

/// Starts everything, in the order in which it can fail.
pub(super) fn start(settings: Settings, inherited: Inherited, clock: Clock) -> Result<App, StartError> {
    let metrics = Arc::new(Metrics::new());
    let mut watch = tls::Watch::new(clock.clone());
    let tls = settings.tls.clone().map(tls::Server::load).transpose()?;
    if let Some(tls) = &tls {
        watch.follow("tls", tls, &metrics);
    }
    let sockets = Sockets::bind(&settings, inherited, tls.as_ref())?;
    let refreshers = make_refreshers(&settings, &clock, &metrics, &mut watch)?;
    let readers: BTreeMap<_, _> = refreshers.iter().map(|(_, r)| (r.name().to_owned(), r.clone())).collect();
    let gateway = Arc::new(make_gateway(&settings, &sockets, &readers, &metrics, &mut watch)?);
    let bound = sockets.bound(&settings);
    announce(&settings, &bound);

    let (unready, is_unready) = shutdown::channel();
    let (draining, is_draining) = shutdown::channel();
    let (ending, is_ending) = shutdown::channel();
    let patience = server_settings(&settings);
    let of_workers = Arc::clone(&gateway);
    let make_proxy = move || Proxy::new(Arc::clone(&of_workers));
    let keys: Vec<_> = gateway.keys().cloned().collect();
    let gauge = &metrics.connections;
    let (workers, threads) = server::start(settings.workers, patience, make_proxy, &is_draining, &is_ending, gauge)?;

    let mut background = JoinSet::new();
    background.spawn_local(proxy::follow_fields(gateway.routes.clone()));
    for (refresher, _) in refreshers {
        background.spawn_local(refresher.run(is_ending.clone()));
    }
    background.spawn_local(watch.run(is_ending.clone()));
    for key in keys {
        background.spawn_local(key.follow(is_ending.clone()));
    }
    let admin = Rc::new(make_admin(&settings, &bound, &readers, &metrics, &clock, is_unready));
    for (listener, face) in sockets.admin {
        let serving = admin::serve(listener, Rc::clone(&admin), face, is_ending.clone());
        background.spawn_local(report("the admin listener ended", serving));
    }
    let acceptors = start_acceptors(sockets.proxy, workers, &is_draining);
    metrics.config_last_success.set(seconds_since_epoch(&clock));
    let timeouts = settings.timeouts;
    Ok(App {
        bound,
        metrics,
        readers,
        drain_delay: timeouts.drain_delay,
        drain: timeouts.drain,
        unready,
        draining,
        ending,
        acceptors,
        background,
        threads,
    })
}

fn server_settings(settings: &Settings) -> server::Settings {
    server::Settings {
        request_head: settings.timeouts.request_head,
        keep_alive: settings.timeouts.keep_alive,
        response_unread: settings.timeouts.response_unread,
        head: settings.limits.head,
        connections: connections(settings.limits.connections),
        owners: settings.caller_rules().any(|rules| rules.accounts.is_some()),
    }
}

/// The connections of callers that leave files for those to upstreams.
fn connections(configured: usize) -> usize {
    let files = crate::process::open_files();
    let room = files - files / 4;
    if room < configured {
        tracing::info!(files, "{room} connections of callers are served, not {configured}: so few files may be open");
    }
    configured.min(room)
}

type Refreshing = (Refresher<TokenEndpoint>, Reader);

fn make_refreshers(
    settings: &Settings,
    clock: &Clock,
    metrics: &Metrics,
    watch: &mut tls::Watch,
) -> Result<Vec<Refreshing>, StartError> {
    settings.credentials.iter().map(|credential| make_refresher(credential, settings, clock, metrics, watch)).collect()
}

fn make_refresher(
    credential: &Credential,
    settings: &Settings,
    clock: &Clock,
    metrics: &Metrics,
    watch: &mut tls::Watch,
) -> Result<Refreshing, StartError> {
    let counters = metrics.credential(&credential.token.name);
    let replays = counters.dpop_nonce_replays.token_endpoint.clone();
    let endpoint = token_endpoint(credential, settings, clock)?.counting_nonce_replays(replays);
    if let Some(tls) = endpoint.tls() {
        watch.follow(format!("credentials.{}", credential.token.name), tls, metrics);
    }
    let directory = settings.state_directory.clone();
    Ok(Refresher::new(credential.token.clone(), endpoint, clock.clone(), counters, directory))
}

/// The token endpoint of a credential, ready to be asked.
///
/// # Errors
/// [`StartError`] if a TLS file cannot be used or the host is no name.
pub fn token_endpoint(
    credential: &Credential,
    settings: &Settings,
    clock: &Clock,
) -> Result<TokenEndpoint, StartError> {
    let ways = ways(credential, settings)?;
    // A name that TLS cannot check is found at start and not at the first token request.
    for endpoint in std::iter::once(credential.oauth.endpoint.written()).chain(credential.oauth.login.endpoints()) {
        ways.to(&Origin::of(endpoint).map_err(io::Error::other)?)?;
    }
    Ok(TokenEndpoint::new(Arc::new(credential.oauth.clone()), ways, clock.clone()))
}

/// How a credential's servers are reached.
///
/// # Errors
/// [`StartError`] if a TLS file cannot be used.
pub fn ways(credential: &Credential, settings: &Settings) -> Result<Ways, StartError> {
    let tls = tls::Client::load(credential.tls.clone())?;
    Ok(Ways::new(tls, settings.timeouts.connect, credential.proxy.clone()))
}

/// A connector to the upstream of a route.
///
/// # Errors
/// [`StartError`] if a TLS file cannot be used or the host is no name.
pub fn upstream(route: &Route) -> Result<Connector, StartError> {
    connector(route.route.origin.clone(), &route.tls, route.proxy.as_ref(), route.route.timeouts.connect)
}

fn connector(
    origin: Origin,
    tls: &tls::ClientSettings,
    proxy: Option<&HttpProxy>,
    timeout: Duration,
) -> Result<Connector, StartError> {
    Ok(Connector::new(origin, tls::Client::load(tls.clone())?, timeout)?.through(proxy.cloned()))
}

fn make_gateway(
    settings: &Settings,
    sockets: &Sockets,
    readers: &BTreeMap<String, Reader>,
    metrics: &Arc<Metrics>,
    watch: &mut tls::Watch,
) -> Result<Gateway, StartError> {
    let mut table = Table::default();
    let mut routes = Vec::new();
    let mut connectors = Vec::new();
    for (index, configured) in settings.routes.iter().enumerate() {
        let named = &configured.route;
        for group in sockets.positions(configured, settings) {
            table.insert(group, named.host.as_deref(), &named.path, index);
        }
        let reader = named.credential.as_ref().and_then(|name| readers.get(name));
        let credential = reader
            .map(|reader| route::Credential { reader: reader.clone(), metrics: metrics.credential(reader.name()) });
        let connector = upstream(configured)?;
        if let Some(tls) = connector.tls() {
            watch.follow(format!("routes.{}", named.name), tls, metrics);
        }
        connectors.push(connector);
        let mut route = route::Route::new(named.clone(), credential, metrics.route(&named.name));
        let rules = named.callers.as_ref().map(|rules| callers::Rules::new(rules, route_hosts(settings)));
        route.callers = rules.transpose()?;
        routes.push(Arc::new(route));
    }
    Ok(Gateway {
        routes,
        connectors,
        table,
        callers: callers::Rules::new(&settings.callers, route_hosts(settings))?,
        metrics: Arc::clone(metrics),
        budget: Arc::new(Budget::new(settings.limits.replay_memory, metrics.replay_memory.clone())),
        slots: Arc::new(Slots::new(settings.limits.requests_in_flight, settings.limits.queue)),
        via: via(),
        access_log: settings.log.access,
    })
}

/// `1.1 bearerd-…`: a name of this process alone, so that another bearerd in the chain is no loop (RFC 9110 §7.6.3).
fn via() -> HeaderValue {
    HeaderValue::try_from(format!("1.1 bearerd-{:08x}", fastrand::u32(..)))
        .unwrap_or_else(|_| HeaderValue::from_static("1.1 bearerd"))
}

fn host_rules(settings: &Settings) -> HostRules {
    HostRules::new(route_hosts(settings).chain(settings.callers.hosts.iter().map(String::as_str)))
}

fn route_hosts(settings: &Settings) -> impl Iterator<Item = &str> {
    settings.routes.iter().filter_map(|route| route.route.host.as_deref())
}

fn make_admin(
    settings: &Settings,
    bound: &Bound,
    readers: &BTreeMap<String, Reader>,
    metrics: &Arc<Metrics>,
    clock: &Clock,
    draining: Shutdown,
) -> Admin {
    let in_order = settings.credentials.iter().filter_map(|credential| readers.get(&credential.token.name));
    let summary = |route: &Route, listen: &[server::Bound]| RouteSummary {
        name: route.route.name.clone(),
        listen: listen.iter().map(ToString::to_string).collect(),
        host: route.route.host.clone(),
        path: route.route.path.clone(),
        upstream: route.route.origin.clone(),
        credential: route.route.credential.clone(),
    };
    Admin {
        credentials: in_order.map(|reader| Box::new(reader.clone()) as Box<dyn admin::Credential>).collect(),
        routes: settings.routes.iter().zip(&bound.routes).map(|(route, (_, listen))| summary(route, listen)).collect(),
        metrics: Arc::clone(metrics),
        clock: clock.clone(),
        started: clock.now(),
        draining,
        hosts: host_rules(settings),
        from: settings.callers.from.clone(),
        retry: settings.admin.retry,
    }
}

fn start_acceptors(listeners: Vec<Listener>, workers: Workers, draining: &Shutdown) -> JoinSet<()> {
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let accepting = server::accept(listener, workers.clone(), draining.clone());
        acceptors.spawn_local(report("a listener ended", accepting));
    }
    acceptors
}

async fn report(what: &'static str, task: impl Future<Output = io::Result<()>>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "{what}");
    }
}

/// One line for each route: what goes where.
fn announce(settings: &Settings, bound: &Bound) {
    for (route, (name, addresses)) in settings.routes.iter().zip(&bound.routes) {
        let address = addresses.first().map(ToString::to_string);
        tracing::info!(route = %name, address, to = route.summary(listens(route, settings), settings.tls.is_some()), "listening");
    }
    for detour in settings.credentials.iter().filter_map(Credential::detour) {
        tracing::info!("credential {detour}");
    }
    if let Some(address) = &bound.admin {
        tracing::info!(%address, "admin listening");
    }
    if let Some(address) = &bound.probe {
        tracing::info!(%address, "probes listening");
    }
}

fn seconds_since_epoch(clock: &Clock) -> f64 {
    clock.wall().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
