//! How the instances of a fleet act as one: one of them asks the token endpoint, and what it learns all know.
//!
//! Owns what this instance knows of the credential's entry in the token store, and the right to ask for all. Whatever goes wrong with the
//! store, the answer is the same: go on as if alone. Tokens that are bound to a key of this process are of no use to another, and are
//! not shared.

mod keys;
mod news;

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Source;
use super::entry::Entry;
use super::refresher::Refresher;
use super::schedule::{FLOOR, Next};
use super::shared::Phase;
use crate::oauth::FetchError;
use crate::reason::Reason;
use crate::secret::Secret;
use crate::store::{Claimed, Lease, Opened, Slot, Store, StoreError};

pub(super) use keys::Left;

/// The token store as it is configured now; `None` for none.
pub type Stores = watch::Receiver<Option<Rc<Store>>>;

/// How much longer than a token request a lease lasts.
const MARGIN: Duration = Duration::from_secs(2);
/// How long somebody else's turns may last before this instance asks on its own.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long somebody else's turn is waited for without a word before the store is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A life of which the last fifth has room for whatever the store does.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// What this instance has to do with the others.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    stores: Option<Stores>,
    slot: Option<Slot>,
    fingerprint: Option<[u8; 32]>,
    /// The version of the entry as this instance knows it.
    seen: u64,
    /// While it is this instance's turn.
    lease: Option<Lease>,
    /// The refresh token of the entry, while it is this instance's turn.
    refresh_token: Option<Secret>,
    /// How those are written who were refused since the fleet's last token.
    refused: Vec<u64>,
    /// Whether the entry may have changed.
    is_unread: bool,
    /// Whether there is something that the others do not know.
    is_untold: bool,
    /// When it is looked at again in any case: what lies under an old key could not be sealed anew.
    looks_again: Option<Instant>,
    /// Until then it is not offered again: the store did not take it.
    offers_from: Option<Instant>,
    /// How often in a row the store did not take it.
    untaken: u32,
}

/// Why a token is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It is time, or there is none.
    Due,
    /// The one that there is was rejected.
    Rejected,
    /// A person says so.
    Person,
    /// Nobody wants one: others have been heard.
    Told,
}

/// Who asks.
pub(super) enum Turn {
    /// Nobody: this is what the others know already.
    Known(Next),
    /// This instance: for all, or for itself.
    Ask,
}

impl Fleet {
    pub(super) fn of(stores: Stores) -> Self {
        Self { stores: Some(stores), ..Self::default() }
    }

    /// The store, if there is one now.
    pub(super) fn store(&self) -> Option<Rc<Store>> {
        self.stores.as_ref().and_then(|stores| stores.borrow().clone())
    }

    /// The credential's entry.
    pub(super) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Finds the entry of what has this fingerprint. Returns whether there is one to be had.
    fn prepare(&mut self, store: Option<Rc<Store>>, fingerprint: Option<[u8; 32]>) -> bool {
        let is_same = fingerprint.is_some() && self.fingerprint == fingerprint;
        self.fingerprint = fingerprint.or(self.fingerprint);
        let (Some(store), Some(fingerprint)) = (store, fingerprint) else {
            self.slot = None;
            return false;
        };
        if !is_same || self.slot.as_ref().is_none_or(|slot| !slot.is_of(&store)) {
            self.slot = Some(Slot::new(&store, "token", &fingerprint));
            (self.seen, self.is_unread, self.is_untold) = (0, true, is_same);
            (self.lease, self.refresh_token, self.refused) = (None, None, Vec::new());
            (self.looks_again, self.offers_from, self.untaken) = (None, None, 0);
        }
        true
    }

    /// Others may have written, or there is another store. May end for nothing.
    pub(super) async fn changed(&mut self) {
        let Self { stores, slot, is_unread, looks_again, .. } = self;
        let changed = async {
            match slot {
                Some(slot) => slot.changed().await,
                None => std::future::pending().await,
            }
        };
        let exchanged = async {
            match stores {
                // An error means that the process is ending.
                Some(stores) => match stores.changed().await {
                    Ok(()) => {}
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        let due = async {
            match looks_again {
                Some(at) => sleep_until(*at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = exchanged => {}
            () = due => {}
        }
        (*is_unread, *looks_again) = (true, None);
    }

    /// The jitter of the next renewal, 0 to 1. Instances that take turns need not keep out of each other's way: whoever is first renews for
    /// all, so they keep to the last fifth of the time for it, and a fleet asks hardly more often than one instance. Short lives have no
    /// time for a store that turns out to be away.
    pub(super) fn sample(&self, lifetime: Duration) -> f64 {
        let sample = fastrand::f64();
        let is_late = lifetime >= LONG_LIFE && self.slot.as_ref().is_some_and(Slot::is_there);
        if is_late { 0.8 + sample / 5.0 } else { sample }
    }

    /// Whether the entry should be looked at.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread
    }

    async fn claim(&self, lease: Duration) -> Result<Claimed, StoreError> {
        match &self.slot {
            Some(slot) => slot.claim(self.seen, self.seen, lease).await,
            None => Err(StoreError::Away),
        }
    }

    /// It is this instance's turn, and this is what the others know.
    fn begin_turn(&mut self, lease: Lease, opened: Option<Opened>) {
        self.lease = Some(lease);
        let entry = opened.and_then(|opened| Entry::parse(&opened.text, opened.age.unwrap_or_default()));
        let entry = entry.unwrap_or_default();
        self.refresh_token = entry.refresh_token;
        self.refused = entry.trouble.map(|trouble| trouble.refused).unwrap_or_default();
    }

    /// It is somebody else's turn again.
    pub(super) async fn let_go(&mut self) {
        if let (Some(slot), Some(lease)) = (&self.slot, self.lease.take()) {
            slot.release(lease).await;
        }
    }
}

impl<S: Source> Refresher<S> {
    /// Finds the credential's entry, and the refresh token's where that is the only credential.
    pub(super) fn meet(&mut self, fingerprint: Option<[u8; 32]>) -> bool {
        let store = if self.shared.settings.is_bound { None } else { self.fleet.store() };
        self.rotation.share(store.as_ref(), self.lease_time());
        self.fleet.prepare(store, fingerprint)
    }

    fn lease_time(&self) -> Duration {
        self.source.deadline() + self.floor + MARGIN
    }

    /// Who asks for a token? Waits while somebody else does.
    pub(super) async fn take_turn(&mut self, fingerprint: Option<[u8; 32]>, occasion: Occasion) -> Turn {
        if !self.meet(fingerprint) {
            return Turn::Ask;
        }
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // Nobody else waits for a rest of this instance.
            self.rest_for_the_floor().await;
            match self.fleet.claim(self.lease_time()).await {
                Err(_) => break,
                Ok(Claimed::Newer(opened)) => {
                    self.fleet.seen = opened.version;
                    self.fleet.is_unread |= opened.is_left_behind;
                    if let Some(next) = self.take_over(&opened, occasion).await {
                        return Turn::Known(next);
                    }
                }
                Ok(Claimed::Granted(lease, opened)) => {
                    self.fleet.begin_turn(lease, opened);
                    return Turn::Ask;
                }
                Ok(Claimed::Taken(left)) => {
                    // A store that does not answer any more tells nobody anything: it must be asked to be found out.
                    let left = left.clamp(FLOOR / 100, ASK_AGAIN);
                    if let Some(slot) = &mut self.fleet.slot {
                        // Too late is as good as told.
                        let _ = timeout(left, slot.changed()).await;
                    }
                }
            }
        }
        self.fleet.is_untold = true;
        Turn::Ask
    }

    /// Before another request in the same turn.
    pub(super) async fn prolong_turn(&mut self) {
        if let (Some(slot), Some(_)) = (&self.fleet.slot, &self.fleet.lease)
            && let Ok(Claimed::Granted(lease, _)) = slot.claim(u64::MAX, self.fleet.seen, self.lease_time()).await
        {
            self.fleet.lease = Some(lease);
        }
    }

    /// Whether others should know how asking ended.
    pub(super) fn concerns_all(error: &FetchError) -> bool {
        use Reason::{SecretUnreadable, StoreAway, TokenBudget, TokenStateLost};
        !matches!(error.reason, SecretUnreadable | StoreAway | TokenBudget | TokenStateLost)
    }

    /// Why asking is about to begin.
    pub(super) fn occasion(&self) -> Occasion {
        let snapshot = self.shared.snapshot();
        let is_wanted = self.shared.is_wanted(snapshot.settled);
        match (is_wanted, snapshot.phase) {
            (true, Phase::Waiting(_) | Phase::Latched) => Occasion::Person,
            (true, _) if snapshot.fresh_token(self.shared.clock.now()).is_some() => Occasion::Rejected,
            _ => Occasion::Due,
        }
    }
}
