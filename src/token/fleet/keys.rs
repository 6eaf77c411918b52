//! What lies in the token store under a seal key that is on its way out: sealed anew under the one that stays.
//!
//! Owns the moment when that happens: as soon as it is seen. The credential's next own entry may be a day away, or never come where it is latched,
//! and by then the old key may be gone everywhere, and with it a refresh token that is the only credential.

use std::time::Duration;

use tokio::time::Instant;

use super::news::{OFFER_AGAIN, OFFER_AT_LAST, keep};
use super::{ASK_AGAIN, FLOOR, MARGIN, Refresher};
use crate::backoff::doubling;
use crate::store::{Claimed, Slot, Written};
use crate::token::Source;
use crate::token::entry::Entry;

/// Why something is still under the old key alone.
#[derive(Clone, Copy, Debug)]
pub(in crate::token) enum Left {
    /// Somebody else has the turn, for so long at most.
    Taken(Duration),
    /// The store did not do it.
    Untaken,
}

impl<S: Source> Refresher<S> {
    /// Seals anew what the new key lacks: the entry, if it `is_left_behind`, and the refresh token that is the only credential. What does not work now
    /// is tried again.
    pub(super) async fn bring_along(&mut self, is_left_behind: bool) {
        if !self.fleet.slot.as_ref().is_some_and(Slot::is_between_keys) {
            return;
        }
        let entry = if is_left_behind { self.bring_entry().await } else { Ok(()) };
        let token = self.bring_refresh_token().await;
        let fleet = &mut self.fleet;
        let wait = match entry.and(token) {
            Ok(()) => None,
            Err(Left::Taken(left)) => Some(left.clamp(FLOOR / 100, ASK_AGAIN)),
            Err(Left::Untaken) => {
                fleet.untaken = fleet.untaken.saturating_add(1);
                Some(doubling(OFFER_AGAIN, fleet.untaken, OFFER_AT_LAST))
            }
        };
        fleet.looks_again = wait.map(|wait| Instant::now() + wait);
    }

    async fn bring_entry(&self) -> Result<(), Left> {
        let Some(slot) = &self.fleet.slot else { return Ok(()) };
        // As it is now, and while nobody is about to write another.
        let (lease, opened) = match slot.claim(u64::MAX, self.fleet.seen, MARGIN).await {
            Ok(Claimed::Granted(lease, opened)) => (lease, opened),
            Ok(Claimed::Taken(left)) => return Err(Left::Taken(left)),
            Ok(Claimed::Newer(_)) | Err(_) => return Err(Left::Untaken),
        };
        let opened = opened.filter(|opened| opened.is_left_behind);
        // Its times are told as ages, so it has to say how old it has become. Of one without an age nothing can be said.
        let entry = opened.and_then(|opened| Some((opened.version, Entry::parse(&opened.text, opened.age?)?)));
        let Some((version, entry)) = entry else {
            slot.release(lease).await;
            return Ok(());
        };
        let written = slot.write(&lease, version, &entry.print(), (Some(keep(&entry)), true)).await;
        if written.is_err() {
            slot.release(lease).await;
        }
        // Whoever was faster has written under both keys, or will be heard.
        written.map(|_: Written| ()).map_err(|_| Left::Untaken)
    }

    /// There is no store any more, but what it said of a refresh token that is the only credential counts. It is written down at once.
    pub(super) async fn leave_the_store(&mut self) {
        if self.rotation.has_left_a_store()
            && let Ok(Some(first)) = self.source.first_refresh_token().await
        {
            self.rotation.take_along(&first);
        }
    }

    async fn bring_refresh_token(&mut self) -> Result<(), Left> {
        if !self.shared.settings.lives_by_refresh_token {
            return Ok(());
        }
        match self.source.first_refresh_token().await {
            Ok(Some(first)) => self.rotation.bring_along(&first).await,
            Ok(None) => Ok(()),
            // It may be readable again before the old key is gone.
            Err(_) => Err(Left::Untaken),
        }
    }
}
