//! Real programs: what becomes of each way in which one may behave.

use std::os::unix::fs::PermissionsExt as _;

use super::child::TICK;
use super::*;

fn command(script: &str, timeout: Duration) -> Command {
    let arguments = ["-c", script].map(Secret::new).to_vec();
    let environment = vec![("PATH".to_owned(), Secret::new("/usr/bin:/bin")), ("KNOWN".to_owned(), Secret::new("k"))];
    Command::new("/bin/sh".into(), arguments, timeout, environment)
}

fn run(script: &str) -> Result<Secret, CommandError> {
    command(script, Duration::from_secs(20)).output_now()
}

fn complaint(script: &str) -> String {
    run(script).unwrap_err().to_string()
}

#[test]
fn the_output_without_its_last_newline_is_the_secret() {
    for (script, wanted) in
        [("echo a b", "a b"), ("printf x", "x"), ("printf 'x\\r\\n'", "x"), ("printf 'x\\n\\n'", "x\n")]
    {
        assert_eq!(run(script).unwrap().expose(), wanted, "{script}");
    }
    let longest = format!("head -c {LONGEST} /dev/zero | tr '\\0' x; echo");
    assert_eq!(run(&longest).unwrap().expose().len(), LONGEST);
}

#[test]
fn it_has_no_input_and_no_variable_but_the_given_ones() {
    assert_eq!(run("cat; echo end").unwrap().expose(), "end");
    assert_eq!(run("env | grep -v '^PWD=\\|^_=\\|^SHLVL=' | sort").unwrap().expose(), "KNOWN=k\nPATH=/usr/bin:/bin");
}

#[test]
fn a_failure_is_told_with_its_status_and_a_careful_line_of_what_it_said() {
    assert_eq!(
        complaint("echo permission denied >&2; exit 3"),
        "failed (exit status: 3) and said: \"permission denied\""
    );
    assert_eq!(complaint("kill -9 $$"), "failed (signal: 9 (SIGKILL))");
    assert_eq!(complaint("true"), "printed nothing");
    assert_eq!(complaint("echo; echo no such entry >&2"), "printed nothing and said: \"no such entry\"");
    assert_eq!(complaint("printf '\\377'"), "printed what is not UTF-8 text");
    let leaking = complaint("echo open sesame; echo refused: open sesame >&2; exit 1");
    assert_eq!(leaking, "failed (exit status: 1) and said: \"refused: ***\"");
}

#[test]
fn a_complaint_never_repeats_what_was_printed_before_however_long_ago() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let script = format!(
        "test -e {0} || {{ touch {0}; echo open sesame; exit 0; }}; echo no open sesame >&2; exit 1",
        path.display()
    );
    let failing = command(&script, Duration::from_secs(20));
    assert_eq!(failing.output_now().unwrap().expose(), "open sesame");
    for _ in 0..3 {
        if let Some(ran) = &mut *failing.0.last.lock().unwrap() {
            ran.ended -= Duration::from_secs(60);
        }
        let error = failing.output_now().unwrap_err();
        assert_eq!(error.to_string(), "failed (exit status: 1) and said: \"no ***\"");
    }
}

#[test]
fn a_flood_and_a_hang_are_killed_with_all_their_children() {
    let started = Instant::now();
    assert_eq!(run("yes").unwrap_err(), CommandError::TooLong);
    let exact = format!("head -c {} /dev/zero | tr '\\0' x", LONGEST + 1);
    assert_eq!(run(&exact).unwrap_err(), CommandError::TooLong);
    // A complaint may be as long as it likes.
    assert_eq!(run("yes | head -c 300000 >&2; echo x").unwrap().expose(), "x");
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let hang = format!("echo waiting >&2; sleep 600 & echo $! > {}; wait", pid.display());
    let error = command(&hang, Duration::from_millis(300)).output_now().unwrap_err();
    assert_eq!(error.to_string(), "did not end within 300ms and was killed and said: \"waiting\"");
    let child = std::fs::read_to_string(pid).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    while !matches!(state().rsplit(')').next().map(str::trim), None | Some("")) && !state().contains(") Z") {
        assert!(started.elapsed() < Duration::from_secs(20), "the child of the hung command lives on");
        std::thread::yield_now();
    }
}

#[test]
fn a_child_that_holds_the_output_open_is_not_waited_for() {
    let started = Instant::now();
    assert_eq!(run("echo x; sleep 5 &").unwrap().expose(), "x");
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[test]
fn what_cannot_be_started_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let check = |program: &str, wanted: &str| {
        let error =
            Command::new(program.into(), Vec::new(), Duration::from_secs(5), Vec::new()).output_now().unwrap_err();
        assert!(error.to_string().contains(wanted), "{program}: {error}");
    };
    let script = directory.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    check(script.to_str().unwrap(), "cannot be executed");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    check(script.to_str().unwrap(), "interpreter");
    check("/no/such/program", "does not exist");
    check("no-such-program-anywhere", "does not exist");
    check("/", "cannot be executed");
}

#[tokio::test]
async fn it_runs_once_for_all_who_ask_together_and_rests_for_those_who_only_look() {
    let directory = tempfile::tempdir().unwrap();
    let counter = directory.path().join("runs");
    let script = format!("echo run >> {0}; wc -l < {0}", counter.display());
    let counted = command(&script, Duration::from_secs(20));
    let same = counted.clone();
    let (one, other) = tokio::join!(counted.output(), same.known_output());
    assert_eq!(one.unwrap(), other.unwrap());
    counted.output_now().unwrap();
    let age = |seconds: u64| {
        if let Some(ran) = &mut *counted.0.last.lock().unwrap() {
            ran.ended -= Duration::from_secs(seconds);
        }
    };
    age(3);
    assert_eq!(counted.known_output().await.unwrap().expose().trim(), "1");
    assert_eq!(counted.output().await.unwrap().expose().trim(), "2");
    age(31);
    assert_eq!(counted.known_output().await.unwrap().expose().trim(), "3");
}

#[test]
fn a_command_that_fails_again_and_again_is_run_less_and_less() {
    let rest = |failures| {
        Ran { ended: Instant::now(), outcome: Err(CommandError::NotText), printed: None, failures }
            .rest(FRESH)
            .as_secs()
    };
    assert_eq!([1, 2, 3, 4, 50].map(rest), [2, 4, 8, 10, 10]);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_any_more_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let hang = command(&format!("echo $$ > {}; sleep 600", pid.display()), Duration::from_secs(600));
    let started = Instant::now();
    let waits = async {
        while std::fs::read_to_string(&pid).unwrap_or_default().trim().is_empty() {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        _ = hang.output() => panic!("it ended"),
        () = waits => {}
    }
    let process = format!("/proc/{}", std::fs::read_to_string(&pid).unwrap().trim());
    while std::fs::exists(&process).unwrap() {
        assert!(started.elapsed() < Duration::from_secs(20), "it lives on");
        tokio::time::sleep(TICK).await;
    }
}

#[test]
fn debug_output_shows_neither_arguments_nor_environment() {
    let shown = format!("{:?}", command("hunter2", FRESH));
    assert!(shown.contains("/bin/sh") && !shown.contains("hunter2") && !shown.contains("KNOWN"), "{shown}");
}
