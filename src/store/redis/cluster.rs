//! A cluster: which node has which slot, and a connection to each master.
//!
//! Owns the map, which is asked for again when a node is away or says that a slot has moved, and every minute. A question goes to one node, because all
//! keys of an entry are in one slot; it follows the node's own directions a few times. Notifications are listened to where the entry is:
//! the scripts publish there, and the cluster's own forwarding is not waited for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind, Value, cmd};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Common;
use super::dial::{self, Who};
use super::failure::{self, Trouble};
use super::link::{Link, Target};
use super::scripts::{self, Call};
use crate::backoff;
use crate::store::backend::{Name, StoreError};
use crate::store::settings::Server;

/// How long one node may take to say the map.
const ONE_NODE: Duration = Duration::from_secs(1);

/// How often the map is asked for while nothing is wrong.
const FRESH: Duration = Duration::from_secs(60);

/// The first wait between two looks at a map with which something is wrong, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How many directions a question follows.
const DIRECTIONS: usize = 4;

/// How long a question waits while a slot moves between two nodes and neither has all of its keys.
const MOVING: Duration = Duration::from_millis(20);

/// A cluster of Redis servers.
pub(super) struct Cluster {
    common: Rc<Common>,
    map: RefCell<Map>,
    links: RefCell<HashMap<Server, Rc<Link>>>,
    /// Counts the looks at the map.
    looks: watch::Sender<u64>,
    /// Why there is no map.
    trouble: RefCell<StoreError>,
}

/// Slots from the first to the last, and the master that has them.
type Map = Vec<(u16, u16, Server)>;

impl Cluster {
    pub(super) fn new(common: Rc<Common>) -> Self {
        let trouble = RefCell::new(StoreError::Unreachable("it was not tried yet".to_owned()));
        let (map, links) = Default::default();
        Self { common, map, links, looks: watch::Sender::new(0), trouble }
    }

    /// Asks the node that has the entry, and follows its directions.
    pub(super) async fn ask(&self, name: &Name, call: &Call<'_>) -> Result<Value, StoreError> {
        let _ = self.looks.subscribe().wait_for(|looks| *looks > 0).await;
        let mut link = self.owner(name)?;
        let mut is_asking = false;
        for _ in 0..DIRECTIONS {
            let answer = if is_asking { link.ask_asking(call).await } else { link.ask(call).await };
            let error = match answer {
                Ok(value) => return Ok(value),
                Err(Trouble::Link(error)) => return Err(error),
                Err(Trouble::Answer(error)) => error,
            };
            is_asking = false;
            match error.kind() {
                ErrorKind::Server(ServerErrorKind::Moved) => link = self.moved(name, &error).await?,
                ErrorKind::Server(ServerErrorKind::Ask) => {
                    let server = direction(&error)?;
                    link = self.link(&server).ok_or_else(|| failure::of(&error))?;
                    is_asking = true;
                }
                ErrorKind::Server(ServerErrorKind::TryAgain) => sleep(MOVING).await,
                ErrorKind::Server(ServerErrorKind::ClusterDown) => {
                    self.common.stale.notify_one();
                    return Err(failure::of(&error));
                }
                _ => return Err(failure::of(&error)),
            }
        }
        Err(StoreError::Refused("the nodes of the cluster do not agree who has the slot".to_owned()))
    }

    /// Whether every master answers.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let _ = self.looks.subscribe().wait_for(|looks| *looks > 0).await;
        let links: Vec<_> = self.links.borrow().values().cloned().collect();
        if links.is_empty() {
            return Err(self.trouble.borrow().clone());
        }
        for link in links {
            link.ping().await?;
        }
        Ok(())
    }

    /// Other names than before may be listened to.
    pub(super) fn listen_anew(&self) {
        self.links.borrow().values().for_each(|link| link.listen_anew());
    }

    /// The connection to the node that has the entry.
    pub(super) fn link_of(&self, name: &Name) -> Option<Rc<Link>> {
        self.owner(name).ok()
    }

    /// Keeps map and connections up to date, for ever.
    pub(super) async fn run(&self) {
        let mut tasks = JoinSet::new();
        let mut running: HashMap<Server, AbortHandle> = HashMap::new();
        let mut tries = 0;
        loop {
            match self.look().await {
                Ok(map) => self.follow(map, &mut tasks, &mut running),
                Err(error) => {
                    tracing::debug!(%error, "no map of the token store's cluster");
                    self.trouble.replace(error);
                }
            }
            self.looks.send_modify(|looks| *looks += 1);
            let is_well = !self.links.borrow().is_empty() && self.links.borrow().values().all(|link| link.is_up());
            tries = if is_well { 0 } else { tries + 1 };
            let most = if is_well { FRESH } else { backoff::full_jitter(WAITS.0, tries, WAITS.1, fastrand::f64()) };
            tokio::select! {
                () = sleep(most) => {}
                () = self.common.stale.notified(), if is_well => {}
            }
        }
    }

    /// Asks for the map: the nodes that are connected, then those of the settings, then those that were known.
    async fn look(&self) -> Result<Map, StoreError> {
        let mut question = cmd("CLUSTER");
        question.arg("SLOTS");
        let mut known: Vec<_> = self.links.borrow().iter().map(|(at, link)| (at.clone(), Rc::clone(link))).collect();
        fastrand::shuffle(&mut known);
        let mut last = StoreError::Unreachable("no node is configured".to_owned());
        for (server, link) in known.iter().filter(|(_, link)| link.is_up()) {
            match map_of(server, link.command(&question)).await {
                Ok(map) => return Ok(map),
                Err(error) => last = error,
            }
        }
        let others = known.iter().filter(|(_, link)| !link.is_up()).map(|(server, _)| server);
        for server in self.common.settings.servers.iter().chain(others) {
            match map_of(server, dial::ask_once(&self.common.settings, server, Who::Data, &question)).await {
                Ok(map) => return Ok(map),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to the masters of the map, and leaves those that are none any more.
    fn follow(&self, map: Map, tasks: &mut JoinSet<()>, running: &mut HashMap<Server, AbortHandle>) {
        let mut slots: HashMap<Server, Vec<(u16, u16)>> = HashMap::new();
        for (first, last, server) in &map {
            slots.entry(server.clone()).or_default().push((*first, *last));
        }
        let mut links = self.links.borrow_mut();
        links.retain(|server, _| slots.contains_key(server));
        running.retain(|server, task| {
            let stays = slots.contains_key(server);
            if !stays {
                task.abort();
            }
            stays
        });
        while tasks.try_join_next().is_some() {}
        for (server, slots) in slots {
            let link = links.entry(server.clone()).or_insert_with(|| {
                let link = Rc::new(Link::new(Rc::clone(&self.common), Target::Node(server.clone())));
                let task = Rc::clone(&link);
                running.insert(server, tasks.spawn_local(async move { task.run().await }));
                link
            });
            link.keep_to(slots);
        }
        self.map.replace(map);
    }

    fn owner(&self, name: &Name) -> Result<Rc<Link>, StoreError> {
        let slot = scripts::slot(name);
        let map = self.map.borrow();
        let Some((_, _, server)) = map.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)) else {
            self.common.stale.notify_one();
            return Err(if map.is_empty() { self.trouble.borrow().clone() } else { nobody(slot) });
        };
        self.link(server).ok_or_else(|| nobody(slot))
    }

    fn link(&self, server: &Server) -> Option<Rc<Link>> {
        self.links.borrow().get(server).cloned()
    }

    /// Where a slot is now: a node that is known, or will be after a look at the map.
    async fn moved(&self, name: &Name, error: &RedisError) -> Result<Rc<Link>, StoreError> {
        let server = direction(error)?;
        self.common.stale.notify_one();
        if let Some(link) = self.link(&server) {
            return Ok(link);
        }
        let mut looks = self.looks.subscribe();
        // The look that is under way, if there is one, may have begun before the move.
        let now = *looks.borrow_and_update();
        let _ = looks.wait_for(|looks| *looks > now).await;
        self.owner(name)
    }
}

/// The map that a node says, if it does so in time.
async fn map_of(server: &Server, asked: impl Future<Output = Result<Value, StoreError>>) -> Result<Map, StoreError> {
    match timeout(ONE_NODE, asked).await {
        Ok(answer) => map(&answer?, server),
        Err(_) => Err(StoreError::Unreachable(format!("{server} does not answer"))),
    }
}

fn nobody(slot: u16) -> StoreError {
    StoreError::Refused(format!("CLUSTERDOWN no node has the slot {slot}"))
}

/// Where a node says that the slot is.
fn direction(error: &RedisError) -> Result<Server, StoreError> {
    let address = error.redirect_node().and_then(|(address, _)| address.rsplit_once(':'));
    match address.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) if !host.is_empty() => Ok(Server::Tcp(host.to_owned(), port)),
        _ => Err(StoreError::Nonsense("a slot moved to a node without an address".to_owned())),
    }
}

/// Of `CLUSTER SLOTS`: each item is first, last, and the nodes, the master first. An empty host is the one that was asked.
fn map(answer: &Value, asked: &Server) -> Result<Map, StoreError> {
    let Value::Array(ranges) = answer else { return Err(strange()) };
    let map = ranges.iter().map(|range| slots(range, asked).ok_or_else(strange)).collect::<Result<Map, _>>()?;
    if map.is_empty() {
        return Err(StoreError::Refused("CLUSTERDOWN no slot has a node".to_owned()));
    }
    Ok(map)
}

fn slots(range: &Value, asked: &Server) -> Option<(u16, u16, Server)> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else { return None };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        Value::Nil => String::new(),
        _ => return None,
    };
    let port = u16::try_from(*port).ok()?;
    let server = match (host.as_str(), asked) {
        ("", Server::Tcp(asked, _)) => Server::Tcp(asked.clone(), port),
        ("", Server::Unix(_)) => asked.clone(),
        _ => Server::Tcp(host, port),
    };
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, server))
}

fn strange() -> StoreError {
    StoreError::Nonsense("this is no map of a cluster".to_owned())
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn node(host: &str) -> Server {
        Server::Tcp(host.to_owned(), 7000)
    }

    #[test]
    fn the_map_names_masters_and_an_empty_host_is_the_one_that_was_asked() {
        let answer = b"*2\r\n*4\r\n:0\r\n:5460\r\n*3\r\n$8\r\n10.0.0.1\r\n:7000\r\n$2\r\nid\r\n*3\r\n$8\r\n10.0.0.9\r\n:7000\r\n$2\r\nid\r\n\
            *3\r\n:5461\r\n:16383\r\n*4\r\n$-1\r\n:7000\r\n$2\r\nid\r\n*0\r\n";
        let map = map(&parse_redis_value(answer).unwrap(), &node("seed")).unwrap();
        assert_eq!(map, [(0, 5460, node("10.0.0.1")), (5461, 16383, node("seed"))]);
    }

    #[test]
    fn anything_else_is_no_map() {
        for strange in [
            &b"+OK\r\n"[..],
            b"*1\r\n:1\r\n",
            b"*1\r\n*2\r\n:0\r\n:1\r\n",
            b"*1\r\n*3\r\n:0\r\n:70000\r\n*2\r\n$1\r\na\r\n:1\r\n",
        ] {
            let error = map(&parse_redis_value(strange).unwrap(), &node("seed")).unwrap_err();
            assert!(matches!(error, StoreError::Nonsense(_)), "{error}");
        }
        let none = map(&Value::Array(Vec::new()), &node("seed"));
        assert!(matches!(none, Err(StoreError::Refused(_))), "{none:?}");
    }

    #[test]
    fn directions_are_followed_to_addresses_alone() {
        let check = |line: &str| {
            let Value::ServerError(error) = parse_redis_value(line.as_bytes()).unwrap() else { panic!("{line}") };
            direction(&error.into())
        };
        assert_eq!(check("-MOVED 5 10.0.0.1:7000\r\n"), Ok(node("10.0.0.1")));
        assert_eq!(check("-ASK 5 2001:db8::1:7000\r\n"), Ok(node("2001:db8::1")));
        for strange in ["-MOVED 5 :7000\r\n", "-MOVED 5\r\n", "-MOVED 5 a:b\r\n"] {
            assert!(check(strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn the_slot_is_that_of_the_server() {
        // `CLUSTER KEYSLOT 0000…`
        assert_eq!(scripts::slot(&Name([0; 32])), 16090);
    }
}
