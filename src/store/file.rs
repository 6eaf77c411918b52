//! Entries as files of one directory: for one instance over its restarts, and for several processes of one host.
//!
//! Owns how the work comes off this thread, and how long it may take. A lease is a locked file, so that the kernel says at once when its
//! holder has died; one that lives and does nothing loses it by time. What is read and written is only ever whole.

mod directory;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::store) mod fuzzing;
mod lock;
mod notice;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::backend::{Answer, Backend, Claim, Claimed, Holder, Name, StoreError, Stored, Write, Written};
use crate::clock::Clock;
use directory::Directory;
use format::{Boot, Stamp, millis};
use notice::Ears;

/// How long others may be in the way. They are for the time of a few system calls, unless they were stopped in the middle.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often that is looked at.
const AGAIN: Duration = Duration::from_millis(5);

/// How many calls may be on their way to the disk: one that does not answer must not take every thread of the process.
const AT_ONCE: usize = 8;

/// How often what is over is swept.
const SWEEP: Duration = Duration::from_secs(3600);

/// A directory as a place for entries.
#[derive(Debug)]
pub struct FileStore {
    directory: Arc<Directory>,
    clock: Clock,
    boot: OnceLock<Boot>,
    places: Arc<Semaphore>,
    ears: Ears,
}

impl FileStore {
    /// Does nothing yet: the directory is made, with mode 0700, when it is first used.
    pub fn new(directory: PathBuf, clock: Clock) -> Self {
        Self {
            directory: Arc::new(Directory::new(directory)),
            clock,
            boot: OnceLock::new(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            ears: Ears::default(),
        }
    }

    /// Works on the disk, off this thread.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| StoreError::Slow(PATIENCE))?;
        let directory = Arc::clone(&self.directory);
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&directory)
        });
        done.await.unwrap_or_else(|_| Err(StoreError::Unreachable("interrupted".to_owned())))
    }

    /// Likewise, while nobody else changes what is of this name.
    async fn alone<T: Send + 'static>(
        &self,
        name: &Name,
        work: impl Fn(&Directory, Stamp) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let (begun, work) = (Instant::now(), Arc::new(work));
        loop {
            let (now, name, work) = (self.now().await, *name, Arc::clone(&work));
            if let Some(done) = self.work(move |place| place.alone(&name, || work(place, now))).await? {
                return Ok(done);
            }
            if begun.elapsed() >= PATIENCE {
                return Err(StoreError::Slow(begun.elapsed()));
            }
            sleep(AGAIN).await;
        }
    }

    async fn now(&self) -> Stamp {
        let boot = match self.boot.get() {
            Some(boot) => *boot,
            None => {
                let read = self.work(|_| Ok(Directory::boot())).await.ok().flatten();
                *self.boot.get_or_init(|| read)
            }
        };
        let wall = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Stamp { boot, uptime: self.clock.now().as_millis(), wall: millis(wall) }
    }

    /// Takes away what is over, now and every hour.
    async fn sweep(&self) {
        loop {
            let now = self.now().await;
            let names = self.work(move |place| Ok(place.names(now).unwrap_or_default())).await;
            for name in names.unwrap_or_default() {
                // Who is in the way, or what cannot be understood, is left alone.
                let swept = self.work(move |place| place.alone(&name, || place.sweep(&name, now))).await;
                if let Err(error) = swept {
                    tracing::debug!(%error, "entry of the token store cannot be swept");
                }
            }
            sleep(SWEEP).await;
        }
    }
}

impl Backend for FileStore {
    fn claim<'a>(&'a self, name: &'a Name, claim: Claim) -> Answer<'a, Claimed> {
        Box::pin(async move {
            let (now, owned) = (self.now().await, *name);
            // The many who come when one has written are not in each other's way.
            match self.work(move |place| place.newer(&owned, &claim, now)).await? {
                Some(newer) => Ok(newer),
                None => self.alone(name, move |place, now| place.claim(&owned, &claim, now)).await,
            }
        })
    }

    fn read<'a>(&'a self, name: &'a Name) -> Answer<'a, Option<Stored>> {
        Box::pin(async move {
            let (now, name) = (self.now().await, *name);
            self.work(move |place| place.read(&name, now)).await
        })
    }

    fn write<'a>(&'a self, name: &'a Name, write: Write) -> Answer<'a, Written> {
        Box::pin(async move {
            let owned = *name;
            self.alone(name, move |place, now| place.write(&owned, &write, now)).await
        })
    }

    fn release<'a>(&'a self, name: &'a Name, holder: Holder) -> Answer<'a, ()> {
        Box::pin(async move {
            let name = *name;
            self.work(move |place| {
                place.release(&name, holder);
                Ok(())
            })
            .await
        })
    }

    fn count<'a>(&'a self, name: &'a Name, by: u32, keep: Duration) -> Answer<'a, u64> {
        Box::pin(async move {
            let (now, owned) = (self.now().await, *name);
            match by {
                0 => self.work(move |place| place.count(&owned, 0, keep, now)).await,
                by => self.alone(name, move |place, now| place.count(&owned, by, keep, now)).await,
            }
        })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(self.work(Directory::try_out))
    }

    fn changes(&self, name: &Name) -> watch::Receiver<()> {
        self.ears.of(name)
    }

    fn run(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            tokio::join!(self.sweep(), notice::listen(self));
        })
    }

    fn place(&self) -> String {
        format!("files in {}", self.directory.path().display())
    }
}

#[cfg(test)]
mod tests;
