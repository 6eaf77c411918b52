//! Which upstream a request goes to, and that it is never another one than the configuration says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::client::read_response;
use crate::support::listener::Listener;
use crate::support::wire::Wire;
use crate::support::{Request, Standing, Upstream, stage};

#[test]
fn the_upstreams_path_is_base_and_rest() {
    for (base, route, target, arrives) in [
        ("/v2", "path = \"/items\"", "/items/7?x=1", "/v2/7?x=1"),
        ("/v2/", "path = \"/items\"", "/items/7", "/v2/7"),
        ("/v2", "path = \"/items\"", "/items", "/v2"),
        ("/v2", "path = \"/items\"", "/items?x=1", "/v2?x=1"),
        ("/v2", "path = \"/items\"\nstrip_path = false", "/items/7", "/v2/items/7"),
        ("", "path = \"/items\"", "/items/7", "/7"),
        ("", "path = \"/items\"", "/items", "/"),
        ("/v2", "", "/items/7", "/v2/items/7"),
    ] {
        let (_endpoint, upstream, setup) = stage(300);
        let bearerd = setup.upstream(&format!("{}{base}", upstream.url())).route(route).start_ready();
        bearerd.get(target).expect(200);
        assert_eq!(upstream.only_request().target(), arrives, "{base} {route} {target}");
    }
}

#[test]
fn routes_share_a_listener_by_host_and_by_longest_path() {
    let (endpoint, upstream, setup) = stage(300);
    let other = Upstream::start(endpoint.tokens());
    let routes = [("deep", "path = \"/a/deep\""), ("shallow", "path = \"/a\""), ("host", "host = \"other.localhost\"")];
    let setup = routes.iter().fold(setup, |setup, (name, rule)| {
        setup.section(&format!("[routes.{name}]\n{rule}\nstrip_path = false\nupstream = \"{}/{name}\"", other.url()))
    });
    let bearerd = setup.routes(&["api", "deep", "shallow", "host"]).start_ready();
    for (host, target, arrives) in [
        ("localhost", "/a/deep/x", Some("/deep/a/deep/x")),
        ("localhost", "/a/deeper", Some("/shallow/a/deeper")),
        ("localhost", "/a", Some("/shallow/a")),
        ("localhost", "/b", None),
        ("other.localhost", "/a/deep/x", Some("/host/a/deep/x")),
    ] {
        bearerd.send(&Request::get(target).field("Host", host)).expect(200);
        let seen = if arrives.is_some() { &other } else { &upstream }.requests().pop().unwrap();
        assert_eq!(seen.target(), arrives.unwrap_or(target), "{host} {target}");
        assert_eq!(seen.standing, Standing::Live);
    }
}

#[test]
fn a_path_that_could_mean_two_routes_is_refused() {
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.section(&format!(
        "[routes.admin]\npath = \"/admin\"\ncredential = \"none\"\nupstream = \"{}\"",
        upstream.url()
    ));
    let bearerd = setup.routes(&["api", "admin"]).start_ready();
    for target in ["/v1/../admin/x", "/v1/%2e%2e/admin", "/v1%2f..%2fadmin", "/%61dmin/x", "/admin/../v1"] {
        bearerd.get(target).expect_problem(400, "C005");
    }
    assert_eq!(upstream.count(), 0);
    bearerd.get("/v1/./x").expect(200);
}

#[test]
fn a_path_that_could_lead_out_of_the_upstreams_path_is_refused() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/", |exchange| exchange.answer(200, &[], ""));
    let setup = setup
        .section(&format!("[routes.public]\npath = \"/api\"\nupstream = \"{}/api/public\"", upstream.url()))
        .section(&format!(
            "[routes.admin]\npath = \"/admin\"\nupstream = \"{}/api/admin\"\ncallers = {{ key = \"a-key-of-admins\" }}",
            upstream.url()
        ));
    let bearerd = setup.routes(&["public", "admin"]).start_ready();
    bearerd.get("/admin/delete").expect_problem(403, "C016");
    for up in ["..", "%2e%2e", "%252e%252e", "..;a=b", "..%5c..%2f.."] {
        bearerd.get(&format!("/api/{up}/{up}/api/admin/delete")).expect_problem(400, "C005");
    }
    assert_eq!(upstream.count(), 0);
    bearerd.get("/api/x/../y").expect(200);
    assert_eq!(upstream.only_request().target(), "/api/public/x/../y");
}

#[test]
fn routes_may_have_listeners_of_their_own() {
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.section(&format!(
        "[routes.own]\nlisten = \"127.0.0.2:0\"\nupstream = \"{}/own\"\ncredential = \"none\"",
        upstream.url()
    ));
    upstream.on("/own", |exchange| exchange.answer(200, &[], ""));
    let bearerd = setup.routes(&["api", "own"]).start_ready();
    assert_ne!(bearerd.address(), bearerd.address_of("own"));
    Request::get("/x").send(bearerd.address_of("own")).expect(200);
    assert_eq!(upstream.only_request().target(), "/own/x");
}

#[test]
fn the_asterisk_never_reaches_another_authority() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut answered = 0;
    for (method, target) in [
        ("OPTIONS", "*"),
        ("GET", "*"),
        ("GET", "http://evil.example/x"),
        ("GET", "http://evil.example"),
        ("GET", "@evil.example/x"),
        ("GET", ".evil.example/x"),
        ("GET", ":80@evil.example/x"),
        ("GET", "\\\\evil.example/x"),
    ] {
        let mut wire = Wire::connect(bearerd.address()).unwrap();
        wire.send(Request::new(method, target).bytes(bearerd.address())).unwrap();
        let response = read_response(&mut wire, method).unwrap();
        if (method, target) == ("OPTIONS", "*") {
            assert!(response.status == 200 || response.status == 400, "{response:?}");
            answered += usize::from(response.status == 200);
        } else {
            assert!([400, 421].contains(&response.status), "{method} {target}: {response:?}");
        }
    }
    assert_eq!(upstream.count(), answered);
    for seen in upstream.requests() {
        assert_eq!((seen.method(), seen.target()), ("OPTIONS", "*"));
        assert_eq!(seen.head.fields.all("host"), [upstream.address().to_string()]);
    }
}

#[test]
fn two_slashes_are_a_path_and_no_authority() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get("//evil.example/x").expect(200);
    let seen = upstream.only_request();
    assert_eq!(
        (seen.target(), seen.head.fields.first("host")),
        ("//evil.example/x", Some(&*upstream.address().to_string()))
    );
}

#[test]
fn absolute_form_is_served_where_its_authority_is_allowed() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get(&format!("http://{}/items?x=1", bearerd.address())).expect(200);
    assert_eq!(upstream.only_request().target(), "/items?x=1");
}

#[test]
fn an_upstream_that_is_not_ours_is_never_dialled() {
    let (_endpoint, upstream, setup) = stage(300);
    let touched = Arc::new(AtomicUsize::new(0));
    let counter = touched.clone();
    let trap = Listener::start(Arc::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    let target = format!("http://{}/elsewhere", trap.address());
    upstream.on("/redirect", move |exchange| exchange.answer(307, &[("Location", &target)], ""));
    let bearerd = setup.start_ready();
    let response = bearerd.send(&Request::post("/redirect", "x")).expect(307);
    assert_eq!(response.field("location"), Some(format!("http://{}/elsewhere", trap.address()).as_str()));
    // The trap's own authority in an absolute-form target: loopback is allowed as a Host, but picks no upstream.
    bearerd.get(&format!("http://{}/x", trap.address())).expect(200);
    assert_eq!(touched.load(Ordering::SeqCst), 0);
}
