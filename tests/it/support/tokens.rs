//! What an authorization server knows: which tokens it issued, until when they live, which are revoked.
//!
//! Shared by the scripted token endpoint, which issues, and the scripted upstream, which checks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::canaries::Canaries;
use super::now;

/// What resource servers allow for clocks, and a busy machine takes to deliver a request: a token that comes later
/// than this after its end was sent when it was over.
const LEEWAY: Duration = Duration::from_millis(700);

/// The tokens of one test; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    known: Arc<Mutex<Vec<Known>>>,
    lifetime: Arc<Mutex<u64>>,
    canaries: Canaries,
}

#[derive(Debug)]
struct Known {
    value: String,
    ends: Instant,
    revoked: bool,
}

/// What the upstream thinks of the token that it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No token came.
    Missing,
    /// Issued, not over, not revoked.
    Live,
    /// Issued and over.
    Expired,
    /// Issued and taken back.
    Revoked,
    /// Never issued.
    Unknown,
}

impl Tokens {
    /// Tokens that live `lifetime` seconds.
    pub(crate) fn new(lifetime: u64) -> Self {
        Self { known: Arc::default(), lifetime: Arc::new(Mutex::new(lifetime)), canaries: Canaries::default() }
    }

    /// Every secret of this test.
    pub(crate) fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    /// How long new tokens live, in seconds.
    pub(crate) fn lifetime(&self) -> u64 {
        *self.lifetime.lock().unwrap()
    }

    pub(crate) fn set_lifetime(&self, seconds: u64) {
        *self.lifetime.lock().unwrap() = seconds;
    }

    /// Issues a new opaque token.
    pub(crate) fn issue(&self) -> String {
        let number = self.known.lock().unwrap().len() + 1;
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
        let token = format!("tok{number}.{random}");
        self.register(&token);
        token
    }

    /// Makes a token live that somebody else made.
    pub(crate) fn register(&self, token: &str) {
        self.canaries.add(token);
        let ends = now() + Duration::from_secs(self.lifetime());
        self.known.lock().unwrap().push(Known { value: token.to_owned(), ends, revoked: false });
    }

    /// Takes back every token issued so far.
    pub(crate) fn revoke_all(&self) {
        for known in self.known.lock().unwrap().iter_mut() {
            known.revoked = true;
        }
    }

    /// Takes back the token that was issued last.
    #[allow(dead_code, reason = "the scenarios of tests/reliability alone need it")]
    pub(crate) fn revoke_last(&self) {
        if let Some(known) = self.known.lock().unwrap().last_mut() {
            known.revoked = true;
        }
    }

    /// How many were issued so far.
    pub(crate) fn count(&self) -> usize {
        self.known.lock().unwrap().len()
    }

    /// Every token issued so far.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.known.lock().unwrap().iter().map(|known| known.value.clone()).collect()
    }

    /// Looks at the last life of this token: one that was handed out twice lives as the second time says.
    pub(crate) fn standing(&self, token: &str) -> Standing {
        let known = self.known.lock().unwrap();
        match known.iter().rev().find(|known| known.value == token) {
            None => Standing::Unknown,
            Some(known) if known.revoked => Standing::Revoked,
            Some(known) if known.ends + LEEWAY < now() => Standing::Expired,
            Some(_) => Standing::Live,
        }
    }
}
