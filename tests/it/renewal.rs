//! Renewal is invisible (promise 3): no request waits for it, none fails because of it.

use crate::support::client::Load;
use crate::support::wire::chunk;
use crate::support::{After, FLOOR, Reply, Request, Standing, eventually, pause, seconds, stage, throughout};

#[test]
fn three_second_tokens_under_load_fail_no_request() {
    let (endpoint, upstream, setup) = stage(3);
    upstream.count_only();
    let bearerd = setup.start_ready();
    let load = Load::start(bearerd.address(), 8, seconds(0.002), Request::get("/items"));
    endpoint.wait_for(5, 20.0);
    let report = load.stop();
    report.expect_all_ok();
    assert!(report.total() > 200, "{report:?}");
    let [good, bad] = upstream.counted();
    assert_eq!((good, bad), (report.total(), 0));
    // One token request for each token: none beside the renewals.
    assert_eq!(bearerd.token_requests("success") as usize, endpoint.count());
    assert_eq!(endpoint.tokens().count(), endpoint.count());
    let times: Vec<_> = endpoint.requests().iter().map(|request| request.at).collect();
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= seconds(FLOOR), "token requests {gap:?} apart");
        // Renewed before the end, and not more than half of the lifetime before it.
        assert!(gap <= seconds(3.0) && gap >= seconds(1.4), "renewed after {gap:?} of 3 s");
    }
}

#[test]
fn no_request_waits_for_a_slow_renewal() {
    let (endpoint, _upstream, setup) = stage(10);
    let setup = setup.credential("refresh = { early = \"50%\" }");
    let bearerd = setup.start_ready();
    endpoint.always(Reply::Token.late(3.0));
    let load = Load::start(bearerd.address(), 4, seconds(0.005), Request::get("/items"));
    eventually("a renewal", seconds(14.0), || endpoint.tokens().count() >= 2);
    let report = load.stop();
    report.expect_all_ok();
    let slowest = report.quantile(1.0);
    assert!(slowest < seconds(2.0), "a request took {slowest:?} while the renewal took 3 s");
}

#[test]
fn a_stream_outlives_the_token_that_it_began_with() {
    let (endpoint, upstream, setup) = stage(2);
    let tokens = endpoint.tokens().clone();
    upstream.on("/events", move |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let begun = tokens.issued().len();
        let mut told = begun;
        while told < begun + 3 {
            if tokens.issued().len() > told {
                told += 1;
                exchange.wire.send(chunk(format!("token {told}")))?;
            }
            pause(seconds(0.01));
        }
        exchange.wire.send("0\r\n\r\n").map(|()| After::KeepAlive)
    });
    let bearerd = setup.start_ready();
    let text = bearerd.get("/events").expect(200).text();
    assert_eq!(text.matches("token").count(), 3, "{text}");
}

#[test]
fn a_failed_renewal_keeps_the_old_token_and_is_tried_again() {
    // Long enough for two failures and their backoff.
    let (endpoint, upstream, setup) = stage(10);
    let bearerd = setup.credential("refresh = { early = \"50%\" }").start_ready();
    endpoint.next([Reply::text(503, "text/plain", "down"), Reply::Close]);
    let load = Load::start(bearerd.address(), 2, seconds(0.01), Request::get("/items"));
    eventually("a second token", seconds(14.0), || endpoint.tokens().count() >= 2);
    load.stop().expect_all_ok();
    assert_eq!(endpoint.count(), 4);
    assert_eq!(upstream.with_token(Standing::Live), upstream.count());
    assert!(bearerd.is_ready());
    assert_eq!(bearerd.token_requests("transient"), 2.0);
}

#[test]
fn an_endpoint_that_hands_out_the_same_token_causes_no_loop() {
    let (endpoint, _upstream, setup) = stage(4);
    // The lifetime that it names shrinks, as with a cache in front of an authorization server.
    let token = endpoint.tokens().issue();
    endpoint.tokens().set_lifetime(60);
    endpoint.tokens().register(&token);
    let start = crate::support::now();
    endpoint.always(Reply::custom(move |_, _| {
        let left = 4_u64.saturating_sub(start.elapsed().as_secs()).max(1);
        Reply::json(200, format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{left}}}"#))
    }));
    let bearerd = setup.start_ready();
    throughout("few token requests", seconds(8.0), || endpoint.count() <= 9);
    bearerd.get("/items").expect(200);
}

#[test]
fn tokens_of_one_second_cost_at_most_one_request_a_second() {
    let (endpoint, _upstream, setup) = stage(1);
    let bearerd = setup.start_ready();
    let load = Load::start(bearerd.address(), 2, seconds(0.01), Request::get("/items"));
    throughout("at most one token request a second", seconds(6.0), || endpoint.count() <= 8);
    drop(load);
    let times: Vec<_> = endpoint.requests().iter().map(|request| request.at).collect();
    assert!(times.len() >= 2, "it went on asking");
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= seconds(FLOOR), "{:?} apart", pair[1] - pair[0]);
    }
}

#[test]
fn a_lifetime_that_is_no_lifetime_is_the_configured_default() {
    for lifetime in ["", r#","expires_in":null"#, r#","expires_in":0"#, r#","expires_in":-1"#, r#","expires_in":"x""#] {
        let (endpoint, _upstream, setup) = stage(300);
        endpoint.always(Reply::custom(move |_, tokens| {
            Reply::json(200, format!(r#"{{"access_token":"{}"{lifetime}}}"#, tokens.issue()))
        }));
        let bearerd = setup.section("[credentials.api.response]\ndefault_lifetime = \"120s\"").start_ready();
        let ends = bearerd.metric("bearerd_token_expiry_timestamp_seconds", &[("credential", "api")]).unwrap();
        let left = ends - epoch_seconds();
        assert!((100.0..=120.5).contains(&left), "{lifetime:?} lives {left} s");
        assert_eq!(endpoint.count(), 1);
    }
}

#[test]
fn the_lifetime_may_be_a_numeric_string_or_stand_in_the_token() {
    let wall = epoch_seconds() as u64;
    // A clock one hour wrong at the authorization server does not matter when the token says when it was issued.
    let jwt = |iat: u64, exp: u64| {
        use base64::Engine as _;
        let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let header = encode(r#"{"alg":"HS256","typ":"JWT"}"#.to_owned());
        let claims = encode(format!(r#"{{"token_type":"access","exp":{exp},"iat":{iat},"user_id":26}}"#));
        format!("{header}.{claims}.c2lnbmF0dXJl")
    };
    for (token, members) in [
        ("tok-with-string-lifetime".to_owned(), r#","expires_in":"90""#),
        (jwt(wall - 3600, wall - 3600 + 90), ""),
        (jwt(wall + 3600, wall + 3600 + 90), ""),
    ] {
        let (endpoint, _upstream, setup) = stage(300);
        endpoint.tokens().register(&token);
        endpoint.always(Reply::json(200, format!(r#"{{"access_token":"{token}"{members}}}"#)));
        let bearerd = setup.start_ready();
        let ends = bearerd.metric("bearerd_token_expiry_timestamp_seconds", &[("credential", "api")]).unwrap();
        let left = ends - epoch_seconds();
        assert!((70.0..=90.5).contains(&left), "{token} {members} lives {left} s");
        bearerd.get("/items").expect(200);
    }
}

#[test]
fn a_refresh_token_is_used_once_and_replaced_by_the_next() {
    let (endpoint, _upstream, setup) = stage(2);
    let canaries = endpoint.canaries().clone();
    endpoint.always(Reply::custom(move |request, tokens| {
        let number = tokens.issued().len();
        let asked = request.field("grant_type").unwrap_or_default();
        let wanted = format!("refresh-canary-{number}");
        if asked == "refresh_token" && request.field("refresh_token").as_deref() != Some(wanted.as_str()) {
            return Reply::json(400, r#"{"error":"invalid_grant"}"#);
        }
        let next = format!("refresh-canary-{}", number + 1);
        canaries.add(&next);
        let token = tokens.issue();
        Reply::json(200, format!(r#"{{"access_token":"{token}","expires_in":2,"refresh_token":"{next}"}}"#))
    }));
    let setup = setup.credential("username = \"robot\"\npassword = \"pw-canary-112\"");
    endpoint.canaries().add("pw-canary-112");
    let bearerd = setup.start_ready();
    endpoint.wait_for(4, 12.0);
    bearerd.get("/items").expect(200);
    let grants: Vec<_> = endpoint.requests().iter().take(4).filter_map(|request| request.field("grant_type")).collect();
    assert_eq!(grants, ["password", "refresh_token", "refresh_token", "refresh_token"]);
    for request in &endpoint.requests()[1..] {
        assert_eq!(request.field("password"), None, "a password beside a refresh token");
    }
}

#[test]
fn a_refresh_token_that_fails_is_followed_by_the_original_grant() {
    let (endpoint, upstream, setup) = stage(6);
    let setup = setup.credential("refresh = { early = \"50%\" }");
    endpoint.always(Reply::custom(|request, tokens| {
        if request.field("grant_type").as_deref() == Some("refresh_token") {
            return Reply::json(400, r#"{"error":"invalid_grant"}"#);
        }
        let token = tokens.issue();
        Reply::json(200, format!(r#"{{"access_token":"{token}","expires_in":6,"refresh_token":"refresh-{token}"}}"#))
    }));
    let bearerd = setup.start_ready();
    let load = Load::start(bearerd.address(), 2, seconds(0.01), Request::get("/items"));
    eventually("a second token", seconds(10.0), || endpoint.tokens().count() >= 2);
    load.stop().expect_all_ok();
    assert_eq!(upstream.with_token(Standing::Live), upstream.count());
    assert_eq!(bearerd.metric("bearerd_token_latched", &[("credential", "api")]), Some(0.0));
}

#[test]
fn a_secret_file_that_is_replaced_is_used_by_the_next_fetch() {
    let (endpoint, _upstream, setup) = stage(3);
    let first = setup.secret_file("secret", "first-canary-secret\n");
    let setup = setup.clone().credential_only(
        &_upstream.url(),
        &format!(
            "token_endpoint = \"{}\"\nclient_id = \"svc\"\nclient_secret = {{ file = \"secret\" }}\n",
            endpoint.url()
        ),
    );
    let bearerd = setup.start_ready();
    assert_eq!(endpoint.requests()[0].basic().as_deref(), Some("svc:first-canary-secret"));
    let second = setup.secret_file("secret.new", "second-canary-secret\n");
    std::fs::rename(second, first).unwrap();
    eventually("the new secret", seconds(8.0), || {
        endpoint.requests().last().and_then(|request| request.basic()).as_deref() == Some("svc:second-canary-secret")
    });
    bearerd.get("/items").expect(200);
}

#[test]
fn a_process_that_was_stopped_past_expiry_sends_no_expired_token() {
    let (endpoint, upstream, setup) = stage(2);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    bearerd.signal(rustix::process::Signal::STOP);
    let issued = endpoint.tokens().issued();
    eventually("the token's end", seconds(6.0), || {
        issued.iter().all(|token| endpoint.tokens().standing(token) == Standing::Expired)
    });
    let address = bearerd.address();
    let caller = std::thread::spawn(move || Request::get("/after").send(address));
    eventually("a queued connection", seconds(2.0), || !caller.is_finished());
    bearerd.signal(rustix::process::Signal::CONT);
    caller.join().unwrap().expect(200);
    assert_eq!(upstream.with_token(Standing::Expired), 0);
}

fn epoch_seconds() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}
