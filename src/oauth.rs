//! Asking a token endpoint for a token: one login, one token or one classed error.
//!
//! Most logins are one request; some have steps before it, and a refresh or a revocation of their own. Owns grants (RFC 6749 §4),
//! client authentication (§2.3), the encodings of a token request, the reading of its answer (§5.1) and of every error envelope
//! (§5.2 and the vendors' own). Knows nothing of renewal, retries or publication: that is [`crate::token`]. Redirects are never
//! followed.

mod answer;
mod assertion;
mod discovery;
pub mod dpop;
mod encode;
mod fingerprint;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod jar;
mod lifetime;
mod likely;
mod mask;
mod material;
mod message;
mod observe;
mod opaque;
mod refuse;
mod request;
mod revoke;
mod send;
mod session;
pub mod settings;
#[cfg(any(test, feature = "fuzzing"))]
mod smallest;
mod steps;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{StatusCode, Uri};

use crate::clock::Clock;
use crate::dpop::Terms;
use crate::jose::SigningKey;
use crate::reason::Reason;
use crate::secret::Secret;
use crate::upstream::{Connector, Origin, Ways};
use discovery::{Discovery, Means, Metadata, takes_body_alone};
use mask::Mask;
use material::Material;
use send::{Answer, Body, Deadline, NoAnswer};
use session::Session;

pub use observe::{Content, Seen};
pub use revoke::LastTokens;
pub use settings::Settings;
use settings::{ClientAuthentication, Endpoint, GrantProof};

/// Which way to ask.
#[derive(Clone, Debug)]
pub enum Grant {
    /// As configured: client credentials, password, or no grant type at all.
    Configured,
    /// With a refresh token (RFC 6749 §6).
    Refresh(Secret),
}

impl Grant {
    fn refresh_token(&self) -> Option<&Secret> {
        match self {
            Self::Refresh(token) => Some(token),
            Self::Configured => None,
        }
    }
}

/// A token as the endpoint gave it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token: one legal header value, at most 16 KiB.
    pub access_token: Secret,
    /// How long it lives, counted from when the request was sent. Never zero.
    pub lifetime: Duration,
    /// Whether nobody has said so: it is the configured default.
    pub is_assumed: bool,
    /// Replaces the refresh token in use, if one came.
    pub refresh_token: Option<Secret>,
    /// The scope granted (RFC 6749 §5.1), if the answer says.
    pub scope: Option<String>,
    /// The key that the token is bound to (RFC 9449 §5).
    pub key: Option<Arc<SigningKey>>,
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
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
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

/// An endpoint and the way there.
struct Located {
    uri: Uri,
    connector: Connector,
    /// Whether the issuer says that id and secret are taken there in the body alone.
    takes_body_alone: bool,
}

impl Located {
    /// Sends id and secret as the server takes them, where nobody has written how.
    fn adapt(&self, settings: &Settings, material: &mut Material) {
        if settings.adapts && self.takes_body_alone {
            material.client.post();
        }
    }
}

/// How many tokens issued before are looked for in error texts: two generations of access and refresh token.
const REMEMBERED: usize = 4;

/// One way to get tokens: a token endpoint and what to send there. Keeps no connection.
#[derive(Debug)]
pub struct TokenEndpoint {
    settings: Arc<Settings>,
    ways: Ways,
    clock: Clock,
    discovery: Option<Discovery>,
    /// The latest tokens, so that a server that echoes one cannot put it into a log.
    issued: Mutex<Vec<Secret>>,
    proofs: dpop::Proofs,
    /// The refresh token of the last answer, if it had one and no usable token.
    successor: Mutex<Option<Secret>>,
    /// What the last login that brought a token brought besides.
    session: Mutex<Arc<Session>>,
}

impl TokenEndpoint {
    /// Asks as `settings` say, over connections of `ways`. `clock` is asked for the wall clock alone: for answers that speak in dates,
    /// and for assertions, which do too.
    pub fn new(settings: Arc<Settings>, ways: Ways, clock: Clock) -> Self {
        let discovery = match &settings.endpoint {
            Endpoint::Given(_) => None,
            Endpoint::Issuer { identifier, allow_plain_http, .. } => {
                Some(Discovery::new(identifier.clone(), *allow_plain_http))
            }
        };
        Self {
            settings,
            ways,
            clock,
            discovery,
            issued: Mutex::default(),
            proofs: dpop::Proofs::default(),
            successor: Mutex::default(),
            session: Mutex::default(),
        }
    }

    /// Counts the requests that were made again because the server wanted a nonce in their proof (RFC 9449 §8).
    pub fn counting_nonce_replays(mut self, replays: prometheus::IntCounter) -> Self {
        self.proofs.replays = Some(replays);
        self
    }

    /// How it speaks TLS; `None` where it does not.
    pub fn tls(&self) -> Option<&crate::tls::Client> {
        let mut endpoints = std::iter::once(self.settings.endpoint.written()).chain(self.settings.login.endpoints());
        endpoints.any(|uri| uri.scheme() == Some(&http::uri::Scheme::HTTPS)).then_some(self.ways.tls())
    }

    /// The longest that [`TokenEndpoint::fetch`] takes.
    pub fn deadline(&self) -> std::time::Duration {
        // A server may want another proof.
        self.settings.timeout.saturating_mul(if self.settings.dpop.is_some() { 2 } else { 1 })
    }

    /// Sends one token request, with every secret read as it is now, and reads the answer. Takes at most
    /// `settings.timeout`, and as long again if the server wants another proof (RFC 9449 §8), for which it is asked a second time.
    /// Dropping the future closes the connection.
    ///
    /// # Errors
    /// [`FetchError`], classed. A secret that cannot be read or sent is [`Reason::SecretUnreadable`], and nothing was sent.
    pub async fn fetch(&self, grant: Grant) -> Result<Issued, FetchError> {
        let settings = &*self.settings;
        let key = self.proofs.key(settings.dpop.as_ref()).await?;
        if self.proofs.is_bound_elsewhere(&grant, settings) {
            return Err(refuse::bound_elsewhere());
        }
        let deadline = Deadline::after(settings.timeout);
        let mut material = Material::read(settings).await.map_err(|error| refuse::unreadable(&error))?;
        let mut session = self.session_for(&grant, &mut material, deadline).await?;
        material.complete(&session, &grant).map_err(|missing| refuse::unsendable(&missing))?;
        let located = self.located(&grant, deadline).await.map_err(|failure| refuse::unanswered(&failure))?;
        located.adapt(settings, &mut material);
        let result = self.ask_and_prove(&located, (&material, &mut session), &grant, key, deadline).await;
        match (&result, &self.discovery) {
            (Ok(issued), _) => {
                self.remember([Some(&issued.access_token), issued.refresh_token.as_ref()].into_iter().flatten());
                *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(session);
            }
            (Err(_), Some(discovery)) => discovery.doubt(self.clock.now()),
            (Err(_), None) => {}
        }
        result
    }

    /// Asks, and once more if the answer says what the proof by `key` lacks.
    async fn ask_and_prove(
        &self,
        located: &Located,
        (material, session): (&Material, &mut Session),
        grant: &Grant,
        key: Option<Arc<SigningKey>>,
        deadline: Deadline,
    ) -> Result<Issued, FetchError> {
        let terms = self.proofs.terms(located.connector.origin());
        let proof = key.as_deref().map(|key| (key, terms));
        let (mut answer, better) = self.ask(located, (material, session), grant, proof, deadline).await?;
        if let (Some(key), Some(better)) = (key.as_deref(), better) {
            let (again, proof) = (Deadline::after(self.settings.timeout), Some((key, better)));
            (answer, _) = self.ask(located, (material, session), grant, proof, again).await?;
        }
        if self.settings.login.keeps_cookies(&self.settings.response) {
            let place = (&located.uri, located.connector.origin());
            session.jar.take_up(&answer.headers, place, answer.times.arrived);
        }
        let issued = self.judge(&answer, material, session, grant)?;
        self.proofs.issued();
        Ok(Issued { key, ..issued })
    }

    /// One exchange, with a proof if there is a key. Returns the terms for another proof too, if the answer says that one is wanted.
    async fn ask(
        &self,
        located: &Located,
        (material, session): (&Material, &Session),
        grant: &Grant,
        proof: Option<(&SigningKey, Terms)>,
        deadline: Deadline,
    ) -> Result<(Answer, Option<Terms>), FetchError> {
        let settings = &*self.settings;
        let place = (&located.uri, located.connector.origin());
        let mut request = request::build(settings, place, material, session, grant, self.clock.wall())
            .map_err(|error| refuse::unsendable(&error))?;
        if let Some((key, terms)) = &proof {
            let proof = dpop::prove(key, request.method(), place, terms, self.clock.wall());
            request.headers_mut().insert(&crate::dpop::FIELD, proof.map_err(|error| refuse::unsendable(&error))?);
        }
        let answer = send::exchange(&located.connector, request, deadline, &self.clock)
            .await
            .map_err(|failure| refuse::unanswered(&failure))?;
        observe::note(&answer, &located.uri, settings, || self.mask(material, session, grant.refresh_token()));
        let better = proof.and_then(|(_, terms)| self.proofs.hear(place.1, &terms, &answer, &settings.response));
        Ok((answer, better))
    }

    /// The refresh token that was configured as the only credential, as it is now; `None` where the grant is another.
    ///
    /// # Errors
    /// [`FetchError`] if it cannot be read.
    pub async fn first_refresh_token(&self) -> Result<Option<Secret>, FetchError> {
        match &self.settings.proof {
            GrantProof::RefreshToken(source) => {
                source.read().await.map(Some).map_err(|error| refuse::unreadable(&error))
            }
            _ => Ok(None),
        }
    }

    /// A token of this credential that another instance has brought: no error text shows it, as if it had been asked for here.
    pub fn heard_of(&self, token: &Secret) {
        self.remember([token]);
    }

    /// The refresh token that came with the last answer although that is a failure: the one before it may have ended with it.
    pub fn take_successor(&self) -> Option<Secret> {
        self.successor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was brought before the token request: by the steps, or for a refresh by the login that it goes on with.
    async fn session_for(
        &self,
        grant: &Grant,
        material: &mut Material,
        deadline: Deadline,
    ) -> Result<Session, FetchError> {
        let kept = || Session::clone(&self.session.lock().unwrap_or_else(PoisonError::into_inner));
        match grant {
            Grant::Refresh(_) if material.may_refresh_with(&kept()) => Ok(kept()),
            Grant::Refresh(_) | Grant::Configured => self.sign_in(material, deadline).await,
        }
    }

    /// A digest over everything that identifies this way to get tokens: endpoint, the proxy on the way, method, field
    /// names and values, and every byte of its secrets as they are now. `None` while a secret cannot be read.
    pub async fn fingerprint(&self) -> Option<[u8; 32]> {
        let material = Material::read(&self.settings).await.ok()?;
        let proxy = match self.ways.proxy() {
            Some(proxy) => Some(proxy.source().read().await.ok()?),
            None => None,
        };
        let identity = self.ways.tls().settings().identity.is_some().then(|| self.ways.tls().files_print());
        Some(material.fingerprint(&self.settings, proxy.as_ref(), identity))
    }

    /// Goes on where `before` ends, which asked the same server for the same: what that knew of tokens, logins, keys and nonces stays known.
    pub fn go_on_from(&mut self, before: Self) {
        let Self { discovery, issued, proofs, successor, session, .. } = before;
        (self.discovery, self.proofs) = (discovery, proofs);
        (self.issued, self.successor, self.session) = (issued, successor, session);
    }

    /// A digest over what is written of it besides and may decide how a token request ends, or what its answer means.
    pub fn written(&self) -> [u8; 32] {
        fingerprint::written(&self.settings, self.ways.tls().settings())
    }

    /// Where a token request goes, as far as is known now.
    async fn located(&self, grant: &Grant, deadline: Deadline) -> Result<Located, NoAnswer> {
        let refresh = self.settings.login.refresh.as_ref().filter(|_| matches!(grant, Grant::Refresh(_)));
        let own = refresh.and_then(|refresh| refresh.shape.endpoint.as_ref());
        let metadata = self.metadata(own, deadline).await?;
        let uri = match (own, &metadata) {
            (Some(own), _) => own,
            (None, None) => self.settings.endpoint.written(),
            (None, Some(metadata)) => {
                let alias = metadata.mtls_token_endpoint.as_ref().filter(|_| self.has_certificate());
                alias.unwrap_or(&metadata.token_endpoint)
            }
        };
        let takes_body_alone = takes_body_alone(metadata.as_ref().and_then(|metadata| metadata.methods.as_ref()));
        Ok(Located { uri: uri.clone(), connector: self.connector_to(uri)?, takes_body_alone })
    }

    /// What the issuer says, if there is one and it is needed: for an endpoint that is not `written`, or to know how to ask there.
    async fn metadata(&self, written: Option<&Uri>, deadline: Deadline) -> Result<Option<Arc<Metadata>>, NoAnswer> {
        match &self.discovery {
            Some(discovery) if written.is_none() || self.settings.adapts => {
                let means = Means { ways: &self.ways, clock: &self.clock, deadline };
                discovery.metadata(means).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether the client proves itself by a certificate.
    fn has_certificate(&self) -> bool {
        matches!(self.settings.client, ClientAuthentication::Certificate { .. })
    }

    fn connector_to(&self, uri: &Uri) -> Result<Connector, NoAnswer> {
        let origin = Origin::of(uri).map_err(|error| NoAnswer::new(Reason::TokenUnreachable, error.to_string()))?;
        self.ways.to(&origin).map_err(|error| NoAnswer::new(Reason::TokenTls, error.to_string()))
    }

    fn mask(&self, material: &Material, session: &Session, refresh: Option<&Secret>) -> Mask {
        let mut tokens = self.issued.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokens.extend(refresh.cloned());
        tokens.extend(session.secrets().cloned());
        let mut mask = Mask::new(material, &tokens);
        session.jar.values().for_each(|value| mask.doubt(value));
        mask
    }

    /// What an answer means. A refresh token beside what cannot be used is kept for whoever lives by it; a refusal that a wrong clock of
    /// ours explains is none for good.
    fn judge(
        &self,
        answer: &Answer,
        material: &Material,
        session: &Session,
        grant: &Grant,
    ) -> Result<Issued, FetchError> {
        let judged = self.read(answer, material, session, grant);
        if judged.is_err()
            && answer.status.is_success()
            && let Body::Whole(body) = &answer.body
        {
            let stray = answer::stray_refresh_token(body, &answer.headers, &self.settings);
            *self.successor.lock().unwrap_or_else(PoisonError::into_inner) = stray;
        }
        judged.map_err(|error| if material.signs() { refuse::by_clock(error, &answer.times) } else { error })
    }

    fn read(
        &self,
        answer: &Answer,
        material: &Material,
        session: &Session,
        grant: &Grant,
    ) -> Result<Issued, FetchError> {
        let settings = &*self.settings;
        let mask = || self.mask(material, session, grant.refresh_token());
        let expected = &settings.response.expect_status;
        if !steps::is_expected(answer, expected) {
            return Err(refuse::unexpected(answer, expected, settings, &mask()));
        }
        let body = match &answer.body {
            Body::Whole(body) => body.as_slice(),
            // What is not in the body does not need it.
            Body::TooLong | Body::Cut(_) if settings.response.elsewhere.is_some() => &[],
            Body::TooLong | Body::Cut(_) => return Err(refuse::unread(answer)),
        };
        let read = if answer.is_compressed() && settings.response.elsewhere.is_none() {
            Err(answer::Defect::NotUnderstood("it is compressed, which was not asked for".to_owned()))
        } else {
            answer::read(body, &answer.headers, settings, &answer.times)
        };
        read.map_err(|defect| refuse::without_token(defect, answer, settings, &mask()))
    }

    fn remember<'a>(&self, tokens: impl IntoIterator<Item = &'a Secret>) {
        let mut remembered = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        for token in tokens {
            if !remembered.contains(token) {
                remembered.push(token.clone());
            }
        }
        let surplus = remembered.len().saturating_sub(REMEMBERED);
        remembered.drain(..surplus);
    }
}
