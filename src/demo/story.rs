//! The story, in four parts that each check what they tell.
//!
//! Owns the order of the parts and what they have in common. Every sentence that praises bearerd is printed only if the
//! counters of the two servers and of the callers bear it out; otherwise the part says what they show instead.

mod first_request;
mod outage;
mod renewal;
mod revocation;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::api::{Api, Sightings};
use super::authorization_server::AuthorizationServer;
use super::client::Load;
use super::print::{Printer, count, time};
use crate::token::Reader;

/// Connections of the load that runs through renewals and outages.
const CALLERS: usize = 16;

/// The average time between an answer and the caller's next request.
const PAUSE: Duration = Duration::from_millis(25);

/// How often the state of the token is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Everything that the story plays with.
#[derive(Debug)]
pub(super) struct Stage {
    /// Where bearerd listens.
    pub(super) bearerd: SocketAddr,
    /// Where the API listens.
    pub(super) api_address: SocketAddr,
    /// The API.
    pub(super) api: Api,
    /// The authorization server.
    pub(super) authorization_server: AuthorizationServer,
    /// bearerd's token.
    pub(super) token: Reader,
    /// How long a token lives.
    pub(super) lifetime: Duration,
    /// How long a token request takes.
    pub(super) delay: Duration,
    /// How many requests are in flight when the tokens are revoked.
    pub(super) in_flight: usize,
}

/// A part that went well says so in one sentence; one that did not says everything that was wrong.
type Verdict = Result<String, Vec<String>>;

/// One token in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// Generation of the old token.
    from: u64,
    /// Generation of the new one.
    to: u64,
    /// What was left of the old one's life; zero if it expired first.
    left: Duration,
}

/// Plays the four parts. Returns the names of those that failed.
pub(super) async fn tell(stage: &Stage, out: &mut Printer) -> Vec<&'static str> {
    let started = Instant::now();
    let mut failed = Vec::new();
    let mut others = stage.others();
    let mut is_disturbed = true;
    let mut close = |out: &mut Printer, part: &'static str, verdict: Verdict| {
        let others_before = std::mem::replace(&mut others, stage.others());
        match verdict {
            Ok(sentence) => out.good(&sentence),
            Err(problems) => {
                let by_others = others > others_before;
                problems.iter().for_each(|problem| if by_others { out.say(problem) } else { out.bad(problem) });
                is_disturbed &= by_others;
                failed.push(part);
            }
        }
    };
    out.heading("1. A request without a token");
    let verdict = first_request::play(stage, out).await;
    close(out, "the first request", verdict);
    out.heading("2. Renewal in the background");
    let verdict = renewal::play(stage, out).await;
    close(out, "renewal", verdict);
    out.heading(&format!("3. A revocation, with {} requests in flight", count(stage.in_flight)));
    let verdict = revocation::play(stage, out).await;
    close(out, "revocation", verdict);
    out.heading("4. An outage of the authorization server");
    let verdict = outage::play(stage, out).await;
    close(out, "outage", verdict);
    sum_up(stage, out, &result(&failed, is_disturbed), started.elapsed());
    failed
}

/// How it went. Parts that failed while others used the servers say nothing about bearerd.
fn result(failed: &[&str], is_disturbed: bool) -> String {
    match failed {
        [] => "All four parts went well".to_owned(),
        _ if is_disturbed => {
            format!("Others used the demo's servers meanwhile, which spoils {}: start it again", failed.join(", "))
        }
        _ => format!("FAILED: {}", failed.join(", ")),
    }
}

fn sum_up(stage: &Stage, out: &mut Printer, result: &str, took: Duration) {
    let requests = stage.authorization_server.counts();
    let seen = stage.api.sightings();
    out.heading(&format!("{result}, in {}", time(took)));
    out.say(&format!(
        "the API saw {} with a live token, {} with an expired one",
        plural(seen.accepted, "request"),
        count(seen.expired)
    ));
    out.say(&format!(
        "the authorization server saw {}, {} of them during its outage",
        plural(requests.total(), "token request"),
        count(requests.failed)
    ));
}

impl Stage {
    /// What others did to the servers so far.
    fn others(&self) -> usize {
        self.api.sightings().others + self.authorization_server.counts().others
    }

    fn load(&self) -> Load {
        Load::start(self.bearerd, "/items", CALLERS, PAUSE)
    }

    /// Waits until a token newer than `from` is in use.
    async fn change(&self, from: u64, within: Duration) -> Option<Change> {
        let deadline = Instant::now() + within;
        let mut left = Duration::ZERO;
        loop {
            let status = self.token.status();
            if status.generation > from {
                return Some(Change { from, to: status.generation, left });
            }
            if Instant::now() > deadline {
                return None;
            }
            // Zero once it has expired, whatever it was before.
            left = status.expires_in.filter(|_| status.usable).unwrap_or_default();
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What the API rejected between two looks at its counters.
fn rejections(before: Sightings, after: Sightings) -> usize {
    let all = |seen: Sightings| seen.missing + seen.expired + seen.revoked + seen.unknown;
    all(after) - all(before)
}

/// `problem` if `bad`: reads as a list of things that must not be.
fn problem_if(bad: bool, problem: impl FnOnce() -> String) -> Option<String> {
    bad.then(problem)
}

/// `1 token request`, `2 token requests`.
fn plural(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_that_others_spoiled_has_not_failed() {
        assert_eq!(result(&[], true), "All four parts went well");
        assert_eq!(result(&["renewal", "outage"], false), "FAILED: renewal, outage");
        let spoiled = result(&["renewal"], true);
        assert!(spoiled.contains("Others used the demo's servers") && !spoiled.contains("FAILED"), "{spoiled}");
    }
}
