//! The demo's API: answers 401 to whoever has no live token (RFC 6750 §3).
//!
//! Owns what it saw: how many requests it served and why it rejected the others. Requests to `/slow` can be held
//! back, so that a story can have as many requests in flight as it likes when the tokens die.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::authorization_server::{AuthorizationServer, Standing};
use super::serve::{Answer, Handler, json, method_not_allowed, read_body, text};

/// What the story's own callers send, so that what others do does not spoil it.
pub(super) const STORY: HeaderName = HeaderName::from_static("x-demo-story");

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_millis(200);

/// The server, and the handle to it: clones are the same server.
#[derive(Clone, Debug)]
pub(super) struct Api {
    tokens: AuthorizationServer,
    seen: Arc<Seen>,
    gate: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

/// Holds back requests to `/slow` for as long as it lives.
#[derive(Debug)]
pub(super) struct Hold<'a>(&'a Api);

/// What the API saw so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sightings {
    /// Requests with a live token.
    pub(super) accepted: usize,
    /// Requests without any token.
    pub(super) missing: usize,
    /// Requests with an expired one.
    pub(super) expired: usize,
    /// Requests with a revoked one.
    pub(super) revoked: usize,
    /// Requests with one that nobody issued.
    pub(super) unknown: usize,
    /// Requests that the story did not make, whatever they carried.
    pub(super) others: usize,
}

#[derive(Debug, Default)]
struct Seen {
    accepted: AtomicUsize,
    missing: AtomicUsize,
    expired: AtomicUsize,
    revoked: AtomicUsize,
    unknown: AtomicUsize,
    others: AtomicUsize,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug)]
enum Unauthorized {
    NoToken,
    BadToken(&'static str),
}

/// Counts one request as waiting until it is dropped, also if the caller goes away.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Api {
    /// An API that accepts the live tokens of `tokens`.
    pub(super) fn new(tokens: AuthorizationServer) -> Self {
        Self { tokens, seen: Arc::default(), gate: watch::Sender::new(true), waiting: watch::Sender::new(0) }
    }

    /// What was seen so far.
    pub(super) fn sightings(&self) -> Sightings {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Sightings {
            accepted: read(&self.seen.accepted),
            missing: read(&self.seen.missing),
            expired: read(&self.seen.expired),
            revoked: read(&self.seen.revoked),
            unknown: read(&self.seen.unknown),
            others: read(&self.seen.others),
        }
    }

    /// Holds back every request to `/slow`, before its token is looked at, until the hold is dropped.
    pub(super) fn hold(&self) -> Hold<'_> {
        self.gate.send_replace(false);
        Hold(self)
    }

    /// Waits until `count` requests to `/slow` are held back.
    pub(super) async fn holds(&self, count: usize) {
        // The sender is ours, so the wait cannot fail.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting >= count).await;
    }

    /// How many requests to `/slow` are being worked on.
    pub(super) fn held(&self) -> usize {
        *self.waiting.borrow()
    }

    async fn pass_the_gate(&self, is_ours: bool) {
        let _waiting = is_ours.then(|| Waiting::new(&self.waiting));
        tokio::time::sleep(SLOW).await;
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
    }

    /// Looks at the token, counts the request, and says what is wrong with it.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Unauthorized> {
        let (counter, verdict) = match bearer_token(headers) {
            None => (&self.seen.missing, Err(Unauthorized::NoToken)),
            Some(token) => match self.tokens.standing(token) {
                Standing::Live => (&self.seen.accepted, Ok(())),
                Standing::Expired => (&self.seen.expired, Err(Unauthorized::BadToken("the token has expired"))),
                Standing::Revoked => (&self.seen.revoked, Err(Unauthorized::BadToken("the token was revoked"))),
                Standing::Unknown => (&self.seen.unknown, Err(Unauthorized::BadToken("nobody issued this token"))),
            },
        };
        let counter = if headers.contains_key(STORY) { counter } else { &self.seen.others };
        counter.fetch_add(1, Ordering::Relaxed);
        verdict
    }
}

impl Handler for Api {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let Some(body) = read_body(body).await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too long");
        };
        if head.uri.path() == "/slow" {
            self.pass_the_gate(head.headers.contains_key(STORY)).await;
        }
        match self.admit(&head.headers) {
            Ok(()) => respond(&head.method, head.uri.path(), &body),
            Err(unauthorized) => unauthorized.into_answer(),
        }
    }
}

impl Unauthorized {
    /// RFC 6750 §3.1: no error code for a request that has no token at all.
    fn into_answer(self) -> Answer {
        let (message, challenge) = match self {
            Self::NoToken => ("there is no token", "Bearer realm=\"demo\""),
            Self::BadToken(problem) => (problem, "Bearer realm=\"demo\", error=\"invalid_token\""),
        };
        let mut answer = json(StatusCode::UNAUTHORIZED, &json!({ "error": "unauthorized", "message": message }));
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        answer
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.gate.send_replace(true);
    }
}

impl<'a> Waiting<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn respond(method: &Method, path: &str, body: &Bytes) -> Answer {
    match (path, method) {
        ("/", &Method::GET | &Method::HEAD) => json(
            StatusCode::OK,
            &json!({ "message": "this API answers whoever has a live token", "try": ["/items", "/slow"] }),
        ),
        ("/items", &Method::GET | &Method::HEAD) => json(StatusCode::OK, &json!({ "items": ["pen", "paper"] })),
        ("/slow", &Method::GET | &Method::HEAD) => {
            json(StatusCode::OK, &json!({ "message": "sorry to keep you waiting" }))
        }
        ("/items" | "/slow", &Method::POST) => json(StatusCode::OK, &json!({ "received": received(body) })),
        ("/", _) => method_not_allowed("GET"),
        ("/items" | "/slow", _) => method_not_allowed("GET, POST"),
        _ => json(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
    }
}

/// What came, as it came: JSON as JSON, everything else as text.
fn received(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

/// The token of the only `Authorization` field; more than one is as good as none.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    only.to_str().ok()?.strip_prefix("Bearer ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::authorization_server::Rules;

    fn api() -> (AuthorizationServer, Api) {
        let server = AuthorizationServer::new(Rules {
            client_id: "demo".to_owned(),
            own_client_id: "own".to_owned(),
            client_secret: "secret".to_owned(),
            lifetime: Duration::from_secs(6),
            delay: Duration::ZERO,
        });
        (server.clone(), Api::new(server))
    }

    fn with_token(token: &str) -> HeaderMap {
        HeaderMap::from_iter([
            (AUTHORIZATION, format!("Bearer {token}").parse().unwrap()),
            (STORY, HeaderValue::from_static("1")),
        ])
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_live_token_opens_the_door_and_each_other_is_counted_by_what_is_wrong() {
        let (server, api) = api();
        let expired = server.issue_for_tests();
        tokio::time::advance(Duration::from_secs(6)).await;
        let revoked = server.issue_for_tests();
        server.revoke_all();
        let live = server.issue_for_tests();
        let check = |headers: &HeaderMap, wanted: Option<&str>| {
            let challenge = api.admit(headers).err().map(|unauthorized| {
                let answer = unauthorized.into_answer();
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
                answer.headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned()
            });
            assert_eq!(challenge.as_deref(), wanted, "{headers:?}");
        };
        let invalid = "Bearer realm=\"demo\", error=\"invalid_token\"";
        check(&with_token(&live), None);
        check(&with_token(&expired), Some(invalid));
        check(&with_token(&revoked), Some(invalid));
        check(&with_token("made-up"), Some(invalid));
        check(&HeaderMap::from_iter([(STORY, HeaderValue::from_static("1"))]), Some("Bearer realm=\"demo\""));
        // Somebody looks at the API meanwhile.
        check(&HeaderMap::new(), Some("Bearer realm=\"demo\""));
        let mut twice = with_token(&live);
        twice.append(AUTHORIZATION, format!("Bearer {live}").parse().unwrap());
        check(&twice, Some("Bearer realm=\"demo\""));
        let wanted = Sightings { accepted: 1, missing: 2, expired: 1, revoked: 1, unknown: 1, others: 1 };
        assert_eq!(api.sightings(), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_keeps_slow_requests_until_it_is_dropped() {
        let (_, api) = api();
        let hold = api.hold();
        let mut passing = std::pin::pin!(api.pass_the_gate(true));
        let waited = tokio::time::timeout(Duration::from_secs(60), passing.as_mut()).await;
        assert!(waited.is_err());
        assert_eq!(api.held(), 1);
        api.holds(1).await;
        drop(hold);
        passing.await;
        assert_eq!(api.held(), 0);
    }

    #[test]
    fn a_posted_body_comes_back_as_it_was() {
        assert_eq!(received(&Bytes::from_static(b"{\"name\":\"pen\"}")), json!({ "name": "pen" }));
        assert_eq!(received(&Bytes::from_static(b"name=pen")), json!("name=pen"));
    }

    #[test]
    fn each_path_has_its_methods() {
        let check = |method: Method, path: &str, status: u16| {
            assert_eq!(respond(&method, path, &Bytes::new()).status().as_u16(), status, "{method} {path}");
        };
        check(Method::GET, "/", 200);
        check(Method::GET, "/items", 200);
        check(Method::POST, "/items", 200);
        check(Method::GET, "/slow", 200);
        check(Method::POST, "/slow", 200);
        check(Method::DELETE, "/items", 405);
        check(Method::POST, "/", 405);
        check(Method::GET, "/elsewhere", 404);
    }
}
