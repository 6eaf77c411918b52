//! A token endpoint and an API that look at every proof as RFC 9449 §4.3 wants it, and remember whatever was wrong with one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::support::token_endpoint::TokenRequest;
use crate::support::upstream::Exchange;
use crate::support::wire::Fields;
use crate::support::{After, Reply, Setup, TokenEndpoint, Tokens, Upstream};

/// How many seconds a proof may be old, or early.
const WINDOW: i64 = 10;

/// Both servers and what they know.
pub(super) struct Stage {
    pub(super) endpoint: TokenEndpoint,
    pub(super) upstream: Upstream,
    pub(super) issuer: Server,
    pub(super) api: Server,
}

/// What one server wants and has seen.
#[derive(Clone)]
pub(super) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The nonces that it takes, the newest last; without any, it wants none.
    nonces: Vec<String>,
    /// How many seconds its clock is ahead.
    ahead: i64,
    /// Whether it looks at the token before it looks at the nonce.
    token_first: bool,
    /// Whether it tells its nonce in every answer.
    tells_nonce: bool,
    seen: HashSet<String>,
    wrong: Vec<String>,
    proofs: Vec<Proof>,
    /// The thumbprint of the key that each token is bound to.
    bound: HashMap<String, String>,
}

#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) thumbprint: String,
    pub(super) claims: Value,
}

/// What a server says of a proof.
enum Opinion {
    Fine,
    Nonce,
    Invalid,
}

impl Stage {
    pub(super) fn new(lifetime: u64) -> Self {
        let tokens = Tokens::new(lifetime);
        let endpoint = TokenEndpoint::start(&tokens);
        let upstream = Upstream::start(&tokens);
        upstream.expect_token_in("authorization", "DPoP ");
        let (issuer, api) = (Server(Arc::default()), Server(Arc::default()));
        let url = endpoint.url();
        let (of_issuer, of_api) = (issuer.clone(), api.clone());
        endpoint.always(Reply::custom(move |request, tokens| of_issuer.issue(&url, request, tokens, &of_api)));
        let (url, of_api) = (upstream.url(), api.clone());
        upstream.on("/", move |exchange| of_api.serve(&url, exchange));
        Self { endpoint, upstream, issuer, api }
    }

    pub(super) fn setup(&self) -> Setup {
        Setup::between(&self.upstream, &self.endpoint).credential("dpop = true")
    }

    /// Fails if anything was wrong with any proof.
    #[track_caller]
    pub(super) fn expect_no_wrong_proof(&self) {
        for (name, server) in [("token endpoint", &self.issuer), ("API", &self.api)] {
            let state = server.0.lock().unwrap();
            assert!(state.wrong.is_empty(), "{name}: {:#?}", state.wrong);
            assert!(!state.proofs.is_empty(), "the {name} has seen no proof");
        }
    }
}

impl Server {
    /// Wants another nonce; the one before it is still taken.
    pub(super) fn rotate(&self) {
        let mut state = self.0.lock().unwrap();
        let nonce: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
        state.nonces.push(nonce);
        let old = state.nonces.len().saturating_sub(2);
        state.nonces.drain(..old);
    }

    /// Takes only a nonce that nobody knows yet.
    pub(super) fn forget_nonces(&self) {
        self.0.lock().unwrap().nonces.clear();
        self.rotate();
    }

    pub(super) fn set_clock_ahead(&self, seconds: i64) {
        self.0.lock().unwrap().ahead = seconds;
    }

    pub(super) fn look_at_the_token_first(&self) {
        self.0.lock().unwrap().token_first = true;
    }

    pub(super) fn tell_nonce_always(&self) {
        self.0.lock().unwrap().tells_nonce = true;
    }

    pub(super) fn proofs(&self) -> Vec<Proof> {
        self.0.lock().unwrap().proofs.clone()
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        self.0.lock().unwrap().wrong.clone()
    }

    pub(super) fn keys(&self) -> HashSet<String> {
        self.proofs().into_iter().map(|proof| proof.thumbprint).collect()
    }

    fn newest(&self) -> Option<String> {
        self.0.lock().unwrap().nonces.last().cloned()
    }

    fn date(&self) -> String {
        let at = SystemTime::now() + std::time::Duration::from_secs(3600);
        let ahead = self.0.lock().unwrap().ahead;
        let at = at - std::time::Duration::from_secs(u64::try_from(3600 - ahead).unwrap());
        httpdate::fmt_http_date(at)
    }

    fn issue(&self, url: &str, request: &TokenRequest, tokens: &Tokens, api: &Self) -> Reply {
        let error = |code: &str| Reply::json(400, json!({ "error": code }).to_string()).with("Date", &self.date());
        let (thumbprint, opinion) = self.look(&request.fields, (&request.method, url), None);
        match opinion {
            Opinion::Nonce => error("use_dpop_nonce").with("DPoP-Nonce", &self.newest().unwrap_or_default()),
            Opinion::Invalid => error("invalid_dpop_proof"),
            Opinion::Fine => {
                let token = tokens.issue();
                api.0.lock().unwrap().bound.insert(token.clone(), thumbprint);
                let lifetime = tokens.lifetime();
                let body = json!({ "access_token": token, "token_type": "DPoP", "expires_in": lifetime });
                Reply::json(200, body.to_string())
            }
        }
    }

    fn serve(&self, url: &str, exchange: &mut Exchange<'_>) -> std::io::Result<After> {
        let path = exchange.target().split('?').next().unwrap_or_default().to_owned();
        let fields = exchange.head.fields.clone();
        let token = match fields.all("authorization").as_slice() {
            [only] => only.strip_prefix("DPoP ").unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        };
        let target = (exchange.method().to_owned(), format!("{url}{path}"));
        let (thumbprint, opinion) = self.look(&fields, (&target.0, &target.1), Some(&token));
        let bound = self.0.lock().unwrap().bound.get(&token).cloned();
        if bound.is_some_and(|bound| bound != thumbprint) {
            self.0
                .lock()
                .unwrap()
                .wrong
                .push(format!("{target:?} has a proof by a key that the token is not bound to"));
        }
        exchange.read_body()?;
        let (date, nonce) = (self.date(), self.newest().unwrap_or_default());
        let deny = |exchange: &mut Exchange<'_>, error: &str, with_nonce: bool| {
            let challenge = format!("DPoP realm=\"api\", algs=\"ES256\", error=\"{error}\"");
            let mut fields = vec![("WWW-Authenticate", challenge.as_str()), ("Date", date.as_str())];
            fields.extend(with_nonce.then_some(("DPoP-Nonce", nonce.as_str())));
            exchange.answer(401, &fields, format!("{{\"refused\":\"{error}\"}}"))
        };
        let (token_first, tells_nonce) = {
            let state = self.0.lock().unwrap();
            (state.token_first, state.tells_nonce)
        };
        match opinion {
            _ if token_first && !exchange.token_is_live() => deny(exchange, "invalid_token", false),
            Opinion::Nonce => deny(exchange, "use_dpop_nonce", true),
            Opinion::Invalid => deny(exchange, "invalid_dpop_proof", false),
            Opinion::Fine if !exchange.token_is_live() => deny(exchange, "invalid_token", false),
            Opinion::Fine => {
                let fields = [("DPoP-Nonce", nonce.as_str()), ("Content-Type", "text/plain")];
                exchange.answer(200, if tells_nonce { &fields } else { &fields[1..] }, "fine")
            }
        }
    }

    /// RFC 9449 §4.3. Returns the thumbprint of the key too.
    fn look(&self, fields: &Fields, (method, url): (&str, &str), token: Option<&str>) -> (String, Opinion) {
        let proof = match fields.all("dpop").as_slice() {
            [only] => (*only).to_owned(),
            other => {
                self.0.lock().unwrap().wrong.push(format!("{method} {url} has {} proofs", other.len()));
                return (String::new(), Opinion::Invalid);
            }
        };
        let found = verified(&proof);
        let mut state = self.0.lock().unwrap();
        let (thumbprint, claims) = match found {
            Ok(found) => found,
            Err(why) => {
                state.wrong.push(format!("{method} {url}: {why}"));
                return (String::new(), Opinion::Invalid);
            }
        };
        let mut expect = |name: &str, wanted: Value| {
            if claims[name] != wanted {
                state.wrong.push(format!("{method} {url}: {name} is {} and not {wanted}", claims[name]));
            }
        };
        expect("htm", method.into());
        expect("htu", url.into());
        expect("ath", token.map(|token| sha256(token.as_bytes()).into()).unwrap_or_default());
        let id = claims["jti"].as_str().unwrap_or_default().to_owned();
        if id.len() < 16 || !state.seen.insert(id.clone()) {
            state.wrong.push(format!("{method} {url}: jti {id:?} is short or came before"));
        }
        state.proofs.push(Proof { thumbprint: thumbprint.clone(), claims: claims.clone() });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + state.ahead;
        let nonce = claims["nonce"].as_str();
        let opinion = if !state.nonces.is_empty() && !state.nonces.iter().any(|taken| Some(taken.as_str()) == nonce) {
            Opinion::Nonce
        } else if (claims["iat"].as_i64().unwrap() - now).abs() > WINDOW {
            Opinion::Invalid
        } else {
            Opinion::Fine
        };
        (thumbprint, opinion)
    }
}

/// The thumbprint of the key that signed a proof, and what it claims.
pub(super) fn verified(proof: &str) -> Result<(String, Value), String> {
    let parts: Vec<_> = proof.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { return Err("is no JWT".to_owned()) };
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| format!("{error}"));
    let parsed = |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|error| format!("{error}"));
    let (head, claims) = (parsed(header)?, parsed(payload)?);
    let jwk = &head["jwk"];
    let names: Vec<_> = jwk.as_object().ok_or("no jwk")?.keys().map(String::as_str).collect();
    if head["typ"] != "dpop+jwt" || head["alg"] != "ES256" || names != ["crv", "kty", "x", "y"] {
        return Err(format!("its header is {head}"));
    }
    let coordinate = |name: &str| bytes(jwk[name].as_str().unwrap_or_default());
    let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
    let signed = format!("{header}.{payload}");
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(signed.as_bytes(), &bytes(signature)?).map_err(|_| "its signature is wrong".to_owned())?;
    let canonical = format!("{{\"crv\":{},\"kty\":{},\"x\":{},\"y\":{}}}", jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]);
    Ok((sha256(canonical.as_bytes()), claims))
}

fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, bytes))
}
