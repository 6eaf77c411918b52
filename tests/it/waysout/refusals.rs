//! A proxy that fails is a clear error with a code of its own, never a direct connection, and locks no account.

use super::proxies::behind;
use crate::support::client::{burst, statuses};
use crate::support::connect_proxy::{ConnectProxy, Mood};
use crate::support::{Request, eventually, now, seconds, stage, throughout};

/// What proxies do instead of opening the way, with the code of that towards the upstream and the token endpoint.
const FAILURES: &[(Mood, &str, &str, &str)] = &[
    (Mood::Says("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nsecret-ish"), "U010", "T024", "403 Forbidden"),
    (Mood::Says("HTTP/1.1 405 No\r\n\r\n"), "U010", "T024", "405 Method Not Allowed"),
    (Mood::Says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), "U010", "T024", "302 Found"),
    (Mood::Says("HTTP/1.1 502 Bad Gateway\r\n\r\n"), "U009", "T017", "502 Bad Gateway"),
    (Mood::Says("HTTP/1.1 504 Gateway Timeout\r\n\r\n"), "U009", "T017", "504 Gateway Timeout"),
    (Mood::Says("220 mail.example ESMTP\r\n"), "U009", "T017", "does not answer with HTTP"),
    (Mood::Says("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "U009", "T017", "bytes of its own"),
    (Mood::Closes, "U009", "T017", "closed the connection before it answered"),
    (Mood::Hangs, "U009", "T017", "no answer to CONNECT"),
];

#[test]
fn a_proxy_that_fails_is_an_error_and_never_a_direct_connection() {
    let proxy = ConnectProxy::start(Mood::Open);
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.route(&format!("proxy = \"{}\"", proxy.url())).section("[timeouts]\nconnect = \"700ms\"");
    let bearerd = setup.start_ready();
    let mut looked = 0;
    for (mood, code, _, words) in FAILURES {
        proxy.turn(mood.clone());
        let start = now();
        let problem = bearerd.get("/items").expect_problem(502, code);
        assert!(start.elapsed() < seconds(3.0), "{mood:?} took {:?}", start.elapsed());
        let text = problem.text();
        assert!(text.contains(words) && text.contains(&proxy.address().to_string()), "{mood:?}: {text}");
        assert!(!text.contains("secret-ish"), "{text}");
        looked += 1;
    }
    assert_eq!(looked, FAILURES.len());
    assert_eq!(upstream.connections(), 0);
    proxy.turn(Mood::Open);
    bearerd.get("/items").expect(200);
}

#[test]
fn a_proxy_that_is_not_there_is_an_error_and_never_a_direct_connection() {
    let gone = ConnectProxy::start(Mood::Open);
    let url = gone.url();
    drop(gone);
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.route(&format!("proxy = \"{url}\"")).start_ready();
    bearerd.get("/items").expect_problem(502, "U009");
    assert_eq!(upstream.connections(), 0);
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.route("proxy = \"http://nowhere.invalid:3128\"\nallow_plain_http = true").start_ready();
    let text = bearerd.get("/items").expect_problem(502, "U009").text();
    assert!(text.contains("nowhere.invalid"), "{text}");
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_token_endpoint_whose_proxy_fails_gets_no_request() {
    for (mood, _, code, words) in FAILURES {
        let proxy = ConnectProxy::start(mood.clone());
        let (endpoint, _upstream, setup) = stage(300);
        let setup = setup.credential(&format!("proxy = \"{}\"\nrefresh.wait = \"100ms\"", proxy.url()));
        let bearerd = setup.section("[timeouts]\nconnect = \"700ms\"").start();
        bearerd.wait_for_log(code, 5.0);
        let text = bearerd.get("/items").expect_problem(503, code).text();
        assert!(text.contains(words) && !text.contains("secret-ish"), "{mood:?}: {text}");
        assert_eq!(endpoint.count(), 0);
        // It passes by itself, so it is tried again by itself.
        proxy.turn(Mood::Open);
        bearerd.wait_ready(15.0);
        bearerd.get("/items").expect(200);
    }
}

const RIGHT: &str = "robot:right-proxy-canary";

#[test]
fn a_wrong_login_of_the_proxy_is_tried_once_whatever_the_load() {
    let proxy = ConnectProxy::start(Mood::Login(RIGHT));
    let (endpoint, upstream, setup) = stage(300);
    endpoint.canaries().add_basic("robot", "wrong-proxy-canary");
    endpoint.canaries().add_basic("robot", "right-proxy-canary");
    let url = setup.secret_file("proxy_url", &proxy.url_for("robot:wrong-proxy-canary"));
    let bearerd = setup.route("proxy = { file = \"proxy_url\" }").start_ready();
    let answers = burst(bearerd.address(), 50, |n| Request::get(&format!("/{n}")));
    assert_eq!(statuses(&answers).into_iter().collect::<Vec<_>>(), [(502, 50)]);
    let text = bearerd.get("/items").expect_problem(502, "U010").text();
    assert!(text.contains("not tried again for"), "{text}");
    assert_eq!(proxy.seen().len(), 1);
    // Another login is another try, and at once.
    std::fs::write(url, proxy.url_for(RIGHT)).unwrap();
    let answers = burst(bearerd.address(), 50, |n| Request::get(&format!("/{n}")));
    assert_eq!(statuses(&answers).into_iter().collect::<Vec<_>>(), [(200, 50)]);
    assert_eq!(upstream.count(), 50);
}

#[test]
fn a_login_that_the_proxy_refuses_holds_token_requests_until_the_secret_changes() {
    let proxy = ConnectProxy::start(Mood::Login(RIGHT));
    let (endpoint, _upstream, setup) = behind("{ file = \"proxy_url\" }");
    endpoint.canaries().add_basic("robot", "wrong-proxy-canary");
    endpoint.canaries().add_basic("robot", "right-proxy-canary");
    let url = setup.secret_file("proxy_url", &proxy.url_for("robot:wrong-proxy-canary"));
    let bearerd = setup.credential("refresh.wait = \"100ms\"").start();
    bearerd.wait_for_log("T024", 5.0);
    throughout("one CONNECT", seconds(6.0), || proxy.seen().len() == 1);
    assert_eq!(bearerd.token_requests("refused"), 1.0);
    let text = bearerd.get("/items").expect_problem(503, "T024").text();
    assert!(text.contains("407 Proxy Authentication Required; it refused the login"), "{text}");
    assert_eq!(endpoint.count(), 0);
    std::fs::write(url, proxy.url_for(RIGHT)).unwrap();
    eventually("ready again", seconds(8.0), || bearerd.is_ready());
    bearerd.get("/items").expect(200);
}

#[test]
fn a_proxy_that_wants_a_login_says_which_and_how_to_give_one() {
    let (_endpoint, _upstream, setup) = stage(300);
    let proxy = ConnectProxy::start(Mood::Login(RIGHT));
    let bearerd = setup.route(&format!("proxy = \"{}\"", proxy.url())).start_ready();
    let text = bearerd.get("/items").expect_problem(502, "U010").text();
    assert!(text.contains("it wants a login: http://USER:PASSWORD@HOST:PORT"), "{text}");
    assert!(!text.contains("own words"), "{text}");
    proxy.turn(Mood::Says("HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n"));
    let text = bearerd.get("/items").expect_problem(502, "U010").text();
    assert!(text.contains("by NTLM or Negotiate, and only Basic is supported"), "{text}");
}
