//! The listeners as a caller sees them: raw HTTP/1.1 over loopback sockets.

use std::cell::Cell;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::*;
use crate::log;
use crate::reason::Reason;
use crate::shutdown::{self, Trigger};
use crate::token::{Status, Unavailable};
use tokio::net::TcpStream;

/// A credential that stands where the test says.
struct Fake {
    status: Status,
    retried: Rc<Cell<u32>>,
}

impl Credential for Fake {
    fn status(&self) -> Status {
        self.status.clone()
    }

    fn retry(&self) -> bool {
        self.retried.set(self.retried.get() + 1);
        self.status.latched
    }
}

fn valid(name: &str) -> Status {
    Status {
        name: name.to_owned(),
        required: true,
        usable: true,
        settled: true,
        latched: false,
        generation: 3,
        expires_in: Some(Duration::from_millis(61_500)),
        lifetime: Some(Duration::from_secs(71)),
        waiting: 0,
        next_fetch_in: Some(Duration::from_secs(40)),
        last_success_ago: Some(Duration::from_secs(9)),
        last_error: None,
    }
}

fn pending(name: &str) -> Status {
    Status {
        usable: false,
        settled: false,
        generation: 0,
        expires_in: None,
        lifetime: None,
        next_fetch_in: None,
        last_success_ago: None,
        ..valid(name)
    }
}

fn latched(name: &str) -> Status {
    let message = "token endpoint refused the login (401 \"invalid_client\")".to_owned();
    let error = Unavailable { reason: Reason::TokenDenied, message, retry_in: None };
    Status { settled: true, latched: true, last_error: Some(error), ..pending(name) }
}

/// A running listener. Draining begins, and serving ends, when the test says so.
struct Running {
    address: SocketAddr,
    drain: Trigger,
    retried: Rc<Cell<u32>>,
    metrics: Arc<Metrics>,
    observed: Rc<Observed>,
    _end: Trigger,
}

async fn running(face: Face, retry: bool, statuses: Vec<Status>) -> Running {
    let (drain, draining) = shutdown::channel();
    let (end, ended) = shutdown::channel();
    let clock = Clock::for_tests();
    let retried = Rc::new(Cell::new(0));
    let metrics = Arc::new(Metrics::new());
    let observed = Rc::new(Observed::new(Arc::clone(&metrics), clock.clone()));
    let credential = |status| Box::new(Fake { status, retried: Rc::clone(&retried) }) as Box<dyn Credential>;
    let admin = Admin {
        credentials: statuses.into_iter().map(credential).collect(),
        routes: vec![RouteSummary {
            name: "billing".to_owned(),
            listen: vec!["127.0.0.1:8080".to_owned()],
            host: None,
            path: "/billing".to_owned(),
            upstream: Origin::of(&"https://api.example.com/v2?key=canary".parse().unwrap()).unwrap(),
            credential: Some("api".to_owned()),
        }],
        metrics: Arc::clone(&metrics),
        observed: Rc::clone(&observed),
        started: clock.now() - Duration::from_secs(12),
        clock,
        draining,
        hosts: HostRules::new(["bearerd.example"]),
        from: None,
        retry,
        reload: None,
        quit: None,
        log: log::threshold(),
        log_level: retry,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(serve(
        Socket::Tcp(listener.into_std().unwrap()),
        Rc::new(Current::new(admin)),
        face,
        ended,
    ));
    Running { address, drain, retried, metrics, observed, _end: end }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends a request line and fields, reads until the connection ends.
async fn ask(to: SocketAddr, line: &str, fields: &[&str]) -> Answer {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let text = exchange(to, &format!("{line} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n")).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

async fn exchange(to: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(to).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    text
}

async fn get(running: &Running, path: &str) -> Answer {
    ask(running.address, &format!("GET {path}"), &["Host: localhost"]).await
}

/// Runs a test as the control thread runs: many tasks, one thread.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn all_three_probes_are_content_while_every_required_credential_has_a_token() {
    run(async {
        for face in [Face::Admin, Face::Probes] {
            let optional = Status { required: false, ..latched("optional") };
            let running = running(face, true, vec![valid("api"), optional]).await;
            for path in ["/livez", "/readyz", "/startupz", "/healthz", "/ready", "/started"] {
                let answer = get(&running, path).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            }
        }
    });
}

#[test]
fn readiness_names_the_credential_without_a_token_and_the_reason() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("a"), latched("b"), pending("c")]).await;
        let answer = get(&running, "/readyz").await;
        assert_eq!(answer.status, 503);
        let body = answer.json();
        assert_eq!(body["ready"], false);
        assert_eq!(body["credentials"][0]["reason"], Value::Null);
        assert_eq!(body["credentials"][1]["name"], "b");
        assert_eq!(body["credentials"][1]["reason"]["code"], "T021");
        assert!(body["credentials"][1]["reason"]["message"].as_str().unwrap().contains("invalid_client"));
        assert_eq!(body["credentials"][2]["reason"]["code"], "T001");
        assert_eq!(get(&running, "/livez").await.status, 200, "a dead credential does not restart the process");
    });
}

#[test]
fn the_probe_listener_tells_anybody_the_code_but_not_what_the_token_endpoint_said() {
    run(async {
        let running = running(Face::Probes, true, vec![latched("b")]).await;
        let answer = ask(running.address, "GET /readyz", &["Host: evil.test", "Origin: http://evil.test"]).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["credentials"][0]["reason"]["code"], "T021");
        assert!(!answer.body.contains("invalid_client"), "{}", answer.body);
        for (line, wanted) in [("GET /status", 404), ("POST /retry/b", 404), ("GET /metrics", 200)] {
            assert_eq!(ask(running.address, line, &["Host: evil.test"]).await.status, wanted, "{line}");
        }
        assert_eq!(running.retried.get(), 0);
    });
}

#[test]
fn startup_is_over_when_the_first_fetch_has_settled_either_way() {
    run(async {
        let waiting = running(Face::Admin, true, vec![pending("a"), latched("b")]).await;
        let answer = get(&waiting, "/startupz").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["waiting_for"], serde_json::json!(["a"]));
        let settled = running(Face::Admin, true, vec![latched("b")]).await;
        assert_eq!(get(&settled, "/startupz").await.status, 200);
    });
}

#[test]
fn readiness_ends_as_soon_as_draining_begins_and_the_listener_goes_on() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api")]).await;
        assert_eq!(get(&running, "/readyz").await.status, 200);
        running.drain.fire();
        let answer = get(&running, "/readyz").await;
        assert_eq!((answer.status, answer.json()["draining"].as_bool()), (503, Some(true)));
        assert_eq!(get(&running, "/livez").await.status, 200);
        assert_eq!(get(&running, "/startupz").await.status, 200);
    });
}

#[test]
fn metrics_are_prometheus_text() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api")]).await;
        let answer = get(&running, "/metrics").await;
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
        assert!(answer.body.contains("bearerd_build_info{version="), "{}", answer.body);
    });
}

#[test]
fn status_shows_what_is_allowed_and_nothing_else() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api"), latched("b")]).await;
        running.metrics.connections.set(5);
        let answer = get(&running, "/status").await;
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
        let mut body = answer.json();
        assert!(body["uptime_seconds"].as_f64().unwrap() >= 12.0);
        for time in ["/uptime_seconds", "/recent_seconds", "/configuration/read_at", "/configuration/read_seconds_ago"]
        {
            *body.pointer_mut(time).unwrap() = 0.into();
        }
        let cures = std::mem::take(body.pointer_mut("/credentials/1/last_error/cures").unwrap());
        assert!(cures[0].as_str().unwrap().ends_with('.'), "{cures}");
        let wanted = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "uptime_seconds": 0, "ready": false, "draining": false,
            "connections": 5, "requests_in_flight": 0, "replay_memory_bytes": 0, "replay_memory_limit_bytes": 0,
            "configuration": { "file": null, "read_at": 0, "read_seconds_ago": 0, "last_reload": null },
            "recent_seconds": 0,
            "routes": [{
                "name": "billing", "listen": ["127.0.0.1:8080"], "path": "/billing",
                "upstream": "https://api.example.com", "credential": "api", "requests_total": 0,
                "recent": {
                    "requests_per_second": 0.0, "error_share": 0.0, "client_error_share": 0.0, "by_bearerd_share": 0.0,
                    "p50_seconds": null, "p99_seconds": null, "upstream_p50_seconds": null,
                    "upstream_p99_seconds": null, "rates": [],
                },
            }],
            "credentials": [
                {
                    "name": "api", "state": "valid", "required": true, "usable": true, "settled": true, "latched": false,
                    "generation": 3, "lifetime_seconds": 71.0, "expires_in_seconds": 61.5, "next_fetch_in_seconds": 40.0,
                    "last_success_seconds_ago": 9.0, "requests_waiting": 0, "routes": ["billing"], "last_error": null,
                },
                {
                    "name": "b", "state": "latched", "required": true, "usable": false, "settled": true, "latched": true,
                    "generation": 0, "lifetime_seconds": null, "expires_in_seconds": null, "next_fetch_in_seconds": null,
                    "last_success_seconds_ago": null, "requests_waiting": 0, "routes": [],
                    "last_error": {
                        "code": "T021", "title": "token endpoint refused the login",
                        "message": "token endpoint refused the login (401 \"invalid_client\")", "cures": null,
                    },
                },
            ],
            "refusals": [], "certificates": [],
        });
        assert_eq!(body, wanted);
    });
}

#[test]
fn the_status_page_is_for_who_asks_for_html_and_json_for_everybody_else() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api")]).await;
        let browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (path, accept, wanted) in [
            ("/", browser, "text/html"),
            ("/", "Accept: */*", "text/html"),
            ("/", "Accept: text/plain", "text/plain"),
            ("/", "X: y", "text/html"),
            ("/status", browser, "text/html"),
            ("/status", "Accept: */*", "application/json"),
            ("/status", "Accept: application/json, text/html;q=0.9", "application/json"),
            ("/status", "Accept: application/json, text/html", "application/json"),
            ("/status", "Accept: text/html;q=0", "application/json"),
            ("/status", "X: y", "application/json"),
        ] {
            let answer = ask(running.address, &format!("GET {path}"), &["Host: localhost", accept]).await;
            assert!(answer.head.contains(&format!("content-type: {wanted}")), "{path} {accept}: {}", answer.head);
            assert!(answer.head.contains("vary: accept"), "{}", answer.head);
        }
        let page = ask(running.address, "GET /", &["Host: localhost", browser]).await;
        for wanted in ["default-src 'none'", "script-src 'sha256-", "frame-ancestors 'none'", "x-frame-options: deny"] {
            assert!(page.head.contains(wanted), "{wanted}: {}", page.head);
        }
        assert!(!page.head.contains("unsafe"), "{}", page.head);
        // Nothing of it comes from anywhere else, and no style or handler stands in an attribute, where the policy forbids it.
        let body = page.body.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http://", "https://cdn", "src=", "style=", "onclick", "@import", "url("] {
            assert!(!body.contains(foreign), "{foreign}");
        }
        let probes = self::running(Face::Probes, true, vec![valid("api")]).await;
        let answer = ask(probes.address, "GET /", &["Host: localhost", browser]).await;
        assert!(answer.head.contains("content-type: text/plain") && !answer.body.contains("api"), "{}", answer.body);
    });
}

#[test]
fn hostile_words_stay_words_on_the_status_page() {
    run(async {
        let evil = "<script>alert(1)</script>\"'&\u{202e}\u{1b}[2J";
        let error = Unavailable { reason: Reason::TokenDenied, message: evil.to_owned(), retry_in: None };
        let running = running(Face::Admin, true, vec![Status { last_error: Some(error), ..latched(evil) }]).await;
        running.observed.read_from(Some(evil.to_owned()));
        running.observed.reloaded(false, evil.to_owned());
        running.metrics.certificate_expiry.with_label_values(&[evil]).set(1.0);
        let page = get(&running, "/").await.body;
        assert_eq!(page.matches("<script>").count(), 1, "the page's own");
        let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}[2J";
        assert!(page.matches(escaped).count() >= 5, "{page}");
        assert!(!page.contains(['\u{202e}', '\u{1b}']));
    });
}

#[test]
fn the_page_says_what_the_json_says() {
    run(async {
        let failing = Status { last_error: latched("c").last_error, ..valid("c") };
        let running = running(Face::Admin, true, vec![valid("api"), latched("b"), failing]).await;
        running.metrics.refuse(Reason::NoRoute);
        running.metrics.certificate_expiry.with_label_values(&["routes.billing"]).set(1.0);
        running.observed.reloaded(false, "bearerd.toml:3: F003 unknown key".to_owned());
        let page = get(&running, "/").await.body;
        for wanted in [
            "Not ready",
            "No usable token: b.",
            "Valid, renewal fails",
            "No token, given up",
            "in 1 min 2 s",
            "invalid_client",
            "<code>T021</code>",
            "bearerd explain T021",
            "bearerd retry b",
            "https://api.example.com",
            "<code>C001</code>",
            "no route for this request",
            "has expired",
            "routes.billing",
            "F003 unknown key",
            "failed, nothing was changed",
            "renewed at",
            "http-equiv=\"refresh\"",
        ] {
            assert!(page.contains(wanted), "{wanted}: {page}");
        }
        assert!(!page.contains("canary"), "{page}");
        running.drain.fire();
        assert!(get(&running, "/").await.body.contains("Draining"));
    });
}

#[test]
fn retry_wants_post_a_known_name_and_its_switch() {
    run(async {
        let on = running(Face::Admin, true, vec![valid("api"), latched("b c")]).await;
        let local = ["Host: localhost", "Content-Length: 0"];
        let answer = ask(on.address, "GET /retry/api", &local).await;
        assert!(answer.status == 405 && answer.head.contains("allow: post"), "{}", answer.head);
        let answer = ask(on.address, "POST /retry/nobody", &local).await;
        assert!(answer.status == 404 && answer.body.contains("api, b c"), "{}", answer.body);
        assert_eq!(on.retried.get(), 0);
        let answer = ask(on.address, "POST /retry/b%20c", &local).await;
        assert!(answer.status == 200 && answer.body.contains("asking the token endpoint again"), "{}", answer.body);
        let answer = ask(on.address, "POST /retry/api", &local).await;
        assert!(answer.status == 200 && answer.body.contains("nothing to try again"), "{}", answer.body);
        assert_eq!(on.retried.get(), 2);
        let off = running(Face::Admin, false, vec![latched("api")]).await;
        assert_eq!(ask(off.address, "POST /retry/api", &local).await.status, 403);
        assert_eq!(off.retried.get(), 0);
    });
}

#[test]
fn unknown_paths_and_methods_say_what_there_is() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api")]).await;
        let answer = get(&running, "/env.json").await;
        assert!(answer.status == 404 && answer.body.contains("/readyz"), "{}", answer.body);
        assert_eq!(get(&running, "/").await.status, 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let answer = ask(running.address, &format!("{method} /readyz"), &["Host: localhost"]).await;
            assert_eq!(answer.status, 405, "{method}");
        }
    });
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    run(async {
        let running = running(Face::Admin, true, vec![latched("api")]).await;
        let answer = ask(running.address, "HEAD /readyz", &["Host: localhost"]).await;
        assert_eq!((answer.status, answer.body.as_str()), (503, ""));
        assert!(answer.head.contains("content-length: "), "{}", answer.head);
    });
}

#[test]
fn the_admin_listener_refuses_foreign_hosts_and_cross_site_requests() {
    run(async {
        let running = running(Face::Admin, true, vec![latched("api")]).await;
        let own = format!("Host: {}", running.address);
        let origin = format!("Origin: http://{}", running.address);
        let table: &[(&[&str], u16)] = &[
            (&["Host: localhost"], 200),
            (&["Host: LOCALHOST.:9180"], 200),
            (&["Host: [::1]:9180"], 200),
            (&[&own], 200),
            (&[&own, &origin], 200),
            (&[&own, "Sec-Fetch-Site: none"], 200),
            (&[&own, "Sec-Fetch-Site: same-origin"], 200),
            (&["Host: bearerd.example:9180"], 200),
            (&["Host: evil.test"], 421),
            (&["Host: evil.test:9180"], 421),
            (&["Host: localhost.evil.test"], 421),
            (&["Host: bearerd"], 421),
            (&["Host: 10.0.0.1"], 421),
            (&["Host: 0.0.0.0"], 421),
            (&["Host:"], 421),
            (&["Host: localhost", "Host: localhost"], 400),
            (&["Host: localhost", "Host: evil.test"], 400),
            (&[], 400),
            (&[&own, "Sec-Fetch-Site: cross-site"], 403),
            (&[&own, "Sec-Fetch-Site: same-site"], 403),
            (&[&own, "Sec-Fetch-Site: whatever"], 403),
            (&[&own, "Origin: null"], 403),
            (&[&own, "Origin: http://evil.test"], 403),
            (&[&own, "Origin: http://localhost"], 403),
            (&[&own, &origin, "Sec-Fetch-Site: cross-site"], 403),
            (&[&own, &origin, &origin], 403),
        ];
        let mut misdirected = 0;
        for (fields, wanted) in table {
            for line in ["GET /livez", "GET /status", "GET /metrics", "POST /retry/api"] {
                let before = running.retried.get();
                let answer = ask(running.address, line, fields).await;
                assert_eq!(answer.status, *wanted, "{line} {fields:?}: {}", answer.body);
                misdirected += usize::from(answer.status == 421);
                let retried = running.retried.get() - before;
                assert_eq!(retried, u32::from(*wanted == 200 && line.starts_with("POST")), "{line} {fields:?}");
            }
        }
        let absolute = ask(running.address, "GET http://evil.test/livez", &["Host: localhost"]).await;
        assert_eq!(absolute.status, 421);
        let answer = ask(running.address, "GET /livez", &["Host: php-proxy"]).await;
        assert!(answer.body.contains("C003 Host \"php-proxy\" is not allowed; add to [callers]"), "{}", answer.body);
        let counted = format!("bearerd_refused_total{{reason=\"C003\"}} {}", misdirected + 2);
        assert!(misdirected > 0 && running.metrics.render().contains(&counted), "not {counted}");
    });
}

#[test]
fn idle_connections_never_keep_a_probe_out() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api")]).await;
        let started = Instant::now();
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS * 2 {
            let mut socket = TcpStream::connect(running.address).await.unwrap();
            socket.write_all(b"GET /livez HTTP/1.1\r\nHost: local").await.unwrap();
            idle.push(socket);
        }
        assert_eq!(get(&running, "/livez").await.status, 200);
        let mut ended = 0;
        for socket in &mut idle[..CONNECTIONS] {
            ended += usize::from(!matches!(socket.read(&mut [0; 64]).await, Ok(1..)));
        }
        assert_eq!(ended, CONNECTIONS, "the oldest had to go");
        assert!(started.elapsed() < HEAD_TIMEOUT, "they went because of their number, not of their age");
    });
}

#[test]
fn a_head_that_is_never_finished_ends_its_connection() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api")]).await;
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        socket.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        // Let the listener take the connection before time is stopped; an answer elsewhere proves that it had its turn.
        assert_eq!(get(&running, "/livez").await.status, 200);
        tokio::time::pause();
        let started = Instant::now();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
        assert!(started.elapsed() <= HEAD_TIMEOUT + Duration::from_secs(1), "{:?}", started.elapsed());
    });
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    run(async {
        let running = running(Face::Admin, true, vec![valid("api")]).await;
        let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_SIZE));
        assert!(exchange(running.address, &long).await.starts_with("HTTP/1.1 431 "));
    });
}

#[test]
fn the_log_level_is_shown_and_changed_for_a_while() {
    run(async {
        let running = running(Face::Admin, true, vec![]).await;
        let post =
            async |query: &str| ask(running.address, &format!("POST /log-level{query}"), &["Host: localhost"]).await;
        assert_eq!(get(&running, "/log-level").await.json(), json!({ "level": "info", "configured": "info" }));
        let answer = post("?level=debug&for=10m").await;
        assert_eq!((answer.status, &answer.json()["level"]), (200, &json!("debug")));
        let shown = get(&running, "/log-level").await.json();
        assert!((590..=600).contains(&shown["seconds_left"].as_u64().unwrap()), "{shown}");
        for wrong in ["", "?level=loud", "?level=debug&for=soon"] {
            assert_eq!(post(wrong).await.status, 400, "{wrong}");
        }
        post("?level=warn&for=50ms").await;
        let is_back =
            async || get(&running, "/log-level").await.json() == json!({ "level": "info", "configured": "info" });
        let waited = async {
            while !is_back().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited).await.expect("the configured level comes back");
        post("?level=trace").await;
        assert_eq!(post("?level=default").await.json(), json!({ "level": "info", "configured": "info" }));
        let foreign = ["Host: localhost", "Origin: https://evil.example"];
        assert_eq!(ask(running.address, "POST /log-level?level=debug", &foreign).await.status, 403);
    });
}

#[test]
fn the_log_level_is_changed_only_where_that_is_switched_on_and_never_by_probes() {
    run(async {
        let admin = running(Face::Admin, false, vec![]).await;
        let answer = ask(admin.address, "POST /log-level?level=debug", &["Host: localhost"]).await;
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("log_level = true"), "{}", answer.body);
        assert_eq!(get(&admin, "/log-level").await.json()["level"], "info");
        let probes = running(Face::Probes, true, vec![]).await;
        assert_eq!(get(&probes, "/log-level").await.status, 404);
    });
}
