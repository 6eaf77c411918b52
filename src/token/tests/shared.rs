//! Instances that share a token store, on a simulated network.

use std::rc::Rc;

use tokio::task::LocalSet;

use super::*;
use crate::store::simulated::{Link, Mood, Server};
use crate::store::{SealKeys, Store};

/// One instance of the fleet.
pub(super) struct Instance {
    pub(super) reader: Reader,
    pub(super) metrics: Metrics,
    /// Ends it when it is dropped.
    _trigger: shutdown::Trigger,
    /// Whether it is cut off from the store.
    pub(super) cut: Rc<Cell<bool>>,
    store: RefCell<tokio::task::JoinHandle<()>>,
    stores: Rc<tokio::sync::watch::Sender<Option<Rc<Store>>>>,
    refresher: tokio::task::JoinHandle<()>,
}

impl Instance {
    fn value(&self) -> Option<String> {
        self.reader.current().map(|token| token.value().expose().to_owned())
    }

    /// As `kill -9`: nothing is said to anybody.
    pub(super) fn kill(&self) {
        self.store.borrow().abort();
        self.refresher.abort();
    }
}

/// All of them.
pub(super) struct Many {
    pub(super) clock: Clock,
    pub(super) endpoint: Endpoint,
    pub(super) server: Server,
    pub(super) settings: Settings,
    pub(super) instances: RefCell<Vec<Rc<Instance>>>,
}

pub(super) fn keys() -> SealKeys {
    SealKeys::new(&Secret::new("a key for all tests of the fleet"), None).unwrap()
}

impl Many {
    pub(super) fn new(settings: Settings, answer: impl FnMut(&Asked) -> Answer + 'static) -> Self {
        let clock = Clock::for_tests();
        let endpoint = Endpoint::new(clock.clone(), answer);
        Self { clock, endpoint, server: Server::default(), settings, instances: RefCell::default() }
    }

    pub(super) fn start(&self) -> Rc<Instance> {
        self.start_with(keys())
    }

    pub(super) fn start_with(&self, keys: SealKeys) -> Rc<Instance> {
        let metrics = Metrics::new();
        let (store, cut) = self.store(keys, &metrics);
        let (sender, stores) = tokio::sync::watch::channel(Some(Rc::clone(&store)));
        let (sender, held) = (Rc::new(sender), RefCell::new(tokio::task::spawn_local(store.run())));
        let credential = metrics.credential(&self.settings.name);
        let (refresher, reader) =
            Refresher::new(self.settings.clone(), self.endpoint.clone(), self.clock.clone(), credential, None);
        let refresher = refresher.in_fleet(stores);
        let (trigger, heard) = shutdown::channel();
        let refresher = tokio::task::spawn_local(refresher.run(heard));
        let instance =
            Rc::new(Instance { reader, metrics, _trigger: trigger, cut, store: held, stores: sender, refresher });
        self.instances.borrow_mut().push(Rc::clone(&instance));
        instance
    }

    fn store(&self, keys: SealKeys, metrics: &Metrics) -> (Rc<Store>, Rc<Cell<bool>>) {
        let link = Link::new(&self.server, Duration::from_millis(1));
        let cut = Rc::clone(&link.cut);
        (Store::new(Box::new(link), keys, seconds(1), metrics.store()), cut)
    }

    /// As a reload does: the instance goes on with the same store under other keys.
    pub(super) fn change_keys(&self, instance: &Instance, keys: SealKeys) {
        let (store, _) = self.store(keys, &instance.metrics);
        instance.store.replace(tokio::task::spawn_local(Rc::clone(&store).run())).abort();
        instance.stores.send_replace(Some(store));
    }

    pub(super) fn start_many(&self, count: usize) -> Vec<Rc<Instance>> {
        (0..count).map(|_| self.start()).collect()
    }

    fn all(&self) -> Vec<Rc<Instance>> {
        self.instances.borrow().clone()
    }

    /// What every instance would send now.
    pub(super) fn values(&self) -> std::collections::BTreeSet<Option<String>> {
        self.all().iter().map(|instance| instance.value()).collect()
    }
}

pub(super) async fn fleet<B: AsyncFnOnce(&Many)>(many: Many, body: B) {
    fastrand::seed(7);
    let local = LocalSet::new();
    local.run_until(body(&many)).await;
}

fn metric(instance: &Instance, name: &str) -> f64 {
    let page = instance.metrics.render();
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn thirty_instances_take_one_token_for_each_life() {
    fleet(Many::new(settings(), fresh(60)), async |many| {
        many.start_many(30);
        // At most 80 % of its life passes before a token is renewed.
        while many.endpoint.requests() < 31 {
            pass(seconds(1)).await;
        }
        pass(seconds(1)).await;
        assert_eq!(many.endpoint.requests(), 31);
        assert_eq!(many.values(), [Some("token-31".to_owned())].into());
        // Each request renewed the one before near its end, not sooner.
        assert!(many.endpoint.gaps().iter().all(|gap| *gap > 30.0), "{:?}", many.endpoint.gaps());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_within_a_life_asks_for_nothing_and_is_ready_at_once() {
    fleet(Many::new(settings(), fresh(600)), async |many| {
        let first = many.start();
        first.reader.usable().await.unwrap();
        pass(seconds(60)).await;
        first.kill();
        let begun = many.clock.now();
        let second = many.start();
        let token = second.reader.usable().await.unwrap();
        assert!(many.clock.now().since(begun) < Duration::from_millis(100));
        assert_eq!(token.value().expose(), "token-1");
        // Its life goes on from where it was.
        let left = token.expires_at().since(many.clock.now()).as_secs_f64();
        assert!((538.0..541.0).contains(&left), "{left} s left");
        assert_eq!(many.endpoint.requests(), 1);
        assert_eq!(metric(&second, "bearerd_token_adopted_total"), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_hundred_instances_with_a_wrong_password_try_twice() {
    fleet(Many::new(login(), denied), async |many| {
        many.start_many(200);
        pass(seconds(200)).await;
        assert_eq!(many.endpoint.requests(), 2, "{:?}", many.endpoint.gaps());
        for instance in many.all() {
            assert!(instance.reader.usable().await.is_err());
            assert_eq!(metric(&instance, "bearerd_token_latched"), 1.0);
        }
        // Whoever comes later does not try either.
        many.start();
        pass(seconds(70)).await;
        assert_eq!(many.endpoint.requests(), 2);
        // A person who mends it at one instance mends it for all.
        many.endpoint.answers(fresh(60));
        assert!(many.all()[17].reader.retry());
        pass(seconds(2)).await;
        assert_eq!(many.values(), [Some("token-3".to_owned())].into());
        assert_eq!(many.endpoint.requests(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_is_asked_as_if_by_one() {
    fleet(Many::new(settings(), down), async |many| {
        many.start_many(50);
        pass(seconds(60)).await;
        let requests = many.endpoint.requests();
        assert!((10..=45).contains(&requests), "{requests} in a minute");
        many.endpoint.answers(fresh(60));
        pass(seconds(6)).await;
        assert_eq!(many.endpoint.requests(), requests + 1);
        assert_eq!(many.values().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_revoked_is_replaced_by_one_request_for_all() {
    fleet(Many::new(settings(), fresh(600)), async |many| {
        let instances = many.start_many(20);
        let mut sent = Vec::new();
        for instance in &instances {
            sent.push(instance.reader.usable().await.unwrap());
        }
        pass(seconds(30)).await;
        let rejected = |instance: Rc<Instance>, token: Arc<AccessToken>| async move {
            instance.reader.rejected(&token, RequestHash(1)).await
        };
        let mut answers = Vec::new();
        for (instance, token) in instances.iter().zip(&sent) {
            answers.push(tokio::task::spawn_local(rejected(Rc::clone(instance), Arc::clone(token))));
        }
        for answer in answers {
            let Verdict::Replay(token) = answer.await.unwrap() else { panic!("passed") };
            assert_eq!(token.value().expose(), "token-2");
        }
        assert_eq!(many.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_dies_while_it_asks_is_replaced_when_its_lease_ends() {
    fleet(Many::new(settings(), fresh(600)), async |many| {
        many.endpoint.latency.set(seconds(5));
        let first = many.start();
        pass(seconds(1)).await;
        assert_eq!(many.endpoint.requests(), 1);
        let second = many.start();
        pass(seconds(1)).await;
        first.kill();
        many.endpoint.latency.set(Duration::from_millis(20));
        let begun = many.clock.now();
        while second.value().is_none() {
            pass(Duration::from_millis(100)).await;
        }
        let took = many.clock.now().since(begun).as_secs_f64();
        assert!((8.0..15.0).contains(&took), "{took} s");
        assert_eq!(many.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_the_store_each_goes_on_alone_and_joins_again() {
    for mood in [Mood::Down, Mood::Hung, Mood::Full] {
        fleet(Many::new(settings(), fresh(60)), async |many| {
            many.start_many(5);
            pass(seconds(5)).await;
            assert_eq!(many.endpoint.requests(), 1);
            many.server.is(mood);
            for _ in 0..600 {
                pass(Duration::from_millis(500)).await;
                assert!(!many.values().contains(&None), "{mood:?}: a token is missing");
            }
            let alone = many.endpoint.requests();
            assert!(alone >= 20, "{mood:?}: {alone} requests");
            many.server.is(Mood::Well);
            pass(seconds(120)).await;
            assert_eq!(many.values().len(), 1, "{mood:?}");
            let joined = many.endpoint.requests();
            pass(seconds(480)).await;
            let lives = many.endpoint.requests() - joined;
            assert!((9..=15).contains(&lives), "{mood:?}: {lives} requests in 8 minutes");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_wiped_or_garbled_is_filled_again() {
    for spoil in [Server::wipe, Server::garble] {
        fleet(Many::new(settings(), fresh(600)), async |many| {
            many.start_many(10);
            pass(seconds(60)).await;
            spoil(&many.server);
            // The next renewal is one again, and everybody hears of it.
            pass(seconds(600)).await;
            assert_eq!(many.endpoint.requests(), 2);
            assert_eq!(many.values().len(), 1);
            let late = many.start();
            assert!(late.reader.usable().await.is_ok());
            assert_eq!(many.endpoint.requests(), 2);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_entry_is_no_news_whoever_calls_it_so() {
    fleet(Many::new(settings(), fresh(600)), async |many| {
        many.start_many(3);
        pass(seconds(5)).await;
        let old = many.server.contents();
        assert_eq!(many.values(), [Some("token-1".to_owned())].into());
        let sent = many.all()[0].reader.usable().await.unwrap();
        assert!(matches!(many.all()[0].reader.rejected(&sent, RequestHash(1)).await, Verdict::Replay(_)));
        pass(seconds(5)).await;
        assert_eq!(many.values(), [Some("token-2".to_owned())].into());
        many.server.put_back(&old);
        pass(seconds(5)).await;
        // Whoever believed it would send a token that was rejected.
        assert_eq!(many.values(), [Some("token-2".to_owned())].into());
        // Nor does one that knows nothing yet.
        let late = many.start();
        assert_ne!(late.reader.usable().await.unwrap().value().expose(), "token-1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_never_ends_delays_a_renewal_and_stops_none() {
    fleet(Many::new(settings(), fresh(3600)), async |many| {
        many.start();
        pass(seconds(5)).await;
        many.server.hold_all(seconds(10 * 365 * 86_400));
        for _ in 0..3 * 3600 {
            pass(seconds(1)).await;
            assert!(!many.values().contains(&None));
        }
        assert!(many.endpoint.requests() > 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_writes_is_left_alone_more_and_more() {
    fleet(Many::new(settings(), fresh(300)), async |many| {
        many.start_many(100);
        pass(seconds(100)).await;
        many.server.is(Mood::Full);
        pass(seconds(900)).await;
        // Each renews four times, and offers less and less often in between; with an offer every 5 s it would be 1,100.
        let refused = many.server.refused();
        assert!((400..=900).contains(&refused), "{refused} writes");
        many.server.is(Mood::Well);
        pass(seconds(300)).await;
        assert_eq!(many.values().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cut_off_goes_on_alone() {
    fleet(Many::new(settings(), fresh(60)), async |many| {
        let instances = many.start_many(3);
        pass(seconds(5)).await;
        instances[0].cut.set(true);
        for _ in 0..400 {
            pass(Duration::from_millis(500)).await;
            assert!(!many.values().contains(&None));
        }
        assert_eq!(instances[1].value(), instances[2].value());
        assert_ne!(instances[0].value(), instances[1].value());
        assert_eq!(metric(&instances[0], "bearerd_store_up"), 0.0);
        instances[0].cut.set(false);
        pass(seconds(60)).await;
        assert_eq!(many.values().len(), 1);
        assert_eq!(metric(&instances[0], "bearerd_store_up"), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_secret_is_another_entry() {
    fleet(Many::new(settings(), fresh(600)), async |many| {
        many.start();
        pass(seconds(5)).await;
        many.endpoint.secret.set(Some(2));
        let second = many.start();
        assert_eq!(second.reader.usable().await.unwrap().value().expose(), "token-2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_readable_is_stored() {
    let answer = |asked: &Asked| {
        let refresh_token = Some(Secret::new(format!("REFRESH-CANARY-{}", asked.number)));
        Ok(Issued { refresh_token, ..issued("ACCESS-CANARY", 60) })
    };
    fleet(Many::new(settings(), answer), async |many| {
        many.start();
        pass(seconds(5)).await;
        let bytes = many.server.bytes();
        assert!(bytes.len() > 100);
        assert!(!bytes.windows(6).any(|window| window == b"CANARY"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_used_by_one_and_once() {
    // Revokes everything when a refresh token comes a second time.
    let answer = |asked: &Asked| match &asked.refresh_token {
        None => Ok(Issued { refresh_token: Some(Secret::new("r-1")), ..issued("token-1", 60) }),
        Some(token) => {
            let number: usize = token.trim_start_matches("r-").parse().unwrap();
            assert_eq!(number + 1, asked.number, "used out of turn");
            let refresh_token = Some(Secret::new(format!("r-{}", asked.number)));
            Ok(Issued { refresh_token, ..issued(&format!("token-{}", asked.number), 60) })
        }
    };
    fleet(Many::new(settings(), answer), async |many| {
        many.start_many(8);
        pass(seconds(3000)).await;
        assert!(many.endpoint.requests() > 60);
        let log = many.endpoint.log.borrow();
        assert!(log.iter().skip(1).all(|asked| asked.refresh_token.is_some()));
        assert_eq!(many.values().len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_the_fleets() {
    let budget = Some(crate::token::settings::Budget { requests: 10, per: seconds(365 * 86_400) });
    fleet(Many::new(Settings { budget, ..settings() }, fresh(600)), async |many| {
        let instances = many.start_many(5);
        // Every token is rejected wherever it is used.
        for round in 0..40 {
            let instance = &instances[round % 5];
            if let Ok(token) = instance.reader.usable().await {
                let _ = instance.reader.rejected(&token, RequestHash(round as u64)).await;
            }
            pass(seconds(2)).await;
        }
        assert_eq!(many.endpoint.requests(), 6, "one to begin with, and half of the budget");
        pass(seconds(3600)).await;
        assert_eq!(many.endpoint.requests(), 10);
        assert_eq!(metric(&instances[0], "bearerd_token_budget_requests"), 10.0);
        // A person may.
        assert!(instances[3].reader.retry());
        pass(seconds(2)).await;
        assert_eq!(many.endpoint.requests(), 11);
        assert_eq!(many.values(), [Some("token-11".to_owned())].into());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_in_the_middle_of_a_turn_holds_nobody_up() {
    fleet(Many::new(settings(), fresh(60)), async |many| {
        many.endpoint.latency.set(Duration::from_millis(500));
        many.start_many(5);
        pass(seconds(5)).await;
        // Whoever renews has its turn when the store hangs; the others have asked and been told to wait.
        while many.endpoint.requests() < 2 {
            pass(Duration::from_millis(10)).await;
        }
        let mut rejections = Vec::new();
        for instance in many.all() {
            let token = instance.reader.current().unwrap();
            rejections.push(tokio::task::spawn_local(async move {
                let verdict = instance.reader.rejected(&token, RequestHash(1)).await;
                matches!(verdict, Verdict::Replay(_))
            }));
        }
        pass(Duration::from_millis(100)).await;
        many.server.is(Mood::Hung);
        let hung = many.clock.now();
        for rejection in rejections {
            assert!(rejection.await.unwrap());
        }
        // One question more, its deadline, and a token request of one's own.
        let took = many.clock.now().since(hung).as_secs_f64();
        assert!(took < 5.0, "{took} s");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_another_has_just_sent_counts_for_the_time_between_two_requests() {
    fleet(Many::new(settings(), fresh(3600)), async |many| {
        let instances = many.start_many(2);
        let first = instances[0].reader.usable().await.unwrap();
        let same = instances[1].reader.usable().await.unwrap();
        pass(seconds(60)).await;
        let Verdict::Replay(_) = instances[0].reader.rejected(&first, RequestHash(1)).await else { panic!() };
        // The other hears of it, and is told that this one is no good either.
        let Verdict::Replay(newer) = instances[1].reader.rejected(&same, RequestHash(2)).await else { panic!() };
        assert_eq!(many.endpoint.requests(), 2);
        let Verdict::Replay(_) = instances[1].reader.rejected(&newer, RequestHash(3)).await else { panic!() };
        assert_eq!(many.endpoint.requests(), 3);
        assert!(many.endpoint.gaps().iter().all(|gap| *gap >= 1.0), "{:?}", many.endpoint.gaps());
    })
    .await;
}
