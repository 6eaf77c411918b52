//! `/status`: how everything stands, for people and scripts. The fields below are all that is ever shown.

use std::time::Duration;

use serde::Serialize;

use super::health::{Ready, Trouble};
use super::{Admin, Face, RouteSummary};
use crate::token;

/// The answer to `/status`. Times are in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    version: &'static str,
    uptime_seconds: f64,
    ready: bool,
    draining: bool,
    connections: i64,
    requests_in_flight: u64,
    routes: Vec<Route<'a>>,
    credentials: Vec<Credential>,
}

#[derive(Debug, Serialize)]
struct Route<'a> {
    name: &'a str,
    listen: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    path: &'a str,
    upstream: String,
    credential: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Credential {
    name: String,
    required: bool,
    usable: bool,
    settled: bool,
    latched: bool,
    generation: u64,
    expires_in_seconds: Option<f64>,
    next_fetch_in_seconds: Option<f64>,
    last_success_seconds_ago: Option<f64>,
    last_error: Option<Trouble>,
}

impl<'a> Status<'a> {
    pub(super) fn of(admin: &'a Admin) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: seconds(admin.clock.now().since(admin.started)),
            ready: Ready::of(admin, Face::Admin).ready,
            draining: admin.draining.is_fired(),
            connections: admin.metrics.connections.get(),
            requests_in_flight: admin.metrics.requests_in_flight(),
            routes: admin.routes.iter().map(Route::of).collect(),
            credentials: admin.credentials.iter().map(|credential| Credential::of(credential.status())).collect(),
        }
    }
}

impl<'a> Route<'a> {
    fn of(route: &'a RouteSummary) -> Self {
        Self {
            name: &route.name,
            listen: &route.listen,
            host: route.host.as_deref(),
            path: &route.path,
            upstream: route.upstream.to_string(),
            credential: route.credential.as_deref(),
        }
    }
}

impl Credential {
    fn of(status: token::Status) -> Self {
        Self {
            last_error: status.last_error.as_ref().map(Trouble::of),
            name: status.name,
            required: status.required,
            usable: status.usable,
            settled: status.settled,
            latched: status.latched,
            generation: status.generation,
            expires_in_seconds: status.expires_in.map(seconds),
            next_fetch_in_seconds: status.next_fetch_in.map(seconds),
            last_success_seconds_ago: status.last_success_ago.map(seconds),
        }
    }
}

/// Seconds with a precision that people read: milliseconds.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
