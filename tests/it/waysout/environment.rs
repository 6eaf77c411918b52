//! `HTTPS_PROXY` and its relatives.

use crate::support::connect_proxy::{ConnectProxy, Mood};
use crate::support::tls_front::Authority;
use crate::support::{Setup, TokenEndpoint, Upstream, stage};

/// The upstream is `api.example`, reachable through the proxy alone; the token endpoint is on loopback.
fn stage_behind(proxy: &ConnectProxy) -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    proxy.lead("api.example:80", upstream.address());
    let setup = setup.upstream("http://api.example").route("allow_plain_http = true");
    (endpoint, upstream, setup)
}

#[test]
fn variables_of_the_environment_name_the_proxy_and_never_apply_to_loopback() {
    let proxy = ConnectProxy::start(Mood::Login("robot:env-canary"));
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let (endpoint, upstream, setup) = stage_behind(&proxy);
        endpoint.canaries().add_basic("robot", "env-canary");
        let before = proxy.seen().len();
        let bearerd = setup.env(name, &proxy.url_for("robot:env-canary")).start_ready();
        bearerd.get("/items").expect(200);
        assert_eq!(upstream.count(), 1, "{name}");
        assert_eq!(proxy.targets()[before..], ["api.example:80"], "{name}: the token endpoint is loopback");
    }
}

#[test]
fn https_has_a_variable_of_its_own() {
    let (proxy, wrong) = (ConnectProxy::start(Mood::Open), ConnectProxy::start(Mood::Open));
    let authority = Authority::new();
    let (_endpoint, upstream, setup) = stage(300);
    proxy.lead("api.example:443", authority.front("api.example", upstream.address()));
    authority.file(setup.directory(), "ca.pem");
    let setup = setup.upstream("https://api.example").route("tls = { ca = \"ca.pem\" }");
    let setup = setup.env("HTTPS_PROXY", &proxy.url()).env("HTTP_PROXY", &wrong.url()).env("ALL_PROXY", &wrong.url());
    setup.start_ready().get("/items").expect(200);
    assert_eq!((proxy.targets(), wrong.seen().len()), (vec!["api.example:443".to_owned()], 0));
}

#[test]
fn no_proxy_and_none_mean_directly() {
    let proxy = ConnectProxy::start(Mood::Open);
    let (_endpoint, _upstream, setup) = stage_behind(&proxy);
    let setup = setup.env("http_proxy", &proxy.url());
    // Directly there is no such name.
    let direct = [
        setup.clone().env("NO_PROXY", "localhost,.example"),
        setup.clone().env("no_proxy", "api.example:80"),
        setup.clone().route("proxy = \"none\""),
    ];
    for setup in direct {
        setup.start_ready().get("/items").expect_problem(502, "U002");
    }
    assert_eq!(proxy.seen().len(), 0);
    let through = setup.env("NO_PROXY", "*").route(&format!("proxy = \"{}\"", proxy.url()));
    through.start_ready().get("/items").expect(200);
}

#[test]
fn a_variable_that_names_no_http_proxy_is_a_mistake_and_no_direct_connection() {
    let proxy = ConnectProxy::start(Mood::Open);
    let (endpoint, _upstream, setup) = stage_behind(&proxy);
    endpoint.canaries().add("socks-canary");
    let ended =
        setup.clone().env("ALL_PROXY", "socks5://u:socks-canary@127.0.0.1:1080").run_verb("check").expect_code(78);
    assert!(ended.stderr.contains("ALL_PROXY: F005: SOCKS proxies are not supported"), "{}", ended.stderr);
    setup.route("proxy = \"none\"").env("ALL_PROXY", "socks5://127.0.0.1:1080").run_verb("check").expect_code(0);
}
