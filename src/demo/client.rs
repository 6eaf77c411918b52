//! The demo's application: keep-alive HTTP/1.1 clients that know nothing of tokens, and what they measured.
//!
//! Owns no retry and no repair: what goes wrong here would have gone wrong in an application.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::api::STORY;

/// The longest that a caller waits: longer than anything in the story takes, so that only a real hang meets it.
const PATIENCE: Duration = Duration::from_secs(15);

/// One application's connection.
#[derive(Debug)]
pub(super) struct Caller {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// `WWW-Authenticate`, if there is one.
    pub(super) challenge: Option<String>,
    /// Its body.
    pub(super) body: Bytes,
}

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// To whom.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("no answer: {0}")]
    Broken(#[from] hyper::Error),
    /// The request could not be made.
    #[error("not a request: {0}")]
    Request(#[from] http::Error),
    /// Nothing came for too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// One request of the load.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// When it was sent.
    pub(super) sent: Instant,
    /// When its answer was complete, or it failed.
    pub(super) done: Instant,
    /// The status, or why there was none.
    pub(super) outcome: Result<StatusCode, String>,
}

/// Callers that send requests until told to stop. Dropping it ends them at once.
#[derive(Debug)]
pub(super) struct Load {
    stop: Rc<Cell<bool>>,
    records: Rc<RefCell<Vec<Record>>>,
    callers: JoinSet<()>,
}

/// What a number of requests came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// How many there were.
    pub(super) total: usize,
    /// How many of each status.
    pub(super) statuses: BTreeMap<u16, usize>,
    /// Why some got no answer.
    pub(super) errors: Vec<String>,
    /// Half of them took no longer.
    pub(super) half: Duration,
    /// 99 of 100 took no longer.
    pub(super) ninety_nine: Duration,
    /// None took longer.
    pub(super) slowest: Duration,
}

impl Caller {
    /// A caller of `address` that connects with its first request.
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, sender: None }
    }

    /// `GET path`.
    ///
    /// # Errors
    /// [`CallError`] if there was no answer.
    pub(super) async fn fetch(&mut self, path: &str) -> Result<Answer, CallError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`CallError`] if there was no answer.
    pub(super) async fn call(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer, CallError> {
        timeout(PATIENCE, self.call_without_limit(method, path, body)).await.unwrap_or_else(|_| {
            self.sender = None;
            Err(CallError::Silent)
        })
    }

    async fn call_without_limit(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer, CallError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .header(STORY, "1")
            .body(Full::new(body))?;
        let response = self.connection().await?.send_request(request).await?;
        let status = response.status();
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, challenge, body })
    }

    async fn connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, CallError> {
        let open = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let sender = match open {
            Some(sender) => sender,
            None => connect(self.address).await?,
        };
        Ok(self.sender.insert(sender))
    }
}

impl Load {
    /// `callers` connections to `address`, each of which sends `GET path`, reads the answer, pauses, and so on.
    pub(super) fn start(address: SocketAddr, path: &'static str, callers: usize, pause: Duration) -> Self {
        let mut load = Self { stop: Rc::default(), records: Rc::default(), callers: JoinSet::new() };
        for _ in 0..callers {
            let (stop, records) = (Rc::clone(&load.stop), Rc::clone(&load.records));
            load.callers.spawn_local(async move {
                let mut caller = Caller::new(address);
                while !stop.get() {
                    let sent = Instant::now();
                    let answer = caller.fetch(path).await;
                    let outcome = answer.map(|answer| answer.status).map_err(|error| error.to_string());
                    records.borrow_mut().push(Record { sent, done: Instant::now(), outcome });
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                }
            });
        }
        load
    }

    /// Requests answered so far.
    pub(super) fn so_far(&self) -> usize {
        self.records.borrow().len()
    }

    /// Lets every caller finish its request, and returns them all.
    pub(super) async fn stop(mut self) -> Vec<Record> {
        self.stop.set(true);
        while self.callers.join_next().await.is_some() {}
        self.records.take()
    }
}

impl Record {
    /// How long the caller waited.
    pub(super) fn took(&self) -> Duration {
        self.done - self.sent
    }
}

impl Figures {
    /// The figures of `records`.
    pub(super) fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut figures = Self::default();
        let mut times = Vec::new();
        for record in records {
            figures.total += 1;
            times.push(record.took());
            match &record.outcome {
                Ok(status) => *figures.statuses.entry(status.as_u16()).or_default() += 1,
                Err(error) => figures.errors.push(error.clone()),
            }
        }
        times.sort_unstable();
        figures.half = percentile(&times, 50);
        figures.ninety_nine = percentile(&times, 99);
        figures.slowest = percentile(&times, 100);
        figures
    }

    /// How many were answered with 200.
    pub(super) fn ok(&self) -> usize {
        self.statuses.get(&200).copied().unwrap_or(0)
    }

    /// What there was besides 200, in words; `None` if nothing.
    pub(super) fn trouble(&self) -> Option<String> {
        let others = self.statuses.iter().filter(|(status, _)| **status != 200);
        let mut parts: Vec<_> = others.map(|(status, count)| format!("{count} x {status}")).collect();
        if let Some(first) = self.errors.first() {
            parts.push(format!("{} without an answer, the first because: {first}", self.errors.len()));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, CallError> {
    let stream = TcpStream::connect(address).await.map_err(|source| CallError::Connect { address, source })?;
    // Small requests must not wait for the answer to the last packet (Nagle); a failure costs only speed.
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        // Whatever ends the connection is told to the request that uses it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The smallest of `sorted` that `percent` of them do not exceed; zero if there are none.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(range: std::ops::RangeInclusive<u64>) -> Vec<Duration> {
        range.map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let check = |sorted: &[Duration], percent: usize, wanted: u64| {
            assert_eq!(percentile(sorted, percent), Duration::from_millis(wanted), "{percent} of {}", sorted.len());
        };
        check(&millis(1..=100), 50, 50);
        check(&millis(1..=100), 99, 99);
        check(&millis(1..=100), 100, 100);
        check(&millis(1..=1), 50, 1);
        check(&millis(1..=3), 50, 2);
        check(&[], 99, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn everything_but_200_is_trouble() {
        let now = Instant::now();
        let record = |outcome| Record { sent: now, done: now + Duration::from_millis(5), outcome };
        let good = record(Ok(StatusCode::OK));
        assert_eq!(Figures::of([&good, &good]).trouble(), None);
        let refused = record(Ok(StatusCode::UNAUTHORIZED));
        let lost = record(Err("gone".to_owned()));
        let figures = Figures::of([&good, &refused, &refused, &lost]);
        assert_eq!((figures.total, figures.ok()), (4, 1));
        assert_eq!(figures.trouble().unwrap(), "2 x 401, 1 without an answer, the first because: gone");
    }
}
