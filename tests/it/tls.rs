//! https towards the token endpoint and the upstream, with a given CA.

use crate::support::tls_front::Authority;
use crate::support::{Setup, TokenEndpoint, Tokens, Upstream};

/// Token endpoint and upstream behind TLS under `name`, and a bearerd that trusts `trusted` alone.
fn stage(name: &str, servers: &Authority, trusted: &Authority, year: i32) -> (TokenEndpoint, Upstream, Setup) {
    let tokens = Tokens::new(300);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    let token_port = servers.front_until(name, endpoint.address(), year).port();
    let api_port = servers.front_until(name, upstream.address(), year).port();
    let setup = Setup::new(endpoint.canaries());
    trusted.file(setup.directory(), "ca.pem");
    endpoint.canaries().add_basic("svc", "tls-canary-secret");
    let credential = format!(
        "token_endpoint = \"https://localhost:{token_port}/token\"\nclient_id = \"svc\"\n\
         client_secret = \"tls-canary-secret\"\ntls = {{ ca = \"ca.pem\" }}\nrefresh = {{ wait = \"300ms\" }}\n"
    );
    let setup = setup.credential_only(&format!("https://localhost:{api_port}"), &credential);
    (endpoint, upstream, setup.route("tls = { ca = \"ca.pem\" }"))
}

#[test]
fn https_with_a_given_ca_on_both_sides() {
    let authority = Authority::new();
    let (endpoint, upstream, setup) = stage("localhost", &authority, &authority, 4096);
    // A request that was rejected waits for the new token no longer than this, and handshakes take their time.
    let text = setup.text().replace("wait = \"300ms\"", "wait = \"10s\"");
    let bearerd = setup.file(&text, &["api"]).start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    let host = upstream.requests()[0].head.fields.first("host").unwrap().to_owned();
    assert!(host.starts_with("localhost:"), "{host}");
    let location = format!("https://{host}/next");
    upstream.on("/moved", move |exchange| exchange.answer(302, &[("Location", &location)], ""));
    let ours = format!("http://{}/next", bearerd.address());
    assert_eq!(bearerd.get("/moved").expect(302).field("location"), Some(ours.as_str()));
}

#[test]
fn a_token_endpoint_with_another_ca_gets_no_secret() {
    let (endpoint, _upstream, setup) = stage("localhost", &Authority::new(), &Authority::new(), 4096);
    let bearerd = setup.start();
    bearerd.wait_for_log("T011", 5.0);
    bearerd.get("/items").expect_problem(503, "T011");
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn a_token_endpoint_of_another_name_gets_no_secret() {
    let authority = Authority::new();
    let (endpoint, _upstream, setup) = stage("elsewhere.example", &authority, &authority, 4096);
    let bearerd = setup.start();
    bearerd.wait_for_log("T011", 5.0);
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn a_certificate_that_is_over_is_refused() {
    let authority = Authority::new();
    let (endpoint, _upstream, setup) = stage("localhost", &authority, &authority, 2020);
    let bearerd = setup.start();
    bearerd.wait_for_log("T011", 5.0);
    let line = bearerd.log_with("T011").join("\n").to_lowercase();
    assert!(line.contains("expired") || line.contains("no longer valid"), "{line}");
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn an_upstream_with_another_ca_gets_no_token() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (_endpoint, upstream, setup) = stage("localhost", &authority, &authority, 4096);
    let strange = other.front("localhost", upstream.address()).port();
    let bearerd = setup.upstream(&format!("https://localhost:{strange}")).start_ready();
    bearerd.get("/items").expect_problem(502, "U003");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_name_given_for_tls_is_the_one_that_is_checked() {
    let authority = Authority::new();
    let (_endpoint, upstream, setup) = stage("api.internal.example", &authority, &authority, 4096);
    let text = setup
        .text()
        .replace("tls = { ca = \"ca.pem\" }", "tls = { ca = \"ca.pem\", server_name = \"api.internal.example\" }");
    let bearerd = setup.file(&text, &["api"]).start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_ca_file_that_is_none_is_a_mistake_at_the_start() {
    let authority = Authority::new();
    let (_endpoint, _upstream, setup) = stage("localhost", &authority, &authority, 4096);
    for content in [None, Some("no certificate"), Some("")] {
        let path = setup.directory().join("ca.pem");
        match content {
            Some(content) => std::fs::write(path, content).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let ended = setup.run_verb("run").expect_code(78);
        assert!(ended.told().contains("ca.pem") && ended.told().contains("F011"), "{}", ended.told());
    }
}
