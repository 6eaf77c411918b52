//! Every metric, in one struct (DESIGN section 10).
//!
//! Owns the registry, the names and the labels. Label values come from the configuration and from closed lists only,
//! never from a request. Handles are resolved once, so that counting is one atomic addition; what is counted for each request
//! is counted by every worker for itself (`traffic`).

mod credential;
mod fleet;
#[cfg(target_os = "linux")]
mod process;
#[cfg(feature = "otel")]
mod spans;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::core::Collector as _;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::panics;
use crate::reason::Reason;
use credential::Credentials;
pub use credential::{CredentialMetrics, DpopNonceReplays, Rejections};
pub use fleet::{BudgetMetrics, LazyBudget, StoreMetrics};
#[cfg(feature = "otel")]
pub use spans::SpanMetrics;
pub use traffic::{AnsweredBy, Counted, RouteCounts, RouteMetrics, RouteReading, Tally};
use traffic::{BUCKETS, Traffic};

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    panics: IntCounter,
    /// `bearerd_connections`.
    pub connections: IntGauge,
    /// `bearerd_replay_memory_bytes`.
    pub replay_memory: IntGauge,
    /// `bearerd_replay_memory_limit_bytes`.
    pub replay_memory_limit: IntGauge,
    /// `bearerd_tls_certificate_expiry_timestamp_seconds`.
    pub certificate_expiry: GaugeVec,
    /// `bearerd_config_last_reload_success_timestamp_seconds`.
    pub config_last_success: Gauge,
    /// What became of spans.
    #[cfg(feature = "otel")]
    pub spans: SpanMetrics,
    refused: Vec<(Reason, IntCounter)>,
    traffic: Traffic,
    credentials: Credentials,
    fleet: fleet::Fleet,
    config_reloads: IntCounterVec,
    config_is_current: IntGauge,
    tls_reloads: IntCounterVec,
}

impl Metrics {
    /// Registers everything; what has only fixed labels exists at zero from here on.
    pub fn new() -> Self {
        let r = Registry::new();
        let build = int_gauge_vec(&r, "bearerd_build_info", "Always 1; the version is the label.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let refused = counter_vec(&r, "bearerd_refused_total", "Requests that bearerd refused itself.", &["reason"]);
        #[cfg(target_os = "linux")]
        process::register(&r);
        let metrics = Self {
            panics: counter_vec(&r, "bearerd_panics_total", "Mistakes of bearerd's own that ended a task.", &[])
                .with_label_values(&[] as &[&str]),
            connections: gauge(&r, "bearerd_connections", "Open connections of callers."),
            replay_memory: gauge(&r, "bearerd_replay_memory_bytes", "Request bodies kept for a replay."),
            replay_memory_limit: gauge(
                &r,
                "bearerd_replay_memory_limit_bytes",
                "What limits.replay_memory allows; beyond it no body is kept.",
            ),
            certificate_expiry: gauge_vec(
                &r,
                "bearerd_tls_certificate_expiry_timestamp_seconds",
                "When a configured certificate ends.",
                &["certificate"],
            ),
            config_last_success: gauge_vec(
                &r,
                "bearerd_config_last_reload_success_timestamp_seconds",
                "When the configuration was last read without a mistake.",
                &[],
            )
            .with_label_values(&[] as &[&str]),
            #[cfg(feature = "otel")]
            spans: spans::register(&r),
            refused: Reason::ALL
                .iter()
                .filter(|reason| !reason.code().starts_with('F'))
                .map(|reason| (*reason, refused.with_label_values(&[reason.code()])))
                .collect(),
            traffic: traffic(&r),
            credentials: Credentials::new(&r),
            fleet: fleet::Fleet::new(&r),
            config_reloads: counter_vec(
                &r,
                "bearerd_config_reloads_total",
                "Configuration reloads by outcome.",
                &["outcome"],
            ),
            config_is_current: gauge(
                &r,
                "bearerd_config_last_reload_successful",
                "1 unless the last reload failed and the configuration before it stays in use.",
            ),
            tls_reloads: counter_vec(
                &r,
                "bearerd_tls_reloads_total",
                "Changes of TLS files by outcome.",
                &["certificate", "outcome"],
            ),
            registry: r,
        };
        // The start read it well, or there would be no start.
        metrics.config_is_current.set(1);
        for outcome in ["success", "failure"] {
            metrics.config_reloads.with_label_values(&[outcome]);
        }
        metrics
    }

    /// One route; its series exist from here on.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.traffic.route(name)
    }

    /// Counts a reload of the configuration.
    pub fn count_reload(&self, is_done: bool) {
        self.config_is_current.set(i64::from(is_done));
        self.config_reloads.with_label_values(&[if is_done { "success" } else { "failure" }]).inc();
    }

    /// A route is no more: its series go. What its last requests count is seen by nobody.
    pub fn forget_route(&self, name: &str) {
        self.traffic.forget_route(name);
    }

    /// A credential is no more, or another one takes its name: its state goes. What it has counted goes on if `is_replaced`.
    /// What its last requests change is seen by nobody.
    pub fn forget_credential(&self, name: &str, is_replaced: bool) {
        self.credentials.forget_state(name);
        self.fleet.forget_state(name);
        if !is_replaced {
            self.credentials.forget_counts(name);
            self.fleet.forget_counts(name);
        }
    }

    /// A TLS configuration is no more, or has other files: its series go.
    pub fn forget_certificate(&self, name: &str) {
        for label in [name.to_owned(), format!("{name}.ca"), format!("{name}.client_ca")] {
            let _ = self.certificate_expiry.remove_label_values(&[&label]);
        }
        for outcome in ["success", "failure"] {
            let _ = self.tls_reloads.remove_label_values(&[name, outcome]);
        }
    }

    /// The requests in flight of one more worker, which alone counts them there.
    pub fn worker(&self) -> Arc<Tally> {
        self.traffic.in_flight()
    }

    /// Requests being served, by all workers.
    pub fn requests_in_flight(&self) -> u64 {
        self.traffic.requests_in_flight()
    }

    /// The handles of one credential; its series exist from here on.
    pub fn credential(&self, name: &str) -> CredentialMetrics {
        self.credentials.of(name, &self.fleet)
    }

    /// The handles of the token store; its series exist from here on.
    pub fn store(&self) -> StoreMetrics {
        self.fleet.store()
    }

    /// The handles of one TLS configuration; its series exist from here on.
    pub fn tls_reloads(&self, name: &str) -> TlsReloads {
        let outcome = |o: &str| self.tls_reloads.with_label_values(&[name, o]);
        TlsReloads { success: outcome("success"), failure: outcome("failure") }
    }

    /// Counts a request that bearerd refused itself.
    pub fn refuse(&self, reason: Reason) {
        if let Some((_, counter)) = self.refused.iter().find(|(r, _)| *r == reason) {
            counter.inc();
        }
    }

    /// Every route as it stands.
    pub fn routes(&self) -> BTreeMap<String, RouteReading> {
        self.traffic.reading()
    }

    /// How many requests were refused, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.refused.iter().map(|(reason, counter)| (*reason, counter.get()))
    }

    /// When each configured certificate ends, in epoch seconds, by name.
    pub fn certificates(&self) -> Vec<(String, f64)> {
        let families = self.certificate_expiry.collect();
        let series = families.iter().flat_map(|family| family.get_metric());
        let ends = series.filter_map(|series| {
            Some((series.get_label().first()?.value().to_owned(), series.get_gauge().get_value()))
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        ends
    }

    /// The page of `/metrics`, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.panics.inc_by(panics::count().saturating_sub(self.panics.get()));
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of changed TLS files.
#[derive(Clone, Debug)]
pub struct TlsReloads {
    /// They are in use.
    pub success: IntCounter,
    /// They cannot be used; those before stay.
    pub failure: IntCounter,
}

// The names are constants of this file; that they are legal and unique is proven by every test that makes the struct.

#[expect(clippy::expect_used, reason = "names are constants; a wrong one fails every test")]
fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("legal metric name");
    registry.register(Box::new(collector.clone())).expect("unique metric name");
    collector
}

#[expect(clippy::expect_used, reason = "names are constants; a wrong one fails every test")]
fn traffic(registry: &Registry) -> Traffic {
    let traffic = Traffic::new().expect("legal metric names");
    registry.register(Box::new(traffic.clone())).expect("unique metric names");
    traffic
}

fn gauge(r: &Registry, name: &str, help: &str) -> IntGauge {
    register(r, IntGauge::new(name, help))
}

fn gauge_vec(r: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    register(r, GaugeVec::new(Opts::new(name, help), labels))
}

fn int_gauge_vec(r: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(r, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn counter_vec(r: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(r, IntCounterVec::new(Opts::new(name, help), labels))
}

fn histogram_vec(r: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    register(r, HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_has_no_series_left() {
        let metrics = Metrics::new();
        let (_route, credential, _certificate) =
            (metrics.route("gone"), metrics.credential("gone"), metrics.tls_reloads("gone"));
        metrics.certificate_expiry.with_label_values(&["gone.ca"]).set(1.0);
        credential.success.inc();
        metrics.forget_credential("gone", true);
        let _again = metrics.credential("gone");
        credential.valid.set(1);
        let page = metrics.render();
        assert!(page.contains("bearerd_token_valid{credential=\"gone\"} 0"), "{page}");
        assert!(page.contains("bearerd_token_requests_total{credential=\"gone\",outcome=\"success\"} 1"), "{page}");
        metrics.forget_credential("gone", false);
        metrics.forget_route("gone");
        metrics.forget_certificate("gone");
        let page = metrics.render();
        assert!(!page.contains("gone"), "{page}");
    }

    #[test]
    fn series_with_finite_labels_exist_at_zero_from_the_start() {
        let metrics = Metrics::new();
        let _route = metrics.route("api");
        let _credential = metrics.credential("api");
        let page = metrics.render();
        for line in [
            "bearerd_refused_total{reason=\"C003\"} 0",
            "bearerd_requests_in_flight 0",
            "bearerd_connections 0",
            "bearerd_panics_total 0",
            "bearerd_replay_memory_bytes 0",
            "bearerd_replay_memory_limit_bytes 0",
            "bearerd_token_last_failure_timestamp_seconds{credential=\"api\"} 0",
            "bearerd_token_valid{credential=\"api\"} 0",
            "bearerd_token_latched{credential=\"api\"} 0",
            "bearerd_token_requests_total{credential=\"api\",outcome=\"permanent\"} 0",
            "bearerd_token_rejections_total{action=\"passed_again\",credential=\"api\"} 0",
            "bearerd_dpop_nonce_replays_total{credential=\"api\",side=\"upstream\"} 0",
            "bearerd_request_duration_seconds_count{route=\"api\"} 0",
            "bearerd_config_reloads_total{outcome=\"failure\"} 0",
            "bearerd_config_last_reload_successful 1",
            "process_open_fds",
        ] {
            assert!(page.contains(line), "missing {line:?} in\n{page}");
        }
    }
}
