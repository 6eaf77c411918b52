//! The verbs beside `run`: how they find a running bearerd, and what they leave on disk and screen.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::{BINARY, Bearerd, Setup, finish, stage};

/// A free port that is not listened on now, for configurations that both sides must know.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A verb in the directory of the configuration, without arguments, as a container's HEALTHCHECK runs it.
fn bare(setup: &Setup, verb: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(verb).env_clear().envs(variables.iter().copied()).current_dir(setup.directory());
    command
}

fn with_admin(lines: &str) -> (Setup, Bearerd, impl Sized) {
    let (endpoint, upstream, setup) = stage(300);
    let setup = setup.section(&format!("[admin]\n{lines}"));
    let bearerd = setup.spawn();
    (setup, bearerd, (endpoint, upstream))
}

#[test]
fn probes_without_arguments_find_the_listener_by_the_same_configuration() {
    for lines in [
        format!("listen = \"127.0.0.1:{}\"", free_port()),
        format!("listen = \"off\"\nprobe_listen = \"127.0.0.1:{}\"", free_port()),
        "listen = \"unix:admin.sock\"".to_owned(),
    ] {
        let (setup, _bearerd, _stage) = with_admin(&lines);
        finish(bare(&setup, &["wait", "--timeout", "20s"], &[]), setup.canaries()).expect_code(0);
        finish(bare(&setup, &["healthcheck"], &[]), setup.canaries()).expect_code(0);
        // The file is edited while it runs: a probe looks at what it needs alone.
        let path = setup.directory().join("bearerd.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("unknown = 1\n{text}")).unwrap();
        let named = path.to_str().unwrap();
        let elsewhere = |verb: &[&str], variables: &[(&str, &str)]| {
            let mut command = bare(&setup, verb, variables);
            command.current_dir("/");
            finish(command, setup.canaries()).code
        };
        assert_eq!(elsewhere(&["healthcheck"], &[("BEARERD_CONFIG", named)]), Some(0), "{lines}");
        assert_eq!(elsewhere(&["healthcheck", "--live", "--config", named], &[]), Some(0), "{lines}");
    }
}

#[test]
fn probes_find_the_listener_that_a_variable_names() {
    let (endpoint, upstream, setup) = stage(300);
    let port = free_port().to_string();
    let variables = [
        ("BEARERD_UPSTREAM", upstream.url()),
        ("BEARERD_TOKEN_ENDPOINT", endpoint.url()),
        ("BEARERD_CLIENT_ID", "svc".to_owned()),
        ("BEARERD_LISTEN", "127.0.0.1:0".to_owned()),
        ("BEARERD_ADMIN_LISTEN", "off".to_owned()),
        ("BEARERD_PROBE_LISTEN", format!("127.0.0.1:{port}")),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut running = bare(&setup, &["run"], &variables).spawn().unwrap();
    let waited = finish(bare(&setup, &["wait", "--timeout", "20s"], &variables), setup.canaries());
    let checked = finish(bare(&setup, &["healthcheck"], &variables), setup.canaries());
    let retried = finish(bare(&setup, &["retry", "default"], &variables), setup.canaries());
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!((waited.code, checked.code), (Some(0), Some(0)), "{}{}", waited.told(), checked.told());
    // The probe listener changes nothing.
    retried.expect_code(1);
}

#[test]
fn copy_to_leaves_a_program_that_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (_endpoint, _upstream, setup) = stage(300);
    let mut copy = Command::new(BINARY);
    copy.arg("copy-to").arg(directory.path());
    let done = finish(copy, setup.canaries()).expect_code(0);
    let path = directory.path().join("bearerd");
    assert_eq!(done.stdout.trim_end(), path.to_str().unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    let mut version = Command::new(&path);
    version.arg("--version");
    assert!(finish(version, setup.canaries()).expect_code(0).stdout.starts_with("bearerd "));
    let mut nowhere = Command::new(BINARY);
    nowhere.args(["copy-to", "/no/such/directory"]);
    let failed = finish(nowhere, setup.canaries()).expect_code(1);
    assert!(failed.stderr.contains("/no/such/directory/bearerd"), "{}", failed.stderr);
}

#[test]
fn completions_and_the_manual_page_know_every_verb() {
    let (_endpoint, _upstream, setup) = stage(300);
    let say = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(arguments);
        finish(command, setup.canaries()).expect_code(0).stdout
    };
    let manual = say(&["man"]);
    for shell in ["bash", "zsh", "fish"] {
        let completions = say(&["completions", shell]);
        for verb in ["run", "exec", "check", "wait", "copy-to", "healthcheck", "retry"] {
            assert!(completions.contains(verb), "{shell}: {verb}");
            assert!(manual.contains(&format!(".SH \"BEARERD {}\"", verb.to_uppercase())), "{verb}");
        }
    }
    let script = setup.directory().join("completions");
    std::fs::write(&script, say(&["completions", "bash"])).unwrap();
    let mut bash = Command::new("bash");
    bash.arg("-n").arg(&script);
    finish(bash, setup.canaries()).expect_code(0);
}

#[test]
fn an_api_that_says_200_to_everything_is_not_taken_for_the_admin_listener() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let address = bearerd.address().to_string();
    for verb in [&["healthcheck"][..], &["healthcheck", "--live"], &["wait", "--timeout", "100ms"], &["status"]] {
        let mut command = bare(&setup, verb, &[]);
        command.args(["--admin", &address]);
        let ended = finish(command, setup.canaries()).expect_code(1);
        assert!(ended.told().contains("admin listener"), "{verb:?}: {}", ended.told());
        assert!(ended.told().lines().count() == 1, "{verb:?} shows what a stranger says: {}", ended.told());
    }
}

#[test]
fn a_state_directory_that_the_service_manager_makes_may_be_missing_before_the_start() {
    let (_endpoint, _upstream, setup) = stage(300);
    let missing = setup.directory().join("state");
    let setup = setup.top(&format!("state_directory = {missing:?}"));
    let checked = setup.run_verb("check").expect_code(0);
    assert!(checked.told().contains("StateDirectory="), "{}", checked.told());
    let ended = setup.run_verb("run").expect_code(78);
    assert!(ended.told().contains("F011 state_directory") && ended.told().contains("mkdir"), "{}", ended.told());
}

#[test]
fn the_file_that_a_flag_or_a_variable_leaves_unread_is_named() {
    let (_endpoint, _upstream, setup) = stage(300);
    let _bearerd = setup.spawn();
    for (verb, variables, because) in [
        (&["check", "--scope", "a"][..], &[][..], "--scope"),
        (&["check"], &[("BEARERD_CLIENT_ID", "x")], "BEARERD_CLIENT_ID"),
    ] {
        let ended = finish(bare(&setup, verb, variables), setup.canaries()).expect_code(78);
        let wanted = format!("./bearerd.toml was found but is not read, because {because} describes a whole proxy");
        assert!(ended.told().contains(&wanted), "{}", ended.told());
    }
}
