//! The same over a fleet: the record is in the token store, and the right to use it is a lease there.
//!
//! Owns the place of the record, whose name is made of the configured refresh token alone: another client secret is no other
//! refresh token. Refuses to use it without the store: two instances that use the same one lose it.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::{LOCK_PATIENCE, Record, Rotation, RotationError, Seed, Turn, blocking, load, parse, print, seed};
use crate::secret::Secret;
use crate::store::{Claimed, Lease, Opened, Slot, Store, Written};
use crate::token::entry::Descendant;
use crate::token::fleet::{ASK_AGAIN, Left};

/// How long it is waited for a lease's end beyond its end.
const GRACE: Duration = Duration::from_millis(20);

/// Where the fleet's record is.
#[derive(Debug)]
pub(super) struct Common {
    store: Rc<Store>,
    /// How long a turn lasts at most.
    lease: Duration,
    slot: Option<(Seed, Slot)>,
    /// The newest record that this instance knows, and its version: what counts if the store has forgotten.
    newest: Option<(u64, Record)>,
    /// Under which the record in memory is to be written.
    unwritten: Option<Lease>,
    /// What others said of it before this instance had a turn.
    heard: Option<Descendant>,
    /// When the last of these was learnt.
    learnt: SystemTime,
}

impl Rotation {
    /// From now on the record is in this store, if there is one, and a turn lasts no longer than `lease`.
    pub(in crate::token) fn share(&mut self, store: Option<&Rc<Store>>, lease: Duration) {
        match (store, &mut self.common) {
            (None, common) => self.left = common.take().filter(Common::knows_any).or_else(|| self.left.take()),
            (Some(store), Some(common)) if Rc::ptr_eq(store, &common.store) => common.lease = lease,
            (Some(store), common) => {
                let before = common.take().or_else(|| self.left.take());
                let learnt = before.as_ref().map_or(UNIX_EPOCH, |before| before.learnt);
                let (newest, heard) = before.map_or((None, None), |before| (before.newest, before.heard));
                let store = Rc::clone(store);
                *common = Some(Common { store, lease, slot: None, newest, unwritten: None, heard, learnt });
            }
        }
    }

    /// Whether there is something to take along from a store that is gone.
    pub(in crate::token) fn has_left_a_store(&self) -> bool {
        self.left.is_some()
    }

    /// Keeps what was known of the token in a store that is gone: without it this instance would go back to the configured one, used long ago.
    pub(in crate::token) fn take_along(&mut self, first: &Secret) {
        let Some(mut left) = self.left.take() else { return };
        // What is in memory already is the successor that the store did not take.
        if self.memory.is_none() {
            self.memory = left.known(seed(first), None);
        }
        self.learnt = self.memory.is_some().then_some(left.learnt);
    }

    /// What others know of the record.
    pub(in crate::token) fn learn(&mut self, heard: Descendant) {
        let Some(common) = &mut self.common else { return };
        if common.newest.as_ref().is_none_or(|(version, _)| *version < heard.version) {
            common.heard = Some(heard);
            common.learnt = SystemTime::now();
        }
    }

    /// What others should know of the record.
    pub(in crate::token) fn newest(&self) -> Option<Descendant> {
        let common = self.common.as_ref()?;
        let own = common
            .newest
            .as_ref()
            .map(|(version, record)| Descendant { version: *version, token: record.token.clone() });
        let (own_version, heard) = (own.as_ref().map_or(0, |own| own.version), common.heard.clone());
        heard.filter(|heard| heard.version > own_version).or(own)
    }

    /// As [`Rotation::turn`], over the fleet.
    pub(super) async fn common_turn(&mut self, first: &Secret, now: SystemTime) -> Result<Turn, RotationError> {
        let seed = seed(first);
        let newest = self.newest().map_or(0, |newest| newest.version);
        let (memory, path) = (self.memory.clone().filter(|record| record.seed == seed), self.path.clone());
        let Some(common) = &mut self.common else { return Err(RotationError::Interrupted) };
        let (lease, opened) = common.claim(seed, newest).await?;
        let known = match memory.or_else(|| common.known(seed, opened)) {
            // What this instance had before there was a store.
            None => match path {
                Some(path) => blocking(move || load(&path)).await?.filter(|record| record.seed == seed),
                None => None,
            },
            known => known,
        };
        let mut record = known.unwrap_or(Record { seed, token: first.clone(), unanswered: None });
        let unanswered = record.unanswered;
        record.unanswered = unanswered.or(Some(now));
        let written = common.write(&lease, &record, false).await;
        match written {
            Ok(()) => {
                self.memory = None;
                Ok(Turn { record, unanswered, lock: None, lease: Some(lease) })
            }
            Err(error) => {
                common.give_back(seed, lease).await;
                Err(error)
            }
        }
    }

    /// While a seal key is being exchanged for another: seals the record anew where the new key lacks it.
    pub(in crate::token) async fn bring_along(&mut self, first: &Secret) -> Result<(), Left> {
        let newest = self.newest().map_or(0, |newest| newest.version);
        match &mut self.common {
            // What is in memory will be written under both keys.
            Some(common) if self.memory.is_none() => common.bring_along(seed(first), newest).await,
            _ => Ok(()),
        }
    }

    /// Keeps what the use of a turn brought until it is written.
    pub(super) fn common_answered(&mut self, lease: Option<Lease>) {
        if let Some(common) = &mut self.common {
            common.unwritten = lease;
        }
    }

    /// As [`Rotation::write_down`], over the fleet.
    pub(super) async fn write_down_in_common(&mut self) -> Result<(), RotationError> {
        let (Some(common), Some(record)) = (&mut self.common, self.memory.clone()) else { return Ok(()) };
        let seed = record.seed;
        let lease = match common.unwritten.take() {
            Some(lease) => lease,
            None => {
                let newest = common.newest.as_ref().map_or(0, |(version, _)| *version);
                common.claim(seed, newest).await?.0
            }
        };
        if let Err(error) = common.write(&lease, &record, true).await {
            common.unwritten = Some(lease);
            return Err(error);
        }
        self.memory = None;
        Ok(())
    }
}

impl Common {
    fn knows_any(&self) -> bool {
        self.newest.is_some() || self.heard.is_some()
    }

    /// Where the record is that descends from this token.
    fn slot_of(&mut self, seed: Seed) -> &mut Slot {
        let known = self.slot.take().filter(|(of, _)| *of == seed);
        let make = || (seed, Slot::new(&self.store, "refresh token", &seed));
        &mut self.slot.insert(known.unwrap_or_else(make)).1
    }

    async fn bring_along(&mut self, seed: Seed, above: u64) -> Result<(), Left> {
        let lease = self.lease;
        let slot = self.slot_of(seed);
        let stored = slot.read().await.map_err(|_| Left::Untaken)?;
        if !stored.is_some_and(|stored| stored.is_left_behind) {
            return Ok(());
        }
        // As it is now, and while nobody uses it.
        let (lease, opened) = match slot.claim(u64::MAX, above, lease).await {
            Ok(Claimed::Granted(lease, opened)) => (lease, opened),
            Ok(Claimed::Taken(left)) => return Err(Left::Taken(left)),
            Ok(Claimed::Newer(_)) | Err(_) => return Err(Left::Untaken),
        };
        let Some(opened) = opened.filter(|opened| opened.is_left_behind) else {
            slot.release(lease).await;
            return Ok(());
        };
        let written = slot.write(&lease, opened.version, &opened.text, (None, true)).await;
        if written.is_err() {
            slot.release(lease).await;
        }
        written.map(|_: Written| ()).map_err(|_| Left::Untaken)
    }

    /// The right to use the refresh token, and the record as the store has it.
    async fn claim(&mut self, seed: Seed, above: u64) -> Result<(Lease, Option<Opened>), RotationError> {
        let lease = self.lease;
        let slot = self.slot_of(seed);
        let begun = Instant::now();
        while begun.elapsed() < LOCK_PATIENCE {
            match slot.claim(u64::MAX, above, lease).await.map_err(RotationError::Store)? {
                Claimed::Granted(lease, opened) => return Ok((lease, opened)),
                Claimed::Taken(left) => {
                    // A store that does not answer any more tells nobody anything: it must be asked to be found out.
                    drop(timeout((left + GRACE).min(ASK_AGAIN), slot.changed()).await);
                }
                // Nothing is newer than what was asked for.
                Claimed::Newer(_) => {}
            }
        }
        Err(RotationError::Store(crate::store::StoreError::Slow(LOCK_PATIENCE)))
    }

    /// The newest record of those that the store has, that this instance had, and that others told of.
    fn known(&mut self, seed: Seed, opened: Option<Opened>) -> Option<Record> {
        let stored = opened.and_then(|opened| {
            let text = std::str::from_utf8(&opened.text).ok()?;
            Some((opened.version, parse(text)?))
        });
        let heard = self.heard.take();
        let heard = heard.map(|heard| (heard.version, Record { seed, token: heard.token, unanswered: None }));
        let all = [stored, self.newest.clone(), heard];
        let same = all.into_iter().flatten().filter(|(_, record)| record.seed == seed);
        // Of two of the same version the first counts: what the store says of an unanswered use.
        same.reduce(|one, other| if other.0 > one.0 { other } else { one }).map(|(_, record)| record)
    }

    async fn write(&mut self, lease: &Lease, record: &Record, release: bool) -> Result<(), RotationError> {
        let Some((_, slot)) = &self.slot else { return Err(RotationError::Interrupted) };
        let text: Zeroizing<String> = print(record);
        match slot.write(lease, lease.fence(), text.as_bytes(), (None, release)).await {
            Ok(Written::Done) => {
                self.newest = Some((lease.fence(), record.clone()));
                self.learnt = SystemTime::now();
                Ok(())
            }
            // Somebody had a turn after this one had ended without a word. What they have is what counts.
            Ok(Written::Outrun) if release => {
                tracing::warn!("another instance has used the refresh token since; its successor counts");
                Ok(())
            }
            Ok(Written::Outrun) => Err(RotationError::Interrupted),
            Err(error) => Err(RotationError::Store(error)),
        }
    }

    async fn give_back(&self, seed: Seed, lease: Lease) {
        if let Some((of, slot)) = &self.slot
            && *of == seed
        {
            slot.release(lease).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::metrics::Metrics;
    use crate::store::SealKeys;
    use crate::store::simulated::{Link, Server};

    const LEASE: Duration = Duration::from_secs(10);

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    /// Runs this with a credential whose refresh token is in a store, and was used there once if it `was_used`.
    async fn in_store<B: AsyncFnOnce(Rotation)>(directory: Option<&Path>, was_used: bool, body: B) {
        let work = async {
            let keys = SealKeys::new(&secret("a key for all tests of the fleet"), None).unwrap();
            let link = Link::new(&Server::default(), Duration::ZERO);
            let store = Store::new(Box::new(link), keys, Duration::from_secs(1), Metrics::new().store());
            let running = tokio::task::spawn_local(Rc::clone(&store).run());
            let mut rotation = Rotation::new(directory, "a");
            rotation.share(Some(&store), LEASE);
            if was_used {
                let turn = rotation.turn(&secret("first"), SystemTime::now()).await.unwrap();
                rotation.answered(turn, Some(&secret("second"))).await.unwrap();
            }
            body(rotation).await;
            running.abort();
        };
        tokio::task::LocalSet::new().run_until(work).await;
    }

    async fn next(rotation: &mut Rotation) -> String {
        let turn = rotation.turn(&secret("first"), SystemTime::now()).await.unwrap();
        turn.token().expose().to_owned()
    }

    #[tokio::test]
    async fn a_store_that_is_taken_away_leaves_its_newest_token_in_memory_and_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        for directory in [None, Some(directory.path())] {
            in_store(directory, true, async |mut rotation| {
                rotation.share(None, LEASE);
                assert_eq!(next(&mut rotation).await, "second", "{directory:?}");
                if let Some(directory) = directory {
                    drop(rotation);
                    assert_eq!(next(&mut Rotation::new(Some(directory), "a")).await, "second");
                }
            })
            .await;
        }
    }

    #[tokio::test]
    async fn what_was_only_heard_of_counts_as_well() {
        in_store(None, false, async |mut rotation| {
            rotation.learn(Descendant { version: 7, token: secret("third") });
            rotation.share(None, LEASE);
            assert_eq!(next(&mut rotation).await, "third");
        })
        .await;
    }

    #[tokio::test]
    async fn it_is_written_down_as_soon_as_it_is_known_what_it_descends_from() {
        let directory = tempfile::tempdir().unwrap();
        in_store(Some(directory.path()), true, async |mut rotation| {
            rotation.share(None, LEASE);
            assert!(rotation.has_left_a_store());
            rotation.take_along(&secret("first"));
            rotation.write_down().await.unwrap();
            assert!(!rotation.has_left_a_store() && !rotation.is_unwritten());
            assert!(fs::read_to_string(directory.path().join("refresh-token-a")).unwrap().ends_with("\nsecond\n"));
        })
        .await;
    }

    #[tokio::test]
    async fn what_another_process_has_written_since_is_newer() {
        let directory = tempfile::tempdir().unwrap();
        in_store(Some(directory.path()), true, async |mut rotation| {
            let mut other = Rotation::new(Some(directory.path()), "a");
            let turn = other.turn(&secret("first"), SystemTime::now()).await.unwrap();
            other.answered(turn, Some(&secret("later"))).await.unwrap();
            let file = directory.path().join("refresh-token-a");
            let written = fs::File::options().append(true).open(&file).unwrap();
            // Clocks of file systems are behind by some milliseconds.
            written.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
            rotation.share(None, LEASE);
            rotation.take_along(&secret("first"));
            rotation.write_down().await.unwrap();
            assert!(fs::read_to_string(&file).unwrap().ends_with("\nlater\n"));
            assert_eq!(next(&mut rotation).await, "later");
        })
        .await;
    }
}
