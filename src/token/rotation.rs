//! A refresh token that is the only credential: used by one process at a time, and never lost for want of care.
//!
//! Owns one file per credential in `state_directory`, of mode 0600, and a lock beside it. Before the token is used, the file says so;
//! after it was replaced, the successor is on the disk before anything else happens (RFC 9700 §4.14.2: a server that rotates takes a
//! second use for theft). If the answer to a use was lost, the same token is sent again: if the server never saw the first use, that
//! works; if it did, the successor is lost and nothing could. Without `state_directory` all of this is memory.

mod shared;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest;
use zeroize::Zeroizing;

use crate::disk;
use crate::platform::Lock;
use crate::secret::Secret;
use crate::store::{Lease, StoreError};
use crate::sync::spawn_blocking;

const MAGIC: &str = "bearerd refresh token 1";

/// How often a lock that another process holds is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// How long another process may hold it: longer than any token request that ends.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Which configured token a record descends from.
type Seed = [u8; 32];

/// Where the refresh token of one credential is kept.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    path: Option<PathBuf>,
    /// What is known beyond the file, or instead of it.
    memory: Option<Record>,
    /// Nobody else may use what the file has while memory knows better.
    held: Option<Arc<Lock>>,
    /// The fleet's record, which is instead of the file.
    common: Option<shared::Common>,
    /// What was the fleet's record, in a store that is gone, until it is known which token that is about.
    left: Option<shared::Common>,
    /// When what memory has was learnt, if it comes from elsewhere than the file: what was written there since is newer.
    learnt: Option<SystemTime>,
}

/// The token in use, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    seed: Seed,
    token: Secret,
    /// Since when a use of it is without an answer.
    unanswered: Option<SystemTime>,
}

/// The right to use the token once: nobody else has it while this lives.
#[derive(Debug)]
pub(super) struct Turn {
    record: Record,
    /// Since when an earlier use is without an answer.
    pub(super) unanswered: Option<SystemTime>,
    lock: Option<Arc<Lock>>,
    lease: Option<Lease>,
}

impl Turn {
    /// The token to send.
    pub(super) fn token(&self) -> &Secret {
        &self.record.token
    }
}

/// Why the token cannot be used, or its successor not be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    #[error("{path} cannot be {what}: {source}")]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    #[error("{0} cannot be understood; move it away and give a new refresh token")]
    Damaged(PathBuf),
    #[error("another process holds {0} for longer than a minute")]
    Busy(PathBuf),
    #[error("the refresh token is shared, and the token store {0}")]
    Store(StoreError),
    #[error("interrupted")]
    Interrupted,
}

impl Rotation {
    /// The place in `directory`.
    pub(super) fn new(directory: Option<&Path>, credential: &str) -> Self {
        let path = directory.map(|directory| directory.join(disk::file_name("refresh-token-", credential)));
        Self { path, ..Self::default() }
    }

    /// The place is in another directory from now on, and what the one before has goes there with the next write.
    ///
    /// # Errors
    /// [`RotationError`] if that cannot be read.
    pub(super) async fn move_to(&mut self, directory: Option<&Path>, credential: &str) -> Result<(), RotationError> {
        let before = std::mem::replace(&mut self.path, Self::new(directory, credential).path);
        self.held = None;
        if self.memory.is_some() {
            self.learnt = self.learnt.or_else(|| Some(SystemTime::now()));
        } else if let Some(before) = before.filter(|_| self.common.is_none()) {
            let read = blocking(move || Ok((load(&before)?, written_at(&before)))).await?;
            (self.memory, self.learnt) = (read.0, read.1.or(Some(UNIX_EPOCH)));
        }
        Ok(())
    }

    /// Takes the right to use the token: the last one that descends from `first`, the configured one. Waits for other processes.
    ///
    /// # Errors
    /// [`RotationError`] if that cannot be written down first. Then the token must not be used.
    pub(super) async fn turn(&mut self, first: &Secret, now: SystemTime) -> Result<Turn, RotationError> {
        if self.common.is_some() {
            return self.common_turn(first, now).await;
        }
        self.take_along(first);
        let lock = match (&self.held, &self.path) {
            (Some(held), _) => Some(Arc::clone(held)),
            (None, Some(path)) => Some(Arc::new(lock(path).await?)),
            (None, None) => None,
        };
        let seed = seed(first);
        // It stays there until it is written: it may be the only copy.
        let known = self.memory.clone().filter(|record| record.seed == seed);
        let (path, first, learnt) = (self.path.clone(), first.clone(), self.learnt);
        let turn = blocking(move || {
            // What memory has could not be written: it is newer than the file, or there is none.
            let known = match (known, &path) {
                (known, Some(path)) if known.is_none() || is_newer(path, learnt) => {
                    load(path)?.filter(|record| record.seed == seed).or(known)
                }
                (known, _) => known,
            };
            let mut record = known.unwrap_or(Record { seed, token: first, unanswered: None });
            let unanswered = record.unanswered;
            record.unanswered = unanswered.or(Some(now));
            if let Some(path) = &path {
                store(path, &record)?;
            }
            Ok(Turn { record, unanswered, lock, lease: None })
        });
        let turn = turn.await?;
        self.memory = self.path.is_none().then(|| turn.record.clone());
        (self.held, self.learnt) = (None, None);
        Ok(turn)
    }

    /// The use was answered: `successor` replaces the token if one came.
    ///
    /// # Errors
    /// [`RotationError`] if that cannot be written down. Then it is kept in memory, and no other process gets a turn, until
    /// [`Rotation::write_down`] or the next turn has written it.
    pub(super) async fn answered(&mut self, turn: Turn, successor: Option<&Secret>) -> Result<(), RotationError> {
        let Turn { mut record, lock, lease, .. } = turn;
        record.unanswered = None;
        if let Some(successor) = successor {
            record.token = successor.clone();
        }
        self.memory = Some(record);
        (self.held, self.learnt) = (lock, None);
        self.common_answered(lease);
        self.write_down().await
    }

    /// Whether memory knows better than the file.
    #[cfg(test)]
    pub(super) fn is_unwritten(&self) -> bool {
        self.path.is_some() && self.memory.is_some()
    }

    /// Writes what memory knows better. Does nothing if there is nothing.
    ///
    /// # Errors
    /// [`RotationError`] if that still cannot be written down.
    pub(super) async fn write_down(&mut self) -> Result<(), RotationError> {
        if self.common.is_some() {
            return self.write_down_in_common().await;
        }
        let (Some(path), Some(record)) = (self.path.clone(), self.memory.clone()) else { return Ok(()) };
        let learnt = self.learnt;
        if self.held.is_none() {
            self.held = Some(Arc::new(lock(&path).await?));
        }
        blocking(move || if is_newer(&path, learnt) { Ok(()) } else { store(&path, &record) }).await?;
        // Others may use it from now on: what counts is the file.
        self.memory = None;
        (self.held, self.learnt) = (None, None);
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RotationError> + Send + 'static,
) -> Result<T, RotationError> {
    spawn_blocking(work).await.unwrap_or(Err(RotationError::Interrupted))
}

/// Waits until no other process is about to use the token. The lock ends with the process, however that ends.
async fn lock(path: &Path) -> Result<Lock, RotationError> {
    let path = path.with_extension("lock");
    let failed = |what, source| RotationError::Io { path: path.clone(), what, source };
    let mut lock = Lock::open(&path).map_err(|error| failed("opened", error))?;
    let begun = tokio::time::Instant::now();
    loop {
        match lock.take() {
            Ok(true) => return Ok(lock),
            Ok(false) if begun.elapsed() < LOCK_PATIENCE => tokio::time::sleep(LOCK_POLL).await,
            Ok(false) => return Err(RotationError::Busy(path)),
            Err(error) => return Err(failed("locked", error)),
        }
    }
}

fn load(path: &Path) -> Result<Option<Record>, RotationError> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => parse(&text).map(Some).ok_or_else(|| RotationError::Damaged(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(RotationError::Damaged(path.to_owned())),
        Err(source) => Err(RotationError::Io { path: path.to_owned(), what: "read", source }),
    }
}

/// Whether somebody has written there since this was learnt.
fn is_newer(path: &Path, learnt: Option<SystemTime>) -> bool {
    learnt.zip(written_at(path)).is_some_and(|(learnt, written)| written > learnt)
}

fn written_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn store(path: &Path, record: &Record) -> Result<(), RotationError> {
    disk::replace(path, print(record).as_bytes()).map_err(|source| RotationError::Io {
        path: path.to_owned(),
        what: "written",
        source,
    })
}

fn print(record: &Record) -> Zeroizing<String> {
    let seed: String = record.seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let unanswered =
        record.unanswered.map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string());
    let unanswered = unanswered.as_deref().unwrap_or("-");
    Zeroizing::new(format!("{MAGIC}\n{seed}\n{unanswered}\n{}\n", record.token.expose()))
}

fn parse(text: &str) -> Option<Record> {
    let mut parts = text.splitn(4, '\n');
    if parts.next()? != MAGIC {
        return None;
    }
    let mut seed = [0; 32];
    let hash = parts.next().filter(|hash| hash.len() == 64 && hash.is_ascii())?;
    for (index, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hash.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    let unanswered = match parts.next()? {
        "-" => None,
        seconds => Some(UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?),
    };
    let token = parts.next()?.strip_suffix('\n').filter(|token| !token.is_empty())?;
    Some(Record { seed, token: Secret::new(token), unanswered })
}

fn seed(first: &Secret) -> Seed {
    let mut seed = [0; 32];
    let hash = digest::digest(&digest::SHA256, first.expose().as_bytes());
    seed.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    seed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1000)
    }

    /// What the next process would send, and since when it is without an answer.
    async fn next(directory: &Path, first: &str) -> (String, Option<SystemTime>) {
        let mut rotation = Rotation::new(Some(directory), "a b");
        let turn = rotation.turn(&Secret::new(first), now()).await.unwrap();
        (turn.token().expose().to_owned(), turn.unanswered)
    }

    #[tokio::test]
    async fn the_successor_is_on_disk_for_whoever_comes_next() {
        let directory = tempfile::tempdir().unwrap();
        let mut rotation = Rotation::new(Some(directory.path()), "a b");
        for (used, successor) in [("first", "second"), ("second", "third")] {
            let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
            assert_eq!((turn.token().expose(), turn.unanswered), (used, None));
            rotation.answered(turn, Some(&Secret::new(successor))).await.unwrap();
        }
        assert_eq!(next(directory.path(), "first").await, ("third".to_owned(), None));
        let file = directory.path().join("refresh-token-a%20b");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Nothing is left but the file and its lock.
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_crash_at_any_point_leaves_the_token_that_may_still_work() {
        let directory = tempfile::tempdir().unwrap();
        // Before the answer, the file says that it was used.
        let mut rotation = Rotation::new(Some(directory.path()), "a b");
        drop(rotation.turn(&Secret::new("first"), now()).await.unwrap());
        drop(rotation);
        assert_eq!(next(directory.path(), "first").await, ("first".to_owned(), Some(now())));
        // An answer without a successor: it is as good as before.
        let mut rotation = Rotation::new(Some(directory.path()), "a b");
        let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
        rotation.answered(turn, None).await.unwrap();
        assert_eq!(next(directory.path(), "first").await, ("first".to_owned(), None));
    }

    #[tokio::test]
    async fn a_new_token_of_the_operators_is_used_from_then_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut rotation = Rotation::new(Some(directory.path()), "a b");
        let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
        rotation.answered(turn, Some(&Secret::new("second"))).await.unwrap();
        assert_eq!(next(directory.path(), "given anew").await, ("given anew".to_owned(), None));
    }

    #[tokio::test]
    async fn two_processes_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let mut one = Rotation::new(Some(directory.path()), "a b");
        let turn = one.turn(&Secret::new("first"), now()).await.unwrap();
        let path = directory.path().to_owned();
        let mut other = Box::pin(async move { next(&path, "first").await });
        let early = tokio::time::timeout(LOCK_POLL * 3, &mut other).await;
        assert!(early.is_err(), "the other one did not wait");
        one.answered(turn, Some(&Secret::new("second"))).await.unwrap();
        assert_eq!(other.await, ("second".to_owned(), None));
    }

    #[tokio::test]
    async fn nothing_is_used_that_could_not_be_written_down_first() {
        let gone = tempfile::tempdir().unwrap().path().to_owned();
        let error = Rotation::new(Some(&gone), "a").turn(&Secret::new("first"), now()).await.unwrap_err().to_string();
        assert!(error.contains("refresh-token-a.lock cannot be opened"), "{error}");
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("refresh-token-a"), "nonsense").unwrap();
        let mut damaged = Rotation::new(Some(directory.path()), "a");
        let error = damaged.turn(&Secret::new("first"), now()).await.unwrap_err().to_string();
        assert!(error.contains("refresh-token-a cannot be understood"), "{error}");
    }

    /// A successor, "second", that the disk does not take, and what is in its way.
    async fn unwritten(directory: &Path) -> (Rotation, PathBuf) {
        let mut rotation = Rotation::new(Some(directory), "a b");
        let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
        let file = directory.join("refresh-token-a%20b");
        // Root may write anywhere, but nobody can replace a directory that is not empty.
        fs::remove_file(&file).unwrap();
        fs::create_dir_all(file.join("in the way")).unwrap();
        rotation.answered(turn, Some(&Secret::new("second"))).await.unwrap_err();
        (rotation, file)
    }

    #[tokio::test]
    async fn a_successor_that_cannot_be_written_is_kept_and_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let (mut rotation, file) = unwritten(directory.path()).await;
        assert!(rotation.is_unwritten() && rotation.write_down().await.is_err());
        // Nobody gets a turn with what the file has.
        let other = next(directory.path(), "first");
        assert!(tokio::time::timeout(LOCK_POLL * 3, other).await.is_err());
        fs::remove_dir_all(&file).unwrap();
        let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
        assert_eq!(turn.token().expose(), "second");
        assert!(fs::read_to_string(&file).unwrap().ends_with("\nsecond\n"));
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_as_soon_as_that_is_possible() {
        let directory = tempfile::tempdir().unwrap();
        let (mut rotation, file) = unwritten(directory.path()).await;
        fs::remove_dir_all(&file).unwrap();
        rotation.write_down().await.unwrap();
        assert!(!rotation.is_unwritten());
        assert_eq!(next(directory.path(), "first").await, ("second".to_owned(), None));
    }

    #[tokio::test]
    async fn without_a_directory_it_lives_in_memory() {
        let mut rotation = Rotation::new(None, "a");
        let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
        drop(turn);
        let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
        assert_eq!((turn.token().expose(), turn.unanswered), ("first", Some(now())));
        rotation.answered(turn, Some(&Secret::new("second"))).await.unwrap();
        let turn = rotation.turn(&Secret::new("first"), now()).await.unwrap();
        assert_eq!((turn.token().expose(), turn.unanswered), ("second", None));
    }
}
