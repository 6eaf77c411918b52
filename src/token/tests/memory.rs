//! What a credential remembers over restarts.

use super::*;

/// Runs the credential for `time` in a process of its own, and returns how many token requests it made.
async fn process(settings: Settings, state: &Path, secret: u8, time: Duration, answer: Script) -> usize {
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), answer);
    endpoint.secret.set(Some(secret));
    run(settings, clock, endpoint.clone(), Some(state), async |_| pass(time).await).await;
    endpoint.requests()
}

#[tokio::test(start_paused = true)]
async fn a_restart_loop_with_a_wrong_password_asks_once_a_minute_at_most() {
    let state = tempfile::tempdir().unwrap();
    let mut requests = 0;
    for _ in 0..20 {
        requests += process(login(), state.path(), 1, seconds(2), denied).await;
    }
    assert_eq!(requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_latch_survives_a_restart_until_the_secret_changes() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(process(login(), state.path(), 1, seconds(100), denied).await, 2);
    assert_eq!(process(login(), state.path(), 1, seconds(7200), denied).await, 0);
    assert_eq!(process(login(), state.path(), 2, seconds(10), fresh_once).await, 1);
    assert_eq!(process(login(), state.path(), 2, seconds(10), denied).await, 1, "the success was remembered, too");
}

/// The same secrets with other words around them: after a reload or a restart.
async fn rewritten(settings: Settings, state: &Path, written: u8, answer: Script) -> usize {
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), answer);
    endpoint.written.set(written);
    run(settings, clock, endpoint.clone(), Some(state), async |_| pass(seconds(10)).await).await;
    endpoint.requests()
}

#[tokio::test(start_paused = true)]
async fn a_latch_ends_with_what_was_written_when_it_came() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(process(settings(), state.path(), 1, seconds(100), denied).await, 2);
    assert_eq!(rewritten(settings(), state.path(), 0, fresh_once).await, 0);
    assert_eq!(rewritten(settings(), state.path(), 1, denied).await, 1);
    assert_eq!(rewritten(settings(), state.path(), 1, fresh_once).await, 0, "a confirmation waits");
    assert_eq!(rewritten(login(), state.path(), 1, fresh_once).await, 1, "lockout decides as well");
}

#[tokio::test(start_paused = true)]
async fn the_wait_of_a_refused_login_ends_with_it_too() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(process(login(), state.path(), 1, seconds(100), refused).await, 2);
    assert_eq!(rewritten(login(), state.path(), 0, fresh_once).await, 0);
    assert_eq!(rewritten(login(), state.path(), 1, fresh_once).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_latch_of_an_earlier_version_stays() {
    let state = tempfile::tempdir().unwrap();
    process(settings(), state.path(), 1, seconds(100), denied).await;
    let file = state.path().join("latch-api");
    let text = std::fs::read_to_string(&file).unwrap();
    let earlier: Vec<_> = text.lines().take(7).collect();
    assert_eq!(text.lines().count(), 8);
    std::fs::write(&file, earlier.join("\n") + "\n").unwrap();
    assert_eq!(rewritten(settings(), state.path(), 1, fresh_once).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_restored_latch_is_seen_and_ends_like_any_other() {
    let state = tempfile::tempdir().unwrap();
    process(login(), state.path(), 1, seconds(100), denied).await;
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), fresh(60));
    run(login(), clock, endpoint, Some(state.path()), async |world| {
        pass(seconds(1)).await;
        let status = world.reader.status();
        assert!(status.latched && status.settled && !status.usable);
        assert_eq!(world.metric("bearerd_token_latched"), 1.0);
        assert_eq!(world.reader.usable().await.unwrap_err().reason, Reason::TokenDenied);
        world.endpoint.secret.set(None);
        pass(seconds(20)).await;
        assert_eq!(world.endpoint.requests(), 0);
        assert!(world.reader.retry());
        assert_eq!(world.token_soon().await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_after_a_restart_does_not_end_a_latch() {
    let state = tempfile::tempdir().unwrap();
    process(login(), state.path(), 1, seconds(100), denied).await;
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), fresh(60));
    endpoint.secret.set(None);
    run(login(), clock, endpoint, Some(state.path()), async |world| {
        pass(seconds(20)).await;
        assert!(world.reader.status().latched);
        world.endpoint.secret.set(Some(1));
        pass(seconds(20)).await;
        assert_eq!(world.endpoint.requests(), 0);
        world.endpoint.secret.set(Some(2));
        pass(seconds(5)).await;
        assert!(world.reader.current().is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_success_with_the_same_secret_ends_what_was_remembered() {
    let state = tempfile::tempdir().unwrap();
    process(login(), state.path(), 1, seconds(100), denied).await;
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), fresh(60));
    run(login(), clock, endpoint, Some(state.path()), async |world| {
        pass(seconds(1)).await;
        world.reader.retry();
        assert_eq!(world.token_soon().await, 1);
    })
    .await;
    assert_eq!(process(login(), state.path(), 1, seconds(10), fresh_once).await, 1);
}

fn fresh_once(asked: &Asked) -> Answer {
    fresh(60)(asked)
}

impl World {
    async fn token_soon(&self) -> u64 {
        pass(seconds(3)).await;
        self.token().await.generation()
    }
}

#[tokio::test(start_paused = true)]
async fn a_pending_confirmation_survives_a_restart_and_then_latches() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(process(login(), state.path(), 1, seconds(10), denied).await, 1);
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), denied);
    run(login(), clock, endpoint, Some(state.path()), async |world| {
        pass(seconds(30)).await;
        assert_eq!(world.endpoint.requests(), 0);
        pass(seconds(40)).await;
        assert_eq!(world.endpoint.requests(), 1);
        assert!(world.reader.status().latched);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_waits_of_a_refused_login_survive_a_restart() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(process(login(), state.path(), 1, seconds(100), refused).await, 2);
    assert_eq!(process(login(), state.path(), 1, seconds(3000), refused).await, 0);
    assert_eq!(process(login(), state.path(), 1, seconds(3700), refused).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_locks_nothing_is_tried_again_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(process(settings(), state.path(), 1, seconds(10), refused).await, 1);
    assert_eq!(process(settings(), state.path(), 1, seconds(10), refused).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_state_directory_that_cannot_be_used_stops_nothing() {
    let requests = process(settings(), Path::new("/nonexistent/state"), 1, seconds(10), fresh_once).await;
    assert_eq!(requests, 1);
}
