//! The token endpoint as adversary: whatever it answers, the old token stays in use and renewal goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;

use crate::support::client::Load;
use crate::support::listener::Listener;
use crate::support::wire::chunk;
use crate::support::{FLOOR, Reply, Request, Standing, TokenEndpoint, eventually, seconds, stage};

/// Bearerd has a token when the fault begins, meets it twice at least, and recovers after it.
#[track_caller]
fn check(name: &str, code: &str, fault: impl Fn(&TokenEndpoint) -> Reply) {
    let (endpoint, upstream, setup) = stage(4);
    let setup = setup.section("[timeouts]\ntoken_request = \"700ms\"");
    let bearerd = setup.start_ready();
    endpoint.tokens().set_lifetime(300);
    endpoint.always(fault(&endpoint));
    let load = Load::start(bearerd.address(), 1, seconds(0.02), Request::get("/items"));
    eventually(&format!("{name}: {code} in the log"), seconds(8.0), || !bearerd.log_with(code).is_empty());
    let report = load.stop();
    // The failure came before the token's end, so nobody noticed.
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [200], "{name}: {report:?}");
    endpoint.always(Reply::Token);
    eventually(&format!("{name}: recovered"), seconds(8.0), || {
        bearerd.get("/items").status == 200 && bearerd.is_ready()
    });
    eventually(&format!("{name}: a new token"), seconds(8.0), || bearerd.token_requests("success") >= 2.0);
    assert_eq!(upstream.with_token(Standing::Live), upstream.count(), "{name}: a dead token was sent");
    let times: Vec<_> = endpoint.requests().iter().map(|request| request.at).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= seconds(FLOOR), "{name}: token requests {:?} apart", pair[1] - pair[0]);
    }
}

fn ok(body: impl AsRef<str>) -> Reply {
    Reply::json(200, body)
}

fn raw(head: &str, body: impl AsRef<[u8]>) -> Reply {
    Reply::Raw([format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), body.as_ref()].concat())
}

#[test]
fn html_with_200_is_malformed() {
    check("html", "T015", |_| Reply::text(200, "text/html", "<html><body>Please sign in</body></html>"));
}

#[test]
fn an_empty_200_is_malformed() {
    check("empty", "T015", |_| ok(""));
}

#[test]
fn a_204_is_malformed() {
    check("204", "T015", |_| Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()));
}

#[test]
fn truncated_json_is_malformed() {
    check("truncated", "T015", |_| ok(r#"{"access_token":"abc","expires_"#));
}

#[test]
fn json_that_nests_ten_thousand_deep_is_malformed() {
    check("deep", "T015", |_| ok("[".repeat(10_000)));
}

#[test]
fn a_body_that_ends_early_is_a_failure() {
    check("short body", "T01", |_| raw("Content-Length: 500\r\n", r#"{"access_token":"#));
}

#[test]
fn a_body_that_hangs_halfway_ends_with_the_timeout() {
    check("half body", "T012", |_| {
        Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"access_token\":".to_vec())
    });
}

#[test]
fn an_endpoint_that_says_nothing_ends_with_the_timeout() {
    check("silence", "T012", |_| Reply::Stall(Vec::new()));
}

#[test]
fn a_connection_closed_without_an_answer_is_a_failure() {
    check("closed", "T010", |_| Reply::Close);
}

#[test]
fn a_503_is_a_failure_for_now() {
    check("503", "T013", |_| Reply::text(503, "text/plain", "no healthy upstream"));
}

#[test]
fn a_429_is_a_failure_for_now() {
    check("429", "T014", |_| Reply::text(429, "text/plain", "slow down").with("Retry-After", "1"));
}

#[test]
fn a_huge_answer_is_cut_off() {
    check("huge", "T015", |_| ok(format!(r#"{{"access_token":"{}"}}"#, "x".repeat(5_000_000))));
}

#[test]
fn a_token_with_a_line_end_never_becomes_a_header() {
    check("crlf", "T016", |_| ok(r#"{"access_token":"abc\r\nX-Evil: 1","expires_in":300}"#));
}

#[test]
fn a_token_that_is_too_long_is_refused() {
    check("17 KiB", "T016", |_| ok(format!(r#"{{"access_token":"{}","expires_in":300}}"#, "x".repeat(17 * 1024))));
}

#[test]
fn what_is_no_token_is_refused() {
    for value in [r#""""#, "1", "null", r#""with space""#, r#""nul\u0000""#, r#""tökén""#, "[]"] {
        let (endpoint, _upstream, setup) = stage(300);
        endpoint.next([ok(format!(r#"{{"access_token":{value},"expires_in":300}}"#))]);
        let bearerd = setup.start();
        bearerd.wait_ready(6.0);
        assert!(!bearerd.log_with("T01").is_empty(), "{value}: {:?}", bearerd.log());
        bearerd.get("/items").expect(200);
        assert_eq!(endpoint.count(), 2, "{value}");
    }
}

#[test]
fn a_token_where_none_was_looked_for_is_shown_nowhere() {
    for token in ["ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5", "0b7a9c1e-5f43-4d2b-9c3e-1a2b3c4d5e6f", "tok-a1b2"] {
        for body in ["T", "[T]", r#"{"message":T}"#, r#"{"errors":[T]}"#, r#"{"error":"x","error_description":T}"#] {
            let (endpoint, _upstream, setup) = stage(300);
            endpoint.always(ok(body.replace('T', &format!("\"{token}\""))));
            let bearerd = setup.credential("refresh.wait = \"100ms\"").start();
            bearerd.wait_for_log("T0", 6.0);
            let answer = bearerd.get("/items").expect(503);
            assert!(answer.field("proxy-status").is_some_and(|value| value.contains("T0")), "{}", answer.raw_head);
            let shown = [answer.raw_head.clone(), answer.text(), bearerd.log().join("\n")];
            let asked = ["/status", "/readyz", "/", "/metrics"].map(|path| {
                let answer = bearerd.admin_get(path);
                format!("{}{}", answer.raw_head, answer.text())
            });
            for text in shown.iter().chain(&asked) {
                assert!(!text.is_empty() && !text.contains(token), "{body}: {text}");
            }
        }
    }
}

#[test]
fn a_200_with_an_error_is_no_token() {
    check("error with 200", "T01", |_| ok(r#"{"error":"server_error","error_description":"try later"}"#));
}

#[test]
fn an_answer_in_a_compression_that_nobody_asked_for_is_malformed() {
    check("gzip", "T015", |_| {
        raw("Content-Encoding: gzip\r\nContent-Length: 10\r\n", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
    });
}

#[test]
fn a_chunked_answer_with_trailers_is_understood() {
    let (endpoint, _upstream, setup) = stage(300);
    let token = endpoint.tokens().issue();
    let body = format!(r#"{{"access_token":"{token}","expires_in":300}}"#);
    let (first, second) = body.split_at(20);
    let chunks = [chunk(first), chunk(second), b"0\r\nX-Sum: 1\r\n\r\n".to_vec()].concat();
    endpoint.always(raw("Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\n", chunks));
    setup.start_ready().get("/items").expect(200);
}

#[test]
fn interim_answers_come_before_the_real_one() {
    let (endpoint, _upstream, setup) = stage(300);
    let token = endpoint.tokens().issue();
    let body = format!(r#"{{"access_token":"{token}","expires_in":300}}"#);
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(3);
    let answer = format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    endpoint.always(Reply::Raw(answer.into_bytes()));
    setup.start_ready().get("/items").expect(200);
}

#[test]
fn a_redirect_is_never_followed_and_its_target_is_named() {
    for status in [301, 302, 303, 307, 308] {
        let (endpoint, _upstream, setup) = stage(300);
        let touched = Arc::new(AtomicUsize::new(0));
        let counter = touched.clone();
        let trap = Listener::start(Arc::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        let target = format!("http://{}/elsewhere", trap.address());
        endpoint.always(Reply::text(status, "text/plain", "").with("Location", &target));
        let bearerd = setup.start();
        bearerd.wait_for_log("T022", 5.0);
        let told = bearerd.log_with("T022").join("\n");
        assert!(told.contains(&trap.address().to_string()), "the target is not named: {told}");
        bearerd.get("/items").expect_problem(503, "T022");
        assert_eq!(endpoint.count(), 1);
        assert_eq!(touched.load(Ordering::SeqCst), 0, "{status}: the target was dialled");
    }
}

#[test]
fn an_answer_that_echoes_the_request_leaks_nothing() {
    // The harness searches everything that was said when `bearerd` is dropped.
    let (endpoint, _upstream, setup) = stage(300);
    let setup = setup.credential("client_authentication = \"client_secret_post\"");
    endpoint.always(Reply::custom(|request, _| {
        let echoed = serde_json::json!({ "error": "invalid_request", "error_description": request.text() });
        let plain: String = request.form().iter().map(|(name, value)| format!("{name}={value};")).collect();
        Reply::json(422, serde_json::json!({ "echo": echoed, "error": plain, "error_description": plain }).to_string())
    }));
    let bearerd = setup.start();
    bearerd.wait_for_log("T020", 5.0);
    bearerd.get("/items").expect_problem(503, "T020");
}

#[test]
fn an_echo_as_common_stacks_write_it_leaks_nothing() {
    const PASSWORD: &str = "it's(me)&pä/ss+w0rd<";
    let (endpoint, _upstream, setup) = stage(300);
    setup.secret_file("password", PASSWORD);
    let setup = setup.credential("username = \"robot\"\npassword = { file = \"password\" }");
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("robot:{PASSWORD}"));
    let echoes = [
        "PHP it&#039;s(me)&amp;pä/ss+w0rd&lt;",
        "Django it&#x27;s(me)&amp;pä/ss+w0rd&lt;",
        "Go it&#39;s(me)&amp;pä/ss&#43;w0rd&lt;",
        "encodeURIComponent it's(me)%26p%C3%A4%2Fss%2Bw0rd%3C",
        "quote it%27s%28me%29%26p%C3%A4/ss%2Bw0rd%3C",
        ".NET it\\u0027s(me)\\u0026p\\u00E4/ss\\u002Bw0rd\\u003C",
        "json_encode it's(me)&p\\u00e4\\/ss+w0rd<",
        "twice it%2527s%2528me%2529%2526p%25C3%25A4%252Fss%252Bw0rd%253C",
        &format!("pair {pair}"),
    ];
    let wanted = echoes.map(|echo| format!("{} ***", echo.split(' ').next().unwrap())).join(", ");
    let said = serde_json::json!({ "error": "invalid_request", "error_description": echoes.join(", ") });
    endpoint.always(Reply::json(400, said.to_string()));
    let bearerd = setup.start();
    bearerd.wait_for_log("T020", 5.0);
    let problem = bearerd.get("/items").expect_problem(503, "T020").text();
    let status = Request::get("/status").send(bearerd.admin()).text();
    for text in [bearerd.log_with("T020").remove(0), problem, status] {
        assert!(text.contains(&wanted), "{text}");
    }
}

#[test]
fn an_error_that_is_not_json_is_shown_short_and_escaped() {
    let (endpoint, _upstream, setup) = stage(300);
    let body =
        format!("{{\"code\": 400\n\u{1b}[31m\"error\": \"gateway_auth_wrong_redirect_url\"{}", "z".repeat(5_000));
    endpoint.always(Reply::text(400, "application/json", &body));
    let bearerd = setup.start();
    bearerd.wait_for_log("T020", 5.0);
    let line = bearerd.log_with("T020").remove(0);
    assert!(line.contains("gateway_auth_wrong_redirect_url"), "{line}");
    assert!(line.len() < 2_000 && !line.contains('\u{1b}'), "{line}");
}
