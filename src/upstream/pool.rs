//! Connections to one upstream, as one worker keeps them: opened when needed, reused while fresh.
//!
//! Owns opening, reuse and the end of idle connections. A pool belongs to one worker thread, so it needs no lock. Of HTTP/1
//! the last connection that came back is taken first; the others grow old and are closed. HTTP/2 connections are shared, so
//! they are opened one at a time: whoever needs one while one is being opened waits for that.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::AnswerBody;
use super::connect::{ConnectError, ConnectFailure, Connector, Offer};
use super::connection::{Connection, Kind, Outbound, RequestHead, SendError};
use super::http1::Alone;
use super::http2::{Lease, Shared};
use super::incoming::Incoming;
use super::origin::Scheme;

/// Most idle connections kept for one upstream by one worker.
const IDLE_LIMIT: usize = 512;
/// How long a connection that is kept for nobody waits for those who had it opened.
const HAND_OVER: Duration = Duration::from_secs(1);

/// `upstream_protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What TLS agrees on; HTTP/1 without TLS.
    #[default]
    Auto,
    /// HTTP/1 alone.
    Http1,
    /// HTTP/2 alone; without TLS by prior knowledge (RFC 9113 §3.3).
    Http2,
}

/// How connections to one upstream are kept and spoken on.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which HTTP.
    pub protocol: Protocol,
    /// Idle connections are closed after this time; `None` keeps none.
    pub idle_timeout: Option<Duration>,
    /// Whether names of fields are written as the request's [`crate::spelling::Spelling`] says.
    pub preserve_header_case: bool,
}

/// The connections of one worker to one upstream.
#[derive(Debug)]
pub struct Pool<B: Outbound> {
    connector: Connector,
    options: Options,
    idle: RefCell<Vec<Idle<B>>>,
    shared: RefCell<Vec<Rc<Shared>>>,
    /// The one connection that may become a shared one.
    opening: RefCell<Option<watch::Receiver<Option<Opened>>>>,
    /// Whether the last connection spoke HTTP/1, so that there is no use in waiting for one to share.
    speaks_http1: Cell<bool>,
    sweeping: Cell<bool>,
}

#[derive(Debug)]
struct Idle<B: Outbound> {
    connection: Connection<B>,
    since: Instant,
}

/// How the opening of a connection that others wait for has ended.
type Opened = Result<(), ConnectError>;

impl<B: Outbound> Pool<B> {
    /// An empty pool.
    pub fn new(connector: Connector, options: Options) -> Rc<Self> {
        let can_share = match options.protocol {
            Protocol::Auto => connector.origin().scheme() == Scheme::Https,
            Protocol::Http1 => false,
            Protocol::Http2 => true,
        };
        Rc::new(Self {
            connector,
            options,
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: RefCell::default(),
            speaks_http1: Cell::new(!can_share),
            sweeping: Cell::new(false),
        })
    }

    /// An open connection that served before, if there is one `now`.
    pub fn take_idle(&self, now: Instant) -> Option<Connection<B>> {
        self.take_shared(true, now, |_| true).or_else(|| self.take_alone(now))
    }

    /// The same, one whose protocol can be changed.
    pub fn take_switchable(&self, now: Instant) -> Option<Connection<B>> {
        self.take_shared(true, now, Shared::is_known_to_switch).or_else(|| self.take_alone(now))
    }

    /// An open HTTP/1 connection, if there is one.
    fn take_alone(&self, now: Instant) -> Option<Connection<B>> {
        let oldest = self.oldest_kept(now);
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, since }) = idle.pop() {
            let fresh = !connection.reused || since >= oldest;
            if fresh && !connection.is_spent() {
                return Some(connection);
            }
        }
        None
    }

    /// Opens a connection, or a stream on one that was just opened.
    ///
    /// # Errors
    /// [`ConnectError`] with the step that failed.
    pub async fn connect(self: &Rc<Self>) -> Result<Connection<B>, ConnectError> {
        while !self.speaks_http1.get() {
            if let Some(connection) = self.take_shared(false, Instant::now(), |_| true) {
                return Ok(connection);
            }
            let newest = self.shared.borrow().last().cloned();
            if let Some(newest) = newest
                && newest.settle().await
            {
                continue;
            }
            let mut opening = self.opening();
            match opening.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Err(error))) => return Err(error.again()),
                // It is full or speaks HTTP/1.
                Ok(_) if self.speaks_http1.get() || self.has_live_shared() => (),
                // It has ended already; whoever asks gets one of its own, and with it the reason.
                _ => return self.open(self.offer()).await,
            }
        }
        match self.take_alone(Instant::now()) {
            Some(connection) => Ok(connection),
            None => self.open(self.offer()).await,
        }
    }

    /// Opens a connection whose protocol can be changed: a stream of HTTP/2 where the upstream has announced that (RFC 8441),
    /// else HTTP/1. `None` if the upstream has neither.
    ///
    /// # Errors
    /// [`ConnectError`] with the step that failed.
    pub async fn connect_to_switch(self: &Rc<Self>) -> Result<Option<Connection<B>>, ConnectError> {
        if self.speaks_http1.get() {
            return self.open(Offer::Http1).await.map(Some);
        }
        let connection = self.connect().await?;
        if connection.can_switch().await {
            return Ok(Some(connection));
        }
        if self.options.protocol == Protocol::Http2 {
            return Ok(None);
        }
        // Most servers that prefer HTTP/2 have HTTP/1 as well, and do WebSocket over that alone.
        match self.open(Offer::Http1).await {
            Ok(connection) => Ok(Some(connection)),
            // TLS with the same server has just succeeded: what it does not agree to is HTTP/1.
            Err(error) if error.failure == ConnectFailure::Tls => {
                tracing::debug!(error = %error.source, "upstream speaks HTTP/2 alone");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends one request. The connection comes back by itself when the answer's body has been read to its end.
    ///
    /// # Errors
    /// [`SendError`], and then the connection is closed, or the stream reset.
    pub async fn send(
        self: &Rc<Self>,
        mut connection: Connection<B>,
        head: &RequestHead<'_>,
        body: B,
    ) -> Result<http::Response<AnswerBody<B>>, SendError> {
        let response = match &mut connection.kind {
            // What cannot be sent again is not sent to where nobody is.
            Kind::Alone(alone) if connection.reused && !is_harmless(head.method, &body) && alone.has_news() => {
                return Err(SendError::of_closed());
            }
            Kind::Alone(alone) => {
                alone.begin_request(head, body);
                alone.answered(head).await?.map(|()| Incoming::Http1)
            }
            // Its answer is still being read.
            Kind::Joint(_) => return Err(SendError::of_closed()),
            // In a box, so that the others do not take the memory for it.
            Kind::Shared(lease) => Box::pin(lease.send(head, body, self.connector.origin())).await?,
        };
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if !switched && !connection.is_written() {
            connection = connection.joined();
        }
        Ok(response.map(|body| AnswerBody::new(body, connection, Rc::clone(self), switched)))
    }

    /// Takes a connection back whose answer has been read to the end.
    pub(super) fn give_back(self: &Rc<Self>, alone: Alone<B>) {
        if alone.is_written() {
            // Whether it has ended is seen when it is taken.
            if alone.may_persist() {
                self.keep(alone);
            }
            return;
        }
        // The request's body may still be under way: an upstream may answer first and read on. Not for ever: nobody waits
        // for that request any more.
        let pool = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Some(mut alone) = alone.written().await
                && !alone.is_spent()
            {
                pool.keep(alone);
            }
        });
    }

    fn keep(self: &Rc<Self>, mut alone: Alone<B>) {
        if self.options.idle_timeout.is_none() {
            return;
        }
        alone.rest();
        let connection = Connection { kind: Kind::Alone(alone), reused: true };
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_LIMIT {
            idle.push(Idle { connection, since: Instant::now() });
        }
        drop(idle);
        self.sweep();
    }

    /// A stream of a shared connection that has room.
    fn take_shared(&self, reused: bool, now: Instant, fits: impl Fn(&Shared) -> bool) -> Option<Connection<B>> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        let oldest = self.oldest_kept(now);
        shared.retain(|shared| !shared.is_spent() && !shared.idles_since(oldest));
        let found = shared.iter().find(|shared| shared.has_room() && fits(shared))?;
        Some(Connection { kind: Kind::Shared(Lease::of(found)), reused })
    }

    fn has_live_shared(&self) -> bool {
        self.shared.borrow().iter().any(|shared| !shared.is_spent())
    }

    /// The connection that is being opened for everybody; begins to open one if there is none.
    fn opening(self: &Rc<Self>) -> watch::Receiver<Option<Opened>> {
        let mut opening = self.opening.borrow_mut();
        if let Some(opening) = &*opening {
            return opening.clone();
        }
        let (tell, told) = watch::channel(None);
        *opening = Some(told.clone());
        let pool = Rc::clone(self);
        // A task of its own, so that a caller who leaves takes nothing from the others.
        tokio::task::spawn_local(async move {
            let opened = pool.open(pool.offer()).await.map(|connection| {
                if let Kind::Alone(_) = connection.kind {
                    pool.idle.borrow_mut().push(Idle { connection, since: Instant::now() });
                    pool.sweep();
                }
            });
            pool.opening.take();
            tell.send_replace(Some(opened));
        });
        told
    }

    fn offer(&self) -> Offer {
        match self.options.protocol {
            Protocol::Auto => Offer::Both,
            Protocol::Http1 => Offer::Http1,
            Protocol::Http2 => Offer::Http2,
        }
    }

    async fn open(self: &Rc<Self>, offer: Offer) -> Result<Connection<B>, ConnectError> {
        let stream = self.connector.connect_offering(offer).await?;
        let is_http2 = stream.agreed_on_http2() || offer == Offer::Http2;
        if offer != Offer::Http1 {
            self.speaks_http1.set(!is_http2);
        }
        if !is_http2 {
            return Ok(Connection {
                kind: Kind::Alone(Alone::begin(stream, self.options.preserve_header_case)),
                reused: false,
            });
        }
        let shared = Shared::begin(stream).await?;
        let lease = Lease::of(&shared);
        self.shared.borrow_mut().push(shared);
        self.sweep();
        Ok(Connection { kind: Kind::Shared(lease), reused: false })
    }

    /// Starts the one task that closes connections which grew old, unless it runs.
    fn sweep(self: &Rc<Self>) {
        let patience = self.options.idle_timeout.unwrap_or(HAND_OVER);
        if self.sweeping.replace(true) {
            return;
        }
        let pool = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(patience).await;
                let Some(pool) = pool.upgrade() else { return };
                if pool.drop_old() {
                    pool.sweeping.set(false);
                    return;
                }
            }
        });
    }

    /// Closes what has idled for too long; whether nothing is left.
    fn drop_old(&self) -> bool {
        let oldest = self.oldest_kept(Instant::now());
        let (mut idle, mut shared) = (self.idle.borrow_mut(), self.shared.borrow_mut());
        idle.retain_mut(|idle| idle.since >= oldest && !idle.connection.is_spent());
        shared.retain(|shared| !shared.is_spent() && !shared.idles_since(oldest));
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
        idle.is_empty() && shared.is_empty()
    }

    fn oldest_kept(&self, now: Instant) -> Instant {
        now.checked_sub(self.options.idle_timeout.unwrap_or(HAND_OVER)).unwrap_or(now)
    }
}

/// Whether a request can be sent again whatever became of it.
fn is_harmless<B: Outbound>(method: &Method, body: &B) -> bool {
    method.is_idempotent() && body.is_end_stream()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use bytes::Bytes;
    use http::HeaderMap;
    use http::uri::PathAndQuery;
    use http_body_util::{BodyExt as _, Full};

    use super::super::connection::Target;
    use super::super::origin::Origin;
    use super::*;
    use crate::tls;

    async fn send(pool: &Rc<Pool<Full<Bytes>>>, connection: Connection<Full<Bytes>>) -> Result<Bytes, SendError> {
        let head = RequestHead {
            method: &Method::POST,
            target: Target::Plain(&PathAndQuery::from_static("/")),
            headers: &HeaderMap::new(),
            injected: None,
            proof: None,
            spelling: None,
            on_interim: None,
            #[cfg(feature = "otel")]
            traceparent: None,
        };
        let answer = pool.send(connection, &head, Full::from("body")).await?;
        Ok(answer.into_body().collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn what_cannot_be_sent_again_is_not_sent_where_the_system_knows_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let tls = tls::Client::load(tls::ClientSettings::default()).unwrap();
        let connector = Connector::new(Origin::of(&url).unwrap(), tls, Duration::from_secs(20)).unwrap();
        let options = Options {
            protocol: Protocol::Auto,
            idle_timeout: Some(Duration::from_secs(20)),
            preserve_header_case: false,
        };
        tokio::task::LocalSet::new()
            .run_until(async {
                let pool = Pool::new(connector, options);
                let connection = pool.connect().await.unwrap();
                let (mut upstream, _) = listener.accept().unwrap();
                let answering = std::thread::spawn(move || {
                    let mut head = [0; 1024];
                    let _ = upstream.read(&mut head).unwrap();
                    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").unwrap();
                    upstream
                });
                assert_eq!(send(&pool, connection).await.unwrap(), "well");
                // It closes, and the runtime has no occasion to hear of it.
                drop(answering.join().unwrap());
                let kept = pool.take_idle(Instant::now()).expect("as far as the runtime knows it is open");
                assert!(kept.is_reused());
                let error = send(&pool, kept).await.unwrap_err();
                assert!(!error.sent, "{error:?}");
            })
            .await;
    }
}
