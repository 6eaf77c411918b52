//! What most likely cures a token request that failed, in one or two lines.
//!
//! Owns the guessing, as pure functions over what is known: the configuration, the failure with the server's own words (masked long
//! before), the answer. Tries nothing: every try may count against an account. The first rule that fits speaks, the sharpest first.

mod answer;
mod way;
mod words;

use http::Uri;

use crate::oauth::settings::{ClientAuthentication, Endpoint, GrantType, Settings};
use crate::oauth::{FetchError, Seen};
use crate::reason::Reason;
use crate::upstream::Origin;

/// A clock that is further away is worth a word.
pub(super) const SKEW: i64 = 30;

/// All that is known of a failure.
pub(super) struct Case<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) lockout: bool,
    pub(super) has_proxy: bool,
    pub(super) error: &'a FetchError,
    pub(super) seen: Option<&'a Seen>,
    pub(super) endpoint: &'a Uri,
}

/// The likeliest cures, the likeliest first; at most two.
pub(super) fn cures(case: &Case<'_>) -> Vec<String> {
    let mut found = match case.error.status {
        Some(status) if case.error.reason != Reason::TokenProxyRefused => answer::cures(case, status),
        _ => way::cures(case),
    };
    found.truncate(2);
    found
}

impl Case<'_> {
    /// The failure's line in lower case.
    fn said(&self) -> String {
        self.error.message.to_lowercase()
    }

    fn table(&self) -> String {
        format!("[credentials.{}]", self.name)
    }

    fn host(&self) -> &str {
        self.endpoint.host().unwrap_or_default()
    }

    fn is_http(&self) -> bool {
        self.endpoint.scheme_str() == Some("http")
    }

    fn signs(&self) -> bool {
        matches!(self.settings.client, ClientAuthentication::Jwt(_)) || self.settings.grant == GrantType::JwtBearer
    }

    /// What to say of a clock that is wrong, if it is.
    fn clock(&self) -> Option<String> {
        let ahead = self.seen?.ahead?;
        skew(ahead).map(|skew| format!("set this machine's clock: it is {skew} the server's"))
    }
}

/// How far a clock is off, if that is worth a word.
pub(super) fn skew(ahead: i64) -> Option<String> {
    let seconds = ahead.unsigned_abs();
    let time = humantime::format_duration(std::time::Duration::from_secs(seconds));
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    (seconds >= SKEW.unsigned_abs()).then(|| format!("{time} {side}"))
}

fn list<const N: usize>(lines: [&str; N]) -> Vec<String> {
    lines.map(str::to_owned).into()
}

fn key_of(case: &Case<'_>) -> &'static str {
    match case.settings.endpoint {
        Endpoint::Given(_) => "token_endpoint",
        Endpoint::Issuer { .. } => "issuer",
    }
}

fn needs_proxy(case: &Case<'_>) -> String {
    if Origin::of(case.endpoint).is_ok_and(|origin| origin.is_loopback()) {
        format!("is the server on this machine running, and in this container? {}", case.host())
    } else if case.has_proxy {
        format!("it was tried through a proxy: proxy = \"none\" in {} goes without", case.table())
    } else {
        format!("where the way out is a proxy alone: proxy = \"http://PROXY:PORT\" in {}, or HTTPS_PROXY", case.table())
    }
}

#[cfg(test)]
mod tests;
