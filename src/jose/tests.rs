//! Signatures are checked with ring's verifiers, keys in every form that tools write them in.

use base64::engine::general_purpose::STANDARD;
use ring::signature::{self, UnparsedPublicKey};
use serde_json::{Map, Value, json};

use super::*;
use crate::secret::Secret;

fn claims() -> Map<String, Value> {
    json!({ "iss": "me", "jti": "1" }).as_object().cloned().unwrap()
}

fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// The header, what was signed, and the signature.
fn taken_apart(jwt: &Secret) -> (Value, String, Vec<u8>) {
    let (signed, signature) = jwt.expose().rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&decoded(payload)).unwrap(), Value::Object(claims()));
    (serde_json::from_slice(&decoded(header)).unwrap(), signed.to_owned(), decoded(signature))
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn member(key: &SigningKey, name: &str) -> Vec<u8> {
    decoded(key.public_jwk().unwrap()[name].as_str().unwrap())
}

/// What ring verifies with.
fn public(key: &SigningKey) -> Vec<u8> {
    match key.public_jwk().unwrap()["kty"].as_str().unwrap() {
        "EC" => [vec![4], member(key, "x"), member(key, "y")].concat(),
        _ => member(key, "x"),
    }
}

#[test]
fn a_key_on_p_256_signs_as_es256() {
    let key = SigningKey::generate().unwrap();
    let header = json!({ "typ": "dpop+jwt" }).as_object().cloned().unwrap();
    let (header, signed, signature) = taken_apart(&key.sign(header, &claims()).unwrap());
    assert_eq!(header, json!({ "alg": "ES256", "typ": "dpop+jwt" }));
    let verifier = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, public(&key));
    verifier.verify(signed.as_bytes(), &signature).unwrap();
    assert!(verifier.verify(b"something else", &signature).is_err());
}

#[test]
fn every_rsa_algorithm_verifies_with_the_public_key_of_the_jwk() {
    let check = |algorithm: Option<Algorithm>, name: &str, verification: &'static signature::RsaParameters| {
        let key = SigningKey::parse(RSA_PKCS8, algorithm).unwrap();
        let (header, signed, signature) = taken_apart(&key.sign(Map::new(), &claims()).unwrap());
        assert_eq!(header["alg"], name);
        let public = signature::RsaPublicKeyComponents { n: member(&key, "n"), e: member(&key, "e") };
        public.verify(verification, signed.as_bytes(), &signature).unwrap_or_else(|_| panic!("{name}"));
    };
    check(None, "RS256", &signature::RSA_PKCS1_2048_8192_SHA256);
    check(Some(Algorithm::Rs384), "RS384", &signature::RSA_PKCS1_2048_8192_SHA384);
    check(Some(Algorithm::Rs512), "RS512", &signature::RSA_PKCS1_2048_8192_SHA512);
    check(Some(Algorithm::Ps256), "PS256", &signature::RSA_PSS_2048_8192_SHA256);
    check(Some(Algorithm::Ps384), "PS384", &signature::RSA_PSS_2048_8192_SHA384);
    check(Some(Algorithm::Ps512), "PS512", &signature::RSA_PSS_2048_8192_SHA512);
}

#[test]
fn the_same_key_is_read_from_every_form() {
    let same = |forms: &[&str], algorithm: &str| {
        let keys: Vec<_> = forms.iter().map(|form| SigningKey::parse(form, None).unwrap()).collect();
        for key in &keys {
            assert_eq!(key.thumbprint(), keys[0].thumbprint());
            assert_eq!(key.algorithm().name(), algorithm);
        }
    };
    same(&[RSA_PKCS8, RSA_PKCS1, RSA_JWK], "RS256");
    same(&[P256_PKCS8, P256_SEC1, P256_JWK], "ES256");
    same(&[P384_PKCS8, P384_SEC1], "ES384");
    same(&[ED25519_PKCS8, ED25519_JWK], "EdDSA");
    let set = format!("{{\"keys\":[{ED25519_JWK}]}}");
    assert_eq!(SigningKey::parse(&set, None).unwrap().id(), Some("k1"));
}

#[test]
fn the_other_curves_verify_too() {
    let check = |text: &str, verification: &'static dyn signature::VerificationAlgorithm| {
        let key = SigningKey::parse(text, None).unwrap();
        let (_, signed, signature) = taken_apart(&key.sign(Map::new(), &claims()).unwrap());
        UnparsedPublicKey::new(verification, public(&key)).verify(signed.as_bytes(), &signature).unwrap();
    };
    check(P384_SEC1, &signature::ECDSA_P384_SHA384_FIXED);
    check(ED25519_PKCS8, &signature::ED25519);
}

/// RFC 7638 §3.1.
#[test]
fn a_thumbprint_is_that_of_the_rfc() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs\
        tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI\
        SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let jwk = json!({ "kty": "RSA", "n": n, "e": "AQAB" });
    assert_eq!(sha256_base64url(&jwk.to_string()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

/// RFC 7515 appendix A.1, with its key as text where that is possible.
#[test]
fn a_shared_secret_signs_with_hmac() {
    let key = SigningKey::shared(&Secret::new("secret"), Algorithm::Hs256).unwrap();
    let (header, signed, signature) = taken_apart(&key.sign(Map::new(), &claims()).unwrap());
    assert_eq!(header["alg"], "HS256");
    let check = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret");
    ring::hmac::verify(&check, signed.as_bytes(), &signature).unwrap();
    assert_eq!(key.public_jwk(), None);
    assert!(SigningKey::shared(&Secret::new("secret"), Algorithm::Rs256).is_err());
}

#[test]
fn what_cannot_sign_is_refused_with_a_reason_that_shows_nothing_of_it() {
    let check = |text: &str, algorithm: Option<Algorithm>, wanted: &str| {
        let error = SigningKey::parse(text, algorithm).unwrap_err().to_string();
        assert!(error.contains(wanted), "{wanted}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    };
    check("hunter2", None, "neither a private key in PEM");
    check("", None, "neither");
    check("{\"hunter2\":", None, "neither");
    check("{\"hunter2\":1}", None, "\"kty\" is missing");
    check(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\naHVudGVyMg==\n-----END ENCRYPTED PRIVATE KEY-----",
        None,
        "encrypted",
    );
    check("-----BEGIN PUBLIC KEY-----\naHVudGVyMg==\n-----END PUBLIC KEY-----", None, "is a public key");
    check(&pem("PRIVATE KEY", b"hunter2"), None, "its kind is not supported");
    check(&pem("EC PRIVATE KEY", b"hunter2"), None, "no valid EC key");
    check(RSA_PKCS8, Some(Algorithm::Es256), "is an RSA key, which cannot sign with ES256; it can with RS256");
    check(P256_PKCS8, Some(Algorithm::Es384), "is an EC key on P-256, which cannot sign with ES384; it can with ES256");
    check(ED25519_PKCS8, Some(Algorithm::Rs256), "it can with EdDSA");
    check(r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, None, "is a public key");
    check(r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}"#, None, "no valid EC key");
    check(r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"hunter2!"}"#, None, "\"d\" is missing or malformed");
    check(r#"{"kty":"OKP","crv":"X25519","x":"AA","d":"AA"}"#, None, "Ed25519 is");
    check(r#"{"kty":"dir"}"#, None, "RSA, EC and OKP are");
    let key = format!("{:?}", SigningKey::parse(ED25519_JWK, None).unwrap());
    assert_eq!(key, "SigningKey { algorithm: EdDsa, .. }");
}

#[test]
fn names_of_algorithms_are_those_of_the_registry() {
    for (name, algorithm) in Algorithm::ALL {
        assert_eq!((Algorithm::from_name(name), algorithm.name()), (Some(*algorithm), *name));
    }
    assert_eq!(Algorithm::from_name("none"), None);
    assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
}

// Keys of nobody, made by openssl and Node for these tests.
const RSA_PKCS8: &str = include_str!("keys/rsa.pkcs8.pem");
const RSA_PKCS1: &str = include_str!("keys/rsa.pkcs1.pem");
const RSA_JWK: &str = include_str!("keys/rsa.jwk");
const P256_PKCS8: &str = include_str!("keys/p256.pkcs8.pem");
const P256_SEC1: &str = include_str!("keys/p256.sec1.pem");
const P256_JWK: &str = include_str!("keys/p256.jwk");
const P384_PKCS8: &str = include_str!("keys/p384.pkcs8.pem");
const P384_SEC1: &str = include_str!("keys/p384.sec1.pem");
const ED25519_PKCS8: &str = include_str!("keys/ed25519.pkcs8.pem");
const ED25519_JWK: &str = include_str!("keys/ed25519.jwk");
