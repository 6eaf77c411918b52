//! From an answer without a token to one classed error.
//!
//! Owns the classes of DESIGN section 4 and the wording of every failure. A line begins with the title of its reason
//! code; what the peer said stands behind it in quotes, masked.

use std::time::Duration;

use http::StatusCode;
use http::header;
use serde_json::Value;

use super::answer::Defect;
use super::lifetime::WallTimes;
use super::mask::{Mask, escaped};
use super::message::{self, Told, told};
use super::send::{Answer, Body, NoAnswer};
use super::settings::{GrantType, PermanentRule, ResponseShape, Settings};
use super::{Class, FetchError, format, opaque};
use crate::dpop::Complaint;
use crate::reason::Reason;
use crate::retry_after::retry_after;
use crate::secret::SecretError;

/// The codes that trying again will not cure (RFC 6749 §5.2, and `access_denied` of §4.1.2.1).
const PERMANENT: &[&str] = &[
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
];

/// The codes by which a server says that it is only not able now (RFC 6749 §4.1.2.1, RFC 8628 §3.5).
const PASSING: &[&str] = &["server_error", "temporarily_unavailable", "slow_down"];

const WITHHELD: &str = "text withheld, because a secret could not be masked in it";

/// What an answer says of its own failure.
#[derive(Clone, Copy)]
struct Evidence<'a> {
    status: StatusCode,
    code: Option<&'a str>,
    /// The body and the line read from it: where `body_contains` looks.
    texts: [&'a str; 2],
}

/// A secret that cannot be read: nothing was sent.
pub(super) fn unreadable(error: &SecretError) -> FetchError {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    unsent(&format!("{error}{cause}"))
}

/// A secret that cannot be sent: nothing was.
pub(super) fn unsendable(error: &impl std::error::Error) -> FetchError {
    unsent(&error.to_string())
}

/// A key that proofs cannot be signed with: nothing was sent.
pub(super) fn unusable_key(why: &str) -> FetchError {
    unsent(why)
}

/// A refresh token that only its own key can use, which is not the current one any more: nothing was sent.
pub(super) fn bound_elsewhere() -> FetchError {
    unsent("the refresh token is bound to the DPoP key before")
}

fn unsent(why: &str) -> FetchError {
    let reason = Reason::SecretUnreadable;
    let message = format!("{}: {}", reason.title(), escaped(why));
    FetchError { class: Class::Transient, reason, status: None, retry_after: None, message }
}

/// No answer came. A proxy's 407 is an answer to a login, if not to ours at the token endpoint.
pub(super) fn unanswered(failure: &NoAnswer) -> FetchError {
    let NoAnswer { reason, detail, login_refused } = failure;
    let message = format!("{}: {}", reason.title(), escaped(detail));
    let (class, status) = match login_refused {
        true => (Class::Refused, Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED)),
        false => (Class::Transient, None),
    };
    FetchError { class, reason: *reason, status, retry_after: None, message }
}

/// A 2xx whose body did not come whole.
pub(super) fn unread(answer: &Answer) -> FetchError {
    let failure = match &answer.body {
        Body::Cut(failure) => failure.clone(),
        Body::TooLong | Body::Whole(_) => NoAnswer::new(Reason::TokenMalformed, "it is longer than 256 KiB"),
    };
    FetchError { status: Some(answer.status), ..unanswered(&failure) }
}

/// How far clocks may be apart before that explains the refusal of a JWT: servers allow for a minute or less.
const CLOCKS_APART: Duration = Duration::from_secs(30);

/// A refusal for good of a JWT that we signed, if a wrong clock of ours explains it: it passes when the clock is set, which no secret shows.
pub(super) fn by_clock(error: FetchError, times: &WallTimes) -> FetchError {
    let Some(date) = times.date.filter(|_| error.class == Class::Permanent) else { return error };
    let (apart, side) = match times.arrived.duration_since(date) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if apart < CLOCKS_APART {
        return error;
    }
    let apart = humantime::format_duration(Duration::from_secs(apart.as_secs()));
    let message = format!("{}; this machine's clock is {apart} {side} the server's: set it", error.message);
    FetchError { class: Class::Refused, message, ..error }
}

/// A 2xx without a usable token.
pub(super) fn without_token(defect: Defect, answer: &Answer, settings: &Settings, mask: &Mask) -> FetchError {
    let (reason, why, value) = match defect {
        Defect::NotUnderstood(why) => (Reason::TokenMalformed, why, Value::Null),
        Defect::NoToken { why, answer } => (Reason::TokenIllegal, why, answer),
        Defect::NotBound(why) => return not_bound(&why, answer, mask),
    };
    // An answer that should have held a token may be one: only what is surely an error text is shown, and no list and no bare text.
    let line = value.is_object().then(|| message::envelope(&value, &settings.response)).flatten();
    let code = message::code(&value, &settings.response).filter(|code| code != "0");
    let body = answer.text();
    let evidence =
        Evidence { status: answer.status, code: code.as_deref(), texts: [&body, line.as_deref().unwrap_or_default()] };
    let is_error = code.is_some() || matches!(value.get("error"), Some(Value::Object(_) | Value::Bool(true)));
    let said = line.as_ref().map_or(Said::Nothing, |line| Said::of_success(mask, line, is_error));
    if let Some(verdict) = judge_error(evidence, is_error, &settings.permanent) {
        return failure(verdict, answer, &said);
    }
    let why = mask.show(&why).map(|why| format!(": {why}")).unwrap_or_default();
    let error = failure((Class::Transient, reason), answer, &said);
    FetchError { message: error.message.replacen(reason.title(), &format!("{}{why}", reason.title()), 1), ..error }
}

/// A token that no key is needed for, where one was wanted (RFC 9449 §5): the server does not know DPoP, or not for this client.
/// Asking again soon would only have it make tokens that nobody uses.
fn not_bound(why: &str, answer: &Answer, mask: &Mask) -> FetchError {
    let reason = Reason::TokenNotBound;
    let why = mask.show(why).map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("{}{why} ({})", reason.title(), answer.status.as_u16());
    FetchError { class: Class::Refused, reason, status: Some(answer.status), retry_after: None, message }
}

/// Any status but 2xx.
pub(super) fn refused(answer: &Answer, settings: &Settings, mask: &Mask) -> FetchError {
    if answer.status.is_redirection() {
        return redirected(answer, mask);
    }
    let shape = &settings.response;
    let told = answer.told(shape);
    let body = answer.text();
    let value = format::error_members(&body, &answer.headers, shape.format).unwrap_or_default();
    let code = message::code(&value, shape);
    let line = match &told {
        Told::Said(line) => line.as_str(),
        Told::Described(_) | Told::Titled(..) => "",
    };
    let evidence = Evidence { status: answer.status, code: code.as_deref(), texts: [&body, line] };
    let (class, reason) = classify(evidence, &settings.permanent);
    let reason = match code.as_deref() {
        // There is no other way to a token (RFC 6749 §5.2).
        Some("invalid_grant") if settings.grant == GrantType::RefreshToken => Reason::TokenSpent,
        // Glewlwyd says it so. Were it the client, the status would be another; its class stays, so it is tried again.
        None if settings.grant == GrantType::RefreshToken && answer.status == 400 && answer.is_empty() => {
            Reason::TokenSpent
        }
        _ => reason,
    };
    failure((class, reason), answer, &Said::of(mask, &told))
}

/// A status that is none of those expected. One that would be a success elsewhere is a refusal: a form that is shown again, for
/// example. Of such an answer nothing is shown, since it is no error text for sure.
pub(super) fn unexpected(answer: &Answer, expected: &[u16], settings: &Settings, mask: &Mask) -> FetchError {
    if !answer.status.is_success() {
        return refused(answer, settings, mask);
    }
    let body = answer.text();
    let evidence = Evidence { status: answer.status, code: None, texts: [&body, ""] };
    let verdict = match settings.permanent.iter().any(|rule| matches(rule, evidence)) {
        true => (Class::Permanent, Reason::TokenDenied),
        false => (Class::Refused, Reason::TokenRefused),
    };
    let expected: Vec<_> = expected.iter().map(u16::to_string).collect();
    failure(verdict, answer, &Said::Described(format!("where {} was expected", expected.join(" or "))))
}

/// RFC 6749 has no redirects here; following one would send the secret to whoever is named. The target is told
/// without its query.
fn redirected(answer: &Answer, mask: &Mask) -> FetchError {
    let target = answer.headers.get(header::LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let target = match target.as_deref().map(|target| mask.show(&without_query(target))) {
        Some(Ok(target)) => format!(" to {target}"),
        Some(Err(_)) => " to a target that is withheld".to_owned(),
        None => " without a target".to_owned(),
    };
    let reason = Reason::TokenRedirected;
    let status = answer.status.as_u16();
    FetchError {
        class: Class::Permanent,
        reason,
        status: Some(answer.status),
        retry_after: None,
        message: format!("{} ({status}{target}); redirects are never followed", reason.title()),
    }
}

/// A `Location` without query, fragment and user information.
fn without_query(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = target.split_once("//") else { return target.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.map(|path| format!("/{path}")).unwrap_or_default();
    format!("{scheme}//{host}{path}")
}

/// DESIGN section 4: the class and the code of an answer that is no success.
fn classify(evidence: Evidence<'_>, rules: &[PermanentRule]) -> (Class, Reason) {
    let status = evidence.status;
    if rules.iter().any(|rule| matches(rule, evidence)) {
        return (Class::Permanent, Reason::TokenDenied);
    }
    // These speak of the moment, whatever code a gateway puts beside them.
    match status.as_u16() {
        429 => return (Class::Transient, Reason::TokenRateLimited),
        408 | 425 | 502..=504 => return (Class::Transient, Reason::TokenServerError),
        _ => {}
    }
    if evidence.code.is_some_and(|code| PERMANENT.contains(&code))
        && (status.is_client_error() || status.is_server_error())
    {
        return (Class::Permanent, Reason::TokenDenied);
    }
    match evidence.code.and_then(Complaint::from_code) {
        // It was asked again with the nonce before, and wants yet another one: several servers that do not know of each other.
        Some(Complaint::Nonce) if status.is_client_error() => return (Class::Transient, Reason::TokenProofRefused),
        Some(Complaint::Proof) if status.is_client_error() => return (Class::Refused, Reason::TokenProofRefused),
        _ => {}
    }
    if status.is_client_error() {
        (Class::Refused, Reason::TokenRefused)
    } else if status.is_server_error() {
        (Class::Transient, Reason::TokenServerError)
    } else {
        (Class::Transient, Reason::TokenMalformed)
    }
}

/// The verdict on a 2xx without a token, if it is an error in the guise of a success.
fn judge_error(evidence: Evidence<'_>, is_error: bool, rules: &[PermanentRule]) -> Option<(Class, Reason)> {
    if rules.iter().any(|rule| matches(rule, evidence)) {
        return Some((Class::Permanent, Reason::TokenDenied));
    }
    match evidence.code {
        Some(code) if PERMANENT.contains(&code) => Some((Class::Permanent, Reason::TokenDenied)),
        Some(code) if PASSING.contains(&code) => Some((Class::Transient, Reason::TokenServerError)),
        // It was answered, and may be a wrong password: not to be tried again and again.
        _ if is_error => Some((Class::Refused, Reason::TokenRefused)),
        _ => None,
    }
}

/// All that is given must match; a rule without any condition matches nothing.
fn matches(rule: &PermanentRule, evidence: Evidence<'_>) -> bool {
    let PermanentRule { status, body_contains, error_code } = rule;
    if status.is_none() && body_contains.is_none() && error_code.is_none() {
        return false;
    }
    status.is_none_or(|status| status == evidence.status.as_u16())
        && body_contains.as_ref().is_none_or(|text| evidence.texts.iter().any(|body| body.contains(text.as_str())))
        && error_code.as_ref().is_none_or(|code| evidence.code == Some(code.as_str()))
}

/// What may be shown of the peer's words.
enum Said {
    Nothing,
    Quoted(String),
    Described(String),
}

impl Said {
    /// Plain words, if they are more than one or an error says so: a single one may be the token.
    fn of_success(mask: &Mask, line: &str, is_error: bool) -> Self {
        match mask.show_words(line) {
            Ok(text) if !text.chars().any(char::is_alphabetic) => Self::Nothing,
            Ok(text) if is_error || text.contains(' ') || opaque::is_code(&text) => Self::Quoted(text),
            Ok(_) => Self::Nothing,
            Err(_) => Self::Described(WITHHELD.to_owned()),
        }
    }

    fn of(mask: &Mask, told: &Told) -> Self {
        match told {
            Told::Said(text) => match mask.show(text) {
                Ok(text) => Self::Quoted(text),
                Err(_) => Self::Described(WITHHELD.to_owned()),
            },
            Told::Described(what) => Self::Described((*what).to_owned()),
            Told::Titled(what, title) => Self::Described(match mask.show(title) {
                Ok(title) => format!("{what} titled \"{title}\""),
                Err(_) => (*what).to_owned(),
            }),
        }
    }
}

fn failure((class, reason): (Class, Reason), answer: &Answer, said: &Said) -> FetchError {
    let (title, status) = (reason.title(), answer.status.as_u16());
    let message = match said {
        Said::Nothing => format!("{title} ({status})"),
        Said::Quoted(text) => format!("{title} ({status} \"{text}\")"),
        Said::Described(what) => format!("{title} ({status}, {what})"),
    };
    let retry_after = retry_after(&answer.headers, answer.times.arrived);
    FetchError { class, reason, status: Some(answer.status), retry_after, message }
}

impl Answer {
    /// Whether the body is encoded, though we asked for `identity`.
    pub(super) fn is_compressed(&self) -> bool {
        self.headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .any(|value| !value.as_bytes().is_empty() && !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    }

    fn is_empty(&self) -> bool {
        matches!(&self.body, Body::Whole(body) if body.is_empty())
    }

    fn text(&self) -> String {
        match &self.body {
            Body::Whole(body) if !self.is_compressed() => message::text_of(body).into_owned(),
            Body::Whole(_) | Body::TooLong | Body::Cut(_) => String::new(),
        }
    }

    fn told(&self, shape: &ResponseShape) -> Told {
        match &self.body {
            Body::Whole(body) => told(body, &self.headers, self.is_compressed(), shape),
            // A piece could end within a secret, which no mask would know.
            Body::TooLong => Told::Described("a body of more than 256 KiB"),
            Body::Cut(_) => Told::Described("a body that did not come whole"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, code: Option<&str>, class: Class, reason: Reason) {
        let status = StatusCode::from_u16(status).unwrap();
        let found = classify(Evidence { status, code, texts: ["", ""] }, &[]);
        assert_eq!(found, (class, reason), "{status} with {code:?}");
    }

    #[test]
    fn statuses_are_classed_as_the_design_says() {
        for status in [400, 401, 403, 404, 405, 407, 409, 415, 422, 426, 451, 499] {
            check(status, None, Class::Refused, Reason::TokenRefused);
        }
        for status in [408, 425, 500, 501, 502, 503, 504, 599] {
            check(status, None, Class::Transient, Reason::TokenServerError);
        }
        check(429, None, Class::Transient, Reason::TokenRateLimited);
        check(101, None, Class::Transient, Reason::TokenMalformed);
        check(999, None, Class::Transient, Reason::TokenMalformed);
    }

    #[test]
    fn standard_codes_are_permanent_but_where_the_status_speaks_of_the_moment() {
        for code in PERMANENT {
            check(400, Some(code), Class::Permanent, Reason::TokenDenied);
            check(401, Some(code), Class::Permanent, Reason::TokenDenied);
            check(500, Some(code), Class::Permanent, Reason::TokenDenied);
            check(503, Some(code), Class::Transient, Reason::TokenServerError);
            check(429, Some(code), Class::Transient, Reason::TokenRateLimited);
        }
        for code in ["invalid_request", "scope_invalid", "INVALID_CLIENT", "", "400013"] {
            check(400, Some(code), Class::Refused, Reason::TokenRefused);
        }
        check(500, Some("API_ERROR"), Class::Transient, Reason::TokenServerError);
    }

    #[test]
    fn a_refused_proof_has_a_reason_of_its_own() {
        check(400, Some("invalid_dpop_proof"), Class::Refused, Reason::TokenProofRefused);
        check(400, Some("use_dpop_nonce"), Class::Transient, Reason::TokenProofRefused);
        check(401, Some("use_dpop_nonce"), Class::Transient, Reason::TokenProofRefused);
        check(500, Some("use_dpop_nonce"), Class::Transient, Reason::TokenServerError);
    }

    #[test]
    fn a_configured_rule_matches_only_if_all_that_is_given_does() {
        let check = |status: Option<u16>, text: Option<&str>, code: Option<&str>, wanted: bool| {
            let rule =
                PermanentRule { status, body_contains: text.map(str::to_owned), error_code: code.map(str::to_owned) };
            let evidence = Evidence {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                code: Some("E7"),
                texts: ["{\"m\":\"Required parameters\"}", "E7: Required parameters"],
            };
            assert_eq!(matches(&rule, evidence), wanted, "{rule:?}");
        };
        check(Some(500), None, None, true);
        check(Some(500), Some("Required parameters"), None, true);
        check(None, Some("Required parameters"), Some("E7"), true);
        check(Some(500), Some("E7: Required"), Some("E7"), true);
        check(Some(400), Some("Required parameters"), None, false);
        check(Some(500), Some("required parameters"), None, false);
        check(Some(500), None, Some("E8"), false);
        check(None, None, None, false);
    }

    #[test]
    fn the_target_of_a_redirect_is_told_without_query_and_user() {
        let check = |target: &str, wanted: &str| assert_eq!(without_query(target), wanted, "{target}");
        check("https://evil.example/x?token=1#f", "https://evil.example/x");
        check("https://user:pass@evil.example?x", "https://evil.example");
        check("https://a@b@evil.example/p", "https://evil.example/p");
        check("//evil.example/x", "//evil.example/x");
        check("/login?next=/token", "/login");
        check("?x", "");
        check("", "");
    }
}
