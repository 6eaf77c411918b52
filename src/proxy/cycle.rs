//! The 401 cycle: an answer that rejects the token leads to a new token and to the request being sent once more.
//!
//! Owns the decision what the caller gets. Nothing of an answer reaches the caller before it is made; at most one replay is
//! sent, beside the one with another proof (`dpop`); an answer that is passed on is intact.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use http::Response;

use super::attempt::{Answered, Attempt};
use super::dpop;
use super::held::Held;
use super::intake::Lost;
use super::problem::{PROXY_STATUS, Problem, proxy_status};
use super::rejection::{self, Judgement};
use super::route::Credential;
use crate::reason::Reason;
use crate::token::{AccessToken, Pass, RequestHash, Verdict};

/// The most of a rejecting answer that is read before the replay, in bytes; the rest waits on its connection.
const HELD: usize = 16 * 1024;

/// Sends a request and cures a rejected token.
///
/// # Errors
/// [`Problem`] if there is no answer to give.
pub(super) async fn send_and_cure(attempt: Attempt<'_>) -> Result<Response<Held>, Problem> {
    let mut answered = attempt.send(None).await?;
    // What few answers need is in boxes, so that the others do not take the memory for it.
    let is_proven_again = dpop::is_refused(&attempt, &answered.response);
    if is_proven_again {
        answered = Box::pin(dpop::prove_again(&attempt, answered)).await;
        if dpop::is_refused(&attempt, &answered.response) {
            dpop::tell(&attempt, &mut answered.response);
            attempt.intake.discard_parked();
            return Ok(answered.response);
        }
    }
    let Answered { mut response, token, .. } = answered;
    let (Some(credential), Some(token)) = (&attempt.route.credential, token) else { return Ok(response) };
    let judgement = match judge_head(&attempt, &response) {
        Some(judgement) => judgement,
        None => Box::pin(judge_body(&attempt, &mut response)).await,
    };
    if judgement == Judgement::Accepted {
        credential.reader.satisfied(&token, || hash(&attempt));
        return Ok(response);
    }
    let cycle = Cycle { attempt, credential, request: hash(&attempt), is_proven_again };
    Box::pin(cycle.cure(token, judgement, response)).await
}

struct Cycle<'a> {
    attempt: Attempt<'a>,
    credential: &'a Credential,
    request: RequestHash,
    /// Whether the one replay with another proof has been used up.
    is_proven_again: bool,
}

impl Cycle<'_> {
    async fn cure(
        &self,
        rejected: Arc<AccessToken>,
        judgement: Judgement,
        mut response: Response<Held>,
    ) -> Result<Response<Held>, Problem> {
        if let Some(replacement) = self.another_token(&rejected, judgement, &mut response).await {
            response = self.replay(response, replacement).await;
        }
        self.attempt.intake.discard_parked();
        Ok(response)
    }

    /// A token to send the request again with; `None` if the original answer is to pass.
    async fn another_token(
        &self,
        rejected: &AccessToken,
        judgement: Judgement,
        original: &mut Response<Held>,
    ) -> Option<Arc<AccessToken>> {
        let counters = &self.credential.metrics.rejections;
        let reader = &self.credential.reader;
        if self.attempt.intake.park() {
            original.body_mut().forfeit_connection();
        }
        if !rejection::may_replay(&self.attempt.route.settings.rejection, judgement, self.attempt.request.method()) {
            counters.passed_unsafe.inc();
            reader.renew_after_rejection(rejected, self.request);
            return None;
        }
        if let Err(lost) = self.attempt.intake.complete().await {
            match lost {
                Lost::OverBudget => counters.passed_memory.inc(),
                Lost::TooLong | Lost::Stalled | Lost::Failed | Lost::Malformed(_) => counters.passed_body.inc(),
            }
            reader.renew_after_rejection(rejected, self.request);
            return None;
        }
        let verdict = self.verdict_while_holding(rejected, original).await;
        match verdict {
            Verdict::Replay(replacement) => return Some(replacement),
            Verdict::Pass(Pass::Gap) => counters.passed_gap.inc(),
            Verdict::Pass(Pass::Unavailable) => counters.passed_unavailable.inc(),
        }
        None
    }

    /// Reads the answer ahead while the new token is awaited, so that its connection is free by then.
    async fn verdict_while_holding(&self, rejected: &AccessToken, original: &mut Response<Held>) -> Verdict {
        let verdict = self.credential.reader.rejected(rejected, self.request);
        let mut verdict = std::pin::pin!(verdict);
        tokio::select! {
            verdict = &mut verdict => return verdict,
            () = original.body_mut().fill(HELD) => (),
        }
        verdict.await
    }

    /// Sends the request once more and chooses between the two answers.
    async fn replay(&self, original: Response<Held>, replacement: Arc<AccessToken>) -> Response<Held> {
        let counters = &self.credential.metrics.rejections;
        let reader = &self.credential.reader;
        let Ok(mut answered) = self.attempt.send(Some(replacement)).await else {
            counters.passed_unavailable.inc();
            self.attempt.intake.park();
            return original;
        };
        self.attempt.note_replay();
        if dpop::is_refused(&self.attempt, &answered.response) {
            if !self.is_proven_again {
                answered = Box::pin(dpop::prove_again(&self.attempt, answered)).await;
            }
            // The new token was not judged.
            if dpop::is_refused(&self.attempt, &answered.response) {
                counters.replayed.inc();
                dpop::tell(&self.attempt, &mut answered.response);
                return answered.response;
            }
        }
        let Answered { mut response, token, .. } = answered;
        let Some(token) = token else { return response };
        counters.replayed.inc();
        let rejected_again = judge(&self.attempt, &mut response).await != Judgement::Accepted;
        reader.replayed(&token, rejected_again);
        if rejected_again {
            counters.passed_again.inc();
            // The rest of a body that was streamed again will not be sent.
            if self.attempt.intake.park() {
                response.body_mut().forfeit_connection();
            }
            let received = format!("received-status={}", response.status().as_u16());
            let reason = Reason::TokenNotAccepted;
            // Whoever has added to it before us stands before us (RFC 9209 §2).
            response.headers_mut().append(PROXY_STATUS, proxy_status(&received, reason.code(), reason.title()));
        } else {
            reader.satisfied(&token, || self.request);
        }
        response
    }
}

async fn judge(attempt: &Attempt<'_>, response: &mut Response<Held>) -> Judgement {
    match judge_head(attempt, response) {
        Some(judgement) => judgement,
        None => judge_body(attempt, response).await,
    }
}

/// `None` if it takes a look into the body.
fn judge_head(attempt: &Attempt<'_>, response: &Response<Held>) -> Option<Judgement> {
    rejection::judge_head(&attempt.route.settings.rejection, response.status(), response.headers())
}

async fn judge_body(attempt: &Attempt<'_>, response: &mut Response<Held>) -> Judgement {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let rules = &attempt.route.settings.rejection;
    let patience = attempt.route.settings.timeouts.response_head;
    let judgement = rejection::judge_body(rules, status, &headers, response.body_mut(), patience).await;
    *response.headers_mut() = headers;
    judgement
}

/// Tells method and path apart from others. Seeded anew in each process, so that nobody can prepare collisions.
fn hash(attempt: &Attempt<'_>) -> RequestHash {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut hasher = SEED.build_hasher();
    hasher.write(attempt.route.settings.name.as_bytes());
    hasher.write(attempt.request.method().as_str().as_bytes());
    hasher.write(attempt.request.path().as_bytes());
    RequestHash(hasher.finish())
}
