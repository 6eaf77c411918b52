//! Where it listens beside TCP, and who may come in there.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::peers::{installed, skip_unless};
use crate::support::{Request, Setup, Upstream, stage};

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

pub(crate) fn by_socket(path: &Path, more: &[&str], uid: Option<u32>) -> (u16, String) {
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

/// The user that tests run as, and one that they can become.
fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

const OTHER: u32 = 4321;

/// Whether the test must be left out: only root can become somebody else.
fn cannot_change_user() -> bool {
    skip_unless(installed("curl"), "curl") || skip_unless(own_uid() == 0, "a root user")
}

#[test]
fn only_processes_of_the_users_named_are_served_on_unix_sockets_and_loopback() {
    if cannot_change_user() {
        return;
    }
    let (_endpoint, upstream, setup) = on_both();
    let setup = setup.section(&format!("[callers]\nuids = [{OTHER}]"));
    let bearerd = setup.start_ready();
    let directory = setup.directory();
    let path = directory.join("app.sock");
    // For the other user to reach the socket by its path.
    std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let url = format!("http://{}/items", bearerd.address());
    for (allowed, told) in [(false, curl(&[&url], None)), (false, by_socket(&path, &["http://localhost/items"], None))]
        .into_iter()
        .chain([(true, curl(&[&url], Some(OTHER))), (true, by_socket(&path, &["http://localhost/items"], Some(OTHER)))])
    {
        let (status, body) = told;
        assert_eq!(status, if allowed { 200 } else { 403 }, "{body}");
        let line = "add to [callers]: uids = [0]";
        assert!(allowed || (body.contains("C006") && body.contains(line)), "{body}");
    }
    assert_eq!(upstream.count(), 2);
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C006")]), Some(2.0));
    // The connection's owner is looked up once and holds for all its requests.
    let (status, told) = curl(&[&url, &url], Some(OTHER));
    assert_eq!(status, 200, "{told}");
}

#[test]
fn the_own_user_is_allowed_by_number_and_by_group() {
    let gid = rustix::process::getegid().as_raw();
    for rule in [format!("uids = [{}]", own_uid()), format!("gids = [{gid}]\nuids = [{OTHER}]")] {
        let (_endpoint, _upstream, setup) = on_both();
        let path = setup.directory().join("app.sock");
        let bearerd = setup.section(&format!("[callers]\n{rule}")).start_ready();
        if own_uid() == 0 || rule.starts_with("uids") {
            // Groups of TCP callers are those of /etc/group, which tests know of root alone.
            bearerd.get("/items").expect(200);
        }
        if skip_unless(installed("curl"), "curl") {
            return;
        }
        let (status, told) = by_socket(&path, &["http://localhost/items"], None);
        assert_eq!(status, 200, "{told}");
    }
}

#[test]
fn a_shared_key_is_asked_for_and_goes_no_further() {
    let (_endpoint, upstream, setup) = stage(300);
    let file = setup.secret_file("key", "canary-key-one\n");
    let setup = setup.section("[callers]\nkey = { file = \"key\" }");
    let bearerd = setup.start_ready();
    let with = |key: &str| Request::get("/items").field("X-Bearerd-Key", key).field("Host", "any.example");
    bearerd.send(&with("canary-key-one")).expect(200);
    let seen = upstream.only_request().raw_head();
    assert!(!seen.contains("canary-key-one"), "{seen}");
    for refused in [
        Request::get("/items"),
        with("canary-key-two"),
        with(""),
        with("canary-key-one").field("X-Bearerd-Key", "canary-key-one"),
    ] {
        let told = bearerd.send(&refused).expect_problem(403, "C016").text();
        assert!(told.contains("x-bearerd-key"), "{told}");
    }
    assert_eq!(upstream.count(), 1);
    assert_eq!(bearerd.metric("bearerd_refused_total", &[("reason", "C016")]), Some(4.0));
    // Removed for a moment, as some tools write: the last key holds.
    std::fs::remove_file(&file).unwrap();
    bearerd.wait_for_log("stays the last one", 5.0);
    bearerd.send(&with("canary-key-one")).expect(200);
    setup.secret_file("key", "canary-key-two");
    bearerd.wait_for_log("has changed", 5.0);
    bearerd.send(&with("canary-key-one")).expect_problem(403, "C016");
    bearerd.send(&with("canary-key-two")).expect(200);
}

#[test]
fn a_key_allows_to_listen_beyond_loopback() {
    let (_endpoint, _upstream, setup) = stage(300);
    setup.secret_file("key", "canary-key-three");
    let open = setup.clone().top("listen = \"0.0.0.0:0\"");
    assert_eq!(open.run_verb("check").code, Some(78));
    let check = open.section("[callers]\nkey = { file = \"key\" }").run_verb("check");
    assert_eq!(check.code, Some(0), "{}", check.stderr);
    let own = setup.route("listen = \"0.0.0.0:0\"\ncallers = { key = { file = \"key\" } }").run_verb("check");
    assert_eq!(own.code, Some(0), "{}", own.stderr);
}

#[test]
fn a_route_can_have_rules_of_its_own() {
    let (_endpoint, upstream, setup) = stage(300);
    setup.secret_file("key", "canary-key-general");
    setup.secret_file("other", "canary-key-other");
    let more = format!(
        "[callers]\nkey = {{ file = \"key\" }}\n[routes.other]\nupstream = \"{}\"\npath = \"/other\"\n\
         [routes.other.callers]\nkey = {{ file = \"other\" }}\nkey_header = \"x-other\"\n\
         [routes.users]\nupstream = \"{}\"\npath = \"/users\"\ncallers = {{ uids = [{OTHER}] }}\n",
        upstream.url(),
        upstream.url()
    );
    let bearerd = setup.section(&more).start_ready();
    let get = |path: &str, header: &str, key: &str| bearerd.send(&Request::get(path).field(header, key));
    get("/items", "x-bearerd-key", "canary-key-general").expect(200);
    get("/items", "x-other", "canary-key-other").expect_problem(403, "C016");
    get("/other/items", "x-other", "canary-key-other").expect(200);
    get("/other/items", "x-bearerd-key", "canary-key-general").expect_problem(403, "C016");
    let told = get("/users/items", "x-bearerd-key", "canary-key-general").expect_problem(403, "C006").text();
    assert!(told.contains("add to [routes.users.callers]: uids = ["), "{told}");
    let both = Request::get("/other").field("x-other", "canary-key-other").field("x-bearerd-key", "canary-key-general");
    bearerd.send(&both).expect(200);
    let seen: String = upstream.requests().iter().map(|request| request.raw_head()).collect();
    assert!(!seen.contains("canary-key"), "{seen}");
}
