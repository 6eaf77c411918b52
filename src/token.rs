//! The life of a token: fetched, published, renewed, rejected, replaced.
//!
//! Owns the state of each credential and the only task that changes it, the refresher. The request path holds a
//! [`Reader`] and nothing more: it can read the current token, wait for the first one, and report what the
//! upstream thought of it; it can never fetch. Refuses to hand out a token past its expiry.

pub mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

use crate::clock::{Clock, Moment};
use crate::metrics::CredentialMetrics;
use crate::oauth;
use crate::reason::Reason;
use crate::secret::Secret;
use crate::shutdown::Shutdown;

pub use settings::Settings;

/// One token, as published. Immutable.
#[derive(Debug)]
pub struct AccessToken {
    generation: u64,
    value: Secret,
    header: HeaderValue,
    scheme: String,
    sent_at: Moment,
    expires_at: Moment,
    expires_wall: SystemTime,
}

impl AccessToken {
    /// Grows by one with every published token of its credential.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When it ends, on the clock of its credential.
    pub fn expires_at(&self) -> Moment {
        self.expires_at
    }

    /// The header value `SCHEME TOKEN` (the bare token if `scheme` is empty), marked sensitive. Made once for the
    /// credential's own scheme.
    pub fn header_value(&self, scheme: &str) -> HeaderValue {
        todo!()
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
#[derive(Clone, Debug)]
pub struct Unavailable {
    /// The stable code.
    pub reason: Reason,
    /// One readable line without any secret.
    pub message: String,
    /// How long until the next try; `None` if nothing will be tried until somebody acts (latched).
    pub retry_in: Option<Duration>,
}

/// Asks for tokens. The refresher owns one; tests give it a fake.
pub trait Source {
    /// One token request.
    fn fetch(&self, grant: oauth::Grant) -> impl Future<Output = Result<oauth::Issued, oauth::FetchError>>;

    /// A digest over every byte that identifies this way to get tokens: the configuration of the token request and its
    /// secrets as they are now (RELIABILITY: a latch ends when the bytes of a secret change). `None` while a secret cannot be read.
    fn fingerprint(&self) -> impl Future<Output = Option<[u8; 32]>>;
}

/// The write half: the background task of one credential, and the only owner of its state.
#[derive(Debug)]
pub struct Refresher<S> {
    source: S,
}

impl<S: Source> Refresher<S> {
    /// A credential that has not asked yet, and its read half. `state_directory` is where a latch survives a restart.
    pub fn new(
        settings: Settings,
        source: S,
        clock: Clock,
        metrics: CredentialMetrics,
        state_directory: Option<PathBuf>,
    ) -> (Self, Reader) {
        todo!()
    }

    /// Fetches, publishes and renews until shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        todo!()
    }
}

/// What the status page, `/readyz` and `retry` may know of a credential: nothing secret.
#[derive(Clone, Debug)]
pub struct Status {
    /// The credential's name.
    pub name: String,
    /// Whether readiness waits for it.
    pub required: bool,
    /// Whether a token can be sent now.
    pub usable: bool,
    /// Whether the first fetch has settled, either way.
    pub settled: bool,
    /// Whether nothing is tried until somebody acts.
    pub latched: bool,
    /// The generation of the current token; 0 without one.
    pub generation: u64,
    /// Time left of the current token.
    pub expires_in: Option<Duration>,
    /// Time until the next token request that is planned.
    pub next_fetch_in: Option<Duration>,
    /// Time since the last token was issued.
    pub last_success_ago: Option<Duration>,
    /// The last failure since the last success.
    pub last_error: Option<Unavailable>,
}

/// The read half: what the request path knows of a credential. Cheap to clone, shared by all workers.
#[derive(Clone, Debug)]
pub struct Reader {}

/// What to do with an answer that rejected the token.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Send the request again with this token.
    Replay(Arc<AccessToken>),
    /// The original answer goes to the caller.
    Pass(Pass),
}

/// Why a rejection is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The gap after a useless re-authentication is open.
    Gap,
    /// No other token could be had.
    Unavailable,
}

/// Tells requests apart in the gap's memory: a hash of method and path (with query left out).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestHash(pub u64);

impl Reader {
    /// The credential's name.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// The current token if it has not expired. Wait-free. Meeting an expired one wakes the refresher.
    pub fn current(&self) -> Option<Arc<AccessToken>> {
        todo!()
    }

    /// The current token, or the next one if it comes within the credential's `refresh.wait`.
    ///
    /// # Errors
    /// [`Unavailable`] at once if the credential is latched, else when the wait is over.
    pub async fn usable(&self) -> Result<Arc<AccessToken>, Unavailable> {
        todo!()
    }

    /// Whether this token may still be sent: it has not expired.
    pub fn is_fresh(&self, token: &AccessToken) -> bool {
        todo!()
    }

    /// Decides what follows on an answer that rejected `sent` (DESIGN section 5, points 2 to 4); waits for the forced
    /// fetch if there is one. All callers that wait join one fetch; a caller that goes away cancels nothing.
    pub async fn rejected(&self, sent: &AccessToken, request: RequestHash) -> Verdict {
        todo!()
    }

    /// Asks for a new token without waiting for it: for a rejection that cannot be replayed.
    pub fn renew_after_rejection(&self, sent: &AccessToken, request: RequestHash) {
        todo!()
    }

    /// Where the credential stands, for people.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// Ends a latch or a wait: the refresher asks again at once. Returns whether there was anything to end.
    pub fn retry(&self) -> bool {
        todo!()
    }

    /// Reports that an answer did not reject `sent`. Costs one atomic load while no gap is open.
    pub fn satisfied(&self, sent: &AccessToken, request: RequestHash) {
        todo!()
    }

    /// Reports how a replay with `sent` ended: rejected again opens (or widens) the gap, accepted closes it.
    pub fn replayed(&self, sent: &AccessToken, rejected_again: bool) {
        todo!()
    }
}
