//! A scripted upstream: it checks tokens, records every request byte for byte, and answers any way a test wants.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::listener::Listener;
use super::tokens::{Standing, Tokens};
use super::wire::{Fields, Framing, Head, Wire, latin1};

/// The body of a 401 to a token that is not accepted.
pub(crate) const DENIAL: &str = r#"{"detail":"token not accepted"}"#;

/// What one path does. It is called when the head has come and before the body is read.
pub(crate) type Behaviour = Arc<dyn Fn(&mut Exchange<'_>) -> io::Result<After> + Send + Sync>;

/// Whether the connection goes on after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    /// What its token was worth when it came.
    pub(crate) standing: Standing,
    /// Empty until it was read.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

impl Seen {
    pub(crate) fn method(&self) -> &str {
        self.head.word(0)
    }

    pub(crate) fn target(&self) -> &str {
        self.head.word(1)
    }

    pub(crate) fn raw_head(&self) -> String {
        latin1(&self.head.raw)
    }
}

/// An API on a loopback port that answers 401 to whatever is no live token.
pub(crate) struct Upstream {
    listener: Listener,
    state: Arc<State>,
}

struct State {
    tokens: Tokens,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// Connections of an earlier epoch end after their next answer.
    epoch: AtomicUsize,
    behaviours: Mutex<Vec<(String, Behaviour)>>,
    /// The field in which the token comes, and what stands before it.
    place: Mutex<(String, String)>,
    /// Counts by [`Standing`] instead of records, for load: a record keeps every head.
    counting: Mutex<Option<[usize; 5]>>,
}

impl Upstream {
    pub(crate) fn start(tokens: &Tokens) -> Self {
        let state = Arc::new(State {
            tokens: tokens.clone(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            epoch: AtomicUsize::new(0),
            behaviours: Mutex::default(),
            place: Mutex::new(("authorization".to_owned(), "Bearer ".to_owned())),
            counting: Mutex::new(None),
        });
        let shared = state.clone();
        let listener = Listener::start(Arc::new(move |stream| {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            // The other end closing in the middle is part of many tests.
            let _ = serve(&mut Wire::new(stream), &shared);
        }));
        Self { listener, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Lets requests whose target begins with `path` be answered so. The last one said wins.
    pub(crate) fn on(
        &self,
        path: &str,
        behaviour: impl Fn(&mut Exchange<'_>) -> io::Result<After> + Send + Sync + 'static,
    ) {
        self.state.behaviours.lock().unwrap().push((path.to_owned(), Arc::new(behaviour)));
    }

    /// Expects the token in another field, after `prefix`.
    pub(crate) fn expect_token_in(&self, field: &str, prefix: &str) {
        *self.state.place.lock().unwrap() = (field.to_owned(), prefix.to_owned());
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The requests for one path, with its query.
    pub(crate) fn requests_for(&self, target: &str) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.target() == target).collect()
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only_request(&self) -> Seen {
        let mut all = self.requests();
        assert_eq!(all.len(), 1, "requests at the upstream: {all:#?}");
        all.remove(0)
    }

    pub(crate) fn count(&self) -> usize {
        match *self.state.counting.lock().unwrap() {
            Some(counts) => counts.iter().sum(),
            None => self.state.seen.lock().unwrap().len(),
        }
    }

    /// Only counts from now on: how many requests came with a token of which standing.
    pub(crate) fn count_only(&self) {
        *self.state.counting.lock().unwrap() = Some([0; 5]);
    }

    /// Requests since [`Self::count_only`]: with a live token, and without.
    pub(crate) fn counted(&self) -> [usize; 2] {
        let good = self.counted_as(Standing::Live);
        [good, self.count() - good]
    }

    /// Requests since [`Self::count_only`] whose token was of this standing.
    pub(crate) fn counted_as(&self, standing: Standing) -> usize {
        self.state.counting.lock().unwrap().map_or(0, |counts| counts[standing as usize])
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// The requests whose token was of this standing.
    pub(crate) fn with_token(&self, standing: Standing) -> usize {
        self.requests().iter().filter(|seen| seen.standing == standing).count()
    }

    pub(crate) fn go_down(&self) {
        self.listener.close();
    }

    pub(crate) fn come_back(&self) {
        self.listener.reopen();
    }

    /// Lets every connection end after its current answer without saying so, as an upstream does with those that it
    /// finds idle: the next request on one of them meets a closed socket.
    pub(crate) fn cut_connections_when_idle(&self) {
        self.state.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

/// One request being answered.
pub(crate) struct Exchange<'a> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) head: Head,
    pub(crate) standing: Standing,
    state: &'a State,
    index: Option<usize>,
    body_is_read: bool,
}

impl Exchange<'_> {
    pub(crate) fn method(&self) -> &str {
        self.head.word(0)
    }

    pub(crate) fn target(&self) -> &str {
        self.head.word(1)
    }

    pub(crate) fn token_is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// Reads the body, asking for it first if the other end waits for that.
    pub(crate) fn read_body(&mut self) -> io::Result<Vec<u8>> {
        if self.body_is_read {
            return Ok(Vec::new());
        }
        self.body_is_read = true;
        if self.head.fields.first("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.wire.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (body, trailers) = self.wire.body(self.head.request_framing())?;
        if let Some(index) = self.index
            && let Some(seen) = self.state.seen.lock().unwrap().get_mut(index)
        {
            seen.body.clone_from(&body);
            seen.trailers = trailers;
        }
        Ok(body)
    }

    /// Sends a whole answer. Without a body for HEAD, 204 and 304, whose length is announced all the same for HEAD.
    pub(crate) fn answer(&mut self, status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> io::Result<After> {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        if status != 204 && status != 304 {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let sent = if self.head.response_framing(status, self.method()) == Framing::None { &[][..] } else { body };
        self.wire.send([head.as_bytes(), sent].concat())?;
        Ok(After::KeepAlive)
    }

    /// The 401 of RFC 6750 §3.
    pub(crate) fn deny(&mut self) -> io::Result<After> {
        let challenge = r#"Bearer realm="api", error="invalid_token", error_description="no such token""#;
        self.answer(401, &[("WWW-Authenticate", challenge), ("X-From", "upstream")], DENIAL)
    }

    /// Agrees to be a WebSocket, and sends back whatever bytes come, until the other end closes.
    pub(crate) fn switch_and_echo(&mut self) -> io::Result<After> {
        self.wire.send("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        loop {
            let came = self.wire.some()?;
            if came.is_empty() {
                return Ok(After::Close);
            }
            self.wire.send(came)?;
        }
    }

    /// What every path does of which the test said nothing: 401 without a live token, else 200 and the request told.
    pub(crate) fn ordinary(&mut self) -> io::Result<After> {
        let body = self.read_body()?;
        if !self.token_is_live() {
            return self.deny();
        }
        let told = serde_json::json!({ "method": self.method(), "target": self.target(), "length": body.len() });
        self.answer(200, &[("Content-Type", "application/json")], told.to_string())
    }

    /// The same in as few words as possible, for load.
    #[allow(dead_code, reason = "the scenarios of tests/reliability alone need it")]
    pub(crate) fn brief(&mut self) -> io::Result<After> {
        self.read_body()?;
        if self.token_is_live() { self.answer(200, &[], "{}") } else { self.deny() }
    }
}

fn serve(wire: &mut Wire, state: &State) -> io::Result<()> {
    let epoch = state.epoch.load(Ordering::SeqCst);
    while let Some(head) = wire.head()? {
        let standing = state.standing(&head);
        let index = state.note(&head, standing);
        let behaviours = state.behaviours.lock().unwrap();
        let behaviour = behaviours.iter().rev().find(|(path, _)| head.word(1).starts_with(path.as_str()));
        let behaviour = behaviour.map(|(_, behaviour)| behaviour.clone());
        drop(behaviours);
        let mut exchange = Exchange { wire, head, standing, state, index, body_is_read: false };
        let after = match behaviour {
            Some(behaviour) => behaviour(&mut exchange)?,
            None => exchange.ordinary()?,
        };
        if after == After::Close {
            return Ok(());
        }
        // A behaviour that answered without reading the body must not leave it for the next request.
        exchange.body_is_read |= exchange.head.fields.has("expect");
        exchange.read_body()?;
        if state.epoch.load(Ordering::SeqCst) != epoch {
            return Ok(());
        }
    }
    Ok(())
}

impl State {
    fn standing(&self, head: &Head) -> Standing {
        let (field, prefix) = self.place.lock().unwrap().clone();
        match head.fields.first(&field).and_then(|value| value.strip_prefix(prefix.as_str())) {
            None => Standing::Missing,
            Some(token) => self.tokens.standing(token),
        }
    }

    fn note(&self, head: &Head, standing: Standing) -> Option<usize> {
        if let Some(counts) = self.counting.lock().unwrap().as_mut() {
            counts[standing as usize] += 1;
            return None;
        }
        let mut seen = self.seen.lock().unwrap();
        let (body, trailers) = (Vec::new(), Fields::default());
        seen.push(Seen { head: head.clone(), standing, body, trailers });
        Some(seen.len() - 1)
    }
}
