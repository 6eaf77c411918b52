//! Logins beyond one request, answers that are no JSON, tokens in other places, and what happens to tokens at the end: all of it by
//! configuration, and none of what a login brings in any output, at the level `trace` too.

use std::sync::{Arc, Mutex};

use rustix::process::Signal;

use crate::support::token_endpoint::TokenRequest;
use crate::support::{
    Bearerd, Reply, Request, Setup, Standing, TokenEndpoint, Tokens, Upstream, eventually, seconds, stage,
};

const PASSWORD: &str = "p&ss-canary/word";
const SESSION: &str = "sess-canary+81/2";
const CSRF: &str = "csrf-canary-55";

/// A credential of these lines, with everything logged that can be.
fn setup_of(endpoint: &TokenEndpoint, upstream: &Upstream, lines: &str) -> Setup {
    let origin = format!("http://{}", endpoint.address());
    let credential = format!("token_endpoint = \"{}\"\n{}\n", endpoint.url(), lines.replace("ORIGIN", &origin));
    for secret in [PASSWORD, SESSION, CSRF] {
        endpoint.canaries().add(secret);
    }
    let setup = Setup::new(endpoint.canaries()).credential_only(&upstream.url(), &credential);
    setup.secret_file("password", PASSWORD);
    setup.env("BEARERD_LOG_LEVEL", "trace").env("BEARERD_ACCESS_LOG", "true")
}

/// Answers as the path of the request says; 404 elsewhere.
fn serve(
    endpoint: &TokenEndpoint,
    answer: impl Fn(&str, &TokenRequest, &Tokens) -> Option<Reply> + Send + Sync + 'static,
) {
    endpoint.always(Reply::custom(move |request, tokens| {
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        answer(&path, request, tokens).unwrap_or_else(|| Reply::json(404, r#"{"error":"not_found"}"#))
    }));
}

fn json_token(tokens: &Tokens) -> Reply {
    let body = serde_json::json!({ "access_token": tokens.issue(), "expires_in": tokens.lifetime() });
    Reply::json(200, body.to_string())
}

fn paths(endpoint: &TokenEndpoint) -> Vec<String> {
    let path =
        |request: TokenRequest| format!("{} {}", request.method, request.target.split('?').next().unwrap_or_default());
    endpoint.requests().into_iter().map(path).collect()
}

/// Starts it, waits for the first failure, and returns its log line.
fn failure_of(setup: &Setup, code: &str) -> (Bearerd, String) {
    let bearerd = setup.start();
    bearerd.wait_for_log(&format!("\"code\":\"{code}\""), 10.0);
    let line = bearerd.log_with(&format!("\"code\":\"{code}\"")).remove(0);
    (bearerd, line)
}

const TWO_STEPS: &str = r#"
grant_type = "none"
params = { session = { step = "login", pointer = "/data/session" } }
headers = { x-session = { step = "login", pointer = "/data/session", prefix = "Session " } }
[[credentials.api.steps]]
name = "login"
url = "ORIGIN/login"
encoding = "json"
params = { user = "me", password = { file = "password" }, remember = true }
"#;

fn two_steps(path: &str, request: &TokenRequest, tokens: &Tokens) -> Option<Reply> {
    match path {
        "/login" if request.json()["password"] == PASSWORD && request.json()["remember"] == true => {
            Some(Reply::json(200, format!(r#"{{"data":{{"session":"{SESSION}","id":7}}}}"#)))
        }
        "/login" => Some(Reply::json(401, r#"{"error":"wrong_password"}"#)),
        "/token"
            if request.field("session").as_deref() == Some(SESSION)
                && request.fields.first("x-session") == Some(&format!("Session {SESSION}")) =>
        {
            Some(json_token(tokens))
        }
        _ => None,
    }
}

#[test]
fn a_member_of_the_first_answer_goes_into_the_second_request() {
    let (endpoint, upstream, _) = stage(2);
    serve(&endpoint, two_steps);
    let bearerd = setup_of(&endpoint, &upstream, TWO_STEPS).start_ready();
    bearerd.get("/items").expect(200);
    // A renewal goes through all of it again.
    endpoint.wait_for(4, 10.0);
    assert_eq!(paths(&endpoint)[..4], ["POST /login", "POST /token", "POST /login", "POST /token"]);
    bearerd.get("/items").expect(200);
    assert!(endpoint.requests()[1].field("grant_type").is_none());
}

#[test]
fn a_form_login_that_redirects_leaves_its_cookie_for_the_next_request() {
    let (endpoint, upstream, _) = stage(300);
    serve(&endpoint, |path, request, tokens| match path {
        "/form" => {
            let page = Reply::text(200, "text/html", "<html><form>").with("X-Csrf", CSRF);
            Some(page.with("Set-Cookie", "PRE=pre-canary-1; Path=/; HttpOnly"))
        }
        "/auth" => {
            let knows = request.fields.first("cookie") == Some("PRE=pre-canary-1")
                && request.field("csrf").as_deref() == Some(CSRF)
                && request.field("password").as_deref() == Some(PASSWORD);
            let status = if knows { 302 } else { 200 };
            let answer = Reply::text(status, "text/html", "").with("Location", "/home?secret=1");
            Some(answer.with("Set-Cookie", &format!("SID={SESSION}; Path=/; Secure; SameSite=Lax")))
        }
        "/token" if request.fields.first("cookie") == Some(&format!("PRE=pre-canary-1; SID={SESSION}")) => {
            Some(json_token(tokens))
        }
        _ => None,
    });
    endpoint.canaries().add("pre-canary-1");
    let setup = setup_of(
        &endpoint,
        &upstream,
        r#"
        grant_type = "none"
        method = "GET"
        encoding = "query"
        [[credentials.api.steps]]
        name = "form"
        url = "ORIGIN/form"
        method = "GET"
        [[credentials.api.steps]]
        name = "login"
        url = "ORIGIN/auth"
        params = { user = "me", password = { file = "password" }, csrf = { step = "form", header = "x-csrf" } }
        expect_status = [302, 303]
        "#,
    );
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(paths(&endpoint), ["GET /form", "POST /auth", "GET /token"], "a redirect was followed");
    assert!(!endpoint.requests()[0].fields.has("content-length"));
}

#[test]
fn a_cookie_of_one_host_goes_to_another_only_where_it_is_written() {
    let (endpoint, upstream, _) = stage(300);
    let other = TokenEndpoint::start(endpoint.tokens());
    other.always(Reply::json(200, "{}").with("Set-Cookie", &format!("SID={SESSION}; Path=/")));
    // Both are 127.0.0.1, and cookies know no ports: the other is called by a name.
    let url = format!("http://localhost:{}/session", other.address().port());
    let lines = |headers: &str| {
        format!("grant_type = \"none\"\n{headers}\n[[credentials.api.steps]]\nname = \"login\"\nurl = \"{url}\"\n")
    };
    endpoint.always(Reply::Token);
    setup_of(&endpoint, &upstream, &lines("")).start_ready().stop();
    assert!(!endpoint.requests()[0].fields.has("cookie"));
    let written = lines(r#"headers = { cookie = { step = "login", cookie = "SID", prefix = "SID=" } }"#);
    setup_of(&endpoint, &upstream, &written).start_ready().stop();
    assert_eq!(endpoint.requests()[1].fields.first("cookie"), Some(&*format!("SID={SESSION}")));
}

#[test]
fn an_answer_in_xml_or_as_a_form_is_read() {
    let soap = |token: &str, lifetime| {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"urn:soap\"><s:Body><n:LoginResult xmlns:n=\"urn:n\" lifetime=\"{lifetime}\">\
             <n:token xsi:type=\"string\" xmlns:xsi=\"urn:x\">{token}</n:token></n:LoginResult></s:Body></s:Envelope>"
        )
    };
    let pointers = "[credentials.api.response]\naccess_token = \"/Envelope/Body/LoginResult/token\"\n\
        expires_in = \"/Envelope/Body/LoginResult/@lifetime\"";
    let form = |token: &str, lifetime| format!("access_token={token}&expires={lifetime}");
    type Shape = Box<dyn Fn(&str, u64) -> String + Send + Sync>;
    let rows: [(&str, &str, Shape); 3] = [
        ("text/xml; charset=utf-8", pointers, Box::new(soap)),
        ("text/plain", "[credentials.api.response]\nexpires_in = \"/expires\"", Box::new(form)),
        (
            "application/json",
            "[credentials.api.response]\nformat = \"form\"\nexpires_in = \"/expires\"",
            Box::new(form),
        ),
    ];
    for (content_type, lines, shape) in rows {
        let (endpoint, upstream, _) = stage(90);
        let shape = Arc::new(shape);
        endpoint.always(Reply::custom(move |_, tokens| Reply::text(200, content_type, &shape(&tokens.issue(), 90))));
        let bearerd = setup_of(&endpoint, &upstream, lines).start_ready();
        bearerd.get("/items").expect(200);
        let ends = bearerd.metric("bearerd_token_expiry_timestamp_seconds", &[("credential", "api")]).unwrap();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((60.0..=91.0).contains(&(ends - wall)), "{content_type} lives {} s", ends - wall);
    }
}

#[test]
fn a_token_in_a_header_field_of_the_answer_is_used() {
    let (endpoint, upstream, _) = stage(300);
    endpoint
        .always(Reply::custom(|_, tokens| Reply::text(204, "text/plain", "").with("X-Auth-Token", &tokens.issue())));
    upstream.expect_token_in("x-auth-token", "");
    let lines = "[credentials.api.response]\naccess_token_header = \"x-auth-token\"\n\
        [credentials.api.inject]\nheader = \"x-auth-token\"\nscheme = \"\"";
    let bearerd = setup_of(&endpoint, &upstream, lines).start_ready();
    bearerd.get("/items").expect(200);
}

/// A form login whose answer is a session cookie that is the token, and goes upstream as one.
fn session_stage() -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, _) = stage(300);
    serve(&endpoint, |path, _, tokens| {
        let answer = Reply::text(302, "text/html", "").with("Location", "/home");
        let cookie = format!("JSESSIONID={}; Path=/; HttpOnly; Max-Age=60", tokens.issue());
        (path == "/token").then(|| answer.with("Set-Cookie", &cookie))
    });
    let setup = setup_of(
        &endpoint,
        &upstream,
        r#"
        grant_type = "none"
        username = "me"
        password = { file = "password" }
        [credentials.api.response]
        access_token_cookie = "JSESSIONID"
        expect_status = [302]
        [credentials.api.inject]
        cookie = "JSESSIONID"
        "#,
    );
    (endpoint, upstream, setup)
}

/// What an upstream was sent, whatever the token was worth, with an answer that speaks of the session.
fn telling(upstream: &Upstream, fields: &'static [(&'static str, &'static str)]) {
    upstream.on("/", move |exchange| {
        exchange.read_body()?;
        exchange.answer(200, fields, "{}")
    });
}

#[test]
fn a_session_cookie_goes_upstream_beside_the_callers_other_cookies() {
    let (endpoint, upstream, setup) = session_stage();
    telling(&upstream, &[("Set-Cookie", "JSESSIONID=renewed; Path=/"), ("Set-Cookie", "theme=dark; Path=/")]);
    let bearerd = setup.start_ready();
    let token = endpoint.tokens().issued().remove(0);
    let check = |request: Request, wanted: String| {
        let answer = request.send(bearerd.address()).expect(200);
        let seen = upstream.requests().pop().unwrap();
        let cookies: Vec<_> = seen.head.fields.all("cookie").into_iter().map(str::to_owned).collect();
        assert_eq!(cookies, [wanted], "{}", seen.raw_head());
        // The session is not the caller's to know.
        assert_eq!(answer.fields.all("set-cookie"), ["theme=dark; Path=/"]);
    };
    check(Request::get("/items"), format!("JSESSIONID={token}"));
    let own =
        Request::get("/items").field("Cookie", "a=1; JSESSIONID=evil").field("Cookie", "jsessionid=evil; b=\"2 3\"");
    check(own, format!("a=1; b=\"2 3\"; JSESSIONID={token}"));
    let ends = bearerd.metric("bearerd_token_expiry_timestamp_seconds", &[("credential", "api")]).unwrap();
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((30.0..=61.0).contains(&(ends - wall)), "Max-Age says 60 s, not {}", ends - wall);
}

#[test]
fn a_rejected_session_is_renewed_and_the_request_sent_again_with_the_new_cookie() {
    let (endpoint, upstream, setup) = session_stage();
    upstream.expect_token_in("cookie", "JSESSIONID=");
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    assert_eq!((upstream.with_token(Standing::Live), upstream.with_token(Standing::Revoked)), (2, 1));
}

#[test]
fn a_token_in_the_query_replaces_every_spelling_of_the_callers_own() {
    let (endpoint, upstream, _) = stage(300);
    telling(
        &upstream,
        &[("Location", "/next?page=2&access_token=echoed"), ("Link", "</n?access_token=echoed>; rel=next")],
    );
    let bearerd = setup_of(&endpoint, &upstream, "[credentials.api.inject]\nquery = \"access_token\"").start_ready();
    let token = endpoint.tokens().issued().remove(0);
    let check = |target: &str, wanted: &str| {
        let answer = Request::get(target).send(bearerd.address()).expect(200);
        let seen = upstream.requests().pop().unwrap();
        assert_eq!(seen.target(), format!("{wanted}access_token={token}"));
        assert!(!seen.head.fields.has("authorization"));
        assert_eq!(answer.field("location"), Some("/next?page=2"));
        assert_eq!(answer.field("link"), Some("</n>; rel=next"));
    };
    check("/items", "/items?");
    check("/items?a=1&b=%20+", "/items?a=1&b=%20+&");
    check("/items?access_token=evil&a=1&access%5ftoken=evil&Access_Token=evil", "/items?a=1&");
    check("/items?access_token[]=evil", "/items?");
    // An upgrade is a request like any other.
    let upgrade =
        Request::get("/ws?access_token=evil&room=1").field("Connection", "Upgrade").field("Upgrade", "websocket");
    let upgrade = upgrade.field("Sec-WebSocket-Version", "13").field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    upgrade.send(bearerd.address());
    let seen = upstream.requests().pop().unwrap();
    assert_eq!(seen.target(), format!("/ws?room=1&access_token={token}"));
    assert_eq!(seen.head.fields.first("upgrade"), Some("websocket"));
    assert!(!bearerd.log_with("\"path\":\"/items\"").is_empty(), "the access log is on");
}

#[test]
fn the_token_in_the_query_comes_back_in_no_reference() {
    let (endpoint, upstream, _) = stage(300);
    upstream.on("/", |exchange| {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let once = format!("/login?next={}", encode(exchange.target()));
        let link = format!("<https://sso.example/?back={}>; rel=login", encode(&once));
        exchange.read_body()?;
        exchange.answer(302, &[("Location", &once), ("Link", &link)], "")
    });
    let bearerd = setup_of(&endpoint, &upstream, "[credentials.api.inject]\nquery = \"access_token\"").start_ready();
    let answer = Request::get("/items?a=1").send(bearerd.address()).expect(302);
    assert_eq!(answer.field("location"), Some("/login?next=%2Fitems%3Fa%3D1%26access_token%3D"));
    let link = "<https://sso.example/?back=%2Flogin%3Fnext%3D%252Fitems%253Fa%253D1%2526access_token%253D>; rel=login";
    assert_eq!(answer.field("link"), Some(link));
}

#[test]
fn a_rejected_token_in_the_query_is_replaced_for_the_replay() {
    let (endpoint, upstream, _) = stage(300);
    let tokens = endpoint.tokens().clone();
    upstream.on("/", move |exchange| {
        let token = exchange.target().rsplit("key=").next().unwrap_or_default().to_owned();
        exchange.read_body()?;
        if tokens.standing(&token) == Standing::Live { exchange.answer(200, &[], "{}") } else { exchange.deny() }
    });
    let bearerd = setup_of(&endpoint, &upstream, "[credentials.api.inject]\nquery = \"key\"").start_ready();
    bearerd.get("/items").expect(200);
    endpoint.tokens().revoke_all();
    Request::post("/items?a=1", "body").send(bearerd.address()).expect(200);
    let [old, new] = [0, 1].map(|n: usize| endpoint.tokens().issued().remove(n));
    let targets: Vec<_> = upstream.requests().iter().skip(1).map(|seen| seen.target().to_owned()).collect();
    assert_eq!(targets, [format!("/items?a=1&key={old}"), format!("/items?a=1&key={new}")]);
}

#[test]
fn a_refresh_request_can_have_an_endpoint_and_a_shape_of_its_own() {
    let (endpoint, upstream, _) = stage(2);
    let number = Arc::new(Mutex::new(0));
    serve(&endpoint, move |path, request, tokens| {
        let mut number = number.lock().unwrap();
        let good = match path {
            "/token" => request.field("password").as_deref() == Some(PASSWORD),
            "/refresh" => {
                request.method == "PUT"
                    && request.fields.first("authorization") == Some(&format!("Bearer refresh-canary-{number}"))
                    && request.json() == serde_json::json!({ "device": "bearerd" })
                    && request.fields.first("cookie").is_none()
            }
            _ => return None,
        };
        if !good {
            return Some(Reply::json(400, r#"{"error":"invalid_request"}"#));
        }
        *number += 1;
        tokens.canaries().add(&format!("refresh-canary-{number}"));
        let (token, lifetime) = (tokens.issue(), tokens.lifetime());
        let body = serde_json::json!({ "access_token": token, "expires_in": lifetime, "refresh_token": format!("refresh-canary-{number}") });
        Some(Reply::json(200, body.to_string()))
    });
    let setup = setup_of(
        &endpoint,
        &upstream,
        r#"
        grant_type = "none"
        username = "me"
        password = { file = "password" }
        [credentials.api.refresh]
        endpoint = "ORIGIN/refresh"
        method = "PUT"
        encoding = "json"
        grant_type = "none"
        params = { device = "bearerd" }
        headers = { authorization = { refresh_token = true, prefix = "Bearer " } }
        "#,
    );
    let bearerd = setup.start_ready();
    endpoint.wait_for(4, 15.0);
    assert_eq!(paths(&endpoint)[..4], ["POST /token", "PUT /refresh", "PUT /refresh", "PUT /refresh"]);
    bearerd.get("/items").expect(200);
}

#[test]
fn tokens_are_given_back_when_it_ends_and_no_request_needs_them_any_more() {
    let (endpoint, upstream, setup) = stage(300);
    serve(&endpoint, |path, _, tokens| match path {
        "/token" => {
            tokens.canaries().add("refresh-canary-9");
            let body = serde_json::json!({ "access_token": tokens.issue(), "expires_in": 300, "refresh_token": "refresh-canary-9" });
            Some(Reply::json(200, body.to_string()))
        }
        "/revoke" => Some(Reply::text(200, "text/plain", "")),
        _ => None,
    });
    let revocation = format!("[credentials.api.revocation]\nendpoint = \"http://{}/revoke\"", endpoint.address());
    let (order, seen) = (Arc::new(Mutex::new(Vec::new())), endpoint.tokens().clone());
    let noted = order.clone();
    upstream.on("/slow", move |exchange| {
        crate::support::pause(seconds(0.5));
        noted.lock().unwrap().push(crate::support::now());
        assert_eq!(seen.issued().len(), 1);
        exchange.answer(200, &[], "{}")
    });
    let mut bearerd = setup.section(&revocation).env("BEARERD_LOG_LEVEL", "trace").start_ready();
    let address = bearerd.address();
    let caller = std::thread::spawn(move || Request::get("/slow").send(address));
    eventually("the request is under way", seconds(5.0), || upstream.count() == 1);
    bearerd.signal(Signal::TERM);
    caller.join().unwrap().expect(200);
    assert_eq!(bearerd.wait_exit(10.0), Some(0));
    assert_eq!(paths(&endpoint), ["POST /token", "POST /revoke", "POST /revoke"]);
    let requests = endpoint.requests();
    let told = |n: usize| (requests[n].field("token").unwrap(), requests[n].field("token_type_hint").unwrap());
    assert_eq!(told(1), ("refresh-canary-9".to_owned(), "refresh_token".to_owned()));
    assert_eq!(told(2), (endpoint.tokens().issued().remove(0), "access_token".to_owned()));
    assert!(requests[1].basic().is_some() && requests[1].basic() == requests[0].basic());
    assert!(order.lock().unwrap()[0] < requests[1].at, "the token was given back before the last answer");
    assert_eq!(bearerd.log_with("tokens given back").len(), 1);
}

#[test]
fn a_vendors_logout_has_the_session_of_its_login() {
    let (endpoint, upstream, _) = stage(300);
    serve(&endpoint, |path, request, tokens| match path {
        "/login" => Some(
            Reply::json(200, format!(r#"{{"csrf":"{CSRF}"}}"#)).with("Set-Cookie", &format!("SID={SESSION}; Path=/")),
        ),
        "/token" => Some(json_token(tokens)),
        "/logout" if request.fields.first("cookie") == Some(&format!("SID={SESSION}")) => {
            Some(Reply::text(302, "text/html", "").with("Location", "/"))
        }
        _ => None,
    });
    let setup = setup_of(
        &endpoint,
        &upstream,
        r#"
        grant_type = "none"
        [[credentials.api.steps]]
        name = "login"
        url = "ORIGIN/login"
        params = { password = { file = "password" } }
        [credentials.api.revocation]
        endpoint = "ORIGIN/logout"
        method = "DELETE"
        encoding = "query"
        headers = { authorization = { access_token = true, prefix = "Bearer " }, x-csrf = { step = "login", pointer = "/csrf" } }
        "#,
    );
    let mut bearerd = setup.start_ready();
    bearerd.signal(Signal::TERM);
    assert_eq!(bearerd.wait_exit(10.0), Some(0));
    assert_eq!(paths(&endpoint), ["POST /login", "POST /token", "DELETE /logout"]);
    let logout = endpoint.requests().remove(2);
    assert_eq!(logout.fields.first("authorization"), Some(&*format!("Bearer {}", endpoint.tokens().issued()[0])));
    assert_eq!(logout.fields.first("x-csrf"), Some(CSRF));
    assert_eq!(bearerd.log_with("tokens given back").len(), 1);
}

#[test]
fn a_logout_that_fails_or_hangs_is_told_and_nothing_else() {
    let echo = |request: &TokenRequest| {
        Reply::json(400, format!(r#"{{"error":"unsupported_token_type","error_description":"{}"}}"#, request.text()))
    };
    let rows: [(&str, Reply, &str); 2] = [
        ("refuses", Reply::custom(move |request, _| echo(request)), "unsupported_token_type"),
        ("hangs", Reply::Stall(Vec::new()), "no answer within 3s"),
    ];
    for (name, reply, words) in rows {
        let (endpoint, _upstream, setup) = stage(300);
        serve(&endpoint, move |path, _, tokens| {
            Some(if path == "/token" { json_token(tokens) } else { reply.clone() })
        });
        let revocation = format!("[credentials.api.revocation]\nendpoint = \"http://{}/revoke\"", endpoint.address());
        let mut bearerd = setup.section(&revocation).env("BEARERD_LOG_LEVEL", "trace").start_ready();
        bearerd.signal(Signal::TERM);
        assert_eq!(bearerd.wait_exit(8.0), Some(0), "{name}");
        let line = bearerd.log_with("T027").remove(0);
        assert!(line.contains("T027 api: token could not be given back") && line.contains(words), "{name}: {line}");
    }
}

#[test]
fn nothing_is_given_back_that_nobody_asked_for_or_that_never_came() {
    let (endpoint, _upstream, setup) = stage(300);
    let revocation = format!("[credentials.api.revocation]\nendpoint = \"{}\"\n", endpoint.url());
    setup.clone().section(&format!("{revocation}on_shutdown = false")).start_ready().stop();
    assert_eq!(endpoint.count(), 1);
    endpoint.always(Reply::json(503, "{}"));
    let bearerd = setup.section(&revocation).start();
    bearerd.wait_for_log("T013", 10.0);
    bearerd.stop();
    assert!(endpoint.requests().iter().all(|request| request.field("token").is_none()));
}

#[test]
fn a_step_that_fails_is_classed_like_a_token_request_and_named() {
    let (masked, session) = ("***", SESSION);
    let echo = |request: &TokenRequest| {
        Reply::json(400, format!(r#"{{"message":"no {}"}}"#, request.json()["password"].as_str().unwrap_or_default()))
    };
    let rows: Vec<(&str, Reply, &str, Vec<&str>)> = vec![
        (
            "denied",
            Reply::json(401, r#"{"error":"invalid_grant"}"#),
            "T021",
            vec!["refused the login, at the step", "(401", "invalid_grant"],
        ),
        (
            "echo",
            Reply::custom(move |request, _| echo(request)),
            "T020",
            vec!["refused the request, at the step", masked],
        ),
        ("busy", Reply::json(429, "{}").with("Retry-After", "2"), "T014", vec!["at the step"]),
        ("broken", Reply::text(500, "text/plain", "down"), "T013", vec!["at the step", "down"]),
        (
            "redirect",
            Reply::text(302, "text/html", "").with("Location", "https://evil.example/?a=b"),
            "T022",
            vec!["at the step", "https://evil.example/)"],
        ),
        (
            "member",
            Reply::json(200, r#"{"data":{"sid":1}}"#),
            "T016",
            vec!["at the step", "there is no /data/session; the answer has: data"],
        ),
        ("not text", Reply::json(200, r#"{"data":{"session":{}}}"#), "T016", vec!["/data/session is no text"]),
        (
            "disguised",
            Reply::json(200, r#"{"error":{"message":"wrong password"}}"#),
            "T020",
            vec!["at the step", "wrong password"],
        ),
        (
            "page",
            Reply::text(200, "text/html", "<html><title>Welcome</title>"),
            "T015",
            vec!["at the step", "a page (HTML)"],
        ),
        (
            "cut",
            Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{".to_vec()),
            "T015",
            vec!["at the step", "it was cut off"],
        ),
    ];
    for (name, reply, code, words) in rows {
        let (endpoint, upstream, _) = stage(300);
        serve(&endpoint, move |path, _, tokens| {
            Some(if path == "/login" { reply.clone() } else { json_token(tokens) })
        });
        let (_bearerd, line) = failure_of(&setup_of(&endpoint, &upstream, TWO_STEPS), code);
        for word in words.iter().chain(&[r#"\"login\""#]) {
            assert!(line.contains(word), "{name}: {word} is not in {line}");
        }
        assert!(!line.contains(session), "{line}");
        assert_eq!(paths(&endpoint)[0], "POST /login");
        assert!(!paths(&endpoint).contains(&"POST /token".to_owned()), "{name}: the token request followed");
    }
}

#[test]
fn a_form_that_is_shown_again_is_a_refusal_and_its_page_stays_untold() {
    let (endpoint, upstream, _) = stage(300);
    endpoint.always(Reply::text(200, "text/html", "<title>Log in again</title>").with("Set-Cookie", "SID=x"));
    let (_bearerd, line) =
        failure_of(&setup_of(&endpoint, &upstream, &format!("{TWO_STEPS}expect_status = [302]")), "T020");
    assert!(line.contains("(200, where 302 was expected)") && !line.contains("Log in again"), "{line}");
}

#[test]
fn what_a_step_brought_is_masked_in_the_failures_after_it() {
    let (endpoint, upstream, _) = stage(300);
    serve(&endpoint, |path, request, tokens| match path {
        "/token" => {
            let said = format!("{} and {}", request.text(), request.fields.first("x-session").unwrap_or_default());
            Some(Reply::json(400, serde_json::json!({ "message": said }).to_string()))
        }
        _ => two_steps(path, request, tokens),
    });
    let (_bearerd, line) = failure_of(&setup_of(&endpoint, &upstream, TWO_STEPS), "T020");
    assert!(line.contains("session=*** and ***") && !line.contains("at the step"), "{line}");
}

#[test]
fn all_requests_of_a_login_have_one_deadline_together() {
    let (endpoint, upstream, _) = stage(300);
    serve(&endpoint, |path, request, tokens| match path {
        "/login" => two_steps(path, request, tokens).map(|reply| reply.late(1.4)),
        _ => Some(Reply::Stall(Vec::new())),
    });
    let setup = setup_of(&endpoint, &upstream, TWO_STEPS).section("[timeouts]\ntoken_request = \"2s\"");
    let (_bearerd, line) = failure_of(&setup, "T012");
    let took = endpoint.requests()[0].at.elapsed();
    assert!(line.contains("no answer within 2s"), "{line}");
    // Two seconds for each of them would be 3.4.
    assert!(took < seconds(3.1), "{took:?}");
}

#[test]
fn a_token_that_is_not_where_it_should_be_or_not_legal_there_is_told() {
    let rows = [
        ("access_token_header = \"x-auth-token\"", Reply::json(200, "{}"), "it has no header field x-auth-token"),
        ("access_token_cookie = \"SID\"", Reply::json(200, "{}").with("Set-Cookie", "sid=1"), "it sets no cookie SID"),
        ("access_token = \"/a/b\"", Reply::text(200, "text/xml", "<a><b>x</b><b>y</b></a>"), "/a/b is not a text"),
        ("format = \"xml\"", Reply::text(200, "text/xml", "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>"), "document type"),
        ("format = \"form\"", Reply::text(200, "text/plain", "access_token=a&access_token=b"), "comes twice"),
    ];
    for (lines, reply, words) in rows {
        let (endpoint, upstream, _) = stage(300);
        endpoint.always(reply);
        let bearerd = setup_of(&endpoint, &upstream, &format!("[credentials.api.response]\n{lines}")).start();
        bearerd.wait_for_log(words, 10.0);
    }
    let (endpoint, upstream, _) = stage(300);
    endpoint.always(Reply::json(200, r#"{"access_token":"semi;canary"}"#));
    endpoint.canaries().add("semi;canary");
    let bearerd = setup_of(&endpoint, &upstream, "[credentials.api.inject]\ncookie = \"SID\"").start();
    bearerd.wait_for_log("characters that no cookie may carry", 10.0);
}
