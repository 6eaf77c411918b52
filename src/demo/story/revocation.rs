//! Part 3: every token is revoked while many requests are in flight, and one token request heals them all.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Printer, Stage, Verdict, count, plural, problem_if, time};
use crate::demo::client::{CallError, Caller, Figures, Record};

/// How long the requests may take to reach the API.
const GATHERING: Duration = Duration::from_secs(10);

/// What the part saw.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// How many were meant to be in flight.
    wanted: usize,
    /// How many were.
    in_flight: usize,
    /// Requests that the API rejected because their token was revoked.
    rejected: usize,
    /// Requests that it then accepted.
    accepted: usize,
    /// Token requests, however they ended.
    token_requests: usize,
    /// What the callers saw.
    figures: Figures,
    /// POST bodies that did not arrive whole at the second time.
    broken_bodies: usize,
}

pub(super) async fn play(stage: &Stage, out: &mut Printer) -> Verdict {
    let wanted = stage.in_flight;
    let hold = stage.api.hold();
    let mut calls = JoinSet::new();
    for number in 0..wanted {
        calls.spawn_local(call(Caller::new(stage.bearerd), number));
    }
    // If some never arrive, the count below says so.
    let _ = timeout(GATHERING, stage.api.holds(wanted)).await;
    let in_flight = stage.api.held();
    out.say(&format!(
        "{} (every second one a POST) have reached the API and wait for its answer",
        plural(in_flight, "request")
    ));
    let (api_before, requests_before) = (stage.api.sightings(), stage.authorization_server.counts());
    let revoked_at = Instant::now();
    stage.authorization_server.revoke_all();
    out.say("now every token is revoked, and the API looks at what the requests carry");
    drop(hold);
    let results = calls.join_all().await;
    let after = stage.api.sightings();
    let records: Vec<_> = results.iter().map(|(record, _)| record.clone()).collect();
    let seen = Seen {
        wanted,
        in_flight,
        rejected: after.revoked - api_before.revoked,
        accepted: after.accepted - api_before.accepted,
        token_requests: stage.authorization_server.counts().total() - requests_before.total(),
        figures: Figures::of(&records),
        broken_bodies: results.iter().filter(|(_, whole)| !whole).count(),
    };
    let last = records.iter().map(|record| record.done).max().unwrap_or(revoked_at);
    out.say(&format!(
        "the API answered {} x 401; bearerd made {}; after {} every caller had its answer",
        count(seen.rejected),
        plural(seen.token_requests, "token request"),
        time(last - revoked_at),
    ));
    seen.verdict()
}

/// One request, and whether its body came back whole if it had one.
async fn call(mut caller: Caller, number: usize) -> (Record, bool) {
    let order = json!({ "order": number, "note": "sent once by the application" });
    let (method, body) =
        if number.is_multiple_of(2) { (Method::GET, Bytes::new()) } else { (Method::POST, order.to_string().into()) };
    let sent = Instant::now();
    let answer = caller.call(method.clone(), "/slow", body).await;
    let done = Instant::now();
    let whole = method == Method::GET || answer.as_ref().is_ok_and(|answer| echoes(&answer.body, &order));
    let outcome = answer.map(|answer| answer.status).map_err(|error: CallError| error.to_string());
    (Record { sent, done, outcome }, whole)
}

fn echoes(body: &[u8], order: &serde_json::Value) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|echo| echo.get("received") == Some(order))
}

impl Seen {
    fn verdict(&self) -> Verdict {
        let problems: Vec<_> = [
            problem_if(self.in_flight != self.wanted, || {
                format!("only {} of {} requests reached the API", self.in_flight, self.wanted)
            }),
            problem_if(self.rejected != self.wanted, || {
                format!("the API rejected {} requests instead of {}", self.rejected, self.wanted)
            }),
            problem_if(self.accepted != self.wanted, || {
                format!("the API accepted {} requests instead of {}", self.accepted, self.wanted)
            }),
            problem_if(self.token_requests != 1, || {
                format!("{} token requests were made instead of 1", self.token_requests)
            }),
            problem_if(self.figures.ok() != self.wanted, || {
                format!("the callers saw {}", self.figures.trouble().unwrap_or_else(|| "too few answers".to_owned()))
            }),
            problem_if(self.broken_bodies > 0, || {
                format!("of {} the body did not arrive whole", plural(self.broken_bodies, "POST request"))
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(format!(
            "{} rejections healed by exactly 1 token request; the callers saw {} x 200 and no 401",
            count(self.rejected),
            count(self.figures.ok()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn good() -> Seen {
        Seen {
            wanted: 200,
            in_flight: 200,
            rejected: 200,
            accepted: 200,
            token_requests: 1,
            figures: Figures { total: 200, statuses: BTreeMap::from([(200, 200)]), ..Figures::default() },
            broken_bodies: 0,
        }
    }

    #[test]
    fn a_second_token_request_or_one_visible_401_is_a_problem() {
        let check = |spoil: fn(&mut Seen), wanted: &str| {
            let mut seen = good();
            spoil(&mut seen);
            let problems = seen.verdict().unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(wanted)), "{wanted:?} in {problems:?}");
        };
        assert!(good().verdict().is_ok());
        check(|seen| seen.token_requests = 2, "2 token requests");
        check(|seen| seen.token_requests = 0, "0 token requests");
        check(|seen| seen.figures.statuses = BTreeMap::from([(200, 199), (401, 1)]), "1 x 401");
        check(|seen| seen.figures = Figures::default(), "too few answers");
        check(|seen| seen.in_flight = 150, "only 150 of 200");
        check(|seen| seen.rejected = 0, "rejected 0");
        check(|seen| seen.accepted = 201, "accepted 201");
        check(|seen| seen.broken_bodies = 1, "did not arrive whole");
    }

    #[test]
    fn an_echo_must_be_the_order_itself() {
        let order = json!({ "order": 7 });
        assert!(echoes(br#"{"received":{"order":7}}"#, &order));
        assert!(!echoes(br#"{"received":{"order":8}}"#, &order));
        assert!(!echoes(br#"{"received":""}"#, &order));
        assert!(!echoes(b"", &order));
    }
}
