//! Assertions: JWTs that prove who a client is, or for whom a token is wanted (RFC 7521, RFC 7523).
//!
//! Owns their claims. Each token request gets one of its own, with a fresh `jti`, or the one that stands in a file just now (a projected
//! service account token, a workload identity, a SPIFFE JWT-SVID). Times are those of the wall clock, which the server compares with its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};

use super::fingerprint::Fingerprint;
use super::settings::{Assertion, AssertionKey, Signer};
use crate::jose::{Algorithm, KeyError, SigningKey, base64url, certificate_thumbprints};
use crate::secret::{Secret, SecretError};

/// What an assertion is made of, with every secret read as it is now.
#[derive(Debug)]
pub(super) enum AssertionMaterial {
    Given(Secret),
    Signed(Box<SignerMaterial>),
}

#[derive(Debug)]
pub(super) struct SignerMaterial {
    key: Secret,
    is_shared: bool,
    certificate: Option<Secret>,
    issuer: Option<Secret>,
    subject: Option<Secret>,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
    audience: Option<String>,
    lifetime: Duration,
    claims: Map<String, Value>,
}

/// Who an assertion is for and by, where its own settings do not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual<'a> {
    /// The token endpoint.
    pub(super) audience: &'a str,
    /// The client's id, for `iss`.
    pub(super) issuer: Option<&'a str>,
    /// For `sub`: the client's id where a client proves itself, nobody for a grant.
    pub(super) subject: Option<&'a str>,
    pub(super) now: SystemTime,
}

impl AssertionMaterial {
    /// Reads every secret; those that no text may show are added to `guarded`.
    pub(super) async fn read(assertion: &Assertion, guarded: &mut Vec<Secret>) -> Result<Self, SecretError> {
        let signer = match assertion {
            Assertion::Given(source) => {
                let token = source.read().await?;
                guarded.push(token.clone());
                return Ok(Self::Given(token));
            }
            Assertion::Signed(signer) => &**signer,
        };
        let Signer { key, algorithm, key_id, certificate, issuer, subject, audience, lifetime, claims } = signer;
        let (key, is_shared) = match key {
            AssertionKey::Private(source) => (source.read().await?, false),
            AssertionKey::Shared(source) => (source.read().await?, true),
        };
        guarded.push(key.clone());
        let mut optional = Vec::new();
        for source in [certificate, issuer, subject] {
            optional.push(match source {
                Some(source) => Some(source.read().await?),
                None => None,
            });
        }
        let mut optional = optional.into_iter();
        Ok(Self::Signed(Box::new(SignerMaterial {
            key,
            is_shared,
            certificate: optional.next().flatten(),
            issuer: optional.next().flatten(),
            subject: optional.next().flatten(),
            algorithm: *algorithm,
            key_id: key_id.clone(),
            audience: audience.clone(),
            lifetime: *lifetime,
            claims: claims.clone(),
        })))
    }

    /// The assertion for one token request.
    ///
    /// # Errors
    /// [`KeyError`] if the key is none, or the certificate.
    pub(super) fn token(&self, usual: Usual<'_>) -> Result<Secret, KeyError> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::Signed(signer) => signer.token(usual),
        }
    }

    /// What identifies it, times and `jti` left out.
    pub(super) fn add_to(&self, digest: &mut Fingerprint) {
        match self {
            Self::Given(token) => {
                digest.add("given");
                digest.add(token.expose());
            }
            Self::Signed(signer) => {
                digest.add("signed");
                digest.add(signer.key.expose());
                digest.add(signer.algorithm.map_or("", Algorithm::name));
                for text in [&signer.certificate, &signer.issuer, &signer.subject] {
                    digest.add_optional(text.as_ref().map(Secret::expose));
                }
                digest.add_optional(signer.key_id.as_deref());
                digest.add_optional(signer.audience.as_deref());
                digest.add(&Value::Object(signer.claims.clone()).to_string());
            }
        }
    }
}

impl SignerMaterial {
    fn token(&self, usual: Usual<'_>) -> Result<Secret, KeyError> {
        let key = match self.is_shared {
            true => SigningKey::shared(&self.key, self.algorithm.unwrap_or(Algorithm::Hs256))?,
            false => SigningKey::parse(self.key.expose(), self.algorithm)?,
        };
        let mut header = Map::new();
        header.insert("typ".to_owned(), "JWT".into());
        if let Some(id) = self.key_id.as_deref().or(key.id()) {
            header.insert("kid".to_owned(), id.into());
        }
        if let Some(certificate) = &self.certificate {
            let prints = certificate_thumbprints(certificate.expose())?;
            header.insert("x5t".to_owned(), prints.sha1.into());
            header.insert("x5t#S256".to_owned(), prints.sha256.into());
        }
        key.sign(header, &self.all_claims(usual)?)
    }

    fn all_claims(&self, usual: Usual<'_>) -> Result<Map<String, Value>, KeyError> {
        let issued = usual.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut claims = Map::new();
        let mut add = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        if let Some(issuer) = self.issuer.as_ref().map(Secret::expose).or(usual.issuer) {
            add("iss", issuer.into());
        }
        if let Some(subject) = self.subject.as_ref().map(Secret::expose).or(usual.subject) {
            add("sub", subject.into());
        }
        add("aud", self.audience.as_deref().unwrap_or(usual.audience).into());
        add("iat", issued.as_secs().into());
        add("exp", (issued + self.lifetime).as_secs().into());
        add("jti", unique()?.into());
        claims.extend(self.claims.clone());
        Ok(claims)
    }
}

/// 128 random bits: no server has seen it before (RFC 7523 §3).
fn unique() -> Result<String, KeyError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Signing)?;
    Ok(base64url(bytes))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::secret::SecretSource;

    const KEY: &str = include_str!("../jose/keys/ed25519.jwk");

    async fn parts(change: impl FnOnce(&mut Signer)) -> (Value, Value) {
        let mut signer = Signer::new(AssertionKey::Private(SecretSource::inline(KEY)));
        change(&mut signer);
        let material = AssertionMaterial::read(&Assertion::Signed(Box::new(signer)), &mut Vec::new()).await.unwrap();
        let usual = Usual {
            audience: "https://a.example/token",
            issuer: Some("client"),
            subject: Some("client"),
            now: UNIX_EPOCH + Duration::from_secs(1000),
        };
        let token = material.token(usual).unwrap();
        let mut parts = token.expose().split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let mut json = || serde_json::from_slice::<Value>(&parts.next().unwrap()).unwrap();
        (json(), json())
    }

    #[tokio::test]
    async fn claims_are_what_rfc_7523_wants() {
        let (header, mut claims) = parts(|_| {}).await;
        assert_eq!(header, json!({ "alg": "EdDSA", "kid": "k1", "typ": "JWT" }));
        let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
        assert_eq!(jti.as_str().unwrap().len(), 22);
        let wanted =
            json!({ "iss": "client", "sub": "client", "aud": "https://a.example/token", "iat": 1000, "exp": 1060 });
        assert_eq!(claims, wanted);
    }

    #[tokio::test]
    async fn what_is_configured_wins() {
        let (header, claims) = parts(|signer| {
            signer.key_id = Some("mine".to_owned());
            signer.issuer = Some(SecretSource::inline("robot@x.example"));
            signer.subject = Some(SecretSource::inline("user"));
            signer.audience = Some("https://b.example/".to_owned());
            signer.claims = json!({ "scope": "a b", "jti": "fixed" }).as_object().cloned().unwrap();
        })
        .await;
        assert_eq!(header["kid"], "mine");
        let taken = ["iss", "sub", "aud", "scope", "jti"].map(|name| claims[name].as_str().unwrap().to_owned());
        assert_eq!(taken, ["robot@x.example", "user", "https://b.example/", "a b", "fixed"]);
    }

    #[tokio::test]
    async fn each_assertion_is_unique() {
        assert_ne!(parts(|_| {}).await.1["jti"], parts(|_| {}).await.1["jti"]);
    }

    #[tokio::test]
    async fn a_certificate_is_named_in_the_header() {
        let made = rcgen::generate_simple_self_signed(["client.example".to_owned()]).unwrap();
        let (header, _) = parts(|signer| signer.certificate = Some(SecretSource::inline(made.cert.pem()))).await;
        let print = ring::digest::digest(&ring::digest::SHA256, made.cert.der());
        assert_eq!(header["x5t#S256"], base64url(print));
        assert!(header["x5t"].as_str().unwrap().len() == 27);
    }
}
