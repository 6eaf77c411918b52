//! Entries in a Redis (6.0 or later) or a Valkey: standalone, behind Sentinel, or a cluster.
//!
//! Owns the questions as scripts, each of which does one of them whole and at once, and the connections by which they are asked. Bearerd's
//! own clock decides nothing here: ages and ends of leases are by the server's. While there is no connection every question fails at
//! once with the reason; only before the first try to connect has ended do questions wait for it, so that an instance that starts finds
//! the entry that is there. Refuses to keep passwords: they are read at each connection and wiped after it, and no library sees them.
//!
//! | key | type | what |
//! |---|---|---|
//! | `bearerd:{NAME}` | hash | `version`, `fence` (of the last write), `bytes` (sealed), `written` (µs, by the server's `TIME`) |
//! | `bearerd:{NAME}:lease` | string | the holder and its fencing number; expires |
//! | `bearerd:{NAME}:fence` | string | the highest fencing number ever; outlives leases by 30 days, and the entry |
//! | `bearerd:{NAME}:count` | string | a count; expires |
//! | `bearerd:{NAME}` | channel | rings after writes that are news and when a lease is given back |
//!
//! The braces make all keys of an entry live in one slot of a cluster. Numbers are 20 decimal digits, because numbers of Lua end at 2^53.
//! The rights that a user needs stand in `RIGHTS`, and in docs/fleet.md.

mod bells;
mod cluster;
mod dial;
mod failure;
mod link;
mod reply;
mod scripts;
mod sentinel;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::{Notify, watch};

use super::backend::{Answer, Backend, Claim, Claimed, Holder, Name, StoreError, Stored, Write, Written};
use super::settings::{Redis, Topology};
use crate::clock::Clock;
use crate::tls;
use bells::Bells;
use cluster::Cluster;
use link::{Link, Target};
use scripts::Call;

/// What a user of an ACL needs, in the words of `ACL SETUSER`. In a cluster also `+cluster|slots`; where the database is not 0 also
/// `+select`. Without `+role` a server that is no master any more is noticed at the next write alone, and nobody waits for replicas.
#[cfg(test)]
const RIGHTS: &str = "~bearerd:* &bearerd:* +evalsha +eval +hmget +hset +exists +get +set +del +incrby +pexpire +persist +pttl \
     +time +publish +subscribe +unsubscribe +ping +role +wait";

/// The longest that a write waits until a replica has it.
const REPLICATION: Duration = Duration::from_millis(50);

/// Entries in a Redis or Valkey.
pub struct RedisStore {
    common: Rc<Common>,
    wiring: Wiring,
}

/// What all connections have in common.
struct Common {
    settings: Redis,
    /// How long a ping may take.
    timeout: Duration,
    clock: Clock,
    bells: Arc<Bells>,
    /// Rung when the map of a cluster seems to be out of date.
    stale: Notify,
}

enum Wiring {
    /// One connection at a time.
    Single(Rc<Link>),
    /// One to each master.
    Cluster(Rc<Cluster>),
}

impl RedisStore {
    /// A store that connects once its [`Backend::run`] is polled, within a `LocalSet`. `timeout` is what a question may take.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for settings that cannot work: no server, a cluster with databases, a name that no certificate has.
    pub fn new(settings: Redis, timeout: Duration, clock: Clock) -> Result<Self, StoreError> {
        check(&settings)?;
        let target = match &settings.topology {
            Topology::Standalone => Some(Target::Servers),
            Topology::Sentinel { master } => Some(Target::Master(master.clone())),
            Topology::Cluster => None,
        };
        let common = Rc::new(Common { settings, timeout, clock, bells: Arc::default(), stale: Notify::new() });
        let wiring = match target {
            Some(target) => Wiring::Single(Rc::new(Link::new(Rc::clone(&common), target))),
            None => Wiring::Cluster(Rc::new(Cluster::new(Rc::clone(&common)))),
        };
        Ok(Self { common, wiring })
    }

    async fn ask(&self, name: &Name, call: &Call<'_>) -> Result<Value, StoreError> {
        match &self.wiring {
            Wiring::Single(link) => Ok(link.ask(call).await?),
            Wiring::Cluster(cluster) => cluster.ask(name, call).await,
        }
    }

    /// Waits a moment until a replica has what was written last, where there is one: best effort.
    async fn replicated(&self, name: &Name) {
        let most = REPLICATION.min(self.common.timeout / 4);
        let link = match &self.wiring {
            Wiring::Single(link) => Some(Rc::clone(link)),
            Wiring::Cluster(cluster) => cluster.link_of(name),
        };
        if let Some(link) = link {
            link.wait_for_replica(most).await;
        }
    }
}

impl Backend for RedisStore {
    fn claim<'a>(&'a self, name: &'a Name, claim: Claim) -> Answer<'a, Claimed> {
        Box::pin(async move { reply::claimed(self.ask(name, &scripts::claim(name, &claim)).await?) })
    }

    fn read<'a>(&'a self, name: &'a Name) -> Answer<'a, Option<Stored>> {
        Box::pin(async move { reply::stored(self.ask(name, &scripts::read(name)).await?) })
    }

    fn write<'a>(&'a self, name: &'a Name, write: Write) -> Answer<'a, Written> {
        Box::pin(async move {
            let written = reply::written(self.ask(name, &scripts::write(name, &write)).await?)?;
            if written == Written::Done && write.keep.is_none() {
                self.replicated(name).await;
            }
            Ok(written)
        })
    }

    fn release<'a>(&'a self, name: &'a Name, holder: Holder) -> Answer<'a, ()> {
        Box::pin(async move { self.ask(name, &scripts::release(name, holder)).await.map(drop) })
    }

    fn count<'a>(&'a self, name: &'a Name, by: u32, keep: Duration) -> Answer<'a, u64> {
        Box::pin(async move { reply::count(self.ask(name, &scripts::count(name, by, keep)).await?) })
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            match &self.wiring {
                Wiring::Single(link) => link.ping().await,
                Wiring::Cluster(cluster) => cluster.ping().await,
            }
        })
    }

    fn changes(&self, name: &Name) -> watch::Receiver<()> {
        let receiver = self.common.bells.listen(name);
        match &self.wiring {
            Wiring::Single(link) => link.listen_anew(),
            Wiring::Cluster(cluster) => cluster.listen_anew(),
        }
        receiver
    }

    fn run(&self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        match &self.wiring {
            Wiring::Single(link) => Box::pin(link.run()),
            Wiring::Cluster(cluster) => Box::pin(cluster.run()),
        }
    }

    fn place(&self) -> String {
        self.common.settings.to_string()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.place()).finish()
    }
}

fn check(settings: &Redis) -> Result<(), StoreError> {
    let refused = |what: &str| Err(StoreError::Refused(what.to_owned()));
    if settings.servers.is_empty() {
        return refused("no server is configured");
    }
    if settings.topology == Topology::Cluster && settings.database != 0 {
        return refused("a cluster has the database 0 alone");
    }
    let name = settings.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    match name.filter(|name| tls::server_name(name).is_none()) {
        Some(name) => refused(&format!("{name:?} is no name that a certificate could have")),
        None => Ok(()),
    }
}
