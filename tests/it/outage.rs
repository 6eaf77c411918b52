//! The token endpoint is away: nothing is noticed while the token lives, nothing expired is sent after.

use crate::support::client::{Load, burst, statuses};
use crate::support::{Reply, Request, Standing, eventually, now, seconds, stage, throughout};

#[test]
fn it_starts_without_the_token_endpoint_and_is_ready_soon_after_that_is_back() {
    let (endpoint, upstream, setup) = stage(300);
    endpoint.go_down();
    let bearerd = setup.credential("refresh = { wait = \"500ms\" }").start();
    bearerd.wait_for_log("T010", 5.0);
    assert!(!bearerd.is_ready());
    // Nothing goes out without a token.
    let response = bearerd.get("/items").expect_problem(503, "T010");
    assert!(response.field("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()), "{response:?}");
    assert_eq!(upstream.count(), 0);
    // Long enough for the backoff to grow to its cap.
    throughout("not ready", seconds(5.0), || !bearerd.is_ready());
    endpoint.come_back();
    bearerd.wait_ready(5.0);
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.tokens().count(), 1);
}

#[test]
fn an_outage_within_the_tokens_life_is_noticed_by_nobody() {
    let (endpoint, upstream, setup) = stage(8);
    upstream.count_only();
    let bearerd = setup.credential("refresh = { early = \"50%\" }").start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.005), Request::get("/items"));
    endpoint.go_down();
    eventually("failed renewals", seconds(7.0), || bearerd.token_requests("transient") >= 1.0);
    assert!(bearerd.is_ready(), "the token is still good");
    endpoint.come_back();
    eventually("a new token", seconds(6.0), || endpoint.tokens().count() >= 2);
    let report = load.stop();
    report.expect_all_ok();
    assert_eq!(upstream.counted(), [report.total(), 0]);
}

#[test]
fn no_expired_token_is_sent_when_the_outage_is_longer_than_its_life() {
    let (endpoint, upstream, setup) = stage(3);
    let setup = setup.credential("refresh = { wait = \"300ms\" }");
    let bearerd = setup.start_ready();
    endpoint.go_down();
    bearerd.get("/items").expect(200);
    let load = Load::start(bearerd.address(), 4, seconds(0.01), Request::get("/items"));
    eventually("not ready any more", seconds(6.0), || !bearerd.is_ready());
    let start = now();
    let response = bearerd.get("/items").expect_problem(503, "T010");
    assert!(start.elapsed() < seconds(2.0), "held for {:?}", start.elapsed());
    let retry_after: u32 = response.field("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=30).contains(&retry_after), "{retry_after}");
    throughout("503 all along", seconds(2.0), || !bearerd.is_ready());
    let report = load.stop();
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [200, 503], "{report:?}");
    assert_eq!(upstream.with_token(Standing::Live), upstream.count(), "what reached the upstream had a live token");

    let back = now();
    endpoint.come_back();
    eventually("200 again", seconds(5.0), || bearerd.get("/items").status == 200);
    assert!(back.elapsed() < seconds(5.0));
    assert_eq!(bearerd.metric("bearerd_token_valid", &[("credential", "api")]), Some(1.0));
}

#[test]
fn a_hundred_requests_at_expiry_wait_for_one_slow_token_request() {
    let (endpoint, upstream, setup) = stage(3);
    let bearerd = setup.start_ready();
    endpoint.tokens().set_lifetime(300);
    // The renewal begins in time and is answered when the old token is long over.
    endpoint.always(Reply::Token.late(3.0));
    endpoint.wait_for(2, 4.0);
    eventually("the token's end", seconds(4.0), || !bearerd.is_ready());
    let answers = burst(bearerd.address(), 100, |n| Request::get(&format!("/items/{n}")));
    assert_eq!(statuses(&answers), [(200, 100)].into());
    assert_eq!(endpoint.count(), 2);
    assert_eq!(upstream.with_token(Standing::Live), 100);
}

#[test]
fn a_silent_token_endpoint_ends_with_its_timeout() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::Stall(Vec::new()));
    let setup = setup.credential("refresh = { wait = \"300ms\" }").section("[timeouts]\ntoken_request = \"1s\"");
    let bearerd = setup.start();
    bearerd.wait_for_log("T012", 5.0);
    bearerd.get("/items").expect_problem(503, "T012");
    endpoint.always(Reply::Token);
    bearerd.wait_ready(6.0);
}

#[test]
fn a_request_waits_no_longer_than_configured() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::Stall(Vec::new()));
    let bearerd = setup.credential("refresh = { wait = \"1s\" }").start();
    let start = now();
    bearerd.get("/items").expect(503);
    let waited = start.elapsed();
    assert!(waited >= seconds(0.7) && waited < seconds(3.0), "waited {waited:?}");
}

#[test]
fn retry_after_is_obeyed() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.next([
        Reply::text(429, "text/plain", "slow down").with("Retry-After", "3"),
        Reply::text(503, "text/plain", "later").with("Retry-After", "2"),
    ]);
    let bearerd = setup.start();
    bearerd.wait_ready(10.0);
    let times: Vec<_> = endpoint.requests().iter().map(|request| request.at).collect();
    assert_eq!(times.len(), 3);
    for (n, at_least) in [(1, 2.95), (2, 1.95)] {
        let gap = times[n] - times[n - 1];
        assert!(gap >= seconds(at_least) && gap < seconds(at_least + 3.0), "{gap:?} before try {n}");
    }
}

#[test]
fn the_status_page_and_readyz_say_why() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.go_down();
    let bearerd = setup.start();
    bearerd.wait_for_log("T010", 5.0);
    let page = bearerd.admin_get("/readyz");
    assert_eq!(page.status, 503);
    assert!(page.text().contains("T010") && page.text().contains("api"), "{}", page.text());
    assert!(bearerd.admin_get("/status").expect(200).text().contains("T010"));
    assert_eq!(bearerd.admin_get("/livez").status, 200);
    assert_eq!(bearerd.admin_get("/startupz").status, 200, "the first fetch has settled, either way");
    bearerd.admin_get("/metrics").expect(200);
    assert_eq!(bearerd.metric("bearerd_token_valid", &[("credential", "api")]), Some(0.0));
}

#[test]
fn a_credential_that_is_not_required_does_not_hold_readiness_back() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.go_down();
    let bearerd = setup.credential("required = false").start();
    bearerd.wait_for_log("T010", 5.0);
    assert!(bearerd.is_ready());
}
