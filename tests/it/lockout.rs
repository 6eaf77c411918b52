//! A wrong password is not tried again and again (promise 5).
//!
//! The minute before the one confirmation, and the latch after it, are in `tests/reliability`.

use crate::support::client::Load;
use crate::support::{Reply, Request, Setup, TokenEndpoint, Upstream, eventually, now, seconds, stage, throughout};

const WRONG: &str = "wrong-password-canary";
const RIGHT: &str = "right-password-canary";

/// A login that knows one password, read from a file.
fn login(refusal: Reply) -> (TokenEndpoint, Upstream, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    endpoint.always(Reply::custom(move |request, tokens| {
        if request.field("password").as_deref() != Some(RIGHT) {
            return refusal.clone();
        }
        Reply::json(200, format!(r#"{{"access_token":"{}","expires_in":300}}"#, tokens.issue()))
    }));
    setup.secret_file("password", &format!("{WRONG}\n"));
    let setup = setup.credential("username = \"robot\"\npassword = { file = \"password\" }");
    (endpoint, upstream, setup)
}

fn invalid_grant() -> Reply {
    Reply::json(400, r#"{"error":"invalid_grant","error_description":"bad user name or password"}"#)
}

/// Every way in which real servers say that a login is wrong.
fn refusals() -> Vec<Reply> {
    vec![
        invalid_grant(),
        Reply::json(401, r#"{"error":"invalid_client"}"#),
        Reply::json(401, r#"{"detail":"Authentication failed"}"#),
        Reply::Http(403, Vec::new(), Vec::new()),
    ]
}

#[test]
fn a_wrong_password_is_tried_once_in_the_first_seconds_whatever_the_load() {
    for refusal in refusals() {
        let (endpoint, upstream, setup) = login(refusal);
        let bearerd = setup.start();
        let load = Load::start(bearerd.address(), 4, seconds(0.01), Request::get("/items"));
        throughout("one attempt", seconds(2.5), || endpoint.count() <= 1);
        let report = load.stop();
        assert_eq!(endpoint.count(), 1);
        assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [503], "{report:?}");
        assert_eq!(upstream.count(), 0);
        assert!(report.total() > 50, "the load was held back: {report:?}");
    }
}

#[test]
fn requests_get_503_at_once_with_the_reason() {
    let (endpoint, _upstream, setup) = login(invalid_grant());
    let bearerd = setup.start();
    endpoint.wait_for(1, 5.0);
    bearerd.wait_for_log("T021", 3.0);
    let start = now();
    let response = bearerd.get("/items").expect_problem(503, "T021");
    assert!(start.elapsed() < seconds(1.0), "{:?}", start.elapsed());
    let told = response.text();
    assert!(told.contains("invalid_grant") || told.contains("refused"), "{told}");
    let line = bearerd.log_with("T021").join("\n");
    assert!(
        line.contains("bad user name or password") && line.contains("secret changes"),
        "the line is the cure: {line}"
    );
    assert!(!bearerd.is_ready());
    assert_eq!(bearerd.token_requests("permanent"), 1.0);
}

#[test]
fn the_right_password_in_the_file_works_within_five_seconds() {
    for refusal in [invalid_grant(), Reply::Http(403, Vec::new(), Vec::new())] {
        let (endpoint, _upstream, setup) = login(refusal);
        let bearerd = setup.start();
        endpoint.wait_for(1, 5.0);
        bearerd.get("/items").expect(503);
        setup.secret_file("password", &format!("{RIGHT}\n"));
        eventually("200", seconds(5.0), || bearerd.get("/items").status == 200);
        assert_eq!(endpoint.count(), 2);
        assert!(bearerd.is_ready());
    }
}

#[test]
fn a_password_replaced_the_kubernetes_way_is_seen() {
    let (endpoint, _upstream, setup) = login(invalid_grant());
    let volume = setup.directory().join("volume");
    let publish = |version: &str, password: &str| {
        std::fs::create_dir_all(volume.join(version)).unwrap();
        std::fs::write(volume.join(version).join("password"), password).unwrap();
        std::os::unix::fs::symlink(version, volume.join("..data.new")).unwrap();
        std::fs::rename(volume.join("..data.new"), volume.join("..data")).unwrap();
    };
    publish("..1", WRONG);
    std::os::unix::fs::symlink("..data/password", volume.join("password")).unwrap();
    endpoint.canaries().add(RIGHT);
    let text = setup.text().replace("{ file = \"password\" }", "{ file = \"volume/password\" }");
    let bearerd = setup.file(&text, &["api"]).start();
    endpoint.wait_for(1, 5.0);
    bearerd.wait_for_log("T021", 3.0);
    publish("..2", RIGHT);
    eventually("200", seconds(5.0), || bearerd.get("/items").status == 200);
    assert_eq!(endpoint.count(), 2);
}

#[test]
fn a_file_touched_without_a_change_is_no_reason_to_try_again() {
    let (endpoint, _upstream, setup) = login(invalid_grant());
    let bearerd = setup.start();
    endpoint.wait_for(1, 5.0);
    bearerd.wait_for_log("T021", 3.0);
    setup.secret_file("password", &format!("{WRONG}\n"));
    throughout("one attempt", seconds(3.0), || endpoint.count() == 1);
}

#[test]
fn a_restart_does_not_try_a_refused_password_again() {
    let (endpoint, _upstream, setup) = login(invalid_grant());
    let setup = setup.top("state_directory = \"state\"");
    std::fs::create_dir(setup.directory().join("state")).unwrap();
    for _ in 0..2 {
        let bearerd = setup.start();
        endpoint.wait_for(1, 5.0);
        bearerd.wait_for_log("T021", 3.0);
        bearerd.get("/items").expect_problem(503, "T021");
        throughout("one attempt", seconds(2.0), || endpoint.count() == 1);
        bearerd.stop();
    }
    // Whoever reads what was kept learns nothing of the password.
    let mut files = 0;
    for entry in std::fs::read_dir(setup.directory().join("state")).unwrap() {
        files += 1;
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert_eq!(endpoint.canaries().found_in(&String::from_utf8_lossy(&bytes)), None);
    }
    assert!(files > 0, "nothing was kept");
    // Another audience is another request, and another password another login.
    let bearerd = setup.clone().credential("audience = \"elsewhere\"").start();
    endpoint.wait_for(2, 5.0);
    bearerd.wait_for_log("T021", 3.0);
    bearerd.stop();
    setup.secret_file("password", RIGHT);
    setup.start_ready().get("/items").expect(200);
    assert_eq!(endpoint.count(), 3);
}

#[test]
fn retry_lets_a_refused_credential_ask_again() {
    let (endpoint, _upstream, setup) = login(invalid_grant());
    let bearerd = setup.start();
    endpoint.wait_for(1, 5.0);
    bearerd.wait_for_log("T021", 3.0);
    let mut command = std::process::Command::new(crate::support::BINARY);
    command.arg("retry").arg("api").arg("--admin").arg(bearerd.admin().to_string());
    crate::support::finish(command, endpoint.canaries()).expect_code(0);
    endpoint.wait_for(2, 3.0);
    // The listener itself wants POST, so that no link can do it.
    bearerd.admin_get("/retry/api").expect(405);
    let response = Request::new("POST", "/retry/nobody").send(bearerd.admin());
    assert_eq!(response.status, 404, "{response:?}");
}

#[test]
fn a_login_that_fails_with_a_5xx_is_not_hammered() {
    let (endpoint, _upstream, setup) = login(Reply::text(500, "text/plain", "oops"));
    let bearerd = setup.start();
    bearerd.wait_for_log("T013", 5.0);
    // It answered, so it may have counted the attempt: 10 s before the next.
    throughout("one attempt", seconds(6.0), || endpoint.count() == 1);
    bearerd.get("/items").expect_problem(503, "T013");
}

#[test]
fn a_client_secret_that_is_refused_is_not_tried_again_either() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::json(401, r#"{"error":"invalid_client"}"#));
    let bearerd = setup.start();
    bearerd.wait_for_log("T021", 5.0);
    throughout("one attempt", seconds(4.0), || endpoint.count() == 1);
    bearerd.get("/items").expect_problem(503, "T021");
}
