//! What a place for entries must be able to do.
//!
//! Owns the contract between the store and the places, and its words. Everything is bytes under a name; who may write is said by a lease
//! and a fencing number, so that an instance that was asleep cannot undo what came after it.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

/// The answer to one question, on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + 'a>>;

/// A place where entries live. Clones of one place (other processes, other hosts) see each other's entries.
///
/// Callers give every call a deadline of their own and drop what is late; a dropped call may still take effect.
pub trait Backend: fmt::Debug {
    /// The entry if it is newer than the claim has seen; else the lease, if nobody else has it.
    fn claim<'a>(&'a self, name: &'a Name, claim: Claim) -> Answer<'a, Claimed>;

    /// The entry.
    fn read<'a>(&'a self, name: &'a Name) -> Answer<'a, Option<Stored>>;

    /// Replaces the entry, unless one with a higher fencing number has been written. A lease is not asked for: who lost it in its sleep is
    /// told apart by the number.
    fn write<'a>(&'a self, name: &'a Name, write: Write) -> Answer<'a, Written>;

    /// Gives a lease back before its time. Does nothing if `holder` has none.
    fn release<'a>(&'a self, name: &'a Name, holder: Holder) -> Answer<'a, ()>;

    /// Adds `by` to a count that begins at zero and is forgotten `keep` after its first change; returns the sum. With `by` zero it only
    /// looks.
    fn count<'a>(&'a self, name: &'a Name, by: u32, keep: Duration) -> Answer<'a, u64>;

    /// Whether the place answers.
    fn ping(&self) -> Answer<'_, ()>;

    /// Changes whenever the entry or its lease may have: after a write that rings, after a release, after the end of a lease's holder where
    /// that is seen, and when the place can be heard again after a time when it could not. May change for nothing.
    fn changes(&self, name: &Name) -> watch::Receiver<()>;

    /// What the backend has to do by itself: connections, notifications. Ends with the store.
    fn run(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(std::future::pending())
    }

    /// Where it is, for people: without any secret.
    fn place(&self) -> String;
}

/// The name of an entry: a keyed hash, which says nothing about what it is the name of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub [u8; 32]);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who holds a lease: random, another for each credential of each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder(pub u128);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A wish to be the one who asks the token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Who wants it.
    pub holder: Holder,
    /// The highest version that the claimer knows. An entry above it makes a lease needless. `u64::MAX` wants the lease in any case.
    pub seen: u64,
    /// Fencing numbers begin above this: what the claimer remembers of a place that has forgotten everything.
    pub above: u64,
    /// How long the lease lasts if nobody gives it back. Who holds it already gets it for so long again, with the same number.
    pub lease: Duration,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// There is a newer entry. No lease was taken.
    Newer(Stored),
    /// The lease is the claimer's.
    Granted {
        /// The fencing number: higher than any before, of leases and of entries, and than `above`.
        fence: u64,
        /// The entry as it is now.
        stored: Option<Stored>,
    },
    /// Somebody else has it.
    Taken {
        /// For so long at most.
        left: Duration,
    },
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Grows with every entry that is news.
    pub version: u64,
    /// Sealed.
    pub bytes: Vec<u8>,
    /// How long ago it was written, on the place's own clock, suspend included; `None` where that cannot be known (a clock was set back).
    pub age: Option<Duration>,
}

/// A new content of an entry.
#[derive(Clone, Debug)]
pub struct Write {
    /// Whose lease ends with it, if `release`.
    pub holder: Holder,
    /// The fencing number of the lease under which it was made.
    pub fence: u64,
    /// The fencing number if this is news for the others; the version that was there if it is not.
    pub version: u64,
    /// Sealed.
    pub bytes: Vec<u8>,
    /// How long it is worth keeping; `None` for ever.
    pub keep: Option<Duration>,
    /// Whether the lease is given back with it.
    pub release: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is stored.
    Done,
    /// Something newer is there, and was left alone.
    Outrun,
}

/// Why the place did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or the connection broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("did not answer within {} ms", .0.as_millis())]
    Slow(Duration),
    /// It answered that it will not: wrong password, no right, full, read-only.
    #[error("refused: {0}")]
    Refused(String),
    /// What it answered makes no sense.
    #[error("answered nonsense: {0}")]
    Nonsense(String),
    /// It did not answer a moment ago, and is left alone until it does.
    #[error("is away")]
    Away,
}
