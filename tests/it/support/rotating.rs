//! A token endpoint whose refresh tokens work once.
//!
//! Owns what such a server knows: the token that counts, those that were used, and whether one came twice, after which a strict one
//! ends the grant (RFC 9700 §4.14.2).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;

use super::token_endpoint::{Reply, TokenEndpoint, TokenRequest};
use super::tokens::Tokens;

/// The first one, which somebody has configured.
pub(crate) const FIRST: &str = "refresh-canary-0";

/// The server; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Rotating(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    current: String,
    /// The one before, which a server that keeps the last takes until its successor was used.
    last: Option<String>,
    keeps_last: bool,
    number: u32,
    used: HashSet<String>,
    counts: Counts,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Refresh tokens that were taken and replaced.
    pub(crate) uses: usize,
    /// Those that came again, whether they were taken or not.
    pub(crate) reuses: usize,
    /// Logins by a password, each the beginning of another grant.
    pub(crate) logins: usize,
    /// Whether the grant was ended for a reuse.
    pub(crate) is_revoked: bool,
}

impl Rotating {
    /// Ends the grant when a token comes twice.
    pub(crate) fn strict() -> Self {
        let server = Self::default();
        server.state().current = FIRST.to_owned();
        server
    }

    /// Takes the last token again until its successor was used.
    pub(crate) fn keeping_last() -> Self {
        let server = Self::strict();
        server.state().keeps_last = true;
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.counts().is_revoked
    }

    /// Somebody authorises the client again, with this token.
    pub(crate) fn authorise_anew(&self, token: &str) {
        let mut state = self.state();
        (state.counts.is_revoked, state.last) = (false, None);
        state.used.clear();
        state.current = token.to_owned();
    }

    /// How this server answers every request.
    pub(crate) fn reply(&self, endpoint: &TokenEndpoint) -> Reply {
        let server = self.clone();
        endpoint.canaries().add("refresh-canary-");
        Reply::custom(move |request, tokens| server.answer(request, tokens))
    }

    pub(crate) fn answer(&self, request: &TokenRequest, tokens: &Tokens) -> Reply {
        let mut state = self.state();
        match request.field("grant_type").as_deref() {
            Some("password") => {
                state.counts.logins += 1;
                (state.counts.is_revoked, state.last) = (false, None);
                state.used.clear();
            }
            Some("refresh_token") => {
                let sent = request.field("refresh_token").unwrap_or_default();
                if state.used.contains(&sent) {
                    state.counts.reuses += 1;
                    let is_taken = state.keeps_last && state.last.as_ref() == Some(&sent);
                    state.counts.is_revoked |= !is_taken;
                } else if sent != state.current {
                    return refused();
                } else {
                    state.counts.uses += 1;
                    state.used.insert(sent.clone());
                    state.last = Some(sent);
                }
                if state.counts.is_revoked {
                    return refused();
                }
            }
            other => panic!("grant_type {other:?}"),
        }
        state.number += 1;
        state.current = format!("refresh-canary-{}", state.number);
        let (token, lifetime) = (tokens.issue(), tokens.lifetime());
        let answer = json!({ "access_token": token, "expires_in": lifetime, "refresh_token": state.current });
        Reply::json(200, answer.to_string())
    }
}

fn refused() -> Reply {
    Reply::json(400, r#"{"error":"invalid_grant","error_description":"token was used or revoked"}"#)
}
