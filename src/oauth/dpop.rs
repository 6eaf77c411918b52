//! DPoP at the token endpoint (RFC 9449 §5): whose key signs, and when a refused proof is made anew.
//!
//! Owns the key of a credential: generated once, or read from where it is kept at every token request. An answer that wants a nonce
//! (§8) is neither a refusal nor a failure: it is asked again, once, with what it brought. Refuses a token that is bound to no key.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use http::{HeaderValue, Uri};
use prometheus::IntCounter;
use serde_json::Value;

use super::message;
use super::refuse;
use super::request::Unsendable;
use super::send::{Answer, Body};
use super::settings::{GrantType, ResponseShape, Settings};
use super::{FetchError, Grant};
use crate::dpop::{self, Complaint, Memory, Terms};
use crate::jose::{Algorithm, SigningKey};
use crate::secret::{Secret, SecretSource};
use crate::upstream::Origin;

/// `credentials.*.dpop`: the key that tokens are bound to.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// Made by each process for itself (ES256).
    Generated,
    /// Read again at each token request.
    Given {
        /// Where it is kept: PEM or JWK.
        key: SecretSource,
        /// What to sign with; what is usual for the kind of key if `None`.
        algorithm: Option<Algorithm>,
    },
}

/// Reads a private key to sign proofs with.
///
/// # Errors
/// What is wrong with it, as the end of a sentence. Shows nothing of the key.
pub fn parse_key(text: &str, algorithm: Option<Algorithm>) -> Result<SigningKey, String> {
    let key = SigningKey::parse(text, algorithm).map_err(|error| error.to_string())?;
    // RFC 9449 §4.2: `alg` "MUST NOT be none or an identifier for a symmetric algorithm".
    match key.public_jwk() {
        Some(_) => Ok(key),
        None => Err("is a shared secret, which cannot prove possession; an EC, Ed25519 or RSA key can".to_owned()),
    }
}

/// The DPoP side of one token endpoint. Does nothing where it is not configured.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    current: Mutex<Option<Current>>,
    /// What the server has said, and which server.
    memory: Mutex<Option<(Origin, Arc<Memory>)>>,
    /// Counts requests that were made again.
    pub(super) replays: Option<IntCounter>,
}

/// The key of the last token request.
#[derive(Debug)]
struct Current {
    /// What it was read from; `None` if it was generated.
    text: Option<Secret>,
    key: Arc<SigningKey>,
    /// Whether it has replaced another one and no token was issued to it yet: a refresh token is the other one's.
    is_new: bool,
}

impl Proofs {
    /// The key of the next token request; `None` without DPoP.
    pub(super) async fn key(&self, source: Option<&KeySource>) -> Result<Option<Arc<SigningKey>>, FetchError> {
        let Some(source) = source else { return Ok(None) };
        let (text, algorithm) = match source {
            KeySource::Generated => (None, None),
            KeySource::Given { key, algorithm } => {
                (Some(key.read().await.map_err(|error| refuse::unreadable(&error))?), *algorithm)
            }
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_ref().filter(|current| current.text == text) {
            return Ok(Some(Arc::clone(&current.key)));
        }
        let made = match &text {
            Some(text) => parse_key(text.expose(), algorithm),
            None => SigningKey::generate().map_err(|error| error.to_string()),
        };
        let key = Arc::new(made.map_err(|why| refuse::unusable_key(&format!("the key of dpop {why}")))?);
        let is_new = current.is_some();
        Ok(Some(Arc::clone(&current.insert(Current { text, key, is_new }).key)))
    }

    /// Whether a grant is lost to the current key: the refresh token of a public client is bound to the key that it was issued to (§5).
    /// Where it is all there is, the server has to say so.
    pub(super) fn is_bound_elsewhere(&self, grant: &Grant, settings: &Settings) -> bool {
        let is_a_loss = settings.client.is_public() && settings.grant != GrantType::RefreshToken;
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        is_a_loss && matches!(grant, Grant::Refresh(_)) && current.as_ref().is_some_and(|current| current.is_new)
    }

    /// Notes that a token was issued to the current key.
    pub(super) fn issued(&self) {
        if let Some(current) = self.current.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            current.is_new = false;
        }
    }

    /// The terms of the next proof for the server at `origin`.
    pub(super) fn terms(&self, origin: &Origin) -> Terms {
        self.memory_of(origin).terms()
    }

    /// Remembers what an answer brought. Returns the terms for asking again, if it refuses the proof and says what would be better.
    pub(super) fn hear(&self, origin: &Origin, sent: &Terms, answer: &Answer, shape: &ResponseShape) -> Option<Terms> {
        let memory = self.memory_of(origin);
        memory.learn(&answer.headers);
        let better = memory.correct(sent, complaint(answer, shape)?, &answer.headers, answer.times.arrived);
        if let (Some(_), Some(replays)) = (&better, &self.replays) {
            replays.inc();
        }
        better
    }

    fn memory_of(&self, origin: &Origin) -> Arc<Memory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match &*memory {
            Some((of, memory)) if of == origin => Arc::clone(memory),
            _ => Arc::clone(&memory.insert((origin.clone(), Arc::default())).1),
        }
    }
}

/// The proof of one token request.
pub(super) fn prove(
    key: &SigningKey,
    method: &http::Method,
    (endpoint, origin): (&Uri, &Origin),
    terms: &Terms,
    now: SystemTime,
) -> Result<HeaderValue, Unsendable> {
    let target = dpop::target(origin.scheme().as_str(), origin.authority().as_str(), endpoint.path());
    dpop::prove(key, (method.as_str(), &target), None, terms, now).map_err(|_| Unsendable::Proof)
}

/// What an answer finds wrong with the proof.
fn complaint(answer: &Answer, shape: &ResponseShape) -> Option<Complaint> {
    if !matches!(answer.status.as_u16(), 400 | 401) || answer.is_compressed() {
        return None;
    }
    let Body::Whole(body) = &answer.body else { return None };
    let value: Value = serde_json::from_slice(body).ok()?;
    // RFC 9449 §8 names the member; a vendor's envelope may have it elsewhere.
    let standard = value.get("error").and_then(Value::as_str).and_then(Complaint::from_code);
    standard.or_else(|| message::code(&value, shape).as_deref().and_then(Complaint::from_code))
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::super::settings::ClientAuthentication;
    use super::super::testing::{Scripted, http, settings};
    use super::*;
    use crate::reason::Reason;

    fn pem() -> String {
        rcgen::KeyPair::generate().unwrap().serialize_pem()
    }

    #[tokio::test]
    async fn a_key_is_made_once_or_read_again_at_each_request() {
        let generated = Proofs::default();
        let key =
            async |proofs: &Proofs, source: &KeySource| proofs.key(Some(source)).await.unwrap().unwrap().thumbprint();
        let first = key(&generated, &KeySource::Generated).await;
        assert!(first.is_some() && first == key(&generated, &KeySource::Generated).await);
        assert!(generated.key(None).await.unwrap().is_none());

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, pem()).unwrap();
        let source = KeySource::Given { key: SecretSource::File(path.clone()), algorithm: None };
        let proofs = Proofs::default();
        let first = key(&proofs, &source).await;
        assert_eq!(first, key(&proofs, &source).await);
        std::fs::write(&path, pem()).unwrap();
        assert_ne!(first, key(&proofs, &source).await);
        for bad in ["no key", r#"{"kty":"oct","k":"c2VjcmV0"}"#] {
            std::fs::write(&path, bad).unwrap();
            let error = proofs.key(Some(&source)).await.unwrap_err();
            assert_eq!((error.reason, error.class), (Reason::SecretUnreadable, Class::Transient));
            assert!(error.message.contains("the key of dpop is") && !error.message.contains("c2VjcmV0"), "{error}");
        }
    }

    #[tokio::test]
    async fn only_a_public_clients_refresh_token_is_lost_with_its_key() {
        let given = || KeySource::Given { key: SecretSource::inline(pem()), algorithm: None };
        let (refresh, mut settings) = (Grant::Refresh(Secret::new("r")), settings());
        let proofs = Proofs::default();
        proofs.key(Some(&given())).await.unwrap();
        assert!(!proofs.is_bound_elsewhere(&refresh, &settings), "nobody knows which key it is bound to");
        proofs.key(Some(&given())).await.unwrap();
        assert!(proofs.is_bound_elsewhere(&refresh, &settings));
        assert!(!proofs.is_bound_elsewhere(&Grant::Configured, &settings));
        settings.client =
            ClientAuthentication::Post { id: SecretSource::inline("i"), secret: SecretSource::inline("s") };
        assert!(!proofs.is_bound_elsewhere(&refresh, &settings));
        settings.client = ClientAuthentication::Anonymous;
        proofs.issued();
        assert!(!proofs.is_bound_elsewhere(&refresh, &settings));
    }

    #[tokio::test]
    async fn a_server_that_wants_one_nonce_after_the_other_is_asked_twice() {
        let body = r#"{"error":"use_dpop_nonce"}"#;
        let scripted = Scripted::serve(http("400 Bad", "DPoP-Nonce: n1\r\n", body)).await;
        let error = scripted.fetch(|s| s.dpop = Some(KeySource::Generated)).await.unwrap_err();
        assert_eq!((error.reason, error.class), (Reason::TokenProofRefused, Class::Transient));
        let requests = scripted.requests();
        assert_eq!(requests.len(), 2);
        assert!(requests.iter().all(|request| request.matches("\r\ndpop: ").count() == 1), "{requests:?}");
    }

    #[tokio::test]
    async fn the_refresh_token_beside_a_token_that_is_not_used_is_not_lost() {
        let body = r#"{"access_token":"a","token_type":"Bearer","refresh_token":"r2"}"#;
        let scripted = Scripted::serve(http("200 OK", "", body)).await;
        let endpoint = scripted.endpoint(|s| s.dpop = Some(KeySource::Generated));
        let error = endpoint.fetch(Grant::Configured).await.unwrap_err();
        assert_eq!((error.reason, error.class), (Reason::TokenNotBound, Class::Refused));
        assert_eq!(endpoint.take_successor().unwrap().expose(), "r2");
        assert!(endpoint.take_successor().is_none());
    }
}
