//! Whether an answer rejects the token (DESIGN section 2, `[*.rejection]`), and what that allows.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap};
use tokio::time::timeout;

use super::challenge;
use super::held::Held;
use super::settings::{Rejection, Replay};

/// The longest body that is searched for a text, in bytes.
pub(super) const SEARCHED: usize = 16 * 1024;

/// What an answer says of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing against it.
    Accepted,
    /// It was rejected, and the request certainly not applied (a 401, RFC 9110 §15.5.2) or the operator says so.
    Rejected,
    /// It was rejected, but only an idempotent request may be sent again.
    RejectedMaybeApplied,
}

/// Judges an answer by its head; `None` if a rule looks into its body.
pub(super) fn judge_head(rules: &Rejection, status: StatusCode, headers: &HeaderMap) -> Option<Judgement> {
    let by_head = by_head(rules, status, headers);
    (by_head != Judgement::Accepted || !has_body_rule(rules, status)).then_some(by_head)
}

/// Judges an answer by its body, which is read for `patience` at most, since nothing of the answer has reached the caller yet; what
/// was read stays in `held`.
pub(super) async fn judge_body(
    rules: &Rejection,
    status: StatusCode,
    headers: &HeaderMap,
    held: &mut Held,
    patience: Option<Duration>,
) -> Judgement {
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    let searchable = held.declared_length().is_some_and(|length| length <= SEARCHED as u64);
    if encoded || !searchable || challenge::token_errors(headers).iter().any(|e| e == "insufficient_scope") {
        return Judgement::Accepted;
    }
    match patience {
        // A body that does not come is searched as far as it came.
        Some(patience) => drop(timeout(patience, held.fill(SEARCHED)).await),
        None => held.fill(SEARCHED).await,
    }
    let mut rules = rules.body.iter().filter(|rule| rule.status == status.as_u16());
    if rules.any(|rule| held.contains(rule.contains.as_bytes())) { Judgement::Rejected } else { Judgement::Accepted }
}

/// Whether a request with this method may be sent again after such a judgement.
pub(super) fn may_replay(rules: &Rejection, judgement: Judgement, method: &http::Method) -> bool {
    let idempotent_only = rules.replay == Replay::Idempotent || judgement == Judgement::RejectedMaybeApplied;
    !idempotent_only || is_idempotent(method)
}

/// RFC 9110 §9.2.2.
pub(super) fn is_idempotent(method: &http::Method) -> bool {
    use http::Method;
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE)
}

fn by_head(rules: &Rejection, status: StatusCode, headers: &HeaderMap) -> Judgement {
    let code = status.as_u16();
    let status_rejects = rules.status.contains(&code);
    let grpc_rejects =
        !rules.grpc_status.is_empty() && grpc_status(headers).is_some_and(|s| rules.grpc_status.contains(&s));
    if !status_rejects && !status.is_client_error() && !grpc_rejects {
        return Judgement::Accepted;
    }
    let errors = challenge::token_errors(headers);
    if errors.iter().any(|error| error == "insufficient_scope") {
        return Judgement::Accepted;
    }
    let challenge_rejects =
        status.is_client_error() && errors.iter().any(|error| rules.www_authenticate_error.contains(error));
    if status_rejects || grpc_rejects || (challenge_rejects && status == StatusCode::UNAUTHORIZED) {
        Judgement::Rejected
    } else if challenge_rejects {
        Judgement::RejectedMaybeApplied
    } else {
        Judgement::Accepted
    }
}

fn has_body_rule(rules: &Rejection, status: StatusCode) -> bool {
    rules.body.iter().any(|rule| rule.status == status.as_u16())
}

/// `grpc-status` in a head means that there is nothing but the head ("trailers-only").
fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::route::tests::route;
    use crate::proxy::settings::BodyRule;
    use http::Method;
    use http::header::WWW_AUTHENTICATE;

    #[test]
    fn a_rejection_is_told_from_a_refusal_that_no_token_cures() {
        let rules = Rejection { grpc_status: vec![16], ..route("/", None).rejection };
        let check = |status: u16, challenge: &str, grpc: &str, wanted: Judgement| {
            let mut headers = HeaderMap::new();
            if !challenge.is_empty() {
                headers.insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
            }
            if !grpc.is_empty() {
                headers.insert("grpc-status", grpc.parse().unwrap());
            }
            let judged = judge_head(&rules, StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(judged, Some(wanted), "{status} {challenge} {grpc}");
        };
        use Judgement::*;
        check(401, "", "", Rejected);
        check(401, "Basic", "", Rejected);
        check(401, r#"Bearer error="insufficient_scope""#, "", Accepted);
        check(403, "", "", Accepted);
        check(403, r#"Bearer error="insufficient_scope""#, "", Accepted);
        check(403, r#"Bearer error="invalid_token""#, "", RejectedMaybeApplied);
        check(400, r#"Bearer error="invalid_token""#, "", RejectedMaybeApplied);
        check(401, r#"DPoP error="invalid_token""#, "", Rejected);
        check(403, r#"DPoP error="invalid_token""#, "", RejectedMaybeApplied);
        check(401, r#"DPoP error="insufficient_scope""#, "", Accepted);
        check(200, r#"Bearer error="invalid_token""#, "", Accepted);
        check(500, r#"Bearer error="invalid_token""#, "", Accepted);
        check(200, "", "16", Rejected);
        check(200, "", "0", Accepted);
        check(200, "", "", Accepted);
    }

    #[test]
    fn a_rule_may_call_any_status_a_rejection() {
        let rules = Rejection { status: vec![302, 500], ..route("/", None).rejection };
        let check = |status: u16, wanted: Judgement| {
            let judged = judge_head(&rules, StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
            assert_eq!(judged, Some(wanted), "{status}");
        };
        check(302, Judgement::Rejected);
        check(500, Judgement::Rejected);
        check(303, Judgement::Accepted);
        check(401, Judgement::Accepted);
    }

    #[test]
    fn a_rule_about_bodies_has_those_looked_into_that_nothing_else_rejects() {
        let body = vec![
            BodyRule { status: 200, contains: "expired".to_owned() },
            BodyRule { status: 401, contains: "x".to_owned() },
        ];
        let rules = Rejection { body, ..route("/", None).rejection };
        let judge = |status: u16| judge_head(&rules, StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        assert_eq!(judge(200), None);
        assert_eq!(judge(201), Some(Judgement::Accepted));
        assert_eq!(judge(401), Some(Judgement::Rejected));
    }

    #[test]
    fn methods_that_change_things_are_repeated_only_where_nothing_was_applied() {
        let mut rules = route("/", None).rejection;
        assert!(may_replay(&rules, Judgement::Rejected, &Method::POST));
        assert!(!may_replay(&rules, Judgement::RejectedMaybeApplied, &Method::POST));
        assert!(may_replay(&rules, Judgement::RejectedMaybeApplied, &Method::PUT));
        rules.replay = Replay::Idempotent;
        assert!(!may_replay(&rules, Judgement::Rejected, &Method::POST));
        assert!(!may_replay(&rules, Judgement::Rejected, &Method::PATCH));
        assert!(may_replay(&rules, Judgement::Rejected, &Method::DELETE));
    }
}
