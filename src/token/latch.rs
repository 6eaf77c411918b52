//! What a credential must remember over a restart, so that a service that is started again and again does not try a
//! wrong password again and again.
//!
//! Owns one small file per credential in `state_directory` and the random key beside them, all of mode 0600. The
//! file holds no secret and nothing that could be tried against one: only a keyed hash of what the token request was
//! made of. A file that cannot be understood counts as none. All methods but `digest` block on the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::disk;
use crate::reason::Reason;

const MAGIC: &str = "bearerd latch 1";
const KEY_LENGTH: usize = 32;

/// A keyed hash of a fingerprint: comparable, and of no use without the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

/// What is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Of what identifies the credential that was refused, its secrets included.
    pub(super) digest: Digest,
    /// Of what was written of it besides. `None` in files of earlier versions.
    pub(super) written: Option<Digest>,
    /// When to ask again, by the wall clock: the only one that goes on over a reboot. `None` if latched.
    pub(super) until: Option<SystemTime>,
    /// Whether a refusal for good waits for its confirmation (or has it).
    pub(super) permanent: bool,
    /// How many refusals of unknown cause there were.
    pub(super) refusals: u32,
    /// How many 5xx answers there were.
    pub(super) server_errors: u32,
    /// The code of the last failure.
    pub(super) reason: Reason,
}

/// The place of one credential's record.
#[derive(Clone, Debug)]
pub(super) struct Latch {
    key: hmac::Key,
    path: Option<PathBuf>,
}

impl Latch {
    /// The record's place in `directory`. Without one, or if it cannot be used, nothing outlives the process.
    pub(super) fn open(directory: Option<&Path>, credential: &str) -> Self {
        if let Some(directory) = directory {
            match shared_key(directory) {
                Ok(key) => {
                    let name = disk::file_name("latch-", credential);
                    return Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), path: Some(directory.join(name)) };
                }
                Err(error) => tracing::warn!(
                    credential, %error, directory = %directory.display(),
                    "state directory cannot be used; a refused login will be tried again after a restart"
                ),
            }
        }
        let key = random_key().unwrap_or_default();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), path: None }
    }

    /// The keyed hash of a fingerprint.
    pub(super) fn digest(&self, fingerprint: &[u8; 32]) -> Digest {
        let tag = hmac::sign(&self.key, fingerprint);
        let mut digest = [0; 32];
        digest.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Digest(digest)
    }

    /// Whether records are kept at all.
    pub(super) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// The record of an earlier run.
    pub(super) fn load(&self) -> Option<Record> {
        let text = fs::read_to_string(self.path.as_ref()?).ok()?;
        let record = parse(&text);
        if record.is_none() {
            tracing::warn!(path = ?self.path, "latch file cannot be understood and is ignored");
        }
        record
    }

    /// Keeps a record: after this returns it survives a crash of the machine.
    ///
    /// # Errors
    /// What the system says of the directory or the disk.
    pub(super) fn store(&self, record: &Record) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        disk::replace(path, print(record).as_bytes())
    }

    /// Forgets.
    pub(super) fn clear(&self) {
        if let Some(path) = &self.path {
            disk::remove(path);
        }
    }
}

/// The key of a directory, made by whoever comes first. Linking, unlike renaming, never replaces a key that another
/// process has begun to use.
fn shared_key(directory: &Path) -> io::Result<Vec<u8>> {
    let path = directory.join("latch-key");
    if !path.exists() {
        let draft = disk::write_draft(directory, &random_key()?)?;
        let linked = fs::hard_link(&draft, &path);
        disk::remove(&draft);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => disk::sync_directory(directory)?,
        }
    }
    let key = fs::read(&path)?;
    if key.len() == KEY_LENGTH { Ok(key) } else { Err(io::Error::other("latch-key has the wrong length")) }
}

fn random_key() -> io::Result<[u8; KEY_LENGTH]> {
    let mut key = [0; KEY_LENGTH];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("no randomness"))?;
    Ok(key)
}

fn print(record: &Record) -> String {
    let Record { digest, written, until, permanent, refusals, server_errors, reason } = record;
    let hash = |digest: &Digest| digest.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (hash, written) = (hash(digest), written.as_ref().map(|written| hash(written) + "\n").unwrap_or_default());
    let until = until.map_or_else(|| "latched".to_owned(), |at| seconds(at).to_string());
    format!("{MAGIC}\n{hash}\n{until}\n{permanent}\n{refusals}\n{server_errors}\n{reason}\n{written}")
}

fn parse(text: &str) -> Option<Record> {
    let mut lines = text.lines();
    if lines.next()? != MAGIC {
        return None;
    }
    let digest = parse_hash(lines.next()?)?;
    let until = match lines.next()? {
        "latched" => None,
        at => Some(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at.parse().ok()?))?),
    };
    Some(Record {
        digest,
        until,
        permanent: lines.next()?.parse().ok()?,
        refusals: lines.next()?.parse().ok()?,
        server_errors: lines.next()?.parse().ok()?,
        reason: lines.next()?.parse().ok()?,
        written: match lines.next() {
            Some(hash) => Some(parse_hash(hash)?),
            None => None,
        },
    })
}

fn parse_hash(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(Digest(digest))
}

/// Rounded up: a wait may become longer by this, never shorter.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() + u64::from(since.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn record(latch: &Latch) -> Record {
        Record {
            digest: latch.digest(&[7; 32]),
            written: Some(latch.digest(&[8; 32])),
            until: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
            permanent: true,
            refusals: 2,
            server_errors: 3,
            reason: Reason::TokenDenied,
        }
    }

    #[test]
    fn what_is_stored_is_loaded_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::open(Some(dir.path()), "api");
        let usual = record(&latch);
        for record in [usual, Record { until: None, ..usual }, Record { written: None, ..usual }] {
            latch.store(&record).unwrap();
            let next = Latch::open(Some(dir.path()), "api");
            assert_eq!(next.load(), Some(record));
            assert_eq!(next.digest(&[7; 32]), record.digest);
        }
    }

    #[test]
    fn a_cleared_record_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::open(Some(dir.path()), "api");
        latch.store(&record(&latch)).unwrap();
        latch.clear();
        latch.clear();
        assert_eq!(latch.load(), None);
    }

    #[test]
    fn every_file_is_readable_by_its_owner_alone_and_no_draft_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::open(Some(dir.path()), "../a b");
        latch.store(&record(&latch)).unwrap();
        let mut names = Vec::new();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, ["latch-%2E%2E%2Fa%20b", "latch-key"]);
    }

    #[test]
    fn the_file_holds_a_hash_that_only_this_directory_can_make() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let here = Latch::open(Some(one.path()), "api");
        let there = Latch::open(Some(other.path()), "api");
        assert_ne!(here.digest(&[7; 32]), there.digest(&[7; 32]));
        assert_ne!(here.digest(&[7; 32]).0, [7; 32]);
    }

    #[test]
    fn processes_that_come_at_the_same_time_have_one_key() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let start = std::sync::Barrier::new(4);
            let make = || {
                start.wait();
                shared_key(dir.path()).unwrap()
            };
            let keys =
                std::thread::scope(|scope| [0; 4].map(|_| scope.spawn(make)).map(|thread| thread.join().unwrap()));
            assert!(keys.iter().all(|key| *key == keys[0]));
        }
    }

    #[test]
    fn an_end_is_rounded_up_to_whole_seconds() {
        let check = |millis, wanted| {
            assert_eq!(seconds(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)), wanted, "{millis} ms");
        };
        check(1000, 1);
        check(1001, 2);
        check(1999, 2);
    }

    #[test]
    fn a_hash_of_another_length_is_none() {
        assert!(parse_hash(&"07".repeat(32)).is_some());
        assert!(parse_hash(&"07".repeat(33)).is_none());
        assert!(parse_hash(&"07".repeat(31)).is_none());
    }

    #[test]
    fn a_damaged_file_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let latch = Latch::open(Some(dir.path()), "api");
        let good = print(&record(&latch));
        let check = |text: &str| {
            fs::write(dir.path().join("latch-api"), text).unwrap();
            assert_eq!(latch.load(), None, "{text:?}");
        };
        check("");
        check("something else\n");
        check(good.get(..40).unwrap());
        check(&good.replace("T021", "T999"));
        check(good.get(..good.len() - 2).unwrap());
        check(&good.replace("1800000000", "99999999999999999999999"));
        check(&good.replace("1800000000", "18446744073709551615"));
        check(&good.replacen(MAGIC, "bearerd latch 2", 1));
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let latch = Latch::open(None, "api");
        latch.store(&record(&latch)).unwrap();
        assert_eq!(latch.load(), None);
        let gone = Latch::open(Some(Path::new("/nonexistent/bearerd")), "api");
        assert!(!gone.is_kept());
    }
}
