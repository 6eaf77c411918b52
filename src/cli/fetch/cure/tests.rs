//! Real servers' words, and the cure that each should lead to.

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::oauth::{Class, Content};

fn settings(lines: &str) -> Settings {
    let text = format!(
        "[routes.a]\nupstream = \"https://a.example\"\n[credentials.a]\ntoken_endpoint = \"https://login.example.com/t\"\n{lines}"
    );
    crate::config::load_str(&text, std::path::Path::new("b.toml")).unwrap().credentials[0].oauth.clone()
}

const BASIC: &str = "client_id = \"i\"\nclient_secret = \"s3cr3t-value\"\n";

struct Given {
    lines: String,
    url: &'static str,
    lockout: bool,
    content: Content,
    ahead: Option<i64>,
    token_at: Option<&'static str>,
}

fn given(lines: &str) -> Given {
    Given {
        lines: lines.to_owned(),
        url: "https://login.example.com/t",
        lockout: false,
        content: Content::Json,
        ahead: Some(0),
        token_at: None,
    }
}

impl Given {
    fn cures(&self, status: u16, reason: Reason, said: &str) -> String {
        let settings = settings(&self.lines);
        let endpoint: Uri = self.url.parse().unwrap();
        let error = FetchError {
            class: Class::Refused,
            reason,
            status: StatusCode::from_u16(status).ok(),
            retry_after: (status == 429).then_some(Duration::from_secs(7)),
            // As the real ones: what is wrong with a token stands before the server's words.
            message: match said.strip_prefix("WHY ") {
                Some(why) => format!("{}: {why}", reason.title()),
                None => format!("{} ({status} \"{said}\")", reason.title()),
            },
        };
        let seen = Seen {
            endpoint: endpoint.clone(),
            status: StatusCode::from_u16(status).unwrap_or_default(),
            took: Duration::ZERO,
            ahead: self.ahead,
            content: self.content,
            lifetime_from: String::new(),
            refresh_token: false,
            token_at: self.token_at.map(str::to_owned),
        };
        let lockout = self.lockout;
        let seen = Some(&seen);
        let case = Case {
            name: "a",
            settings: &settings,
            lockout,
            has_proxy: false,
            error: &error,
            seen,
            endpoint: &endpoint,
        };
        let cures = cures(&case);
        assert!((1..=2).contains(&cures.len()), "{said}: {cures:?}");
        cures.join("\n")
    }

    #[track_caller]
    fn check(&self, status: u16, said: &str, wanted: &str) {
        let reason = match status {
            200..=299 => Reason::TokenIllegal,
            300..=399 => Reason::TokenRedirected,
            500..=599 => Reason::TokenServerError,
            _ => Reason::TokenRefused,
        };
        let cures = self.cures(status, reason, said);
        assert!(cures.contains(wanted), "{status} {said}: {wanted:?} is not in {cures:?}");
    }
}

#[test]
fn a_client_that_is_not_known_is_told_the_other_style() {
    given(BASIC).check(
        401,
        "invalid_client: Client authentication failed",
        "client_authentication = \"client_secret_post\"",
    );
    given(BASIC).check(401, "", "client_authentication = \"client_secret_post\"");
    let encoded = "client_id = \"i\"\nclient_secret = \"s3cr3t/value+1\"\n";
    given(encoded).check(401, "invalid_client", "; or basic_encoding = \"raw\"");
    given(&format!("{encoded}basic_encoding = \"raw\"")).check(401, "invalid_client", "; or basic_encoding = \"form\"");
    let plain = given(BASIC).cures(401, Reason::TokenDenied, "invalid_client");
    assert!(!plain.contains("basic_encoding"), "it would change nothing: {plain}");
    given(BASIC).check(400, "invalid_request: Missing client_id parameter", "client_secret_post");
    let post = format!("{BASIC}client_authentication = \"client_secret_post\"");
    given(&post).check(401, "invalid_client", "client_authentication = \"client_secret_basic\"");
    given("client_id = \"i\"").check(401, "invalid_client: Client secret is required", "prove itself");
    let guarded = Given { lockout: true, ..given(BASIC) };
    guarded.check(401, "invalid_client", "lockout is on: each wrong try may count");
}

#[test]
fn the_likeliest_cause_comes_first() {
    let first = |lines: &str, said: &str, wanted: &str| {
        let cures = given(lines).cures(401, Reason::TokenDenied, said);
        assert!(cures.starts_with(wanted), "{said}: {cures}");
    };
    let post = format!("{BASIC}client_authentication = \"client_secret_post\"");
    for said in ["invalid_client: Invalid client or Invalid client credentials", "invalid_client", ""] {
        first(BASIC, said, "id or secret are wrong");
        first(&post, said, "id or secret are wrong");
    }
    first(BASIC, "invalid_request: Missing client_id parameter", "try client_authentication = \"client_secret_post\"");
    first(&post, "invalid_client: no client authentication", "try client_authentication = \"client_secret_basic\"");
}

#[test]
fn no_place_of_a_token_is_made_up() {
    let missing = "WHY there is no /access_token; the answer has: data, expired, scope, token_type (200)";
    let wrapped = Given { token_at: Some("/data/token"), ..given(BASIC) };
    wrapped.check(200, missing, "say where the token is: access_token = \"/data/token\" in [credentials.a.response]");
    given(BASIC).check(200, missing, "no member of the answer is called a token");
    let told = "WHY there is no /access_token; the answer has: message, success (200 \"Client *** unknown\")";
    given(BASIC).check(200, told, "the server says why there is no token, most likely: Client *** unknown");
    let in_place = Given { token_at: Some("/access_token"), ..given(BASIC) };
    in_place.check(200, "WHY the token has characters that no header may carry (200)", "cannot be used");
    for said in ["/access_token is null", "/access_token is empty", "/access_token is not a text"] {
        given(BASIC).check(
            200,
            &format!("WHY {said}; the answer has: access_token (200)"),
            "names a token and gives none",
        );
    }
    let whole = Given { token_at: Some(""), ..given(BASIC) };
    whole.check(200, "WHY there is no /access_token (200)", "access_token = \"\" in [credentials.a.response]");
    in_place.check(200, "WHY the token has already expired (200)", "check this machine's clock");
    in_place.check(200, "WHY its token_type is \"MAC\" and not Bearer (200)", "scheme = ");
    for said in [missing, told] {
        let cures = given(BASIC).cures(200, Reason::TokenIllegal, said);
        assert!(!cures.contains("/data"), "{cures}");
    }
}

#[test]
fn vendors_words_for_scope_and_audience_lead_to_them() {
    let basic = given(BASIC);
    basic.check(403, "access_denied: Non-global clients are not allowed access to APIs", "write audience");
    basic.check(403, "access_denied: Service not found: https://api", "write audience");
    basic.check(
        403,
        "access_denied: Client is not authorized to access \"https://api\". You need to create a \"client-grant\"",
        "allow this client",
    );
    basic.check(
        400,
        "invalid_scope: The authorization server resource does not have any configured default scopes",
        "write scope",
    );
    given(&format!("{BASIC}scope = \"openid\"")).check(
        400,
        "invalid_scope: One or more scopes are not configured",
        "openid, profile",
    );
    given(&format!("{BASIC}scope = \"itmes\"")).check(400, "invalid_scope", "grant \"itmes\" to this client");
    basic.check(400, "invalid_target", "resource (RFC 8707)");
    basic.check(
        400,
        "invalid_request: AADSTS900144: The request body must contain the following parameter: 'scope'.",
        "/.default",
    );
    basic.check(400, "invalid_scope: AADSTS1002012: The provided value for scope x is not valid.", "/.default");
    basic.check(401, "invalid_client: AADSTS7000215: Invalid client secret provided.", "\"Secret ID\" beside it");
    basic.check(400, "invalid_request: AADSTS90002: Tenant 'x' not found.", "no such tenant");
}

#[test]
fn clocks_passwords_and_locked_accounts() {
    let password = given("username = \"u\"\npassword = \"hunter2hunter2\"");
    let guarded = Given { lockout: true, ..password };
    guarded.check(400, "invalid_grant: bad credentials", "each wrong try counts, so none is made by itself");
    guarded.check(400, "invalid_grant: Account locked due to too many failed attempts", "unlocked at the server first");
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let jwt = format!("client_id = \"i\"\nclient_assertion = {{ key = '''{key}''' }}");
    let skewed = Given { ahead: Some(-200), ..given(&jwt) };
    skewed.check(400, "invalid_client: assertion is not yet valid", "it is 3m 20s behind the server's");
    given(&jwt).check(400, "invalid_client: \"exp\" is too far in the future", "lifetime = \"60s\"");
    given(&jwt).check(401, "invalid_client: wrong aud", "set audience beside the assertion's key");
    given(&jwt).check(401, "invalid_client", "register the public key");
}

#[test]
fn the_wrong_place_or_form_is_recognised() {
    let basic = given(BASIC);
    basic.check(404, "Not Found", "nothing is at this path");
    basic.check(405, "", "the path is wrong, or method = \"POST\"");
    basic.check(415, "", "encoding = \"json\"");
    basic.check(400, "Malformed JSON in request body", "encoding = \"json\"");
    given(&format!("{BASIC}encoding = \"json\"")).check(400, "unsupported_grant_type", "encoding = \"form\"");
    basic.check(400, "unsupported_grant_type", "correct grant_type");
    basic.check(400, "unauthorized_client", "allow the grant \"client_credentials\"");
    basic.check(422, "", "a field is missing or wrong");
    let page = Given { content: Content::Html, ..given(BASIC) };
    page.check(404, "an HTML page titled \"Sign in\"", "a web page answers at this path");
    page.check(200, "it is a page", "a web page answers at this path");
    let plain = Given { url: "http://login.example.com/t", ..given(BASIC) };
    plain.check(301, "moved to https://login.example.com/t); redirects", "write https://");
    basic.check(302, "moved to https://login.example.com/signin", "where people sign in");
    basic.check(429, "slow down", "wait 7s");
    basic.check(403, "", "an allow-list in front of the server");
    basic.check(503, "", "try again later");
    basic.check(500, "One or Many Required parameters are missing", "a field is missing or wrong");
}

#[test]
fn what_does_not_answer_is_looked_for_on_the_way() {
    let check = |url: &'static str, reason: Reason, said: &str, wanted: &str| {
        let cures = Given { url, ..given(BASIC) }.cures(0, reason, said);
        assert!(cures.contains(wanted), "{said}: {wanted:?} is not in {cures:?}");
    };
    let https = "https://login.example.com/t";
    check(https, Reason::TokenUnreachable, "login.example.com: failed to lookup", "or HTTPS_PROXY");
    check(https, Reason::TokenTimeout, "no connection within 5s", "curl -v -m 10 https://login.example.com/t");
    check(
        https,
        Reason::TokenTls,
        "comes from an authority that is not trusted",
        "ca = \"corp-ca.pem\" in [credentials.a.tls]",
    );
    check(
        https,
        Reason::TokenTls,
        "comes from an authority that is not trusted",
        "openssl s_client -connect login.example.com:443",
    );
    check(https, Reason::TokenTls, "certificate expired on 2020", "check this machine's clock");
    check(https, Reason::TokenTls, "certificate is not for \"a\" but for b", "server_name");
    check(https, Reason::TokenTls, "the server does not speak TLS on this port", "allow_plain_http");
    check(
        "http://login.example.com/t",
        Reason::TokenUnreachable,
        "the connection was closed before the answer",
        "write https://",
    );
    check("http://login.example.com/t", Reason::TokenMalformed, "not HTTP/1", "write https://");
    check(https, Reason::TokenProxy, "proxy p:1: connection refused", "login.example.com in NO_PROXY");
    check(https, Reason::TokenProxyRefused, "answered CONNECT with 407", "USER:PASSWORD");
    check(
        https,
        Reason::TokenProxyRefused,
        "answered CONNECT with 403",
        "the proxy's rules must allow login.example.com",
    );
}
