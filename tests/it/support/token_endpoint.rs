//! A scripted token endpoint: it records every request and answers as the test says, with any bytes.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::canaries::Canaries;
use super::listener::Listener;
use super::tokens::Tokens;
use super::wire::{Fields, Wire, latin1};
use super::{eventually, now, pause, seconds};

/// How one token request is answered.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A new token in the members of RFC 6749 §5.1.
    Token,
    /// A status, fields and a body.
    Http(u16, Vec<(String, String)>, Vec<u8>),
    /// Exactly these bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes, then nothing until the other end gives up.
    Stall(Vec<u8>),
    /// The connection is closed without an answer.
    Close,
    /// The same, some time later.
    After(Duration, Box<Reply>),
    /// As a function of the request says; it may issue tokens.
    Custom(Answer),
}

/// An answer that depends on the request.
pub(crate) type Answer = Arc<dyn Fn(&TokenRequest, &Tokens) -> Reply + Send + Sync>;

impl Reply {
    pub(crate) fn json(status: u16, body: impl AsRef<str>) -> Self {
        Self::text(status, "application/json", body.as_ref())
    }

    pub(crate) fn text(status: u16, content_type: &str, body: &str) -> Self {
        Self::Http(status, vec![("Content-Type".to_owned(), content_type.to_owned())], body.as_bytes().to_vec())
    }

    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Http(status, mut fields, body) => {
                fields.push((name.to_owned(), value.to_owned()));
                Self::Http(status, fields, body)
            }
            other => other,
        }
    }

    pub(crate) fn custom(answer: impl Fn(&TokenRequest, &Tokens) -> Self + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(answer))
    }

    /// A new token in a body that `shape` makes of it.
    pub(crate) fn token_as(shape: impl Fn(&str, u64) -> String + Send + Sync + 'static) -> Self {
        Self::custom(move |_, tokens| Self::json(200, shape(&tokens.issue(), tokens.lifetime())))
    }

    pub(crate) fn late(self, by: f64) -> Self {
        Self::After(seconds(by), Box::new(self))
    }
}

/// A token request as it came.
#[derive(Clone, Debug)]
pub(crate) struct TokenRequest {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

impl TokenRequest {
    /// The fields of a form body, in their order.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The fields of the query string.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The value of a form field.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        latin1(&self.body)
    }

    /// What stands in `Authorization: Basic`, decoded.
    pub(crate) fn basic(&self) -> Option<String> {
        let value = self.fields.first("authorization")?.strip_prefix("Basic ")?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
        String::from_utf8(bytes).ok()
    }
}

/// A token endpoint on a loopback port.
pub(crate) struct TokenEndpoint {
    listener: Listener,
    state: Arc<State>,
}

struct State {
    tokens: Tokens,
    seen: Mutex<Vec<TokenRequest>>,
    /// Answers to the next requests; then the standing one.
    script: Mutex<VecDeque<Reply>>,
    standing: Mutex<Reply>,
}

impl TokenEndpoint {
    pub(crate) fn start(tokens: &Tokens) -> Self {
        let state = Arc::new(State {
            tokens: tokens.clone(),
            seen: Mutex::default(),
            script: Mutex::default(),
            standing: Mutex::new(Reply::Token),
        });
        let shared = state.clone();
        let listener = Listener::start(Arc::new(move |stream| {
            // The other end closing in the middle is part of many tests.
            let _ = serve(&mut Wire::new(stream), &shared);
        }));
        Self { listener, state }
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.state.tokens
    }

    pub(crate) fn canaries(&self) -> &Canaries {
        self.state.tokens.canaries()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.address())
    }

    /// Answers the next requests so, one each.
    pub(crate) fn next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.script.lock().unwrap().extend(replies);
    }

    /// Answers every request so from now on.
    pub(crate) fn always(&self, reply: Reply) {
        *self.state.standing.lock().unwrap() = reply;
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<TokenRequest> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// Waits until this many requests have come.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize, within: f64) {
        eventually(&format!("{count} token requests"), seconds(within), || self.count() >= count);
    }

    /// Refuses connections, as a process that is gone.
    pub(crate) fn go_down(&self) {
        self.listener.close();
    }

    pub(crate) fn come_back(&self) {
        self.listener.reopen();
    }
}

fn serve(wire: &mut Wire, state: &State) -> io::Result<()> {
    while let Some(head) = wire.head()? {
        let at = now();
        let (body, _) = wire.body(head.request_framing())?;
        let request = TokenRequest {
            at,
            method: head.word(0).to_owned(),
            target: head.word(1).to_owned(),
            fields: head.fields,
            body,
        };
        state.seen.lock().unwrap().push(request.clone());
        let scripted = state.script.lock().unwrap().pop_front();
        let reply = scripted.unwrap_or_else(|| state.standing.lock().unwrap().clone());
        if !send(wire, reply, &request, &state.tokens)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends one answer; whether the connection goes on.
fn send(wire: &mut Wire, reply: Reply, request: &TokenRequest, tokens: &Tokens) -> io::Result<bool> {
    match reply {
        Reply::Token => {
            let shape = |token: &str, lifetime| {
                format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{lifetime}}}"#)
            };
            send(wire, Reply::token_as(shape), request, tokens)
        }
        Reply::Http(status, fields, body) => {
            let mut head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", body.len());
            for (name, value) in fields {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            wire.send([head.as_bytes(), b"\r\n", &body].concat())?;
            Ok(true)
        }
        Reply::Raw(bytes) => {
            wire.send(bytes)?;
            Ok(false)
        }
        Reply::Stall(bytes) => {
            wire.send(bytes)?;
            wire.closes_within(Duration::from_secs(30));
            Ok(false)
        }
        Reply::Close => Ok(false),
        Reply::After(time, reply) => {
            pause(time);
            send(wire, *reply, request, tokens)
        }
        Reply::Custom(answer) => {
            let reply = answer(request, tokens);
            send(wire, reply, request, tokens)
        }
    }
}
