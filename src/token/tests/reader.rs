//! What the request path and people see of a credential.

use super::*;
use crate::token::TokenState;

#[tokio::test(start_paused = true)]
async fn a_workers_copy_is_made_once_for_each_token_and_ends_with_it() {
    with(settings(), fresh(60), async |world| {
        let mut copy = None;
        world.token().await;
        let first = world.reader.current_copy(&mut copy).expect("a token");
        assert_eq!(first.generation(), 1);
        assert!(Arc::ptr_eq(&first, &world.reader.current_copy(&mut copy).unwrap()), "the same memory");
        while world.endpoint.requests() < 2 {
            pass(Duration::from_millis(100)).await;
        }
        pass(seconds(1)).await;
        let second = world.reader.current_copy(&mut copy).expect("the next one");
        assert_eq!(second.generation(), 2);
        assert!(Arc::ptr_eq(&second, &world.reader.current_copy(&mut copy).unwrap()), "of the next one, too");
        world.endpoint.answers(down);
        pass(second.expires_at().since(world.clock.now())).await;
        assert!(world.reader.current_copy(&mut copy).is_none(), "none that has expired is sent");
        assert!(copy.is_none(), "nor kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_workers_copy_has_the_life_that_its_token_has_now() {
    let answer = |asked: &Asked| Ok(issued("session", [60, 600, 20][asked.number.min(3) - 1]));
    with(settings(), answer, async |world| {
        let mut copy = None;
        world.token().await;
        for asked in 1..=3 {
            while world.endpoint.requests() < asked {
                pass(Duration::from_millis(100)).await;
            }
            pass(Duration::from_millis(100)).await;
            let copied = world.reader.current_copy(&mut copy).expect("a token");
            assert_eq!(copied.generation(), 1);
            assert_eq!(copied.expires_at(), world.reader.current().unwrap().expires_at(), "{asked}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_fresh_at_the_very_moment_of_its_end() {
    with(settings(), fresh(60), async |world| {
        let token = world.token().await;
        world.endpoint.answers(down);
        let left = token.expires_at().since(world.clock.now());
        pass(left - Duration::from_millis(1)).await;
        assert!(world.reader.is_fresh(&token) && world.reader.current().is_some());
        pass(Duration::from_millis(1)).await;
        assert_eq!(world.clock.now(), token.expires_at());
        assert!(!world.reader.is_fresh(&token) && world.reader.current().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_state_is_pending_until_the_first_answer_and_then_says_which_one_it_was() {
    with(settings(), down, async |world| {
        assert!(matches!(world.reader.state(), TokenState::Pending));
        pass(seconds(1)).await;
        match world.reader.state() {
            TokenState::Unavailable(unavailable) => assert_eq!(unavailable.reason, Reason::TokenUnreachable),
            other => panic!("{other:?}"),
        }
        world.endpoint.answers(fresh(60));
        let token = world.token().await;
        match world.reader.state() {
            TokenState::Valid(valid) => assert_eq!(valid.generation(), token.generation()),
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn there_is_nothing_to_retry_while_it_is_being_tried() {
    with(login(), denied, async |world| {
        pass(seconds(5)).await;
        world.endpoint.latency.set(seconds(5));
        assert!(world.reader.retry(), "it waits for its confirmation");
        pass(seconds(2)).await;
        assert_eq!(world.endpoint.requests(), 2);
        assert!(!world.reader.retry(), "it is being tried");
        assert_eq!(world.reader.status().next_fetch_in, Some(Duration::ZERO));
    })
    .await;
}
