//! The directory and what is done in it, each step short and blocking.
//!
//! Owns the files: `entry-NAME`, `lease-NAME` (which its holder keeps open and locked for as long as it lives), `count-NAME`, and `lock-NAME`,
//! which is locked around each change of the others. All but the last are replaced as a whole, so that they can be read without a lock.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::backend::{Claim, Claimed, Holder, Name, StoreError, Stored, Write, Written};
use super::format::{Boot, Count, Entry, Lease, Stamp, name};
use super::lock::{self, Locked};
use crate::disk;

pub(super) const ENTRY: &str = "entry-";
pub(super) const LEASE: &str = "lease-";
const COUNT: &str = "count-";
const LOCK: &str = "lock-";

/// More is nothing that was written here.
const LARGEST: u64 = 4 << 20;

/// How long a draft may be unfinished: longer than any disk takes.
const OLDEST_DRAFT: Duration = Duration::from_secs(3600);

/// How long the last fencing number is remembered of which nothing else is left.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A directory of entries, as one instance has it. All methods but [`Directory::path`] block on the disk.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The leases that are this instance's.
    held: Mutex<HashMap<(Name, Holder), Locked>>,
}

/// What of a name can be seen from outside; another one may be news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Look {
    entry: Option<(u64, i64, i64)>,
    lease: Option<(u64, i64, i64)>,
    is_held: bool,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, held: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Which boot of the machine this is.
    pub(super) fn boot() -> Boot {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        u128::from_str_radix(&text.trim_end().replace('-', ""), 16).ok()
    }

    /// Makes the directory if it is missing.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|error| failure(&self.path, &error))
    }

    /// Which directory is there now.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        fs::metadata(&self.path).ok().map(|found| (found.dev(), found.ino()))
    }

    /// Does something while nobody else changes what is of this name; `None` if somebody else does.
    pub(super) fn alone<T>(
        &self,
        name: &Name,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let path = self.file(LOCK, name);
        let locked = match Locked::at(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make()?;
                Locked::at(&path)
            }
            locked => locked,
        };
        match locked.map_err(|error| failure(&path, &error))? {
            Some(_locked) => work().map(Some),
            None => Ok(None),
        }
    }

    /// The entry, if there is one that is worth something.
    pub(super) fn read(&self, name: &Name, now: Stamp) -> Result<Option<Stored>, StoreError> {
        Ok(self.entry(name)?.and_then(|entry| stored(entry, now)))
    }

    /// The entry if it is newer than the claim has seen. Neither takes a lease nor needs to be alone.
    pub(super) fn newer(&self, name: &Name, claim: &Claim, now: Stamp) -> Result<Option<Claimed>, StoreError> {
        let stored = readable(self.read(name, now))?;
        Ok(stored.filter(|stored| stored.version > claim.seen).map(Claimed::Newer))
    }

    /// To be called [alone](Directory::alone).
    pub(super) fn claim(&self, name: &Name, claim: &Claim, now: Stamp) -> Result<Claimed, StoreError> {
        if let Some(newer) = self.newer(name, claim, now)? {
            return Ok(newer);
        }
        let entry = readable(self.entry(name))?;
        let lease = self.lease(name)?;
        let highest = entry.as_ref().map_or(0, |entry| entry.fence.max(entry.version)).max(claim.above);
        let next = lease.as_ref().map_or(0, |(lease, _)| lease.fence).max(highest).saturating_add(1);
        let fence = match lease {
            Some((lease, file)) if lease.left(now) > Duration::ZERO => {
                let is_ours = lease.holder == claim.holder && self.held().contains_key(&(*name, claim.holder));
                if !is_ours && lock::is_locked(&file).map_err(|error| failure(&self.file(LEASE, name), &error))? {
                    return Ok(Claimed::Taken { left: lease.left(now) });
                }
                if is_ours && lease.fence >= highest { lease.fence } else { next }
            }
            _ => next,
        };
        self.take(name, &Lease { fence, holder: claim.holder, taken: now, length: claim.lease })?;
        Ok(Claimed::Granted { fence, stored: entry.and_then(|entry| stored(entry, now)) })
    }

    /// To be called [alone](Directory::alone).
    pub(super) fn write(&self, name: &Name, write: &Write, now: Stamp) -> Result<Written, StoreError> {
        let there = readable(self.entry(name))?;
        let written = if there.is_some_and(|there| there.fence > write.fence) {
            Written::Outrun
        } else {
            let (version, fence, bytes) = (write.version, write.fence, write.bytes.clone());
            let entry = Entry { version, fence, written: now, keep: write.keep, bytes };
            self.replace(ENTRY, name, &entry.print())?;
            Written::Done
        };
        if write.release {
            self.release(name, write.holder);
        }
        Ok(written)
    }

    /// Lets go of the lock on the lease: whoever looks, sees that it is free.
    pub(super) fn release(&self, name: &Name, holder: Holder) {
        let held = self.held().remove(&(*name, holder));
        drop(held);
    }

    /// To be called [alone](Directory::alone), unless `by` is zero.
    pub(super) fn count(&self, name: &Name, by: u32, keep: Duration, now: Stamp) -> Result<u64, StoreError> {
        let count = self.load(COUNT, name, Count::parse);
        let count = if by == 0 { count? } else { readable(count)? };
        let count = count.map(|(count, _)| count).filter(|count| !count.is_over(now));
        let sum = count.map_or(0, |count| count.sum);
        if by == 0 {
            return Ok(sum);
        }
        // If a clock was set back it begins now, at the latest: else it might never end.
        let begun = count.map_or(now, |count| if now.since(count.begun).is_some() { count.begun } else { now });
        let sum = sum.saturating_add(u64::from(by));
        let keep = count.map_or(keep, |count| count.keep);
        self.replace(COUNT, name, Count { sum, begun, keep }.print().as_bytes())?;
        Ok(sum)
    }

    /// Whether something can be written here.
    pub(super) fn try_out(&self) -> Result<(), StoreError> {
        self.make()?;
        let draft = disk::write_draft(&self.path, b"?").map_err(|error| failure(&self.path, &error))?;
        disk::remove(&draft);
        Ok(())
    }

    /// What can be seen of a name.
    pub(super) fn look(&self, name: &Name) -> Look {
        let seen = |kind| {
            let file = fs::metadata(self.file(kind, name)).ok()?;
            Some((file.ino(), file.mtime(), file.mtime_nsec()))
        };
        let is_held = lock::open(&self.file(LEASE, name)).and_then(|file| lock::is_locked(&file)).unwrap_or(false);
        Look { entry: seen(ENTRY), lease: seen(LEASE), is_held }
    }

    /// Every name of which there is something, and away with what a crash has left unfinished.
    pub(super) fn names(&self, now: Stamp) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let file = file?;
            let path = file.path();
            let Ok(file_name) = file.file_name().into_string() else { continue };
            if file_name.starts_with(disk::DRAFT) && is_older(&path, OLDEST_DRAFT, now) {
                disk::remove(&path);
            }
            let hex = [ENTRY, LEASE, COUNT, LOCK].iter().find_map(|kind| file_name.strip_prefix(kind));
            names.extend(hex.and_then(name));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Takes away what is worth nothing any more. To be called [alone](Directory::alone).
    pub(super) fn sweep(&self, name: &Name, now: Stamp) -> Result<(), StoreError> {
        if self.entry(name)?.is_some_and(|entry| entry.is_over(now)) {
            disk::remove(&self.file(ENTRY, name));
        }
        if self.load(COUNT, name, Count::parse)?.is_some_and(|(count, _)| count.is_over(now)) {
            disk::remove(&self.file(COUNT, name));
        }
        let is_there = |kind| self.file(kind, name).symlink_metadata().is_ok();
        if is_there(ENTRY) || is_there(COUNT) {
            return Ok(());
        }
        let lease = self.file(LEASE, name);
        let is_held = lock::open(&lease).and_then(|file| lock::is_locked(&file)).unwrap_or(false);
        if !is_held && is_older(&lease, REMEMBERED, now) {
            disk::remove(&lease);
        }
        if !is_there(LEASE) {
            disk::remove(&self.file(LOCK, name));
        }
        Ok(())
    }

    fn take(&self, name: &Name, lease: &Lease) -> Result<(), StoreError> {
        let path = self.file(LEASE, name);
        let taken = disk::open_draft(&self.path, lease.print().as_bytes()).and_then(|(draft, file)| {
            let locked = Locked::new(file).and_then(|locked| {
                // Nobody else knows its name.
                let locked = locked.ok_or(io::ErrorKind::ResourceBusy)?;
                fs::rename(&draft, &path)?;
                Ok(locked)
            });
            let locked = locked.inspect_err(|_| disk::remove(&draft))?;
            disk::sync_directory(&self.path)?;
            Ok(locked)
        });
        let locked = taken.map_err(|error| failure(&path, &error))?;
        let before = self.held().insert((*name, lease.holder), locked);
        drop(before);
        Ok(())
    }

    fn replace(&self, kind: &str, name: &Name, content: &[u8]) -> Result<(), StoreError> {
        let path = self.file(kind, name);
        disk::replace(&path, content).map_err(|error| failure(&path, &error))
    }

    fn entry(&self, name: &Name) -> Result<Option<Entry>, StoreError> {
        Ok(self.load(ENTRY, name, Entry::parse)?.map(|(entry, _)| entry))
    }

    /// One that cannot be understood is as good as none: its holder, if there is one, has an entry's number to lose, and no more.
    fn lease(&self, name: &Name) -> Result<Option<(Lease, File)>, StoreError> {
        readable(self.load(LEASE, name, Lease::parse))
    }

    fn load<T>(&self, kind: &str, name: &Name, parse: fn(&[u8]) -> Option<T>) -> Result<Option<(T, File)>, StoreError> {
        let path = self.file(kind, name);
        let file = match lock::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure(&path, &error)),
        };
        let mut content = Vec::new();
        (&file).take(LARGEST).read_to_end(&mut content).map_err(|error| failure(&path, &error))?;
        match parse(&content) {
            Some(parsed) => Ok(Some((parsed, file))),
            None => Err(StoreError::Nonsense(format!("{} cannot be understood", path.display()))),
        }
    }

    fn file(&self, kind: &str, name: &Name) -> PathBuf {
        self.path.join(format!("{kind}{name}"))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<(Name, Holder), Locked>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stored(entry: Entry, now: Stamp) -> Option<Stored> {
    let age = now.since(entry.written);
    (!entry.is_over(now)).then_some(Stored { version: entry.version, bytes: entry.bytes, age })
}

/// What is nonsense may be replaced: then it is as if there were nothing.
fn readable<T>(loaded: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match loaded {
        Err(StoreError::Nonsense(_)) => Ok(None),
        loaded => loaded,
    }
}

/// By the wall clock, which file systems have.
fn is_older(path: &Path, than: Duration, now: Stamp) -> bool {
    let Ok(modified) = fs::symlink_metadata(path).map(|found| found.mtime()) else { return false };
    let seconds = now.wall / 1000;
    u64::try_from(modified).is_ok_and(|modified| seconds.saturating_sub(modified) > than.as_secs())
}

fn failure(path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{
        FileTooLarge, IsADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, Unsupported,
    };
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        PermissionDenied | StorageFull | QuotaExceeded | ReadOnlyFilesystem | FileTooLarge | Unsupported => {
            StoreError::Refused(text)
        }
        IsADirectory => StoreError::Nonsense(text),
        _ if lock::is_link(error) => StoreError::Nonsense(text),
        _ => StoreError::Unreachable(text),
    }
}
