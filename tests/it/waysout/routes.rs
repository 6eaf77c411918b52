//! What one route may have for itself: deadlines, fields, spelling, cookies, a credential or none.

use crate::support::canaries::Canaries;
use crate::support::wire::Wire;
use crate::support::{Reply, Request, Setup, TokenEndpoint, Tokens, Upstream, eventually, now, pause, seconds, stage};

#[test]
fn a_route_has_deadlines_of_its_own() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/slow", |exchange| {
        pause(seconds(1.5));
        exchange.ordinary()
    });
    let hasty = format!(
        "[routes.hasty]\npath = \"/hasty\"\nupstream = \"{}\"\n[routes.hasty.timeouts]\nresponse_head = \"300ms\"\n",
        upstream.url()
    );
    let bearerd = setup.section(&hasty).routes(&["api", "hasty"]).start_ready();
    let start = now();
    bearerd.get("/hasty/slow").expect_problem(504, "U005");
    assert!(start.elapsed() < seconds(1.4), "{:?}", start.elapsed());
    bearerd.get("/slow").expect(200);
}

#[test]
fn a_route_keeps_idle_connections_as_long_as_it_says() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.top("workers = 1").route("timeouts = { upstream_idle = \"off\" }").start_ready();
    for _ in 0..3 {
        bearerd.get("/items").expect(200);
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn fields_are_set_and_removed_whatever_the_caller_sends() {
    let (endpoint, upstream, setup) = stage(300);
    let key = setup.secret_file("key", "header-canary-1\n");
    let rules =
        "headers = { set = { X-Tenant = \"7\", x-key = { file = \"key\" } }, remove = [\"Cookie\", \"x-debug\"] }";
    let bearerd = setup.route(rules).start_ready();
    let request = Request::get("/items").field("X-Tenant", "1").field("x_tenant", "2").field("X-TENANT", "3");
    let request = request.field("Cookie", "a=b").field("X-Debug", "1").field("x_debug", "1").field("Accept", "x");
    bearerd.send(&request.field("Connection", "x-tenant, x-key")).expect(200);
    let check = |key: &str| {
        let fields = upstream.requests().pop().unwrap().head.fields;
        assert_eq!((fields.all("x-tenant"), fields.all("x-key")), (vec!["7"], vec![key]), "{fields:?}");
        for gone in ["cookie", "x-debug", "x_debug", "x_tenant"] {
            assert!(!fields.has(gone), "{gone}: {fields:?}");
        }
        assert_eq!(fields.all("authorization").len(), 1);
    };
    check("header-canary-1");
    assert_eq!(upstream.only_request().head.fields.all("accept"), ["x"]);
    // A replay has them too.
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    check("header-canary-1");
    endpoint.canaries().add("header-canary-2");
    std::fs::write(key, "header-canary-2\n").unwrap();
    eventually("the new value is sent", seconds(8.0), || {
        bearerd.get("/items").expect(200);
        upstream.requests().pop().unwrap().head.fields.first("x-key") == Some("header-canary-2")
    });
}

#[test]
fn a_trailer_cannot_stand_for_a_field_that_the_route_sets() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.route("headers = { set = { x-tenant = \"7\" } }").start_ready();
    let request =
        Request::new("POST", "/items").field("Transfer-Encoding", "chunked").field("Trailer", "x-tenant, x-sum");
    let body = "1\r\na\r\n0\r\nX-Tenant: evil\r\nX-Sum: 1\r\n\r\n";
    let address = bearerd.address();
    let mut wire = Wire::connect(address).unwrap();
    wire.send([request.head_bytes(address), body.into()].concat()).unwrap();
    assert_eq!(wire.head().unwrap().unwrap().word(1), "200");
    let seen = upstream.only_request();
    assert_eq!((seen.trailers.first("x-sum"), seen.trailers.first("x-tenant")), (Some("1"), None));
}

#[test]
fn fields_keep_the_callers_spelling_where_the_upstream_needs_it() {
    let (endpoint, upstream, setup) = stage(300);
    let plain = format!("[routes.plain]\npath = \"/plain\"\nupstream = \"{}\"\n", upstream.url());
    let preserving = "header_case = \"preserve\"\nheaders = { set = { x-own-field = \"1\" } }";
    let bearerd = setup.route(preserving).section(&plain).routes(&["api", "plain"]).start_ready();
    upstream.on("/", |exchange| match exchange.token_is_live() {
        true => exchange.answer(200, &[("X-UPSTREAM-Spelling", "1")], "ok"),
        false => exchange.deny(),
    });
    let request = |target: &str| {
        Request::post(target, "body").field("SOAPAction", "x").field("X-weird_NAME", "1").field("x-low", "2")
    };
    endpoint.tokens().revoke_all();
    let answer = bearerd.send(&request("/items")).expect(200);
    let heads: Vec<_> = upstream.requests().iter().map(|seen| seen.raw_head()).collect();
    assert_eq!(heads.len(), 2, "the rejected one and its replay");
    for head in &heads {
        for line in [
            "\r\nSOAPAction: x\r\n",
            "\r\nX-weird_NAME: 1\r\n",
            "\r\nx-low: 2\r\n",
            "\r\nHost: ",
            "\r\nVia: ",
            "\r\nAuthorization: Bearer ",
            "\r\nContent-Length: 4\r\n",
            "\r\nX-Own-Field: 1\r\n",
        ] {
            assert!(head.contains(line), "{line:?} is not in {head}");
        }
    }
    assert!(answer.raw_head.contains("\r\nX-Upstream-Spelling: 1\r\n"), "{}", answer.raw_head);
    bearerd.send(&request("/plain/items")).expect(200);
    let head = upstream.requests().pop().unwrap().raw_head();
    assert!(head.contains("\r\nsoapaction: x\r\n") && head.contains("\r\nauthorization: Bearer "), "{head}");
}

#[test]
fn cookies_are_the_callers_hosts_and_below_the_callers_prefix() {
    let (_endpoint, upstream, setup) = stage(300);
    let url = format!("http://127.0.0.1:{}/v2", upstream.address().port());
    upstream.on("/v2/login", |exchange| {
        let cookies = [
            ("Set-Cookie", "a=1; Domain=127.0.0.1; Path=/v2/x; HttpOnly"),
            ("set-cookie", "b=2; Path=/; Secure"),
            ("Set-Cookie", "c=3; Domain=other.example; Path=/elsewhere"),
        ];
        exchange.answer(200, &cookies, "")
    });
    let bearerd = setup.upstream(&url).route("path = \"/api\"").start_ready();
    let host = format!("localhost:{}", bearerd.address().port());
    let answer = bearerd.send(&Request::get("/api/login").field("Host", &host)).expect(200);
    let wanted = ["a=1; Path=/api/x; HttpOnly", "b=2; Path=/api; Secure", "c=3; Domain=other.example; Path=/elsewhere"];
    assert_eq!(answer.fields.all("set-cookie"), wanted);
}

/// A second token endpoint and upstream beside the usual ones.
fn another(canaries: &Canaries) -> (TokenEndpoint, Upstream, String) {
    let tokens = Tokens::new(300);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    canaries.add("other-canary");
    let credential = format!(
        "[credentials.other]\ntoken_endpoint = \"{}\"\nclient_id = \"other\"\nclient_secret = \"other-canary\"\n",
        endpoint.url()
    );
    (endpoint, upstream, credential)
}

#[test]
fn several_credentials_side_by_side_never_meet() {
    let (endpoint, upstream, setup) = stage(300);
    let (other_endpoint, other_upstream, credential) = another(endpoint.canaries());
    let route =
        format!("[routes.other]\npath = \"/other\"\ncredential = \"other\"\nupstream = \"{}\"\n", other_upstream.url());
    let open = format!("[routes.open]\npath = \"/open\"\ncredential = \"none\"\nupstream = \"{}\"\n", upstream.url());
    upstream.on("/anonymous", |exchange| exchange.answer(200, &[], "hello"));
    let sections = format!("{credential}{route}{open}");
    let bearerd =
        setup.route("credential = \"api\"").section(&sections).routes(&["api", "other", "open"]).start_ready();
    bearerd.get("/items").expect(200);
    bearerd.get("/other/items").expect(200);
    assert_eq!((upstream.count(), other_upstream.count()), (1, 1));
    // One of them dead is the other's business in nothing.
    other_endpoint.always(Reply::json(401, r#"{"error":"invalid_client"}"#));
    other_endpoint.tokens().revoke_all();
    bearerd.get("/other/items").expect(401);
    bearerd.get("/items").expect(200);
    // And a route without a credential needs none: the caller's own field passes, and a 401 is the caller's.
    let mine = Request::get("/open/anonymous").field("Authorization", "Basic bWluZQ==");
    bearerd.send(&mine).expect(200);
    assert_eq!(upstream.requests().pop().unwrap().head.fields.all("authorization"), ["Basic bWluZQ=="]);
    let fetched = endpoint.count();
    bearerd.get("/open/items").expect(401);
    assert!(!upstream.requests().pop().unwrap().head.fields.has("authorization"));
    assert_eq!(endpoint.count(), fetched);
}

#[test]
fn a_route_without_a_credential_alone_needs_no_token_endpoint() {
    let tokens = Tokens::new(300);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    upstream.on("/", |exchange| exchange.answer(200, &[], "hello"));
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nlog.format = \"json\"\n\
         [routes.open]\ncredential = \"none\"\nupstream = \"{}\"\nheaders = {{ remove = [\"authorization\"] }}\n",
        upstream.url()
    );
    let bearerd = Setup::new(endpoint.canaries()).file(&text, &["open"]).start_ready();
    bearerd.send(&Request::get("/x").field("Authorization", "Basic bWluZQ==")).expect(200);
    assert!(!upstream.only_request().head.fields.has("authorization"));
}
