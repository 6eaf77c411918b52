//! The main job: an application that knows nothing of OAuth gets through to a token-protected API.

use crate::support::wire::Wire;
use crate::support::{Request, Standing, stage};

#[test]
fn a_request_without_a_token_arrives_with_one() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let response = bearerd.get("/items/7?q=a%20b").expect(200);
    assert_eq!(response.json()["target"], "/items/7?q=a%20b");
    let seen = upstream.only_request();
    assert_eq!(seen.standing, Standing::Live);
    assert_eq!(seen.head.fields.all("authorization"), [format!("Bearer {}", endpoint.tokens().issued()[0])]);
    assert_eq!(endpoint.count(), 1);
    bearerd.stop();
}

#[test]
fn many_requests_cost_one_token_request() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for n in 0..50 {
        bearerd.get(&format!("/items/{n}")).expect(200);
    }
    assert_eq!(upstream.with_token(Standing::Live), 50);
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn a_request_that_comes_before_the_first_token_waits_for_it() {
    let (endpoint, upstream, setup) = stage(300);
    endpoint.always(crate::support::Reply::Token.late(1.5));
    let bearerd = setup.start();
    let answers = crate::support::client::burst(bearerd.address(), 20, |_| Request::get("/early"));
    assert_eq!(crate::support::client::statuses(&answers), [(200, 20)].into());
    assert_eq!(upstream.with_token(Standing::Live), 20);
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn the_token_request_is_the_one_of_the_rfc() {
    let (endpoint, _upstream, setup) = stage(300);
    let _bearerd = setup.start_ready();
    let request = endpoint.requests().remove(0);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/token"));
    assert_eq!(request.form(), [("grant_type".to_owned(), "client_credentials".to_owned())]);
    assert_eq!(request.fields.first("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.fields.first("accept-encoding"), Some("identity"));
    // RFC 6749 §2.3.1: id and secret are form-encoded before they are joined.
    assert_eq!(request.basic().as_deref(), Some("svc:cs%2Fcanary%2Bclient+secret-9f31"));
}

#[test]
fn audience_scope_and_password_all_reach_the_token_endpoint() {
    let (endpoint, _upstream, setup) = stage(300);
    let setup = setup.credential(
        "audience = \"https://api.example.com\"\nscope = \"items:read items:write\"\n\
         username = \"robot@example.com\"\npassword = \"pw&canary=7Q\"",
    );
    endpoint.canaries().add("pw&canary=7Q");
    let _bearerd = setup.start_ready();
    let request = endpoint.requests().remove(0);
    for (name, value) in [
        ("grant_type", "password"),
        ("audience", "https://api.example.com"),
        ("scope", "items:read items:write"),
        ("username", "robot@example.com"),
        ("password", "pw&canary=7Q"),
    ] {
        assert_eq!(request.field(name).as_deref(), Some(value), "{name} in {}", request.text());
    }
}

#[test]
fn the_callers_own_authorization_is_replaced() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let request = Request::get("/items").field("Authorization", "Basic bWU6bWU=").field("authorization", "Bearer old");
    bearerd.send(&request).expect(200);
    let seen = upstream.only_request();
    assert_eq!(seen.head.fields.all("authorization"), [format!("Bearer {}", endpoint.tokens().issued()[0])]);
    assert!(!seen.raw_head().contains("bWU6bWU="), "{}", seen.raw_head());
}

#[test]
fn connection_lines_cannot_remove_our_header() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let request = Request::get("/items")
        .field("Connection", "close, x-first")
        .field("Connection", "Authorization, X-Second")
        .field("X-First", "1")
        .field("X-Second", "2")
        .field("X-Third", "3");
    bearerd.send(&request).expect(200);
    let fields = upstream.only_request().head.fields;
    assert_eq!(fields.all("authorization").len(), 1);
    assert!(!fields.has("x-first") && !fields.has("x-second"), "{fields:?}");
    assert_eq!(fields.first("x-third"), Some("3"));
    assert!(fields.all("connection").iter().all(|value| !value.to_lowercase().contains("authorization")));
}

#[test]
fn hop_by_hop_fields_end_here() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let hops = ["Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE", "Upgrade", "HTTP2-Settings"];
    let request = hops.iter().fold(Request::get("/items"), |request, name| {
        let value = match *name {
            "TE" => "gzip",
            "Upgrade" => "h2c",
            _ => "timeout=5",
        };
        request.field(name, value)
    });
    bearerd.send(&request.field("Connection", "Upgrade, HTTP2-Settings, TE")).expect(200);
    let fields = upstream.only_request().head.fields;
    for name in hops {
        assert!(!fields.has(name), "{name} was forwarded: {fields:?}");
    }
}

#[test]
fn aliases_of_the_injected_header_are_removed() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/items").field("Author_ization", "Bearer evil").field("X_Other", "kept")).expect(200);
    // An underscore elsewhere is none of our business.
    bearerd.send(&Request::get("/items").field("aUTHORIZATION", "Bearer evil")).expect(200);
    for seen in upstream.requests() {
        assert!(!seen.raw_head().contains("evil"), "{}", seen.raw_head());
        assert_eq!(seen.head.fields.all("authorization").len(), 1);
    }
    assert_eq!(upstream.requests()[0].head.fields.first("x_other"), Some("kept"));
}

#[test]
fn aliases_of_a_header_with_dashes_are_removed_too() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.expect_token_in("x-api-key", "");
    let setup = setup.section("[credentials.api.inject]\nheader = \"X-Api-Key\"\nscheme = \"\"");
    let bearerd = setup.start_ready();
    let request = ["X_Api_Key", "X-Api_Key", "x_api-key", "X-API-KEY"]
        .iter()
        .fold(Request::get("/items"), |request, name| request.field(name, "evil"));
    bearerd.send(&request).expect(200);
    let seen = upstream.only_request();
    assert!(!seen.raw_head().contains("evil"), "{}", seen.raw_head());
    assert_eq!(seen.head.fields.all("x-api-key"), [endpoint.tokens().issued()[0].as_str()]);
}

#[test]
fn a_trailer_cannot_carry_a_second_token() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::post("/items", "").field("Host", "localhost").field("Trailer", "Authorization, X-Sum");
    let head = head.head_text(bearerd.address());
    let head = head.replace("Content-Length: 0", "Transfer-Encoding: chunked");
    wire.send(format!("{head}5\r\nhello\r\n0\r\nAuthorization: Bearer EVIL\r\nX-Sum: 7\r\n\r\n")).unwrap();
    crate::support::client::read_response(&mut wire, "POST").unwrap().expect(200);
    let seen = upstream.only_request();
    assert_eq!(seen.body, b"hello");
    assert!(!seen.trailers.has("authorization"), "{:?}", seen.trailers);
    assert_eq!(seen.head.fields.all("authorization").len(), 1);
}

#[test]
fn a_route_without_a_credential_forwards_the_callers_authorization() {
    let (endpoint, upstream, setup) = stage(300);
    let setup = setup
        .section(&format!("[routes.open]\npath = \"/open\"\nupstream = \"{}\"\ncredential = \"none\"", upstream.url()))
        .routes(&["api", "open"]);
    upstream.on("/x", |exchange| exchange.answer(200, &[], "open"));
    let bearerd = setup.start_ready();
    let request = Request::get("/open/x").field("Authorization", "Basic bWU6bWU=");
    request.send(bearerd.address_of("open")).expect(200);
    assert_eq!(upstream.only_request().head.fields.all("authorization"), ["Basic bWU6bWU="]);
    assert_eq!(endpoint.tokens().issued().len(), 1);
}

#[test]
fn the_first_line_of_the_log_says_what_goes_where() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let line = bearerd.log_with("\"listening\"").join("\n");
    for part in [bearerd.address().to_string(), upstream.address().to_string(), "api".to_owned()] {
        assert!(line.contains(&part), "{part} is not in {line}");
    }
}

#[test]
fn one_line_a_token_and_none_a_request() {
    let (endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.wait_for_log("token issued", 5.0);
    let before = bearerd.log().len();
    for _ in 0..20 {
        bearerd.get("/items").expect(200);
    }
    assert_eq!(bearerd.log().len(), before, "{:?}", bearerd.log());
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    let added = bearerd.log().len() - before;
    assert!((1..=4).contains(&added), "{:#?}", bearerd.log());
}

#[test]
fn no_secret_is_logged_even_at_trace_level() {
    let (endpoint, _upstream, setup) = stage(2);
    let text = setup.text().replace("level = \"info\"", "level = \"trace\"");
    let bearerd = setup.file(&text, &["api"]).start_ready();
    bearerd.send(&Request::post("/items", "hello")).expect(200);
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    let error = r#"{"error":"invalid_request","error_description":"got cs/canary+client secret-9f31 and tok"}"#;
    endpoint.next([crate::support::Reply::json(400, error)]);
    endpoint.wait_for(3, 5.0);
    bearerd.wait_for_log("invalid_request", 5.0);
    // What is printed, the metrics and the status page are searched when `bearerd` is dropped.
}
