use std::path::Path;

use super::super::{Environment, Mistakes, Sources, load_text};
use super::*;
use crate::traces::settings::Batches;

const ROUTE: &str = "[routes.a]\ncredential = \"none\"\nupstream = \"https://a.example\"\n";

fn load_all(traces: &str, variables: &[(&str, &str)]) -> Result<super::super::Settings, Mistakes> {
    let environment = Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    let sources = Sources { file: Some("b.toml".into()), environment, ..Sources::default() };
    load_text(&format!("{ROUTE}{traces}"), Path::new("b.toml"), &sources)
}

/// The settings, and the warnings of the load.
fn load(traces: &str, variables: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
    let settings = load_all(traces, variables).unwrap_or_else(|mistakes| panic!("{traces} {variables:?}: {mistakes}"));
    (settings.traces, settings.warnings)
}

fn good(traces: &str, variables: &[(&str, &str)]) -> Settings {
    let (settings, warnings) = load(traces, variables);
    assert_eq!(warnings, [""; 0], "{traces} {variables:?}");
    settings.unwrap_or_else(|| panic!("no traces: {traces} {variables:?}"))
}

#[test]
fn nothing_is_recorded_unless_somebody_asks_for_it() {
    assert_eq!(load("", &[]), (None, vec![]));
    let others =
        [("OTEL_SERVICE_NAME", "app"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"), ("OTEL_TRACES_EXPORTER", "otlp")];
    assert_eq!(load("", &others), (None, vec![]));
    let settings = good("[traces]", &[]);
    assert_eq!(settings.endpoint, "http://localhost:4318/v1/traces");
    assert_eq!((settings.sampler, settings.batches), (Sampler::USUAL, Batches::USUAL));
    assert_eq!(settings.resource[0], ("service.name".into(), "bearerd".into()));
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    assert_eq!(good("", &[endpoint]).endpoint, "http://localhost:4318/v1/traces");
    for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_TRACES_EXPORTER", "console")] {
        assert_eq!(load("", &[endpoint, off]), (None, vec![]), "{off:?}");
    }
    assert_eq!(load("[traces]", &[("OTEL_SDK_DISABLED", "true")]), (None, vec![]));
    assert!(load("[traces]", &[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "no")]).0.is_some());
}

#[test]
fn the_endpoint_is_what_is_written_else_what_the_environment_says() {
    let check = |traces: &str, variables: &[(&str, &str)], wanted: &str| {
        assert_eq!(good(&format!("[traces]\n{traces}"), variables).endpoint, wanted, "{traces} {variables:?}");
    };
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://all.example/otlp/");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://own.example/x?y=1");
    check("", &[all], "https://all.example/otlp/v1/traces");
    check("", &[all, own], "https://own.example/x?y=1");
    check("endpoint = \"https://c.example\"", &[all, own], "https://c.example/v1/traces");
    check("endpoint = \"https://c.example/otlp\"", &[], "https://c.example/otlp/v1/traces");
    check("endpoint = \"https://c.example/v1/traces\"", &[], "https://c.example/v1/traces");
    check("endpoint = \"http://127.0.0.1:1\"", &[], "http://127.0.0.1:1/v1/traces");
    check("endpoint = \"http://c.example\"\nallow_plain_http = true", &[], "http://c.example/v1/traces");
    let plain = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.observability:4318");
    check("allow_plain_http = true", &[plain], "http://collector.observability:4318/v1/traces");
    // A variable that other programs have too is no reason not to start.
    for (variable, wanted) in [
        (plain, "OTEL_EXPORTER_OTLP_ENDPOINT: F005: plain http beyond this machine"),
        (("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), "OTEL_EXPORTER_OTLP_ENDPOINT: F005: must be a URL"),
    ] {
        let (settings, warnings) = load("", &[variable]);
        assert!(settings.is_none() && warnings.len() == 1 && warnings[0].contains(wanted), "{warnings:?}");
    }
}

#[test]
fn what_is_wrong_is_a_mistake_with_its_place() {
    let check = |traces: &str, wanted: &str| {
        let mistakes = load_all(&format!("[traces]\n{traces}"), &[]).expect_err(traces).to_string();
        assert!(mistakes.contains(wanted) && !mistakes.contains("hunter2"), "{wanted:?}: {mistakes}");
    };
    check("endpoint = \"http://c.example\"", "b.toml:5:12: F008 traces.endpoint: plain http");
    check("endpoint = \"https://c.example/?a=hunter2\"", "F005 traces.endpoint: must have no query");
    check("endpoint = \"c.example:4317\"", "F005 traces.endpoint: must be a URL");
    check("sample = 5", "F005 traces.sample: must be a share from 0 to 1");
    check("sample = \"0.5\"", "F005 traces.sample");
    check("sample = \"101%\"", "F005 traces.sample");
    check("headers = { content-type = \"x\" }", "F007 traces.headers.content-type: is set by bearerd");
    check("headers = { a = \"hunter2\\n\" }", "F005 traces.headers.a: holds characters");
    check("headers = { a = { file = \"/nonexistent\" } }", "F010 traces.headers.a");
    check("headers = { a = \"x\", A = \"x\" }", "F007 traces.headers.A: is written twice");
    check("service_name = \"\"", "F005 traces.service_name");
    check("resource = { a = 1 }", "F005 traces.resource.a");
    check("service_name = \"x\"\nresource = { \"service.name\" = \"y\" }", "F007 traces.resource");
    check("tls = { ca = \"/nonexistent\" }", "F011 traces.tls.ca");
    check("proxy = \"socks5://p\"", "F005 traces.proxy");
    check("endpont = \"x\"", "F003 traces.endpont");
}

#[test]
fn the_share_is_a_number_or_a_percentage() {
    let check = |sample: &str, wanted: f64| {
        let sampler = good(&format!("[traces]\nsample = {sample}"), &[("OTEL_TRACES_SAMPLER", "always_off")]).sampler;
        assert_eq!(sampler, Sampler { share: wanted, follows_callers: true }, "{sample}");
    };
    check("true", 1.0);
    check("false", 0.0);
    check("0", 0.0);
    check("0.25", 0.25);
    check("\"25%\"", 0.25);
    check("\"0.1 %\"", 0.001);
}

#[test]
fn the_sampler_of_the_environment_is_known_by_its_names() {
    let check = |name: &str, argument: &str, share: f64, follows_callers: bool| {
        let variables = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        assert_eq!(good("[traces]", &variables).sampler, Sampler { share, follows_callers }, "{name} {argument}");
    };
    check("always_on", "", 1.0, false);
    check("always_off", "0.5", 0.0, false);
    check("traceidratio", "0.5", 0.5, false);
    check("traceidratio", "", 1.0, false);
    check("parentbased_always_on", "", 1.0, true);
    check("parentbased_always_off", "", 0.0, true);
    check("parentbased_traceidratio", "0.01", 0.01, true);
    for variables in [
        [("OTEL_TRACES_SAMPLER", "jaeger_remote"), ("OTEL_TRACES_SAMPLER_ARG", "")],
        [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "50")],
    ] {
        let (settings, warnings) = load("[traces]", &variables);
        assert_eq!((settings.unwrap().sampler, warnings.len()), (Sampler::USUAL, 1), "{variables:?}");
    }
}

#[test]
fn headers_and_resource_of_both_are_put_together_and_what_is_written_wins() {
    let traces = "[traces]\nheaders = { x-key = \"written\" }\nservice_name = \"sidecar\"\nresource = { team = \"a\" }";
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=environment, x-other = a%20b%2C ,"),
        ("OTEL_SERVICE_NAME", "app"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=b,k8s.pod.name=web%2D1,service.name=c"),
    ];
    let settings = good(traces, &variables);
    let headers: Vec<_> =
        settings.headers.iter().map(|(name, source)| (name.as_str(), source.read_now().unwrap())).collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.expose())).collect();
    assert_eq!(headers, [("x-key", "written"), ("x-other", "a b,")]);
    let resource = |settings: &Settings, key: &str| settings.resource.iter().find(|(k, _)| k == key).unwrap().1.clone();
    assert_eq!((resource(&settings, "service.name"), resource(&settings, "team")), ("sidecar".into(), "a".into()));
    assert_eq!(resource(&settings, "k8s.pod.name"), "web-1");
    assert_eq!(resource(&good("[traces]", &variables), "service.name"), "app");
    assert_eq!(resource(&good("[traces]", &variables[2..]), "service.name"), "c");
    let own = [("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1"), variables[0]];
    assert_eq!(good("[traces]", &own).headers.len(), 1, "that of traces alone");
    let wrong =
        [("OTEL_EXPORTER_OTLP_HEADERS", "hunter2,a=hunter2%0A,b=1"), ("OTEL_RESOURCE_ATTRIBUTES", "hunter2,a=b")];
    let (settings, warnings) = load("[traces]", &wrong);
    assert_eq!((settings.unwrap().headers.len(), warnings.len()), (1, 3), "{warnings:?}");
    assert!(!warnings.join("").contains("hunter2"));
}

#[test]
fn batches_are_as_the_environment_says_within_reason() {
    let variables = [
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "2000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "500"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
    ];
    let ms = std::time::Duration::from_millis;
    let wanted = Batches { delay: ms(10), size: 100, queue: 100, request: ms(300), patience: ms(2000) };
    assert_eq!(good("[traces]", &variables).batches, wanted);
    let wrong =
        [("OTEL_BSP_SCHEDULE_DELAY", "5s"), ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let (settings, warnings) = load("[traces]", &wrong);
    assert_eq!((settings.unwrap().batches, warnings.len()), (Batches::USUAL, 3), "{warnings:?}");
}

#[test]
fn files_of_the_environment_that_cannot_be_used_are_told_and_there_are_no_traces() {
    let (settings, warnings) = load("[traces]", &[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent.pem")]);
    assert!(settings.is_none() && warnings[0].contains("/nonexistent.pem"), "{warnings:?}");
}

#[test]
fn the_configuration_of_the_page_is_accepted() {
    let page = include_str!("../../../docs/observability.md");
    let block = page
        .split("```toml")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .find(|block| block.contains("[traces]"));
    let block = block.unwrap().split_once('\n').unwrap().1;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("collector_key"), "k\n").unwrap();
    let settings = good(&block.replace("/run/secrets", directory.path().to_str().unwrap()), &[]);
    assert_eq!((settings.sampler.share, settings.headers.len()), (0.05, 1));
}
