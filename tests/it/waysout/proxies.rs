//! Through an HTTP proxy, by CONNECT, on both sides.

use crate::support::connect_proxy::{ConnectProxy, Mood};
use crate::support::tls_front::Authority;
use crate::support::{Request, Setup, TokenEndpoint, Tokens, Upstream, stage};

/// The usual three with this proxy between bearerd and both servers.
pub(super) fn behind(proxy: &str) -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    let line = format!("proxy = {proxy}");
    (endpoint, upstream, setup.route(&line).credential(&line))
}

#[test]
fn requests_and_token_requests_go_through_the_proxy_by_connect() {
    let proxy = ConnectProxy::start(Mood::Open);
    let (endpoint, upstream, setup) = behind(&format!("\"{}\"", proxy.url()));
    let bearerd = setup.top("workers = 1").start_ready();
    for _ in 0..3 {
        bearerd.send(&Request::post("/items", "secret body").field("Proxy-Authorization", "Basic x")).expect(200);
    }
    let targets = [endpoint.address().to_string(), upstream.address().to_string()];
    assert_eq!(proxy.targets(), targets, "one way for each side, and the kept one is used again");
    for head in proxy.seen() {
        assert_eq!(head.word(0), "CONNECT");
        assert_eq!(head.fields.all("host"), [head.word(1)]);
        assert!(!head.fields.has("authorization") && !head.fields.has("proxy-authorization"), "{head:?}");
    }
    for seen in upstream.requests() {
        assert!(seen.raw_head().starts_with("POST /items HTTP/1.1\r\n"), "{}", seen.raw_head());
        assert!(!seen.head.fields.has("proxy-authorization"), "{}", seen.raw_head());
    }
    let line = bearerd.log_with("via proxy");
    assert!(
        line.iter().any(|line| line.contains(&format!("with \\\"api\\\" via proxy {}", proxy.address()))),
        "{line:?}"
    );
    assert!(line.iter().any(|line| line.contains("asks")), "{line:?}");
}

#[test]
fn check_says_which_proxy_is_used() {
    let proxy = ConnectProxy::start(Mood::Login("robot:proxy-canary-1"));
    let (endpoint, _upstream, setup) = behind(&format!("\"{}\"", proxy.url_for("robot:proxy-canary-1")));
    endpoint.canaries().add_basic("robot", "proxy-canary-1");
    let ended = setup.run_verb("check").expect_code(0);
    assert_eq!(ended.stdout.matches(&format!("via proxy {}", proxy.address())).count(), 2, "{}", ended.stdout);
    assert_eq!(proxy.seen().len(), 0, "check connects to nobody");
}

#[test]
fn the_login_is_sent_to_the_proxy_and_to_nobody_else() {
    let login = "dom\\robot:p@ss/w:rd-canary";
    let proxy = ConnectProxy::start(Mood::Login(login));
    let url = proxy.url_for("dom%5Crobot:p%40ss%2Fw:rd-canary");
    let (endpoint, upstream, setup) = behind("{ file = \"proxy_url\" }");
    endpoint.canaries().add_basic("dom\\robot", "p@ss/w:rd-canary");
    setup.secret_file("proxy_url", &format!("{url}\n"));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    assert!(proxy.seen().iter().all(|head| head.fields.all("proxy-authorization").len() == 1));
    assert!(!upstream.only_request().head.fields.has("proxy-authorization"));
    assert!(endpoint.requests().iter().all(|request| !request.fields.has("proxy-authorization")));
}

#[test]
fn https_goes_through_the_proxy_unread() {
    let authority = Authority::new();
    let tokens = Tokens::new(300);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    let proxy = ConnectProxy::start(Mood::Open);
    proxy.lead("login.example:443", authority.front("login.example", endpoint.address()));
    proxy.lead("api.example:8443", authority.front("api.example", upstream.address()));
    let setup = Setup::new(endpoint.canaries());
    authority.file(setup.directory(), "ca.pem");
    let lines = format!("proxy = \"{}\"\ntls = {{ ca = \"ca.pem\" }}", proxy.url());
    let credential = format!("token_endpoint = \"https://login.example/token\"\nclient_id = \"svc\"\n{lines}");
    let bearerd = setup.credential_only("https://api.example:8443", &credential).route(&lines).start_ready();
    // Neither name exists: only the proxy knows where they lead.
    bearerd.get("/items").expect(200);
    assert_eq!(upstream.only_request().head.fields.first("host"), Some("api.example:8443"));
    assert_eq!(proxy.targets(), ["login.example:443", "api.example:8443"]);
}

#[test]
fn a_proxy_whose_url_is_https_is_spoken_to_by_tls() {
    let authority = Authority::new();
    let tokens = Tokens::new(300);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    let proxy = ConnectProxy::start(Mood::Login("robot:tls-proxy-canary"));
    let front = authority.front("localhost", proxy.address());
    proxy.lead("api.example:443", authority.front("api.example", upstream.address()));
    let setup = Setup::between(&upstream, &endpoint);
    endpoint.canaries().add_basic("robot", "tls-proxy-canary");
    let ca = authority.file(setup.directory(), "ca.pem");
    let url = format!("proxy = \"https://robot:tls-proxy-canary@localhost:{}\"", front.port());
    let setup = setup.upstream("https://api.example").route(&url).route("tls = { ca = \"ca.pem\" }").credential(&url);
    // The proxy's own certificate is checked against the machine's authorities.
    let trusting = setup.clone().env("SSL_CERT_FILE", ca.to_str().unwrap());
    trusting.start_ready().get("/items").expect(200);
    let asked = proxy.seen().len();
    let bearerd = setup.start();
    bearerd.wait_for_log("T017", 10.0);
    assert_eq!(proxy.seen().len(), asked, "a proxy that is not trusted is asked for nothing");
}

#[test]
fn a_token_revoked_behind_a_proxy_is_healed() {
    let proxy = ConnectProxy::start(Mood::Open);
    let (endpoint, _upstream, setup) = behind(&format!("\"{}\"", proxy.url()));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    bearerd.send(&Request::post("/items", vec![b'x'; 40_000])).expect(200);
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}
