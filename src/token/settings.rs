//! How a credential lives: the typed, validated form of `[credentials.*.refresh]` and its neighbours.

use std::time::Duration;

/// Everything that the life of one credential needs besides its token requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The credential's name in the configuration: metric label and log field.
    pub name: String,
    /// When to renew.
    pub early: Early,
    /// How long a request may wait when there is no token.
    pub wait: Duration,
    /// Whether readiness waits for it.
    pub required: bool,
    /// Whether a wrong try may lock an account.
    pub lockout: bool,
    /// The most that the gap after useless re-authentication grows to.
    pub gap: Duration,
    /// Whether a refresh token that came is used (RFC 6749 §6).
    pub use_refresh_token: bool,
    /// Whether a refresh token is all there is: the grant `refresh_token`.
    pub lives_by_refresh_token: bool,
    /// How many token requests a time is worth, for the whole fleet; `None` for any number.
    pub budget: Option<Budget>,
    /// Scheme of the header that carries the token, empty for the bare token; `None` if no header does.
    pub scheme: Option<String>,
    /// Whether its tokens are bound to a key (RFC 9449).
    pub is_bound: bool,
}

/// How many token requests are paid for, or allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So many, at least two.
    pub requests: u32,
    /// In so long: from a minute to 366 days. Counted in whole times since the epoch, so that a day is a day of UTC.
    pub per: Duration,
}

/// How long before expiry a token is renewed, before jitter. Never more than half of the lifetime.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Early {
    /// The default: 20 % of the lifetime, at most one hour.
    Default,
    /// A share of the lifetime, between 0 and 1.
    Share(f64),
    /// A fixed time.
    Fixed(Duration),
}
