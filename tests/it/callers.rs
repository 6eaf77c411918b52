//! Who may use it (promise 6), and bearerd's own answers, which never look like the upstream's.

use crate::support::client::read_response;
use crate::support::wire::Wire;
use crate::support::{Bearerd, Request, Upstream, seconds, stage};

/// A running bearerd whose upstream must not be reached.
fn running() -> (Upstream, Bearerd, crate::support::TokenEndpoint) {
    let (endpoint, upstream, setup) = stage(300);
    (upstream, setup.start_ready(), endpoint)
}

#[test]
fn a_foreign_host_is_refused_with_the_line_to_add() {
    let (upstream, bearerd, _endpoint) = running();
    for host in ["php-proxy", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"] {
        let response = bearerd.send(&Request::get("/items").field("Host", host)).expect_problem(421, "C003");
        let name = host.split(':').next().unwrap();
        let line = format!("hosts = [\"{name}\"]");
        let told = response.json().to_string().replace("\\\"", "\"");
        assert!(told.contains(&line) && told.contains("[callers]"), "{line} is not in {told}");
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C003")]), Some(5.0));
    // The operator is told too, of the first of them and without what callers have sent.
    let told = bearerd.log_with("C003 a caller is refused: Host is not allowed");
    assert!(told.len() == 1 && !told[0].contains("php-proxy"), "{told:?}");
}

#[test]
fn a_request_meant_for_a_proxy_is_told_the_proxy_setting_and_not_to_open_the_door() {
    let (upstream, bearerd, _endpoint) = running();
    let response = bearerd.send(&Request::get("http://other.example/items")).expect_problem(421, "C003");
    let told = response.json().to_string();
    assert!(told.contains("http.nonProxyHosts") && !told.contains("hosts = ["), "{told}");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn loopback_names_are_always_allowed() {
    let (_upstream, bearerd, _endpoint) = running();
    let port = bearerd.address().port();
    for host in [
        "localhost".to_owned(),
        format!("localhost:{port}"),
        "LOCALHOST.".to_owned(),
        "127.0.0.1:80".to_owned(),
        "[::1]:8080".to_owned(),
        "billing.localhost".to_owned(),
    ] {
        bearerd.send(&Request::get("/items").field("Host", &host)).expect(200);
    }
}

#[test]
fn a_configured_host_is_allowed() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.section("[callers]\nhosts = [\"proxy.example.net\"]").start_ready();
    bearerd.send(&Request::get("/items").field("Host", "Proxy.Example.NET:8080")).expect(200);
    bearerd.send(&Request::get("/items").field("Host", "other.example.net")).expect_problem(421, "C003");
}

#[test]
fn what_a_browser_marks_as_cross_site_is_refused() {
    let (upstream, bearerd, _endpoint) = running();
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost.evil.example"),
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let response = bearerd.send(&Request::new(method, "/items").field(name, value)).expect_problem(403, "C002");
            assert!(!response.fields.0.iter().any(|(name, _)| name.to_lowercase().starts_with("access-control-")));
        }
        Request::get("/status").field(name, value).send(bearerd.admin()).expect(403);
    }
    assert_eq!(upstream.count(), 0);
    bearerd.send(&Request::get("/items").field("Sec-Fetch-Site", "same-origin")).expect(200);
    bearerd.send(&Request::get("/items").field("Sec-Fetch-Site", "none")).expect(200);
}

#[test]
fn the_admin_listener_has_the_same_fence() {
    let (_upstream, bearerd, _endpoint) = running();
    Request::get("/status").field("Host", "evil.example").send(bearerd.admin()).expect(421);
    Request::get("/metrics").field("Host", "evil.example").send(bearerd.admin()).expect(421);
    let retry = Request::new("POST", "/retry/api").field("Origin", "https://evil.example");
    retry.send(bearerd.admin()).expect(403);
    bearerd.admin_get("/quitquitquit").expect(405);
}

#[test]
fn no_route_is_404() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.route("path = \"/api\"").start_ready();
    for target in ["/", "/apix", "/other/api", "/API"] {
        bearerd.get(target).expect_problem(404, "C001");
    }
    assert_eq!(upstream.count(), 0);
    bearerd.get("/api").expect(200);
    bearerd.get("/api/x").expect(200);
}

#[test]
fn connect_and_trace_are_never_forwarded() {
    let (upstream, bearerd, _endpoint) = running();
    let authority = bearerd.address().to_string();
    for (method, target) in [("TRACE", "/items"), ("CONNECT", authority.as_str()), ("CONNECT", "evil.example:443")] {
        let mut wire = Wire::connect(bearerd.address()).unwrap();
        wire.send(Request::new(method, target).bytes(bearerd.address())).unwrap();
        let response = read_response(&mut wire, "GET").unwrap();
        // The host of a foreign CONNECT may be what is complained of first.
        assert!(response.status == 405 || (response.status == 421 && target.starts_with("evil")), "{response:?}");
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn an_expectation_that_nobody_knows_is_417() {
    let (upstream, bearerd, _endpoint) = running();
    bearerd.send(&Request::post("/items", "x").field("Expect", "200-maybe")).expect_problem(417, "C008");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn our_own_answers_do_not_look_like_the_upstreams() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    upstream.go_down();
    let response = bearerd.get("/items").expect_problem(502, "U001");
    let body = response.json();
    for member in ["type", "title", "status", "detail", "code"] {
        assert!(body.get(member).is_some(), "no {member} in {body}");
    }
    assert!(response.fields.first("proxy-status").unwrap().contains("error="), "{response:?}");
    assert_eq!(bearerd.metric("bearerd_requests_total", &[("code", "502"), ("origin", "bearerd")]), Some(1.0));
    upstream.come_back();
    bearerd.get("/items").expect(200);
}

#[test]
fn an_answer_of_ours_to_head_has_no_body() {
    let (_upstream, bearerd, _endpoint) = running();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::new("HEAD", "/items").field("Host", "evil.example").bytes(bearerd.address())).unwrap();
    read_response(&mut wire, "HEAD").unwrap().expect(421);
    // Nothing of a body may follow: either the next answer, or the end.
    wire.send(Request::get("/second").bytes(bearerd.address())).unwrap();
    let rest = wire.rest(seconds(1.0));
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn labels_never_hold_what_a_caller_sent() {
    let (_upstream, bearerd, _endpoint) = running();
    bearerd.get("/caller-path-canary?x=caller-query-canary").expect(200);
    let request = Request::new("CALLERMETHOD", "/items").field("Host", "caller-host-canary");
    bearerd.send(&request).expect_problem(421, "C003");
    let page = bearerd.admin_get("/metrics").expect(200).text();
    for sent in ["caller-path", "caller-query", "caller-host", "CALLERMETHOD"] {
        assert!(!page.contains(sent), "{sent} is in {page}");
    }
}

#[test]
fn listening_beyond_loopback_needs_a_rule_who_may_call() {
    let (_endpoint, _upstream, setup) = stage(300);
    let refused = setup.clone().top("listen = \"0.0.0.0:0\"").run_verb("run").expect_code(78);
    assert!(refused.told().contains("F009") && refused.told().contains("from"), "{}", refused.told());
    let text = setup.clone().top("listen = \"0.0.0.0:0\"").section("[callers]\nfrom = [\"loopback\"]");
    let bearerd = text.start_ready();
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], bearerd.address().port()));
    Request::get("/items").send(local).expect(200);
    // Names that no public page can have are allowed there.
    Request::get("/items").field("Host", "bearerd.default.svc.cluster.local").send(local).expect(200);
    Request::get("/items").field("Host", "evil.example").send(local).expect_problem(421, "C003");
}

#[test]
fn an_admin_listener_beyond_loopback_answers_only_those_whom_from_names() {
    let (_endpoint, _upstream, setup) = stage(300);
    let ask = |from: &str| {
        let bearerd = setup.clone().env("BEARERD_ADMIN_LISTEN", "0.0.0.0:0").section(from).start();
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], bearerd.admin().port()));
        Request::get("/status").send(local)
    };
    ask("[callers]\nfrom = [\"loopback\"]").expect(200);
    let refused = ask("[callers]\nfrom = [\"192.0.2.0/24\"]").expect(403).text();
    assert!(refused.contains("C006") && refused.contains("from = [\"127.0.0.1\"]"), "{refused}");
}

#[test]
fn plain_http_beyond_loopback_is_a_mistake_unless_written() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup.upstream("http://api.example.com");
    let refused = setup.run_verb("check").expect_code(78);
    assert!(refused.told().contains("F008") && refused.told().contains("allow_plain_http"), "{}", refused.told());
    setup.route("allow_plain_http = true").run_verb("check").expect_code(0);
}
