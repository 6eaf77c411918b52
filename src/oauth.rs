//! Asking a token endpoint for a token: one request, one answer or one classed error.
//!
//! Owns grants (RFC 6749 §4), client authentication (§2.3), the encodings of a token request, the reading of
//! its answer (§5.1) and of every error envelope (§5.2 and the vendors' own). Knows nothing of renewal,
//! retries or publication: that is [`crate::token`]. Redirects are never followed.

pub mod settings;

use std::time::Duration;

use http::StatusCode;

use crate::reason::Reason;
use crate::secret::Secret;

pub use settings::Settings;

/// Which way to ask.
#[derive(Clone, Debug)]
pub enum Grant {
    /// As configured: client credentials, password, or no grant type at all.
    Configured,
    /// With a refresh token (RFC 6749 §6).
    Refresh(Secret),
}

/// A token as the endpoint gave it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token: one legal header value, at most 16 KiB.
    pub access_token: Secret,
    /// How long it lives, counted from when the request was sent. Never zero.
    pub lifetime: Duration,
    /// Replaces the refresh token in use, if one came.
    pub refresh_token: Option<Secret>,
    /// The scope granted (RFC 6749 §5.1), if the answer says.
    pub scope: Option<String>,
}

/// What kind of failure it was, which decides when to try again (DESIGN section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Will pass by itself: connect, TLS, timeout, 408, 425, 429, 5xx, malformed answer.
    Transient,
    /// Some other 4xx: may be a wrong secret, may be a firewall.
    Refused,
    /// Trying again cannot cure it: standard error codes, configured refusals, redirects.
    Permanent,
}

/// A token request that brought no token.
#[derive(Clone, Debug)]
pub struct FetchError {
    /// When to try again.
    pub class: Class,
    /// The stable code.
    pub reason: Reason,
    /// The status of the answer, if there was one.
    pub status: Option<StatusCode>,
    /// What the endpoint asked for in `Retry-After`, as sent (not capped).
    pub retry_after: Option<Duration>,
    /// One readable line: masked, cut, escaped. Holds no secret.
    pub message: String,
}
