//! A caller: requests of exact bytes, answers told in full, and load.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wire::{Fields, Framing, Wire, latin1};
use super::{now, pause};

/// A request as it will be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), fields: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// A POST whose body the test sends itself, in chunks.
    pub(crate) fn chunked(target: &str) -> Self {
        Self::new("POST", target).field("Transfer-Encoding", "chunked")
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A body of known length.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.field("Content-Length", &length)
    }

    /// Its head alone, with a `Host` unless it has one.
    pub(crate) fn head_bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {address}\r\n"));
        }
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The same as text, for what no well-behaved client would send.
    pub(crate) fn head_text(&self, address: SocketAddr) -> String {
        String::from_utf8(self.head_bytes(address)).expect("UTF-8")
    }

    pub(crate) fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        [self.head_bytes(address), self.body.clone()].concat()
    }

    /// Sends it on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, address: SocketAddr) -> Response {
        match self.try_send(address) {
            Ok(response) => response,
            Err(error) => panic!("no answer to {} {}: {error}", self.method, self.target),
        }
    }

    pub(crate) fn try_send(&self, address: SocketAddr) -> io::Result<Response> {
        let mut wire = Wire::connect(address)?;
        wire.send(self.bytes(address))?;
        read_response(&mut wire, &self.method)
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    pub(crate) raw_head: String,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {self:?}"))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.first(name)
    }

    /// Fails unless it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}{}", self.raw_head, self.text());
        self
    }

    /// Fails unless it is one of bearerd's own: a problem document with this status and reason code, a `Proxy-Status`,
    /// and the code in the reason phrase.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        let response = self.expect(status);
        let told = format!("{}{}", response.raw_head, response.text());
        assert_eq!(response.field("content-type"), Some("application/problem+json"), "{told}");
        assert_eq!(response.json().get("code").and_then(|code| code.as_str()), Some(code), "{told}");
        assert_eq!(
            response.json().get("status").and_then(serde_json::Value::as_u64),
            Some(u64::from(status)),
            "{told}"
        );
        assert!(response.field("proxy-status").is_some_and(|value| value.starts_with("bearerd")), "{told}");
        assert!(response.reason.contains(code), "{told}");
        response
    }
}

/// Reads one answer to a request of this method, with whatever 1xx come first.
pub(crate) fn read_response(wire: &mut Wire, method: &str) -> io::Result<Response> {
    let mut response = read_response_head(wire)?;
    let framing = framing_of(&response, method);
    (response.body, response.trailers) = wire.body(framing)?;
    Ok(response)
}

/// Reads an answer up to its body.
pub(crate) fn read_response_head(wire: &mut Wire) -> io::Result<Response> {
    loop {
        let head = wire.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.word(1).parse().map_err(|_| io::Error::other(format!("status line {:?}", head.start)))?;
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        let reason = head.start.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
        let (body, trailers) = (Vec::new(), Fields::default());
        let raw_head = latin1(&head.raw);
        return Ok(Response { status, reason, fields: head.fields, body, trailers, raw_head });
    }
}

fn framing_of(response: &Response, method: &str) -> Framing {
    let head = super::wire::Head { fields: response.fields.clone(), ..Default::default() };
    head.response_framing(response.status, method)
}

/// Sends `count` requests at the same moment, each on a connection of its own that is open before.
pub(crate) fn burst(
    address: SocketAddr,
    count: usize,
    request: impl Fn(usize) -> Request + Send + Sync + 'static,
) -> Vec<io::Result<Response>> {
    let (barrier, request) = (Arc::new(Barrier::new(count)), Arc::new(request));
    let callers: Vec<JoinHandle<io::Result<Response>>> = (0..count)
        .map(|n| {
            let (barrier, request) = (barrier.clone(), request.clone());
            let caller = move || {
                let wire = Wire::connect(address);
                barrier.wait();
                let mut wire = wire?;
                let request = request(n);
                wire.send(request.bytes(address))?;
                read_response(&mut wire, &request.method)
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn(caller).expect("a thread")
        })
        .collect();
    callers.into_iter().map(|caller| caller.join().expect("a caller")).collect()
}

/// The statuses of many answers, counted; 0 stands for no answer.
pub(crate) fn statuses(answers: &[io::Result<Response>]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.as_ref().map_or(0, |response| response.status)).or_default() += 1;
    }
    counts
}

/// Callers that send one request after the other until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<LoadReport>>,
}

/// What a load met.
#[derive(Clone, Default)]
pub(crate) struct LoadReport {
    /// How many answers had which status; 0 stands for no answer.
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// The first failures, told.
    pub(crate) failures: Vec<String>,
    /// How long each request took.
    pub(crate) times: Vec<Duration>,
}

impl std::fmt::Debug for LoadReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slowest = self.quantile(1.0);
        write!(f, "answers {:?}, slowest {slowest:?}, failures {:#?}", self.statuses, self.failures)
    }
}

impl LoadReport {
    pub(crate) fn total(&self) -> usize {
        self.statuses.values().sum()
    }

    /// Adds what was met elsewhere or later.
    pub(crate) fn merge(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.times.extend(other.times);
    }

    /// The time within which this share of the requests was answered.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        let last = times.len().saturating_sub(1);
        times.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }

    /// Fails if anything but 200 was answered, or nothing at all.
    #[track_caller]
    pub(crate) fn expect_all_ok(&self) {
        assert!(self.total() > 0, "the load never ran");
        assert_eq!(self.statuses.keys().copied().collect::<Vec<_>>(), [200], "{self:?}");
    }
}

impl Load {
    /// Starts `callers` that each keep one connection alive and rest between their requests.
    pub(crate) fn start(address: SocketAddr, callers: usize, rest: Duration, request: Request) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = (0..callers)
            .map(|_| {
                let (stop, request) = (stop.clone(), request.clone());
                std::thread::spawn(move || call_until(&stop, address, rest, &request))
            })
            .collect();
        Self { stop, callers }
    }

    pub(crate) fn stop(mut self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = LoadReport::default();
        for caller in self.callers.drain(..) {
            all.merge(caller.join().expect("a caller"));
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn call_until(stop: &AtomicBool, address: SocketAddr, rest: Duration, request: &Request) -> LoadReport {
    let mut report = LoadReport::default();
    let mut wire = None;
    let bytes = request.bytes(address);
    while !stop.load(Ordering::Relaxed) {
        let start = now();
        let answer = call(&mut wire, address, &bytes, &request.method);
        report.note(start, answer, &mut wire);
        pause(rest);
    }
    report
}

fn call(wire: &mut Option<Wire>, address: SocketAddr, bytes: &[u8], method: &str) -> io::Result<Response> {
    if wire.is_none() {
        *wire = Some(Wire::connect(address)?);
    }
    let wire = wire.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    wire.send(bytes)?;
    read_response(wire, method)
}

impl LoadReport {
    fn note(&mut self, start: Instant, answer: io::Result<Response>, wire: &mut Option<Wire>) {
        self.times.push(start.elapsed());
        let status = answer.as_ref().map_or(0, |response| response.status);
        *self.statuses.entry(status).or_default() += 1;
        let told = match &answer {
            Ok(response) if response.status == 200 => None,
            Ok(response) => Some(format!("{}{}", response.raw_head, response.text())),
            Err(error) => Some(error.to_string()),
        };
        if let Some(told) = told
            && self.failures.len() < 5
        {
            self.failures.push(told);
        }
        if answer.map_or(true, |response| response.field("connection") == Some("close")) {
            *wire = None;
        }
    }
}
