//! One entry as its owner sees it: under every key of the store at once.
//!
//! Owns the order in which the entry's places are asked. While a key is being exchanged for another there are two: leases are taken in
//! both, contents are written to both, the newer one is read, so that instances that know one key alone and those that know both
//! never act at the same time. What does not open is no entry.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::backend::{self, Claim, Holder, Name, StoreError, Stored, Write, Written};
use super::presence::{Return, Store};
use super::seal::SealKey;
use crate::reason::Reason;

/// The entry of one purpose for one way to get tokens.
#[derive(Debug)]
pub struct Slot {
    store: Rc<Store>,
    holder: Holder,
    places: Vec<Place>,
    back: Return,
}

#[derive(Debug)]
struct Place {
    key: SealKey,
    name: Name,
    changes: watch::Receiver<()>,
}

/// The right to act for the fleet, until it is given back or its time is over.
#[derive(Debug)]
#[must_use = "a lease that is dropped keeps the others waiting until its time is over"]
pub struct Lease {
    fence: u64,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// There is an entry that the claimer did not know.
    Newer(Opened),
    /// It is the claimer's turn. The entry as it is, if there is one.
    Granted(Lease, Option<Opened>),
    /// It is somebody else's turn, for so long at most.
    Taken(Duration),
}

/// An entry in the clear.
pub struct Opened {
    /// Grows with every entry that is news.
    pub version: u64,
    /// What was written.
    pub text: Zeroizing<Vec<u8>>,
    /// How long ago, suspend included; `None` if that cannot be known.
    pub age: Option<Duration>,
    /// Whether it lies under a key that is on its way out, and under the one that stays there is none, or an older one: who knows that
    /// key alone does not find it. Of an entry that is [`Claimed::Newer`] it may be so.
    pub is_left_behind: bool,
}

impl Lease {
    /// The fencing number.
    pub fn fence(&self) -> u64 {
        self.fence
    }
}

impl Slot {
    /// The entry of this `purpose` for what has this fingerprint.
    pub fn new(store: &Rc<Store>, purpose: &str, fingerprint: &[u8; 32]) -> Self {
        let place = |key: &SealKey| {
            let name = key.name(purpose, fingerprint);
            Place { key: key.clone(), name, changes: store.backend().changes(&name) }
        };
        let places = store.keys.in_order.iter().map(place).collect();
        let holder = Holder(fastrand::u128(..));
        Self { back: store.on_return(), store: Rc::clone(store), holder, places }
    }

    /// Wants to act for the fleet for at most `lease`, unless there is an entry above `seen`; fencing numbers go on above `above`.
    ///
    /// # Errors
    /// [`StoreError`]: go on as if alone.
    pub async fn claim(&self, seen: u64, above: u64, lease: Duration) -> Result<Claimed, StoreError> {
        let (mut fence, mut newest) = (above, None);
        for (index, place) in self.places.iter().enumerate() {
            match self.claim_at(place, seen, fence, lease).await {
                Ok(At::Granted(granted, opened)) => {
                    fence = granted;
                    newest = newer_of(newest, opened);
                }
                Ok(At::Newer(opened)) => {
                    self.release_first(index).await;
                    // The places after it were not asked.
                    let is_left_behind = index + 1 < self.places.len();
                    return Ok(Claimed::Newer(Opened { is_left_behind, ..opened }));
                }
                Ok(At::Taken(left)) => {
                    self.release_first(index).await;
                    return Ok(Claimed::Taken(left));
                }
                Err(error) => {
                    self.release_first(index).await;
                    return Err(error);
                }
            }
        }
        Ok(Claimed::Granted(Lease { fence }, newest))
    }

    async fn claim_at(&self, place: &Place, seen: u64, above: u64, lease: Duration) -> Result<At, StoreError> {
        let mut claim = Claim { holder: self.holder, seen, above, lease };
        loop {
            let question = self.store.backend().claim(&place.name, claim);
            match self.store.within("claim", question).await? {
                backend::Claimed::Granted { fence, stored } => {
                    return Ok(At::Granted(fence, stored.and_then(|stored| self.open(place, stored))));
                }
                backend::Claimed::Taken { left } => return Ok(At::Taken(left)),
                // Who asked would ask again, for ever.
                backend::Claimed::Newer(stored) if stored.version <= claim.seen => {
                    return Err(StoreError::Nonsense("an entry that is known is called newer".to_owned()));
                }
                backend::Claimed::Newer(stored) => {
                    let version = stored.version;
                    match self.open(place, stored) {
                        Some(opened) => return Ok(At::Newer(opened)),
                        // What cannot be read is in nobody's way. It can only grow, so this ends.
                        None => claim.seen = version,
                    }
                }
            }
        }
    }

    /// The entry as it is.
    ///
    /// # Errors
    /// [`StoreError`]: go on as if alone.
    pub async fn read(&self) -> Result<Option<Opened>, StoreError> {
        let mut newest = None;
        for place in &self.places {
            let stored = self.store.within("read", self.store.backend().read(&place.name)).await?;
            newest = newer_of(newest, stored.and_then(|stored| self.open(place, stored)));
        }
        Ok(newest)
    }

    /// Writes the entry under the lease; `version` is the lease's fencing number where it is news. Kept for `keep`, or for ever.
    ///
    /// # Errors
    /// [`StoreError`]: it may or may not have been written.
    pub async fn write(
        &self,
        lease: &Lease,
        version: u64,
        text: &[u8],
        (keep, release): (Option<Duration>, bool),
    ) -> Result<Written, StoreError> {
        let mut outcome = Written::Done;
        for place in &self.places {
            let bytes = place
                .key
                .seal(&place.name, version, text)
                .map_err(|_| StoreError::Refused("no randomness to seal with".into()))?;
            let write = Write { holder: self.holder, fence: lease.fence, version, bytes, keep, release };
            if self.store.within("write", self.store.backend().write(&place.name, write)).await? == Written::Outrun {
                outcome = Written::Outrun;
            }
        }
        Ok(outcome)
    }

    /// Gives the lease back: somebody else's turn. A store that does not hear it waits until the lease's time is over.
    pub async fn release(&self, lease: Lease) {
        let Lease { .. } = lease;
        self.release_first(self.places.len()).await;
    }

    /// Adds to the count called `what`, which begins anew `keep` after its first change; returns the sum.
    ///
    /// # Errors
    /// [`StoreError`]: it may or may not have been counted.
    pub async fn count(&self, what: &[u8; 32], by: u32, keep: Duration) -> Result<u64, StoreError> {
        let mut most = 0;
        for place in &self.places {
            let name = place.key.name("count", what);
            most = self.store.within("count", self.store.backend().count(&name, by, keep)).await?.max(most);
        }
        Ok(most)
    }

    /// Somebody wrote, gave a lease back or died, or the store is there again. May end for nothing.
    pub async fn changed(&mut self) {
        let mut back = pin!(self.back.happened());
        let mut changes: Vec<_> = self.places.iter_mut().map(|place| Box::pin(place.changes.changed())).collect();
        poll_fn(|context| {
            let rung = changes.iter_mut().any(|change| matches!(change.as_mut().poll(context), Poll::Ready(Ok(()))));
            if rung || back.as_mut().poll(context).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether the store answers.
    pub fn is_there(&self) -> bool {
        self.store.is_there()
    }

    /// Whether a key is being exchanged for another, so that there are two places.
    pub fn is_between_keys(&self) -> bool {
        self.places.len() > 1
    }

    /// Whether it is of this store.
    pub fn is_of(&self, store: &Rc<Store>) -> bool {
        Rc::ptr_eq(&self.store, store)
    }

    async fn release_first(&self, count: usize) {
        for place in self.places.iter().take(count) {
            // Its time will be over.
            let _ = self.store.within("release", self.store.backend().release(&place.name, self.holder)).await;
        }
    }

    fn open(&self, place: &Place, stored: Stored) -> Option<Opened> {
        match place.key.open(&place.name, stored.version, &stored.bytes) {
            Ok(text) => Some(Opened { version: stored.version, text, age: stored.age, is_left_behind: false }),
            Err(error) => {
                let code = Reason::StoreUnusable;
                tracing::warn!(%code, entry = %place.name, "{code} an entry of the token store cannot be opened: {error}");
                None
            }
        }
    }
}

enum At {
    Newer(Opened),
    Granted(u64, Option<Opened>),
    Taken(Duration),
}

/// The newer one of what the places before have and what the next one has.
fn newer_of(before: Option<Opened>, next: Option<Opened>) -> Option<Opened> {
    match (before, next) {
        (Some(before), Some(next)) if next.version > before.version => Some(next),
        (Some(before), next) => {
            let is_left_behind = next.is_none_or(|next| next.version < before.version);
            Some(Opened { is_left_behind, ..before })
        }
        (None, next) => next,
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("version", &self.version).field("age", &self.age).finish_non_exhaustive()
    }
}
