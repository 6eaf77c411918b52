//! Part 4: the authorization server fails for a while, and requests go on with the token at hand.

use std::time::Duration;

use tokio::time::Instant;

use super::{CALLERS, Change, LOOK, Printer, Stage, Verdict, count, plural, problem_if, rejections, time};
use crate::demo::client::Figures;

/// How long the outage goes on after the first failed renewal, so that there is something to see.
const ENCORE: Duration = Duration::from_millis(600);

/// What the part saw.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Token requests that were answered with 503.
    failed: usize,
    /// Whether the token before the outage was still the current one at its end.
    kept: bool,
    /// Requests answered during the outage.
    during: usize,
    /// The renewal after it.
    recovery: Option<Change>,
    /// All requests of this part.
    figures: Figures,
    /// What the API rejected.
    rejections: usize,
}

pub(super) async fn play(stage: &Stage, out: &mut Printer) -> Verdict {
    let server = &stage.authorization_server;
    let (before, failed_before) = (stage.api.sightings(), server.counts().failed);
    let token = stage.token.status().generation;
    let load = stage.load();
    let started = Instant::now();
    server.set_outage(true);
    out.say(&format!("from now on token requests are answered with 503; {CALLERS} callers keep sending requests"));
    if first_failure(stage, failed_before).await {
        let left = stage.token.status().expires_in.unwrap_or_default();
        out.say(&format!(
            "after {}: bearerd could not renew token {token} and goes on using it; it has {} left",
            time(started.elapsed()),
            time(left)
        ));
        tokio::time::sleep(ENCORE).await;
    }
    let mut seen = Seen { kept: stage.token.status().generation == token, during: load.so_far(), ..Seen::default() };
    server.set_outage(false);
    seen.failed = server.counts().failed - failed_before;
    let failures = plural(seen.failed, "token request");
    out.say(&format!("after {}: the outage is over; {failures} failed meanwhile", time(started.elapsed())));
    seen.recovery = stage.change(token, stage.lifetime * 2).await;
    if let Some(change) = seen.recovery {
        out.say(&format!(
            "after {}: token {} is there, {} before token {token} would have expired",
            time(started.elapsed()),
            change.to,
            time(change.left)
        ));
    }
    seen.figures = Figures::of(&load.stop().await);
    seen.rejections = rejections(before, stage.api.sightings());
    seen.verdict()
}

/// Waits for the first token request that fails; false if there is none for as long as a token lives.
async fn first_failure(stage: &Stage, failed_before: usize) -> bool {
    let deadline = Instant::now() + stage.lifetime;
    while stage.authorization_server.counts().failed == failed_before {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

impl Seen {
    fn verdict(&self) -> Verdict {
        let problems: Vec<_> = [
            problem_if(self.failed == 0, || "bearerd did not try to renew during the outage".to_owned()),
            problem_if(!self.kept, || "the token did not stay in use during the outage".to_owned()),
            problem_if(self.during == 0, || "no request was answered during the outage".to_owned()),
            problem_if(self.recovery.is_none(), || "no new token came after the outage".to_owned()),
            problem_if(self.recovery.is_some_and(|change| change.left.is_zero()), || {
                "the old token expired before the new one came".to_owned()
            }),
            problem_if(self.rejections > 0, || format!("the API rejected {} requests", self.rejections)),
            self.figures.trouble().map(|trouble| format!("the callers saw {trouble}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(format!(
            "the callers noticed nothing: {} x 200 during the outage, {} after it, the slowest took {}",
            count(self.during),
            count(self.figures.ok() - self.during),
            time(self.figures.slowest),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn good() -> Seen {
        Seen {
            failed: 2,
            kept: true,
            during: 2000,
            recovery: Some(Change { from: 4, to: 5, left: Duration::from_secs(1) }),
            figures: Figures { total: 2400, statuses: BTreeMap::from([(200, 2400)]), ..Figures::default() },
            rejections: 0,
        }
    }

    #[test]
    fn an_outage_that_anybody_noticed_is_a_problem() {
        let check = |spoil: fn(&mut Seen), wanted: &str| {
            let mut seen = good();
            spoil(&mut seen);
            let problems = seen.verdict().unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(wanted)), "{wanted:?} in {problems:?}");
        };
        assert!(good().verdict().is_ok());
        check(|seen| seen.failed = 0, "did not try");
        check(|seen| seen.kept = false, "did not stay in use");
        check(|seen| seen.during = 0, "no request was answered");
        check(|seen| seen.recovery = None, "no new token");
        check(|seen| seen.recovery = Some(Change { from: 4, to: 5, left: Duration::ZERO }), "expired before");
        check(|seen| seen.rejections = 1, "rejected 1");
        check(|seen| seen.figures.statuses = BTreeMap::from([(200, 2399), (503, 1)]), "1 x 503");
    }
}
