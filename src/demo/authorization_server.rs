//! The demo's authorization server: client credentials (RFC 6749 §4.4), opaque tokens, and switches to break it.
//!
//! Owns the tokens that are live. It does what a real one does, only that its tokens live for seconds, that anybody may
//! revoke them all, and that it can be told to fail. It never listens beyond loopback and lives only
//! in `bearerd demo`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use tokio::time::Instant;

use super::serve::{Answer, Handler, json, method_not_allowed, read_body, text};

/// The path of the token endpoint.
pub(super) const TOKEN_PATH: &str = "/oauth/token";

/// How many token requests are remembered.
const REMEMBERED: usize = 256;

/// How long a dead token is remembered, so that the API can say what it died of.
const OBITUARY: Duration = Duration::from_secs(300);

/// What the authorization server is like.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// The id of the client that people may be: with it others ask beside the story.
    pub(super) client_id: String,
    /// The id of the story's own bearerd.
    pub(super) own_client_id: String,
    /// The secret of both.
    pub(super) client_secret: String,
    /// How long a token lives.
    pub(super) lifetime: Duration,
    /// How long a token request takes: long enough to see whether anybody waits for it.
    pub(super) delay: Duration,
}

/// The server, and the handle to it: clones are the same server.
#[derive(Clone, Debug)]
pub(super) struct AuthorizationServer {
    rules: Arc<Rules>,
    state: Arc<Mutex<State>>,
}

/// How a token request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A token was issued.
    Issued,
    /// Wrong client, grant or form.
    Refused,
    /// The outage was on: 503.
    Failed,
}

/// One token request that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenRequest {
    /// When it came.
    pub(super) received: Instant,
    /// When it was answered.
    pub(super) answered: Instant,
    /// With what.
    pub(super) outcome: Outcome,
}

/// Token requests of the story's own bearerd by outcome, and what others did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answered with a token.
    pub(super) issued: usize,
    /// Answered with an error of the client's making.
    pub(super) refused: usize,
    /// Answered with 503.
    pub(super) failed: usize,
    /// Token requests of other clients, and switches that somebody turned by hand.
    pub(super) others: usize,
}

impl Counts {
    /// All of our own.
    pub(super) fn total(self) -> usize {
        self.issued + self.refused + self.failed
    }
}

/// What a token is worth at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// It opens the door.
    Live,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// Nobody here ever issued it.
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    tokens: HashMap<String, Issued>,
    outage: bool,
    counts: Counts,
    requests: VecDeque<TokenRequest>,
}

#[derive(Debug)]
struct Issued {
    expires: Instant,
    revoked: bool,
}

/// An error answer of RFC 6749 §5.2.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl AuthorizationServer {
    /// A server that has issued nothing yet.
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), state: Arc::default() }
    }

    /// What `token` is worth: the API asks for each request.
    pub(super) fn standing(&self, token: &str) -> Standing {
        match self.state().tokens.get(token) {
            None => Standing::Unknown,
            Some(issued) if issued.revoked => Standing::Revoked,
            Some(issued) if issued.expires <= Instant::now() => Standing::Expired,
            Some(_) => Standing::Live,
        }
    }

    /// Revokes every live token. Returns how many there were.
    pub(super) fn revoke_all(&self) -> usize {
        let now = Instant::now();
        let mut state = self.state();
        let live = state.tokens.values_mut().filter(|issued| !issued.revoked && issued.expires > now);
        live.map(|issued| issued.revoked = true).count()
    }

    /// Turns the outage on or off.
    pub(super) fn set_outage(&self, on: bool) {
        self.state().outage = on;
    }

    /// Token requests so far.
    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The token requests that came at or after `from`, oldest first.
    pub(super) fn requests_since(&self, from: Instant) -> Vec<TokenRequest> {
        self.state().requests.iter().filter(|request| request.received >= from).copied().collect()
    }

    /// A token without a token request.
    #[cfg(test)]
    pub(super) fn issue_for_tests(&self) -> String {
        self.state().issue(self.rules.lifetime)
    }

    async fn token(&self, headers: &HeaderMap, body: Option<Bytes>) -> Answer {
        let received = Instant::now();
        tokio::time::sleep(self.rules.delay).await;
        let (outcome, mut answer) = self.decide(headers, body.as_deref());
        // RFC 6749 §5.1: an answer with a token must not be kept by anybody on the way.
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if client_of(headers).is_some_and(|(id, _)| id == self.rules.own_client_id) {
            self.state().note(TokenRequest { received, answered: Instant::now(), outcome });
        } else {
            self.state().counts.others += 1;
        }
        answer
    }

    fn decide(&self, headers: &HeaderMap, body: Option<&[u8]>) -> (Outcome, Answer) {
        if self.state().outage {
            return (Outcome::Failed, text(StatusCode::SERVICE_UNAVAILABLE, "out of order (the demo's outage is on)"));
        }
        match self.check(headers, body) {
            Ok(()) => {
                let token = self.state().issue(self.rules.lifetime);
                let lifetime = self.rules.lifetime.as_secs();
                let body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime });
                (Outcome::Issued, json(StatusCode::OK, &body))
            }
            Err(refusal) => (Outcome::Refused, refusal.into_answer()),
        }
    }

    fn check(&self, headers: &HeaderMap, body: Option<&[u8]>) -> Result<(), Refusal> {
        let body = body.ok_or(Refusal::bad_request("invalid_request", "the request has no usable body"))?;
        let known = client_of(headers).is_some_and(|(id, secret)| {
            [&self.rules.client_id, &self.rules.own_client_id].contains(&&id) && secret == self.rules.client_secret
        });
        if !known {
            let description = "unknown client or wrong secret; this server takes client_secret_basic";
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, error: "invalid_client", description });
        }
        let grants: Vec<_> = form_urlencoded::parse(body).filter(|(name, _)| name == "grant_type").collect();
        match grants.as_slice() {
            [(_, grant)] if grant == "client_credentials" => Ok(()),
            [_] => Err(Refusal::bad_request("unsupported_grant_type", "only client_credentials here")),
            _ => Err(Refusal::bad_request("invalid_request", "exactly one grant_type, please")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self) -> String {
        let counts = self.counts();
        let outage = if self.state().outage { "on" } else { "off" };
        format!(
            "the demo's authorization server\n\n\
             POST {TOKEN_PATH}    issues a token that lives {} s\n\
             POST /revoke-all     revokes every token\n\
             POST /outage/on      token requests fail with 503 from now on\n\
             POST /outage/off     and work again\n\n\
             outage {outage}; the demo's own token requests so far: {} answered with a token, {} refused, {} failed",
            self.rules.lifetime.as_secs(),
            counts.issued,
            counts.refused,
            counts.failed,
        )
    }
}

impl Handler for AuthorizationServer {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        if head.method == Method::POST && head.uri.path() != TOKEN_PATH {
            self.state().counts.others += 1;
        }
        match (head.uri.path(), &head.method) {
            ("/", &Method::GET | &Method::HEAD) => text(StatusCode::OK, &self.describe()),
            ("/", _) => method_not_allowed("GET"),
            (TOKEN_PATH, &Method::POST) => self.token(&head.headers, read_body(body).await).await,
            ("/revoke-all", &Method::POST) => {
                let revoked = self.revoke_all();
                let what = if revoked == 1 { "token" } else { "tokens" };
                text(StatusCode::OK, &format!("revoked {revoked} {what}"))
            }
            ("/outage/on", &Method::POST) => {
                self.set_outage(true);
                text(StatusCode::OK, "outage on: token requests are answered with 503")
            }
            ("/outage/off", &Method::POST) => {
                self.set_outage(false);
                text(StatusCode::OK, "outage off: token requests are served")
            }
            (TOKEN_PATH | "/revoke-all" | "/outage/on" | "/outage/off", _) => method_not_allowed("POST"),
            _ => text(StatusCode::NOT_FOUND, "nothing here; GET / says what there is"),
        }
    }
}

impl State {
    fn issue(&mut self, lifetime: Duration) -> String {
        let now = Instant::now();
        self.tokens.retain(|_, issued| issued.expires + OBITUARY > now);
        let token = random_token();
        self.tokens.insert(token.clone(), Issued { expires: now + lifetime, revoked: false });
        token
    }

    fn note(&mut self, request: TokenRequest) {
        match request.outcome {
            Outcome::Issued => self.counts.issued += 1,
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Failed => self.counts.failed += 1,
        }
        if self.requests.len() == REMEMBERED {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }
}

impl Refusal {
    fn bad_request(error: &'static str, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description }
    }

    fn into_answer(self) -> Answer {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut answer = json(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"demo\""));
        }
        answer
    }
}

/// Id and secret of `client_secret_basic`: each form-encoded, then joined, then Base64 (RFC 6749 §2.3.1).
fn client_of(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let encoded = value.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decode(id), form_decode(secret)))
}

fn form_decode(text: &str) -> String {
    // A lone name without `=`: the parser decodes it and leaves the value empty.
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// 32 random bytes, opaque to everybody else.
fn random_token() -> String {
    let mut bytes = [0; 32];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // The system's generator does not fail on a machine that runs; a demo's token may be weaker then.
        bytes.fill_with(|| fastrand::u8(..));
    }
    format!("demo-{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const LIFETIME: Duration = Duration::from_secs(6);

    fn server() -> AuthorizationServer {
        AuthorizationServer::new(Rules {
            client_id: "demo client".to_owned(),
            own_client_id: "own".to_owned(),
            client_secret: "s:cr+t".to_owned(),
            lifetime: LIFETIME,
            delay: Duration::from_millis(300),
        })
    }

    fn basic(credentials: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(credentials));
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    /// The right client, encoded as RFC 6749 §2.3.1 wants it.
    fn right_client() -> HeaderMap {
        basic("own:s%3Acr%2Bt")
    }

    async fn ask(server: &AuthorizationServer, headers: &HeaderMap, form: &str) -> (StatusCode, serde_json::Value) {
        let answer = server.token(headers, Some(Bytes::copy_from_slice(form.as_bytes()))).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(serde_json::Value::Null))
    }

    async fn issue(server: &AuthorizationServer) -> String {
        let (status, body) = ask(server, &right_client(), "grant_type=client_credentials").await;
        assert_eq!(status, StatusCode::OK);
        body["access_token"].as_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_lives_as_long_as_it_says_and_no_longer() {
        let server = server();
        let token = issue(&server).await;
        assert_eq!(server.standing(&token), Standing::Live);
        tokio::time::advance(LIFETIME - Duration::from_millis(1)).await;
        assert_eq!(server.standing(&token), Standing::Live);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(server.standing(&token), Standing::Expired);
        assert_eq!(server.standing("demo-of-somebody-else"), Standing::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn revocation_ends_every_live_token_and_not_the_next_one() {
        let server = server();
        let tokens = [issue(&server).await, issue(&server).await];
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(server.revoke_all(), 2);
        assert_eq!(server.revoke_all(), 0);
        assert!(tokens.iter().all(|token| server.standing(token) == Standing::Revoked));
        let next = issue(&server).await;
        assert_eq!(server.standing(&next), Standing::Live);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_requests_are_refused_with_the_standard_codes() {
        let server = server();
        let check = async |headers: &HeaderMap, form: &str, status: u16, error: &str| {
            let (got, body) = ask(&server, headers, form).await;
            assert_eq!((got.as_u16(), body["error"].as_str()), (status, Some(error)), "{form}");
        };
        check(&right_client(), "grant_type=password", 400, "unsupported_grant_type").await;
        check(&right_client(), "scope=x", 400, "invalid_request").await;
        check(&right_client(), "grant_type=client_credentials&grant_type=x", 400, "invalid_request").await;
        check(&HeaderMap::new(), "grant_type=client_credentials", 401, "invalid_client").await;
        check(&basic("own:wrong"), "grant_type=client_credentials", 401, "invalid_client").await;
        check(&basic("demo client"), "grant_type=client_credentials", 401, "invalid_client").await;
        assert_eq!(server.counts(), Counts { issued: 0, refused: 4, failed: 0, others: 2 });
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_fails_token_requests_and_leaves_tokens_alone() {
        let server = server();
        let token = issue(&server).await;
        server.set_outage(true);
        let (status, _) = ask(&server, &right_client(), "grant_type=client_credentials").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(server.standing(&token), Standing::Live);
        server.set_outage(false);
        issue(&server).await;
        assert_eq!(server.counts(), Counts { issued: 2, refused: 0, failed: 1, others: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_ask_for_is_not_the_storys() {
        let server = server();
        let from = Instant::now();
        let (status, _) = ask(&server, &basic("demo+client:s%3Acr%2Bt"), "grant_type=client_credentials").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(server.counts(), Counts { others: 1, ..Counts::default() });
        assert!(server.requests_since(from).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn token_requests_are_remembered_with_when_they_came_and_went() {
        let server = server();
        issue(&server).await;
        let from = Instant::now();
        issue(&server).await;
        let requests = server.requests_since(from);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].answered - requests[0].received, Duration::from_millis(300));
        assert_eq!(requests[0].outcome, Outcome::Issued);
    }
}
