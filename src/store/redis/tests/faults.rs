//! What goes wrong with one server, and what a store says meanwhile.

use super::*;
use crate::store::contract_tests::quiet;

async fn is_up(store: &RedisStore) {
    until("the store is there", async || store.ping().await, Result::is_ok).await.unwrap();
}

async fn is_down(store: &RedisStore) -> StoreError {
    until("the store is away", async || store.ping().await, Result::is_err).await.unwrap_err()
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_is_found_again() {
    with_servers(async {
        let mut server = Started::standalone(&[]).await;
        let store = running(at_socket(&server.socket));
        let name = name();
        let mut changes = store.changes(&name);
        is_up(&store).await;
        quiet(&mut changes).await;
        server.kill();
        let error = is_down(&store).await;
        assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        // At once, however often.
        let began = Instant::now();
        for _ in 0..100 {
            let error = store.read(&name).await.unwrap_err();
            assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
        }
        assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
        let said = until(
            "the reason is known",
            async || store.ping().await,
            |answer| matches!(answer, Err(StoreError::Unreachable(why)) if why.contains("refused")),
        );
        said.await.unwrap_err();
        assert!(!changes.has_changed().unwrap());
        server.start_again().await;
        timeout(PATIENCE, changes.changed()).await.expect("those who listen are told").unwrap();
        assert_eq!(store.read(&name).await, Ok(None));
        // And are told of what happens from now on.
        quiet(&mut changes).await;
        let other = running(at_socket(&server.socket));
        let us = holder();
        let first = fence(&other.claim(&name, claim(us)).await.unwrap());
        other.write(&name, news(us, first, b"text")).await.unwrap();
        timeout(PATIENCE, changes.changed()).await.expect("a message after the reconnection").unwrap();
    })
    .await;
}

#[tokio::test]
async fn questions_wait_for_the_first_try_to_connect_and_for_no_other() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let store = running(at_socket(&server.socket));
        // The very first question, before anything had a chance to connect.
        assert_eq!(store.read(&name()).await, Ok(None));
        let nowhere = running(at_socket(&server.directory.path().join("nothing")));
        let error = timeout(TIMEOUT, nowhere.read(&name())).await.expect("the first try ends").unwrap_err();
        assert!(matches!(&error, StoreError::Unreachable(why) if why.contains("nothing")), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_paused_is_given_up_and_found_again() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let store = running(at_socket(&server.socket));
        let name = name();
        let mut changes = store.changes(&name);
        is_up(&store).await;
        quiet(&mut changes).await;
        server.pause();
        // A caller with a deadline of its own.
        let began = Instant::now();
        assert!(timeout(TIMEOUT, store.read(&name)).await.is_err(), "it answers in its sleep");
        let error = is_down(&store).await;
        assert!(matches!(&error, StoreError::Unreachable(why) if why.contains("ping")), "{error}");
        assert!(began.elapsed() < Duration::from_secs(4), "noticed after {:?}", began.elapsed());
        server.go_on();
        timeout(PATIENCE, changes.changed()).await.expect("those who listen are told").unwrap();
        assert_eq!(store.read(&name).await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_paused_is_noticed_without_any_question() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let store = running(at_socket(&server.socket));
        is_up(&store).await;
        server.pause();
        let began = Instant::now();
        let Wiring::Single(link) = &store.wiring else { panic!("one server") };
        until("it is noticed", async || link.is_up(), |is_up| !is_up).await;
        assert!(began.elapsed() < Duration::from_secs(7), "noticed after {:?}", began.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_password_that_is_put_right_is_used_and_a_wrong_one_is_never_shown() {
    with_servers(async {
        let server = Started::standalone(&["--requirepass", "right-one"]).await;
        let file = server.directory.path().join("password");
        std::fs::write(&file, "wrong-one\n").unwrap();
        let settings = Redis { password: Some(SecretSource::File(file.clone())), ..at_socket(&server.socket) };
        let store = running(settings.clone());
        let error = store.ping().await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.starts_with("WRONGPASS")), "{error}");
        let shown = format!("{error} {error:?} {store:?} {settings:?}", store = *store);
        assert!(!shown.contains("-one"), "{shown}");
        std::fs::write(&file, "right-one\n").unwrap();
        is_up(&store).await;
        std::fs::remove_file(&file).unwrap();
        let without = running(at_socket(&server.socket));
        let error = without.ping().await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(why) if why.starts_with("NOAUTH")), "{error}");
        let missing = running(settings);
        let error = missing.ping().await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unreachable(why) if why.contains("cannot read the secret file")),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn fencing_numbers_go_on_in_a_place_that_has_forgotten_everything() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let store = running(at_socket(&server.socket));
        let (name, us, they) = (name(), holder(), holder());
        let first = fence(&store.claim(&name, claim(us)).await.unwrap());
        store.write(&name, news(us, first, b"text")).await.unwrap();
        server.cli(&["FLUSHALL"]);
        server.cli(&["SCRIPT", "FLUSH"]);
        let second = fence(&store.claim(&name, Claim { above: first, ..claim(they) }).await.unwrap());
        assert!(second > first);
        // The old holder's write comes late, the next lease is beyond it all the same.
        store.write(&name, news(us, first, b"late")).await.unwrap();
        store.release(&name, they).await.unwrap();
        assert!(fence(&store.claim(&name, Claim { seen: first, ..claim(us) }).await.unwrap()) > second);
    })
    .await;
}

#[tokio::test]
async fn a_full_server_refuses_to_write_and_lets_read() {
    with_servers(async {
        let server = Started::standalone(&["--maxmemory-policy", "noeviction"]).await;
        let store = running(at_socket(&server.socket));
        let (name, us) = (name(), holder());
        let first = fence(&store.claim(&name, claim(us)).await.unwrap());
        store.write(&name, news(us, first, b"text")).await.unwrap();
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        for error in [
            store.claim(&super::name(), claim(us)).await.unwrap_err(),
            store.write(&name, news(us, first, b"more")).await.unwrap_err(),
            store.count(&name, 1, TIMEOUT).await.unwrap_err(),
        ] {
            assert!(
                matches!(&error, StoreError::Refused(why) if why.starts_with("OOM command not allowed")),
                "{error}"
            );
            assert!(!error.to_string().contains("script"), "{error}");
        }
        assert_eq!(store.read(&name).await.unwrap().unwrap().bytes, b"text");
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        store.write(&name, news(us, first, b"more")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_somebody_else_put_under_our_keys_is_nonsense_and_stays() {
    with_servers(async {
        let server = Started::standalone(&[]).await;
        let store = running(at_socket(&server.socket));
        let (name, us) = (name(), holder());
        let (entry, count) = (scripts::key(&name), format!("{}:count", scripts::key(&name)));
        let nonsense = |error: StoreError| assert!(matches!(error, StoreError::Nonsense(_)), "{error}");
        let digits = "00000000000000000007";
        let foreign: [&[&str]; 6] = [
            &["SET", &entry, "x"],
            &["LPUSH", &entry, "x"],
            &["HSET", &entry, "other", "x"],
            &["HSET", &entry, "version", digits, "fence", digits, "bytes", "x"],
            &["HSET", &entry, "version", "7", "fence", digits, "bytes", "x", "written", "1"],
            &["HSET", &entry, "version", digits, "fence", digits, "bytes", "x", "written", "x"],
        ];
        for put in foreign {
            server.cli(&["DEL", &entry]);
            server.cli(put);
            let before = server.cli(&["DUMP", &entry]);
            nonsense(store.read(&name).await.unwrap_err());
            nonsense(store.claim(&name, claim(us)).await.unwrap_err());
            nonsense(store.write(&name, news(us, 1, b"text")).await.unwrap_err());
            assert_eq!(server.cli(&["DUMP", &entry]), before);
        }
        // More than any entry: it is not even sent.
        let huge = "redis.call('HSET', KEYS[1], 'version', ARGV[1], 'fence', ARGV[1], 'bytes', string.rep('x', 4194305), 'written', '1')";
        server.cli(&["DEL", &entry]);
        server.cli(&["EVAL", huge, "1", &entry, digits]);
        nonsense(store.read(&name).await.unwrap_err());
        nonsense(store.claim(&name, claim(us)).await.unwrap_err());
        server.cli(&["DEL", &entry]);
        for (key, value) in [(scripts::lease(&name), "x"), (scripts::fence(&name), "7")] {
            server.cli(&["SET", &key, value]);
            nonsense(store.claim(&name, claim(us)).await.unwrap_err());
            server.cli(&["DEL", &key]);
        }
        server.cli(&["LPUSH", &count, "x"]);
        nonsense(store.count(&name, 1, TIMEOUT).await.unwrap_err());
        nonsense(store.count(&name, 0, TIMEOUT).await.unwrap_err());
        server.cli(&["DEL", &count]);
        server.cli(&["SET", &count, "x"]);
        nonsense(store.count(&name, 0, TIMEOUT).await.unwrap_err());
        // A clock that was set back: nobody knows how old the entry is.
        server.cli(&["HSET", &entry, "version", digits, "fence", digits, "bytes", "x", "written", "9000000000000000"]);
        assert_eq!(store.read(&name).await.unwrap().unwrap().age, None);
    })
    .await;
}

#[tokio::test]
async fn something_that_is_no_redis_is_nonsense() {
    with_servers(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::task::spawn_local(async move {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        let settings = at_socket(Path::new("unused"));
        let settings = Redis { servers: vec![Server::Tcp("127.0.0.1".to_owned(), port)], ..settings };
        for settings in [settings.clone(), with_login(settings, None, "hunter2")] {
            let error = running(settings).ping().await.unwrap_err();
            assert!(matches!(error, StoreError::Nonsense(_)), "{error}");
        }
    })
    .await;
}
