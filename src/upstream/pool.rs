//! Connections to one upstream, as one worker keeps them: opened when needed, reused while fresh.
//!
//! Owns opening, reuse and the end of idle connections. A pool belongs to one worker thread, so it needs no lock. The
//! last connection that came back is taken first; the others grow old and are closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Request, StatusCode};
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::answer::AnswerBody;
use super::connect::{ConnectError, Connector};
use super::wire::{Traffic, Wire};

/// Longest head of an answer, in bytes (DESIGN section 6).
const HEAD_LIMIT: usize = 64 * 1024;
/// Most fields in an answer's head.
const FIELD_LIMIT: usize = 256;
/// Most bytes that are read, interim answers included, until the head of the answer is whole.
const BEFORE_BODY: usize = 4 * HEAD_LIMIT;
/// How long a request's body may go on after its answer has ended.
const LINGER: Duration = Duration::from_secs(30);
/// How long such a body may pause.
const PAUSE: Duration = Duration::from_secs(5);
/// Most idle connections kept for one upstream by one worker.
const IDLE_LIMIT: usize = 512;

/// The body of a request that goes upstream.
pub trait Outbound: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static {}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static> Outbound for B {}

/// How connections to one upstream are kept and spoken on.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Idle connections are closed after this time; `None` keeps none.
    pub idle_timeout: Option<Duration>,
    /// Whether names of fields are written as the caller spelled them, as far as hyper's server has noted it in the request,
    /// and others in Title-Case.
    pub preserve_header_case: bool,
}

/// The connections of one worker to one upstream.
#[derive(Debug)]
pub struct Pool<B> {
    connector: Connector,
    options: Options,
    idle: RefCell<Vec<Idle<B>>>,
    sweeping: Cell<bool>,
}

#[derive(Debug)]
struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
}

/// One connection, ready for one request. Dropped before its answer ends, it is closed.
#[derive(Debug)]
pub struct Connection<B> {
    sender: http1::SendRequest<B>,
    driver: AbortHandle,
    traffic: Rc<Traffic>,
    reused: bool,
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendError {
    /// Whether any byte of it may have reached the upstream.
    pub sent: bool,
    /// What happened.
    pub failure: SendFailure,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendFailure {
    /// The connection ended first.
    #[error("{0}")]
    Closed(hyper::Error),
    /// What came is not HTTP/1, or too much of it.
    #[error("{0}")]
    Malformed(hyper::Error),
    /// Interim answers came, more than anybody means.
    #[error("interim answers without end")]
    Flooded,
    /// The upstream turned to another protocol (RFC 9110 §15.2.2), which we never ask for.
    #[error("101 Switching Protocols without being asked")]
    Switched,
}

impl<B: Outbound> Pool<B> {
    /// An empty pool.
    pub fn new(connector: Connector, options: Options) -> Rc<Self> {
        Rc::new(Self { connector, options, idle: RefCell::default(), sweeping: Cell::new(false) })
    }

    /// An open connection that served before, if there is one.
    pub fn take_idle(&self) -> Option<Connection<B>> {
        let oldest = self.oldest_kept();
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, since }) = idle.pop() {
            if since >= oldest && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`ConnectError`] with the step that failed.
    pub async fn connect(&self) -> Result<Connection<B>, ConnectError> {
        let stream = self.connector.connect().await?;
        let traffic = Rc::new(Traffic::default());
        let io = TokioIo::new(Wire::new(stream, Rc::clone(&traffic)));
        let mut builder = http1::Builder::new();
        builder.max_header_size(HEAD_LIMIT).max_headers(FIELD_LIMIT);
        let preserves = self.options.preserve_header_case;
        builder.preserve_header_case(preserves).title_case_headers(preserves);
        let made = builder.handshake(io).await;
        let (sender, connection) = made.map_err(ConnectError::handshake)?;
        let driver = tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                // Whoever waits for an answer hears of it; an idle connection that ends is no event.
                tracing::trace!(%error, "upstream connection ended");
            }
        });
        Ok(Connection { sender, driver: driver.abort_handle(), traffic, reused: false })
    }

    /// Sends one request. The connection comes back by itself when the answer's body has been read to its end.
    ///
    /// # Errors
    /// [`SendError`], and then the connection is closed.
    pub async fn send(
        self: &Rc<Self>,
        mut connection: Connection<B>,
        request: Request<B>,
    ) -> Result<http::Response<AnswerBody<B>>, SendError> {
        let written_before = connection.traffic.written();
        connection.traffic.await_head(BEFORE_BODY);
        let mut response = match connection.sender.try_send_request(request).await {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return Err(SendError { sent: true, failure: SendFailure::Switched });
            }
            Ok(response) => response,
            Err(mut failed) => {
                let never_written = failed.take_message().is_some();
                let sent = !never_written && connection.traffic.written() != written_before;
                let failure = match failed.into_error() {
                    _ if connection.traffic.is_flooded() => SendFailure::Flooded,
                    error if error.is_parse() => SendFailure::Malformed(error),
                    error => SendFailure::Closed(error),
                };
                return Err(SendError { sent, failure });
            }
        };
        connection.traffic.head_came();
        let ambiguous = drop_overridden_length(response.headers_mut());
        let mut response = response.map(|body| AnswerBody::new(body, connection, Rc::clone(self)));
        if ambiguous {
            response.body_mut().forfeit();
        }
        Ok(response)
    }

    /// Takes a connection back whose answer has been read to the end.
    pub(super) fn give_back(self: &Rc<Self>, connection: Connection<B>) {
        if connection.sender.is_closed() || connection.traffic.write_failed() {
            return;
        }
        if connection.sender.is_ready() {
            self.keep(connection);
            return;
        }
        // The request's body may still be under way: an upstream may answer first and read on. Not for ever: nobody waits
        // for that request any more.
        let pool = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Some(connection) = finished(connection).await {
                pool.keep(connection);
            }
        });
    }

    fn keep(self: &Rc<Self>, mut connection: Connection<B>) {
        if self.options.idle_timeout.is_none() {
            return;
        }
        connection.reused = true;
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_LIMIT {
            idle.push(Idle { connection, since: Instant::now() });
        }
        drop(idle);
        self.sweep();
    }

    /// Starts the one task that closes connections which grew old, unless it runs.
    fn sweep(self: &Rc<Self>) {
        let Some(patience) = self.options.idle_timeout else { return };
        if self.sweeping.replace(true) {
            return;
        }
        let pool = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(patience).await;
                let Some(pool) = pool.upgrade() else { return };
                let oldest = pool.oldest_kept();
                let mut idle = pool.idle.borrow_mut();
                idle.retain(|i| i.since >= oldest && !i.connection.sender.is_closed());
                if idle.is_empty() {
                    idle.shrink_to_fit();
                    pool.sweeping.set(false);
                    return;
                }
            }
        });
    }

    fn oldest_kept(&self) -> Instant {
        let now = Instant::now();
        self.options.idle_timeout.and_then(|patience| now.checked_sub(patience)).unwrap_or(now)
    }
}

/// The connection, when its request has been written to the end; `None` if the caller pauses or takes too long.
async fn finished<B>(mut connection: Connection<B>) -> Option<Connection<B>> {
    let until = Instant::now() + LINGER;
    loop {
        let written = connection.traffic.written();
        match timeout(PAUSE, connection.sender.ready()).await {
            Ok(ended) => return ended.is_ok().then_some(connection),
            Err(_) if Instant::now() >= until || connection.traffic.written() == written => return None,
            Err(_) => (),
        }
    }
}

/// `Transfer-Encoding` overrides `Content-Length`, which must not be forwarded then (RFC 9112 §6.3). Returns whether there were
/// both: an attempt at smuggling, perhaps, so that the connection is not to be used again.
fn drop_overridden_length(headers: &mut HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.remove(CONTENT_LENGTH).is_some()
}

impl<B> Connection<B> {
    /// Whether it served a request before: then the upstream may be about to close it.
    pub fn is_reused(&self) -> bool {
        self.reused
    }
}
