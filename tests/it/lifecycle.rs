//! How it starts, how it ends, and what others can see of the process.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::support::client::{read_response, read_response_head};
use crate::support::wire::{Wire, chunk};
use crate::support::{After, BINARY, Bearerd, Reply, Request, Upstream, eventually, now, pause, seconds, stage};

/// A path whose answer begins at once and ends when the switch is turned.
fn slow_answer(upstream: &Upstream) -> Arc<AtomicBool> {
    let go_on = Arc::new(AtomicBool::new(false));
    let switch = go_on.clone();
    upstream.on("/slow", move |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        exchange.wire.send(chunk("first"))?;
        while !switch.load(Ordering::SeqCst) {
            pause(seconds(0.02));
        }
        exchange.wire.send([chunk("last"), b"0\r\n\r\n".to_vec()].concat())?;
        Ok(After::KeepAlive)
    });
    go_on
}

#[test]
fn a_signal_drains_what_is_in_flight_and_ends_with_zero() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_endpoint, upstream, setup) = stage(300);
        let go_on = slow_answer(&upstream);
        let mut bearerd = setup.start_ready();
        let address = bearerd.address();
        let mut wire = Wire::connect(address).unwrap();
        wire.send(Request::get("/slow").bytes(address)).unwrap();
        read_response_head(&mut wire).unwrap().expect(200);
        assert_eq!(wire.chunk().unwrap().unwrap(), b"first");
        let idle = Wire::connect(address);
        bearerd.signal(signal);
        eventually("no new connections", seconds(5.0), || {
            Wire::connect(address).is_err() || Request::get("/items").try_send(address).is_err()
        });
        assert!(bearerd.has_ended().is_none(), "the answer in flight was not waited for");
        go_on.store(true, Ordering::SeqCst);
        assert_eq!(wire.chunk().unwrap().unwrap(), b"last");
        assert_eq!(wire.chunk().unwrap(), None);
        assert_eq!(bearerd.wait_exit(5.0), Some(0));
        drop(idle);
    }
}

#[test]
fn an_idle_process_ends_at_once() {
    let (_endpoint, _upstream, setup) = stage(300);
    let mut bearerd = setup.start_ready();
    // A connection without a request is nothing in flight.
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/items").bytes(bearerd.address())).unwrap();
    read_response(&mut wire, "GET").unwrap().expect(200);
    let start = now();
    bearerd.signal(Signal::TERM);
    assert_eq!(bearerd.wait_exit(5.0), Some(0));
    assert!(start.elapsed() < seconds(2.0), "{:?}", start.elapsed());
}

#[test]
fn everybody_who_waits_to_be_accepted_when_it_ends_is_served() {
    let (_endpoint, upstream, setup) = stage(300);
    let mut bearerd = setup.start_ready();
    let mut callers = bearerd.meet_at_its_end(300);
    for (n, wire) in callers.iter_mut().enumerate() {
        let answer = read_response(wire, "GET").unwrap_or_else(|error| panic!("caller {n}: {error}"));
        assert_eq!(answer.status, 200, "caller {n}");
    }
    assert_eq!((bearerd.wait_exit(10.0), upstream.count()), (Some(0), 300));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_endpoint, upstream, setup) = stage(300);
    let go_on = slow_answer(&upstream);
    let mut bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/slow").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    bearerd.signal(Signal::TERM);
    eventually("draining", seconds(5.0), || !bearerd.is_ready());
    let start = now();
    bearerd.signal(Signal::TERM);
    bearerd.wait_exit(3.0);
    assert!(start.elapsed() < seconds(2.0), "{:?}", start.elapsed());
    go_on.store(true, Ordering::SeqCst);
}

#[test]
fn the_drain_has_a_deadline() {
    let (_endpoint, upstream, setup) = stage(300);
    let go_on = slow_answer(&upstream);
    let mut bearerd = setup.section("[timeouts]\ndrain = \"1s\"").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/slow").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    let start = now();
    bearerd.signal(Signal::TERM);
    bearerd.wait_exit(5.0);
    let took = start.elapsed();
    assert!(took >= seconds(0.9) && took < seconds(3.0), "{took:?}");
    go_on.store(true, Ordering::SeqCst);
}

#[test]
fn readiness_ends_before_service_does() {
    let (_endpoint, _upstream, setup) = stage(300);
    let mut bearerd = setup.section("[timeouts]\ndrain_delay = \"2s\"").start_ready();
    bearerd.signal(Signal::TERM);
    eventually("not ready", seconds(1.0), || bearerd.admin_get("/readyz").status == 503);
    // It goes on serving for `drain_delay`, new connections too, and stays alive.
    bearerd.get("/items").expect(200);
    bearerd.admin_get("/livez").expect(200);
    assert_eq!(bearerd.wait_exit(6.0), Some(0));
}

#[test]
fn localhost_is_both_loopbacks_on_one_port() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.top("listen = \"localhost:0\"").start_ready();
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let port = bearerd.address().port();
    let hosts = if has_ipv6 { &["127.0.0.1", "[::1]"][..] } else { &["127.0.0.1"] };
    for host in hosts {
        let address = format!("{host}:{port}").parse().unwrap();
        Request::get("/items").send(address).expect(200);
    }
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let (_endpoint, upstream, setup) = stage(300);
    let taken = upstream.address();
    let ended = setup.clone().top(&format!("listen = \"{taken}\"")).run_verb("run").expect_code(1);
    assert!(ended.told().contains(&taken.to_string()) && ended.told().contains("F012"), "{}", ended.told());
    let ended = setup.section(&format!("[admin]\nlisten = \"{taken}\"")).run_verb("run").expect_code(1);
    assert!(ended.told().contains(&taken.to_string()) && ended.told().contains("F012"), "{}", ended.told());
}

#[test]
fn the_process_is_not_dumpable() {
    let (_endpoint, _upstream, setup) = stage(300);
    let is_root = rustix::process::geteuid().is_root();
    // Root sees through everything, so as root the process runs as somebody else: what belongs to root then, belongs
    // to root because the process is not dumpable.
    let bearerd = if is_root { start_as_nobody(&setup) } else { setup.start_ready() };
    let environment = format!("/proc/{}/environ", bearerd.pid());
    assert_eq!(std::fs::metadata(&environment).unwrap().uid(), 0);
    if !is_root {
        assert!(std::fs::read(&environment).is_err(), "a process of the same user can read the environment");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bearerd.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.contains(" 0 "), "{core}");
}

/// Starts it as a user without rights, who must be able to read the binary and the configuration.
fn start_as_nobody(setup: &crate::support::Setup) -> crate::support::Bearerd {
    use std::os::unix::fs::PermissionsExt;
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(setup.directory());
    let binary = setup.directory().join("bearerd");
    if std::fs::hard_link(crate::support::BINARY, &binary).is_err() {
        std::fs::copy(crate::support::BINARY, &binary).unwrap();
    }
    open(&binary);
    let bearerd = setup.clone().binary(&binary).uid(65_534).start();
    bearerd.wait_ready(10.0);
    bearerd
}

#[test]
fn no_secret_stands_in_the_command_line() {
    let (endpoint, upstream, _) = stage(300);
    let setup = no_file(&endpoint, &upstream);
    let bearerd = setup.start_ready();
    let words = std::fs::read(format!("/proc/{}/cmdline", bearerd.pid())).unwrap();
    assert_eq!(endpoint.canaries().found_in(&String::from_utf8_lossy(&words)), None);
}

fn no_file(endpoint: &crate::support::TokenEndpoint, upstream: &Upstream) -> crate::support::Setup {
    let setup = crate::support::Setup::new(endpoint.canaries());
    let secret = setup.secret_file("secret", "file-canary-secret\n");
    setup.arguments(&[
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--upstream",
        &upstream.url(),
        "--token-endpoint",
        &endpoint.url(),
        "--client-id",
        "svc",
        "--client-secret-file",
        secret.to_str().unwrap(),
    ])
}

#[test]
fn wait_ends_when_it_is_ready_and_says_why_it_is_not() {
    let wait = |bearerd: &Bearerd, timeout: &str| {
        let admin = bearerd.admin().to_string();
        Command::new(BINARY).args(["wait", "--timeout", timeout, "--admin", &admin]).output().unwrap()
    };
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.next([Reply::Token.late(1.0)]);
    let bearerd = setup.start();
    let ready = wait(&bearerd, "20s");
    assert_eq!(ready.status.code(), Some(0), "{ready:?}");
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::json(401, r#"{"error":"invalid_client"}"#));
    let bearerd = setup.start();
    bearerd.wait_for_log("T021", 10.0);
    let refused = wait(&bearerd, "300ms");
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("T021 api"), "{refused:?}");
    let nobody = Command::new(BINARY).args(["wait", "--timeout", "200ms", "--admin", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}

#[test]
fn healthcheck_ends_with_what_a_probe_needs() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.go_down();
    let bearerd = setup.start();
    bearerd.wait_for_log("T010", 5.0);
    let check = |flag: Option<&str>| {
        let mut command = Command::new(BINARY);
        command.arg("healthcheck").args(flag).arg("--admin").arg(bearerd.admin().to_string());
        crate::support::finish(command, endpoint.canaries()).code
    };
    assert_eq!(check(Some("--live")), Some(0));
    assert_eq!(check(Some("--started")), Some(0));
    assert_eq!(check(Some("--ready")), Some(1));
    endpoint.come_back();
    bearerd.wait_ready(6.0);
    assert_eq!(check(Some("--ready")), Some(0));
    assert_eq!(check(None), Some(0));
}

#[test]
fn probes_have_a_listener_of_their_own() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup.section("[admin]\nlisten = \"127.0.0.1:0\"\nprobe_listen = \"0.0.0.0:0\"");
    let bearerd = setup.start_ready();
    let address = bearerd.probe_address();
    let anybody = |target: &str| Request::get(target).field("Host", "10.1.2.3:9181").send(address).status;
    for target in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(anybody(target), 200, "{target}");
    }
    assert_eq!(anybody("/status"), 404);
    let retry = Request::new("POST", "/retry/api").field("Host", "10.1.2.3:9181").send(address);
    assert!([404, 405].contains(&retry.status), "{retry:?}");
}

#[test]
fn nothing_is_left_behind() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let files = || bearerd.metric("process_open_fds", &[]).unwrap();
    bearerd.get("/items").expect(200);
    let before = files();
    upstream.on("/hangs", |exchange| {
        exchange.wire.closes_within(seconds(10.0));
        Ok(After::Close)
    });
    for n in 0..100 {
        let wire = Wire::connect(bearerd.address()).unwrap();
        let request = Request::post(if n % 2 == 0 { "/hangs" } else { "/items" }, vec![b'x'; 10_000]);
        let bytes = request.bytes(bearerd.address());
        // Callers that go away at every point: within the head, within the body, while they wait.
        wire.send(&bytes[..bytes.len() * (n + 1) / 100]).unwrap();
    }
    endpoint.tokens().revoke_all();
    for _ in 0..20 {
        bearerd.get("/items").expect(200);
    }
    for gauge in ["bearerd_connections", "bearerd_requests_in_flight", "bearerd_replay_memory_bytes"] {
        eventually(gauge, seconds(8.0), || bearerd.metric(gauge, &[]) == Some(0.0));
    }
    // Idle upstream connections may stay; they are few.
    eventually("files closed", seconds(8.0), || files() <= before + 12.0);
    assert!(bearerd.log_with("\"error\"").is_empty(), "{:#?}", bearerd.log());
}

#[test]
fn every_request_is_counted_once() {
    let (endpoint, upstream, setup) = stage(300);
    upstream.on("/teapot", |exchange| exchange.answer(418, &[], ""));
    let bearerd = setup.start_ready();
    for _ in 0..3 {
        bearerd.get("/items").expect(200);
    }
    bearerd.get("/teapot").expect(418);
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    let count = |code: &str, origin: &str| {
        bearerd.metric("bearerd_requests_total", &[("route", "api"), ("code", code), ("origin", origin)])
    };
    assert_eq!((count("200", "upstream"), count("418", "upstream")), (Some(4.0), Some(1.0)));
    let answered = "bearerd_request_duration_seconds_count";
    eventually("every answer's end", seconds(3.0), || bearerd.metric(answered, &[("route", "api")]) == Some(5.0));
    // The healed request was two at the upstream.
    assert_eq!(bearerd.metric("bearerd_upstream_duration_seconds_count", &[("route", "api")]), Some(6.0));
}

#[test]
fn probes_dial_nobody() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    upstream.go_down();
    endpoint.go_down();
    let counts = (endpoint.count(), upstream.connections());
    for _ in 0..50 {
        for target in ["/livez", "/readyz", "/startupz", "/metrics", "/status"] {
            bearerd.admin_get(target).expect(200);
        }
    }
    assert_eq!((endpoint.count(), upstream.connections()), counts);
}

#[test]
fn the_other_spellings_of_the_probes_work_too() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for target in ["/livez", "/healthz", "/readyz", "/ready", "/startupz"] {
        bearerd.admin_get(target).expect(200);
    }
}

/// The binary with so few files that may be open.
fn with_files(setup: crate::support::Setup, files: u32) -> crate::support::Setup {
    let binary = std::env::var("BEARERD_TEST_BINARY").unwrap_or_else(|_| BINARY.to_owned());
    let script = setup.directory().join("with-few-files");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n {files}\nexec '{binary}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    setup.binary(&script)
}

#[test]
fn where_few_files_may_be_open_requests_wait_for_one_and_none_fails() {
    const CALLERS: usize = 20;
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/slow", |exchange| {
        pause(seconds(0.1));
        exchange.brief()
    });
    let bearerd = with_files(setup.top("workers = 2").section("[limits]\nqueue = \"10s\""), 64).start_ready();
    let said = "24 connections and 8 requests at a time are served, not 16384 and 8192: so few files may be open";
    assert_eq!(bearerd.log_with(said).len(), 1, "{:#?}", bearerd.log());
    let address = bearerd.address();
    let wires: Vec<_> = (0..CALLERS).map(|_| Wire::connect(address).unwrap()).collect();
    for wire in &wires {
        wire.send(Request::get("/slow").bytes(address)).unwrap();
    }
    for mut wire in wires {
        read_response(&mut wire, "GET").unwrap().expect(200);
    }
}

#[test]
fn too_few_files_for_anybody_are_a_clear_error() {
    let (_endpoint, _upstream, setup) = stage(300);
    for files in [20, 40] {
        let mut bearerd = with_files(setup.clone(), files).spawn();
        assert_eq!(bearerd.wait_exit(10.0), Some(1), "{:#?}", bearerd.log());
        let said =
            format!("only {files} files may be open at a time, and bearerd needs 48; raise the limit (ulimit -n");
        assert_eq!(bearerd.log_with(&said).len(), 1, "{:#?}", bearerd.log());
    }
}
