//! Signed JSON Web Tokens: what proves possession of a key to a server.
//!
//! Owns signing keys in every form they come in (PEM, JWK, a shared secret), JWS in compact form (RFC 7515), the algorithms of RFC 7518
//! and RFC 8037, and thumbprints of keys (RFC 7638) and certificates (RFC 8705 §3.1). Knows no claims and no protocol. Verifies nothing:
//! tokens of others are opaque here. Refuses keys that are too weak to sign with, and never shows one.

mod key;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

pub use key::{KeyError, SigningKey};

/// A signature algorithm, by its `alg` (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All that can be signed with, by the names of `alg`.
    pub const ALL: &[(&str, Self)] = &[
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// The value of `alg`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, algorithm)| *algorithm == self).map_or("none", |(name, _)| name)
    }

    /// The algorithm with this name, as RFC 7518 spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        // RFC 9864 gave EdDSA on Ed25519 a name of its own.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// Whether both sides share the key.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// Base64url without padding, as JOSE writes every byte string (RFC 7515 §2).
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The SHA-256 of a text, as DPoP's `ath` and other hashes of tokens are written.
pub fn sha256_base64url(text: &str) -> String {
    base64url(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Names of a certificate in the header of a JWT (RFC 7515 §4.1.7 and §4.1.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbprints {
    /// `x5t`: by SHA-1, which names and protects nothing.
    pub sha1: String,
    /// `x5t#S256`.
    pub sha256: String,
}

/// The names of the first certificate in a PEM text.
///
/// # Errors
/// [`KeyError::NoCertificate`] if there is none.
pub fn certificate_thumbprints(pem: &str) -> Result<Thumbprints, KeyError> {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NoCertificate)?;
    let print = |algorithm| base64url(digest::digest(algorithm, &certificate));
    Ok(Thumbprints { sha1: print(&digest::SHA1_FOR_LEGACY_USE_ONLY), sha256: print(&digest::SHA256) })
}
