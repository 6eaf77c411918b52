//! The life of a token: fetched, published, renewed, rejected, replaced.
//!
//! Owns the state of each credential and the only task that changes it, the refresher. The request path holds a
//! [`Reader`] and nothing more: it can read the current token, wait for the first one, and report what the
//! upstream thought of it; it can never fetch. Refuses to hand out a token past its expiry.

mod acceptance;
mod budget;
mod change;
mod entry;
mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gap;
mod in_turn;
mod latch;
#[cfg(test)]
mod models;
mod publish;
mod reader;
mod refresher;
mod remembrance;
mod rotation;
mod schedule;
pub mod settings;
mod shared;
mod status;
mod supervision;
#[cfg(test)]
mod tests;
mod written;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use http::header::InvalidHeaderValue;

use crate::clock::Moment;
use crate::dpop::Binding;
use crate::jose::SigningKey;
use crate::oauth;
use crate::reason::Reason;
use crate::secret::{self, Secret};

pub use change::Figures;
pub use fleet::Stores;
pub use reader::{Pass, Reader, RequestHash, Verdict};
pub use refresher::Refresher;
pub use settings::Settings;
pub use status::Status;

/// One token, as published. Immutable.
#[derive(Debug)]
pub struct AccessToken {
    generation: u64,
    value: Secret,
    /// The credential's own scheme and the value of its header field; `None` where the token goes elsewhere.
    header: Option<(String, HeaderValue)>,
    expires_at: Moment,
    lifetime: Duration,
    /// Whether nobody has said so.
    is_assumed: bool,
    expires_wall: SystemTime,
    binding: Option<Binding>,
}

impl AccessToken {
    /// A token as it came from the endpoint. The lifetime counts from `sent_at`, which was `sent_wall` on the wall.
    fn new(
        generation: u64,
        value: Secret,
        scheme: Option<&str>,
        sent_at: Moment,
        sent_wall: SystemTime,
        lifetime: Duration,
        key: Option<Arc<SigningKey>>,
    ) -> Result<Self, InvalidHeaderValue> {
        let header = scheme.map(|scheme| Ok((scheme.to_owned(), header_value(scheme, &value)?))).transpose()?;
        let expires_wall = sent_wall.checked_add(lifetime).unwrap_or(sent_wall);
        let binding = key.map(|key| Binding::new(key, value.expose()));
        let (expires_at, is_assumed) = (sent_at + lifetime, false);
        Ok(Self { generation, value, header, expires_at, lifetime, is_assumed, expires_wall, binding })
    }

    /// The same, of whose life nobody has said anything, if that is so.
    #[must_use]
    fn assumed(self, is_assumed: bool) -> Self {
        Self { is_assumed, ..self }
    }

    /// The same token in memory of its own.
    fn copied(&self) -> Self {
        let value = self.value.clone();
        let copied = |(scheme, header): &(String, HeaderValue)| {
            (scheme.clone(), header_value(scheme, &value).unwrap_or_else(|_| header.clone()))
        };
        let header = self.header.as_ref().map(copied);
        Self { value, header, binding: self.binding.clone(), ..*self }
    }

    /// Whether it is a copy of `other` as that is now: the same token, with the same life.
    fn is_as_current_as(&self, other: &Self) -> bool {
        (self.generation, self.expires_at) == (other.generation, other.expires_at)
    }

    /// Grows by one with every published token of its credential.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The key that it is bound to, if it is: it must not be sent without a proof by that key (RFC 9449 §7).
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// When it ends, on the clock of its credential.
    pub fn expires_at(&self) -> Moment {
        self.expires_at
    }

    /// The header value `SCHEME TOKEN` (the bare token if `scheme` is empty), marked sensitive. Made once for the
    /// credential's own scheme.
    pub fn header_value(&self, scheme: &str) -> HeaderValue {
        match &self.header {
            Some((own, header)) if own == scheme => header.clone(),
            // The answer was checked for every place where a route puts its token, and schemes with the configuration.
            _ => header_value(scheme, &self.value).unwrap_or_else(|_| HeaderValue::from_static("")),
        }
    }

    /// When its request was sent, on the clock of its credential.
    pub(super) fn sent_at(&self) -> Moment {
        self.expires_at - self.lifetime
    }

    /// From then on.
    pub(super) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Whether its life is the configured default: nobody has said one.
    pub(super) fn is_assumed(&self) -> bool {
        self.is_assumed
    }

    /// The token itself, for places that are no header field of its own.
    pub fn value(&self) -> &Secret {
        &self.value
    }
}

/// Where a credential stands.
#[derive(Clone, Debug)]
pub enum TokenState {
    /// The first token request has not been answered.
    Pending,
    /// There is a token. It may have expired since: ask the [`Reader`].
    Valid(Arc<AccessToken>),
    /// There is none, for a reason.
    Unavailable(Unavailable),
}

/// Why there is no token, and when one may be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// The stable code.
    pub reason: Reason,
    /// One readable line without any secret.
    pub message: String,
    /// How long until the next try; `None` if nothing will be tried until somebody acts (latched).
    pub retry_in: Option<Duration>,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reason, self.message)
    }
}

/// Asks for tokens. The refresher owns one; tests give it a fake.
pub trait Source {
    /// One token request.
    fn fetch(&self, grant: oauth::Grant) -> impl Future<Output = Result<oauth::Issued, oauth::FetchError>>;

    /// The refresh token that was configured as the only credential, as it is now; `None` where the grant is another.
    fn first_refresh_token(&self) -> impl Future<Output = Result<Option<Secret>, oauth::FetchError>> {
        async { Ok(None) }
    }

    /// The refresh token that came with the last answer although that is a failure.
    fn take_successor(&self) -> Option<Secret> {
        None
    }

    /// A token that another instance has brought: it is shown as little as one's own.
    fn heard_of(&self, _token: &Secret) {}

    /// The longest that one token request may take.
    fn deadline(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Gives the last tokens back at the end, where that is wanted; returns how many requests that took, all accepted.
    fn revoke(&self, _tokens: &oauth::LastTokens) -> impl Future<Output = Result<usize, oauth::FetchError>> {
        std::future::ready(Ok(0))
    }

    /// A digest over every byte that identifies this way to get tokens: the configuration of the token request and its
    /// secrets as they are now (RELIABILITY: a latch ends when the bytes of a secret change). `None` while a secret cannot be read.
    fn fingerprint(&self) -> impl Future<Output = Option<[u8; 32]>>;

    /// A digest over what is written of it besides that and may decide how a request ends, or what its answer means. Nothing secret is in
    /// it, nor where a secret is kept.
    fn written(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Goes on where `before` ends, which asked the same server for the same.
    fn go_on_from(&mut self, _before: Self)
    where
        Self: Sized,
    {
    }

    /// The same as [`Source::fingerprint`], for who looks every few seconds whether it has changed: what is costly to read may be a little old.
    fn glance(&self) -> impl Future<Output = Option<[u8; 32]>> {
        self.fingerprint()
    }
}

impl Source for oauth::TokenEndpoint {
    fn take_successor(&self) -> Option<Secret> {
        self.take_successor()
    }

    fn heard_of(&self, token: &Secret) {
        self.heard_of(token);
    }

    async fn fetch(&self, grant: oauth::Grant) -> Result<oauth::Issued, oauth::FetchError> {
        self.fetch(grant).await
    }

    async fn first_refresh_token(&self) -> Result<Option<Secret>, oauth::FetchError> {
        self.first_refresh_token().await
    }

    fn deadline(&self) -> Duration {
        self.deadline()
    }

    async fn revoke(&self, tokens: &oauth::LastTokens) -> Result<usize, oauth::FetchError> {
        match self.revokes_on_shutdown() {
            true => self.revoke(tokens).await,
            false => Ok(0),
        }
    }

    async fn fingerprint(&self) -> Option<[u8; 32]> {
        self.fingerprint().await
    }

    fn written(&self) -> [u8; 32] {
        self.written()
    }

    fn go_on_from(&mut self, before: Self) {
        self.go_on_from(before);
    }

    async fn glance(&self) -> Option<[u8; 32]> {
        secret::glance(self.fingerprint()).await
    }
}

fn header_value(scheme: &str, token: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let separator = if scheme.is_empty() { "" } else { " " };
    secret::header_value(&[scheme, separator, token.expose()])
}
