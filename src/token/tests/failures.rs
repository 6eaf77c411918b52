//! A token endpoint that fails or refuses.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_keeps_the_old_token_until_it_expires_and_never_longer() {
    with(settings(), fresh(60), async |world| {
        let token = world.token().await;
        world.endpoint.answers(down);
        while world.clock.now() < token.expires_at() {
            assert_eq!(world.reader.current().expect("still valid").generation(), 1);
            assert_eq!(world.metric("bearerd_token_valid"), 1.0);
            pass(Duration::from_millis(100)).await;
        }
        assert!(world.endpoint.requests() > 1);
        assert!(world.reader.current().is_none());
        pass(Duration::from_millis(600)).await;
        assert_eq!(world.metric("bearerd_token_valid"), 0.0);
        assert_eq!(world.metric("bearerd_token_expiry_timestamp_seconds"), 0.0);
        let unavailable = world.reader.usable().await.unwrap_err();
        assert_eq!(unavailable.reason, Reason::TokenUnreachable);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_does_not_hide_that_the_token_has_expired() {
    with(settings(), fresh(60), async |world| {
        let token = world.token().await;
        world.endpoint.latency.set(seconds(3600));
        pass(token.expires_at().since(world.clock.now()) + Duration::from_millis(600)).await;
        assert_eq!(world.endpoint.requests(), 2);
        assert_eq!(world.metric("bearerd_token_valid"), 0.0);
        assert!(!world.reader.status().usable);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_outage_cost_at_most_sixty_attempts_while_a_token_is_valid() {
    with(settings(), fresh(86_400), async |world| {
        let token = world.token().await;
        world.endpoint.answers(down);
        while world.endpoint.requests() < 2 {
            pass(seconds(60)).await;
        }
        pass(seconds(600)).await;
        let attempts = world.endpoint.requests() - 1;
        assert!((15..=65).contains(&attempts), "{attempts}");
        assert!(world.reader.is_fresh(&token));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_serves_within_five_seconds() {
    with(settings(), down, async |world| {
        pass(seconds(900)).await;
        assert!(world.reader.status().settled, "the first fetch has settled, if badly");
        world.endpoint.answers(fresh(60));
        let back = world.clock.now();
        world.token().await;
        assert!(world.clock.now().since(back) < seconds(5));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_token_a_request_waits_no_longer_than_it_may() {
    with(settings(), down, async |world| {
        let started = world.clock.now();
        let unavailable = world.reader.usable().await.unwrap_err();
        let waited = world.clock.now().since(started);
        assert!(waited <= seconds(10) && waited >= seconds(6), "{waited:?}");
        assert_eq!(unavailable.reason, Reason::TokenUnreachable);
        assert!(unavailable.retry_in.is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_that_never_comes_is_said_to_be_pending() {
    with(settings(), fresh(60), async |world| {
        world.endpoint.latency.set(seconds(30));
        let unavailable = world.reader.usable().await.unwrap_err();
        assert_eq!(unavailable.reason, Reason::TokenPending);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_back_and_callers_are_told_at_once() {
    let answer = |_: &Asked| Err(FetchError { retry_after: Some(seconds(120)), ..failed(Class::Transient, 429) });
    with(settings(), answer, async |world| {
        pass(seconds(1)).await;
        let asked = world.clock.now();
        let unavailable = world.reader.usable().await.unwrap_err();
        assert_eq!(world.clock.now(), asked);
        assert!(unavailable.retry_in.unwrap() > seconds(100));
        pass(seconds(110)).await;
        assert_eq!(world.endpoint.requests(), 1);
        pass(seconds(15)).await;
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_under_load_for_an_hour_is_tried_twice_a_minute_apart() {
    with(login(), denied, async |world| {
        pass(Duration::from_millis(100)).await;
        for _ in 0..36_000 {
            let asked = world.clock.now();
            // The confirmation might bring a token, so it is waited for when it is as near as a request may wait.
            let near = world.reader.status().next_fetch_in.is_some_and(|left| left <= seconds(10));
            assert!(world.reader.usable().await.is_err());
            assert!(near || world.clock.now() == asked, "refused at once");
            pass(Duration::from_millis(100)).await;
        }
        let gaps = world.endpoint.gaps();
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(gaps[0] >= 60.0);
        assert!(world.reader.status().latched);
        assert_eq!(world.metric("bearerd_token_latched"), 1.0);
        let unavailable = world.reader.usable().await.unwrap_err();
        assert_eq!((unavailable.reason, unavailable.retry_in), (Reason::TokenDenied, None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_latch_keeps_the_old_token_in_use_until_it_expires() {
    with(login(), fresh(600), async |world| {
        let token = world.token().await;
        world.endpoint.answers(denied);
        while !world.reader.status().latched {
            pass(seconds(1)).await;
        }
        assert_eq!(world.reader.current().expect("not expired").generation(), 1);
        pass(token.expires_at().since(world.clock.now())).await;
        assert!(world.reader.current().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_right_secret_works_within_five_seconds_however_it_was_refused() {
    let server_error = |_: &Asked| Err(failed(Class::Transient, 500));
    let answers: [(&str, Script, u64); 5] = [
        ("latched", denied, 100),
        ("waiting for confirmation", denied, 10),
        ("refused once", refused, 10),
        ("refused twice", refused, 100),
        ("answered 500", server_error, 200),
    ];
    for (state, answer, after) in answers {
        with(login(), answer, async |world| {
            pass(seconds(after)).await;
            world.endpoint.answers(|asked| match asked.secret {
                Some(2) => fresh(60)(asked),
                _ => denied(asked),
            });
            let before = world.endpoint.requests();
            world.endpoint.secret.set(Some(2));
            pass(seconds(5)).await;
            assert!(world.reader.current().is_some(), "{state}");
            assert_eq!(world.endpoint.requests(), before + 1, "{state}");
            assert_eq!(world.metric("bearerd_token_latched"), 0.0);
        })
        .await;
    }
}

/// As of a command that prints another one each time: each change would be a try, thousands a day.
#[tokio::test(start_paused = true)]
async fn secrets_that_change_and_change_are_looked_at_ever_more_rarely_until_one_is_right() {
    with(login(), denied, async |world| {
        for number in 1..=720_u32 {
            pass(seconds(10)).await;
            world.endpoint.secret.set(Some((number % 251) as u8));
        }
        let tries = world.endpoint.requests();
        assert!((8..=40).contains(&tries), "{tries} in two hours");
        world.endpoint.answers(|asked| fresh(60)(asked));
        pass(seconds(605)).await;
        assert!(world.reader.current().is_some());
        world.endpoint.answers(denied);
        pass(seconds(200)).await;
        world.endpoint.secret.set(Some(252));
        world.endpoint.answers(|asked| fresh(60)(asked));
        pass(seconds(5)).await;
        assert!(world.reader.current().is_some(), "a success forgives the changes before it");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_wrong_secret_is_tried_once_and_then_confirmed_like_the_first() {
    with(login(), denied, async |world| {
        pass(seconds(100)).await;
        assert_eq!(world.endpoint.requests(), 2);
        world.endpoint.secret.set(Some(2));
        pass(seconds(30)).await;
        assert_eq!(world.endpoint.requests(), 3);
        assert!(!world.reader.status().latched);
        pass(seconds(3600)).await;
        assert_eq!(world.endpoint.requests(), 4);
        assert!(world.reader.status().latched);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_or_is_half_written_does_not_end_a_latch() {
    with(login(), denied, async |world| {
        pass(seconds(100)).await;
        world.endpoint.secret.set(None);
        pass(seconds(100)).await;
        world.endpoint.secret.set(Some(1));
        pass(seconds(100)).await;
        // Being written: never the same for half a second.
        for byte in 2..200 {
            world.endpoint.secret.set(Some(byte));
            pass(Duration::from_millis(300)).await;
        }
        world.endpoint.secret.set(Some(1));
        pass(seconds(100)).await;
        assert_eq!(world.endpoint.requests(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn retry_asks_again_at_once_and_latches_again_at_once() {
    with(login(), denied, async |world| {
        pass(seconds(100)).await;
        assert!(world.reader.retry());
        pass(seconds(1)).await;
        assert_eq!(world.endpoint.requests(), 3);
        assert!(world.reader.status().latched);
        world.endpoint.answers(fresh(60));
        assert!(world.reader.retry());
        assert_eq!(world.token_after_retry().await, 1);
        assert!(!world.reader.retry(), "nothing to end");
    })
    .await;
}

impl World {
    /// `usable` says no at once while the latch holds, so the retry needs a moment.
    async fn token_after_retry(&self) -> u64 {
        pass(seconds(1)).await;
        self.token().await.generation()
    }
}

#[tokio::test(start_paused = true)]
async fn retry_does_not_wait_for_a_secret_that_cannot_be_looked_at() {
    with(login(), denied, async |world| {
        pass(seconds(100)).await;
        world.endpoint.hangs.set(true);
        pass(seconds(10)).await;
        world.endpoint.answers(fresh(60));
        assert!(world.reader.retry());
        assert_eq!(world.token_after_retry().await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_login_are_tried_after_a_minute_and_then_hourly() {
    with(login(), refused, async |world| {
        pass(seconds(3 * 3600)).await;
        let gaps = world.endpoint.gaps();
        let rounded: Vec<_> = gaps.iter().map(|gap| gap.round()).collect();
        assert_eq!(rounded, [60.0, 3600.0, 3600.0]);
    })
    .await;
}

/// "Invalid password" may come with a 500, with a 200 that has no token in it, or hide behind a 429.
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_token_is_no_reason_to_try_a_login_every_second() {
    for status in [500, 200, 429] {
        let answer = move |_: &Asked| Err(failed(Class::Transient, status));
        with(login(), answer, async |world| {
            pass(seconds(600)).await;
            let gaps: Vec<_> = world.endpoint.gaps().iter().map(|gap| gap.round()).collect();
            assert_eq!(gaps, [10.0, 20.0, 40.0, 80.0, 160.0], "{status}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_instead_of_the_confirmation_delays_it() {
    let answer = |asked: &Asked| match asked.number {
        2 => Err(failed(Class::Transient, 429)),
        _ => denied(asked),
    };
    with(login(), answer, async |world| {
        pass(seconds(3600)).await;
        assert!(world.reader.status().latched);
        let rounded: Vec<_> = world.endpoint.gaps().iter().map(|gap| gap.round()).collect();
        assert_eq!(rounded, [60.0, 60.0]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_no_header_value_is_a_failed_fetch_and_the_old_one_stays() {
    with(settings(), fresh(60), async |world| {
        world.token().await;
        world.endpoint.answers(|_| Ok(issued("evil\r\nx-injected: 1", 60)));
        pass(seconds(55)).await;
        assert!(world.endpoint.requests() > 1);
        assert_eq!(world.reader.current().unwrap().generation(), 1);
        assert_eq!(world.reader.status().last_error.unwrap().reason, Reason::TokenIllegal);
    })
    .await;
}
