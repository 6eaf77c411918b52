//! What is counted and measured of credentials.
//!
//! Owns the families of series with the label `credential`; what a fleet adds to them is `fleet`'s.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::fleet::{Fleet, LazyBudget};
use super::{counter_vec, gauge_vec, histogram_vec, int_gauge_vec};

const OUTCOMES: [&str; 4] = ["success", "transient", "refused", "permanent"];

const ACTIONS: [&str; 7] =
    ["replayed", "passed_gap", "passed_body", "passed_memory", "passed_unsafe", "passed_unavailable", "passed_again"];

/// The families of all credentials.
#[derive(Debug)]
pub(super) struct Credentials {
    waiting: IntGaugeVec,
    token_expiry: GaugeVec,
    token_valid: IntGaugeVec,
    token_latched: IntGaugeVec,
    token_last_success: GaugeVec,
    token_last_failure: GaugeVec,
    token_requests: IntCounterVec,
    token_request_duration: HistogramVec,
    token_rejections: IntCounterVec,
    dpop_nonce_replays: IntCounterVec,
}

impl Credentials {
    /// Registers them; series exist from [`Credentials::of`] on.
    pub(super) fn new(r: &Registry) -> Self {
        Self {
            waiting: int_gauge_vec(
                r,
                "bearerd_requests_waiting_for_token",
                "Requests held because there is no token.",
                &["credential"],
            ),
            token_expiry: gauge_vec(
                r,
                "bearerd_token_expiry_timestamp_seconds",
                "When the current token ends; 0 without one.",
                &["credential"],
            ),
            token_valid: int_gauge_vec(r, "bearerd_token_valid", "1 while there is a usable token.", &["credential"]),
            token_latched: int_gauge_vec(
                r,
                "bearerd_token_latched",
                "1 while nothing is tried until somebody acts.",
                &["credential"],
            ),
            token_last_success: gauge_vec(
                r,
                "bearerd_token_last_success_timestamp_seconds",
                "When a token was last issued; 0 if never.",
                &["credential"],
            ),
            token_last_failure: gauge_vec(
                r,
                "bearerd_token_last_failure_timestamp_seconds",
                "When a token request last failed; 0 if never. Later than the last success while renewals fail.",
                &["credential"],
            ),
            token_requests: counter_vec(
                r,
                "bearerd_token_requests_total",
                "Token requests by outcome.",
                &["credential", "outcome"],
            ),
            token_request_duration: histogram_vec(
                r,
                "bearerd_token_request_duration_seconds",
                "Time a token request took.",
                &["credential"],
            ),
            token_rejections: counter_vec(
                r,
                "bearerd_token_rejections_total",
                "Answers that rejected the token, by what followed.",
                &["credential", "action"],
            ),
            dpop_nonce_replays: counter_vec(
                r,
                "bearerd_dpop_nonce_replays_total",
                "Requests sent again because their DPoP proof lacked a nonce (or had another time), by whom they went to.",
                &["credential", "side"],
            ),
        }
    }

    /// The handles of one credential; its series exist from here on.
    pub(super) fn of(&self, name: &str, fleet: &Fleet) -> CredentialMetrics {
        let outcome = |o: &str| self.token_requests.with_label_values(&[name, o]);
        let action = |a: &str| self.token_rejections.with_label_values(&[name, a]);
        let side = |s: &str| self.dpop_nonce_replays.with_label_values(&[name, s]);
        CredentialMetrics {
            waiting: self.waiting.with_label_values(&[name]),
            expiry: self.token_expiry.with_label_values(&[name]),
            valid: self.token_valid.with_label_values(&[name]),
            latched: self.token_latched.with_label_values(&[name]),
            last_success: self.token_last_success.with_label_values(&[name]),
            last_failure: self.token_last_failure.with_label_values(&[name]),
            success: outcome("success"),
            transient: outcome("transient"),
            refused: outcome("refused"),
            permanent: outcome("permanent"),
            request_duration: self.token_request_duration.with_label_values(&[name]),
            rejections: Rejections {
                replayed: action("replayed"),
                passed_gap: action("passed_gap"),
                passed_body: action("passed_body"),
                passed_memory: action("passed_memory"),
                passed_unsafe: action("passed_unsafe"),
                passed_unavailable: action("passed_unavailable"),
                passed_again: action("passed_again"),
            },
            dpop_nonce_replays: DpopNonceReplays { token_endpoint: side("token_endpoint"), upstream: side("upstream") },
            adopted: fleet.adopted(name),
            budget: fleet.budget(name),
        }
    }

    /// What it is like now goes. An error means that there is no such series.
    pub(super) fn forget_state(&self, name: &str) {
        let labels = &[name];
        let _ = self.waiting.remove_label_values(labels);
        let _ = self.token_expiry.remove_label_values(labels);
        let _ = self.token_valid.remove_label_values(labels);
        let _ = self.token_latched.remove_label_values(labels);
    }

    /// What it has counted goes, too.
    pub(super) fn forget_counts(&self, name: &str) {
        let labels = &[name];
        let _ = self.token_last_success.remove_label_values(labels);
        let _ = self.token_last_failure.remove_label_values(labels);
        let _ = self.token_request_duration.remove_label_values(labels);
        for outcome in OUTCOMES {
            let _ = self.token_requests.remove_label_values(&[name, outcome]);
        }
        for action in ACTIONS {
            let _ = self.token_rejections.remove_label_values(&[name, action]);
        }
        for side in ["token_endpoint", "upstream"] {
            let _ = self.dpop_nonce_replays.remove_label_values(&[name, side]);
        }
    }
}

/// The handles of one credential.
#[derive(Clone, Debug)]
pub struct CredentialMetrics {
    /// Requests held because there is no token.
    pub waiting: IntGauge,
    /// When the current token ends, epoch seconds; 0 without one.
    pub expiry: Gauge,
    /// 1 while there is a usable token.
    pub valid: IntGauge,
    /// 1 while nothing is tried until somebody acts.
    pub latched: IntGauge,
    /// When a token was last issued, epoch seconds.
    pub last_success: Gauge,
    /// When a token request last failed, epoch seconds.
    pub last_failure: Gauge,
    /// Token requests that brought a token.
    pub success: IntCounter,
    /// Token requests that failed for now.
    pub transient: IntCounter,
    /// Token requests refused with an unknown 4xx.
    pub refused: IntCounter,
    /// Token requests refused for good.
    pub permanent: IntCounter,
    /// Time of one token request.
    pub request_duration: Histogram,
    /// What followed on rejections.
    pub rejections: Rejections,
    /// Requests that were sent again with another proof.
    pub dpop_nonce_replays: DpopNonceReplays,
    /// Tokens that came from the token store.
    pub adopted: IntCounter,
    /// The budget of token requests; its series exist where there is one.
    pub budget: LazyBudget,
}

/// `bearerd_dpop_nonce_replays_total` by side.
#[derive(Clone, Debug)]
pub struct DpopNonceReplays {
    /// Token requests.
    pub token_endpoint: IntCounter,
    /// Forwarded requests.
    pub upstream: IntCounter,
}

/// `bearerd_token_rejections_total` by action.
#[derive(Clone, Debug)]
pub struct Rejections {
    /// Sent again with another token.
    pub replayed: IntCounter,
    /// Passed on: the gap is open.
    pub passed_gap: IntCounter,
    /// Passed on: the request's body was too long to keep.
    pub passed_body: IntCounter,
    /// Passed on: the replay memory was spent.
    pub passed_memory: IntCounter,
    /// Passed on: the method may not be sent twice.
    pub passed_unsafe: IntCounter,
    /// Passed on: no other token could be had, or the replay was not answered.
    pub passed_unavailable: IntCounter,
    /// Passed on: the replay was rejected too.
    pub passed_again: IntCounter,
}
