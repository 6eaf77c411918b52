//! What instances have in common: the token store, what came from it, and the budget of token requests.

use std::sync::OnceLock;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{counter_vec, gauge_vec, int_gauge_vec};

const OPERATIONS: [&str; 5] = ["claim", "read", "write", "release", "count"];

/// The metrics of the fleet. Those of the store exist only where there is one.
#[derive(Debug)]
pub(super) struct Fleet {
    up: IntGaugeVec,
    operations: IntCounterVec,
    adopted: IntCounterVec,
    budget: IntGaugeVec,
    spent: GaugeVec,
    store: OnceLock<StoreMetrics>,
}

/// The handles of the token store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// `bearerd_store_up`.
    pub up: IntGauge,
    operations: Vec<(&'static str, IntCounter, IntCounter)>,
}

/// Where the handles of a credential's budget come from.
#[derive(Clone, Debug)]
pub struct LazyBudget {
    requests: IntGaugeVec,
    spent: GaugeVec,
    credential: String,
}

impl LazyBudget {
    /// The handles; the series exist from here on.
    pub fn handles(&self) -> BudgetMetrics {
        BudgetMetrics {
            requests: self.requests.with_label_values(&[&self.credential]),
            spent: self.spent.with_label_values(&[&self.credential]),
        }
    }

    /// There is no budget any more: its series go.
    pub fn forget(&self) {
        // An error means that there is no such series.
        let _ = self.requests.remove_label_values(&[&self.credential]);
        let _ = self.spent.remove_label_values(&[&self.credential]);
    }
}

/// The handles of a credential's budget.
#[derive(Clone, Debug)]
pub struct BudgetMetrics {
    /// `bearerd_token_budget_requests`.
    pub requests: IntGauge,
    /// `bearerd_token_budget_spent`.
    pub spent: Gauge,
}

impl Fleet {
    pub(super) fn new(r: &Registry) -> Self {
        Self {
            up: int_gauge_vec(r, "bearerd_store_up", "1 while the token store answers.", &[]),
            operations: counter_vec(
                r,
                "bearerd_store_operations_total",
                "Questions to the token store by outcome.",
                &["operation", "outcome"],
            ),
            adopted: counter_vec(
                r,
                "bearerd_token_adopted_total",
                "Tokens taken from the token store that another instance, or an earlier run, had got.",
                &["credential"],
            ),
            budget: int_gauge_vec(
                r,
                "bearerd_token_budget_requests",
                "How many token requests the budget allows in its time.",
                &["credential"],
            ),
            spent: gauge_vec(
                r,
                "bearerd_token_budget_spent",
                "Token requests of the budget's current time, of the whole fleet where there is a store.",
                &["credential"],
            ),
            store: OnceLock::new(),
        }
    }

    pub(super) fn store(&self) -> StoreMetrics {
        let make = || {
            let handles = |operation| {
                let outcome = |outcome| self.operations.with_label_values(&[operation, outcome]);
                (operation, outcome("success"), outcome("failure"))
            };
            StoreMetrics {
                up: self.up.with_label_values(&[] as &[&str]),
                operations: OPERATIONS.into_iter().map(handles).collect(),
            }
        };
        self.store.get_or_init(make).clone()
    }

    pub(super) fn adopted(&self, credential: &str) -> IntCounter {
        self.adopted.with_label_values(&[credential])
    }

    pub(super) fn budget(&self, credential: &str) -> LazyBudget {
        LazyBudget { requests: self.budget.clone(), spent: self.spent.clone(), credential: credential.to_owned() }
    }

    /// What says how a credential stands now.
    pub(super) fn forget_state(&self, credential: &str) {
        // An error means that there is no such series.
        let _ = self.budget.remove_label_values(&[credential]);
        let _ = self.spent.remove_label_values(&[credential]);
    }

    /// What it has counted.
    pub(super) fn forget_counts(&self, credential: &str) {
        let _ = self.adopted.remove_label_values(&[credential]);
    }
}

impl StoreMetrics {
    /// Counts a question by its outcome.
    pub fn count(&self, operation: &str, is_answered: bool) {
        if let Some((_, success, failure)) = self.operations.iter().find(|(name, ..)| *name == operation) {
            if is_answered { success.inc() } else { failure.inc() }
        }
    }
}
