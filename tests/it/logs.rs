//! What the log says of requests, by which names it calls them, and how often it says the same.

use std::process::Command;

use serde_json::Value;

use crate::support::upstream::Seen;
use crate::support::wire::Wire;
use crate::support::{BINARY, Bearerd, Request, Setup, eventually, now, seconds, stage};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The same configuration with these lines in `[log]`.
fn logging(setup: &Setup, lines: &str) -> Setup {
    let text = setup.text().replace("format = \"json\"", &format!("format = \"json\"\n{lines}"));
    setup.clone().file(&text, &["api"])
}

/// The access lines so far, once there are `count`.
#[track_caller]
fn access(bearerd: &Bearerd, count: usize) -> Vec<Value> {
    let lines = || bearerd.log_with("\"target\":\"access\"");
    eventually("the lines are there", seconds(5.0), || lines().len() >= count);
    assert_eq!(lines().len(), count, "{:?}", lines());
    lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn field<'a>(of: &'a Seen, name: &str) -> Option<&'a str> {
    let found: Vec<_> = of.head.fields.0.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map(|(_, value)| value.as_str())
}

#[test]
fn the_access_log_says_what_a_request_was_and_what_became_of_it() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = logging(&setup, "access = true").start_ready();
    let fields = [("x-request-id", "abc-1"), ("traceparent", TRACE), ("tracestate", "vendor=1")];
    let request =
        fields.iter().fold(Request::post("/items?key=hidden", "12345"), |r, (name, value)| r.field(name, value));
    let answer = bearerd.send(&request).expect(200);
    let seen = upstream.only_request();
    for (name, value) in fields {
        assert_eq!(field(&seen, name), Some(value), "unchanged");
    }
    // A token that is revoked costs the caller nothing but shows here.
    endpoint.tokens().revoke_all();
    bearerd.get("/again").expect(200);
    bearerd.send(&Request::get("/").field("host", "evil.example")).expect_problem(421, "C003");
    let lines = access(&bearerd, 3);
    let line = &lines[0];
    for (name, value) in [
        ("method", "POST"),
        ("path", "/items"),
        ("route", "api"),
        ("origin", "upstream"),
        ("peer", "127.0.0.1"),
        ("request_id", "abc-1"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!((line["status"].as_u64(), line["bytes_in"].as_u64()), (Some(200), Some(5)));
    assert_eq!(line["bytes_out"].as_u64(), Some(answer.body.len() as u64));
    let (whole, upstream) = (line["milliseconds"].as_f64().unwrap(), line["upstream_milliseconds"].as_f64().unwrap());
    assert!(whole >= upstream && upstream > 0.0, "{line}");
    assert_eq!(line.get("replayed"), None);
    assert_eq!((&lines[1]["replayed"], &lines[1]["status"]), (&true.into(), &200.into()));
    assert_eq!((&lines[2]["origin"], &lines[2]["code"]), (&"bearerd".into(), &"C003".into()));
    assert!(bearerd.log().iter().all(|line| !line.contains("hidden")), "no query");
}

#[test]
fn of_a_share_of_the_requests_failures_are_logged_all_the_same() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/broken", |exchange| exchange.answer(500, &[], "no"));
    let bearerd = logging(&setup, "access = 0.000001").start_ready();
    for _ in 0..20 {
        bearerd.get("/items").expect(200);
    }
    bearerd.get("/broken").expect(500);
    bearerd.send(&Request::get("/").field("host", "evil.example")).expect(421);
    let statuses: Vec<_> = access(&bearerd, 2).iter().map(|line| line["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(500), Some(421)]);
}

#[test]
fn an_id_is_made_only_where_that_is_configured_and_is_in_problem_documents() {
    let (_endpoint, upstream, setup) = stage(300);
    let plain = setup.start_ready();
    plain.get("/plain").expect(200);
    let seen = upstream.only_request();
    assert_eq!((field(&seen, "x-request-id"), field(&seen, "traceparent")), (None, None));
    let refused = |bearerd: &Bearerd, id: Option<&str>| {
        let request = Request::get("/").field("host", "evil.example");
        let request = id.map_or(request.clone(), |id| request.field("x-request-id", id));
        bearerd.send(&request).expect_problem(421, "C003").json().get("request_id").cloned()
    };
    assert_eq!(refused(&plain, None), None);
    assert_eq!(refused(&plain, Some("caller-7")), Some("caller-7".into()));
    plain.stop();
    let making = logging(&setup, "access = true\nrequest_id = \"X-Request-Id\"").start_ready();
    making.get("/made").expect(200);
    let made = field(&upstream.requests_for("/made")[0], "x-request-id").unwrap().to_owned();
    assert_eq!(made.len(), 36);
    assert_eq!(access(&making, 1)[0]["request_id"], made.as_str());
    making.send(&Request::get("/kept").field("x-request-id", "mine")).expect(200);
    assert_eq!(field(&upstream.requests_for("/kept")[0], "x-request-id"), Some("mine"));
    assert!(refused(&making, None).unwrap().as_str().unwrap().len() == 36);
    // What fails behind the entry says it too.
    upstream.go_down();
    let down = making.send(&Request::get("/down").field("x-request-id", "late"));
    assert_eq!((down.status, &down.json()["request_id"]), (502, &"late".into()));
}

#[test]
fn an_upstream_that_is_down_is_told_once_and_its_return_once() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    upstream.go_down();
    for _ in 0..50 {
        assert_eq!(bearerd.get("/items").status, 502);
    }
    let failures = bearerd.log_with("\"level\":\"warn\"");
    assert!((1..=2).contains(&failures.len()), "one a kind: {failures:?}");
    assert!(failures.iter().all(|line| line.contains("\"code\":\"U00")), "{failures:?}");
    upstream.come_back();
    let began = now();
    eventually("its return is told", seconds(15.0), || {
        bearerd.get("/items").expect(200);
        !bearerd.log_with("answers again").is_empty()
    });
    assert!(began.elapsed() > seconds(3.0), "not while it may be a single success");
    let told = bearerd.log_with("answers again");
    let line: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!((told.len(), line["failures"].as_u64()), (1, Some(50)), "{told:?}");
}

#[test]
fn google_cloud_logging_reads_its_own_members() {
    let (_endpoint, _upstream, setup) = stage(300);
    let text = setup.text().replace("format = \"json\"", "format = \"gcp\"\naccess = true");
    let setup = setup.file(&text, &["api"]).env("GOOGLE_CLOUD_PROJECT", "acme-prod");
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/items").field("traceparent", TRACE)).expect(200);
    let line = access(&bearerd, 1).remove(0);
    assert_eq!(line["severity"], "INFO");
    assert_eq!(line["httpRequest"]["requestMethod"], "GET");
    assert_eq!((&line["httpRequest"]["requestUrl"], &line["httpRequest"]["status"]), (&"/items".into(), &200.into()));
    assert_eq!(line["logging.googleapis.com/trace"], "projects/acme-prod/traces/4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn the_level_is_changed_while_it_runs_where_that_is_switched_on() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.clone().section("[admin]\nlisten = \"127.0.0.1:0\"\nlog_level = true").start_ready();
    // A body that breaks off is told at debug alone.
    let noise = || {
        let wire = Wire::connect(bearerd.address()).unwrap();
        let host = bearerd.address();
        wire.send(format!("POST /items HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n123")).unwrap();
    };
    let debug = || bearerd.log_with("\"level\":\"debug\"");
    noise();
    eventually("the caller is known to be gone", seconds(5.0), || {
        bearerd.metric("bearerd_refused_total", &[("reason", "C010")]).is_some_and(|count| count > 0.0)
    });
    assert_eq!(debug(), Vec::<String>::new());
    let answer = Request::post("/log-level?level=debug&for=1h", "").send(bearerd.admin()).expect(200).json();
    assert_eq!((&answer["level"], &answer["configured"]), (&"debug".into(), &"info".into()));
    bearerd.wait_for_log("log level set by hand", 5.0);
    eventually("debug lines come", seconds(10.0), || {
        noise();
        !debug().is_empty()
    });
    let plain = setup.start_ready();
    let refused = Request::post("/log-level?level=debug", "").send(plain.admin()).expect(403).text();
    assert!(refused.contains("log_level = true"), "{refused}");
}

#[test]
fn the_schema_is_printed_and_is_what_the_repository_documents() {
    let print = |arguments: &[&str]| {
        let output = Command::new(BINARY).arg("schema").args(arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let schema: Value = serde_json::from_str(&print(&[])).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(print(&["--markdown"]), std::fs::read_to_string(root.join("docs/configuration.md")).unwrap());
}
