//! The 401 cycle (DESIGN section 5): a token that the upstream rejects is replaced, and the request sent again.

use std::time::Duration;

use crate::support::client::{Load, burst, read_response, read_response_head, statuses};
use crate::support::upstream::DENIAL;
use crate::support::wire::Wire;
use crate::support::{After, Reply, Request, Standing, eventually, seconds, stage, throughout};

#[test]
fn a_revoked_token_is_healed_with_one_fetch_and_one_replay() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    bearerd.get("/items?after=revocation").expect(200);
    assert_eq!(endpoint.count(), 2);
    let seen = upstream.requests_for("/items?after=revocation");
    assert_eq!(seen.iter().map(|seen| seen.standing).collect::<Vec<_>>(), [Standing::Revoked, Standing::Live]);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn two_hundred_requests_rejected_at_once_cost_one_token_request() {
    const CALLERS: usize = 200;
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let answers = burst(bearerd.address(), CALLERS, |n| Request::get(&format!("/items/{n}")));
    assert_eq!(statuses(&answers), [(200, CALLERS)].into());
    assert_eq!(endpoint.count(), 2, "token requests, the first one included");
    assert!(upstream.count() <= 2 * CALLERS, "{} requests at the upstream", upstream.count());
    assert_eq!(upstream.with_token(Standing::Live), CALLERS);
}

#[test]
fn a_fetch_that_fails_passes_the_original_intact_at_once() {
    let (endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for reply in [Reply::text(503, "text/plain", "no"), Reply::json(401, r#"{"error":"invalid_client"}"#)] {
        endpoint.tokens().revoke_all();
        endpoint.always(reply);
        let start = crate::support::now();
        let response = bearerd.get("/items").expect(401);
        assert!(start.elapsed() < seconds(3.0), "{:?}", start.elapsed());
        assert_eq!(response.text(), DENIAL);
        assert_eq!(response.fields.all("x-from"), ["upstream"]);
        assert_eq!(response.field("content-type"), None, "nothing is added to the upstream's answer");
    }
    assert!(bearerd.rejections("passed_unavailable") >= 2.0);
}

#[test]
fn the_same_token_again_passes_the_original() {
    let (endpoint, upstream, setup) = stage(300);
    let token = endpoint.tokens().issue();
    endpoint.always(Reply::json(200, format!(r#"{{"access_token":"{token}","expires_in":300}}"#)));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    assert_eq!(bearerd.get("/items?again").expect(401).text(), DENIAL);
    assert_eq!(upstream.requests_for("/items?again").len(), 1, "a replay with the same token is pointless");
}

#[test]
fn a_replay_that_is_rejected_too_says_so() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/secret", |exchange| {
        let body = format!("attempt of {}", exchange.head.fields.first("authorization").unwrap_or_default().len());
        exchange.answer(401, &[("WWW-Authenticate", "Bearer realm=\"api\""), ("X-From", "upstream")], body)
    });
    let bearerd = setup.start_ready();
    let response = bearerd.get("/secret").expect(401);
    assert!(response.text().starts_with("attempt of"), "{response:?}");
    assert!(response.field("proxy-status").is_some_and(|value| value.starts_with("bearerd")), "{response:?}");
    assert_eq!(upstream.requests_for("/secret").len(), 2);
    assert_eq!(bearerd.rejections("passed_again"), 1.0);
}

#[test]
fn a_replay_that_is_not_answered_passes_the_original_intact() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/flaky", |exchange| if exchange.token_is_live() { Ok(After::Close) } else { exchange.deny() });
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let response = bearerd.send(&Request::post("/flaky", "once")).expect(401);
    assert_eq!(response.text(), DENIAL);
    assert_eq!(response.field("x-from"), Some("upstream"));
    assert_eq!(upstream.with_token(Standing::Live), 1);
}

#[test]
fn a_path_that_always_says_401_costs_next_to_nothing() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/forbidden", |exchange| exchange.answer(401, &[("X-From", "upstream")], "the upstream's own words"));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    let load = Load::start(bearerd.address(), 4, seconds(0.002), Request::get("/forbidden"));
    throughout("few token requests", seconds(6.0), || endpoint.count() <= 6);
    let report = load.stop();
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [401], "{report:?}");
    let attempts = upstream.requests_for("/forbidden").len();
    assert!(attempts <= report.total() + report.total() / 20 + 20, "{attempts} attempts for {}", report.total());
    assert_eq!(bearerd.get("/forbidden").text(), "the upstream's own words");
    assert!(bearerd.rejections("passed_gap") > 0.0);

    // A real revocation on a path that worked is healed at once all the same.
    bearerd.get("/items").expect(200);
    let before = endpoint.count();
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.count(), before + 1);
}

#[test]
fn insufficient_scope_is_never_about_the_token() {
    let (endpoint, upstream, setup) = stage(300);
    let challenge = r#"Bearer error="insufficient_scope", scope="read:messages""#;
    upstream.on("/scoped", move |exchange| {
        exchange.answer(403, &[("WWW-Authenticate", challenge)], r#"{"error":"insufficient_scope"}"#)
    });
    upstream.on("/scoped401", move |exchange| exchange.answer(401, &[("WWW-Authenticate", challenge)], "no"));
    let bearerd = setup.start_ready();
    let response = bearerd.get("/scoped").expect(403);
    assert_eq!(response.text(), r#"{"error":"insufficient_scope"}"#);
    assert_eq!(response.field("www-authenticate"), Some(challenge));
    bearerd.get("/scoped401").expect(401);
    assert_eq!((endpoint.count(), upstream.count()), (1, 2));
}

#[test]
fn a_body_rule_makes_a_403_a_rejection() {
    let (endpoint, upstream, setup) = stage(300);
    let setup = setup.section("[credentials.api.rejection]\nbody = [{ status = 403, contains = \"token_expired\" }]");
    upstream.on("/expired", |exchange| {
        if exchange.token_is_live() { exchange.ordinary() } else { exchange.answer(403, &[], "why: token_expired") }
    });
    upstream.on("/other", |exchange| exchange.answer(403, &[], "you may not"));
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    bearerd.get("/expired").expect(200);
    assert_eq!(bearerd.get("/other").expect(403).text(), "you may not");
    assert_eq!(endpoint.count(), 2);
    // The rule is written in the configuration, so POST may be sent again too.
    endpoint.tokens().revoke_all();
    bearerd.send(&Request::post("/expired", "x")).expect(200);
}

#[test]
fn a_body_rule_looks_into_what_it_can_read_and_no_further() {
    let (endpoint, upstream, setup) = stage(300);
    let setup = setup.section("[credentials.api.rejection]\nbody = [{ status = 403, contains = \"token_expired\" }]");
    type Field = (&'static str, &'static str);
    let no_scope: Field = ("WWW-Authenticate", r#"Bearer error="insufficient_scope""#);
    let cases: [(&str, Field, usize, u16); 4] = [
        ("/as-it-is", ("Content-Encoding", "identity"), 0, 200),
        ("/packed", ("Content-Encoding", "gzip"), 0, 403),
        ("/another-trouble", no_scope, 0, 403),
        ("/endless", ("X-Length", "17 KiB"), 17 << 10, 403),
    ];
    for (path, field, padding, _) in cases {
        upstream.on(path, move |exchange| match exchange.token_is_live() {
            true => exchange.ordinary(),
            false => exchange.answer(403, &[field], format!("token_expired{}", ".".repeat(padding))),
        });
    }
    let bearerd = setup.start_ready();
    for (path, _, _, wanted) in cases {
        let before = endpoint.count();
        endpoint.tokens().revoke_all();
        bearerd.get(path).expect(wanted);
        assert_eq!(endpoint.count() - before, usize::from(wanted == 200), "{path}");
        // Whatever it was, the next one gets a token that works.
        bearerd.get("/checked").expect(200);
    }
}

#[test]
fn a_challenge_with_invalid_token_rejects_whatever_the_4xx() {
    for status in [400, 403, 404] {
        let (endpoint, upstream, setup) = stage(300);
        upstream.on("/checked", move |exchange| {
            let challenge = r#"Basic realm="x", Bearer realm="api", error="invalid_token""#;
            if exchange.token_is_live() {
                return exchange.ordinary();
            }
            exchange.answer(status, &[("WWW-Authenticate", challenge)], "rejected")
        });
        let bearerd = setup.start_ready();
        endpoint.tokens().revoke_all();
        bearerd.get("/checked").expect(200);
        assert_eq!(endpoint.count(), 2);
        // Only a 401 says that nothing was applied (RFC 9110 §15.5.2), so a POST is not sent twice here.
        endpoint.tokens().revoke_all();
        assert_eq!(bearerd.send(&Request::post("/checked", "x")).expect(status).text(), "rejected");
        assert_eq!(upstream.requests_for("/checked").len(), 3);
        endpoint.wait_for(3, 3.0);
    }
}

#[test]
fn replay_idempotent_never_sends_post_or_patch_twice() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.section("[credentials.api.rejection]\nreplay = \"idempotent\"").start_ready();
    for (n, (method, status)) in [("POST", 401), ("PATCH", 401), ("PUT", 200), ("GET", 200)].into_iter().enumerate() {
        endpoint.tokens().revoke_all();
        let target = format!("/{method}");
        let response = bearerd.send(&Request::new(method, &target).body("x")).expect(status);
        let attempts = upstream.requests_for(&target).len();
        assert_eq!(attempts, if status == 401 { 1 } else { 2 }, "{method}");
        if status == 401 {
            assert_eq!(response.text(), DENIAL);
        }
        bearerd.settle();
        assert_eq!(endpoint.count(), n + 2);
    }
    assert_eq!(bearerd.rejections("passed_unsafe"), 2.0);
}

#[test]
fn a_caller_that_hangs_up_cancels_nothing() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    endpoint.always(Reply::Token.late(1.0));
    let address = bearerd.address();
    let wire = Wire::connect(address).unwrap();
    wire.send(Request::get("/first").bytes(address)).unwrap();
    endpoint.wait_for(2, 3.0);
    let others = std::thread::spawn(move || burst(address, 10, |n| Request::get(&format!("/others/{n}"))));
    drop(wire);
    assert_eq!(statuses(&others.join().unwrap()), [(200, 10)].into());
    assert_eq!(endpoint.count(), 2);
    assert_eq!(upstream.with_token(Standing::Live), 10);
}

#[test]
fn nothing_of_a_rejected_answer_reaches_the_caller_before_it_is_decided() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    endpoint.always(Reply::Token.late(0.7));
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/items").bytes(bearerd.address())).unwrap();
    eventually("the rejected attempt", seconds(3.0), || upstream.count() == 1);
    wire.socket().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(read_response_head(&mut wire).is_err(), "bytes came before the decision");
    wire.socket().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    read_response(&mut wire, "GET").unwrap().expect(200);
}

#[test]
fn a_long_rejected_answer_passes_whole() {
    let (endpoint, upstream, setup) = stage(300);
    let long: String = "0123456789abcdef".repeat(20_000);
    let body = long.clone();
    upstream.on("/long", move |exchange| exchange.answer(401, &[("X-From", "upstream")], &body));
    let bearerd = setup.start_ready();
    endpoint.always(Reply::text(500, "text/plain", "no"));
    let response = bearerd.get("/long").expect(401);
    assert!(response.text() == long, "{} bytes of {}", response.body.len(), long.len());
}

#[test]
fn a_token_revoked_right_after_its_issue_is_healed() {
    let (endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for round in 0..3 {
        endpoint.tokens().revoke_all();
        bearerd.get("/items").expect(200);
        assert_eq!(endpoint.count(), round + 2);
    }
}
