//! Grants and client authentication beyond a secret, and discovery: what goes over the wire, and what becomes of it.

use std::collections::HashSet;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::support::rotating::Rotating;
use crate::support::tls_front::Authority;
use crate::support::{Reply, Request, Setup, TokenEndpoint, Upstream, eventually, seconds, stage};

const KEY: &str = include_str!("../../src/jose/keys/p256.pkcs8.pem");
const JWK: &str = include_str!("../../src/jose/keys/p256.jwk");

/// A setup whose credential is `lines` alone, beside the token endpoint.
fn with_credential(endpoint: &TokenEndpoint, upstream: &Upstream, lines: &str) -> Setup {
    let credential = format!("token_endpoint = \"{}\"\n{lines}\n", endpoint.url());
    Setup::new(endpoint.canaries()).credential_only(&upstream.url(), &credential)
}

/// Checks the signature and gives back header and claims.
fn verified(jwt: &str) -> (Value, Value) {
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let jwk: Value = serde_json::from_str(JWK).unwrap();
    let point = ["x", "y"].map(|member| decoded(jwk[member].as_str().unwrap())).concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], point].concat());
    key.verify(signed.as_bytes(), &decoded(signature)).expect("a signature of the configured key");
    let json = |part: &str| serde_json::from_slice(&decoded(part)).unwrap();
    (json(header), json(claims))
}

#[test]
fn a_client_proves_itself_with_an_assertion_of_its_own_at_each_request() {
    let (endpoint, upstream, _) = stage(2);
    let lines = "client_id = \"svc\"\nclient_assertion = { key = { file = \"key.pem\" }, key_id = \"k1\" }";
    let setup = with_credential(&endpoint, &upstream, lines);
    setup.secret_file("key.pem", KEY);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.wait_for(3, 10.0);
    let mut seen = HashSet::new();
    for request in endpoint.requests() {
        assert_eq!(request.field("grant_type").as_deref(), Some("client_credentials"));
        assert_eq!(request.field("client_id").as_deref(), Some("svc"));
        assert_eq!(request.fields.first("authorization"), None);
        let kind = request.field("client_assertion_type").unwrap();
        assert_eq!(kind, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let (header, claims) = verified(&request.field("client_assertion").unwrap());
        assert_eq!(header, json!({ "alg": "ES256", "kid": "k1", "typ": "JWT" }));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("svc"), &json!("svc")));
        assert_eq!(claims["aud"], json!(endpoint.url()));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
        assert!(seen.insert(claims["jti"].as_str().unwrap().to_owned()), "an assertion was used twice");
    }
}

#[test]
fn an_assertion_in_a_file_is_read_at_each_request() {
    let (endpoint, upstream, _) = stage(2);
    let setup = with_credential(&endpoint, &upstream, "client_assertion = { file = \"jwt\" }");
    setup.secret_file("jwt", "first.service.account");
    let _bearerd = setup.start_ready();
    setup.secret_file("jwt", "second.service.account");
    eventually("the second assertion", seconds(10.0), || {
        let last = endpoint.requests().pop().and_then(|request| request.field("client_assertion"));
        last.as_deref() == Some("second.service.account")
    });
    let first = endpoint.requests().remove(0);
    assert_eq!(first.field("client_assertion").as_deref(), Some("first.service.account"));
    assert_eq!(first.field("client_id"), None);
}

#[test]
fn a_service_account_asks_with_a_signed_assertion() {
    let (endpoint, upstream, _) = stage(300);
    let assertion = "assertion = { key = { file = \"key.pem\" }, issuer = \"robot@x.example\", lifetime = \"1h\", \
        claims = { scope = \"items:read\" } }";
    let setup = with_credential(&endpoint, &upstream, assertion);
    setup.secret_file("key.pem", KEY);
    setup.start_ready().get("/items").expect(200);
    let request = endpoint.requests().remove(0);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    assert_eq!(request.field("grant_type").as_deref(), Some(grant));
    let (_, claims) = verified(&request.field("assertion").unwrap());
    assert_eq!((&claims["iss"], &claims["scope"]), (&json!("robot@x.example"), &json!("items:read")));
    assert_eq!(claims.get("sub"), None);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
}

#[test]
fn a_token_is_exchanged_for_another() {
    let (endpoint, upstream, _) = stage(300);
    let lines = "client_id = \"svc\"\nsubject_token = { file = \"jwt\" }\nrequested_token_type = \"access_token\"\n\
        audience = \"https://api.example\"\nresource = [\"https://a.example\", \"https://b.example\"]";
    let setup = with_credential(&endpoint, &upstream, lines);
    setup.secret_file("jwt", "subject.of.somebody");
    setup.start_ready().get("/items").expect(200);
    let form = endpoint.requests().remove(0).form();
    let wanted = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "subject.of.somebody"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("client_id", "svc"),
        ("audience", "https://api.example"),
        ("resource", "https://a.example"),
        ("resource", "https://b.example"),
    ];
    assert_eq!(form, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Serves metadata at both places beside tokens; `change` may spoil them.
fn discovered(endpoint: &TokenEndpoint, path: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) {
    let address = endpoint.address();
    endpoint.always(Reply::custom(move |request, tokens| {
        if request.target == path {
            let mut document =
                json!({ "issuer": format!("http://{address}"), "token_endpoint": format!("http://{address}/t") });
            change(&mut document);
            return Reply::json(200, document.to_string());
        }
        match request.target.as_str() {
            "/t" => Reply::json(200, json!({ "access_token": tokens.issue(), "expires_in": 2 }).to_string()),
            _ => Reply::text(404, "text/html", "<html><title>Not here</title>"),
        }
    }));
}

fn by_issuer(endpoint: &TokenEndpoint, upstream: &Upstream, suffix: &str) -> Setup {
    let lines = format!(
        "issuer = \"http://{}{suffix}\"\nclient_id = \"svc\"\nclient_secret = \"discovered-secret\"\n",
        endpoint.address()
    );
    endpoint.canaries().add_basic("svc", "discovered-secret");
    Setup::new(endpoint.canaries()).credential_only(&upstream.url(), &lines)
}

fn targets(endpoint: &TokenEndpoint) -> Vec<String> {
    endpoint.requests().into_iter().map(|request| request.target).collect()
}

#[test]
fn an_issuer_says_where_its_token_endpoint_is_and_is_asked_once() {
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let (endpoint, upstream, _) = stage(2);
        discovered(&endpoint, path, |_| {});
        let bearerd = by_issuer(&endpoint, &upstream, "").start_ready();
        bearerd.get("/items").expect(200);
        eventually("two renewals", seconds(10.0), || targets(&endpoint).iter().filter(|t| *t == "/t").count() >= 3);
        assert_eq!(targets(&endpoint).iter().filter(|target| *target == path).count(), 1);
        let first = endpoint.requests().into_iter().find(|request| request.target == "/t").unwrap();
        assert_eq!(first.basic().as_deref(), Some("svc:discovered-secret"));
    }
}

#[test]
fn the_secret_goes_where_the_metadata_take_it() {
    let (endpoint, upstream, _) = stage(2);
    discovered(&endpoint, "/.well-known/openid-configuration", |document| {
        document["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt", "client_secret_post"]);
    });
    by_issuer(&endpoint, &upstream, "").start_ready().get("/items").expect(200);
    let asked = endpoint.requests().into_iter().find(|request| request.target == "/t").unwrap();
    assert_eq!(asked.basic(), None);
    assert_eq!(asked.field("client_secret").as_deref(), Some("discovered-secret"));
}

#[test]
fn metadata_of_another_issuer_get_no_secret() {
    let check = |suffix: &str, name: &'static str, wanted: &str| {
        let (endpoint, upstream, _) = stage(2);
        discovered(&endpoint, "/.well-known/openid-configuration", move |document| {
            if !name.is_empty() {
                document["issuer"] = json!(name);
            }
        });
        let setup = by_issuer(&endpoint, &upstream, suffix).credential("refresh = { wait = \"300ms\" }");
        let bearerd = setup.start();
        bearerd.wait_for_log("T018", 10.0);
        assert!(bearerd.log_with("T018")[0].contains(wanted), "{:#?}", bearerd.log());
        let problem = bearerd.get("/items").expect_problem(503, "T018");
        assert!(problem.text().contains(wanted), "{}", problem.text());
        assert!(targets(&endpoint).iter().all(|target| target.contains(".well-known")));
    };
    check("", "https://evil.example", "it must be the same, byte for byte");
    check("/", "", "write issuer exactly so");
}

fn rotating(lifetime: u64) -> (TokenEndpoint, Upstream, Setup, Rotating) {
    let (endpoint, upstream, _) = stage(lifetime);
    let server = Rotating::strict();
    endpoint.always(server.reply(&endpoint));
    let setup = with_credential(&endpoint, &upstream, "client_id = \"svc\"\nrefresh_token = { file = \"first\" }")
        .top("state_directory = \"state\"");
    std::fs::create_dir(setup.directory().join("state")).unwrap();
    setup.secret_file("first", "refresh-canary-0");
    (endpoint, upstream, setup, server)
}

#[test]
fn a_refresh_token_is_rotated_over_restarts() {
    let (endpoint, _upstream, setup, server) = rotating(2);
    for _ in 0..3 {
        let bearerd = setup.start_ready();
        let before = endpoint.count();
        endpoint.wait_for(before + 2, 10.0);
        bearerd.get("/items").expect(200);
        // At rest: a request that is cut off could cost its answer, and with it the only token.
        eventually("an answer", seconds(5.0), || bearerd.token_requests("success") >= 1.0);
        bearerd.stop();
    }
    assert!(!server.is_revoked());
}

#[test]
fn the_successor_is_on_disk_before_the_access_token_is_used() {
    let (endpoint, upstream, setup, server) = rotating(300);
    let file = setup.directory().join("state").join("refresh-token-api");
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(upstream.count(), 1);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.ends_with("\nrefresh-canary-1\n"), "{kept}");
    // Killed without a chance to do anything.
    let mut bearerd = bearerd;
    bearerd.signal(rustix::process::Signal::KILL);
    bearerd.wait_exit(10.0);
    setup.start_ready().get("/items").expect(200);
    assert_eq!(endpoint.requests().last().unwrap().field("refresh_token").as_deref(), Some("refresh-canary-1"));
    assert!(!server.is_revoked());
}

#[test]
fn an_end_in_the_middle_of_a_use_waits_for_its_answer() {
    let (endpoint, _upstream, setup, server) = rotating(300);
    let Reply::Custom(answer) = server.reply(&endpoint) else { unreachable!() };
    endpoint.always(Reply::Custom(answer).late(2.0));
    let mut bearerd = setup.start();
    endpoint.wait_for(1, 10.0);
    bearerd.signal(rustix::process::Signal::TERM);
    assert_eq!(bearerd.wait_exit(10.0), Some(0));
    let kept = std::fs::read_to_string(setup.directory().join("state").join("refresh-token-api")).unwrap();
    assert!(kept.ends_with("\nrefresh-canary-1\n"), "{kept}");
}

#[test]
fn a_lost_request_is_made_again_with_the_same_token() {
    let (endpoint, _upstream, setup, server) = rotating(300);
    // The server never saw these.
    endpoint.next([Reply::Close, Reply::Close]);
    setup.start_ready().get("/items").expect(200);
    let sent: Vec<_> = endpoint.requests().iter().map(|r| r.field("refresh_token").unwrap()).collect();
    assert_eq!(sent, ["refresh-canary-0"; 3]);
    assert!(!server.is_revoked());
}

#[test]
fn a_lost_answer_ends_in_a_clear_word_and_a_new_token_heals_it() {
    let (endpoint, _upstream, setup, server) = rotating(300);
    let reply = server.reply(&endpoint);
    endpoint.next([Reply::custom(move |request, tokens| {
        if let Reply::Custom(answer) = &reply {
            answer(request, tokens);
        }
        Reply::Close
    })]);
    let setup = setup.credential("refresh = { wait = \"300ms\" }");
    let bearerd = setup.start();
    bearerd.wait_for_log("T025", 10.0);
    let line = bearerd.log_with("T025").remove(0);
    assert!(line.contains("must be given anew") && line.contains("was not answered"), "{line}");
    bearerd.get("/items").expect_problem(503, "T025");
    // Somebody authorises it again.
    server.authorise_anew("refresh-canary-anew");
    setup.secret_file("first", "refresh-canary-anew");
    bearerd.wait_ready(20.0);
    bearerd.get("/items").expect(200);
}

/// A token that was refused, whatever the reason, was not used: nothing about it is in doubt.
#[test]
fn a_refusal_is_an_answer_however_short() {
    let (endpoint, _upstream, setup, _server) = rotating(300);
    endpoint.next([Reply::json(503, "{}"), Reply::json(400, r#"{"error":"invalid_grant"}"#)]);
    let bearerd = setup.start();
    bearerd.wait_for_log("T025", 20.0);
    let line = bearerd.log_with("T025").remove(0);
    assert!(line.contains("must be given anew") && !line.contains("was not answered"), "{line}");
}

/// The first mistake of a newcomer: a pointer to the token that is wrong, or none where one is needed.
#[test]
fn the_successor_beside_an_answer_that_is_not_understood_is_kept() {
    let (endpoint, _upstream, setup, server) = rotating(300);
    let Reply::Custom(answer) = server.reply(&endpoint) else { unreachable!() };
    endpoint.next([Reply::custom(move |request, tokens| match answer(request, tokens) {
        Reply::Http(status, fields, body) => {
            let body = String::from_utf8(body).unwrap().replace("access_token", "accessToken");
            Reply::Http(status, fields, format!("{{\"data\":{body}}}").into_bytes())
        }
        other => other,
    })]);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    let sent: Vec<_> = endpoint.requests().iter().map(|r| r.field("refresh_token").unwrap()).collect();
    assert_eq!(sent, ["refresh-canary-0", "refresh-canary-1"]);
    assert!(!server.is_revoked());
}

#[test]
fn two_processes_share_a_refresh_token_that_works_once() {
    let (endpoint, _upstream, setup, server) = rotating(2);
    let (one, other) = (setup.start_ready(), setup.start_ready());
    endpoint.wait_for(12, 30.0);
    one.get("/items").expect(200);
    other.get("/items").expect(200);
    assert!(!server.is_revoked());
    for bearerd in [&one, &other] {
        assert_eq!(bearerd.token_requests("permanent"), 0.0);
    }
}

#[test]
fn a_refresh_token_that_cannot_be_kept_is_not_used() {
    let (endpoint, _upstream, setup, _server) = rotating(300);
    let file = setup.directory().join("state").join("refresh-token-api");
    std::fs::write(&file, "nonsense").unwrap();
    let bearerd = setup.credential("refresh = { wait = \"300ms\" }").start();
    bearerd.wait_for_log("T026", 10.0);
    bearerd.get("/items").expect_problem(503, "T026");
    assert_eq!(endpoint.count(), 0);
    std::fs::remove_file(&file).unwrap();
    bearerd.wait_ready(20.0);
}

#[test]
fn a_certificate_opens_the_token_endpoint_and_the_upstream_that_its_tokens_are_bound_to() {
    let authority = Authority::new();
    let (endpoint, upstream, _) = stage(300);
    let (login, shown_to_login) = authority.front_for_clients("localhost", endpoint.address());
    let (api, shown_to_api) = authority.front_for_clients("localhost", upstream.address());
    let url = |address: SocketAddr, path: &str| format!("https://localhost:{}{path}", address.port());
    let credential = format!(
        "token_endpoint = \"{}\"\nclient_id = \"svc\"\nclient_authentication = \"tls_client_auth\"\n\
         tls = {{ ca = \"ca.pem\", certificate = \"own.pem\", key = \"own.key\" }}",
        url(login, "/token")
    );
    let setup = Setup::new(endpoint.canaries()).credential_only(&url(api, ""), &credential);
    authority.file(setup.directory(), "ca.pem");
    let own = authority.issue("bearerd.example");
    own.write(setup.directory(), "own");
    let setup = setup.route("tls = { ca = \"ca.pem\" }");
    Request::get("/items").send(setup.start_ready().address()).expect(200);
    let request = endpoint.requests().remove(0);
    assert_eq!(
        request.form(),
        [("grant_type", "client_credentials"), ("client_id", "svc")].map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
    let first = |shown: &crate::support::tls_front::Shown| shown.lock().unwrap().first().cloned();
    assert!(first(&shown_to_login).is_some());
    assert_eq!(first(&shown_to_login), first(&shown_to_api));
}
