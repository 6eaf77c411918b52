//! More than one server, and TLS.

use super::server::free_port;
use super::*;
use crate::store::contract_tests::until_granted;
use crate::tls::ClientSettings;
use crate::tls::testing::{Authority, Directory};

fn at(port: u16) -> Server {
    Server::Tcp("127.0.0.1".to_owned(), port)
}

fn at_ports(ports: &[u16], topology: Topology) -> Redis {
    Redis { servers: ports.iter().map(|port| at(*port)).collect(), topology, ..at_socket(Path::new("unused")) }
}

#[tokio::test]
async fn tls_with_its_own_authority_and_a_client_certificate() {
    with_servers(async {
        let (authority, files, ours) = (Authority::new("us"), Directory::new(), Directory::new());
        let ca = files.write("ca.pem", &authority.pem());
        let identity = files.identity(&authority, "redis.internal");
        let port = free_port();
        let text = |path: &Path| path.display().to_string();
        let (certificate, key) = (text(&identity.certificate), text(&identity.key));
        let (ca_text, port_text) = (text(&ca), port.to_string());
        let tls = [
            "--tls-port",
            &port_text,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca_text,
        ];
        let _server = Started::standalone(&tls).await;
        let with = |settings: ClientSettings| Redis { tls: Some(settings), ..at_ports(&[port], Topology::Standalone) };
        let good = ClientSettings {
            ca: Some(ca),
            identity: Some(ours.identity(&authority, "bearerd")),
            server_name: Some("redis.internal".to_owned()),
        };
        let (one, other) = (running(with(good.clone())), running(with(good.clone())));
        keeps_the_contract(&*one.store, &*other.store).await;
        let why = async |settings: ClientSettings| match running(with(settings)).ping().await {
            Err(StoreError::Unreachable(why)) => why,
            other => panic!("{other:?}"),
        };
        let stranger = Some(files.write("stranger.pem", &Authority::new("them").pem()));
        assert!(why(ClientSettings { ca: stranger, ..good.clone() }).await.contains("TLS handshake failed"));
        assert!(why(ClientSettings { server_name: None, ..good.clone() }).await.contains("TLS handshake failed"));
        // TLS 1.3 says so after the handshake.
        let said = why(ClientSettings { identity: None, ..good.clone() }).await;
        assert!(said.contains("wants a client certificate"), "{said}");
        let missing = ClientSettings { ca: Some("/nonexistent/ca.pem".into()), ..good };
        assert!(why(missing).await.contains("/nonexistent/ca.pem"));
        let plain = running(at_ports(&[port], Topology::Standalone));
        until("plain TCP towards TLS ends", async || plain.ping().await, Result::is_err).await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn a_write_for_ever_is_with_the_replica_when_it_is_answered() {
    with_servers(async {
        let port = free_port();
        let master = Started::standalone(&["--port", &port.to_string()]).await;
        let replica = Started::standalone(&["--replicaof", "127.0.0.1", &port.to_string()]).await;
        until("they are in step", async || master.cli(&["INFO", "replication"]), |info| info.contains("state=online"))
            .await;
        let store = running(at_ports(&[port], Topology::Standalone));
        let (mut in_time, mut tries) = (0, 0);
        while in_time < 20 {
            tries += 1;
            assert!(tries <= 200, "the replica was in time {in_time} times of 200");
            let (name, us) = (name(), holder());
            let first = fence(&store.claim(&name, claim(us)).await.unwrap());
            let began = Instant::now();
            store.write(&name, Write { keep: None, ..news(us, first, b"text") }).await.unwrap();
            // On a busy machine a replica may be as slow as one that hangs.
            if began.elapsed() < REPLICATION {
                assert_eq!(replica.cli(&["HGET", &scripts::key(&name), "bytes"]), "text");
                in_time += 1;
            }
        }
        // A replica that hangs holds nothing up.
        replica.pause();
        let (name, us) = (name(), holder());
        let first = fence(&store.claim(&name, claim(us)).await.unwrap());
        let write = Write { keep: None, ..news(us, first, b"text") };
        let began = Instant::now();
        assert_eq!(timeout(TIMEOUT, store.write(&name, write)).await.expect("in time"), Ok(Written::Done));
        assert!(began.elapsed() >= REPLICATION, "it waits for the replica a moment: {:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left() {
    with_servers(async {
        let (one, two) = (free_port(), free_port());
        let first = Started::standalone(&["--port", &one.to_string()]).await;
        let second = Started::standalone(&["--port", &two.to_string()]).await;
        let store = running(at_ports(&[one, two], Topology::Standalone));
        let name = name();
        store.count(&name, 1, PATIENCE).await.unwrap();
        assert_eq!((first.cli(&["DBSIZE"]), second.cli(&["DBSIZE"])), ("1".to_owned(), "0".to_owned()));
        assert_eq!(first.cli(&["REPLICAOF", "127.0.0.1", &two.to_string()]), "OK");
        let error = store.count(&name, 1, PATIENCE).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.starts_with("READONLY")), "{error}");
        // With one server of two it takes the other one.
        until("the other server is used", async || store.count(&name, 1, PATIENCE).await, Result::is_ok).await.unwrap();
        assert_eq!(second.cli(&["DBSIZE"]), "1");
        let alone = running(at_ports(&[one], Topology::Standalone));
        let error = alone.ping().await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.contains("replica")), "{error}");
    })
    .await;
}

/// How far a server's replication is, in bytes, by what it says of itself.
fn offset(said: &str, name: &str) -> u64 {
    let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {said}"))
}

#[tokio::test]
async fn when_the_master_dies_the_one_that_sentinel_chooses_goes_on() {
    with_servers(async {
        let (one, two, watcher) = (free_port(), free_port(), free_port());
        let login = ["--requirepass", "data-secret", "--masterauth", "data-secret"];
        let with = |more: &[&str]| more.iter().chain(&login).map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let words = |all: &[String]| all.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
        let master_words = words(&with(&["--port", &one.to_string()]));
        let replica_words = words(&with(&["--port", &two.to_string(), "--replicaof", "127.0.0.1", &one.to_string()]));
        let mut master = Started::standalone(&master_words.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let replica = Started::standalone(&replica_words.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let configuration = format!(
            "sentinel monitor tokens 127.0.0.1 {one} 1\nsentinel auth-pass tokens data-secret\n\
             sentinel down-after-milliseconds tokens 500\nsentinel failover-timeout tokens 3000\nrequirepass sentinel-secret\n"
        );
        let sentinel = Started::sentinel(watcher, &configuration).await;
        let asked = ["-a", "sentinel-secret", "--no-auth-warning", "SENTINEL", "REPLICAS", "tokens"];
        until("sentinel knows the replica", async || sentinel.cli(&asked), |said| said.contains("master-link-status\nok")).await;

        let tokens = Topology::Sentinel { master: "tokens".to_owned() };
        // One of the sentinels is away.
        let settings = with_login(at_ports(&[free_port(), watcher], tokens), None, "data-secret");
        let settings = Redis { sentinel_password: Some(SecretSource::inline("sentinel-secret")), ..settings };
        let (store, other) = (running(settings.clone()), running(settings.clone()));
        let (name, us) = (name(), holder());
        let mut changes = store.changes(&name);
        let first = fence(&store.claim(&name, claim(us)).await.unwrap());
        store.write(&name, Write { keep: None, ..news(us, first, b"text") }).await.unwrap();
        crate::store::contract_tests::quiet(&mut changes).await;
        // Replicas are behind their master, and what they have not got is lost with it.
        let asked = ["-a", "data-secret", "--no-auth-warning", "INFO", "replication"];
        let written = offset(&master.cli(&asked), "master_repl_offset");
        until("the replica has it", async || offset(&replica.cli(&asked), "slave_repl_offset"), |at| *at >= written).await;
        master.kill();
        timeout(PATIENCE, changes.changed()).await.expect("those who listen are told").unwrap();
        let stored = until("the new master answers", async || store.read(&name).await, Result::is_ok).await.unwrap();
        assert_eq!(stored.map(|stored| stored.bytes), Some(b"text".to_vec()));
        let role = replica.cli(&["-a", "data-secret", "--no-auth-warning", "ROLE"]);
        assert!(role.starts_with("master"), "{role}");
        until("the other instance is there too", async || other.ping().await, Result::is_ok).await.unwrap();
        keeps_the_contract(&*store.store, &*other.store).await;

        let nobody = Redis { topology: Topology::Sentinel { master: "nobody".to_owned() }, ..settings.clone() };
        let error = running(Redis { servers: vec![at(watcher)], ..nobody }).ping().await.unwrap_err();
        assert!(matches!(&error, StoreError::Unreachable(why) if why.contains("knows no master \"nobody\"")), "{error}");
        let wrong = Redis { sentinel_password: Some(SecretSource::inline("wrong")), servers: vec![at(watcher)], ..settings };
        let error = running(wrong).ping().await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.starts_with("sentinel: WRONGPASS")), "{error}");
    })
    .await;
}

/// Three masters, each with a third of the slots.
async fn cluster() -> (Vec<Started>, Vec<u16>) {
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let mut nodes = Vec::new();
    for port in &ports {
        let port = port.to_string();
        let cluster = ["--port", &port, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        nodes.push(Started::standalone(&cluster).await);
    }
    let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(String::as_str));
    create.push("--cluster-yes");
    nodes[0].cli(&create);
    for node in &nodes {
        until("the cluster is made", async || node.cli(&["CLUSTER", "INFO"]), |info| info.contains("cluster_state:ok"))
            .await;
    }
    (nodes, ports)
}

#[tokio::test]
async fn a_cluster_keeps_the_contract_and_what_moves_in_it_is_followed() {
    with_servers(async {
        let (nodes, ports) = cluster().await;
        let seeds = [free_port(), ports[1]];
        let settings = at_ports(&seeds, Topology::Cluster);
        let (one, other) = (running(settings.clone()), running(settings));
        // Names of all nodes.
        for _ in 0..3 {
            keeps_the_contract(&*one.store, &*other.store).await;
        }
        let held: Vec<usize> = nodes.iter().map(|node| node.cli(&["DBSIZE"]).parse().unwrap()).collect();
        assert!(held.iter().all(|held| *held > 0), "{held:?}");

        let name = name();
        let slot = scripts::slot(&name);
        assert_eq!(nodes[0].cli(&["CLUSTER", "KEYSLOT", &scripts::key(&name)]), slot.to_string());
        let mut changes = other.changes(&name);
        let us = holder();
        let first = fence(&one.claim(&name, claim(us)).await.unwrap());
        one.write(&name, news(us, first, b"text")).await.unwrap();
        let owner =
            nodes.iter().position(|node| !node.cli(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "9"]).is_empty());
        let (from, to) = (owner.unwrap(), (owner.unwrap() + 1) % 3);
        let ids: Vec<String> = nodes.iter().map(|node| node.cli(&["CLUSTER", "MYID"])).collect();
        let slot = slot.to_string();
        nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[from]]);
        nodes[from].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[to]]);
        // Half of its keys are here and half there: who has asked in vain is told so, and nothing is broken.
        let port = ports[to].to_string();
        let keys = [scripts::key(&name), scripts::fence(&name), scripts::lease(&name)];
        let migrate = |key: &str| nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "1000"]);
        assert_eq!(migrate(&keys[0]), "OK");
        let between = one.claim(&name, Claim { seen: first, ..claim(us) }).await;
        assert!(matches!(&between, Err(StoreError::Refused(_))), "{between:?}");
        // One key is enough for this: it follows an ASK.
        assert_eq!(one.read(&name).await.unwrap().unwrap().bytes, b"text");
        assert_eq!((migrate(&keys[1]), migrate(&keys[2])), ("OK".to_owned(), "OK".to_owned()));
        assert_eq!(fence(&one.claim(&name, Claim { seen: first, ..claim(us) }).await.unwrap()), first);
        for node in [to, from, 3 - from - to] {
            nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[to]]);
        }
        crate::store::contract_tests::quiet(&mut changes).await;
        let next = Write { release: true, ..news(us, first, b"moved") };
        one.write(&name, next).await.unwrap();
        timeout(PATIENCE, changes.changed()).await.expect("who listened at the old node is told").unwrap();
        let stored = other.read(&name).await.unwrap().unwrap();
        assert_eq!(stored.bytes, b"moved");
        assert!(until_granted(&*other.store, &name, Claim { seen: first, ..claim(holder()) }).await > first);
    })
    .await;
}

#[tokio::test]
async fn a_node_of_a_cluster_that_is_away_takes_its_own_entries_alone() {
    with_servers(async {
        let (mut nodes, ports) = cluster().await;
        // So that the others go on without it.
        for node in &nodes {
            node.cli(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
        }
        let store = running(at_ports(&ports, Topology::Cluster));
        store.ping().await.unwrap();
        nodes[0].kill();
        until("the node is missed", async || store.ping().await, Result::is_err).await.unwrap_err();
        let (mut there, mut away) = (0, 0);
        for _ in 0..60 {
            let began = Instant::now();
            match store.read(&name()).await {
                Ok(None) => there += 1,
                Err(StoreError::Unreachable(_) | StoreError::Refused(_)) => away += 1,
                other => panic!("{other:?}"),
            }
            assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
        }
        assert!(there > 10 && away > 5, "{there} answered, {away} not");
        nodes[0].start_again().await;
        until("it is found again", async || store.ping().await, Result::is_ok).await.unwrap();
    })
    .await;
}
