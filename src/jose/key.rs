//! A key to sign with, from whatever text holds it.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ring::rand::SystemRandom;
use ring::rsa::{self, KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RsaEncoding,
};
use ring::{digest, hmac};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sec1::der::Decode as _;
use serde_json::{Map, Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Algorithm, base64url};
use crate::secret::Secret;

/// Base64url that some tool padded after all.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that signs JWTs. `Debug` shows its algorithm and nothing of the key.
pub struct SigningKey {
    kind: Kind,
    algorithm: Algorithm,
    id: Option<String>,
    /// The public half as a JWK: required members only (RFC 7638 §3.2).
    public: Option<Value>,
}

enum Kind {
    Hmac(hmac::Key),
    Rsa(Box<rsa::KeyPair>, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a text is no key to sign with. Never shows the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither PEM nor JWK.
    #[error("is neither a private key in PEM (\"-----BEGIN PRIVATE KEY-----\") nor a JWK (a JSON object with \"kty\")")]
    Unknown,
    /// A PEM text that is locked.
    #[error("is encrypted; write it without a passphrase: openssl pkey -in KEY -out NEWKEY")]
    Encrypted,
    /// A PEM text of the other half.
    #[error("is a public key or a certificate; the private key is needed")]
    Public,
    /// A key type that cannot be used, or a broken key.
    #[error("cannot be used: {0}")]
    Unusable(&'static str),
    /// A member of a JWK is missing or malformed.
    #[error("is a JWK whose member \"{0}\" is missing or malformed")]
    Member(&'static str),
    /// The key is for other algorithms.
    #[error("is {key}, which cannot sign with {algorithm}; it can with {possible}")]
    Algorithm {
        /// What it is.
        key: &'static str,
        /// What was asked for.
        algorithm: &'static str,
        /// What it can.
        possible: &'static str,
    },
    /// No certificate in the text.
    #[error("holds no certificate in PEM")]
    NoCertificate,
    /// The signature could not be made.
    #[error("could not sign")]
    Signing,
}

const RSA: &str = "an RSA key";
const RSA_POSSIBLE: &str = "RS256, RS384, RS512, PS256, PS384, PS512";
const NOT_RSA: &str = "it is no valid RSA key of 2,048 to 8,192 bits";
const NOT_EC: &str =
    "it is no valid EC key on P-256 or P-384 with its public point (openssl pkcs8 -topk8 -nocrypt adds it)";
const NOT_ED: &str = "it is no valid Ed25519 key";

impl SigningKey {
    /// Reads a private key: PEM (PKCS#8, PKCS#1, SEC 1) or a JWK (RFC 7517, also alone in a JWK Set). Without `algorithm` the JWK's own
    /// `alg` counts, else what is usual for the kind of key: RS256, ES256, ES384, EdDSA.
    ///
    /// # Errors
    /// [`KeyError`]; none shows anything of the text.
    pub fn parse(text: &str, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        if text.trim_start().starts_with('{') {
            let value: Value = serde_json::from_str(text).map_err(|_| KeyError::Unknown)?;
            return from_jwk(value, algorithm);
        }
        let mut der = match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(der) => der,
            _ if text.contains("ENCRYPTED") => return Err(KeyError::Encrypted),
            _ if text.contains("-----BEGIN PUBLIC KEY") || text.contains("-----BEGIN CERTIFICATE") => {
                return Err(KeyError::Public);
            }
            _ => return Err(KeyError::Unknown),
        };
        let key = match &der {
            PrivateKeyDer::Pkcs8(der) => from_pkcs8(der.secret_pkcs8_der(), algorithm),
            PrivateKeyDer::Pkcs1(der) => rsa::KeyPair::from_der(der.secret_pkcs1_der())
                .map_err(|_| KeyError::Unusable(NOT_RSA))
                .and_then(|key| of_rsa(key, algorithm)),
            PrivateKeyDer::Sec1(der) => from_sec1(der.secret_sec1_der(), algorithm),
            _ => Err(KeyError::Unknown),
        };
        der.zeroize();
        key
    }

    /// A key that both sides share, used as the bytes of the text (`client_secret_jwt`, OpenID Connect Core §10.1). `algorithm` must be
    /// a symmetric one.
    ///
    /// # Errors
    /// [`KeyError::Algorithm`] if it is not.
    pub fn shared(secret: &Secret, algorithm: Algorithm) -> Result<Self, KeyError> {
        let hmac = match algorithm {
            Algorithm::Hs256 => hmac::HMAC_SHA256,
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            other => {
                let possible = "HS256, HS384, HS512";
                return Err(KeyError::Algorithm { key: "a shared secret", algorithm: other.name(), possible });
            }
        };
        let kind = Kind::Hmac(hmac::Key::new(hmac, secret.expose().as_bytes()));
        Ok(Self { kind, algorithm, id: None, public: None })
    }

    /// A new key for ES256, known to this process alone.
    ///
    /// # Errors
    /// [`KeyError::Signing`] if the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let der =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(|_| KeyError::Signing)?;
        from_pkcs8(der.as_ref(), Some(Algorithm::Es256))
    }

    /// With which algorithm it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `kid` of the JWK that it was read from.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The public half as a JWK with the required members alone; `None` for a shared secret.
    pub fn public_jwk(&self) -> Option<&Value> {
        self.public.as_ref()
    }

    /// SHA-256 thumbprint of the public half (RFC 7638), as DPoP's `jkt`; `None` for a shared secret.
    pub fn thumbprint(&self) -> Option<String> {
        // serde_json keeps members in the order of their names, which is the order that RFC 7638 §3.3 wants.
        let canonical = self.public.as_ref()?.to_string();
        Some(base64url(digest::digest(&digest::SHA256, canonical.as_bytes())))
    }

    /// A JWT in compact form. `alg` is set here; every other member of the header is the caller's.
    ///
    /// # Errors
    /// [`KeyError::Signing`]; only a system without randomness causes it.
    pub fn sign(&self, mut header: Map<String, Value>, claims: &Map<String, Value>) -> Result<Secret, KeyError> {
        header.insert("alg".to_owned(), self.algorithm.name().into());
        let encoded = |map: &Map<String, Value>| serde_json::to_vec(map).map(base64url).map_err(|_| KeyError::Signing);
        let mut jwt = Zeroizing::new(format!("{}.{}", encoded(&header)?, encoded(claims)?));
        let signature = base64url(self.signature(jwt.as_bytes())?);
        jwt.push('.');
        jwt.push_str(&signature);
        Ok(Secret::new(std::mem::take(&mut *jwt)))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Kind::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &random, message, &mut signature).map_err(|_| KeyError::Signing)?;
                Ok(signature)
            }
            Kind::Ecdsa(key) => Ok(key.sign(&random, message).map_err(|_| KeyError::Signing)?.as_ref().to_vec()),
            Kind::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn from_pkcs8(der: &[u8], algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    if let Ok(key) = rsa::KeyPair::from_pkcs8(der) {
        return of_rsa(key, algorithm);
    }
    for curve in Curve::ALL {
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(curve.signing, der, &SystemRandom::new()) {
            return of_ec(key, curve, algorithm);
        }
    }
    match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        Ok(key) => of_ed25519(key, algorithm),
        Err(_) => Err(KeyError::Unusable(
            "its kind is not supported, or it is broken; RSA of 2,048 to 8,192 bits, EC on P-256 and P-384, and Ed25519 are",
        )),
    }
}

fn from_sec1(der: &[u8], algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    let unusable = || KeyError::Unusable(NOT_EC);
    let key = sec1::EcPrivateKey::from_der(der).map_err(|_| unusable())?;
    let point = key.public_key.ok_or_else(unusable)?;
    Curve::ALL
        .iter()
        .find_map(|curve| Some((curve.pair(key.private_key, point)?, curve)))
        .map_or_else(|| Err(unusable()), |(pair, curve)| of_ec(pair, curve, algorithm))
}

fn from_jwk(value: Value, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    let Value::Object(mut jwk) = value else { return Err(KeyError::Unknown) };
    if let Some(Value::Array(keys)) = jwk.get_mut("keys") {
        let [Value::Object(only)] = keys.as_mut_slice() else {
            return Err(KeyError::Unusable("it is a JWK Set with other than one key; keep the one to sign with"));
        };
        jwk = std::mem::take(only);
    }
    let jwk = Jwk(jwk);
    let algorithm = match (algorithm, jwk.text("alg")) {
        (None, Some(name)) => Some(Algorithm::from_name(name).ok_or(KeyError::Member("alg"))?),
        (algorithm, _) => algorithm,
    };
    let mut key = match jwk.text("kty").ok_or(KeyError::Member("kty"))? {
        "RSA" => jwk.rsa(algorithm)?,
        "EC" => jwk.ec(algorithm)?,
        "OKP" => jwk.okp(algorithm)?,
        "oct" => {
            let bytes = jwk.bytes("k")?;
            let algorithm = algorithm.unwrap_or(Algorithm::Hs256);
            let text = std::str::from_utf8(&bytes).map_err(|_| KeyError::Member("k"))?;
            SigningKey::shared(&Secret::new(text), algorithm)?
        }
        _ => return Err(KeyError::Unusable("its \"kty\" is not supported; RSA, EC and OKP are")),
    };
    key.id = jwk.text("kid").map(str::to_owned);
    Ok(key)
}

/// A JWK whose private members are wiped with it.
struct Jwk(Map<String, Value>);

impl Jwk {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn bytes(&self, name: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let text = self.text(name).ok_or(KeyError::Member(name))?;
        BASE64URL.decode(text).map(Zeroizing::new).map_err(|_| KeyError::Member(name))
    }

    fn rsa(&self, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
        if self.text("d").is_none() {
            return Err(KeyError::Public);
        }
        let [n, e, d, p] = [self.bytes("n")?, self.bytes("e")?, self.bytes("d")?, self.bytes("p")?];
        let [q, dp, dq, qi] = [self.bytes("q")?, self.bytes("dp")?, self.bytes("dq")?, self.bytes("qi")?];
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n: &**n, e: &**e },
            d: &**d,
            p: &**p,
            q: &**q,
            dP: &**dp,
            dQ: &**dq,
            qInv: &**qi,
        };
        let key = rsa::KeyPair::from_components(&components).map_err(|_| KeyError::Unusable(NOT_RSA))?;
        of_rsa(key, algorithm)
    }

    fn ec(&self, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
        if self.text("d").is_none() {
            return Err(KeyError::Public);
        }
        let name = self.text("crv").ok_or(KeyError::Member("crv"))?;
        let curve = Curve::ALL.iter().find(|curve| curve.name == name).ok_or(KeyError::Unusable(NOT_EC))?;
        let (d, x, y) = (self.bytes("d")?, self.bytes("x")?, self.bytes("y")?);
        let point = [&[4][..], &x, &y].concat();
        let key = curve.pair(&d, &point).ok_or(KeyError::Unusable(NOT_EC))?;
        of_ec(key, curve, algorithm)
    }

    fn okp(&self, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
        if self.text("d").is_none() {
            return Err(KeyError::Public);
        }
        if self.text("crv") != Some("Ed25519") {
            return Err(KeyError::Unusable("its curve is not supported; Ed25519 is"));
        }
        let (d, x) = (self.bytes("d")?, self.bytes("x")?);
        let key = Ed25519KeyPair::from_seed_and_public_key(&d, &x).map_err(|_| KeyError::Unusable(NOT_ED))?;
        of_ed25519(key, algorithm)
    }
}

impl Drop for Jwk {
    fn drop(&mut self) {
        for value in self.0.values_mut() {
            if let Value::String(text) = value {
                drop(Zeroizing::new(std::mem::take(text)));
            }
        }
    }
}

struct Curve {
    name: &'static str,
    signing: &'static EcdsaSigningAlgorithm,
    algorithm: Algorithm,
    /// "a key on …", for messages.
    title: &'static str,
}

impl Curve {
    const ALL: &'static [Self] = &[
        Self {
            name: "P-256",
            signing: &ECDSA_P256_SHA256_FIXED_SIGNING,
            algorithm: Algorithm::Es256,
            title: "an EC key on P-256",
        },
        Self {
            name: "P-384",
            signing: &ECDSA_P384_SHA384_FIXED_SIGNING,
            algorithm: Algorithm::Es384,
            title: "an EC key on P-384",
        },
    ];

    fn pair(&self, private: &[u8], public: &[u8]) -> Option<EcdsaKeyPair> {
        EcdsaKeyPair::from_private_key_and_public_key(self.signing, private, public, &SystemRandom::new()).ok()
    }
}

fn of_rsa(key: rsa::KeyPair, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    let algorithm = algorithm.unwrap_or(Algorithm::Rs256);
    let encoding: &'static dyn RsaEncoding = match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        other => return Err(KeyError::Algorithm { key: RSA, algorithm: other.name(), possible: RSA_POSSIBLE }),
    };
    let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
    let jwk = json!({ "kty": "RSA", "n": base64url(public.n), "e": base64url(public.e) });
    Ok(SigningKey { kind: Kind::Rsa(Box::new(key), encoding), algorithm, id: None, public: Some(jwk) })
}

fn of_ec(key: EcdsaKeyPair, curve: &Curve, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    let own = curve.algorithm;
    if let Some(other) = algorithm.filter(|algorithm| *algorithm != own) {
        return Err(KeyError::Algorithm { key: curve.title, algorithm: other.name(), possible: own.name() });
    }
    // Uncompressed (SEC 1 §2.3.3): 4, then x and y, equally long.
    let point = key.public_key().as_ref().get(1..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({ "kty": "EC", "crv": curve.name, "x": base64url(x), "y": base64url(y) });
    Ok(SigningKey { kind: Kind::Ecdsa(key), algorithm: own, id: None, public: Some(jwk) })
}

fn of_ed25519(key: Ed25519KeyPair, algorithm: Option<Algorithm>) -> Result<SigningKey, KeyError> {
    if let Some(other) = algorithm.filter(|algorithm| *algorithm != Algorithm::EdDsa) {
        let key = "an Ed25519 key";
        return Err(KeyError::Algorithm { key, algorithm: other.name(), possible: "EdDSA" });
    }
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key()) });
    Ok(SigningKey { kind: Kind::Ed25519(key), algorithm: Algorithm::EdDsa, id: None, public: Some(jwk) })
}
