//! Where it listens beside TCP, and who may come in there.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::peers::{installed, skip_unless};
use crate::support::{Setup, Upstream, stage};

/// Listens on TCP first, by which the tests know it, and on a Unix socket beside its configuration.
fn on_both() -> (crate::support::TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    (endpoint, upstream, setup.top("listen = [\"127.0.0.1:0\", \"unix:app.sock\"]"))
}

/// One request by curl, as another user if a number is given; answers status and body.
fn curl(arguments: &[&str], uid: Option<u32>) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "-m", "20", "-w", "\n%{http_code}"]).args(arguments);
    if let Some(uid) = uid {
        std::os::unix::process::CommandExt::uid(&mut command, uid);
        std::os::unix::process::CommandExt::gid(&mut command, uid);
    }
    let output = command.output().expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

fn by_socket(path: &Path, more: &[&str], uid: Option<u32>) -> (u16, String) {
    let socket = path.to_str().unwrap();
    curl(&[&["--unix-socket", socket][..], more].concat(), uid)
}

#[test]
fn an_application_is_served_on_a_unix_socket_whatever_host_it_names() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, setup) = on_both();
    let bearerd = setup.start_ready();
    let path = setup.directory().join("app.sock");
    for url in ["http://localhost/items", "http://anything.example/items"] {
        let (status, told) = by_socket(&path, &[url], None);
        assert_eq!(status, 200, "{told}");
    }
    assert_eq!(upstream.count(), 2);
    let mode = std::fs::metadata(&path).unwrap();
    assert!(mode.file_type().is_socket());
    assert_eq!(mode.mode() & 0o777, 0o660);
    let (status, told) = by_socket(&path, &["-H", "Origin: https://evil.example", "http://localhost/items"], None);
    assert_eq!(status, 403, "{told}");
    assert!(told.contains("C002"), "{told}");
    bearerd.stop();
    assert!(!path.exists(), "the file goes with the process");
}

#[test]
fn a_route_and_the_admin_listener_can_have_unix_sockets_alone() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup.route("listen = \"unix:route.sock\"").section("[admin]\nlisten = \"unix:admin.sock\"");
    let check = setup.run_verb("check");
    assert!(check.stdout.contains("route.sock/ → http://"), "{}", check.stdout);
    let bearerd = setup.spawn();
    bearerd.wait_for_log("admin listening", 20.0);
    let admin = format!("unix:{}", setup.directory().join("admin.sock").display());
    assert!(!bearerd.log_with(&admin).is_empty(), "{:?}", bearerd.log());
    let verb = |arguments: &[&str]| {
        let mut command = Command::new(crate::support::BINARY);
        command.args(arguments).args(["--admin", &admin]);
        command.output().unwrap()
    };
    crate::support::eventually("ready", crate::support::seconds(10.0), || verb(&["healthcheck"]).status.success());
    let retried = verb(&["retry", "api"]);
    assert!(retried.status.success(), "{retried:?}");
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (status, page) = by_socket(&setup.directory().join("admin.sock"), &["http://bearerd.example/status"], None);
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("route.sock"), "{page}");
}

#[test]
fn a_socket_that_nobody_answers_on_is_replaced_and_one_in_use_is_not() {
    let (_endpoint, _upstream, setup) = on_both();
    let path = setup.directory().join("app.sock");
    drop(UnixListener::bind(&path).unwrap());
    let first = setup.start_ready();
    let second = setup.run_verb("run");
    assert_ne!(second.code, Some(0));
    assert!(second.stderr.contains("F012") && second.stderr.contains("app.sock"), "{}", second.stderr);
    first.get("/items").expect(200);
    assert!(path.exists());
    first.stop();
    std::fs::write(&path, "a file of somebody else").unwrap();
    assert_ne!(setup.run_verb("run").code, Some(0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file of somebody else");
}

#[test]
fn a_socket_in_a_directory_that_is_not_there_is_found_at_the_check() {
    let (_endpoint, _upstream, setup) = stage(300);
    let ended = setup.top("listen = \"unix:no/such/app.sock\"").run_verb("check");
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("F011 listen: "), "{}", ended.stderr);
}
