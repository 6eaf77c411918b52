//! Answers that reject the token.

use super::*;

const P: RequestHash = RequestHash(11);
const Q: RequestHash = RequestHash(22);

/// An upstream that knows which token is good; some of its paths reject every token.
struct Upstream {
    revoked_up_to: Cell<u64>,
    requests: Cell<usize>,
}

/// What the caller got, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Fine,
    Healed,
    Rejected,
}

impl Upstream {
    fn new() -> Self {
        Self { revoked_up_to: Cell::new(0), requests: Cell::new(0) }
    }

    fn accepts(&self, token: &AccessToken, request: RequestHash) -> bool {
        self.requests.set(self.requests.get() + 1);
        request != Q && token.generation() > self.revoked_up_to.get()
    }

    /// One request as the proxy makes it: at most one replay.
    async fn request(&self, reader: &Reader, request: RequestHash) -> Got {
        let sent = reader.usable().await.expect("a token");
        if self.accepts(&sent, request) {
            reader.satisfied(&sent, || request);
            return Got::Fine;
        }
        let Verdict::Replay(token) = reader.rejected(&sent, request).await else { return Got::Rejected };
        let accepted = self.accepts(&token, request);
        reader.replayed(&token, !accepted);
        if accepted { Got::Healed } else { Got::Rejected }
    }
}

fn verdict(verdict: &Verdict) -> Result<u64, Pass> {
    match verdict {
        Verdict::Replay(token) => Ok(token.generation()),
        Verdict::Pass(pass) => Err(*pass),
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_at_once_cause_exactly_one_fetch() {
    with(settings(), fresh(600), async |world| {
        let sent = world.token().await;
        world.endpoint.latency.set(seconds(3));
        let mut tasks = tokio::task::JoinSet::new();
        for hash in 0..1000 {
            let (reader, sent) = (world.reader.clone(), sent.clone());
            tasks.spawn(async move { verdict(&reader.rejected(&sent, RequestHash(hash)).await) });
        }
        let verdicts = tasks.join_all().await;
        assert_eq!(verdicts.len(), 1000);
        assert!(verdicts.iter().all(|verdict| *verdict == Ok(2)), "{verdicts:?}");
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_a_token_that_was_replaced_is_replayed_without_a_fetch() {
    with(settings(), fresh(60), async |world| {
        let old = world.token().await;
        pass(seconds(50)).await;
        assert_eq!(world.endpoint.requests(), 2);
        assert_eq!(verdict(&world.reader.rejected(&old, P).await), Ok(2));
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_joins_a_renewal_that_is_under_way() {
    with(settings(), fresh(60), async |world| {
        let sent = world.token().await;
        world.endpoint.latency.set(seconds(5));
        while world.endpoint.requests() < 2 {
            pass(Duration::from_millis(100)).await;
        }
        assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Ok(2));
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_joins_a_try_that_is_under_way_after_a_failure() {
    with(settings(), fresh(600), async |world| {
        let sent = world.token().await;
        world.endpoint.answers(down);
        while world.endpoint.requests() < 2 {
            pass(Duration::from_millis(100)).await;
        }
        world.endpoint.answers(fresh(600));
        world.endpoint.latency.set(seconds(5));
        while world.endpoint.requests() < 3 {
            pass(Duration::from_millis(100)).await;
        }
        assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Ok(2));
        assert_eq!(world.endpoint.requests(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_fetch_that_fails_passes_the_answer_and_keeps_the_token() {
    with(settings(), fresh(600), async |world| {
        let sent = world.token().await;
        world.endpoint.answers(down);
        pass(seconds(5)).await;
        assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Err(Pass::Unavailable));
        assert_eq!(world.reader.current().expect("other paths may accept it").generation(), 1);
        let backing_off = world.clock.now();
        assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Err(Pass::Unavailable));
        assert_eq!(world.clock.now(), backing_off, "at once");
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_fetch_that_meets_a_latch_or_a_wait_passes_at_once() {
    with(login(), fresh(3600), async |world| {
        let sent = world.token().await;
        world.endpoint.answers(denied);
        pass(seconds(5)).await;
        assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Err(Pass::Unavailable));
        for _ in 0..1000 {
            let asked = world.clock.now();
            assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Err(Pass::Unavailable));
            // At once, or after the confirmation if that is under way.
            assert!(world.clock.now().since(asked) < Duration::from_millis(50));
            pass(Duration::from_millis(100)).await;
        }
        assert_eq!(world.endpoint.requests(), 3, "the token, the refusal, its confirmation");
        assert!(world.reader.status().latched);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_fetch_that_brings_the_same_bytes_passes_the_answer_and_is_not_repeated() {
    with(
        settings(),
        |_| Ok(issued("cached", 3600)),
        async |world| {
            let sent = world.token().await;
            pass(seconds(5)).await;
            assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Err(Pass::Unavailable));
            for _ in 0..6000 {
                assert!(verdict(&world.reader.rejected(&sent, P).await).is_err());
                pass(Duration::from_millis(100)).await;
            }
            assert!(world.endpoint.requests() <= 12, "{}", world.endpoint.requests());
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_fetch_keeps_a_second_from_the_last_one() {
    with(settings(), fresh(600), async |world| {
        let sent = world.token().await;
        let asked = world.clock.now();
        assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Ok(2));
        let waited = world.clock.now().since(asked);
        assert!(waited > Duration::from_millis(900) && waited < Duration::from_millis(1100), "{waited:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_fetch_is_waited_for_no_longer_than_a_request_may_wait() {
    with(settings(), fresh(600), async |world| {
        let sent = world.token().await;
        world.endpoint.latency.set(seconds(30));
        let asked = world.clock.now();
        assert_eq!(verdict(&world.reader.rejected(&sent, P).await), Err(Pass::Unavailable));
        assert_eq!(world.clock.now().since(asked), seconds(10));
        assert_eq!(world.reader.current().unwrap().generation(), 1, "the old one is used meanwhile");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_healed_even_seconds_after_the_issue() {
    with(settings(), fresh(600), async |world| {
        let upstream = Upstream::new();
        for round in 1..20 {
            assert_eq!(upstream.request(&world.reader, P).await, Got::Fine);
            upstream.revoked_up_to.set(round);
            assert_eq!(upstream.request(&world.reader, P).await, Got::Healed);
        }
        assert_eq!(world.endpoint.requests(), 20);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_path_that_always_rejects_costs_twelve_fetches_in_ten_minutes_and_revocations_are_healed_meanwhile() {
    with(settings(), fresh(86_400), async |world| {
        let upstream = Upstream::new();
        let mut callers = 0;
        for round in 0..12_000 {
            callers += 2;
            assert_eq!(upstream.request(&world.reader, Q).await, Got::Rejected);
            if round == 6000 {
                upstream.revoked_up_to.set(world.reader.current().unwrap().generation());
                assert_eq!(upstream.request(&world.reader, P).await, Got::Healed);
            } else {
                assert_eq!(upstream.request(&world.reader, P).await, Got::Fine);
            }
            pass(Duration::from_millis(50)).await;
        }
        let fetches = world.endpoint.requests();
        assert!(fetches <= 12, "{fetches} fetches");
        let (sent, asked) = (upstream.requests.get(), callers);
        assert!(sent * 100 <= asked * 101, "{sent} requests at the upstream for {asked}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn repeated_revocations_are_healed_beside_a_path_that_always_rejects() {
    with(settings(), fresh(86_400), async |world| {
        let upstream = Upstream::new();
        let mut healed = 0;
        for round in 0..6000 {
            upstream.request(&world.reader, Q).await;
            match upstream.request(&world.reader, P).await {
                Got::Rejected => panic!("a fresh token would have cured it in round {round}"),
                Got::Healed => healed += 1,
                Got::Fine => {}
            }
            if round % 300 == 299 {
                upstream.revoked_up_to.set(world.reader.current().unwrap().generation());
            }
            pass(Duration::from_millis(100)).await;
        }
        let fetches = world.endpoint.requests();
        assert!(healed >= 19, "{healed}");
        assert!(fetches <= 12 + healed, "{fetches} fetches for {healed} revocations");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn in_the_gap_a_rejection_passes_at_once() {
    with(settings(), fresh(600), async |world| {
        let upstream = Upstream::new();
        pass(seconds(2)).await;
        assert_eq!(upstream.request(&world.reader, Q).await, Got::Rejected);
        let sent = world.token().await;
        let asked = world.clock.now();
        assert_eq!(verdict(&world.reader.rejected(&sent, Q).await), Err(Pass::Gap));
        assert_eq!(world.clock.now(), asked);
        pass(seconds(1)).await;
        assert_eq!(verdict(&world.reader.rejected(&sent, Q).await), Ok(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expired_on_its_way_is_replaced_even_in_the_gap() {
    with(settings(), fresh(60), async |world| {
        let upstream = Upstream::new();
        pass(seconds(2)).await;
        assert_eq!(upstream.request(&world.reader, Q).await, Got::Rejected);
        let sent = world.token().await;
        world.endpoint.latency.set(seconds(1));
        world.clock.suspend_for(seconds(58));
        world.reader.replayed(&sent, true);
        world.clock.suspend_for(seconds(3));
        assert_eq!(verdict(&world.reader.rejected(&sent, Q).await), Ok(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_cannot_be_replayed_fetches_a_token_all_the_same() {
    with(settings(), fresh(600), async |world| {
        let sent = world.token().await;
        for _ in 0..1000 {
            world.reader.renew_after_rejection(&sent, P);
        }
        pass(seconds(2)).await;
        assert_eq!(world.reader.current().unwrap().generation(), 2);
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn uploads_that_are_always_rejected_do_not_fetch_a_token_a_second() {
    with(settings(), fresh(86_400), async |world| {
        for _ in 0..6000 {
            let sent = world.token().await;
            world.reader.renew_after_rejection(&sent, Q);
            pass(Duration::from_millis(100)).await;
        }
        assert!(world.endpoint.requests() <= 12, "{}", world.endpoint.requests());
    })
    .await;
}
