//! Secrets of every kind, rotated while bearerd runs, and commands that misbehave.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::support::client::Load;
use crate::support::setup::CLIENT_SECRET;
use crate::support::swaps::{replace, swap};
use crate::support::{Reply, Request, Setup, TokenEndpoint, Upstream, eventually, seconds, stage, throughout};

/// Enough for a look at a command's output, which comes every 30 s, on a busy machine.
const NOTICED: f64 = 45.0;

/// An authorization server that takes one secret or, while it is rotated, two.
#[derive(Clone, Default)]
struct Accepted(Arc<Mutex<Vec<String>>>);

impl Accepted {
    fn only(&self, secrets: &[&str]) {
        *self.0.lock().unwrap() = secrets.iter().map(|&secret| secret.to_owned()).collect();
    }

    /// Tokens of `lifetime` seconds for those who send such a secret in the form.
    fn stage(&self, lifetime: u64) -> (TokenEndpoint, Upstream, Setup) {
        let (endpoint, upstream, setup) = stage(lifetime);
        let accepted = self.0.clone();
        endpoint.always(Reply::custom(move |request, tokens| {
            let sent = ["password", "client_assertion"].iter().find_map(|name| request.field(name)).unwrap_or_default();
            if !accepted.lock().unwrap().contains(&sent) {
                return Reply::json(400, r#"{"error":"invalid_grant"}"#);
            }
            let token = tokens.issue();
            Reply::json(200, format!(r#"{{"access_token":"{token}","expires_in":{}}}"#, tokens.lifetime()))
        }));
        (endpoint, upstream, setup)
    }
}

fn secret(version: usize) -> String {
    format!("rotated secret number {version} (canary)")
}

/// A program beside the configuration.
fn script(setup: &Setup, name: &str, text: &str) -> PathBuf {
    let path = setup.directory().join(name);
    // Written by another process: one that was forked meanwhile would hold it open for writing, and it could not be executed.
    let draft = setup.directory().join("draft");
    std::fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&draft, PermissionsExt::from_mode(0o755)).unwrap();
    let copied = std::process::Command::new("/bin/cp").args(["-p"]).arg(draft).arg(&path).status().unwrap();
    assert!(copied.success());
    path
}

/// Rotates the password twice under load: the server takes the old one until the new one has come, and no longer.
fn is_rotated_under_load(reference: &str, publish: impl Fn(&Setup, usize)) {
    let lines = format!("username = \"robot\"\npassword = {reference}");
    is_rotated(&lines, "password", publish);
}

/// The same for the secret that these lines of the credential send as `field`.
fn is_rotated(lines: &str, field: &str, publish: impl Fn(&Setup, usize)) {
    let accepted = Accepted::default();
    accepted.only(&[&secret(0)]);
    let (endpoint, _upstream, setup) = accepted.stage(3);
    (0..3).for_each(|version| endpoint.canaries().add(&secret(version)));
    publish(&setup, 0);
    let setup = setup.clone().env("CREDENTIALS_DIRECTORY", setup.directory().to_str().unwrap());
    let setup = match field {
        "password" => setup.credential(lines),
        _ => {
            let text = setup.text().replace(&format!("client_secret = \"{CLIENT_SECRET}\""), lines);
            setup.file(&text, &["api"])
        }
    };
    let bearerd = setup.start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.005), Request::get("/items"));
    let sent = |wanted: &str| endpoint.requests().iter().any(|seen| seen.field(field).as_deref() == Some(wanted));
    for version in 1..3 {
        accepted.only(&[&secret(version - 1), &secret(version)]);
        publish(&setup, version);
        eventually("the new secret is sent", seconds(20.0), || sent(&secret(version)));
        accepted.only(&[&secret(version)]);
    }
    let count = endpoint.count();
    endpoint.wait_for(count + 1, 20.0);
    let report = load.stop();
    report.expect_all_ok();
    assert!(report.total() > 100, "{report:?}");
    assert_eq!(bearerd.token_requests("permanent") + bearerd.token_requests("refused"), 0.0);
}

#[test]
fn a_file_that_is_replaced_is_rotated_under_load() {
    is_rotated_under_load("{ file = \"secret\" }", |setup, version| {
        replace(&setup.directory().join("secret"), &format!("{}\n", secret(version)));
    });
}

#[test]
fn a_file_that_is_written_in_place_is_rotated_under_load() {
    is_rotated_under_load("{ file = \"secret\" }", |setup, version| {
        std::fs::write(setup.directory().join("secret"), secret(version)).unwrap();
    });
}

#[test]
fn a_credential_of_systemd_is_rotated_under_load() {
    is_rotated_under_load("{ systemd = \"secret\" }", |setup, version| {
        replace(&setup.directory().join("secret"), &secret(version));
    });
}

#[test]
fn a_volume_of_kubernetes_is_rotated_under_load() {
    is_rotated_under_load("{ file = \"volume/secret\" }", |setup, version| {
        swap(&setup.directory().join("volume"), version, &secret(version));
    });
}

#[test]
fn a_member_of_a_json_file_is_rotated_under_load() {
    is_rotated_under_load("{ file = \"secret\", pointer = \"/login/password\" }", |setup, version| {
        let text = format!(r#"{{"type":"x","login":{{"password":"{}"}}}}"#, secret(version));
        replace(&setup.directory().join("secret"), &text);
    });
}

#[test]
fn the_output_of_a_command_is_rotated_under_load() {
    is_rotated_under_load("{ command = [\"cat\", \"secret\"] }", |setup, version| {
        replace(&setup.directory().join("secret"), &format!("{}\n", secret(version)));
    });
}

#[test]
fn a_member_of_a_commands_json_is_rotated_under_load() {
    is_rotated_under_load(
        "{ command = [\"cat\", \"secret\"], pointer = \"/0\", timeout = \"5s\" }",
        |setup, version| {
            replace(&setup.directory().join("secret"), &format!("[\"{}\"]", secret(version)));
        },
    );
}

#[test]
fn a_ready_made_assertion_in_a_volume_of_kubernetes_is_rotated_under_load() {
    is_rotated("client_assertion = { file = \"volume/secret\" }", "client_assertion", |setup, version| {
        swap(&setup.directory().join("volume"), version, &secret(version));
    });
}

/// A command that hands out the password goes wrong while bearerd runs, and is mended.
fn survives(mishap: impl Fn(&Setup, &Path), words: &[&str]) {
    let accepted = Accepted::default();
    accepted.only(&[&secret(0)]);
    let (endpoint, _upstream, setup) = accepted.stage(4);
    let text = format!("echo \"{}\"", secret(0));
    endpoint.canaries().add(&secret(0));
    let program = script(&setup, "hand-out", &text);
    let reference = "{ command = [\"./hand-out\", \"argument-canary-1\"], timeout = \"700ms\" }";
    endpoint.canaries().add("argument-canary-1");
    let setup = setup.credential(&format!("username = \"robot\"\npassword = {reference}\nlockout = false"));
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    mishap(&setup, &program);
    bearerd.wait_for_log("T023", 15.0);
    let line = bearerd.log_with("T023").remove(0);
    assert!(line.contains("hand-out") && words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    // No request failed at that moment: the token lives on.
    bearerd.get("/items").expect(200);
    let requests = endpoint.count();
    eventually("the token has ended", seconds(15.0), || bearerd.get("/items").status == 503);
    bearerd.get("/items").expect_problem(503, "T023");
    assert_eq!(endpoint.count(), requests, "a request without its secret was sent");
    std::fs::remove_file(&program).ok();
    script(&setup, "hand-out", &text);
    eventually("it works again", seconds(25.0), || bearerd.get("/items").status == 200);
}

#[test]
fn a_command_that_hangs_is_killed_and_told() {
    survives(
        |setup, _| drop(script(setup, "hand-out", "echo waiting for the vault >&2; sleep 600")),
        &["did not end within 700ms", "waiting for the vault"],
    );
}

#[test]
fn a_command_that_fails_is_told_with_its_complaint() {
    survives(
        |setup, _| drop(script(setup, "hand-out", "echo the vault is sealed >&2; exit 7")),
        &["exit status: 7", "the vault is sealed"],
    );
}

#[test]
fn a_command_that_floods_is_killed_and_told() {
    survives(|setup, _| drop(script(setup, "hand-out", "exec yes")), &["more than 64 KiB"]);
}

#[test]
fn a_command_that_is_gone_is_told() {
    survives(|_, program| std::fs::remove_file(program).unwrap(), &["does not exist"]);
}

#[test]
fn a_command_that_may_not_be_executed_is_told() {
    survives(
        |_, program| std::fs::set_permissions(program, PermissionsExt::from_mode(0o644)).unwrap(),
        &["cannot be executed"],
    );
}

#[test]
fn a_command_that_prints_a_secret_to_its_standard_error_does_not_make_us_print_it() {
    // The one that it printed before, one that it prints beside it, and one that only looks like one.
    survives(
        |setup, _| {
            setup.canaries().add("fresh-output-canary");
            setup.canaries().add("hvs.CAESIJ8canary31x");
            let known = secret(0);
            let complaint =
                format!("refused \"{known}\" and fresh-output-canary; token=shortcanary; hvs.CAESIJ8canary31x");
            setup.canaries().add("shortcanary");
            drop(script(setup, "hand-out", &format!("echo fresh-output-canary; echo '{complaint}' >&2; exit 1")));
        },
        &["exit status: 1", "refused"],
    );
}

#[test]
fn check_runs_a_command_once_and_shows_nothing_that_it_printed() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.canaries().add(&secret(0));
    script(
        &setup,
        "hand-out",
        &format!("echo run >>runs; env >>seen; echo '{{\"id\":\"svc\",\"secret\":\"{}\"}}'", secret(0)),
    );
    let member = |name: &str| format!("{{ command = [\"./hand-out\"], pointer = \"/{name}\" }}");
    let setup = setup.credential(&format!("username = {}\npassword = {}", member("id"), member("secret")));
    let setup = setup.env("BEARERD_AUDIENCE", "audience-of-ours").env("TZ", "Europe/Berlin");
    let ended = setup.run_verb("check").expect_code(0);
    assert!(ended.stdout.contains("is valid"), "{}", ended.told());
    let read = |name: &str| std::fs::read_to_string(setup.directory().join(name)).unwrap();
    assert_eq!(read("runs"), "run\n");
    let seen = read("seen");
    assert!(seen.contains("PATH=") && seen.contains("TZ=Europe/Berlin") && !seen.contains("BEARERD"), "{seen}");
    assert_eq!(endpoint.count(), 0);
    script(&setup, "hand-out", "echo out of order >&2; exit 1");
    let told = setup.run_verb("check").expect_code(78).told();
    assert!(told.contains("F010") && told.contains("out of order") && told.contains("hand-out"), "{told}");
    script(&setup, "hand-out", "echo '{\"id\":\"svc\"}'");
    let told = setup.run_verb("run").expect_code(78).told();
    assert!(told.contains("F010") && told.contains("has no /secret; there are: id"), "{told}");
}

#[test]
fn what_commands_hand_out_is_noticed_by_a_latched_credential_by_callers_keys_and_by_fields_and_they_run_seldom() {
    let accepted = Accepted::default();
    accepted.only(&[&secret(1)]);
    let (endpoint, upstream, setup) = accepted.stage(300);
    (0..2).for_each(|version| endpoint.canaries().add(&secret(version)));
    let counted = |name: &str| {
        script(&setup, name, &format!("echo run >>{name}.runs; cat {name}.txt"));
        replace(&setup.directory().join(format!("{name}.txt")), &secret(0));
        format!("{{ command = [\"./{name}\"] }}")
    };
    let (password, key, field) = (counted("password"), counted("key"), counted("field"));
    let setup = setup
        .credential(&format!("username = \"robot\"\npassword = {password}"))
        .route(&format!("headers = {{ set = {{ x-extra = {field} }} }}"))
        .section(&format!("[callers]\nkey = {key}"));
    let bearerd = setup.start();
    let get = |version: usize| bearerd.send(&Request::get("/items").field("x-bearerd-key", &secret(version))).status;
    bearerd.wait_for_log("T021", 10.0);
    assert_eq!((get(0), get(1)), (503, 403));
    let runs = |name: &str| {
        let text = std::fs::read_to_string(setup.directory().join(format!("{name}.runs"))).unwrap();
        text.lines().count()
    };
    throughout("nothing is run every second", seconds(8.0), || {
        runs("password") <= 2 && runs("key") == 1 && runs("field") == 1 && endpoint.count() == 1
    });
    for name in ["password", "key", "field"] {
        replace(&setup.directory().join(format!("{name}.txt")), &secret(1));
    }
    eventually("the credential heals, and the new key is in use", seconds(NOTICED), || get(1) == 200);
    assert_eq!((get(0), endpoint.count()), (403, 2));
    let is_sent = || {
        let seen = upstream.requests();
        seen.last().is_some_and(|seen| seen.head.fields.first("x-extra") == Some(&*secret(1)))
    };
    eventually("the new field is sent", seconds(NOTICED), || get(1) == 200 && is_sent());
    assert!(
        runs("password") <= 5 && runs("key") <= 3 && runs("field") <= 3,
        "{:?}",
        ["password", "key", "field"].map(runs)
    );
}

#[test]
fn a_shared_key_in_a_volume_of_kubernetes_is_swapped_under_load() {
    let (_endpoint, _upstream, setup) = stage(300);
    let volume = setup.directory().join("volume");
    (0..2).for_each(|version| setup.canaries().add(&secret(version)));
    swap(&volume, 0, &secret(0));
    let bearerd = setup.section("[callers]\nkey = { file = \"volume/secret\" }").start_ready();
    let get = |version: usize| Request::get("/items").field("x-bearerd-key", &secret(version));
    let load = Load::start(bearerd.address(), 2, seconds(0.005), get(0));
    assert_eq!(bearerd.send(&get(1)).status, 403);
    load.stop().expect_all_ok();
    swap(&volume, 1, &secret(1));
    eventually("the new key is in use", seconds(10.0), || bearerd.send(&get(1)).status == 200);
    assert_eq!(bearerd.send(&get(0)).status, 403);
}
