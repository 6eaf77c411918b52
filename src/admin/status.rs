//! `/status`: how everything stands, for people and scripts. The fields below are all that is ever shown, be it as JSON, as the page
//! of `page`, or in a terminal.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::health::{Ready, Trouble};
use super::observed::{Recent, per_second};
use super::{Admin, Face, RouteSummary, words};
use crate::metrics::RouteReading;
use crate::reason::Reason;
use crate::token;

/// The answer to `/status`. Times are in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    pub(super) version: &'static str,
    pub(super) uptime_seconds: f64,
    pub(super) ready: bool,
    pub(super) draining: bool,
    pub(super) connections: i64,
    pub(super) requests_in_flight: u64,
    pub(super) replay_memory_bytes: u64,
    pub(super) replay_memory_limit_bytes: u64,
    pub(super) configuration: Configuration,
    /// The time that `recent` and `last_minute` look back over: a minute, or as much as there was.
    pub(super) recent_seconds: f64,
    pub(super) routes: Vec<Route<'a>>,
    pub(super) credentials: Vec<Credential>,
    pub(super) refusals: Vec<Refusals>,
    pub(super) certificates: Vec<Certificate>,
}

/// Where the configuration came from.
#[derive(Debug, Serialize)]
pub(super) struct Configuration {
    pub(super) file: Option<String>,
    pub(super) read_at: String,
    pub(super) read_seconds_ago: f64,
    pub(super) last_reload: Option<LastReload>,
}

#[derive(Debug, Serialize)]
pub(super) struct LastReload {
    pub(super) at: String,
    pub(super) seconds_ago: f64,
    pub(super) ok: bool,
    pub(super) what: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Route<'a> {
    pub(super) name: &'a str,
    pub(super) listen: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) upstream: String,
    pub(super) credential: Option<&'a str>,
    pub(super) requests_total: u64,
    pub(super) recent: RecentTraffic,
}

/// What a route did within `recent_seconds`. Quantiles are estimates; without requests there are none.
#[derive(Debug, Serialize)]
pub(super) struct RecentTraffic {
    pub(super) requests_per_second: f64,
    /// Of the answers, those with a 5xx.
    pub(super) error_share: f64,
    /// Of the answers, those with a 4xx.
    pub(super) client_error_share: f64,
    /// Of the answers, those by bearerd itself.
    pub(super) by_bearerd_share: f64,
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
    /// To the head of the upstream's answer.
    pub(super) upstream_p50_seconds: Option<f64>,
    pub(super) upstream_p99_seconds: Option<f64>,
    /// `requests_per_second` in steps of five seconds, the oldest first.
    pub(super) rates: Vec<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Credential {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) required: bool,
    pub(super) usable: bool,
    pub(super) settled: bool,
    pub(super) latched: bool,
    pub(super) generation: u64,
    pub(super) lifetime_seconds: Option<f64>,
    pub(super) expires_in_seconds: Option<f64>,
    pub(super) next_fetch_in_seconds: Option<f64>,
    pub(super) last_success_seconds_ago: Option<f64>,
    pub(super) requests_waiting: u64,
    pub(super) routes: Vec<String>,
    pub(super) last_error: Option<LastError>,
}

/// Where a credential stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// There is a token, and the last token request brought it.
    Valid,
    /// There is a token, and the last token request failed.
    Failing,
    /// There is no token yet, and nothing has failed.
    Pending,
    /// There is no token; it will be asked for again.
    Waiting,
    /// Nothing is tried until somebody acts; the last token may still serve.
    Latched,
}

/// The last failure, and what to do about it.
#[derive(Debug, Serialize)]
pub(super) struct LastError {
    #[serde(flatten)]
    pub(super) trouble: Trouble,
    pub(super) cures: &'static [&'static str],
}

/// Requests that were refused for one reason.
#[derive(Debug, Serialize)]
pub(super) struct Refusals {
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) total: u64,
    pub(super) last_minute: u64,
}

/// A certificate of the configuration.
#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    pub(super) name: String,
    pub(super) expires_at: String,
    /// Negative once it has ended.
    pub(super) expires_in_seconds: f64,
}

impl<'a> Status<'a> {
    pub(super) fn of(admin: &'a Admin) -> Self {
        let metrics = &admin.metrics;
        let recent = admin.observed.recent();
        let now = admin.clock.wall();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: seconds(admin.clock.now().since(admin.started)),
            ready: Ready::of(admin, Face::Admin).ready,
            draining: admin.draining.is_fired(),
            connections: metrics.connections.get(),
            requests_in_flight: metrics.requests_in_flight(),
            replay_memory_bytes: u64::try_from(metrics.replay_memory.get()).unwrap_or(0),
            replay_memory_limit_bytes: u64::try_from(metrics.replay_memory_limit.get()).unwrap_or(0),
            configuration: Configuration::of(admin, now),
            recent_seconds: seconds(recent.window()),
            routes: admin.routes.iter().map(|route| Route::of(route, &recent)).collect(),
            credentials: admin
                .credentials
                .iter()
                .map(|credential| Credential::of(credential.status(), admin))
                .collect(),
            refusals: recent.refusals().map(Refusals::of).collect(),
            certificates: metrics
                .certificates()
                .into_iter()
                .map(|(name, end)| Certificate::of(name, end, now))
                .collect(),
        }
    }
}

impl Configuration {
    fn of(admin: &Admin, now: SystemTime) -> Self {
        let configuration = admin.observed.configuration();
        let ago = |at: SystemTime| seconds(now.duration_since(at).unwrap_or_default());
        Self {
            file: configuration.file,
            read_at: words::timestamp(configuration.read_at),
            read_seconds_ago: ago(configuration.read_at),
            last_reload: configuration.last_reload.map(|reload| LastReload {
                at: words::timestamp(reload.at),
                seconds_ago: ago(reload.at),
                ok: reload.ok,
                what: reload.what,
            }),
        }
    }
}

impl<'a> Route<'a> {
    fn of(route: &'a RouteSummary, recent: &Recent) -> Self {
        let (total, since) = recent.route(&route.name);
        Self {
            name: &route.name,
            listen: &route.listen,
            host: route.host.as_deref(),
            path: &route.path,
            upstream: route.upstream.to_string(),
            credential: route.credential.as_deref(),
            requests_total: total.answered,
            recent: RecentTraffic::of(&since, recent, &route.name),
        }
    }
}

impl RecentTraffic {
    fn of(since: &RouteReading, recent: &Recent, name: &str) -> Self {
        let share = |part: u64| if since.answered == 0 { 0.0 } else { part as f64 / since.answered as f64 };
        Self {
            requests_per_second: rounded(per_second(since.answered, recent.window()), 3),
            error_share: rounded(share(since.errors), 5),
            client_error_share: rounded(share(since.client_errors), 5),
            by_bearerd_share: rounded(share(since.by_bearerd), 5),
            p50_seconds: since.requests.quantile(0.5).map(|time| rounded(time, 6)),
            p99_seconds: since.requests.quantile(0.99).map(|time| rounded(time, 6)),
            upstream_p50_seconds: since.upstream.quantile(0.5).map(|time| rounded(time, 6)),
            upstream_p99_seconds: since.upstream.quantile(0.99).map(|time| rounded(time, 6)),
            rates: recent.rates(name).into_iter().map(|rate| rounded(rate, 3)).collect(),
        }
    }
}

impl Credential {
    fn of(status: token::Status, admin: &Admin) -> Self {
        let users = admin.routes.iter().filter(|route| route.credential.as_ref() == Some(&status.name));
        Self {
            state: State::of(&status),
            routes: users.map(|route| route.name.clone()).collect(),
            last_error: status.last_error.as_ref().map(LastError::of),
            name: status.name,
            required: status.required,
            usable: status.usable,
            settled: status.settled,
            latched: status.latched,
            generation: status.generation,
            lifetime_seconds: status.lifetime.map(seconds),
            expires_in_seconds: status.expires_in.map(seconds),
            next_fetch_in_seconds: status.next_fetch_in.map(seconds),
            last_success_seconds_ago: status.last_success_ago.map(seconds),
            requests_waiting: status.waiting,
        }
    }
}

impl State {
    fn of(status: &token::Status) -> Self {
        match (status.latched, status.usable, status.last_error.is_some()) {
            (true, ..) => Self::Latched,
            (_, true, false) => Self::Valid,
            (_, true, true) => Self::Failing,
            (_, false, false) => Self::Pending,
            (_, false, true) => Self::Waiting,
        }
    }
}

impl LastError {
    fn of(error: &token::Unavailable) -> Self {
        Self { trouble: Trouble::of(error), cures: error.reason.page().cures }
    }
}

impl Refusals {
    fn of((reason, total, last_minute): (Reason, u64, u64)) -> Self {
        Self { code: reason.code(), title: reason.title(), total, last_minute }
    }
}

impl Certificate {
    fn of(name: String, end: f64, now: SystemTime) -> Self {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let at = Duration::try_from_secs_f64(end).ok().and_then(|end| UNIX_EPOCH.checked_add(end));
        Self {
            name,
            expires_at: at.map(words::timestamp).unwrap_or_default(),
            expires_in_seconds: rounded(end - since_epoch, 0),
        }
    }
}

/// Seconds with a precision that people read: milliseconds.
pub(super) fn seconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64(), 3)
}

fn rounded(number: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (number * scale).round() / scale
}
