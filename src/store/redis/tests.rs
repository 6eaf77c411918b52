//! Against real servers: `redis-server`, `redis-sentinel` and `redis-cli` of Debian, which `./ci` installs. Left out where they are not
//! there, unless `BEARERD_TEST_PEERS` is set.

mod faults;
mod server;
mod topologies;

use std::ops::Deref;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::secret::SecretSource;
use crate::store::contract_tests::{claim, fence, holder, keeps_the_contract, name, news};
use crate::store::settings::Server;
use server::Started;

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a question may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A store with its connections.
struct Running {
    store: Rc<RedisStore>,
    task: JoinHandle<()>,
}

impl Deref for Running {
    type Target = RedisStore;

    fn deref(&self) -> &RedisStore {
        &self.store
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn running(settings: Redis) -> Running {
    let store = Rc::new(RedisStore::new(settings, TIMEOUT, Clock::boot()).unwrap());
    let runs = Rc::clone(&store);
    Running { store, task: tokio::task::spawn_local(async move { runs.run().await }) }
}

/// Runs a test where there are servers to test against.
async fn with_servers(test: impl Future<Output = ()>) {
    if server::are_missing() {
        return;
    }
    timeout(3 * PATIENCE, LocalSet::new().run_until(test)).await.expect("the test hangs");
}

/// Asks until the answer is as wanted; no question may hang.
async fn until<T: fmt::Debug>(what: &str, mut ask: impl AsyncFnMut() -> T, is_wanted: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = timeout(PATIENCE, ask()).await.unwrap_or_else(|_| panic!("{what}: a question hangs"));
        if is_wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: still {answer:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn at_socket(path: &Path) -> Redis {
    Redis {
        servers: vec![Server::Unix(path.to_owned())],
        topology: Topology::Standalone,
        username: None,
        password: None,
        sentinel_username: None,
        sentinel_password: None,
        database: 0,
        tls: None,
        allow_plain_tcp: false,
    }
}

fn with_login(settings: Redis, username: Option<&str>, password: &str) -> Redis {
    let username = username.map(SecretSource::inline);
    Redis { username, password: Some(SecretSource::inline(password)), ..settings }
}

#[tokio::test]
async fn a_server_keeps_the_contract() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let (one, other) = (running(at_socket(&server.socket)), running(at_socket(&server.socket)));
        keeps_the_contract(&*one.store, &*other.store).await;
    })
    .await;
}

#[tokio::test]
async fn a_user_with_the_documented_rights_alone_keeps_the_contract_in_another_database() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let rules: Vec<&str> =
            "ACL SETUSER bearerd on >hunter2 +select".split(' ').chain(RIGHTS.split_whitespace()).collect();
        assert_eq!(server.cli(&rules), "OK");
        server.cli(&["ACL", "SETUSER", "default", "off"]);
        let settings = Redis { database: 3, ..with_login(at_socket(&server.socket), Some("bearerd"), "hunter2") };
        let (one, other) = (running(settings.clone()), running(settings));
        keeps_the_contract(&*one.store, &*other.store).await;
        let shown = format!("{one:?}", one = *one);
        assert!(shown.contains("database 3") && !shown.contains("hunter2"), "{shown}");
    })
    .await;
}

#[tokio::test]
async fn no_right_of_the_documented_ones_is_needless() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        // Those are asked for by nobody who waits for the answer.
        let unheard = |right: &str| matches!(right, "+role" | "+wait" | "+ping" | "+unsubscribe");
        for right in RIGHTS.split_whitespace().filter(|right| !unheard(right)) {
            let user = format!("without-{}", right.replace(['+', '~', '&', ':', '*'], ""));
            let rest = RIGHTS.split_whitespace().filter(|other| *other != right);
            let rules: Vec<&str> =
                ["ACL", "SETUSER", &user, "reset", "on", ">hunter2"].into_iter().chain(rest).collect();
            assert_eq!(server.cli(&rules), "OK");
            let store = running(with_login(at_socket(&server.socket), Some(&user), "hunter2"));
            let refused = every_question(&store).await;
            assert!(refused.as_ref().is_some_and(|why| why.contains("NOPERM")), "without {right}: {refused:?}");
        }
    })
    .await;
}

/// Asks everything once; the first refusal.
async fn every_question(store: &RedisStore) -> Option<String> {
    let (name, us) = (name(), holder());
    let changes = store.changes(&name);
    let ask = async {
        let first = fence(&store.claim(&name, claim(us)).await?);
        store.claim(&name, claim(us)).await?;
        store.write(&name, news(us, first, b"text")).await?;
        store.write(&name, Write { keep: None, ..news(us, first, b"text") }).await?;
        store.read(&name).await?;
        store.release(&name, us).await?;
        store.count(&name, 1, TIMEOUT).await?;
        store.count(&name, 0, TIMEOUT).await?;
        drop(changes);
        // Whoever listens to something else stops listening to that.
        let _others = store.changes(&crate::store::contract_tests::name());
        let beginning = Instant::now();
        while beginning.elapsed() < Duration::from_secs(4) {
            store.ping().await?;
            sleep(Duration::from_millis(50)).await;
        }
        Ok::<(), StoreError>(())
    };
    match ask.await {
        Ok(()) => None,
        Err(StoreError::Refused(why)) => Some(why),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn nothing_is_left_for_ever_but_what_must_be() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let store = running(at_socket(&server.socket));
        let (name, us) = (name(), holder());
        let (entry, lease, number) = (scripts::key(&name), scripts::lease(&name), scripts::fence(&name));
        let left = |key: &str| server.cli(&["PTTL", key]).parse::<i64>().unwrap();
        let days = 24 * 3600 * 1000;
        let first = fence(&store.claim(&name, claim(us)).await.unwrap());
        assert!((1..=600_000).contains(&left(&lease)));
        assert!((29 * days..=30 * days).contains(&left(&number)));
        store
            .write(&name, Write { keep: Some(Duration::from_secs(90 * 24 * 3600)), ..news(us, first, b"text") })
            .await
            .unwrap();
        assert!((89 * days..=90 * days).contains(&left(&entry)) && left(&number) > 89 * days);
        store.write(&name, Write { keep: None, ..news(us, first, b"text") }).await.unwrap();
        assert_eq!((left(&entry), left(&number)), (-1, -1));
        store.write(&name, Write { keep: Some(TIMEOUT), ..news(us, first, b"text") }).await.unwrap();
        assert!(left(&entry) <= 1000 && left(&number) > 29 * days);
        store.count(&name, 1, TIMEOUT).await.unwrap();
        assert!((1..=1000).contains(&left(&format!("{entry}:count"))));
        assert_eq!(server.cli(&["TYPE", &entry]), "hash");
        assert_eq!(server.cli(&["HKEYS", &entry]), "version\nfence\nbytes\nwritten");
    })
    .await;
}
