//! Part 2: a token is replaced while requests are running, and no request notices.

use tokio::time::Instant;

use super::{CALLERS, Change, Printer, Stage, Verdict, count, plural, problem_if, rejections, time};
use crate::demo::authorization_server::TokenRequest;
use crate::demo::client::{Figures, Record};

/// What the part saw.
#[derive(Debug)]
struct Seen {
    renewal: Option<Change>,
    windows: Vec<Window>,
    /// All requests of this part.
    figures: Figures,
    /// Those that were answered while a token was being fetched.
    during: Figures,
    rejections: usize,
}

/// One token request, and the requests that ran meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// Answered between the first and the last moment of the token request.
    answered: usize,
    /// Open for most of that time, and answered only after it: they look as if they had waited for the token.
    waited: usize,
}

pub(super) async fn play(stage: &Stage, out: &mut Printer) -> Verdict {
    out.say(&format!(
        "tokens live {} s, a token request takes {}; {CALLERS} callers keep sending requests",
        stage.lifetime.as_secs(),
        time(stage.delay),
    ));
    let (started, before) = (Instant::now(), stage.api.sightings());
    let load = stage.load();
    let renewal = stage.change(stage.token.status().generation, stage.lifetime * 2).await;
    if let Some(change) = renewal {
        out.say(&format!("token {} took the place of token {}, {}", change.to, change.from, in_time(change)));
    }
    let records = load.stop().await;
    let requests = stage.authorization_server.requests_since(started);
    let seen = Seen {
        renewal,
        windows: requests.iter().map(|request| Window::of(request, &records)).collect(),
        figures: Figures::of(&records),
        during: Figures::of(records.iter().filter(|record| requests.iter().any(|request| is_during(request, record)))),
        rejections: rejections(before, stage.api.sightings()),
    };
    out.say(&format!("{}: {}", plural(seen.figures.total, "request"), latencies(&seen.figures)));
    out.say(&format!("{} of them during the token request: {}", count(seen.during.total), latencies(&seen.during)));
    seen.verdict()
}

impl Window {
    fn of(token_request: &TokenRequest, records: &[Record]) -> Self {
        let TokenRequest { received, answered, .. } = *token_request;
        let most = (answered - received).mul_f64(0.75);
        let inside = |record: &&Record| is_during(token_request, record);
        let waited = |record: &&Record| {
            record.done > answered && answered.saturating_duration_since(record.sent.max(received)) >= most
        };
        Self { answered: records.iter().filter(inside).count(), waited: records.iter().filter(waited).count() }
    }
}

impl Seen {
    fn verdict(&self) -> Verdict {
        let trouble = self.figures.trouble();
        let waited: usize = self.windows.iter().map(|window| window.waited).sum();
        let problems: Vec<_> = [
            problem_if(self.renewal.is_none(), || "the token was not renewed".to_owned()),
            problem_if(self.renewal.is_some_and(|change| change.left.is_zero()), || {
                "the token expired before the next one came".to_owned()
            }),
            problem_if(self.windows.len() != 1, || {
                format!("{} were made instead of 1", plural(self.windows.len(), "token request"))
            }),
            problem_if(self.figures.total == 0, || "no request was sent".to_owned()),
            problem_if(self.windows.iter().any(|window| window.answered == 0), || {
                "no request was answered while a token was being fetched".to_owned()
            }),
            problem_if(waited > 0, || format!("{} waited for a token", plural(waited, "request"))),
            problem_if(self.rejections > 0, || format!("the API rejected {}", plural(self.rejections, "request"))),
            trouble.map(|trouble| format!("the callers saw {trouble}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(format!(
            "the callers noticed nothing: {} x 200, none failed, none waited for a token",
            count(self.figures.ok()),
        ))
    }
}

fn is_during(token_request: &TokenRequest, record: &Record) -> bool {
    record.done > token_request.received && record.done <= token_request.answered
}

fn latencies(figures: &Figures) -> String {
    let Figures { half, ninety_nine, slowest, .. } = figures;
    format!("half within {}, 99 % within {}, the slowest {}", time(*half), time(*ninety_nine), time(*slowest))
}

fn in_time(change: Change) -> String {
    if change.left.is_zero() {
        "after that had expired".to_owned()
    } else {
        format!("{} before that would have expired", time(change.left))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::demo::authorization_server::Outcome;

    fn good() -> Seen {
        Seen {
            renewal: Some(Change { from: 1, to: 2, left: Duration::from_secs(3) }),
            windows: vec![Window { answered: 100, waited: 0 }],
            figures: Figures { total: 4000, statuses: BTreeMap::from([(200, 4000)]), ..Figures::default() },
            during: Figures::default(),
            rejections: 0,
        }
    }

    #[test]
    fn each_thing_that_callers_could_notice_is_a_problem() {
        let check = |spoil: fn(&mut Seen), wanted: &str| {
            let mut seen = good();
            spoil(&mut seen);
            let problems = seen.verdict().unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(wanted)), "{wanted:?} in {problems:?}");
        };
        assert!(good().verdict().is_ok());
        check(|seen| seen.renewal = None, "not renewed");
        check(|seen| seen.renewal = Some(Change { from: 1, to: 2, left: Duration::ZERO }), "expired before");
        check(|seen| seen.windows.push(Window { answered: 9, waited: 0 }), "2 token requests");
        check(|seen| seen.windows[0].answered = 0, "no request was answered");
        check(|seen| seen.windows[0].waited = 1, "1 request waited");
        check(|seen| seen.rejections = 2, "rejected 2");
        check(|seen| seen.figures.statuses = BTreeMap::from([(200, 3999), (503, 1)]), "1 x 503");
        check(|seen| seen.figures.total = 0, "no request was sent");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_spans_a_token_request_counts_as_having_waited() {
        let from = Instant::now();
        let at = |millis| from + Duration::from_millis(millis);
        let request = TokenRequest { received: at(100), answered: at(500), outcome: Outcome::Issued };
        let record = |sent, done| Record { sent: at(sent), done: at(done), outcome: Ok(StatusCode::OK) };
        let check = |sent, done, answered, waited| {
            let window = Window::of(&request, &[record(sent, done)]);
            assert_eq!(window, Window { answered, waited }, "{sent} to {done}");
        };
        check(50, 90, 0, 0);
        check(90, 110, 1, 0);
        check(200, 205, 1, 0);
        check(110, 501, 0, 1);
        check(50, 600, 0, 1);
        check(490, 505, 0, 0);
        check(600, 605, 0, 0);
    }
}
