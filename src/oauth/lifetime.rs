//! How long a token lives: pure arithmetic over what the answer says.
//!
//! Owns the order of the sources (DESIGN section 4): `expires_in`, else an absolute time, else the token's own JWT
//! claims, else what the cookie says that carries it, else the configured default. A lifetime is only ever shortened: where the JWT ends earlier than the answer
//! says, the JWT is believed. What is null, not numeric, or not positive counts as absent. An absolute time is of the server's clock, which
//! the answer's `Date` shows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

/// The longest lifetime that is believed: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How far two clocks may be apart to be called the same.
const AGREEMENT: Duration = Duration::from_secs(5);

/// A number from here on is milliseconds since 1970 (as seconds it would be the year 5138).
const MILLISECONDS_FROM: f64 = 1e11;

/// A time before this (2001) is a mistake of who made the token: a duration, most likely.
const SINCE_2001: f64 = 1e9;

/// What an answer says about its token's life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sources {
    /// Seconds from now, positive.
    pub(super) expires_in: Option<f64>,
    /// Seconds since 1970.
    pub(super) expires_at: Option<f64>,
    pub(super) claims: Option<Claims>,
    /// Seconds that the token's cookie lives, positive.
    pub(super) cookie: Option<f64>,
}

/// The times in a JSON Web Token (RFC 7519 §4.1), seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Claims {
    pub(super) exp: f64,
    pub(super) iat: Option<f64>,
}

/// How long a token lives, counted from when its request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) lasts: Duration,
    /// Whether nobody says so: it is the configured default.
    pub(super) is_assumed: bool,
}

/// The wall clocks around one token request.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallTimes {
    /// Ours when the request was sent.
    pub(super) sent: SystemTime,
    /// Ours when the answer arrived.
    pub(super) arrived: SystemTime,
    /// The answer's `Date`.
    pub(super) date: Option<SystemTime>,
}

/// The lifetime from when the request was sent. `None` if the token has already expired, by every clock that there is
/// and by more than one.
pub(super) fn lifetime(sources: &Sources, times: &WallTimes, default: Duration) -> Option<Life> {
    let expires_at = sources.expires_at.filter(|_| sources.expires_in.is_none());
    let ends = [expires_at, sources.claims.map(|claims| claims.exp)];
    if ends.into_iter().flatten().any(|end| times.has_passed(end)) {
        return None;
    }
    let said = sources.expires_in.or_else(|| times.left(expires_at?, default));
    let claimed = sources.claims.and_then(|claims| match claims.iat {
        // Both times come from one clock, so a wrong one of ours is harmless.
        Some(iat) => positive(claims.exp - iat),
        None => times.left(claims.exp, default),
    });
    let known = match (said, claimed, sources.claims) {
        (Some(said), Some(claimed), Some(Claims { iat: Some(_), .. })) => Some(said.min(claimed)),
        (Some(said), _, _) => Some(said),
        (None, Some(claimed), _) => Some(claimed),
        (None, None, _) => sources.cookie,
    };
    let (mut seconds, mut is_assumed) = (known.unwrap_or(default.as_secs_f64()), known.is_none());
    // Some endpoints hand out the same token until it expires; then `exp - iat` is more than what is left. Only a
    // clock that both sides share can tell that from a fresh token and a wrong clock.
    if let Some(claims) = sources.claims
        && claims.exp >= SINCE_2001
        && times.agree()
    {
        let left = claims.exp - since_1970(times.sent);
        is_assumed &= left >= seconds;
        seconds = seconds.min(left);
    }
    let lasts =
        Duration::try_from_secs_f64(seconds).map_or(LONGEST, |lasts| lasts.clamp(Duration::from_millis(1), LONGEST));
    Some(Life { lasts, is_assumed })
}

impl WallTimes {
    /// Seconds until `end` from when the request was sent, if it has not passed.
    ///
    /// Where the answer's `Date` and our clock are apart, one of them is wrong, and nobody knows which. Of two lives the shorter is
    /// believed. Where only one of them sees a life it is believed, as nobody issues what has ended; but it is not more than would be
    /// assumed without it.
    fn left(&self, end: f64, default: Duration) -> Option<f64> {
        let ours = positive(end - since_1970(self.sent));
        let Some(date) = self.date.filter(|_| !self.agree()) else { return ours };
        match (ours, positive(end - since_1970(date))) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (one, other) => one.or(other).map(|left| left.min(default.as_secs_f64())),
        }
    }

    /// Whether `end` has passed by both clocks, or by one clock that both sides share. Ours alone may be wrong.
    fn has_passed(&self, end: f64) -> bool {
        let by = |now| end <= since_1970(now);
        end >= SINCE_2001 && by(self.sent) && self.date.is_some_and(|date| self.agree() || by(date))
    }

    fn agree(&self) -> bool {
        self.date.is_some_and(|date| (since_1970(date) - since_1970(self.arrived)).abs() <= AGREEMENT.as_secs_f64())
    }
}

/// Seconds, as a number or as text that is one. Whether they make sense is not asked yet.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

/// What an `expires_in` says: seconds as a number or a numeric string, if positive.
pub(super) fn expires_in(value: &Value) -> Option<f64> {
    positive(number(value)?)
}

/// What an absolute time says, in seconds since 1970: RFC 3339, epoch seconds, or epoch milliseconds.
pub(super) fn expires_at(value: &Value) -> Option<f64> {
    if let Some(number) = number(value) {
        return positive(if number >= MILLISECONDS_FROM { number / 1000.0 } else { number });
    }
    let timestamp: jiff::Timestamp = value.as_str()?.trim().parse().ok()?;
    positive(timestamp.as_duration().as_secs_f64())
}

/// The times in a token, if it is a JSON Web Token that says when it ends. The signature is none of our business:
/// who issued the token may shorten its life.
pub(super) fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    let exp = positive(number(payload.get("exp")?)?)?;
    Some(Claims { exp, iat: payload.get("iat").and_then(number).and_then(positive) })
}

/// How long a cookie lives, in seconds: `Max-Age` goes before `Expires` (RFC 6265 §5.3), and that is a time of the server's clock.
pub(super) fn of_cookie(max_age: Option<i64>, expires: Option<SystemTime>, times: &WallTimes) -> Option<f64> {
    match (max_age, expires) {
        (Some(seconds), _) => positive(seconds as f64),
        (None, Some(at)) => positive(since_1970(at) - since_1970(times.date.unwrap_or(times.arrived))),
        (None, None) => None,
    }
}

fn positive(seconds: f64) -> Option<f64> {
    (seconds > 0.0).then_some(seconds)
}

fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests;
