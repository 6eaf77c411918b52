//! Other processes, which are killed and stopped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::bells::{wait_for_lease, with_bells};
use super::*;

/// Another process with a lease.
struct Process(Child);

impl Process {
    fn with_lease(directory: &Path, lease: Duration) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "store::file::tests::processes::the_other_process", "--nocapture", "--ignored"]);
        command.env("STORE_OF_TEST", directory).env("LEASE_OF_TEST", millis(lease).to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("I HAVE 1")));
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "it is what the others start"]
async fn the_other_process() {
    let Some(directory) = std::env::var_os("STORE_OF_TEST") else { return };
    let lease = Duration::from_millis(std::env::var_os("LEASE_OF_TEST").unwrap().to_str().unwrap().parse().unwrap());
    let store = FileStore::new(directory.into(), Clock::boot());
    let (fence, _) = granted(&store, Claim { lease, ..claim_of(ONE) }).await;
    println!("I HAVE {fence}");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
    let written = store.write(&NAME, news(ONE, fence, "late")).await.unwrap();
    println!("{written:?}");
}

#[tokio::test]
async fn a_process_that_is_killed_is_replaced_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let one = FileStore::new(directory.path().to_owned(), Clock::boot());
    let process = Process::with_lease(directory.path(), Duration::from_secs(3600));
    with_bells(&one, async {
        let mut bell = one.changes(&NAME);
        assert!(is_taken(&one, Claim { lease: Duration::from_secs(3600), ..claim_of(TWO) }).await);
        bell.changed().await.unwrap();
        process.signal(Signal::KILL);
        let killed = Instant::now();
        let next = wait_for_lease(&one, claim_of(TWO)).await;
        assert!(matches!(next, Claimed::Granted { fence: 2, .. }), "{next:?}");
        // It was heard of, and not seen by a look some seconds later.
        assert!(killed.elapsed() < Duration::from_secs(4), "{:?}", killed.elapsed());
    })
    .await;
}

#[tokio::test]
async fn a_process_that_is_stopped_is_replaced_when_its_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let one = FileStore::new(directory.path().to_owned(), Clock::boot());
    let mut process = Process::with_lease(directory.path(), Duration::from_secs(2));
    process.signal(Signal::STOP);
    let fence = loop {
        match one.claim(&NAME, claim_of(TWO)).await.unwrap() {
            Claimed::Taken { left } => sleep(left).await,
            Claimed::Granted { fence, .. } => break fence,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fence, 2);
    one.write(&NAME, news(TWO, 2, "in time")).await.unwrap();
    process.signal(Signal::CONT);
    drop(process.0.stdin.take());
    let mut output = String::new();
    std::io::Read::read_to_string(process.0.stdout.as_mut().unwrap(), &mut output).unwrap();
    assert!(output.contains("Outrun"), "{output}");
    assert_eq!(text(&one).await, Some((2, "in time".to_owned())));
}
