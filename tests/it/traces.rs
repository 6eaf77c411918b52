//! Spans as a collector gets them, and what happens to them and to requests while it does not take them.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::{read_response, read_response_head};
use crate::support::collector::{Collector, Mood, Span, partial_success};
use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, frame, request};
use crate::support::setup::CLIENT_SECRET;
use crate::support::upstream::Seen;
use crate::support::wire::Wire;
use crate::support::{
    After, Bearerd, Reply, Request, Setup, TokenEndpoint, Upstream, eventually, now, seconds, stage, throughout,
};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// The usual three with a collector, and `lines` in `[traces]`. Spans are sent at once, and what fails is tried again at once.
fn traced(lines: &str) -> (TokenEndpoint, Upstream, Collector, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    let collector = Collector::start();
    let setup = setup.section(&format!("[traces]\nendpoint = \"{}\"\n{lines}", collector.url()));
    (endpoint, upstream, collector, setup.env("OTEL_BSP_SCHEDULE_DELAY", "20"))
}

#[track_caller]
fn field<'a>(of: &'a Seen, name: &str) -> Option<&'a str> {
    let found = of.head.fields.all(name);
    assert!(found.len() <= 1, "{found:?}");
    found.first().copied()
}

/// What `traceparent` must say to name a span.
fn naming(span: &Span) -> String {
    format!("00-{}-{}-01", span.trace_id, span.span_id)
}

#[track_caller]
fn expect(span: &Span, wanted: &[(&str, &str)]) {
    for (key, value) in wanted {
        assert_eq!(span.get(key), Some(*value), "{key} of {span:#?}");
    }
}

fn dropped(bearerd: &Bearerd, reason: &str) -> f64 {
    bearerd.metric("bearerd_spans_dropped_total", &[("reason", reason)]).expect("exists from the start")
}

fn exported(bearerd: &Bearerd) -> f64 {
    bearerd.metric("bearerd_spans_exported_total", &[]).expect("exists from the start")
}

#[test]
fn a_request_is_a_span_and_its_sending_is_another_that_the_upstream_hears_of() {
    let lines =
        "headers = { x-api-key = \"collector key 77\" }\nservice_name = \"sidecar\"\nresource = { team = \"a\" }";
    let (endpoint, upstream, collector, setup) = traced(lines);
    setup.canaries().add("hidden-in-the-query");
    let bearerd = setup.env("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=web-1,team=b").start_ready();
    let request = Request::get("/items?key=hidden-in-the-query").field("x-request-id", "abc-1");
    bearerd.send(&request.field("tracestate", "of=nobody")).expect(200);
    let spans = collector.wait_for(2);
    let [server, client] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((server.name.as_str(), server.kind, server.parent.as_str()), ("GET /", 2, ""));
    assert_eq!((server.trace_id.len(), server.span_id.len(), server.status), (32, 16, 0));
    expect(
        server,
        &[
            ("http.request.method", "GET"),
            ("url.scheme", "http"),
            ("url.path", "/items"),
            ("http.response.status_code", "200"),
            ("http.route", "/"),
            ("server.address", "127.0.0.1"),
            ("server.port", &bearerd.address().port().to_string()),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("bearerd.route", "api"),
            ("bearerd.origin", "upstream"),
            ("bearerd.request_id", "abc-1"),
        ],
    );
    assert_eq!(server.get("error.type"), None);
    assert_eq!((client.name.as_str(), client.kind), ("GET", 3));
    assert_eq!((&client.trace_id, &client.parent), (&server.trace_id, &server.span_id));
    let url = format!("{}/items", upstream.url());
    expect(
        client,
        &[
            ("http.request.method", "GET"),
            ("url.full", &url),
            ("server.address", "127.0.0.1"),
            ("server.port", &upstream.address().port().to_string()),
            ("http.response.status_code", "200"),
            ("bearerd.credential", "api"),
            ("bearerd.token.generation", "1"),
        ],
    );
    assert_eq!(client.get("http.request.resend_count"), None);
    assert!(server.start <= client.start && client.start <= client.end && client.end <= server.end, "{spans:#?}");
    // Recorded; and whether the parent is in another process is known and said.
    assert_eq!((server.flags, client.flags), (0x101, 0x101));
    let seen = upstream.only_request();
    assert_eq!(field(&seen, "traceparent"), Some(naming(client).as_str()));
    assert_eq!(field(&seen, "tracestate"), None, "of a trace that nobody named");
    for (key, value) in [("service.name", "sidecar"), ("team", "a"), ("k8s.pod.name", "web-1")] {
        assert_eq!(server.resource.get(key).map(String::as_str), Some(value));
    }
    assert_eq!(server.scope, "bearerd");
    let head = &collector.batches()[0].head;
    assert_eq!(head.start, "POST /v1/traces HTTP/1.1");
    assert_eq!(head.fields.first("content-type"), Some("application/x-protobuf"));
    assert_eq!(head.fields.first("x-api-key"), Some("collector key 77"));
    collector.expect_no_secret(endpoint.canaries());
    eventually("counted", seconds(2.0), || exported(&bearerd) == 3.0);
}

#[test]
fn a_token_request_is_a_trace_of_its_own_with_its_outcome() {
    let (endpoint, _upstream, collector, setup) = traced("");
    endpoint.next([Reply::json(503, "{}")]);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    let tokens = collector.wait_for_those(2, Span::is_token_request);
    expect(
        &tokens[0],
        &[("bearerd.outcome", "transient"), ("http.response.status_code", "503"), ("error.type", "T013")],
    );
    assert_eq!((tokens[0].status, tokens[0].kind), (2, 3));
    assert!(tokens[0].message.contains("token endpoint"), "{:?}", tokens[0]);
    expect(&tokens[1], &[("bearerd.outcome", "success"), ("bearerd.credential", "api")]);
    assert_eq!((tokens[1].status, tokens[1].get("error.type")), (0, None));
    let traces: BTreeSet<_> = collector.wait_for(2).into_iter().chain(tokens).map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 3, "two token requests and a request");
    collector.expect_no_secret(endpoint.canaries());
}

#[test]
fn a_caller_that_traces_is_the_parent() {
    let (_endpoint, upstream, collector, setup) = traced("sample = 0");
    let bearerd = setup.start_ready();
    let request = Request::get("/items").field("traceparent", PARENT).field("tracestate", "vendor=1");
    bearerd.send(&request).expect(200);
    let spans = collector.wait_for(2);
    assert!(spans.iter().all(|span| span.trace_id == TRACE_ID), "{spans:#?}");
    assert_eq!((spans[0].parent.as_str(), spans[0].flags), ("00f067aa0ba902b7", 0x301));
    assert_eq!((&spans[1].parent, spans[1].flags), (&spans[0].span_id, 0x101));
    let seen = upstream.only_request();
    assert_eq!(field(&seen, "traceparent"), Some(naming(&spans[1]).as_str()));
    assert_eq!(field(&seen, "tracestate"), Some("vendor=1"));
    // Of what begins here there is nothing, token requests included.
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn a_request_over_http2_is_recorded_alike() {
    let (_endpoint, upstream, collector, setup) = traced("sample = 0");
    let bearerd = setup.start_ready();
    let mut caller = Frames::connect(bearerd.address()).unwrap();
    let head = request("GET", "/items?a=1", "localhost", &[("traceparent", PARENT)]);
    caller.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, head)).unwrap();
    assert_eq!(caller.status(1).unwrap(), 0x88, "200");
    let spans = collector.wait_for(2);
    expect(&spans[0], &[("network.protocol.version", "2"), ("url.path", "/items"), ("server.address", "localhost")]);
    assert_eq!((spans[0].trace_id.as_str(), spans[0].get("server.port")), (TRACE_ID, None));
    assert_eq!(field(&upstream.only_request(), "traceparent"), Some(naming(&spans[1]).as_str()));
}

#[test]
fn what_is_not_recorded_is_not_sent_and_the_upstream_knows() {
    let (_endpoint, upstream, collector, setup) = traced("sample = 0");
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/unsampled").field("traceparent", UNSAMPLED)).expect(200);
    bearerd.get("/root").expect(200);
    bearerd.send(&Request::get("/malformed").field("traceparent", "00-x-y-01")).expect(200);
    assert_eq!(field(&upstream.requests_for("/unsampled")[0], "traceparent"), Some(UNSAMPLED), "unchanged");
    for target in ["/root", "/malformed"] {
        let said = field(&upstream.requests_for(target)[0], "traceparent").unwrap().to_owned();
        assert!(said.len() == 55 && said.starts_with("00-") && said.ends_with("-00"), "{said}");
    }
    throughout("nothing is sent", seconds(0.3), || collector.batches().is_empty());
}

#[test]
fn a_replay_is_a_second_sending_in_the_same_trace() {
    let (endpoint, upstream, collector, setup) = traced("");
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    bearerd.send(&Request::post("/items", "a body")).expect(200);
    let spans = collector.wait_for(3);
    let [server, first, second] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((server.get("http.response.status_code"), server.status), (Some("200"), 0));
    expect(first, &[("http.response.status_code", "401"), ("error.type", "401"), ("bearerd.token.generation", "1")]);
    assert_eq!((first.get("http.request.resend_count"), first.status), (None, 2));
    expect(
        second,
        &[("http.response.status_code", "200"), ("http.request.resend_count", "1"), ("bearerd.token.generation", "2")],
    );
    assert_eq!((&first.parent, &second.parent), (&server.span_id, &server.span_id));
    let said: Vec<_> = upstream.requests().iter().map(|seen| field(seen, "traceparent").unwrap().to_owned()).collect();
    assert_eq!(said, [naming(first), naming(second)]);
    collector.wait_for_those(2, Span::is_token_request);
    collector.expect_no_secret(endpoint.canaries());
}

#[test]
fn errors_of_our_own_have_their_code() {
    let (_endpoint, upstream, collector, setup) = traced("");
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/x").field("host", "evil.example")).expect(421);
    let refused = collector.wait_for(1).remove(0);
    expect(&refused, &[("error.type", "C003"), ("http.response.status_code", "421"), ("bearerd.origin", "bearerd")]);
    assert_eq!((refused.status, refused.get("server.address"), refused.get("bearerd.route")), (0, None, None));
    assert_eq!(refused.name, "GET");
    upstream.go_down();
    bearerd.get("/down").expect(502);
    let spans = collector.wait_for(3);
    let down: Vec<_> = spans.iter().filter(|span| span.trace_id != refused.trace_id).collect();
    let code = down[0].get("error.type").unwrap().to_owned();
    assert!(code.starts_with('U') && down[0].is_server() && down[0].status == 2, "{down:#?}");
    assert!(!down[0].message.is_empty());
    assert_eq!((down[1].kind, down[1].get("error.type"), down[1].status), (3, Some(code.as_str()), 2));
}

#[test]
fn an_error_of_the_upstream_is_one_of_both_spans() {
    let (_endpoint, upstream, collector, setup) = traced("");
    upstream.on("/broken", |exchange| exchange.answer(500, &[], "no"));
    upstream.on("/missing", |exchange| exchange.answer(404, &[], "no"));
    let bearerd = setup.start_ready();
    bearerd.get("/broken").expect(500);
    for span in collector.wait_for(2) {
        assert_eq!((span.get("error.type"), span.status), (Some("500"), 2), "{span:#?}");
    }
    bearerd.get("/missing").expect(404);
    let spans = collector.wait_for_those(2, |span| span.get("http.response.status_code") == Some("404"));
    assert_eq!((spans[0].get("error.type"), spans[0].status), (None, 0), "the server did what it should");
    assert_eq!((spans[1].get("error.type"), spans[1].status), (Some("404"), 2));
}

#[test]
fn a_route_may_keep_traces_from_its_upstream_and_the_log_names_the_span() {
    let (_endpoint, upstream, collector, setup) = traced("");
    let text = setup.text().replace("format = \"json\"", "format = \"json\"\naccess = true");
    let text = text.replace("[credentials.api]", "headers = { remove = [\"traceparent\"] }\n[credentials.api]");
    let bearerd = setup.file(&text, &["api"]).start_ready();
    bearerd.send(&Request::get("/items").field("traceparent", PARENT)).expect(200);
    assert_eq!(field(&upstream.only_request(), "traceparent"), None);
    let spans = collector.wait_for(2);
    bearerd.wait_for_log("\"target\":\"access\"", 5.0);
    let line: Value = serde_json::from_str(&bearerd.log_with("\"target\":\"access\"")[0]).unwrap();
    assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE_ID.into(), &spans[0].span_id.as_str().into()));
}

#[test]
fn a_connection_that_changes_its_protocol_is_a_span_until_it_ends() {
    let (_endpoint, upstream, collector, setup) = traced("");
    upstream.on("/echo", |exchange| {
        exchange.wire.send("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nhello")?;
        while !exchange.wire.some()?.is_empty() {}
        Ok(After::Close)
    });
    let bearerd = setup.route("upgrades = [\"other\"]").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let request = Request::get("/echo").field("Connection", "Upgrade").field("Upgrade", "other");
    wire.send(request.bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(101);
    wire.exactly(5).unwrap();
    throughout("it goes on", seconds(0.2), || collector.spans().iter().all(Span::is_token_request));
    drop(wire);
    let spans = collector.wait_for(2);
    assert!(spans.iter().all(|span| span.get("http.response.status_code") == Some("101")), "{spans:#?}");
    assert_eq!(field(&upstream.only_request(), "traceparent"), Some(naming(&spans[1]).as_str()));
}

#[test]
fn a_caller_that_leaves_is_told_of() {
    let (_endpoint, upstream, collector, setup) = traced("");
    upstream.on("/silent", |exchange| {
        exchange.wire.some()?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/silent").bytes(bearerd.address())).unwrap();
    eventually("it is there", seconds(5.0), || upstream.count() == 1);
    drop(wire);
    let spans = collector.wait_for(2);
    assert!(spans[0].get("http.response.status_code").is_none());
    assert_eq!(spans[0].get("error.type"), spans[1].get("error.type"));
    assert!(spans[0].get("error.type").is_some_and(|code| code.starts_with('C')), "{spans:#?}");
}

#[test]
fn a_collector_that_is_down_at_the_start_gets_the_spans_when_it_comes() {
    let (_endpoint, _upstream, collector, setup) = traced("");
    collector.go_down();
    let bearerd = setup.start_ready();
    for _ in 0..5 {
        bearerd.get("/items").expect(200);
    }
    bearerd.wait_for_log("cannot be reached", 5.0);
    collector.come_back();
    collector.wait_for(10);
    assert_eq!((dropped(&bearerd, "failed"), dropped(&bearerd, "queue_full")), (0.0, 0.0));
    assert_eq!(bearerd.log_with("cannot be reached").len(), 1, "the same is not said twice");
    bearerd.stop();
}

#[test]
fn a_collector_that_hangs_costs_spans_and_no_time() {
    let (_endpoint, _upstream, collector, setup) = traced("");
    collector.mood(Mood::Hangs);
    let mut bearerd = setup.env("OTEL_BSP_MAX_QUEUE_SIZE", "8").start_ready();
    eventually("it has the first batch", seconds(5.0), || collector.batches().len() == 1);
    let start = now();
    for _ in 0..50 {
        bearerd.get("/items").expect(200);
    }
    assert!(start.elapsed() < seconds(5.0), "{:?}", start.elapsed());
    assert_eq!(dropped(&bearerd, "queue_full"), 92.0, "two for each request, but for the eight that wait");
    bearerd.signal(Signal::TERM);
    let start = now();
    assert_eq!(bearerd.wait_exit(8.0), Some(0), "it waits a moment for the collector");
    assert!(start.elapsed() >= seconds(2.5), "{:?}", start.elapsed());
}

#[test]
fn a_collector_that_wants_peace_is_left_in_peace() {
    let (_endpoint, _upstream, collector, setup) = traced("sample = 0");
    collector.mood(Mood::Says(503, vec![("Retry-After", "2")]));
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/items").field("traceparent", PARENT)).expect(200);
    eventually("refused for now", seconds(5.0), || collector.batches().len() == 1);
    collector.mood(Mood::Takes(Vec::new()));
    collector.wait_for(2);
    let batches = collector.batches();
    assert_eq!((batches.len(), &batches[0].body), (2, &batches[1].body), "the same once more");
    let pause = batches[1].at - batches[0].at;
    assert!(pause >= seconds(1.9), "{pause:?}");
    assert_eq!((exported(&bearerd), dropped(&bearerd, "failed")), (2.0, 0.0));
}

#[test]
fn what_a_collector_will_never_take_is_dropped_counted_and_told_once() {
    let (_endpoint, _upstream, collector, setup) = traced("sample = 0");
    let bearerd = setup.start_ready();
    let send = |count: usize| {
        let before = collector.batches().len();
        bearerd.send(&Request::get("/items").field("traceparent", PARENT)).expect(200);
        eventually("it was asked", seconds(5.0), || collector.batches().len() >= before + count);
    };
    collector.mood(Mood::Says(401, vec![]));
    send(1);
    send(1);
    eventually("counted", seconds(2.0), || dropped(&bearerd, "failed") == 4.0);
    assert_eq!(bearerd.log_with("answers 401; these spans are dropped").len(), 1);
    collector.mood(Mood::Takes(partial_success(1)));
    send(1);
    eventually("counted", seconds(2.0), || dropped(&bearerd, "rejected") == 1.0 && exported(&bearerd) == 1.0);
    collector.mood(Mood::Takes(b"<html>".to_vec()));
    send(1);
    eventually("counted", seconds(2.0), || exported(&bearerd) == 3.0);
    collector.mood(Mood::Babbles);
    send(2);
    bearerd.wait_for_log("gives no answer that is one", 2.0);
    collector.mood(Mood::Takes(Vec::new()));
    eventually("tried again", seconds(10.0), || exported(&bearerd) == 5.0);
}

#[test]
fn a_batch_is_given_up_when_its_time_is_over() {
    let (_endpoint, _upstream, collector, setup) = traced("sample = 0");
    collector.mood(Mood::Says(503, vec![("Retry-After", "3600")]));
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/items").field("traceparent", PARENT)).expect(200);
    eventually("given up", seconds(5.0), || dropped(&bearerd, "failed") == 2.0);
    collector.mood(Mood::Takes(Vec::new()));
    bearerd.send(&Request::get("/items").field("traceparent", PARENT)).expect(200);
    throughout("it is left in peace", seconds(0.3), || collector.batches().len() == 1);
    // Not even at the end.
    bearerd.stop();
    assert_eq!(collector.batches().len(), 1);
}

#[test]
fn what_waits_at_the_end_is_sent_before_it_ends() {
    let (_endpoint, _upstream, collector, setup) = traced("");
    let mut bearerd = setup.env("OTEL_BSP_SCHEDULE_DELAY", "3600000").start_ready();
    for _ in 0..3 {
        bearerd.get("/items").expect(200);
    }
    assert!(collector.batches().is_empty());
    bearerd.signal(Signal::TERM);
    assert_eq!(bearerd.wait_exit(5.0), Some(0));
    assert_eq!(collector.spans().len(), 7, "the token request too");
    assert_eq!(collector.batches().len(), 1);
}

#[test]
fn a_full_batch_does_not_wait_for_the_time() {
    let (_endpoint, _upstream, collector, setup) = traced("");
    let setup = setup.env("OTEL_BSP_SCHEDULE_DELAY", "3600000").env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10");
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    for _ in 0..20 {
        wire.send(Request::get("/items").bytes(bearerd.address())).unwrap();
        read_response(&mut wire, "GET").unwrap().expect(200);
    }
    eventually("all but what is no batch", seconds(5.0), || collector.spans().len() >= 30);
    assert!(collector.batches().len() >= 3);
}

#[test]
fn a_reload_sends_what_follows_elsewhere_and_loses_nothing() {
    let (_endpoint, _upstream, collector, setup) = traced("sample = 0");
    let bearerd = setup.start_ready();
    let send = |count: usize| {
        for _ in 0..count {
            bearerd.send(&Request::get("/items").field("traceparent", PARENT)).expect(200);
        }
    };
    send(3);
    let other = Collector::start();
    let path = setup.directory().join("bearerd.toml");
    let text = setup.text().replace(&collector.url(), &other.url());
    std::fs::write(&path, &text).unwrap();
    bearerd.reload("success");
    send(2);
    assert_eq!((collector.wait_for(6).len(), other.wait_for(4).len()), (6, 4));
    std::fs::write(&path, text.split("[traces]").next().unwrap()).unwrap();
    bearerd.reload("success");
    send(2);
    throughout("nothing is sent", seconds(0.2), || collector.spans().len() + other.spans().len() == 10);
    bearerd.stop();
}

#[test]
fn no_secret_is_in_any_span_wherever_the_token_goes() {
    let (endpoint, upstream, collector, setup) = traced("");
    upstream.expect_token_in("x-nobody", "");
    upstream.on("/", |exchange| exchange.answer(200, &[("Set-Cookie", "a=canary-of-the-answer")], "{}"));
    for secret in
        ["canary-of-the-answer", "canary-of-a-field", "canary-of-a-cookie", "canary-of-the-query", "canary-of-the-body"]
    {
        setup.canaries().add(secret);
    }
    setup.canaries().add(CLIENT_SECRET);
    let bearerd = setup.route("inject = { query = \"access_token\" }").start_ready();
    let request = Request::post("/items?a=canary-of-the-query", "canary-of-the-body");
    let request = request.field("authorization", "canary-of-a-field").field("cookie", "canary-of-a-cookie");
    bearerd.send(&request.clone().field("user-agent", "canary-of-a-field")).expect(200);
    bearerd.send(&request.field("host", "canary-of-a-field.example")).expect(421);
    assert!(upstream.requests()[0].target().contains("access_token="));
    collector.wait_for(3);
    collector.expect_no_secret(endpoint.canaries());
}

#[test]
fn variables_of_opentelemetry_are_enough() {
    let (_endpoint, _upstream, setup) = stage(300);
    let collector = Collector::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b".to_owned()),
        ("OTEL_SERVICE_NAME", "billing".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
    ];
    let setup = variables.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(collector.wait_for(2)[0].resource["service.name"], "billing");
    assert_eq!(collector.batches()[0].head.fields.first("x-key"), Some("a b"));
    bearerd.stop();
    let off = setup.env("OTEL_SDK_DISABLED", "true").start_ready();
    let before = collector.batches().len();
    off.get("/items").expect(200);
    off.stop();
    assert_eq!(collector.batches().len(), before);
}
