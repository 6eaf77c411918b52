//! `check --fetch`: one screen that says what works, what does not, and what most likely cures it.
//!
//! Every server here fails in its own way; none is asked twice, and no screen shows a secret ([`finish`] looks).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::connect_proxy::{ConnectProxy, Mood};
use crate::support::listener::Listener;
use crate::support::tls_front::Authority;
use crate::support::{Ended, Reply, Setup, TokenEndpoint, Tokens, finish, stage};

#[track_caller]
fn check(setup: &Setup) -> Ended {
    let mut command = setup.command("check");
    command.arg("--fetch");
    let ended = finish(command, setup.canaries());
    let screen = &ended.stdout;
    assert!(
        screen.lines().all(|line| line.chars().count() <= 100 || !line.starts_with("  ") || line.contains("→ http")),
        "{screen}"
    );
    assert!(screen.lines().count() <= 40, "more than a screen:\n{screen}");
    ended
}

/// The screen without the breaks of its lines.
fn flat(ended: &Ended) -> String {
    ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checks that the screen has all of these, in this order.
#[track_caller]
fn expect(ended: &Ended, wanted: &[&str]) {
    let flat = flat(ended);
    let mut rest = flat.as_str();
    for part in wanted {
        let Some((_, after)) = rest.split_once(part) else { panic!("{part:?} does not come in\n{}", ended.told()) };
        rest = after;
    }
}

fn jwt(tokens: &Tokens, claims: &str) -> String {
    let token = format!("eyJhbGciOiJFUzI1NiJ9.{}.c2lnbmF0dXJl{}", URL_SAFE_NO_PAD.encode(claims), tokens.issue().len());
    tokens.register(&token);
    token
}

/// The usual setup with its token endpoint behind TLS of this authority.
fn over_tls(authority: &Authority, trusted: bool) -> (TokenEndpoint, Setup) {
    let (endpoint, _upstream, setup) = stage(300);
    let port = authority.front("localhost", endpoint.address()).port();
    authority.file(setup.directory(), "ca.pem");
    let url = format!("https://localhost:{port}/token");
    let tls = if trusted { "tls = { ca = \"ca.pem\" }" } else { "" };
    let text = setup
        .text()
        .replace(&endpoint.url(), &url)
        .replace("[credentials.api]\n", &format!("[credentials.api]\n{tls}\n"));
    (endpoint, setup.file(&text, &["api"]))
}

#[test]
fn every_step_that_works_is_ticked() {
    let authority = Authority::new();
    let (endpoint, setup) = over_tls(&authority, true);
    setup.canaries().add("refresh-token-canary");
    endpoint.always(Reply::custom(|_, tokens| {
        let token = jwt(
            tokens,
            r#"{"iss":"https://login.example.com","aud":"account","sub":"svc","iat":1700000000,"exp":4000000000}"#,
        );
        let body = format!(
            r#"{{"access_token":"{token}","expires_in":300,"scope":"read","refresh_token":"refresh-token-canary"}}"#
        );
        Reply::json(200, body)
    }));
    let text = setup
        .text()
        .replace("[credentials.api]\n", "[credentials.api]\naudience = \"https://api\"\nscope = \"read write\"\n");
    let ended = check(&setup.file(&text, &["api"])).expect_code(0);
    expect(
        &ended,
        &[
            "credentials.api: client_credentials, by client_secret_basic, at https://localhost:",
            "✓ name localhost is 127.0.0.1, ::1",
            "✓ connect localhost:",
            " ms, TLS included",
            "✓ TLS 1.3, certificate for localhost by CN=",
            "days left",
            "✓ answer 200 after",
            "✓ token lives for 5m (/expires_in of the answer); a JWT",
            "! scope \"read\", without what was asked for too: write",
            "- refresh a refresh token came and will be used",
            "- claims iss: \"https://login.example.com\"",
            "aud: \"account\"",
            "exp: 4000000000 (2096-",
            "! audience aud is not \"https://api\"",
        ],
    );
    assert_eq!(endpoint.count(), 1);
}

/// A server that refuses with this answer; the screen must end in this cure. It is asked once.
#[track_caller]
fn refused(lines: &str, reply: Reply, code: i32, wanted: &[&str]) -> String {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(reply);
    let ended = check(&setup.credential(lines)).expect_code(code);
    expect(&ended, wanted);
    assert_eq!(endpoint.count(), 1, "it was tried again\n{}", ended.told());
    ended.told()
}

fn refusal(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, format!(r#"{{"error":"{error}","error_description":"{description}"}}"#))
}

#[test]
fn the_wrong_style_of_client_authentication_is_told_and_not_tried() {
    let invalid = || refusal(401, "invalid_client", "Client authentication failed");
    let wrong = "→ cure id or secret are wrong";
    let basic =
        ["✗ answer T021", "401", wrong, "or try client_authentication = \"client_secret_post\"", "basic_encoding"];
    refused("", invalid(), 77, &basic);
    let post = "client_authentication = \"client_secret_post\"";
    refused(post, invalid(), 77, &[wrong, "or try client_authentication = \"client_secret_basic\""]);
    let counted = [wrong, "lockout is on: each wrong try may count"];
    refused("lockout = true", invalid(), 77, &counted);
}

#[test]
fn vendors_words_lead_to_their_cures() {
    let auth0 = refusal(403, "access_denied", "Non-global clients are not allowed access to APIs");
    refused("", auth0, 77, &["✗ answer", "→ cure write audience ="]);
    let entra = refusal(400, "invalid_scope", "AADSTS1002012: The provided value for scope https://api is not valid.");
    refused(
        "scope = \"https://api\"",
        entra,
        77,
        &["AADSTS1002012", "→ cure client credentials want one scope that ends in /.default"],
    );
    let okta =
        refusal(400, "invalid_scope", "The authorization server resource does not have any configured default scopes");
    refused("", okta, 77, &["→ cure write scope ="]);
    let password = "username = \"u\"\npassword = \"password-canary-77\"";
    let wrong = refusal(400, "invalid_grant", "Invalid user credentials");
    refused(
        password,
        wrong,
        77,
        &["credentials.api: password", "→ cure user name or password are wrong", "each wrong try counts"],
    );
    let locked = refusal(400, "invalid_grant", "Account locked due to too many failed attempts");
    refused(password, locked, 77, &["→ cure have the account unlocked at the server first"]);
    refused("", refusal(400, "unauthorized_client", ""), 77, &["→ cure allow the grant \"client_credentials\""]);
}

#[test]
fn the_wrong_place_the_wrong_form_and_a_server_in_trouble_are_told() {
    let page = || Reply::text(404, "text/html", "<!DOCTYPE html><html><head><title>Sign in</title></head></html>");
    refused(
        "",
        page(),
        77,
        &["T020", "titled \"Sign in\"", "→ cure a web page answers at this path: correct token_endpoint"],
    );
    let ok = Reply::text(200, "text/html", "<html><body>Welcome</body></html>");
    refused("", ok, 1, &["T015", "→ cure a web page answers at this path"]);
    refused("", Reply::json(404, r#"{"message":"no such route"}"#), 77, &["→ cure nothing is at this path"]);
    refused("", Reply::json(405, "{}"), 77, &["→ cure the path is wrong, or method = \"POST\""]);
    refused("", Reply::json(415, "{}"), 77, &["→ cure try encoding = \"json\""]);
    refused("encoding = \"json\"", refusal(400, "unsupported_grant_type", ""), 77, &["→ cure", "encoding = \"form\""]);
    let elsewhere = Reply::json(302, "").with("Location", "https://login.example.com/signin?x=1");
    refused("", elsewhere, 77, &["T022", "https://login.example.com/signin)", "→ cure this is where people sign in"]);
    let busy = Reply::json(429, "{}").with("Retry-After", "17");
    refused("", busy, 1, &["T014", "→ cure wait 17s"]);
    refused("", Reply::json(503, "{}"), 1, &["T013", "→ cure the server or a gateway before it is down"]);
    let wrapped = Reply::json(200, r#"{"data":{"token":"x"}}"#);
    refused(
        "",
        wrapped,
        1,
        &["T016", "the answer has: data", "→ cure say where the token is: access_token = \"/data/token\""],
    );
    let worded = Reply::json(200, r#"{"success":false,"message":"Client unknown"}"#);
    refused("", worded, 1, &["T016", "→ cure the server says why there is no token, most likely:", "Client unknown"]);
    let bare = Reply::json(200, "\"ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5\"");
    let ended = refused("", bare, 1, &["T016", "→ cure say where the token is: access_token = \"\""]);
    assert!(!ended.contains("ghp_"), "{ended}");
    let empty = Reply::json(200, r#"{"access_token":null,"expires_in":60}"#);
    refused("", empty, 1, &["T016", "/access_token is null", "→ cure the server names a token and gives none"]);
    refused(
        "",
        Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        1,
        &["✗ answer T015", "→ cure what answers does not speak HTTP"],
    );
}

#[test]
fn a_clock_that_is_wrong_is_told_where_the_server_compares_it() {
    let skewed =
        refusal(400, "invalid_client", "JWT is not yet valid (iat)").with("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let (endpoint, _upstream, setup) = stage(300);
    std::fs::write(setup.directory().join("key.pem"), key).unwrap();
    endpoint.always(skewed);
    let secret = format!("client_secret = \"{}\"\n", crate::support::setup::CLIENT_SECRET);
    let text = setup.text().replace(&secret, "client_assertion = { key = { file = \"key.pem\" } }\n");
    let ended = check(&setup.file(&text, &["api"])).expect_code(77);
    expect(
        &ended,
        &[
            "by an assertion",
            "! clock this machine's is",
            "ahead of the server's",
            "✗ answer T021",
            "→ cure set this machine's clock",
        ],
    );
}

#[test]
fn a_way_that_does_not_lead_there_is_told_by_its_step() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.go_down();
    expect(&check(&setup).expect_code(1), &["✗ connect T010", "→ cure check host and port"]);
    let nowhere = setup.clone().file(&setup.text().replace(&endpoint.url(), "https://nowhere.invalid/token"), &["api"]);
    expect(&check(&nowhere).expect_code(1), &["✗ name T010", "nowhere.invalid", "→ cure check host", "or HTTPS_PROXY"]);
}

#[test]
fn what_is_wrong_with_tls_is_told_with_its_cure() {
    let authority = Authority::new();
    let (endpoint, setup) = over_tls(&authority, false);
    let unknown = [
        "✓ connect localhost:",
        "✗ TLS T011",
        "not trusted",
        "→ cure name the authority that signed it",
        "breaks TLS open",
    ];
    expect(&check(&setup).expect_code(1), &unknown);
    assert_eq!(endpoint.count(), 0, "something was sent");
    let (endpoint, _upstream, setup) = stage(300);
    authority.file(setup.directory(), "ca.pem");
    let with = |url: &str| {
        let text = setup.text().replace(&endpoint.url(), url);
        setup
            .clone()
            .file(&text.replace("[credentials.api]\n", "[credentials.api]\ntls = { ca = \"ca.pem\" }\n"), &["api"])
    };
    let expired = authority.front_until("localhost", endpoint.address(), 2020).port();
    let ended = check(&with(&format!("https://localhost:{expired}/token"))).expect_code(1);
    expect(&ended, &["✗ TLS T011", "expired on 2020", "→ cure check this machine's clock, which says 20"]);
    let other = authority.front("other.example", endpoint.address()).port();
    let ended = check(&with(&format!("https://localhost:{other}/token"))).expect_code(1);
    expect(&ended, &["✗ TLS", "not for 'localhost' but for other.example", "→ cure write a host", "server_name"]);
    let ended = check(&with(&format!("https://{}/token", endpoint.address()))).expect_code(1);
    expect(&ended, &["✓ connect", "✗ TLS T012", "handshake within", "→ cure the port may not speak TLS"]);
    let talkative = Listener::start(Arc::new(|stream: Arc<TcpStream>| {
        let _ = (&*stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // What is left unread would make it a reset.
        let _ = (&*stream).read(&mut [0; 4096]);
    }));
    let ended = check(&with(&format!("https://{}/token", talkative.address()))).expect_code(1);
    expect(&ended, &["✓ connect", "✗ TLS T011", "does not speak TLS", "→ cure another port, or http://"]);
    // And the other way round: plain http to a port that speaks TLS.
    let front = authority.front("localhost", endpoint.address());
    let ended = check(&with(&format!("http://{front}/token"))).expect_code(1);
    expect(&ended, &["- TLS none: plain http", "✗ answer", "→ cure", "write https://"]);
}

#[test]
fn a_proxy_on_the_way_is_told_and_its_login_is_tried_once() {
    let (endpoint, _upstream, setup) = stage(300);
    let proxy = ConnectProxy::start(Mood::Open);
    let through = |url: &str| setup.clone().credential(&format!("proxy = \"{url}\""));
    let ended = check(&through(&proxy.url())).expect_code(0);
    expect(&ended, &["✓ connect", &format!("through the proxy http://{}", proxy.address()), "✓ answer 200"]);
    assert_eq!(endpoint.count(), 1);
    proxy.turn(Mood::Login("user:right"));
    let before = proxy.seen().len();
    let ended = check(&through(&proxy.url_for("user:wrong-canary"))).expect_code(77);
    expect(&ended, &["✗ proxy T024", "407", "→ cure give the proxy a login", "goes without the proxy"]);
    assert_eq!(proxy.seen().len() - before, 1, "a login was tried twice");
    proxy.turn(Mood::Says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
    expect(
        &check(&through(&proxy.url())).expect_code(1),
        &["✗ proxy T024", "→ cure the proxy's rules must allow 127.0.0.1"],
    );
    expect(
        &check(&through("http://127.0.0.1:1")).expect_code(1),
        &["✗ proxy T017", "→ cure check the proxy's address"],
    );
}

#[test]
fn an_issuers_metadata_are_a_step_and_a_refresh_token_is_left_alone() {
    let (endpoint, _upstream, setup) = stage(300);
    let base = format!("http://{}", endpoint.address());
    let issuer = base.clone();
    endpoint.always(Reply::custom(move |request, tokens| match request.target.as_str() {
        "/.well-known/openid-configuration" => {
            Reply::json(200, format!(r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/t"}}"#))
        }
        "/t" => Reply::json(200, format!(r#"{{"access_token":"{}","expires_in":60}}"#, tokens.issue())),
        _ => Reply::json(404, "{}"),
    }));
    let by_issuer = |issuer: &str| {
        let text = setup
            .text()
            .replace(&format!("token_endpoint = \"{}\"", endpoint.url()), &format!("issuer = \"{issuer}\""));
        setup.clone().file(&text, &["api"])
    };
    expect(
        &check(&by_issuer(&base)).expect_code(0),
        &["at issuer http://", &format!("✓ issuer its metadata name {base}/t"), "✓ answer"],
    );
    let ended = check(&by_issuer(&format!("{base}/other"))).expect_code(1);
    expect(&ended, &["✗ issuer T018", "→ cure read the document from here"]);
    let before = endpoint.count();
    std::fs::create_dir(setup.directory().join("state")).unwrap();
    setup.secret_file("refresh", "first-refresh-canary");
    let refreshing = setup.top("state_directory = \"state\"");
    let refreshing = refreshing.credential("grant_type = \"refresh_token\"\nrefresh_token = { file = \"refresh\" }");
    expect(
        &check(&refreshing).expect_code(0),
        &["refresh_token, by client_secret_basic", "- answer not asked for a token"],
    );
    assert_eq!(endpoint.count(), before);
}
