//! The fault list: what a token endpoint can do wrong, each with its class, its reason code and its line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;

use super::settings::{
    Assertion, AssertionKey, BasicEncoding, ClientAuthentication, Encoding, Endpoint, GrantType, JwtAuthentication,
    Param, PermanentRule, Signer,
};
use super::testing::{Scripted, Step, endpoint, http, settings};
use super::*;
use crate::secret::SecretSource;

const SECRETS: [&str; 4] = ["canary client/secret", "canary+password", "canary-header-key", "canary-company"];

/// For endpoints that never finish: long enough for loopback on a busy machine to get as far as they go.
const BRIEF: Duration = Duration::from_millis(500);

/// A credential with a secret in every place.
fn with_secrets(settings: &mut Settings) {
    let inline = |text: &str| SecretSource::inline(text);
    settings.grant = GrantType::Password;
    settings.client = ClientAuthentication::Basic {
        id: inline("the-client"),
        secret: inline(SECRETS[0]),
        encoding: BasicEncoding::Form,
    };
    settings.username = Some(inline("bob"));
    settings.password = Some(inline(SECRETS[1]));
    settings.headers = vec![(http::HeaderName::from_static("x-api-key"), Param::Text(inline(SECRETS[2])))];
    settings.params = vec![("company_name".to_owned(), Param::Text(inline(SECRETS[3])))];
}

fn assert_holds_no_secret(text: &str) {
    let lower = text.to_lowercase();
    for secret in ["canary", "y2fuyxj5", "bmfyet"] {
        assert!(!lower.contains(secret), "{text}");
    }
}

async fn check(name: &str, script: Vec<Step>, class: Class, reason: Reason, words: &str) -> FetchError {
    check_within(Duration::from_secs(60), name, script, (class, reason), words).await
}

async fn check_within(
    limit: Duration,
    name: &str,
    script: Vec<Step>,
    (class, reason): (Class, Reason),
    words: &str,
) -> FetchError {
    let server = Scripted::serve(script).await;
    let asking = server.fetch(|s| {
        with_secrets(s);
        s.timeout = limit;
    });
    let error = tokio::time::timeout(Duration::from_secs(30), asking).await.expect(name).expect_err(name);
    assert_eq!((error.class, error.reason), (class, reason), "{name}: {error}");
    assert!(error.message.starts_with(reason.title()), "{name}: {error}");
    assert!(error.message.contains(words), "{name}: {error:?} does not contain {words:?}");
    assert!(error.message.chars().count() < 400 && !error.message.chars().any(char::is_control), "{name}: {error}");
    assert_holds_no_secret(&format!("{error:?}"));
    assert_eq!(server.requests().len(), 1, "{name}: one fetch is one request");
    error
}

async fn check_success(name: &str, script: Vec<Step>) -> Issued {
    let server = Scripted::serve(script).await;
    let issued = server.fetch(|_| {}).await;
    issued.unwrap_or_else(|error| panic!("{name}: {error}"))
}

const TOKEN: &str = r#"{"access_token":"abc","token_type":"Bearer","expires_in":60}"#;
const GOOD_BODY_GIVES: (&str, u64) = ("abc", 60);

fn wrote(bytes: impl AsRef<[u8]>) -> Vec<Step> {
    vec![Step::Write(bytes.as_ref().to_vec())]
}

fn then(mut script: Vec<Step>, step: Step) -> Vec<Step> {
    script.push(step);
    script
}

#[tokio::test]
async fn odd_but_sound_answers_give_the_token() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n";
    let length = TOKEN.len();
    let in_pieces: Vec<Step> = http("200 OK", "", TOKEN)
        .into_iter()
        .map(|step| if let Step::Write(bytes) = step { Step::Drip(bytes) } else { step })
        .collect();
    let rows = [
        ("plain", http("200 OK", "Content-Type: application/json\r\n", TOKEN)),
        ("201", http("201 Created", "", TOKEN)),
        ("no content type", http("200 OK", "", TOKEN)),
        ("wrong content type", http("200 OK", "Content-Type: text/html\r\n", TOKEN)),
        ("byte order mark", http("200 OK", "", format!("\u{feff}{TOKEN}"))),
        ("identity", http("200 OK", "Content-Encoding: identity\r\n", TOKEN)),
        ("no length, ended by closing", wrote(format!("HTTP/1.1 200 OK\r\n\r\n{TOKEN}"))),
        ("HTTP/1.0", wrote(format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{TOKEN}"))),
        ("chunks and trailers", wrote(format!("{chunked}{length:x}\r\n{TOKEN}\r\n0\r\nx: y\r\n\r\n"))),
        (
            "interim answers first",
            wrote(format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{TOKEN}"
            )),
        ),
        ("byte by byte", in_pieces),
        ("whole, then left open", then(http("200 OK", "", TOKEN), Step::Hang)),
        ("more than was announced", wrote(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{TOKEN}xxx"))),
        ("an error member that is null", http("200 OK", "", TOKEN.replace('{', "{\"error\":null,"))),
    ];
    for (name, script) in rows {
        let issued = check_success(name, script).await;
        assert_eq!((issued.access_token.expose(), issued.lifetime.as_secs()), GOOD_BODY_GIVES, "{name}");
    }
}

#[tokio::test]
async fn answers_that_are_no_token_are_malformed_and_pass() {
    let rows = [
        ("HTML", http("200 OK", "", "<html><title>Log in</title>"), "a page (HTML)"),
        ("empty", http("200 OK", "", ""), "empty body"),
        ("204", wrote("HTTP/1.1 204 No Content\r\n\r\n"), "empty body"),
        ("JSON cut off", http("200 OK", "", r#"{"access_token":"canary+password"#), "cut off"),
        ("less than was announced", wrote("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), "it was cut off"),
        ("a chunk that is none", wrote("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "cannot be"),
        ("a form", http("200 OK", "", "access_token=canary%2Bpassword&access_token=y"), "comes twice"),
        ("text", http("200 OK", "", "canary+password"), "not valid JSON"),
        ("twice", http("200 OK", "", r#"{"access_token":"a","access_token":"b"}"#), "a member comes twice"),
        ("deep", http("200 OK", "", "[".repeat(10_000)), "recursion limit"),
        ("UTF-16", http("200 OK", "", b"\xff\xfe{\0}\0"), "UTF-16"),
        ("gzip bomb", http("200 OK", "Content-Encoding: gzip\r\n", vec![0; 100_000]), "compressed"),
        ("20 MB", http("200 OK", "", vec![b'x'; 20_000_000]), "longer than 256 KiB"),
        ("no end", vec![Step::Write(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Step::Flood(vec![b' '; 65536])], "longer"),
        ("not HTTP", wrote("SSH-2.0-OpenSSH_9.6\r\n\r\n"), "not HTTP/1"),
        ("HTTP/0.9", wrote(TOKEN), "not HTTP/1"),
        ("HTTP/2 preface", wrote(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0d"), "not HTTP/1"),
        ("broken length", wrote("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "not HTTP/1"),
        ("two lengths", wrote("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), "not HTTP/1"),
        (
            "a head without end",
            vec![Step::Write(b"HTTP/1.1 200 OK\r\nx: ".to_vec()), Step::Flood(vec![b'x'; 65536])],
            "not HTTP/1",
        ),
        ("a thousand fields", http("200 OK", &"x: y\r\n".repeat(1000), TOKEN), "not HTTP/1"),
        ("status 999", http("999 What", "", ""), "(999, empty body)"),
    ];
    for (name, script, words) in rows {
        check(name, script, Class::Transient, Reason::TokenMalformed, words).await;
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_used_are_refused_without_being_shown() {
    let token = |token: &str| serde_json::json!({ "access_token": token }).to_string();
    let rows = [
        ("line break", token("canary\r\nX-Evil: 1"), "RFC 6750"),
        ("space", token("canary token"), "RFC 6750"),
        ("NUL", token("canary\0"), "RFC 6750"),
        ("non-ASCII", token("canaryü"), "RFC 6750"),
        ("200 KB", token(&"canary".repeat(30_000)), "longer than 16 KiB"),
        ("empty", token(""), "/access_token is empty"),
        ("number", r#"{"access_token":1}"#.to_owned(), "not a text"),
        ("null", r#"{"access_token":null}"#.to_owned(), "is null"),
        ("elsewhere", r#"{"data":{"access_token":"canary"}}"#.to_owned(), "the answer has: data"),
        ("list", "[]".to_owned(), "there is no /access_token"),
        ("MAC", r#"{"access_token":"canary","token_type":"MAC"}"#.to_owned(), "not Bearer"),
        ("with a message", r#"{"status":"fail","message":"Try later"}"#.to_owned(), "(200 \"fail"),
    ];
    for (name, body, words) in rows {
        let words = if name == "with a message" { "Try later" } else { words };
        check(name, http("200 OK", "", body), Class::Transient, Reason::TokenIllegal, words).await;
    }
}

#[tokio::test]
async fn an_error_in_the_guise_of_a_success_is_classed_by_its_code() {
    let rows = [
        (r#"{"error":"invalid_client"}"#, Class::Permanent, Reason::TokenDenied, "(200 \"invalid_client\")"),
        (r#"{"error":"invalid_grant","error_description":"No"}"#, Class::Permanent, Reason::TokenDenied, "No"),
        (r#"{"error":"temporarily_unavailable"}"#, Class::Transient, Reason::TokenServerError, "temporarily"),
        (r#"{"error":"bad_login"}"#, Class::Refused, Reason::TokenRefused, "bad_login"),
        (r#"{"error":{"code":"X","message":"No"}}"#, Class::Refused, Reason::TokenRefused, "X: No"),
        (r#"{"error":true,"message":"No"}"#, Class::Refused, Reason::TokenRefused, "No"),
        (r#"{"error":"","message":"Not now"}"#, Class::Transient, Reason::TokenIllegal, "(200 \"Not now\")"),
        (r#"{"error":"x","error_description":"a1b2c3d4"}"#, Class::Refused, Reason::TokenRefused, "(200 \"x: ***\")"),
    ];
    for (body, class, reason, words) in rows {
        check(body, http("200 OK", "", body), class, reason, words).await;
    }
}

#[tokio::test]
async fn refusals_are_classed_by_status_and_code_whatever_the_body() {
    let rows = [
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant"}"#,
            Class::Permanent,
            Reason::TokenDenied,
            "(400 \"invalid_grant\")",
        ),
        ("401 Unauthorized", r#"{"error":"invalid_client"}"#, Class::Permanent, Reason::TokenDenied, "(401"),
        ("400 Bad Request", r#"{"error":"scope_invalid"}"#, Class::Refused, Reason::TokenRefused, "scope_invalid"),
        ("401 Unauthorized", r#"{"detail":"Nope"}"#, Class::Refused, Reason::TokenRefused, "(401 \"Nope\")"),
        ("403 Forbidden", "", Class::Refused, Reason::TokenRefused, "(403, empty body)"),
        ("407 Proxy Authentication Required", "", Class::Refused, Reason::TokenRefused, "(407"),
        (
            "404 Not Found",
            "<html><title>\u{1b}[31mGone</title>",
            Class::Refused,
            Reason::TokenRefused,
            "titled \"\\u{1b}[31mGone\"",
        ),
        ("500 Internal Server Error", "boom", Class::Transient, Reason::TokenServerError, "(500 \"boom\")"),
        (
            "503 Service Unavailable",
            r#"{"error":"invalid_client"}"#,
            Class::Transient,
            Reason::TokenServerError,
            "(503",
        ),
        ("408 Request Timeout", "", Class::Transient, Reason::TokenServerError, "(408"),
        ("425 Too Early", "", Class::Transient, Reason::TokenServerError, "(425"),
        ("429 Too Many Requests", "", Class::Transient, Reason::TokenRateLimited, "(429"),
    ];
    for (status, body, class, reason, words) in rows {
        let error = check(status, http(status, "", body), class, reason, words).await;
        assert_eq!(error.status.map(|status| status.as_u16()), status[..3].parse().ok());
    }
}

#[tokio::test]
async fn the_vendor_that_says_a_mistake_with_500_latches_by_a_configured_rule() {
    let text = "One or Many Required parameters from company name must be missing, E.g error \"Company Name\",";
    let server = Scripted::serve(http("500 Internal Server Error", "", text)).await;
    let error = server.fetch(|s| {
        s.permanent = vec![PermanentRule {
            status: Some(500),
            body_contains: Some("Required parameters".to_owned()),
            error_code: None,
        }];
    });
    let error = error.await.unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Permanent, Reason::TokenDenied));
    assert!(error.message.starts_with("token endpoint refused the login (500 \"One or Many Required"), "{error}");
}

#[tokio::test]
async fn an_answer_that_came_counts_even_if_its_body_does_not_come_whole() {
    let head = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\n{\"error\":\"canary+pass";
    let refused = (Class::Refused, Reason::TokenRefused);
    let hangs = then(wrote(head), Step::Hang);
    check_within(BRIEF, "401, then hangs", hangs, refused, "did not come whole").await;
    check("401, then closes", wrote(head), refused.0, refused.1, "did not come whole").await;
    let endless =
        vec![Step::Write(b"HTTP/1.1 401 Unauthorized\r\n\r\n".to_vec()), Step::Flood(b"canary+password ".repeat(4096))];
    check("401 without end", endless, refused.0, refused.1, "more than 256 KiB").await;
}

#[tokio::test]
async fn endpoints_that_do_not_answer_in_time_are_timeouts() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
    let rows = [
        ("silence", vec![Step::Hang], "no answer within 500ms"),
        ("head byte by byte", vec![Step::Drip(head.repeat(4).into_bytes())], "no answer within"),
        ("half a body", then(wrote(format!("{head}{{\"access")), Step::Hang), "the answer did not end within"),
        ("body byte by byte", then(wrote(head), Step::Drip(vec![b' '; 100])), "the answer did not end within"),
        ("interim answers for ever", vec![Step::Flood(interim)], "no answer within"),
    ];
    for (name, script, words) in rows {
        check_within(BRIEF, name, script, (Class::Transient, Reason::TokenTimeout), words).await;
    }
}

#[tokio::test]
async fn connections_that_break_are_unreachable_endpoints() {
    check("closed", vec![], Class::Transient, Reason::TokenUnreachable, "closed before").await;
    check("reset", vec![Step::Reset], Class::Transient, Reason::TokenUnreachable, "").await;
    let half = then(wrote("HTTP/1.1 200 OK\r\nContent-"), Step::Reset);
    check("half a head", half, Class::Transient, Reason::TokenUnreachable, "").await;
    let half = wrote("HTTP/1.1 200 OK\r\nContent-");
    check("half a head, closed", half, Class::Transient, Reason::TokenUnreachable, "closed before").await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut nobody = settings();
    nobody.endpoint = Endpoint::Given(format!("http://127.0.0.1:{port}/token?secret=canary").parse().unwrap());
    let error = endpoint(nobody).fetch(Grant::Configured).await.unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Transient, Reason::TokenUnreachable));
    assert!(error.message.contains("refused"), "{error}");
    assert_holds_no_secret(&error.message);
}

#[tokio::test]
async fn tls_failures_have_a_code_of_their_own_and_say_why() {
    // A fatal alert: handshake_failure (RFC 8446 §6.2).
    let rows =
        [(b"\x15\x03\x03\0\x02\x02\x28".to_vec(), "ended the handshake"), (b"HTTP/1.1 400 x\r\n\r\n".to_vec(), "no")];
    for (bytes, words) in rows {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&bytes).await;
                let _ = stream.read(&mut [0; 4096]).await;
            }
        });
        let mut https = settings();
        https.endpoint = Endpoint::Given(format!("https://127.0.0.1:{port}/token").parse().unwrap());
        let error = endpoint(https).fetch(Grant::Configured).await.unwrap_err();
        assert_eq!((error.class, error.reason), (Class::Transient, Reason::TokenTls), "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn redirects_are_permanent_and_their_target_hears_nothing() {
    let target = Scripted::serve(http("200 OK", "", TOKEN)).await;
    let mut rows = 0;
    for status in ["300", "301", "302", "303", "304", "307", "308"] {
        let places = [
            (
                format!("http://127.0.0.1:{}/x?token=canary", target.port),
                format!("to http://127.0.0.1:{}/x)", target.port),
            ),
            ("/login?next=canary".to_owned(), "to /login)".to_owned()),
            ("https://evil.example/canary%2Bpassword".to_owned(), "to https://evil.example/***)".to_owned()),
            ("http://bob:canary@evil.example".to_owned(), "to http://evil.example)".to_owned()),
        ];
        for (location, words) in places {
            let script = http(&format!("{status} Moved"), &format!("Location: {location}\r\n"), "canary-header-key");
            check(&location, script, Class::Permanent, Reason::TokenRedirected, &words).await;
            rows += 1;
        }
    }
    assert_eq!(rows, 28);
    check("no Location", http("302 Found", "", ""), Class::Permanent, Reason::TokenRedirected, "without a target")
        .await;
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn retry_after_is_handed_on_and_garbage_is_ignored() {
    let rows = [
        ("Retry-After: 7\r\n", Some(7)),
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\n", Some(60)),
        ("Retry-After: soon\r\n", None),
        ("Retry-After: 315360000\r\n", Some(315_360_000)),
        ("", None),
    ];
    for (headers, wanted) in rows {
        let script = http("429 Too Many Requests", headers, "");
        let error = check(headers, script, Class::Transient, Reason::TokenRateLimited, "(429").await;
        assert_eq!(error.retry_after, wanted.map(Duration::from_secs), "{headers}");
    }
    let script = http("503 Busy", "Retry-After: 3\r\n", "");
    let error = check("503", script, Class::Transient, Reason::TokenServerError, "").await;
    assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn what_a_server_echoes_of_a_request_is_masked() {
    for encoding in [Encoding::Form, Encoding::Json, Encoding::Multipart, Encoding::Query] {
        // The first request shows what is sent; the second server sends that back.
        let first = Scripted::serve(http("500 x", "", "")).await;
        let ask = |s: &mut Settings| {
            with_secrets(s);
            s.encoding = encoding;
        };
        first.fetch(ask).await.unwrap_err();
        let request = first.requests().remove(0);
        assert!(request.contains("canary"), "{encoding:?} sent no secret: {request}");
        let lines = request.lines().chain([request.as_str()]);
        let mut echoed = 0;
        for line in lines {
            let server = Scripted::serve(http("401 No", "", serde_json::json!({ "message": line }).to_string())).await;
            assert_holds_no_secret(&server.fetch(ask).await.unwrap_err().message);
            let server = Scripted::serve(http("500 No", "", line)).await;
            assert_holds_no_secret(&server.fetch(ask).await.unwrap_err().message);
            echoed += 1;
        }
        assert!(echoed > 5);
    }
}

#[tokio::test]
async fn tokens_issued_before_and_the_refresh_token_in_use_are_masked_too() {
    let first =
        Scripted::serve(http("200 OK", "", r#"{"access_token":"canary-at","refresh_token":"canary-rt"}"#)).await;
    let endpoint = first.endpoint(|_| {});
    let issued = endpoint.fetch(Grant::Configured).await.unwrap();
    let remembered = endpoint.issued.lock().unwrap().clone();
    assert_eq!(remembered, [issued.access_token, issued.refresh_token.clone().unwrap()]);

    let second = Scripted::serve(http("400 No", "", "expired: canary-rt; still good: canary-at")).await;
    let endpoint = second.endpoint(|_| {});
    endpoint.issued.lock().unwrap().push(remembered[0].clone());
    let error = endpoint.fetch(Grant::Refresh(issued.refresh_token.unwrap())).await.unwrap_err();
    assert!(error.message.contains("expired: ***; still good: ***"), "{error}");
}

/// Where a server may put a token that it was not asked to put there.
fn shapes(token: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(token).to_string();
    let in_json = [
        "T",
        "[T]",
        "[[T]]",
        "{\"token\":T}",
        "{\"data\":T}",
        "{\"data\":{\"message\":T}}",
        "{\"message\":T}",
        "{\"msg\":T}",
        "{\"reason\":T}",
        "{\"code\":T}",
        "{\"type\":T}",
        "{\"errors\":[T]}",
        "{\"errors\":[{\"loc\":T,\"msg\":T,\"type\":T}]}",
        "{\"title\":T,\"detail\":T}",
        "{\"error\":T}",
        "{\"error\":{\"message\":T}}",
        "{\"error\":\"x\",\"error_description\":T}",
        "{\"success\":true,\"message\":T,\"code\":0}",
        "{\"access_token\":\"\",\"error_description\":T}",
        "{\"access_token\":\"\",\"token_type\":T}",
        "{\"access_token\":\"abc\",\"token_type\":T}",
        "{\"x\":T,\"x\":1}",
    ];
    let mut shapes: Vec<_> = in_json.iter().map(|shape| shape.replace('T', &quoted)).collect();
    for shape in ["T", "message=T", "error=T", "T=", "<a>T</a>", "<a><message>T</message></a>", "Your token: T", "T\n"]
    {
        shapes.push(shape.replace('T', token));
    }
    shapes.push(serde_json::json!({ "message": format!("here it is: {token}") }).to_string());
    shapes
}

#[tokio::test]
async fn a_token_in_an_answer_that_is_not_understood_is_never_shown() {
    let mut seen = 0;
    let long =
        opaque::tests::TOKENS.iter().map(|token| (*token, &["200 OK", "201 Made", "400 No", "401 No", "500 No"][..]));
    // Of a text that is surely an error, words of the length of names are shown.
    let short = opaque::tests::SHORT_TOKENS.iter().map(|token| (*token, &["200 OK", "201 Made"][..]));
    for (token, statuses) in long.chain(short) {
        let as_name = serde_json::json!({ token: 1 }).to_string();
        // A member may have a short name.
        let as_name = (token.len() > 16).then_some(as_name);
        for body in shapes(token).into_iter().chain(as_name) {
            for status in statuses {
                let server = Scripted::serve(http(status, "", &body)).await;
                let (result, observed) = server.endpoint(|_| {}).fetch_observed(Grant::Configured).await;
                let Err(error) = result else { continue };
                let shown = format!("{error} {error:?} {observed:?}");
                // Nor a piece of it.
                let pieces =
                    token.as_bytes().windows(token.len().min(9)).map(|piece| std::str::from_utf8(piece).unwrap());
                for piece in pieces {
                    assert!(!shown.contains(piece), "{status} {body}: {shown}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 1000, "{seen}");
}

#[tokio::test]
async fn errors_of_real_vendors_stay_readable() {
    let rows = [
        (
            "400 Bad",
            r#"{"code": 400, "error": "gateway_auth_wrong_redirect_url", "message": "Wrong redirect url or not set"}"#,
            "\"gateway_auth_wrong_redirect_url: Wrong redirect url or not set\"",
        ),
        (
            "422 Bad",
            r#"{"detail":[{"loc":["body","username"],"msg":"field required","type":"value_error.missing"}]}"#,
            "\"body.username: field required (value_error.missing)\"",
        ),
        (
            "500 Bad",
            "One or Many Required parameters from company name must be missing, E.g error \"Company Name\",",
            "\"One or Many Required parameters from company name must be missing, E.g error 'Company Name',\"",
        ),
        (
            "401 No",
            r#"{"error": {"code": "401021", "code_reason": "invalid_client", "message": "Invalid client_id, client_secret, or session_key"}}"#,
            "\"invalid_client: Invalid client_id, client_secret, or session_key\"",
        ),
        (
            "500 Bad",
            r#"{"error": {"code": "500999", "code_reason": "API_ERROR", "message": "Api Error, please contact customer service"}}"#,
            "\"API_ERROR: Api Error, please contact customer service\"",
        ),
        ("404 No", r#"{"error":"json-string"}"#, "\"json-string\""),
        (
            "401 No",
            r#"{"code": 401, "detail": "Authentication failed", "type": "authentication_error"}"#,
            "\"authentication_error: Authentication failed\"",
        ),
        (
            "401 No",
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: 0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f"}"#,
            "\"invalid_client: AADSTS7000215: Invalid client secret provided. Trace ID: 0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f\"",
        ),
        ("200 OK", r#"{"success":false,"message":"Client unknown"}"#, "(200 \"Client unknown\")"),
    ];
    for (status, body, words) in rows {
        let error = Scripted::serve(http(status, "", body)).await.fetch(|_| {}).await.unwrap_err();
        assert!(error.message.contains(words), "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn a_secret_too_short_to_be_masked_withholds_what_the_server_says() {
    let server = Scripted::serve(http("401 No", "", "the word cab is in here")).await;
    let error = server.fetch(|s| s.password = Some(SecretSource::inline("abc"))).await.unwrap_err();
    assert!(error.message.contains("(401, text withheld"), "{error}");
}

#[tokio::test]
async fn the_same_token_again_is_a_success_again() {
    let server = Scripted::serve(http("200 OK", "", TOKEN)).await;
    let endpoint = server.endpoint(|_| {});
    for _ in 0..5 {
        assert_eq!(endpoint.fetch(Grant::Configured).await.unwrap().access_token.expose(), "abc");
    }
    assert_eq!(endpoint.issued.lock().unwrap().len(), 1, "remembered once");
}

#[tokio::test]
async fn a_date_that_is_an_hour_wrong_changes_no_lifetime() {
    use base64::Engine;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let payload = format!(r#"{{"exp":{},"iat":{now}}}"#, now + 120);
    let token = format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload));
    for wrong in [now - 3600, now + 3600] {
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(wrong));
        let script = http("200 OK", &format!("Date: {date}\r\n"), format!(r#"{{"access_token":"{token}"}}"#));
        assert_eq!(check_success("wrong date", script).await.lifetime, Duration::from_secs(120));
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_or_sent_sends_nothing() {
    let server = Scripted::serve(http("200 OK", "", TOKEN)).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    let from_file = |s: &mut Settings| s.password = Some(SecretSource::File(file.clone()));
    let missing = server.fetch(from_file).await.unwrap_err();
    std::fs::write(&file, "").unwrap();
    let empty = server.fetch(from_file).await.unwrap_err();
    let header = |s: &mut Settings| {
        s.headers =
            vec![(http::HeaderName::from_static("x-api-key"), Param::Text(SecretSource::inline("canary\nkey")))];
    };
    let unsendable = server.fetch(header).await.unwrap_err();
    for error in [&missing, &empty, &unsendable] {
        assert_eq!((error.class, error.reason), (Class::Transient, Reason::SecretUnreadable), "{error}");
        assert_holds_no_secret(&error.message);
    }
    assert!(missing.message.contains("No such file"), "{missing}");
    assert!(empty.message.contains("is empty"), "{empty}");
    assert!(unsendable.message.contains("x-api-key"), "{unsendable}");
    assert!(server.requests().is_empty());

    std::fs::write(&file, "one\n").unwrap();
    let endpoint = server.endpoint(from_file);
    let before = endpoint.fingerprint().await.unwrap();
    endpoint.fetch(Grant::Configured).await.unwrap();
    std::fs::write(&file, "two\n").unwrap();
    endpoint.fetch(Grant::Configured).await.unwrap();
    assert_ne!(endpoint.fingerprint().await.unwrap(), before);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(endpoint.fingerprint().await, None);
    let passwords: Vec<_> =
        server.requests().iter().map(|r| r.rsplit("password=").next().unwrap().to_owned()).collect();
    assert_eq!(passwords, ["one", "two"]);
}

#[tokio::test]
async fn a_request_looks_as_it_should_on_the_wire() {
    let server = Scripted::serve(http("200 OK", "", TOKEN)).await;
    server
        .fetch(|s| {
            with_secrets(s);
        })
        .await
        .unwrap();
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /token HTTP/1.1\r\n"), "{head}");
    for line in [
        format!("host: 127.0.0.1:{}", server.port),
        "accept: application/json".to_owned(),
        "accept-encoding: identity".to_owned(),
        format!("user-agent: bearerd/{}", env!("CARGO_PKG_VERSION")),
        "content-type: application/x-www-form-urlencoded".to_owned(),
        format!("content-length: {}", body.len()),
        "authorization: Basic dGhlLWNsaWVudDpjYW5hcnkrY2xpZW50JTJGc2VjcmV0".to_owned(),
        "x-api-key: canary-header-key".to_owned(),
    ] {
        assert_eq!(head.lines().filter(|l| *l == line).count(), 1, "{line} is not once in {head}");
    }
    let wanted = "grant_type=password&username=bob&password=canary%2Bpassword&company_name=canary-company";
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_get_with_a_query_has_no_body() {
    let server = Scripted::serve(http("200 OK", "", TOKEN)).await;
    let get = |s: &mut Settings| {
        s.method = http::Method::GET;
        s.encoding = Encoding::Query;
        s.username = Some(SecretSource::inline("b o b"));
    };
    server.fetch(get).await.unwrap();
    let request = server.requests().remove(0);
    assert!(
        request.starts_with("GET /token?grant_type=client_credentials&username=b%20o%20b HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(!request.contains("content-length") && request.ends_with("\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn dropping_a_fetch_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = settings();
    silent.endpoint = Endpoint::Given(format!("http://{}/token", listener.local_addr().unwrap()).parse().unwrap());
    let endpoint = endpoint(silent);
    let accepted = tokio::select! {
        _ = endpoint.fetch(Grant::Configured) => panic!("nobody answers"),
        accepted = async {
            use tokio::io::AsyncReadExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut vec![0; 4096]).await.unwrap();
            stream
        } => accepted,
    };
    use tokio::io::AsyncReadExt;
    let mut accepted = accepted;
    assert_eq!(accepted.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_signed_jwt_that_a_wrong_clock_explains_is_not_refused_for_good() {
    let ahead = |seconds: u64| httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(seconds));
    let check = async |date: String, signed: bool, class: Class, words: &str| {
        let body = r#"{"error":"invalid_grant"}"#;
        let scripted = Scripted::serve(http("400 Bad", &format!("Date: {date}\r\n"), body)).await;
        let error = scripted
            .fetch(|s| {
                s.client = ClientAuthentication::Jwt(Box::new(JwtAuthentication {
                    id: Some(SecretSource::inline("i")),
                    assertion: match signed {
                        true => signed_with_secret(),
                        false => Assertion::Given(SecretSource::inline("a.b.c")),
                    },
                    assertion_type: "urn:x".to_owned(),
                }));
            })
            .await
            .unwrap_err();
        assert_eq!(error.class, class, "{date} {signed}: {error}");
        assert!(error.message.contains(words), "{error}");
    };
    check(ahead(300), true, Class::Refused, "ahead of the server's: set it").await;
    check(ahead(2), true, Class::Permanent, "invalid_grant").await;
    check(ahead(300), false, Class::Permanent, "invalid_grant").await;
}

fn signed_with_secret() -> Assertion {
    Assertion::Signed(Box::new(Signer::new(AssertionKey::Shared(SecretSource::inline("a secret to sign with")))))
}
