//! A token while all is well.

use super::*;
use crate::jose::SigningKey;

#[tokio::test(start_paused = true)]
async fn the_first_request_waits_for_the_first_token() {
    with(settings(), fresh(60), async |world| {
        assert!(world.reader.current().is_none());
        let token = world.token().await;
        assert_eq!(token.generation(), 1);
        assert_eq!(token.header_value("Bearer"), "Bearer token-1");
        assert_eq!(token.header_value(""), "token-1");
        assert!(token.header_value("Bearer").is_sensitive() && token.header_value("Token").is_sensitive());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_request_ever_waits_for_a_renewal() {
    with(settings(), fresh(5), async |world| {
        world.endpoint.latency.set(Duration::from_millis(300));
        world.token().await;
        for _ in 0..6000 {
            pass(Duration::from_millis(10)).await;
            let token = world.reader.current().expect("a token at every moment");
            assert!(world.reader.is_fresh(&token));
        }
        let renewals = world.endpoint.requests();
        assert!((12..=25).contains(&renewals), "{renewals} requests in 60 s with 5 s tokens");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_counts_from_when_the_request_was_sent() {
    with(settings(), fresh(60), async |world| {
        world.endpoint.latency.set(seconds(7));
        let token = world.token().await;
        let sent = world.endpoint.log.borrow()[0].at;
        assert_eq!(token.expires_at().since(sent), seconds(60));
        assert_eq!(token.expires_at().since(world.clock.now()), seconds(53));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_renewal_falls_between_half_of_the_life_and_the_early_point() {
    with(settings(), fresh(60), async |world| {
        pass(seconds(3600)).await;
        let gaps = world.endpoint.gaps();
        assert!(gaps.len() > 60);
        assert!(gaps.iter().all(|gap| (33.0..=48.6).contains(gap)), "{gaps:?}");
        let (least, most) = gaps.iter().fold((60.0_f64, 0.0_f64), |(l, m), gap| (l.min(*gap), m.max(*gap)));
        assert!(most - least > 6.0, "jitter of {least} to {most}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lifetimes_at_or_under_the_margin_cause_no_hot_loop() {
    for millis in [1, 500, 1000, 1500] {
        let answer = move |asked: &Asked| {
            let lifetime = Duration::from_millis(millis);
            Ok(Issued { lifetime, ..issued(&format!("t{}", asked.number), 0) })
        };
        with(settings(), answer, async |world| {
            pass(seconds(60)).await;
            let requests = world.endpoint.requests();
            assert!((6..=12).contains(&requests), "{requests} requests a minute for lives of {millis} ms");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_absurd_lifetime_is_no_harm() {
    with(settings(), fresh(1_000_000_000_000_000_000), async |world| {
        world.token().await;
        pass(seconds(60)).await;
        assert_eq!(world.endpoint.requests(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_same_token_with_a_shrinking_lifetime_causes_only_few_requests() {
    let start = Rc::new(Cell::new(None::<Moment>));
    // The endpoint keeps a token for an hour and gives out the same until its very end.
    let answer = move |asked: &Asked| {
        let born = start.get().filter(|born| asked.at.since(*born) < seconds(3600)).unwrap_or(asked.at);
        start.set(Some(born));
        let left = seconds(3600) - asked.at.since(born);
        Ok(Issued { lifetime: left, ..issued(&format!("token of {born:?}").replace(' ', "-"), 0) })
    };
    with(settings(), answer, async |world| {
        world.token().await;
        pass(seconds(3599)).await;
        assert_eq!(world.reader.current().unwrap().generation(), 1, "the same token is no new generation");
        let requests = world.endpoint.requests();
        assert!((2..=12).contains(&requests), "{requests} requests in an hour");
        let log = world.endpoint.log.borrow().clone();
        let last_seconds = log.iter().filter(|asked| asked.at.since(log[0].at) > seconds(3595)).count();
        assert!(last_seconds <= 1, "{last_seconds} requests in the last five seconds");
        pass(seconds(3)).await;
        assert_eq!(world.token().await.generation(), 2);
        assert!(world.endpoint.requests() <= requests + 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_same_token_with_a_new_lifetime_lives_on() {
    with(
        settings(),
        |_| Ok(issued("session", 60)),
        async |world| {
            for _ in 0..20 {
                pass(seconds(30)).await;
                assert_eq!(world.reader.current().expect("a token").generation(), 1);
            }
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expired_during_suspend_is_not_sent_and_is_replaced_at_once() {
    with(settings(), fresh(3600), async |world| {
        let old = world.token().await;
        world.clock.suspend_for(seconds(7200));
        assert!(world.reader.current().is_none());
        assert!(!world.reader.is_fresh(&old));
        let resumed = world.clock.now();
        assert_eq!(world.token().await.generation(), 2);
        assert!(world.clock.now().since(resumed) < seconds(1));
        pass(seconds(10)).await;
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn meeting_an_expired_token_wakes_the_refresher_whose_timer_is_late() {
    with(settings(), fresh(3600), async |world| {
        world.token().await;
        pass(Duration::from_millis(1100)).await;
        world.clock.suspend_for(seconds(7200));
        assert!(world.reader.current().is_none());
        pass(Duration::from_millis(1)).await;
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_cancels_nothing() {
    with(settings(), fresh(60), async |world| {
        world.endpoint.latency.set(seconds(3));
        let impatient = tokio::time::timeout(seconds(1), world.reader.usable());
        let patient = world.reader.usable();
        let (gone, token) = tokio::join!(impatient, patient);
        assert!(gone.is_err());
        assert_eq!(token.unwrap().generation(), 1);
        assert_eq!(world.endpoint.requests(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_are_counted_while_they_wait() {
    with(settings(), fresh(60), async |world| {
        world.endpoint.latency.set(seconds(3));
        let gauge = "bearerd_requests_waiting_for_token{credential=\"api\"}";
        let watch = async {
            pass(seconds(1)).await;
            assert_eq!(world.metric(gauge), 2.0);
        };
        let (one, two, ()) = tokio::join!(world.reader.usable(), world.reader.usable(), watch);
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(world.metric(gauge), 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn metrics_and_status_tell_where_the_token_stands() {
    with(settings(), fresh(60), async |world| {
        assert_eq!(world.metric("bearerd_token_valid"), 0.0);
        assert!(!world.reader.status().settled);
        world.token().await;
        assert_eq!(world.metric("bearerd_token_valid"), 1.0);
        assert_eq!(world.metric("bearerd_token_requests_total{credential=\"api\",outcome=\"success\"}"), 1.0);
        assert_eq!(world.metric("bearerd_token_request_duration_seconds_count"), 1.0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((world.metric("bearerd_token_expiry_timestamp_seconds") - now - 60.0).abs() < 5.0);
        assert!((world.metric("bearerd_token_last_success_timestamp_seconds") - now).abs() < 5.0);
        let status = world.reader.status();
        assert!(status.usable && status.settled && !status.latched);
        assert_eq!((status.generation, status.last_error), (1, None));
        assert!(status.expires_in.unwrap() <= seconds(60) && status.next_fetch_in.unwrap() <= seconds(48));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_task_in_the_middle_of_a_token_request() {
    with(settings(), fresh(60), async |world| {
        world.endpoint.latency.set(seconds(3600));
        pass(seconds(1)).await;
        let started = world.clock.now();
        world.trigger.fire();
        let unavailable = world.reader.usable().await.unwrap_err();
        assert_eq!(unavailable.reason, Reason::Draining);
        assert!(world.clock.now().since(started) < seconds(1));
    })
    .await;
}

#[test]
fn debug_output_shows_no_token() {
    let at = Moment::ORIGIN;
    let wall = std::time::SystemTime::now();
    let token = AccessToken::new(1, Secret::new("hunter2"), Some("Bearer"), at, wall, seconds(60), None).unwrap();
    assert!(!format!("{token:?} {:?}", token.header_value("Token")).contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_came_before_stays_bound_to_the_key_that_it_first_came_with() {
    let cached = |_: &Asked| {
        let key = SigningKey::generate().unwrap();
        Ok(Issued { key: Some(Arc::new(key)), ..issued("cached", 60) })
    };
    let key = |token: &AccessToken| Arc::clone(token.binding().expect("a bound token").key());
    with(Settings { is_bound: true, ..settings() }, cached, async |world| {
        let first = key(&*world.token().await);
        while world.endpoint.requests() < 2 {
            pass(Duration::from_millis(100)).await;
        }
        pass(seconds(1)).await;
        assert!(Arc::ptr_eq(&first, &key(&*world.token().await)), "the endpoint knows no other");
        world.endpoint.answers(fresh(60));
        pass(seconds(60)).await;
        assert!(world.token().await.binding().is_none(), "that of another token");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rejection_beyond_the_budget_leaves_the_renewal_where_it_was() {
    let budget = Some(crate::token::settings::Budget { requests: 10, per: seconds(365 * 86_400) });
    with(Settings { budget, ..settings() }, fresh(36_000), async |world| {
        for round in 0..20 {
            let token = world.token().await;
            let _ = world.reader.rejected(&token, RequestHash(round)).await;
            pass(seconds(2)).await;
        }
        assert_eq!(world.endpoint.requests(), 6, "one to begin with, and half of the budget");
        let status = world.reader.status();
        assert!(status.next_fetch_in.unwrap() > seconds(18_000), "{status:?}");
        assert_eq!(status.last_error.unwrap().reason, Reason::TokenBudget);
        assert!(!world.reader.retry(), "nothing waits");
    })
    .await;
}
