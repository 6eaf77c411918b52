//! DPoP (RFC 9449): the proof that whoever sends a token holds the key that it is bound to.
//!
//! Owns what a proof says (§4.2), how a request's target is written in it, and what a server has said of its nonce (§8, §9) and its
//! clock. Sends nothing, and knows neither token endpoints nor routes: both make their proofs here. A proof is made for one request
//! and never kept.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use http::header::{DATE, HeaderMap, HeaderName, HeaderValue};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};

use crate::jose::{KeyError, SigningKey, base64url, sha256_base64url};

/// Carries the proof.
pub static FIELD: HeaderName = HeaderName::from_static("dpop");
/// Carries a server's nonce.
pub static NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The scheme of bound tokens (§7.1), and their `token_type` (§5).
pub const SCHEME: &str = "DPoP";

/// The longest nonce that is taken, in bytes: it goes into every proof, and those into heads of limited length.
const LONGEST_NONCE: usize = 2048;
/// How many seconds two clocks may be apart before a refused proof is blamed on them.
const AGREEMENT: i64 = 5;
/// Random bytes in a `jti`; §4.2 wants 12 at least.
const JTI_BYTES: usize = 16;

/// The key that a token is bound to. `Debug` shows neither.
#[derive(Clone)]
pub struct Binding {
    key: Arc<SigningKey>,
    /// The token's hash, as every proof beside it says it.
    ath: String,
}

impl Binding {
    /// Of a token that was issued to a request with a proof by `key`.
    pub fn new(key: Arc<SigningKey>, token: &str) -> Self {
        Self { key, ath: sha256_base64url(token) }
    }

    /// The key, for whoever asks for the next token with it.
    pub fn key(&self) -> &Arc<SigningKey> {
        &self.key
    }

    /// The proof that goes with the token in one request.
    ///
    /// # Errors
    /// [`KeyError::Signing`]; only a system without randomness causes it.
    pub fn prove(&self, method: &str, target: &str, terms: &Terms, now: SystemTime) -> Result<HeaderValue, KeyError> {
        prove(&self.key, (method, target), Some(&self.ath), terms, now)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").finish_non_exhaustive()
    }
}

/// What a server has said that a proof must satisfy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    nonce: Option<Arc<String>>,
    /// How many seconds its clock is ahead of ours.
    ahead: i64,
}

/// What a server finds wrong with a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// `use_dpop_nonce`: it has no nonce, or an old one.
    Nonce,
    /// `invalid_dpop_proof`: anything else; most often the time.
    Proof,
}

impl Complaint {
    /// By its `error` code (§7.1, §8).
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "use_dpop_nonce" => Some(Self::Nonce),
            "invalid_dpop_proof" => Some(Self::Proof),
            _ => None,
        }
    }
}

/// What one server has said last. Reading it takes no lock; of several that write, one wins, and every one is right.
#[derive(Debug, Default)]
pub struct Memory {
    nonce: ArcSwapOption<String>,
    ahead: AtomicI64,
}

impl Memory {
    /// The terms of the next proof.
    pub fn terms(&self) -> Terms {
        Terms { nonce: self.nonce.load_full(), ahead: self.ahead.load(Ordering::Relaxed) }
    }

    /// Remembers the nonce that an answer brings, whatever else the answer is (§8.2).
    pub fn learn(&self, answer: &HeaderMap) {
        let Some(nonce) = nonce(answer) else { return };
        if self.nonce.load().as_deref().is_none_or(|known| known != nonce) {
            self.nonce.store(Some(Arc::new(nonce.to_owned())));
        }
    }

    /// The terms under which a refused proof is worth another try; `None` if the answer does not tell what would be better. A clock
    /// that is wrong is corrected by the server's own: proofs are for this server alone, so it can gain nothing by a wrong one.
    pub fn correct(&self, sent: &Terms, complaint: Complaint, answer: &HeaderMap, now: SystemTime) -> Option<Terms> {
        self.learn(answer);
        let mut better = sent.clone();
        if let Some(nonce) = nonce(answer).filter(|nonce| sent.nonce.as_deref().is_none_or(|sent| sent != nonce)) {
            better.nonce = Some(Arc::new(nonce.to_owned()));
        }
        if complaint == Complaint::Proof
            && let Some(date) = date(answer)
        {
            let ahead = date - seconds(now);
            if (ahead - sent.ahead).abs() > AGREEMENT {
                self.ahead.store(ahead, Ordering::Relaxed);
                better.ahead = ahead;
            }
        }
        (better != *sent).then_some(better)
    }
}

/// A proof for one request (§4.2). `ath` is the hash of the token beside it; without one it is for a token endpoint.
///
/// # Errors
/// [`KeyError::Signing`]; only a system without randomness causes it.
pub fn prove(
    key: &SigningKey,
    (method, target): (&str, &str),
    ath: Option<&str>,
    terms: &Terms,
    now: SystemTime,
) -> Result<HeaderValue, KeyError> {
    let mut random = [0; JTI_BYTES];
    SystemRandom::new().fill(&mut random).map_err(|_| KeyError::Signing)?;
    let mut header = Map::new();
    header.insert("typ".to_owned(), "dpop+jwt".into());
    header.insert("jwk".to_owned(), key.public_jwk().cloned().ok_or(KeyError::Signing)?);
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("jti", base64url(random).into());
    claim("htm", method.into());
    claim("htu", target.into());
    claim("iat", seconds(now).saturating_add(terms.ahead).into());
    if let Some(ath) = ath {
        claim("ath", ath.into());
    }
    if let Some(nonce) = &terms.nonce {
        claim("nonce", nonce.as_str().into());
    }
    let proof = key.sign(header, &claims)?;
    let mut value = HeaderValue::from_str(proof.expose()).map_err(|_| KeyError::Signing)?;
    // Kept out of `Debug` output and of HPACK's tables, where it would be of no use to anybody.
    value.set_sensitive(true);
    Ok(value)
}

/// `htu`: the target URI without query and fragment (§4.2). `authority` is what `Host` says.
///
/// Scheme and authority are in normal form (RFC 3986 §6.2.2.1, §6.2.3), since servers put theirs together from configuration as often
/// as from `Host`. The path is as it is sent, byte for byte: a server that normalises it does so on both sides (§4.3), and one that
/// does not compares what it was sent.
pub fn target(scheme: &str, authority: &str, path: &str) -> String {
    let default = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(default).or_else(|| authority.strip_suffix(':')).unwrap_or(authority);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // OPTIONS * has an empty path (RFC 9112 §3.3), which is written so.
    let path = if matches!(path, "" | "*") { "/" } else { path };
    format!("{scheme}://{}{path}", authority.to_ascii_lowercase())
}

/// The nonce in an answer: NQCHARs (§8.1) of a bearable length.
fn nonce(answer: &HeaderMap) -> Option<&str> {
    let nonce = answer.get(&NONCE)?.to_str().ok()?.trim();
    let legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    ((1..=LONGEST_NONCE).contains(&nonce.len()) && nonce.bytes().all(legal)).then_some(nonce)
}

fn date(answer: &HeaderMap) -> Option<i64> {
    let date = httpdate::parse_http_date(answer.get(DATE)?.to_str().ok()?.trim()).ok()?;
    Some(seconds(date))
}

/// Seconds since 1970.
fn seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
    use serde_json::json;

    use super::*;

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// Header and claims of a proof whose signature is that of the key in it.
    fn verified(proof: &HeaderValue) -> (Value, Value) {
        assert!(proof.is_sensitive());
        let proof = proof.to_str().unwrap();
        let (message, signature) = proof.rsplit_once('.').unwrap();
        let (header, claims) = message.split_once('.').map(|(h, c)| (decoded(h), decoded(c))).unwrap();
        let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(header["jwk"][name].as_str().unwrap()).unwrap();
        let (algorithm, key): (&dyn VerificationAlgorithm, _) = match header["alg"].as_str().unwrap() {
            "ES256" => (&ECDSA_P256_SHA256_FIXED, [&[4][..], &coordinate("x"), &coordinate("y")].concat()),
            _ => (&ED25519, coordinate("x")),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(algorithm, key).verify(message.as_bytes(), &signature).unwrap();
        (header, claims)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_proof_says_what_rfc_9449_wants_and_nothing_else() {
        let key = Arc::new(SigningKey::generate().unwrap());
        let (header, claims) =
            verified(&prove(&key, ("POST", "https://as.example/token"), None, &Terms::default(), at(1_000)).unwrap());
        assert_eq!(header, json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk().unwrap() }));
        assert!(header["jwk"].get("d").is_none());
        let jti = claims["jti"].as_str().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(jti).unwrap().len(), JTI_BYTES);
        assert_eq!(claims, json!({ "jti": jti, "htm": "POST", "htu": "https://as.example/token", "iat": 1_000 }));

        let terms = Terms { nonce: Some(Arc::new("n1".to_owned())), ahead: -30 };
        let binding = Binding::new(Arc::clone(&key), "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
        let (_, claims) = verified(&binding.prove("GET", "https://a.example/x", &terms, at(1_000)).unwrap());
        // The hash of RFC 9449 §7.1's own example.
        assert_eq!(claims["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
        assert_eq!((&claims["nonce"], &claims["iat"]), (&json!("n1"), &json!(970)));
    }

    #[test]
    fn no_two_proofs_are_alike() {
        let key = SigningKey::generate().unwrap();
        let proofs = (0..100).map(|_| prove(&key, ("GET", "https://a/"), None, &Terms::default(), at(1)).unwrap());
        let ids: HashSet<_> = proofs.map(|proof| verified(&proof).1["jti"].to_string()).collect();
        assert_eq!(ids.len(), 100);
    }

    #[test]
    fn a_shared_secret_proves_nothing() {
        let key = crate::secret::Secret::new("0123456789abcdef0123456789abcdef");
        let key = SigningKey::shared(&key, crate::jose::Algorithm::Hs256).unwrap();
        assert!(prove(&key, ("GET", "https://a/"), None, &Terms::default(), at(1)).is_err());
    }

    #[test]
    fn the_target_has_no_query_and_an_authority_in_normal_form() {
        let check = |scheme: &str, authority: &str, path: &str, wanted: &str| {
            assert_eq!(target(scheme, authority, path), wanted, "{scheme} {authority} {path}");
        };
        check("https", "api.example.com", "/v1/items", "https://api.example.com/v1/items");
        check("https", "API.Example.com:443", "/", "https://api.example.com/");
        check("https", "api.example.com:80", "/", "https://api.example.com:80/");
        check("http", "127.0.0.1:80", "/x", "http://127.0.0.1/x");
        check("http", "127.0.0.1:8080", "/x", "http://127.0.0.1:8080/x");
        check("http", "[2001:DB8::1]:443", "/x", "http://[2001:db8::1]:443/x");
        check("https", "[::1]:443", "/x", "https://[::1]/x");
        check("https", "a.example:", "/x", "https://a.example/x");
        check("https", "a.example", "", "https://a.example/");
        check("https", "a.example", "*", "https://a.example/");
        check("https", "a.example", "/x?y=1#z", "https://a.example/x");
        check("https", "a.example", "/A%2fb/%7euser/../c;d=1//", "https://a.example/A%2fb/%7euser/../c;d=1//");
    }

    fn answer(fields: &[(&HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::clone(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn the_nonce_that_came_last_is_the_one_that_is_sent() {
        let memory = Memory::default();
        assert_eq!(memory.terms(), Terms::default());
        let nonce = |memory: &Memory| memory.terms().nonce.map(|nonce| nonce.to_string()).unwrap_or_default();
        memory.learn(&answer(&[(&NONCE, "eyJ7S_zG.eyJH0-Z.HX4w-7v")]));
        assert_eq!(nonce(&memory), "eyJ7S_zG.eyJH0-Z.HX4w-7v");
        let long = "x".repeat(LONGEST_NONCE + 1);
        for none in ["", "a b", "a\"b", "a\\b", &long] {
            memory.learn(&answer(&[(&NONCE, none)]));
        }
        memory.learn(&HeaderMap::new());
        assert_eq!(nonce(&memory), "eyJ7S_zG.eyJH0-Z.HX4w-7v");
        memory.learn(&answer(&[(&NONCE, "second")]));
        assert_eq!(nonce(&memory), "second");
    }

    #[test]
    fn a_refused_proof_is_made_anew_only_if_the_answer_says_what_would_be_better() {
        let old = Terms { nonce: Some(Arc::new("old".to_owned())), ahead: 0 };
        let date = |at| httpdate::fmt_http_date(at);
        let check = |sent: &Terms, complaint, fields: &[(&HeaderName, &str)], wanted: Option<(&str, i64)>| {
            let memory = Memory::default();
            let better = memory.correct(sent, complaint, &answer(fields), at(10_000));
            let found = better.map(|terms| (terms.nonce.map(|n| n.to_string()).unwrap_or_default(), terms.ahead));
            assert_eq!(found, wanted.map(|(nonce, ahead)| (nonce.to_owned(), ahead)), "{sent:?} {fields:?}");
            assert_eq!(memory.terms().ahead, wanted.map_or(0, |(_, ahead)| ahead));
        };
        let (nonce, proof) = (Complaint::Nonce, Complaint::Proof);
        check(&Terms::default(), nonce, &[(&NONCE, "new")], Some(("new", 0)));
        check(&old, nonce, &[(&NONCE, "new")], Some(("new", 0)));
        check(&old, nonce, &[(&NONCE, "old")], None);
        check(&old, nonce, &[], None);
        // The time of a complaint about nonces is not looked at.
        check(&old, nonce, &[(&DATE, &date(at(20_000)))], None);
        check(&old, proof, &[], None);
        check(&old, proof, &[(&NONCE, "new")], Some(("new", 0)));
        check(&old, proof, &[(&DATE, &date(at(10_004)))], None);
        check(&old, proof, &[(&DATE, &date(at(10_600)))], Some(("old", 600)));
        check(&old, proof, &[(&DATE, &date(at(9_000)))], Some(("old", -1_000)));
        check(&old, proof, &[(&DATE, "yesterday")], None);
        let corrected = Terms { ahead: 600, ..old };
        let memory = Memory::default();
        assert_eq!(memory.correct(&corrected, proof, &answer(&[(&DATE, &date(at(10_601)))]), at(10_000)), None);
    }
}
