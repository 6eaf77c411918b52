//! `bearerd exec -- CMD`: a job with its own bearerd.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::peers::{installed, skip_unless};
use crate::support::{BINARY, Ended, Reply, Setup, eventually, finish, now, seconds, stage};

/// `exec` with these flags and this command.
fn exec(setup: &Setup, flags: &[&str], command: &[&str]) -> Command {
    let mut exec = setup.command("exec");
    exec.args(flags).arg("--").args(command);
    exec
}

/// What has the signals of the keyboard taken as usual: whoever runs the tests in the background of a script has them ignored.
const HEEDING: [&str; 2] = ["env", "--default-signal=INT,QUIT"];

/// The same, heeding these signals.
fn heeding(command: &Command) -> Command {
    let [program, option] = HEEDING;
    let mut heeding = Command::new(program);
    heeding.arg(option).arg(command.get_program()).args(command.get_args());
    heeding.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::piped());
    heeding
}

fn ended(setup: &Setup, flags: &[&str], command: &[&str]) -> Ended {
    finish(exec(setup, flags, command), setup.canaries())
}

/// Starts it and waits until the command says `running`.
fn running(mut command: Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "running\n");
    (child, said)
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_command_calls_with_a_token_and_its_exit_code_is_the_jobs() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (endpoint, upstream, setup) = stage(300);
    let script = "curl -fsS --noproxy '*' \"$BEARERD_URL/items\" && curl -fsS --noproxy '*' \"$API/x\" && exit 7";
    let done = ended(&setup, &["--env", "API={url.api}"], &["sh", "-c", script]).expect_code(7);
    assert!(done.stdout.contains("\"target\":\"/items\"") || done.stdout.contains("/items"), "{}", done.told());
    assert_eq!((upstream.count(), endpoint.count()), (2, 1));
}

#[test]
fn the_ports_are_free_ones_whatever_is_configured() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, setup) = stage(300);
    let taken = upstream.address();
    let setup = setup
        .top(&format!("listen = \"{taken}\""))
        .section(&format!("[admin]\nlisten = \"{taken}\"\n"))
        .section(&format!(
            "[routes.more-b]\nlisten = \"fd:web\"\nhost = \"b.example\"\npath = \"/b\"\nupstream = \"{}\"\n",
            upstream.url()
        ));
    // Taken by the same address twice is a mistake of the file; here each is the upstream's.
    let text = setup.text().replacen(&format!("[admin]\nlisten = \"{taken}\""), "[admin]\nlisten = \"127.0.0.1:1\"", 1);
    let setup = setup.file(&text, &[]);
    let script =
        "for url in $BEARERD_URL_API/items $BEARERD_URL_MORE_B/items; do curl -fsS --noproxy '*' $url || exit 1; done";
    ended(&setup, &[], &["sh", "-c", script]).expect_code(0);
    assert_eq!(upstream.count(), 2);
}

#[test]
fn the_command_sees_no_other_variable_of_ours_and_no_secret() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup
        .credential("params = { pin = { env = \"API_PIN\" } }")
        .env("API_PIN", "pin-canary-77")
        .env("BEARERD_LOG_LEVEL", "warn")
        .env("NOTIFY_SOCKET", "/no/such")
        .env("LISTEN_FDS", "1")
        .env("ORDINARY", "kept");
    setup.canaries().add("pin-canary-77");
    let done = ended(&setup, &["--env", "BASE={url}/v2"], &["env"]).expect_code(0);
    let names: Vec<_> = done.stdout.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for gone in ["API_PIN", "BEARERD_LOG_LEVEL", "NOTIFY_SOCKET", "LISTEN_FDS"] {
        assert!(!names.contains(&gone), "{gone}: {}", done.stdout);
    }
    for there in ["ORDINARY", "PATH", "BEARERD_URL", "BEARERD_URL_API", "BASE"] {
        assert!(names.contains(&there), "{there}: {}", done.stdout);
    }
}

#[test]
fn the_command_has_the_limits_that_bearerd_was_started_with() {
    let (_endpoint, _upstream, setup) = stage(300);
    let mut limited = Command::new("sh");
    let exec = exec(&setup, &[], &["sh", "-c", "ulimit -Sn; ulimit -Hc"]);
    let words = exec.get_args().map(|word| format!("'{}'", word.to_string_lossy())).collect::<Vec<_>>().join(" ");
    limited.args(["-c", &format!("ulimit -Sn 777; exec {BINARY} {words}")]).env_clear().env("PATH", "/usr/bin:/bin");
    let done = finish(limited, setup.canaries()).expect_code(0);
    let core = finish(
        {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -Hc"]);
            shell
        },
        setup.canaries(),
    );
    assert_eq!(done.stdout, format!("777\n{}", core.stdout), "{}", done.stderr);
}

#[test]
fn a_command_that_a_signal_ends_or_that_cannot_be_run_is_told_as_shells_do() {
    let (_endpoint, _upstream, setup) = stage(300);
    ended(&setup, &[], &["sh", "-c", "kill -KILL $$"]).expect_code(137);
    ended(&setup, &[], &["no-such-command"]).expect_code(127);
    ended(&setup, &[], &["/etc/passwd"]).expect_code(126);
}

#[test]
fn every_signal_reaches_the_command_once() {
    let (_endpoint, _upstream, setup) = stage(300);
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let script = format!("trap 'echo got; exit 9' {name}; echo running; while :; do sleep 0.05; done");
        let (mut child, mut said) = running(heeding(&exec(&setup, &[], &["sh", "-c", &script])));
        send(&child, signal);
        let mut all = String::new();
        said.read_to_string(&mut all).unwrap();
        assert_eq!((all.as_str(), child.wait().unwrap().code()), ("got\n", Some(9)), "{name}");
    }
}

#[test]
fn a_key_of_the_terminal_reaches_the_command_once() {
    if skip_unless(installed("script"), "script (util-linux)") {
        return;
    }
    let (_endpoint, _upstream, setup) = stage(300);
    // Ends a moment after the first signal, so that a second one would be seen, or when none comes.
    let inner = "n=1000; trap 'echo got; n=20' INT; echo running; while [ $n -gt 0 ]; do sleep 0.05; n=$((n-1)); done; echo end; exit 5";
    let exec = exec(&setup, &[], &["sh", "-c", inner]);
    let words = exec.get_args().map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")));
    let line = format!("exec {} {BINARY} {}", HEEDING.join(" "), words.collect::<Vec<_>>().join(" "));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut keyboard = child.stdin.take().unwrap();
    let mut all = String::new();
    while !all.ends_with("running\r\n") {
        assert!(said.read_line(&mut all).unwrap() > 0, "{all}");
    }
    std::io::Write::write_all(&mut keyboard, b"\x03").unwrap();
    said.read_to_string(&mut all).unwrap();
    assert_eq!(all.matches("got").count(), 1, "{all}");
    assert!(all.contains("end"), "{all}");
    assert_eq!(child.wait().unwrap().code(), Some(5), "{all}");
}

#[test]
fn what_the_starter_ignores_stays_ignored() {
    let (_endpoint, _upstream, setup) = stage(300);
    let exec = exec(&setup, &[], &["sh", "-c", "echo running; sleep 0.3; exit 4"]);
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", BINARY]).args(exec.get_args());
    let (mut child, _said) = running({
        nohup.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::piped());
        nohup
    });
    send(&child, Signal::HUP);
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn refused_credentials_end_it_with_77_and_an_outage_with_1() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::json(401, r#"{"error":"invalid_client"}"#));
    let start = now();
    let refused = ended(&setup, &["--timeout", "600ms"], &["echo", "ran"]).expect_code(77);
    assert!(refused.stderr.contains("T021") && !refused.stdout.contains("ran"), "{}", refused.told());
    assert!(start.elapsed() < seconds(5.0), "{:?}", start.elapsed());
    endpoint.go_down();
    let late = ended(&setup, &["--timeout", "1s"], &["echo", "ran"]).expect_code(1);
    assert!(late.stderr.contains("T010") && !late.stdout.contains("ran"), "{}", late.told());
}

#[test]
fn a_refusal_is_not_waited_for_if_nothing_is_tried_again_in_time() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::json(401, r#"{"error":"invalid_client"}"#));
    let start = now();
    ended(&setup, &["--timeout", "30s"], &["true"]).expect_code(77);
    assert!(start.elapsed() < seconds(15.0), "{:?}", start.elapsed());
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn wrong_configurations_and_wrong_usage_are_told_apart() {
    let (_endpoint, _upstream, setup) = stage(300);
    ended(&setup.clone().top("no_such_key = 1"), &[], &["true"]).expect_code(78);
    let unknown = ended(&setup, &["--env", "X={url.other}"], &["true"]).expect_code(2);
    assert!(unknown.stderr.contains("there are: api"), "{}", unknown.told());
    let mut nothing = setup.command("exec");
    finish(
        {
            nothing.arg("--");
            nothing
        },
        setup.canaries(),
    )
    .expect_code(2);
}

#[test]
fn a_signal_while_it_waits_ends_it() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::Token.late(20.0));
    let mut child = exec(&setup, &[], &["true"]).spawn().unwrap();
    endpoint.wait_for(1, 10.0);
    send(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn the_first_process_of_a_container_reaps_orphans() {
    let may = Command::new("unshare").args(["-p", "-f", "true"]).output().is_ok_and(|done| done.status.success());
    if skip_unless(may, "unshare -p") {
        return;
    }
    let (_endpoint, _upstream, setup) = stage(300);
    // Orphans that end after their parent, and then a look at who is there.
    let script = "(sleep 0.1 & sleep 0.1 & ) ; echo running; sleep 0.5; ps -o stat= ax | grep -c Z; exit 6";
    let exec = exec(&setup, &[], &["sh", "-c", script]);
    let mut unshare = Command::new("unshare");
    unshare.args(["-p", "-f", "--mount-proc", BINARY]).args(exec.get_args());
    unshare.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::piped());
    let (mut child, mut said) = running(unshare);
    let mut all = String::new();
    said.read_to_string(&mut all).unwrap();
    assert_eq!((all.as_str(), child.wait().unwrap().code()), ("0\n", Some(6)));
}

#[test]
fn what_is_in_flight_when_the_command_ends_is_finished() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/slow", |exchange| {
        crate::support::pause(seconds(0.5));
        exchange.answer(200, &[], "whole")
    });
    let script = "curl -fsS --noproxy '*' $BEARERD_URL/slow > answer & sleep 0.2; echo running";
    let (mut child, _said) = running(exec(&setup, &[], &["sh", "-c", script]));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let answer = setup.directory().join("answer");
    eventually("the answer", seconds(2.0), || std::fs::read_to_string(&answer).is_ok_and(|text| text == "whole"));
}
