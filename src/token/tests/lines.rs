//! What an operator reads: one line per token event.

use std::io;
use std::sync::Mutex;

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Collects the log of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn collect() -> (Self, DefaultGuard) {
        crate::log::be_heard();
        let lines = Self::default();
        let log = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).without_time();
        (lines, tracing::subscriber::set_default(log.with_max_level(tracing::Level::TRACE).finish()))
    }

    fn all(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        // What the scheduler of models says is not ours.
        text.lines().filter(|line| line.contains(" bearerd::")).map(str::to_owned).collect()
    }
}

/// What the fake says, worded as the real one would.
fn klear(class: Class, status: u16) -> impl FnMut(&Asked) -> Answer + 'static {
    move |_| {
        let message = "token endpoint refused the login (500 \"One or Many Required\")".to_owned();
        Err(FetchError { message, reason: Reason::TokenDenied, ..failed(class, status) })
    }
}

fn named(name: &str) -> Settings {
    Settings { name: name.to_owned(), ..settings() }
}

#[tokio::test(start_paused = true)]
async fn an_issued_token_is_one_line_without_the_token() {
    let (lines, _guard) = Lines::collect();
    with(named("api"), fresh(3600), async |world| {
        let token = world.token().await;
        world.reader.satisfied(&token, || RequestHash(1));
    })
    .await;
    let lines = lines.all();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for part in ["INFO", "token issued", "credential=\"api\"", "generation=1", "lifetime=1h", "renews_in="] {
        assert!(lines[0].contains(part), "no {part:?} in {lines:#?}");
    }
    assert!(!lines[0].contains("token-1"));
}

#[tokio::test(start_paused = true)]
async fn the_line_of_a_failure_is_the_cure() {
    let (lines, _guard) = Lines::collect();
    with(named("klear"), klear(Class::Permanent, 500), async |_| pass(seconds(3600)).await).await;
    let lines = lines.all();
    assert_eq!(lines.len(), 2, "the refusal and the latch: {lines:#?}");
    let starts = "T021 klear: token endpoint refused the login (500 \"One or Many Required\")";
    assert!(lines[0].contains(&format!("{starts}; tried once more in 1m to be sure, sooner if")), "{lines:#?}");
    assert!(lines[1].contains(starts), "{lines:#?}");
    let cure = "; not tried again until the configuration or a secret changes, or: bearerd retry klear";
    assert!(lines[1].contains(cure), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn equal_failures_in_a_row_are_fewer_and_fewer_lines_and_the_token_after_them_says_so() {
    let (lines, _guard) = Lines::collect();
    with(named("api"), down, async |world| {
        // A second more, so that one that is under way then is not told of as an hour's.
        pass(seconds(3601)).await;
        assert!(world.endpoint.requests() > 600);
        world.endpoint.answers(fresh(3600));
        world.token().await;
    })
    .await;
    let mut lines = lines.all();
    let last = lines.pop().unwrap();
    assert!(last.contains("INFO") && last.contains("token issued"), "{last}");
    assert!(last.contains("after_failures=") && last.contains("failing_for=1h"), "{last}");
    assert!((11..=13).contains(&lines.len()), "{lines:#?}");
    assert!(!lines[0].contains("times since"));
    let next = lines[0].split("trying again in ").nth(1).unwrap();
    let next: humantime::Duration = next.split([';', ' ']).next().unwrap().parse().unwrap();
    assert!(*next > seconds(1) / 2, "said sooner than the floor lets it be: {next}");
    assert!(lines[1..].iter().all(|line| line.contains(" times since); trying again in ")), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_beside_a_valid_token_says_how_long_that_serves() {
    let (lines, _guard) = Lines::collect();
    with(named("api"), fresh(3600), async |world| {
        world.token().await;
        world.endpoint.answers(down);
        pass(seconds(3599)).await;
    })
    .await;
    let lines = lines.all();
    assert!(lines[1].contains("WARN") && lines[1].contains("; the current token serves for another "), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_token_without_another_is_said_once() {
    let (lines, _guard) = Lines::collect();
    with(named("api"), fresh(60), async |world| {
        world.token().await;
        world.endpoint.answers(down);
        pass(seconds(300)).await;
    })
    .await;
    let lines = lines.all();
    assert_eq!(lines.iter().filter(|line| line.contains("has expired")).count(), 1, "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_useless_token_is_told_when_the_gap_opens_and_not_for_each_request() {
    let (lines, _guard) = Lines::collect();
    with(named("api"), fresh(600), async |world| {
        let token = world.token().await;
        for _ in 0..1000 {
            world.reader.replayed(&token, true);
        }
    })
    .await;
    let told: Vec<_> = lines.all().into_iter().filter(|line| line.contains("T030 api: upstream rejected")).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("for the next 1s "), "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn another_failure_is_told_at_once_even_if_its_code_is_the_same() {
    let (lines, _guard) = Lines::collect();
    let failures = Cell::new(0.0);
    let in_turns = |asked: &Asked| {
        Err(FetchError { message: format!("failure {}", asked.number % 2), ..failed(Class::Transient, 0) })
    };
    with(named("api"), in_turns, async |world| {
        pass(seconds(30)).await;
        // Not of one that is under way.
        failures.set(world.metric("bearerd_token_requests_total{credential=\"api\",outcome=\"transient\"}"));
    })
    .await;
    assert!(failures.get() > 5.0);
    let lines = lines.all();
    assert_eq!(lines.len() as f64, failures.get(), "{lines:#?}");
    for line in &lines {
        let wait = line.split("trying again in ").nth(1).unwrap();
        let wait: humantime::Duration = wait.split([';', ' ']).next().unwrap().parse().unwrap();
        assert!(*wait > seconds(1) * 9 / 10, "said sooner than the floor lets it be: {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_token_at_its_renewal_is_no_complaint() {
    let (lines, _guard) = Lines::collect();
    with(
        named("api"),
        |_| Ok(issued("cached", 600)),
        async |world| {
            world.token().await;
            pass(seconds(1200)).await;
            assert!(world.endpoint.requests() > 2);
        },
    )
    .await;
    let lines = lines.all();
    assert!(lines.len() > 2 && lines.iter().all(|line| line.contains("INFO")), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_up_after_a_restart_is_said_with_what_follows() {
    let told = async |answer: Script| {
        let state = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let (lines, _guard) = Lines::collect();
            let clock = Clock::for_tests();
            let endpoint = Endpoint::new(clock.clone(), answer);
            run(login(), clock, endpoint, Some(state.path()), async |_| pass(seconds(10)).await).await;
            if let Some(line) = lines.all().iter().find(|line| line.contains(" before the restart; ")) {
                return line.clone();
            }
        }
        panic!("nothing was taken up");
    };
    let line = told(denied).await;
    assert!(line.contains("before the restart; tried once more in "), "{line}");
    let line = told(refused).await;
    assert!(line.contains("before the restart; not tried again for "), "{line}");
}

#[tokio::test(start_paused = true)]
async fn the_token_after_failures_says_how_many_there_were() {
    let (lines, _guard) = Lines::collect();
    let third = |asked: &Asked| if asked.number < 3 { down(asked) } else { Ok(issued("token", 3600)) };
    with(named("api"), third, async |world| {
        world.token().await;
    })
    .await;
    let lines = lines.all();
    assert!(lines.last().unwrap().contains("after_failures=2 "), "{lines:#?}");
}
