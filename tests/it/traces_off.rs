//! A build without traces says so where they are asked for, and is left alone by the variables of other programs.

use crate::support::{Request, stage};

#[test]
fn the_table_is_refused_with_what_it_needs() {
    let (_endpoint, _upstream, setup) = stage(300);
    let ended = setup.section("[traces]\nsample = 0.5").run_verb("check").expect_code(78);
    let wanted = "F004 traces: needs a bearerd that was built with traces: cargo build --release --features otel";
    assert!(ended.told().contains(wanted), "{}", ended.told());
}

#[test]
fn variables_of_opentelemetry_change_nothing() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318").start_ready();
    bearerd.send(&Request::get("/items")).expect(200);
    assert!(!upstream.only_request().head.fields.has("traceparent"));
    assert_eq!(bearerd.metric("bearerd_spans_exported_total", &[]), None);
    bearerd.stop();
}
