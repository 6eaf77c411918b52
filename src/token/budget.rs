//! How many token requests a credential may take: vendors count them, and bill or throttle.
//!
//! Owns the counts of the current time, of the whole fleet where there is a token store, else of this process. Refuses what the budget does
//! not have: rejected tokens may take half of it, so that an API which rejects everything never costs a renewal. A person may always.

use std::time::{Duration, SystemTime};

use ring::digest;

use super::fleet::Occasion;
use super::refresher::failure;
use super::settings::Budget;
use crate::metrics::{BudgetMetrics, LazyBudget};
use crate::oauth::{Class, FetchError};
use crate::reason::Reason;
use crate::store::Slot;

/// From this share on it is said that the budget is nearly spent.
const NEARLY: f64 = 0.8;

/// The counts of one credential.
#[derive(Debug)]
pub(super) struct Ledger {
    budget: Option<(Budget, BudgetMetrics)>,
    /// Which time the counts are of, since the epoch.
    time: u64,
    all: u64,
    forced: u64,
    /// Of whom the fleet's counts are.
    fingerprint: Option<[u8; 32]>,
    /// Whether the next request is for a rejected token.
    is_forced: bool,
    has_warned: bool,
}

/// The budget does not have this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    budget: Budget,
    /// Whether it is only the half for rejected tokens.
    is_half: bool,
    /// How long until the next time.
    left: Duration,
}

impl Ledger {
    pub(super) fn new(budget: Option<Budget>, metrics: &LazyBudget) -> Self {
        let budget = budget.map(|budget| (budget, metrics.handles()));
        if let Some((budget, metrics)) = &budget {
            metrics.requests.set(i64::from(budget.requests));
            metrics.spent.set(0.0);
        }
        Self { budget, time: 0, all: 0, forced: 0, fingerprint: None, is_forced: false, has_warned: false }
    }

    /// Another budget from now on. What was counted stays counted if its time is as long.
    pub(super) fn change(&mut self, budget: Option<Budget>, metrics: &LazyBudget) {
        let before = self.budget.as_ref().map(|(budget, _)| *budget);
        if budget == before {
            return;
        }
        if budget.is_none() {
            metrics.forget();
        }
        let Self { time, all, forced, fingerprint, .. } = *self;
        *self = Self::new(budget, metrics);
        if let (Some((budget, metrics)), Some(before)) = (&self.budget, before)
            && budget.per == before.per
        {
            metrics.spent.set(all as f64);
            (self.time, self.all, self.forced, self.fingerprint) = (time, all, forced, fingerprint);
        }
    }

    /// Whether there is a request left for this occasion.
    ///
    /// # Errors
    /// [`Spent`] if not.
    pub(super) async fn allows(
        &mut self,
        slot: Option<&Slot>,
        fingerprint: Option<[u8; 32]>,
        wall: SystemTime,
        occasion: Occasion,
    ) -> Result<(), Spent> {
        let Some((budget, _)) = self.budget else { return Ok(()) };
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let per = budget.per.as_millis().max(1);
        let time = u64::try_from(since / per).unwrap_or(u64::MAX);
        if time != self.time || fingerprint != self.fingerprint {
            (self.time, self.fingerprint) = (time, fingerprint);
            (self.all, self.forced, self.has_warned) = (0, 0, false);
        }
        self.is_forced = occasion == Occasion::Rejected;
        self.add(slot, 0).await;
        let left = Duration::from_millis(u64::try_from(per - since % per).unwrap_or(u64::MAX));
        let is_half = self.is_forced && self.forced >= u64::from(budget.requests / 2);
        let is_spent = self.all >= u64::from(budget.requests);
        match occasion {
            Occasion::Person => Ok(()),
            _ if is_spent || is_half => Err(Spent { budget, is_half: !is_spent, left }),
            _ => Ok(()),
        }
    }

    /// A request is sent.
    pub(super) async fn spend(&mut self, slot: Option<&Slot>, name: &str) {
        let Some((budget, _)) = self.budget else { return };
        self.add(slot, 1).await;
        let requests = u64::from(budget.requests);
        if !self.has_warned && self.all as f64 >= requests as f64 * NEARLY {
            self.has_warned = true;
            let (spent, per) = (self.all, humantime::format_duration(budget.per));
            tracing::warn!(
                credential = name,
                spent,
                requests,
                "{name}: {spent} of the {requests} token requests that the budget has for {per} are spent"
            );
        }
    }

    async fn add(&mut self, slot: Option<&Slot>, by: u32) {
        let Some((budget, metrics)) = &self.budget else { return };
        let forced_by = if self.is_forced { by } else { 0 };
        // What the fleet has counted while this instance could not ask is more, or less, than what it knows itself: the more counts.
        self.all = counted(slot, self.named("all"), by, budget.per, self.all).await;
        self.forced = counted(slot, self.named("forced"), forced_by, budget.per, self.forced).await;
        metrics.spent.set(self.all as f64);
    }

    /// What the count of this time is called in the store.
    fn named(&self, what: &str) -> Option<[u8; 32]> {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.fingerprint?);
        context.update(&self.time.to_be_bytes());
        context.update(what.as_bytes());
        let mut name = [0; 32];
        name.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Some(name)
    }
}

async fn counted(slot: Option<&Slot>, name: Option<[u8; 32]>, by: u32, per: Duration, own: u64) -> u64 {
    let own = own + u64::from(by);
    match (slot, name) {
        (Some(slot), Some(name)) => slot.count(&name, by, per.saturating_mul(2)).await.map_or(own, |all| all.max(own)),
        _ => own,
    }
}

impl Spent {
    pub(super) fn into_error(self) -> FetchError {
        let Self { budget: Budget { requests, per }, is_half, left } = self;
        let per = humantime::format_duration(per);
        let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
        let why = match is_half {
            true => format!("half of {requests} in {per} may be forced by rejected tokens; more in {left}"),
            false => format!("{requests} in {per}; more in {left}"),
        };
        let error = failure(Class::Transient, Reason::TokenBudget, &why);
        FetchError { retry_after: Some(self.left), ..error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn at(seconds: f64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    const SOMEBODY: Option<[u8; 32]> = Some([1; 32]);

    #[test]
    fn who_has_spent_it_is_told_when_there_is_more() {
        let left = Duration::from_millis(90_500);
        let error = |is_half| {
            let budget = Budget { requests: 2, per: Duration::from_secs(3600) };
            Spent { budget, is_half, left }.into_error()
        };
        let all = error(false);
        assert_eq!((all.class, all.reason, all.retry_after), (Class::Transient, Reason::TokenBudget, Some(left)));
        assert!(all.message.ends_with(": 2 in 1h; more in 1m 30s"), "{}", all.message);
        assert!(error(true).message.ends_with(": half of 2 in 1h may be forced by rejected tokens; more in 1m 30s"));
    }
    const SOMEBODY_ELSE: Option<[u8; 32]> = Some([2; 32]);

    /// Four requests in a hundred seconds.
    fn ledger() -> Ledger {
        let budget = Budget { requests: 4, per: Duration::from_secs(100) };
        Ledger::new(Some(budget), &Metrics::new().credential("api").budget)
    }

    async fn spend(ledger: &mut Ledger, requests: usize, seconds: f64, occasion: Occasion) {
        for _ in 0..requests {
            ledger.allows(None, SOMEBODY, at(seconds), occasion).await.unwrap();
            ledger.spend(None, "api").await;
        }
    }

    #[tokio::test]
    async fn what_is_spent_comes_again_with_the_next_time_and_not_before() {
        let mut ledger = ledger();
        spend(&mut ledger, 4, 1000.0, Occasion::Due).await;
        let spent = ledger.allows(None, SOMEBODY, at(1030.5), Occasion::Due).await.unwrap_err();
        assert_eq!((spent.is_half, spent.left), (false, Duration::from_millis(69_500)));
        assert_eq!(ledger.allows(None, SOMEBODY, at(1030.5), Occasion::Person).await, Ok(()));
        assert!(ledger.allows(None, SOMEBODY, at(1099.9), Occasion::Told).await.is_err());
        assert_eq!(ledger.allows(None, SOMEBODY, at(1100.0), Occasion::Due).await, Ok(()));
    }

    #[tokio::test]
    async fn another_budget_for_the_same_time_knows_what_is_spent() {
        let (mut ledger, metrics) = (ledger(), Metrics::new());
        let budget = &metrics.credential("api").budget;
        spend(&mut ledger, 4, 1000.0, Occasion::Due).await;
        ledger.change(Some(Budget { requests: 5, per: Duration::from_secs(100) }), budget);
        spend(&mut ledger, 1, 1030.0, Occasion::Due).await;
        assert!(ledger.allows(None, SOMEBODY, at(1030.0), Occasion::Due).await.is_err());
        assert!(metrics.render().contains("bearerd_token_budget_spent{credential=\"api\"} 5"));
        ledger.change(None, budget);
        assert_eq!(ledger.allows(None, SOMEBODY, at(1030.0), Occasion::Due).await, Ok(()));
        assert!(!metrics.render().contains("bearerd_token_budget_spent{"));
    }

    #[tokio::test]
    async fn another_secret_has_a_budget_of_its_own() {
        let mut ledger = ledger();
        spend(&mut ledger, 4, 1000.0, Occasion::Due).await;
        assert_eq!(ledger.allows(None, SOMEBODY_ELSE, at(1000.0), Occasion::Due).await, Ok(()));
    }

    #[tokio::test]
    async fn rejected_tokens_may_take_half() {
        let mut ledger = ledger();
        spend(&mut ledger, 2, 1000.0, Occasion::Rejected).await;
        let spent = ledger.allows(None, SOMEBODY, at(1000.0), Occasion::Rejected).await.unwrap_err();
        assert!(spent.is_half);
        spend(&mut ledger, 2, 1000.0, Occasion::Due).await;
        let spent = ledger.allows(None, SOMEBODY, at(1000.0), Occasion::Rejected).await.unwrap_err();
        assert!(!spent.is_half);
    }

    #[tokio::test]
    async fn the_last_fifth_is_told_of_once() {
        let mut ledger = ledger();
        spend(&mut ledger, 3, 1000.0, Occasion::Due).await;
        assert!(!ledger.has_warned);
        spend(&mut ledger, 1, 1000.0, Occasion::Due).await;
        assert!(ledger.has_warned);
    }
}
