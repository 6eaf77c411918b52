//! A panic of the refresher, in a token request and elsewhere.

use super::*;
use crate::token::schedule::CONFIRM_AFTER;

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_token_request_does_not_end_renewal() {
    let answer = |asked: &Asked| {
        assert!(asked.number != 2, "the endpoint said something unheard of");
        fresh(60)(asked)
    };
    with(settings(), answer, async |world| {
        pass(seconds(300)).await;
        assert!(world.endpoint.requests() > 5);
        let back = world.endpoint.gaps()[1] - world.endpoint.latency.get().as_secs_f64();
        assert!(back < 1.002, "asked again {back} s after the panic");
        assert!(world.reader.current().is_some());
        assert_eq!(world.metric("bearerd_token_requests_total{credential=\"api\",outcome=\"transient\"}"), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_with_an_account_at_stake_counts_as_a_refusal() {
    with(
        login(),
        |_| panic!("the endpoint said something unheard of"),
        async |world| {
            pass(seconds(180)).await;
            assert_eq!(world.endpoint.requests(), 2);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_token_request_delays_it_at_most_by_a_second() {
    with(settings(), fresh(600), async |world| {
        world.endpoint.panics.set(1);
        pass(seconds(2)).await;
        assert_eq!((world.endpoint.requests(), world.token().await.generation()), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_beside_the_renewal_leaves_the_token_and_what_follows_is_the_renewal() {
    with(settings(), fresh(600), async |world| {
        let token = world.token().await;
        world.endpoint.panics.set(1);
        while world.endpoint.panics.get() > 0 {
            pass(Duration::from_millis(20)).await;
            assert_eq!(world.endpoint.requests(), 1, "renewed without a look");
        }
        assert!(Arc::ptr_eq(&token, &world.token().await));
        pass(seconds(2)).await;
        assert_eq!((world.endpoint.requests(), world.token().await.generation()), (2, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn panics_without_end_are_ever_rarer_and_the_first_good_turn_brings_a_token() {
    with(settings(), fresh(600), async |world| {
        world.endpoint.panics.set(u32::MAX);
        pass(seconds(3600)).await;
        assert_eq!(world.endpoint.requests(), 0);
        let looks = world.endpoint.looks.get();
        assert!((60..=600).contains(&looks), "{looks} turns in an hour");
        assert_eq!(world.reader.status().last_error.unwrap().reason, Reason::TokenMalformed);
        world.endpoint.panics.set(0);
        pass(seconds(70)).await;
        assert_eq!((world.endpoint.requests(), world.token().await.generation()), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_when_an_account_may_be_locked_is_as_good_as_a_refusal() {
    with(login(), fresh(600), async |world| {
        world.endpoint.panics.set(2);
        pass(CONFIRM_AFTER - seconds(1)).await;
        assert_eq!(world.endpoint.looks.get(), 1);
        pass(seconds(3600)).await;
        assert_eq!((world.endpoint.looks.get(), world.endpoint.requests()), (2, 0));
        pass(seconds(120)).await;
        assert_eq!(world.endpoint.requests(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_long_after_others_is_as_good_as_the_first() {
    with(settings(), fresh(600), async |world| {
        for round in 1..=8 {
            world.endpoint.panics.set(u32::from(round > 1));
            while world.endpoint.panics.get() > 0 {
                pass(Duration::from_millis(20)).await;
            }
            pass(Duration::from_millis(1200)).await;
            assert_eq!(world.endpoint.requests(), round, "a tenth of a second and a retry later");
        }
    })
    .await;
}
