//! What a person sees of one token request who runs `check --fetch`: where it went, how it was answered, where the lifetime came from.
//!
//! Owns nothing that decides anything: a request that nobody observes is not looked at. What is told holds no secret and no token.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::{StatusCode, Uri};
use serde_json::Value;

use super::lifetime::{self, Claims};
use super::likely;
use super::mask::Mask;
use super::message::text_of;
use super::send::{self, Answer, Body, Deadline};
use super::settings::Settings;
use super::{FetchError, Grant, Issued, TokenEndpoint, refuse};
use crate::secret;
use crate::upstream::ConnectError;

tokio::task_local! {
    static SEEN: RefCell<Option<Seen>>;
}

/// An answer, as far as it may be shown.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Where it came from.
    pub endpoint: Uri,
    /// Its status.
    pub status: StatusCode,
    /// From the request being sent to the answer's head.
    pub took: Duration,
    /// Seconds by which this machine's clock is ahead of the answer's `Date`; negative if it is behind.
    pub ahead: Option<i64>,
    /// What the body looks like.
    pub content: Content,
    /// Which part of the answer said how long the token lives.
    pub lifetime_from: String,
    /// Whether a refresh token came, used or not.
    pub refresh_token: bool,
    /// Where the body has what its name says is a token: a JSON Pointer (RFC 6901).
    pub token_at: Option<String>,
}

/// What a body looks like, whatever its `Content-Type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Empty,
    /// JSON.
    Json,
    /// A page for people.
    Html,
    /// Anything else.
    Other,
}

impl TokenEndpoint {
    /// [`TokenEndpoint::fetch`], and the answer that came, if one did.
    pub async fn fetch_observed(&self, grant: Grant) -> (Result<Issued, FetchError>, Option<Seen>) {
        let observed = async {
            let result = self.fetch(grant).await;
            (result, SEEN.with(RefCell::take))
        };
        SEEN.scope(RefCell::default(), observed).await
    }

    /// Where token requests go: as configured, or as the issuer's metadata say just now.
    ///
    /// # Errors
    /// [`FetchError`] if the metadata cannot be had or believed.
    pub async fn whereabouts(&self) -> Result<Uri, FetchError> {
        let located = self.located(&Grant::Configured, Deadline::after(self.settings.timeout)).await;
        located.map(|located| located.uri).map_err(|failure| refuse::unanswered(&failure))
    }
}

impl FetchError {
    /// What a token request says that fails because of this connection.
    pub fn unreached(error: &ConnectError) -> Self {
        refuse::unanswered(&send::no_connection(error))
    }
}

/// Takes note of an answer, if anybody observes.
pub(super) fn note(answer: &Answer, endpoint: &Uri, settings: &Settings, mask: impl FnOnce() -> Mask) {
    let _ = SEEN.try_with(|seen| {
        let mut found = Seen::of(answer, endpoint, settings);
        // A server may name a member as it likes.
        found.token_at = found.token_at.filter(|pointer| mask().show(pointer).is_ok_and(|shown| shown == *pointer));
        seen.replace(Some(found));
    });
}

impl Seen {
    fn of(answer: &Answer, endpoint: &Uri, settings: &Settings) -> Self {
        let body: &[u8] = match &answer.body {
            Body::Whole(body) => body,
            Body::TooLong | Body::Cut(_) => &[],
        };
        let mut value: Value = serde_json::from_slice(body).unwrap_or_default();
        let shape = &settings.response;
        let seen = Self {
            endpoint: endpoint.clone(),
            status: answer.status,
            took: answer.times.arrived.duration_since(answer.times.sent).unwrap_or_default(),
            ahead: answer.times.date.map(|date| difference(answer.times.arrived, date)),
            content: content(body, &value),
            lifetime_from: lifetime_from(&value, settings),
            refresh_token: value.pointer(&shape.refresh_token).is_some_and(Value::is_string),
            token_at: likely::token_at(body, &answer.headers, shape.format),
        };
        secret::wipe(&mut value);
        seen
    }
}

/// A number that is no lifetime, as it was written.
fn no_lifetime(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| *number <= 0)
}

fn difference(ours: SystemTime, theirs: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    ours.duration_since(theirs).map_or_else(|error| -seconds(error.duration()), seconds)
}

fn content(body: &[u8], value: &Value) -> Content {
    let text = text_of(body);
    let text = text.trim().to_ascii_lowercase();
    match text {
        text if text.is_empty() => Content::Empty,
        _ if !value.is_null() => Content::Json,
        text if text.starts_with("<!doctype html") || text.contains("<html") => Content::Html,
        _ => Content::Other,
    }
}

/// The order of DESIGN section 4.
fn lifetime_from(value: &Value, settings: &Settings) -> String {
    let shape = &settings.response;
    let at = |pointer: &str| value.pointer(pointer);
    let claims = at(&shape.access_token).and_then(Value::as_str).and_then(lifetime::claims);
    // Where both times come from one clock, the shorter life is believed.
    let shortened = |said: f64| match claims {
        Some(Claims { exp, iat: Some(iat) }) if exp - iat < said - 1.0 => ", shortened by exp of the token itself",
        _ => "",
    };
    let by_date = shape.expires_at.as_deref();
    if let Some(said) = at(&shape.expires_in).and_then(lifetime::expires_in) {
        format!("{} of the answer{}", shape.expires_in, shortened(said))
    } else if let Some(pointer) = by_date.filter(|pointer| at(pointer).and_then(lifetime::expires_at).is_some()) {
        format!("{pointer} of the answer")
    } else if claims.is_some() {
        "exp of the token itself".to_owned()
    } else if let Some(said) = at(&shape.expires_in).and_then(no_lifetime) {
        format!("response.default_lifetime: {} of the answer is {said}, which is no lifetime", shape.expires_in)
    } else {
        "response.default_lifetime: neither the answer nor the token says".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_says_no_lifetime_is_not_one_that_says_nothing() {
        let check = |answer: &str, wanted: &str| {
            let from = lifetime_from(&serde_json::from_str(answer).unwrap(), &super::super::testing::settings());
            assert!(from.contains(wanted), "{answer}: {from}");
        };
        check(r#"{"expires_in":0}"#, "/expires_in of the answer is 0, which is no lifetime");
        check(r#"{"expires_in":"-5"}"#, "is -5, which is no lifetime");
        check(r#"{"expires_in":60}"#, "/expires_in of the answer");
        check("{}", "neither the answer nor the token says");
    }
}
