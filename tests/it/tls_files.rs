//! TLS files that change while bearerd runs.

use std::path::Path;
use std::time::Duration;

use crate::support::client::Load;
use crate::support::tls_front::Authority;
use crate::support::{Bearerd, Request, Setup, TokenEndpoint, Upstream, eventually, seconds, stage, throughout};

/// Enough for two looks at the files on a busy machine.
const NOTICED: f64 = 15.0;

fn secure(authority: &Authority, files: &str) -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    authority.issue_until("localhost", 2090).write(setup.directory(), "server");
    let section = format!("[tls]\ncertificate = \"{files}server.pem\"\nkey = \"{files}server.key\"");
    (endpoint, upstream, setup.section(&section))
}

#[track_caller]
fn reloads(bearerd: &Bearerd, certificate: &str, outcome: &str) -> f64 {
    let labels = [("certificate", certificate), ("outcome", outcome)];
    bearerd.metric("bearerd_tls_reloads_total", &labels).expect("exists from the start")
}

#[track_caller]
fn wait_for_reloads(bearerd: &Bearerd, certificate: &str, outcome: &str, count: f64) {
    let what = format!("{count} reloads of {certificate} with {outcome}");
    eventually(&what, seconds(NOTICED), || reloads(bearerd, certificate, outcome) >= count);
    assert_eq!(reloads(bearerd, certificate, outcome), count);
}

#[track_caller]
fn expiry(bearerd: &Bearerd, certificate: &str) -> Option<f64> {
    bearerd.metric("bearerd_tls_certificate_expiry_timestamp_seconds", &[("certificate", certificate)])
}

/// Whether a handshake succeeds that trusts this authority alone.
fn is_shown_by(authority: &Authority, bearerd: &Bearerd) -> bool {
    Request::get("/items").try_send(authority.tunnel(bearerd.address(), None)).is_ok()
}

#[test]
fn a_certificate_is_rotated_under_load_without_a_failed_request() {
    let authority = Authority::new();
    let (_endpoint, _upstream, setup) = secure(&authority, "");
    let bearerd = setup.start_ready();
    assert_eq!(expiry(&bearerd, "tls"), Some(3_786_912_000.0));
    let tunnel = authority.tunnel(bearerd.address(), None);
    let kept = Load::start(tunnel, 2, Duration::from_millis(5), Request::get("/items"));
    let fresh = Load::start(tunnel, 2, Duration::from_millis(5), Request::get("/items").field("Connection", "close"));
    for (year, wanted, count) in [(2091, 3_818_448_000.0, 1.0), (2092, 3_849_984_000.0, 2.0)] {
        authority.issue_until("localhost", year).write(setup.directory(), "server");
        wait_for_reloads(&bearerd, "tls", "success", count);
        assert_eq!(expiry(&bearerd, "tls"), Some(wanted));
    }
    kept.stop().expect_all_ok();
    fresh.stop().expect_all_ok();
    assert_eq!(reloads(&bearerd, "tls", "failure"), 0.0);
}

#[test]
fn a_broken_new_file_keeps_the_old_and_is_told_once() {
    let authority = Authority::new();
    let (_endpoint, _upstream, setup) = secure(&authority, "");
    let bearerd = setup.start_ready();
    let (certificate, key) = (setup.directory().join("server.pem"), setup.directory().join("server.key"));
    let next = authority.issue_until("localhost", 2091);
    for (count, break_it, words) in [
        (1.0, &|| std::fs::write(&certificate, "-----BEGIN CERT").unwrap() as (), "server.pem"),
        (2.0, &|| std::fs::write(&certificate, &next.certificate).unwrap(), "not that of the certificate"),
        (3.0, &|| std::fs::remove_file(&key).unwrap(), "cannot read the key file"),
    ] as [(f64, &dyn Fn(), &str); 3]
    {
        break_it();
        wait_for_reloads(&bearerd, "tls", "failure", count);
        let lines = bearerd.log_with("F011");
        assert_eq!(lines.len() as f64, count, "{lines:#?}");
        assert!(lines.last().is_some_and(|line| line.contains(words) && line.contains("stays in use")), "{lines:#?}");
        assert!(is_shown_by(&authority, &bearerd));
    }
    throughout("told once", seconds(5.0), || bearerd.log_with("F011").len() == 3);
    assert_eq!((reloads(&bearerd, "tls", "success"), expiry(&bearerd, "tls")), (0.0, Some(3_786_912_000.0)));
    next.write(setup.directory(), "server");
    wait_for_reloads(&bearerd, "tls", "success", 1.0);
    assert_eq!(expiry(&bearerd, "tls"), Some(3_818_448_000.0));
}

/// What the kubelet does: a new directory, then one rename of the link to it.
fn swap(volume: &Path, version: &str, write: impl Fn(&Path)) {
    let directory = volume.join(version);
    std::fs::create_dir_all(&directory).unwrap();
    write(&directory);
    let link = volume.join("..data_tmp");
    std::os::unix::fs::symlink(version, &link).unwrap();
    std::fs::rename(link, volume.join("..data")).unwrap();
}

#[test]
fn a_volume_of_kubernetes_that_is_swapped_is_noticed() {
    let (authority, next) = (Authority::new(), Authority::new());
    let (_endpoint, _upstream, setup) = secure(&authority, "volume/");
    let volume = setup.directory().join("volume");
    swap(&volume, "..1", |directory| authority.issue("localhost").write(directory, "server"));
    for file in ["server.pem", "server.key"] {
        std::os::unix::fs::symlink(Path::new("..data").join(file), volume.join(file)).unwrap();
    }
    let bearerd = setup.start_ready();
    assert!(is_shown_by(&authority, &bearerd) && !is_shown_by(&next, &bearerd));
    swap(&volume, "..2", |directory| next.issue("localhost").write(directory, "server"));
    std::fs::remove_dir_all(volume.join("..1")).unwrap();
    wait_for_reloads(&bearerd, "tls", "success", 1.0);
    assert!(is_shown_by(&next, &bearerd) && !is_shown_by(&authority, &bearerd));
    assert_eq!(reloads(&bearerd, "tls", "failure"), 0.0);
}

#[test]
fn a_new_authority_of_callers_lets_its_callers_in_and_the_old_ones_out() {
    let (authority, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let (_endpoint, _upstream, setup) = secure(&authority, "");
    old.file(setup.directory(), "callers.pem");
    let directory = setup.directory().to_owned();
    let bearerd = setup.section("client_ca = \"callers.pem\"").start_ready();
    let is_let_in = |of: &Authority| {
        let tunnel = authority.tunnel(bearerd.address(), Some(&of.issue("app.example")));
        Request::get("/items").try_send(tunnel).is_ok()
    };
    assert!(is_let_in(&old) && !is_let_in(&new));
    assert!(expiry(&bearerd, "tls.client_ca").is_some());
    new.file(&directory, "callers.pem");
    wait_for_reloads(&bearerd, "tls", "success", 1.0);
    assert!(is_let_in(&new) && !is_let_in(&old));
}

#[test]
fn our_own_certificates_towards_servers_are_rotated_under_load_too() {
    let authority = Authority::new();
    let (endpoint, upstream, setup) = stage(300);
    let (api, shown) = authority.front_for_clients("localhost", upstream.address());
    let (login, shown_to_login) = authority.front_for_clients("localhost", endpoint.address());
    authority.file(setup.directory(), "ca.pem");
    let write = |year: i32| {
        let pair = authority.issue_until("bearerd.example", year);
        pair.write(setup.directory(), "own");
        pair
    };
    let first = write(2090);
    let tls = "tls = { ca = \"ca.pem\", certificate = \"own.pem\", key = \"own.key\" }";
    let text = setup
        .text()
        .replace(&upstream.url(), &format!("https://localhost:{}", api.port()))
        .replace(&format!("http://{}", endpoint.address()), &format!("https://localhost:{}", login.port()))
        .replace("[routes.api]\n", &format!("[routes.api]\n{tls}\n"))
        .replace("[credentials.api]\n", &format!("[credentials.api]\n{tls}\n"))
        .replace("[log]", "[timeouts]\nupstream_idle = \"100ms\"\n[log]");
    let bearerd = setup.clone().file(&text, &["api"]).start_ready();
    for name in ["routes.api", "credentials.api"] {
        assert_eq!(expiry(&bearerd, name), Some(3_786_912_000.0), "{name}");
        assert!(expiry(&bearerd, &format!("{name}.ca")).is_some(), "{name}");
    }
    let load = Load::start(bearerd.address(), 2, Duration::from_millis(5), Request::get("/items"));
    eventually("it is shown", seconds(5.0), || shown.lock().unwrap().contains(&first.der));
    let second = write(2091);
    wait_for_reloads(&bearerd, "routes.api", "success", 1.0);
    wait_for_reloads(&bearerd, "credentials.api", "success", 1.0);
    bearerd.get("/items").expect(200);
    load.stop().expect_all_ok();
    // Connections that are open keep what they showed; this one is new.
    crate::support::pause(seconds(0.5));
    bearerd.get("/items").expect(200);
    assert_eq!(shown.lock().unwrap().last(), Some(&second.der));
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    assert_eq!(*shown_to_login.lock().unwrap(), [first.der, second.der]);
}

#[test]
fn a_certificate_that_ends_soon_is_told_at_the_start_and_by_check() {
    let authority = Authority::new();
    let (_endpoint, _upstream, setup) = secure(&authority, "");
    authority.issue_until("localhost", 2020).write(setup.directory(), "server");
    let words = "the certificate has expired on 2020-01-01T00:00:00Z";
    let checked = setup.run_verb("check").expect_code(0);
    assert!(checked.stdout.contains("warning: ") && checked.stdout.contains(words), "{}", checked.told());
    let bearerd = setup.start_ready();
    assert_eq!(bearerd.log_with(words).len(), 1, "{:#?}", bearerd.log());
}
