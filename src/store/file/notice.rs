//! Hearing that an entry or its lease has changed.
//!
//! Owns who listens, and the ways to hear: on Linux inotify (7), elsewhere and where that fails a look every half second. Rings of all changes,
//! this process's own too.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::super::backend::Name;
use super::FileStore;
use super::directory::Look;

/// How often somebody looks who cannot hear.
const LOOK: Duration = Duration::from_millis(500);

/// Who listens.
#[derive(Debug, Default)]
pub(super) struct Ears(RefCell<HashMap<Name, Ear>>);

#[derive(Debug, Default)]
struct Ear {
    bell: watch::Sender<()>,
    seen: Option<Look>,
}

impl Ears {
    /// What rings when something of this name changes.
    pub(super) fn of(&self, name: &Name) -> watch::Receiver<()> {
        let mut all = self.0.borrow_mut();
        all.retain(|_, ear| ear.bell.receiver_count() > 0);
        all.entry(*name).or_default().bell.subscribe()
    }

    #[cfg(target_os = "linux")]
    fn ring(&self, name: &Name) {
        if let Some(ear) = self.0.borrow().get(name) {
            ear.bell.send_replace(());
        }
    }

    #[cfg(target_os = "linux")]
    fn ring_all(&self) {
        for ear in self.0.borrow().values() {
            ear.bell.send_replace(());
        }
    }

    /// The names that somebody listens for.
    fn names(&self) -> Vec<Name> {
        let all = self.0.borrow();
        all.iter().filter(|(_, ear)| ear.bell.receiver_count() > 0).map(|(name, _)| *name).collect()
    }

    /// Remembers what is seen, and rings if it is not what was seen before.
    fn see(&self, name: &Name, look: Look) {
        let mut all = self.0.borrow_mut();
        let Some(ear) = all.get_mut(name) else { return };
        // What happened before the first look may have been missed.
        if ear.seen.replace(look) != Some(look) {
            ear.bell.send_replace(());
        }
    }
}

/// Rings of changes, for ever.
pub(super) async fn listen(store: &FileStore) {
    loop {
        #[cfg(target_os = "linux")]
        if let Err(error) = inotify::hear(store).await {
            tracing::debug!(%error, "the token store's directory cannot be watched; it is looked at instead");
        }
        look(store).await;
        sleep(LOOK).await;
    }
}

pub(super) async fn look(store: &FileStore) {
    let names: HashSet<_> = store.ears.names().into_iter().collect();
    if names.is_empty() {
        return;
    }
    let looked = store.work(|place| Ok(names.into_iter().map(|name| (name, place.look(&name))).collect::<Vec<_>>()));
    for (name, look) in looked.await.unwrap_or_default() {
        store.ears.see(&name, look);
    }
}

#[cfg(target_os = "linux")]
mod inotify {
    use std::collections::HashSet;
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
    use rustix::io::Errno;
    use tokio::io::unix::AsyncFd;
    use tokio::time::{Instant, sleep_until};

    use super::super::super::backend::Name;
    use super::super::FileStore;
    use super::super::directory::{ENTRY, LEASE};
    use super::super::format::name;
    use super::look;

    /// How often it is looked all the same: not every file system tells of everything.
    const DISTRUST: Duration = Duration::from_secs(5);

    /// A file's lock ends a moment after its closing is told of, when its process dies.
    const AFTER_CLOSING: Duration = Duration::from_millis(20);

    /// How much is heard at a time, in bytes: some thirty events.
    const BUFFER: usize = 4096;

    /// Rings of what inotify tells, until the directory is gone.
    ///
    /// # Errors
    /// What the system says: there is no directory, or there are too many watches.
    pub(super) async fn hear(store: &FileStore) -> io::Result<()> {
        let watch = store.work(|place| {
            place.make()?;
            let identity = place.identity();
            Ok(open(place.path()).map(|watch| (watch, identity)))
        });
        let (watch, identity) = watch.await.map_err(io::Error::other)??;
        let watch = asynchronous(watch)?;
        // What happened until now may have been missed.
        store.ears.ring_all();
        let mut closed = Closed::default();
        let mut distrust = Instant::now() + DISTRUST;
        loop {
            let next = closed.at.unwrap_or(distrust).min(distrust);
            tokio::select! {
                ready = watch.readable() => {
                    let mut ready = ready?;
                    let heard = read(watch.get_ref())?;
                    ready.clear_ready();
                    drop(ready);
                    for name in &heard.changed {
                        store.ears.ring(name);
                    }
                    closed.add(heard.closed);
                    if heard.too_much {
                        store.ears.ring_all();
                    }
                    if heard.is_over {
                        return Ok(());
                    }
                }
                () = sleep_until(next) => {
                    let now = Instant::now();
                    closed.take(now).iter().for_each(|name| store.ears.ring(name));
                    if now >= distrust {
                        look(store).await;
                        // Its end is not told of while somebody has a file of it open: who holds a lease, for one.
                        if store.work(|place| Ok(place.identity())).await.is_ok_and(|found| found != identity) {
                            return Ok(());
                        }
                        distrust = Instant::now() + DISTRUST;
                    }
                }
            }
        }
    }

    /// Leases that were closed a moment ago.
    #[derive(Default)]
    struct Closed {
        names: HashSet<Name>,
        at: Option<Instant>,
    }

    impl Closed {
        fn add(&mut self, names: HashSet<Name>) {
            if !names.is_empty() {
                self.names.extend(names);
                self.at = Some(Instant::now() + AFTER_CLOSING);
            }
        }

        fn take(&mut self, now: Instant) -> HashSet<Name> {
            if self.at.is_none_or(|at| at > now) {
                return HashSet::new();
            }
            self.at = None;
            std::mem::take(&mut self.names)
        }
    }

    #[derive(Default)]
    struct Heard {
        changed: HashSet<Name>,
        closed: HashSet<Name>,
        too_much: bool,
        is_over: bool,
    }

    fn open(directory: &std::path::Path) -> io::Result<OwnedFd> {
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let gone = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        add_watch(&watch, directory, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | gone)?;
        Ok(watch)
    }

    /// All that there is to hear now.
    fn read(watch: &OwnedFd) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(watch, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(heard),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let told = event.events();
            heard.too_much |= told.contains(ReadFlags::QUEUE_OVERFLOW);
            heard.is_over |= told
                .intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED | ReadFlags::UNMOUNT);
            let Some(file) = event.file_name().and_then(|file| file.to_str().ok()) else { continue };
            let entry = file.strip_prefix(ENTRY).and_then(name).filter(|_| told.contains(ReadFlags::MOVED_TO));
            let lease = file.strip_prefix(LEASE).and_then(name).filter(|_| told.contains(ReadFlags::CLOSE_WRITE));
            heard.changed.extend(entry.or(lease));
            heard.closed.extend(lease);
        }
    }

    #[expect(
        deprecated,
        reason = "the successor is unsafe for types that may swap their descriptor; an OwnedFd keeps its own"
    )]
    fn asynchronous(watch: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::new(watch)
    }
}
