//! gRPC through bearerd, with grpcio at both ends and Node where HTTP shows.

use std::process::Command;

use crate::support::peers::{Peer, has_python_package, installed, skip_unless, venv_python};
use crate::support::{Bearerd, Setup, TokenEndpoint, Tokens, seconds, throughout};

const GRPC: &str = "upstream_protocol = \"h2\"\nrejection = { grpc_status = [16] }";

fn setup(upstream: &str) -> (TokenEndpoint, Setup) {
    let endpoint = TokenEndpoint::start(&Tokens::new(300));
    let credential = format!("token_endpoint = \"{}\"\nclient_id = \"svc\"\n", endpoint.url());
    let setup = Setup::new(endpoint.canaries()).credential_only(upstream, &credential);
    (endpoint, setup.route(GRPC))
}

/// A gRPC server of grpcio and a bearerd before it; `None` where grpcio is not installed.
fn stage(server: &[&str]) -> Option<(TokenEndpoint, Peer, Bearerd)> {
    if skip_unless(has_python_package("grpc"), "Python's grpcio") {
        return None;
    }
    let server = Peer::start("grpc_calls.py", &[&["server"], server].concat());
    let (endpoint, setup) = setup(&format!("http://{}", server.address()));
    Some((endpoint, server, setup.start_ready()))
}

#[track_caller]
fn client(bearerd: &Bearerd, arguments: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/grpc_calls.py");
    let address = format!("localhost:{}", bearerd.address().port());
    let output = Command::new(venv_python()).args([script, "client", &address]).args(arguments).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.trim_end().ends_with("ok"), "{arguments:?}: {told}");
}

#[test]
fn all_kinds_of_calls_pass_with_their_metadata() {
    let Some((_endpoint, _server, bearerd)) = stage(&[]) else { return };
    for case in ["unary", "server_stream", "client_stream", "both"] {
        client(&bearerd, &[case]);
    }
    assert_eq!(bearerd.rejections("replayed"), 0.0);
}

#[test]
fn failures_pass_with_status_message_and_trailers() {
    let Some((_endpoint, _server, bearerd)) = stage(&[]) else { return };
    client(&bearerd, &["failures"]);
}

#[test]
fn deadlines_and_cancellation_reach_the_server() {
    let Some((_endpoint, _server, bearerd)) = stage(&[]) else { return };
    client(&bearerd, &["ends"]);
}

#[test]
fn a_rejected_call_of_any_kind_is_healed() {
    // What is sent before the rejection arrives must fit into what is kept.
    for case in ["unary_small", "server_stream", "client_stream_small", "both"] {
        let Some((_endpoint, _server, bearerd)) = stage(&["revoked"]) else { return };
        client(&bearerd, &[case]);
        assert_eq!(bearerd.rejections("replayed"), 1.0, "{case}");
    }
}

#[test]
fn a_conversation_that_is_rejected_with_401_goes_on_where_it_was() {
    if skip_unless(installed("node"), "node") {
        return;
    }
    let server = Peer::start("http.mjs", &["server", "h2", "revoked"]);
    let (_endpoint, setup) = setup(&format!("http://{}", server.address()));
    let bearerd = setup.start_ready();
    let url = format!("http://localhost:{}", bearerd.address().port());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/http.mjs");
    let output = Command::new("node").args([script, "client", "h2", &url, "grpc"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bearerd.rejections("replayed"), 1.0);
}

#[test]
fn a_quiet_call_is_not_ended_by_the_timeout_of_bodies() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let Some((_endpoint, server, bearerd)) = stage(&[]) else { return };
    drop(bearerd);
    let (_endpoint, setup) = setup(&format!("http://{}", server.address()));
    let bearerd = setup.section("[timeouts]\nrequest_body_idle = \"300ms\"").start_ready();
    // Headers and no message yet, for longer than a body may pause.
    let url = format!("http://{}/bearerd.Test/Both", bearerd.address());
    let quiet = ["-sS", "--noproxy", "*", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-T", "-"];
    let mut curl =
        Command::new("curl").args(quiet).args(["-X", "POST", &url]).stdin(std::process::Stdio::piped()).spawn();
    let curl = curl.as_mut().unwrap();
    throughout("the call goes on", seconds(1.5), || curl.try_wait().unwrap().is_none());
    curl.kill().unwrap();
    curl.wait().unwrap();
}

#[test]
fn a_call_may_wait_for_its_first_message_as_long_as_its_caller_does() {
    if skip_unless(installed("node"), "node") {
        return;
    }
    let server = Peer::start("http.mjs", &["server", "h2"]);
    let (_endpoint, setup) = setup(&format!("http://{}", server.address()));
    let bearerd = setup.section("[timeouts]\nresponse_head = \"300ms\"").start_ready();
    let url = format!("http://{}/hang", bearerd.address());
    let call = |fields: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "-m", "20", "--noproxy", "*", "--http2-prior-knowledge", "-d", "x", &url]).args(fields);
        curl.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let told =
        |curl: std::process::Child| String::from_utf8_lossy(&curl.wait_with_output().unwrap().stdout).into_owned();
    let mut quiet = call(&["-H", "content-type: application/grpc"]);
    throughout("the call goes on", seconds(1.5), || quiet.try_wait().unwrap().is_none());
    quiet.kill().unwrap();
    quiet.wait().unwrap();
    // A deadline that the server lets pass ends it, and every other request has ours.
    let late = told(call(&["-H", "content-type: application/grpc", "-H", "grpc-timeout: 200m"]));
    assert!(late.contains("grpc-status: 14") && late.contains("U005"), "{late}");
    let other = told(call(&["-H", "content-type: application/json", "-H", "grpc-timeout: 10S"]));
    assert!(other.starts_with("HTTP/2 504") && other.contains("U005"), "{other}");
}

#[test]
fn bearerds_own_failures_are_statuses_that_grpc_clients_understand() {
    if skip_unless(has_python_package("grpc"), "Python's grpcio") {
        return;
    }
    let (endpoint, setup) = setup("http://127.0.0.1:9");
    let bearerd = setup.start_ready();
    client(&bearerd, &["own_error", "UNAVAILABLE", "U001"]);
    let labels = [("route", "api"), ("code", "502"), ("origin", "bearerd")];
    assert_eq!(bearerd.metric("bearerd_requests_total", &labels), Some(1.0));
    drop(bearerd);
    endpoint.go_down();
    let bearerd = setup.credential("refresh = { wait = \"100ms\" }").start();
    client(&bearerd, &["own_error", "UNAVAILABLE", "T010"]);
}
