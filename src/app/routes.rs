//! The routes and all that requests are served by: which there are, which a configuration wants, and the gateway made of them.
//!
//! A route that is written as before, with the same credential, stays the same value: workers keep its connections.

use std::collections::HashMap;
use std::sync::Arc;

use super::StartError;
use super::assemble::{requests, upstream};
use super::credentials::{self, Credentials};
use super::sockets::{Closing, Doors};
use crate::config::{self, Settings};
use crate::metrics::Metrics;
use crate::proxy::callers::Rules;
use crate::proxy::route::{Route, Table};
use crate::proxy::{AccessLog, Budget, Gateway, Refusals, Slots, Via};
use crate::tls;
use crate::traces::Traces;
use crate::upstream::Connector;

/// The gateway that serves, and how it was written.
#[derive(Debug)]
pub(super) struct Routes {
    written: Arc<Settings>,
    pub(super) gateway: Arc<Gateway>,
}

/// The routes that a configuration wants, ready to be joined.
pub(super) struct Planned {
    routes: Vec<PlannedRoute>,
    callers: Rules,
}

enum PlannedRoute {
    /// Where it stands now.
    Same(usize),
    New(Box<(Connector, Option<Rules>)>),
}

/// What has become of the routes, by name.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
}

/// Makes what is wanted and is not there yet. `now` is what serves.
///
/// # Errors
/// [`StartError`] if a TLS file or a secret cannot be used.
pub(super) fn plan(
    now: Option<&Routes>,
    settings: &Settings,
    (credentials, planned): (&Credentials, &credentials::Planned),
) -> Result<Planned, StartError> {
    let before: HashMap<_, _> = now.into_iter().flat_map(Routes::written).collect();
    let same_hosts = now.is_some_and(|now| hosts(&now.written).eq(hosts(settings)));
    let plan = |configured: &config::Route| {
        let credential = configured.route.credential.as_deref();
        if let Some((index, _)) = before.get(&*configured.route.name).filter(|(_, before)| *before == configured)
            && credential.is_none_or(|name| credentials.keeps(planned, name))
            && (configured.route.callers.is_none() || same_hosts)
        {
            return Ok(PlannedRoute::Same(*index));
        }
        let rules = configured.route.callers.as_ref().map(|rules| Rules::new(rules, hosts(settings))).transpose()?;
        Ok(PlannedRoute::New(Box::new((upstream(configured)?, rules))))
    };
    let routes = settings.routes.iter().map(plan).collect::<Result<_, StartError>>()?;
    Ok(Planned { routes, callers: Rules::new(&settings.callers, hosts(settings))? })
}

/// Joins what is planned to a gateway.
pub(super) fn adopt(
    now: Option<&Routes>,
    planned: Planned,
    settings: &Arc<Settings>,
    (credentials, doors, closing): (&Credentials, &Doors, &Closing),
    (metrics, traces): (&Arc<Metrics>, &Traces),
) -> (Routes, Changed) {
    let mut table = Table::default();
    let mut routes = Vec::new();
    let mut connectors = Vec::new();
    let mut outcome = Changed::default();
    let mut before: HashMap<_, _> = now.into_iter().flat_map(Routes::written).collect();
    for (index, (configured, planned)) in settings.routes.iter().zip(planned.routes).enumerate() {
        let named = &configured.route;
        for number in doors.numbers(configured, settings) {
            table.insert(number, named.host.as_deref(), &named.path, index);
        }
        let old = before.remove(&*named.name);
        // Who came in at a door that is being closed is still served, once.
        if let Some((now, (_, old))) = now.zip(old) {
            for number in closing.numbers(old, &now.written) {
                table.insert(number, named.host.as_deref(), &named.path, index);
            }
        }
        let same = match &planned {
            PlannedRoute::Same(index) => now.and_then(|now| now.route(*index)),
            PlannedRoute::New(_) => None,
        };
        let (route, connector) = match (planned, same) {
            (_, Some(same)) => same,
            (PlannedRoute::New(new), None) => {
                let (connector, rules) = *new;
                let credential = named.credential.as_ref().and_then(|name| credentials.get(name)).cloned();
                let mut route = Route::new(named.clone(), credential, metrics.route(&named.name));
                route.callers = rules;
                if old.is_some() { &mut outcome.changed } else { &mut outcome.added }.push(named.name.clone());
                (Arc::new(route), connector)
            }
            // A plan is adopted by whom it was made for.
            (PlannedRoute::Same(_), None) => continue,
        };
        routes.push(route);
        connectors.push(connector);
    }
    outcome.removed = before.into_keys().map(str::to_owned).collect();
    outcome.removed.sort_unstable();
    outcome.removed.iter().for_each(|name| metrics.forget_route(name));
    let limits = settings.limits;
    metrics.replay_memory_limit.set(i64::try_from(limits.replay_memory).unwrap_or(i64::MAX));
    let before = now.map(|now| (&now.gateway, now.written.limits));
    let budget = before.filter(|(_, before)| before.replay_memory == limits.replay_memory);
    let wanted = (limits.requests_in_flight, limits.queue);
    let slots = before.filter(|(_, before)| (before.requests_in_flight, before.queue) == wanted);
    let gateway = Gateway {
        routes,
        connectors,
        table,
        callers: planned.callers,
        metrics: Arc::clone(metrics),
        budget: budget.map_or_else(
            || Arc::new(Budget::new(limits.replay_memory, metrics.replay_memory.clone())),
            |(gateway, _)| Arc::clone(&gateway.budget),
        ),
        slots: slots.map_or_else(
            || Arc::new(Slots::new(requests(wanted.0), wanted.1)),
            |(gateway, _)| Arc::clone(&gateway.slots),
        ),
        via: now.map_or_else(via, |now| now.gateway.via.clone()),
        refusals: Refusals::default(),
        access_log: AccessLog { share: settings.log.access, request_id: settings.log.request_id.clone() },
        traces: traces.recording(),
    };
    (Routes { written: Arc::clone(settings), gateway: Arc::new(gateway) }, outcome)
}

impl Routes {
    fn route(&self, index: usize) -> Option<(Arc<Route>, Connector)> {
        Some((Arc::clone(self.gateway.routes.get(index)?), self.gateway.connectors.get(index)?.clone()))
    }

    /// As written: by name, with the place.
    fn written(&self) -> impl Iterator<Item = (&str, (usize, &config::Route))> {
        self.written.routes.iter().enumerate().map(|(index, route)| (route.route.name.as_str(), (index, route)))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.gateway.routes.iter().map(|route| route.settings.name.as_str())
    }

    /// The TLS towards each upstream, by its name in the configuration.
    pub(super) fn tls(&self) -> impl Iterator<Item = (String, &tls::Client)> {
        let routes = self.names().zip(&self.gateway.connectors);
        routes.filter_map(|(name, connector)| Some((format!("routes.{name}"), connector.tls()?)))
    }
}

/// The hosts of all routes, which callers may name.
pub(super) fn hosts(settings: &Settings) -> impl Iterator<Item = &str> {
    settings.routes.iter().filter_map(|route| route.route.host.as_deref())
}

/// `bearerd-…`: a name of this process alone, so that another bearerd in the chain is no loop.
fn via() -> Via {
    Via::named(&format!("bearerd-{:08x}", fastrand::u32(..)))
}
