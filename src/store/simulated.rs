//! A place for entries that exists in a test alone: a network and a server on the test's clock, which fail as they are told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::backend::{Answer, Backend, Claim, Claimed, Holder, Name, StoreError, Stored, Write, Written};

/// The server. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server(Rc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    entries: RefCell<BTreeMap<Name, Entry>>,
    bells: RefCell<HashMap<Name, watch::Sender<()>>>,
    mood: Cell<Mood>,
    refused: Cell<usize>,
}

#[derive(Debug, Default)]
struct Entry {
    stored: Option<Content>,
    fence: u64,
    written_fence: u64,
    lease: Option<(Holder, u64, Instant)>,
    count: Option<(u64, Instant)>,
}

#[derive(Debug)]
struct Content {
    version: u64,
    bytes: Vec<u8>,
    at: Instant,
    until: Option<Instant>,
}

/// How the server does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Nobody listens: an error at once.
    Down,
    /// It takes questions and never answers.
    Hung,
    /// It takes no writes.
    Full,
}

impl Server {
    pub(crate) fn is(&self, mood: Mood) {
        self.0.mood.set(mood);
    }

    /// How many writes it did not take.
    pub(crate) fn refused(&self) -> usize {
        self.0.refused.get()
    }

    /// Everything is gone.
    pub(crate) fn wipe(&self) {
        self.0.entries.borrow_mut().clear();
    }

    /// Every content becomes something else.
    pub(crate) fn garble(&self) {
        for entry in self.0.entries.borrow_mut().values_mut() {
            if let Some(content) = &mut entry.stored {
                content.bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
            }
        }
    }

    /// What is stored now, for [`Server::put_back`].
    pub(crate) fn contents(&self) -> Vec<(Name, Vec<u8>)> {
        let entries = self.0.entries.borrow();
        entries.iter().filter_map(|(name, entry)| Some((*name, entry.stored.as_ref()?.bytes.clone()))).collect()
    }

    /// What somebody does who can write here and has no key: old contents, as if they were news.
    pub(crate) fn put_back(&self, contents: &[(Name, Vec<u8>)]) {
        for (name, bytes) in contents {
            let mut entries = self.0.entries.borrow_mut();
            if let Some(content) = entries.get_mut(name).and_then(|entry| entry.stored.as_mut()) {
                *content =
                    Content { version: content.version + 1, bytes: bytes.clone(), at: Instant::now(), until: None };
            }
            drop(entries);
            self.ring(name);
        }
    }

    /// Likewise: a lease of nobody's on everything that there is.
    pub(crate) fn hold_all(&self, time: Duration) {
        for entry in self.0.entries.borrow_mut().values_mut() {
            entry.lease = Some((Holder(0), u64::MAX, Instant::now() + time));
        }
    }

    /// Every byte that is stored.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let entries = self.0.entries.borrow();
        entries.values().filter_map(|entry| entry.stored.as_ref()).flat_map(|content| content.bytes.clone()).collect()
    }

    fn ring(&self, name: &Name) {
        if let Some(bell) = self.0.bells.borrow().get(name) {
            bell.send_replace(());
        }
    }
}

/// How one instance reaches the server.
#[derive(Debug)]
pub(crate) struct Link {
    server: Server,
    latency: Duration,
    /// Whether this instance is cut off.
    pub(crate) cut: Rc<Cell<bool>>,
}

impl Link {
    pub(crate) fn new(server: &Server, latency: Duration) -> Self {
        Self { server: server.clone(), latency, cut: Rc::default() }
    }

    async fn arrive(&self) -> Result<Mood, StoreError> {
        sleep(self.latency / 2).await;
        if self.cut.get() {
            std::future::pending::<()>().await;
        }
        match self.server.0.mood.get() {
            Mood::Down => Err(StoreError::Unreachable("connection refused".to_owned())),
            Mood::Hung => std::future::pending().await,
            mood => Ok(mood),
        }
    }

    async fn ask<T>(
        &self,
        name: &Name,
        does: impl FnOnce(&mut Entry, Mood) -> (Result<T, StoreError>, bool),
    ) -> Result<T, StoreError> {
        let mood = self.arrive().await?;
        let (outcome, rings) = does(self.server.0.entries.borrow_mut().entry(*name).or_default(), mood);
        if rings {
            self.server.ring(name);
        }
        sleep(self.latency / 2).await;
        outcome
    }
}

impl Entry {
    fn stored(&self) -> Option<Stored> {
        let now = Instant::now();
        let content = self.stored.as_ref().filter(|content| content.until.is_none_or(|until| now < until))?;
        Some(Stored { version: content.version, bytes: content.bytes.clone(), age: Some(now - content.at) })
    }

    fn claim(&mut self, claim: Claim) -> Claimed {
        let now = Instant::now();
        let stored = self.stored();
        if let Some(stored) = stored.clone().filter(|stored| stored.version > claim.seen) {
            return Claimed::Newer(stored);
        }
        let fence = match self.lease.filter(|(_, _, until)| now < *until) {
            Some((holder, fence, _)) if holder == claim.holder => fence,
            Some((_, _, until)) => return Claimed::Taken { left: until - now },
            None => {
                let version = stored.as_ref().map_or(0, |stored| stored.version);
                self.fence = self.fence.max(version).max(claim.above) + 1;
                self.fence
            }
        };
        self.lease = Some((claim.holder, fence, now + claim.lease));
        Claimed::Granted { fence, stored }
    }

    fn write(&mut self, write: Write) -> (Written, bool) {
        if write.fence < self.written_fence {
            return (Written::Outrun, false);
        }
        let now = Instant::now();
        let is_news = self.stored().is_none_or(|stored| stored.version != write.version);
        self.written_fence = write.fence;
        self.fence = self.fence.max(write.fence);
        self.stored = Some(Content {
            version: write.version,
            bytes: write.bytes,
            at: now,
            until: write.keep.map(|keep| now + keep),
        });
        let released = write.release && self.release(write.holder);
        (Written::Done, is_news || released)
    }

    fn release(&mut self, holder: Holder) -> bool {
        self.lease.take_if(|(own, _, _)| *own == holder).is_some()
    }
}

impl Backend for Link {
    fn claim<'a>(&'a self, name: &'a Name, claim: Claim) -> Answer<'a, Claimed> {
        Box::pin(self.ask(name, move |entry, _| (Ok(entry.claim(claim)), false)))
    }

    fn read<'a>(&'a self, name: &'a Name) -> Answer<'a, Option<Stored>> {
        Box::pin(self.ask(name, |entry, _| (Ok(entry.stored()), false)))
    }

    fn write<'a>(&'a self, name: &'a Name, write: Write) -> Answer<'a, Written> {
        Box::pin(self.ask(name, move |entry, mood| {
            if mood == Mood::Full {
                self.server.0.refused.update(|refused| refused + 1);
                return (Err(StoreError::Refused("OOM".to_owned())), false);
            }
            let (written, rings) = entry.write(write);
            (Ok(written), rings)
        }))
    }

    fn release<'a>(&'a self, name: &'a Name, holder: Holder) -> Answer<'a, ()> {
        Box::pin(self.ask(name, move |entry, _| (Ok(()), entry.release(holder))))
    }

    fn count<'a>(&'a self, name: &'a Name, by: u32, keep: Duration) -> Answer<'a, u64> {
        Box::pin(self.ask(name, move |entry, _| {
            let now = Instant::now();
            let (count, until) = entry.count.filter(|(_, until)| now < *until).unwrap_or((0, now + keep));
            let count = count + u64::from(by);
            entry.count = (count > 0).then_some((count, until));
            (Ok(count), false)
        }))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async { self.arrive().await.map(drop) })
    }

    fn changes(&self, name: &Name) -> watch::Receiver<()> {
        let mut bells = self.server.0.bells.borrow_mut();
        bells.entry(*name).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    fn place(&self) -> String {
        "a test".to_owned()
    }
}
