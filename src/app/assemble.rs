//! Building single parts of settings: one function for each kind, none sees the whole.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::routes::hosts;
use super::sockets::listens;
use super::{Bound, StartError};
use crate::admin::{self, Admin, RouteSummary};
use crate::clock::{Clock, Moment};
use crate::config::{Credential, Route, Settings};
use crate::guard::HostRules;
use crate::metrics::Metrics;
use crate::oauth::TokenEndpoint;
use crate::server;
use crate::shutdown::Shutdown;
use crate::tls;
use crate::token::Reader;
use crate::traces;
use crate::upstream::{Connector, HttpProxy, Origin, Ways};

/// How callers' connections are treated.
pub(super) fn server_settings(settings: &Settings) -> server::Settings {
    server::Settings {
        request_head: settings.timeouts.request_head,
        keep_alive: settings.timeouts.keep_alive,
        response_unread: settings.timeouts.response_unread,
        head: settings.limits.head,
        connections: connections(settings.limits.connections),
        owners: settings.caller_rules().any(|rules| rules.accounts.is_some()),
    }
}

/// Files that are open whoever calls: those of listeners, of workers, of token requests and the token store.
const OWN_FILES: usize = 32;
/// With fewer there would be no room for callers beside them.
pub(super) const LEAST_FILES: usize = 48;

/// Files for callers and upstreams.
///
/// # Errors
/// [`StartError::Files`] if there are next to none.
pub(super) fn check_files() -> Result<(), StartError> {
    let files = crate::process::open_files();
    if files < LEAST_FILES { Err(StartError::Files { files }) } else { Ok(()) }
}

fn files() -> usize {
    crate::process::open_files().saturating_sub(OWN_FILES)
}

/// The connections of callers that leave files for those to upstreams.
fn connections(configured: usize) -> usize {
    configured.min(files() - files() / 4)
}

/// The requests at a time each of which finds a file for a connection of its own to the upstream.
pub(super) fn requests(configured: usize) -> usize {
    configured.min((files() / 4).max(1))
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

/// A connector to the collector of traces.
pub(super) fn collector(wanted: &traces::Settings, settings: &Settings) -> Result<Connector, StartError> {
    let origin = Origin::of(&wanted.endpoint).map_err(io::Error::other)?;
    connector(origin, &wanted.tls, wanted.proxy.as_ref(), settings.timeouts.connect)
}

fn connector(
    origin: Origin,
    tls: &tls::ClientSettings,
    proxy: Option<&HttpProxy>,
    timeout: Duration,
) -> Result<Connector, StartError> {
    Ok(Connector::new(origin, tls::Client::load(tls.clone())?, timeout)?.through(proxy.cloned()))
}

/// What the admin listener shows and does, apart from what the settings say.
pub(super) struct Face<'a> {
    pub(super) bound: &'a Bound,
    pub(super) readers: &'a dyn Fn(&str) -> Option<Reader>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) clock: &'a Clock,
    pub(super) started: Moment,
    pub(super) observed: &'a Rc<admin::Observed>,
    pub(super) draining: Shutdown,
    pub(super) reload: admin::Reload,
    pub(super) quit: admin::Quit,
}

pub(super) fn admin(settings: &Settings, face: Face<'_>) -> Admin {
    let in_order = settings.credentials.iter().filter_map(|credential| (face.readers)(&credential.token.name));
    let summary = |route: &Route, listen: &[server::Bound]| RouteSummary {
        name: route.route.name.clone(),
        listen: listen.iter().map(ToString::to_string).collect(),
        host: route.route.host.clone(),
        path: route.route.path.clone(),
        upstream: route.route.origin.clone(),
        credential: route.route.credential.clone(),
    };
    let routes = settings.routes.iter().zip(&face.bound.routes);
    Admin {
        credentials: in_order.map(|reader| Box::new(reader) as Box<dyn admin::Credential>).collect(),
        routes: routes.map(|(route, (_, listen))| summary(route, listen)).collect(),
        metrics: Arc::clone(face.metrics),
        clock: face.clock.clone(),
        started: face.started,
        observed: Rc::clone(face.observed),
        draining: face.draining,
        hosts: HostRules::new(hosts(settings).chain(settings.callers.hosts.iter().map(String::as_str))),
        from: settings.callers.from.clone(),
        retry: settings.admin.retry,
        reload: settings.admin.reload.then_some(face.reload),
        quit: settings.admin.quit.then_some(face.quit),
        log: crate::log::threshold(),
        log_level: settings.admin.log_level,
    }
}

/// One line for each route that `is_news`: what goes where.
pub(super) fn announce_routes(settings: &Settings, bound: &Bound, is_news: impl Fn(&str) -> bool) {
    for (route, (name, addresses)) in settings.routes.iter().zip(&bound.routes).filter(|(_, (name, _))| is_news(name)) {
        let address = addresses.first().map(ToString::to_string);
        tracing::info!(route = %name, address, to = route.summary(listens(route, settings), settings.tls.is_some()), "listening");
    }
}

/// The routes and everything else that is worth knowing at the start.
pub(super) fn announce(settings: &Settings, bound: &Bound) {
    let limits = settings.limits;
    let (connections, requests) = (connections(limits.connections), requests(limits.requests_in_flight));
    if connections < limits.connections || requests < limits.requests_in_flight {
        let files = crate::process::open_files();
        let wanted = format_args!("{} and {}", limits.connections, limits.requests_in_flight);
        tracing::info!(
            files,
            "{connections} connections and {requests} requests at a time are served, not {wanted}: so few files may be open"
        );
    }
    announce_routes(settings, bound, |_| true);
    for detour in settings.credentials.iter().filter_map(Credential::detour) {
        tracing::info!("credential {detour}");
    }
    if let Some(traces) = settings.traces.as_ref().filter(|_| traces::IS_BUILT_IN) {
        // Without its path and query: what a variable says there may be a key.
        let collector = Origin::of(&traces.endpoint).ok().map(|origin| origin.to_string());
        tracing::info!(collector, "traces are sent");
    }
    if let Some(address) = &bound.admin {
        tracing::info!(%address, "admin listening");
    }
    if let Some(address) = &bound.probe {
        tracing::info!(%address, "probes listening");
    }
}
