//! `bearerd demo`, run as a person runs it: the real binary, its standard output, its exit code.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any story may take; a binary that hangs fails its test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo that runs; killed when dropped.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("standard output is piped"), "", sender.clone());
        forward(child.stderr.take().expect("standard error is piped"), "log: ", sender);
        Self { child, lines, said: Vec::new() }
    }

    /// Reads on until a line contains `text`.
    fn says(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("it never said {text:?} ({error}):\n{}", self.said.join("\n")),
            }
        }
    }

    /// Reads on to the end and returns all that was said, with the exit status.
    fn ends(mut self) -> (String, ExitStatus) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.said.join("\n")),
            }
        }
        let status = self.child.wait().expect("it can be waited for");
        (self.said.join("\n"), status)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is still there");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.arg("demo").args(args).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// Sends each line that comes, with a prefix that tells log from story.
fn forward(output: impl Read + Send + 'static, prefix: &'static str, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(format!("{prefix}{line}")).is_err() {
                return;
            }
        }
    });
}

/// Sends one request and returns the status of the answer.
fn status_of(method: &str, url: &str) -> u16 {
    let rest = url.strip_prefix("http://").expect("a plain http URL");
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(authority).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let head =
        format!("{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the request goes out");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer comes");
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

fn url_in(line: &str) -> String {
    let from = line.find("http://").unwrap_or_else(|| panic!("no address in {line:?}"));
    line[from..].split(|c: char| c.is_whitespace() || c == ')').next().unwrap_or_default().to_owned()
}

/// How long the story says that it took.
fn seconds_in(story: &str) -> f64 {
    let sum = story.lines().find(|line| line.starts_with("All four parts")).expect("a line that sums it up");
    let words: Vec<_> = sum.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "s." || *word == "s").expect("a time in seconds");
    words[at - 1].parse().expect("a number")
}

#[test]
fn the_story_has_four_parts_that_all_go_well_within_twenty_seconds() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bearerd.toml");
    let (story, status) = Demo::start(&["--exit", "--write-config", path.to_str().expect("a readable path")]).ends();
    assert_eq!(status.code(), Some(0), "{story}");
    for heading in ["1. A request", "2. Renewal", "3. A revocation, with 200 requests", "4. An outage"] {
        assert!(story.lines().any(|line| line.starts_with(heading)), "no part {heading:?} in\n{story}");
    }
    assert_eq!(story.lines().filter(|line| line.starts_with("   ok  ")).count(), 4, "{story}");
    assert!(story.contains("200 rejections healed by exactly 1 token request"), "{story}");
    assert!(!story.contains("FAILED"), "{story}");
    assert!(!story.contains('\x1b'), "no colour where there is no terminal:\n{story}");
    assert!(seconds_in(&story) < 20.0, "{story}");
    let log: Vec<_> = story.lines().filter(|line| line.starts_with("log: ")).collect();
    assert!(
        log.iter().all(|line| line.contains("T013 api: token endpoint failed")),
        "only the outage is logged: {log:#?}"
    );
    check_the_saved_configuration(&path);
}

fn check_the_saved_configuration(path: &Path) {
    let saved = std::fs::read_to_string(path).expect("the configuration was saved");
    for key in ["[routes.api]", "upstream", "[credentials.api]", "token_endpoint", "client_secret", "#"] {
        assert!(saved.contains(key), "no {key:?} in\n{saved}");
    }
    let again = command(&["--exit", "--write-config"]).arg(path).output().expect("the binary runs");
    let complaint = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("nothing is overwritten"), "{complaint}");
    assert_eq!(std::fs::read_to_string(path).expect("it is still there"), saved);
}

#[test]
fn after_the_story_everything_can_be_tried_until_a_signal_ends_it_with_zero() {
    let mut demo = Demo::start(&[]);
    let bearerd = url_in(&demo.says("   bearerd  "));
    let api = url_in(&demo.says("   the API  "));
    let authorization_server = url_in(&demo.says("   authorization server  "));
    demo.says("Ctrl-C ends it");
    let check = |method: &str, url: String, wanted: u16| assert_eq!(status_of(method, &url), wanted, "{method} {url}");
    check("GET", format!("{api}/items"), 401);
    check("GET", format!("{bearerd}/items"), 200);
    check("POST", format!("{authorization_server}/revoke-all"), 200);
    check("GET", format!("{bearerd}/items"), 200);
    check("POST", format!("{authorization_server}/outage/on"), 200);
    check("POST", format!("{authorization_server}/outage/off"), 200);
    let suggested: Vec<_> = demo.said.iter().filter(|line| line.contains("curl http://")).map(|l| url_in(l)).collect();
    assert!(suggested.len() >= 4, "{suggested:?}");
    for url in suggested {
        let wanted = if url.starts_with(&api) { 401 } else { 200 };
        check("GET", url, wanted);
    }
    demo.signal(Signal::INT);
    let (said, status) = demo.ends();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn what_others_do_meanwhile_does_not_spoil_the_story() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("demo.toml");
    let mut demo = Demo::start(&["--exit", "--write-config", path.to_str().expect("a readable path")]);
    let bearerd = url_in(&demo.says("   bearerd  "));
    let api = url_in(&demo.says("   the API  "));
    let authorization_server = url_in(&demo.says("   authorization server  "));
    assert!(path.exists(), "it is there once the demo runs");
    for part in ["2. Renewal", "3. A revocation", "4. An outage"] {
        demo.says(part);
        assert_eq!(status_of("GET", &format!("{api}/items")), 401);
        assert_eq!(status_of("GET", &format!("{bearerd}/items")), 200);
        status_of("POST", &format!("{authorization_server}/oauth/token"));
    }
    let (said, status) = demo.ends();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("All four parts went well"), "{said}");
}

#[test]
fn a_demo_that_cannot_start_says_the_cure_and_leaves_no_file() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().min(65532).to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("demo.toml");
    let path = path.to_str().expect("a readable path");
    let (said, status) = Demo::start(&["--port", &port, "--write-config", path]).ends();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("--port PORT takes PORT to PORT+3"), "{said}");
    assert!(!Path::new(path).exists());
}

#[test]
fn a_story_that_is_cut_short_is_no_success_for_a_script() {
    let mut demo = Demo::start(&["--exit"]);
    demo.says("2. Renewal");
    demo.signal(Signal::TERM);
    let (said, status) = demo.ends();
    assert_eq!(status.code(), Some(1), "{said}");
}
