//! Grants and client authentication: what may be written together, and what is said of the rest.

use super::super::{Environment, Mistakes, Settings, Sources, load_text};
use crate::oauth::settings::{Assertion, ClientAuthentication, Endpoint, GrantProof, GrantType};

const KEY: &str = include_str!("../jose/keys/p256.pkcs8.pem");

/// A directory with a key, a certificate and a ready JWT.
fn load(credential: &str) -> Result<Settings, Mistakes> {
    let directory = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["client.example".to_owned()]).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("key.pem", KEY);
    write("client.pem", &certificate.cert.pem());
    write("client.key", &certificate.signing_key.serialize_pem());
    write("jwt", "a.b.c\n");
    let text = format!("[routes.a]\nupstream = \"https://a.example\"\n[credentials.c]\n{credential}\n");
    let path = directory.path().join("b.toml");
    let sources = Sources { file: Some(path.clone()), environment: Environment::default(), ..Sources::default() };
    load_text(&text, &path, &sources)
}

fn oauth(credential: &str) -> crate::oauth::Settings {
    load(credential).unwrap_or_else(|mistakes| panic!("{credential}: {mistakes}")).credentials.remove(0).oauth
}

fn check_mistake(credential: &str, wanted: &[&str]) {
    let Err(mistakes) = load(credential) else { panic!("{credential} was taken") };
    let text = mistakes.to_string();
    assert_eq!(mistakes.count(), wanted.len(), "{credential}: {text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "{credential}: {wanted:?} is not in {text}");
    }
}

const ENDPOINT: &str = "token_endpoint = \"https://l.example/t\"";

fn beside_endpoint(rest: &str) -> String {
    format!("{ENDPOINT}\n{rest}")
}

#[test]
fn the_grant_follows_from_what_it_is_made_with() {
    let check = |rest: &str, wanted: GrantType| {
        let settings = oauth(&beside_endpoint(rest));
        assert_eq!(settings.grant, wanted, "{rest}");
    };
    check("", GrantType::ClientCredentials);
    check("username = \"u\"\npassword = \"p\"", GrantType::Password);
    check("refresh_token = \"r\"", GrantType::RefreshToken);
    check("assertion = { file = \"jwt\" }", GrantType::JwtBearer);
    check("subject_token = { file = \"jwt\" }", GrantType::TokenExchange);
    check("grant_type = \"jwt-bearer\"\nassertion = { file = \"jwt\" }", GrantType::JwtBearer);
    let long = "grant_type = \"urn:ietf:params:oauth:grant-type:token-exchange\"\nsubject_token = { file = \"jwt\" }";
    check(long, GrantType::TokenExchange);
}

#[test]
fn a_grant_without_what_it_is_made_with_says_what_is_missing() {
    let check = |rest: &str, wanted: &[&str]| check_mistake(&beside_endpoint(rest), wanted);
    check("grant_type = \"refresh_token\"", &["F006 credentials.c.refresh_token: is required by the grant"]);
    check("grant_type = \"jwt-bearer\"", &["F006 credentials.c.assertion: is required by the grant jwt-bearer"]);
    check("grant_type = \"token-exchange\"", &["F006 credentials.c.subject_token: is required by the grant"]);
    check("assertion = { key = { file = \"key.pem\" } }", &["F006 credentials.c.assertion: needs an issuer (iss)"]);
    check(
        "grant_type = \"password\"\nusername = \"u\"\npassword = \"p\"\nrefresh_token = \"r\"",
        &["F007 credentials.c.refresh_token: belongs to grant_type = \"refresh_token\""],
    );
    check("actor_token = \"x\"", &["F007 credentials.c.actor_token: belongs to the grant token-exchange"]);
    check(
        "subject_token = \"x\"\nsubject_token_type = \"jot\"",
        &["F005 credentials.c.subject_token_type: must be a URN"],
    );
    check("grant_type = \"implicit\"", &["F005 credentials.c.grant_type: must be \"client_credentials\""]);
    check(
        "refresh_token = \"r\"\nuse_refresh_token = false",
        &["F007 credentials.c.use_refresh_token: cannot be false"],
    );
}

#[test]
fn a_client_proves_itself_as_written_or_as_what_there_is_lets_it() {
    let client = |rest: &str| oauth(&beside_endpoint(&format!("client_id = \"i\"\n{rest}"))).client;
    assert!(matches!(client(""), ClientAuthentication::Public { .. }));
    let signed = "client_assertion = { key = { file = \"key.pem\" }, key_id = \"k\" }";
    let ClientAuthentication::Jwt(jwt) = client(signed) else { panic!("no JWT") };
    assert!(matches!(&jwt.assertion, Assertion::Signed(signer) if signer.key_id.as_deref() == Some("k")));
    assert_eq!(jwt.assertion_type, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let ClientAuthentication::Jwt(jwt) = client("client_assertion = { file = \"jwt\" }") else { panic!("no JWT") };
    assert!(matches!(jwt.assertion, Assertion::Given(_)));
    let spiffe = "client_assertion = { token = { file = \"jwt\" }, type = \"urn:x\" }";
    let ClientAuthentication::Jwt(jwt) = client(spiffe) else { panic!("no JWT") };
    assert_eq!(jwt.assertion_type, "urn:x");
    let shared = "client_secret = \"s\"\nclient_authentication = \"client_secret_jwt\"";
    assert!(matches!(client(shared), ClientAuthentication::Jwt(_)));
    let shared = format!("{shared}\nclient_assertion = {{ algorithm = \"HS512\", audience = \"https://a\" }}");
    assert!(matches!(client(&shared), ClientAuthentication::Jwt(_)));
    let certificate = "client_authentication = \"tls_client_auth\"\n\
        tls = { certificate = \"client.pem\", key = \"client.key\" }";
    assert!(matches!(client(certificate), ClientAuthentication::Certificate { .. }));
}

#[test]
fn methods_and_what_they_need_are_held_against_each_other() {
    let check =
        |rest: &str, wanted: &[&str]| check_mistake(&beside_endpoint(&format!("client_id = \"i\"\n{rest}")), wanted);
    check("client_authentication = \"private_key_jwt\"", &["F006 credentials.c.client_assertion: is required by"]);
    check(
        "client_secret = \"s\"\nclient_assertion = { file = \"jwt\" }",
        &["F007 credentials.c.client_secret: is not sent beside a client_assertion"],
    );
    check(
        "client_authentication = \"client_secret_post\"\nclient_secret = \"s\"\nclient_assertion = { file = \"jwt\" }",
        &["F007 credentials.c.client_assertion: is sent with"],
    );
    check(
        "client_authentication = \"tls_client_auth\"",
        &["F006 credentials.c.client_authentication: needs the client's certificate"],
    );
    check(
        "client_authentication = \"client_secret_jwt\"\nclient_secret = \"s\"\nclient_assertion = { algorithm = \"RS256\" }",
        &["F005 credentials.c.client_assertion.algorithm: must be \"HS256\""],
    );
    let key = |rest: &str| format!("client_assertion = {{ key = {{ file = \"key.pem\" }}{rest} }}");
    check(
        &key(", algorithm = \"RS256\""),
        &[
            "F011 credentials.c.client_assertion.key: is an EC key on P-256, which cannot sign with RS256; it can with ES256",
        ],
    );
    check(&key(", algorithm = \"ES255\""), &["F005 credentials.c.client_assertion.algorithm: must be \"HS256\""]);
    check(&key(", algorithm = \"none\""), &["F004 credentials.c.client_assertion.algorithm"]);
    check(&key(", certificate = { file = \"key.pem\" }"), &["client_assertion.certificate: holds no certificate"]);
    check(&key(", lifetime = \"2d\""), &["client_assertion.lifetime: must be at most 24h"]);
    check(&key(", claims = { at = 1979-05-27 }"), &["client_assertion.claims.at: a date is nothing that JSON has"]);
    check(&key(", token = { file = \"jwt\" }"), &["client_assertion.key: means nothing beside token"]);
    check(
        "client_assertion = { key = { file = \"jwt\" } }",
        &["client_assertion.key: is neither a private key in PEM"],
    );
    check("client_assertion = { key_id = \"x\" }", &["F006 credentials.c.client_assertion.key: is required"]);
    check("client_assertion = { file = \"gone\" }", &["F010 credentials.c.client_assertion: cannot read"]);
}

#[test]
fn what_bearerd_sends_itself_is_no_param() {
    let check = |rest: &str, name: &str| {
        let text = beside_endpoint(&format!("{rest}\nparams = {{ {name} = \"x\" }}"));
        check_mistake(&text, &[&format!("F007 credentials.c.params.{name}")]);
    };
    check("assertion = { file = \"jwt\" }", "assertion");
    check("client_assertion = { file = \"jwt\" }", "client_assertion");
    check("client_assertion = { file = \"jwt\" }", "client_assertion_type");
    check("subject_token = { file = \"jwt\" }", "subject_token");
    assert!(load(&beside_endpoint("params = { assertion = \"x\" }")).is_ok());
}

#[test]
fn an_issuer_stands_in_place_of_the_endpoint() {
    let settings = oauth("issuer = \"https://l.example/realms/x\"");
    let wanted = Endpoint::Issuer {
        identifier: "https://l.example/realms/x".to_owned(),
        uri: "https://l.example/realms/x".parse().unwrap(),
        allow_plain_http: false,
    };
    assert_eq!(settings.endpoint, wanted);
    assert!(matches!(settings.proof, GrantProof::Fields));
    check_mistake(&format!("{ENDPOINT}\nissuer = \"https://l.example\""), &["F007 credentials.c.issuer: says where"]);
    check_mistake("issuer = \"http://l.example\"", &["F008 credentials.c.issuer: plain http"]);
    check_mistake("issuer = \"https://l.example?x\"", &["F005 credentials.c.issuer: must have no query"]);
    check_mistake("issuer = \"l.example\"", &["F005 credentials.c.issuer"]);
}

#[test]
fn the_upstream_is_shown_the_certificate_that_tokens_are_bound_to() {
    let identity = |method: &str, route: &str| {
        let credential = format!(
            "{ENDPOINT}\nclient_id = \"i\"\nclient_authentication = \"{method}\"\n{}\
             tls = {{ certificate = \"client.pem\", key = \"client.key\" }}\n[routes.b]\npath = \"/b\"\n\
             upstream = \"https://b.example\"\n{route}",
            if method == "tls_client_auth" { "" } else { "client_secret = \"s\"\n" },
        );
        let settings = load(&credential).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let route = settings.routes.into_iter().find(|route| route.route.name == "b").unwrap();
        route.tls.identity.map(|identity| identity.certificate.file_name().unwrap().to_str().unwrap().to_owned())
    };
    assert_eq!(identity("tls_client_auth", "").as_deref(), Some("client.pem"));
    assert_eq!(identity("client_secret_basic", ""), None);
    assert_eq!(identity("tls_client_auth", "credential = \"none\""), None);
}
