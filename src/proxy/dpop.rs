//! DPoP towards an upstream (RFC 9449 §7): a proof for every attempt, and one more attempt where the answer says what it lacked.
//!
//! Owns what is said of a proof that was refused. Such an answer says nothing of the token: it is neither a rejection nor a failure.
//! Where it brings a nonce, or shows that the clocks differ, the request is sent once more, beside the one replay with another token;
//! with whatever body can be sent again, by the rules of that replay. Costs nothing where tokens are bound to no key.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::SystemTime;

use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::attempt::{Answered, Attempt};
use super::challenge;
use super::held::Held;
use super::outbound::Sanitized;
use super::problem::{PROXY_STATUS, Problem, proxy_status};
use super::rejection::{self, Judgement};
use super::route::Route;
use crate::dpop::{Complaint, Memory, NONCE, Terms, target};
use crate::jose::KeyError;
use crate::reason::Reason;
use crate::token::AccessToken;

/// The most of a refusing answer that is read before the request is sent again, in bytes: as much as is there.
const HELD: usize = 16 * 1024;

/// What the upstream of one route has said of proofs. All workers share it.
#[derive(Debug, Default)]
pub(super) struct Proofs(Memory);

impl Proofs {
    /// The terms of the next proof.
    pub(super) fn terms(&self) -> Terms {
        self.0.terms()
    }

    /// Remembers what an answer brings.
    pub(super) fn learn(&self, answer: &HeaderMap) {
        self.0.learn(answer);
    }
}

/// The proof that goes with `token` in one attempt; `None` for a token that is bound to no key. `is_connect` is whether HTTP/2 asks
/// for another protocol with it (RFC 8441).
///
/// # Errors
/// [`KeyError::Signing`]; only a system without randomness causes it.
pub(super) fn prove(
    route: &Route,
    request: &Sanitized,
    token: &AccessToken,
    terms: &Terms,
    is_connect: bool,
) -> Result<Option<HeaderValue>, KeyError> {
    let Some(binding) = token.binding() else { return Ok(None) };
    let origin = &route.settings.origin;
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = host.unwrap_or_else(|| origin.authority().as_str());
    let target = target(origin.scheme().as_str(), authority, request.path());
    let method = if is_connect { "CONNECT" } else { request.method().as_str() };
    binding.prove(method, &target, terms, SystemTime::now()).map(Some)
}

/// Whether an answer refuses the proof, on a route that sends any.
pub(super) fn is_refused(attempt: &Attempt<'_>, response: &Response<Held>) -> bool {
    attempt.route.proofs.is_some() && complaint(response.status(), response.headers()).is_some()
}

/// Sends a request again whose proof was refused, with the same token, if the answer says what would be better; otherwise, and if
/// there is no answer to it, the refusal stays.
pub(super) async fn prove_again(attempt: &Attempt<'_>, mut refused: Answered) -> Answered {
    let (Some(proofs), Some(token), Some(credential)) =
        (&attempt.route.proofs, &refused.token, &attempt.route.credential)
    else {
        return refused;
    };
    if attempt.intake.park() {
        refused.response.body_mut().forfeit_connection();
    }
    let headers = refused.response.headers();
    let Some(terms) = complaint(refused.response.status(), headers)
        .and_then(|complaint| proofs.0.correct(&refused.terms, complaint, headers, SystemTime::now()))
    else {
        return refused;
    };
    let rules = &attempt.route.settings.rejection;
    if !rejection::may_replay(rules, Judgement::Rejected, attempt.request.method()) {
        return refused;
    }
    if attempt.intake.complete().await.is_err() {
        return refused;
    }
    let token = token.clone();
    read_what_is_there(&mut refused.response).await;
    let again = Attempt { terms: Some(&terms), ..*attempt };
    match again.send(Some(token)).await {
        Ok(answered) => {
            credential.metrics.dpop_nonce_replays.upstream.inc();
            answered
        }
        Err(_) => {
            attempt.intake.park();
            refused
        }
    }
}

/// Has the caller and the log told that an answer is about the proof, which it cannot know of.
pub(super) fn tell(attempt: &Attempt<'_>, response: &mut Response<Held>) {
    let reason = Reason::ProofNotAccepted;
    let status = response.status().as_u16();
    let received = format!("received-status={status}");
    response.headers_mut().append(PROXY_STATUS, proxy_status(&received, reason.code(), reason.title()));
    let error = match complaint(response.status(), response.headers()) {
        Some(Complaint::Nonce) => "use_dpop_nonce",
        Some(Complaint::Proof) | None => "invalid_dpop_proof",
    };
    let route = &attempt.route;
    let detail = format!("{} ({}: {status}, {error})", reason.title(), route.settings.origin);
    route.complaints.utter(&route.settings.name, &Problem::new(reason, detail));
}

/// Takes out what is said to us alone: the nonces of our own proofs.
pub(super) fn strip_answer(route: &Route, headers: &mut HeaderMap) {
    if route.proofs.is_some() {
        headers.remove(&NONCE);
    }
}

/// What an answer finds wrong with the proof. Only where nothing was done with the request: a 401 (RFC 9110 §15.5.2), or
/// gRPC's UNAUTHENTICATED in a head that is all of its answer.
pub fn complaint(status: StatusCode, headers: &HeaderMap) -> Option<Complaint> {
    if status != StatusCode::UNAUTHORIZED && headers.get("grpc-status").is_none_or(|status| status != "16") {
        return None;
    }
    challenge::dpop_errors(headers).iter().find_map(|error| Complaint::from_code(error))
}

/// Reads ahead without waiting, so that an answer that has come whole gives its connection back.
async fn read_what_is_there(response: &mut Response<Held>) {
    let mut reading = pin!(response.body_mut().fill(HELD));
    poll_fn(|cx| {
        let _ = reading.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::WWW_AUTHENTICATE;

    #[test]
    fn a_proof_is_refused_only_where_the_request_was_not_applied() {
        let check = |status: u16, challenge: &str, grpc_status: Option<&'static str>, wanted: Option<Complaint>| {
            let mut headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge.parse().unwrap())]);
            if let Some(status) = grpc_status {
                headers.insert("grpc-status", HeaderValue::from_static(status));
            }
            let found = complaint(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(found, wanted, "{status} {challenge} {grpc_status:?}");
        };
        let (nonce, proof) = (Some(Complaint::Nonce), Some(Complaint::Proof));
        check(401, r#"DPoP error="use_dpop_nonce""#, None, nonce);
        check(401, r#"DPoP error="invalid_dpop_proof", algs="ES256""#, None, proof);
        check(401, r#"DPoP error="invalid_token""#, None, None);
        check(401, r#"DPoP error="insufficient_scope""#, None, None);
        check(401, r#"Bearer error="use_dpop_nonce""#, None, None);
        check(400, r#"DPoP error="use_dpop_nonce""#, None, None);
        check(500, r#"DPoP error="use_dpop_nonce""#, None, None);
        check(200, r#"DPoP error="use_dpop_nonce""#, None, None);
        check(200, r#"DPoP error="use_dpop_nonce""#, Some("0"), None);
        check(200, r#"DPoP error="use_dpop_nonce""#, Some("16"), nonce);
    }
}
