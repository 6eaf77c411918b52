//! One exchange with the token endpoint: one connection, one request, one answer.
//!
//! Owns the deadline over all of it and the bound on what is read. Never follows a redirect, never decompresses,
//! never tries twice. Nothing is spawned: dropping the future closes the connection.

use std::error::Error as _;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::lifetime::WallTimes;
use crate::clock::Clock;
use crate::reason::Reason;
use crate::retry_after;
use crate::upstream::{ConnectError, ConnectFailure, Connector};

/// The most that is read of an answer's body.
pub(super) const LONGEST_BODY: usize = 256 * 1024;

/// The most that is read of an answer's head, interim answers excluded.
const LONGEST_HEAD: usize = 64 * 1024;

const MOST_HEADERS: usize = 256;

/// More than anybody waits, and little enough to be added to any instant.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// An answer, as far as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) times: WallTimes,
}

/// The body of an answer.
pub(super) enum Body {
    Whole(Zeroizing<Vec<u8>>),
    /// More than [`LONGEST_BODY`].
    TooLong,
    /// It stopped before its end.
    Cut(NoAnswer),
}

/// There was no answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer {
    pub(super) reason: Reason,
    /// What happened, for the line that ends in it. Nothing of the peer's own words.
    pub(super) detail: String,
    /// Whether a proxy on the way refused our login to it: trying again may lock an account there.
    pub(super) login_refused: bool,
}

impl NoAnswer {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), login_refused: false }
    }
}

/// The end of the time for something, and how much it was, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// From now on.
    pub(super) fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit.min(LONGEST_WAIT), limit }
    }
}

/// Sends `request` and reads the answer, all before the deadline.
pub(super) async fn exchange(
    connector: &Connector,
    request: Request<Full<Bytes>>,
    Deadline { at: deadline, limit }: Deadline,
    clock: &Clock,
) -> Result<Answer, NoAnswer> {
    let stream = match timeout_at(deadline, connector.connect()).await {
        Ok(stream) => stream.map_err(|error| no_connection(&error))?,
        Err(_) => return Err(too_late("no connection", limit)),
    };
    let sent = clock.wall();
    let mut builder = http1::Builder::new();
    builder.max_buf_size(LONGEST_HEAD).max_headers(MOST_HEADERS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answer = async {
        let response = match timeout_at(deadline, sender.send_request(request)).await {
            Ok(response) => response.map_err(|error| broken(&error))?,
            Err(_) => return Err(too_late("no answer", limit)),
        };
        let arrived = clock.wall();
        let (head, body) = response.into_parts();
        // A status that came is an answer, even if its body stalls: a refusal must count as one.
        let body = match timeout_at(deadline, read(body)).await {
            Ok(body) => body,
            Err(_) => Body::Cut(too_late("the answer did not end", limit)),
        };
        let times = WallTimes { sent, arrived, date: retry_after::date(&head.headers) };
        Ok(Answer { status: head.status, headers: head.headers, body, times })
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            ended = &mut answer => return ended,
            // What went wrong on the connection is told to whom waits for the answer, after what had come before.
            _ = &mut connection, if open => open = false,
        }
    }
}

fn too_late(what: &str, limit: Duration) -> NoAnswer {
    NoAnswer::new(Reason::TokenTimeout, format!("{what} within {}", humantime::format_duration(limit)))
}

async fn read(mut body: Incoming) -> Body {
    // In one piece, since a buffer that grows leaves copies behind.
    let room = body.size_hint().upper().and_then(|length| usize::try_from(length).ok()).unwrap_or(LONGEST_BODY);
    let mut whole = Zeroizing::new(Vec::with_capacity(room.min(LONGEST_BODY)));
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Some(data) = frame.data_ref() else { continue };
                if whole.len() + data.len() > LONGEST_BODY {
                    return Body::TooLong;
                }
                whole.extend_from_slice(data);
            }
            Err(error) => {
                let cause = error.source().map(|source| format!(" ({source})")).unwrap_or_default();
                return Body::Cut(NoAnswer::new(Reason::TokenMalformed, format!("it was cut off{cause}")));
            }
        }
    }
    Body::Whole(whole)
}

pub(super) fn no_connection(error: &ConnectError) -> NoAnswer {
    let reason = match error.failure {
        ConnectFailure::Name | ConnectFailure::Connect => Reason::TokenUnreachable,
        ConnectFailure::Timeout => Reason::TokenTimeout,
        ConnectFailure::Tls => Reason::TokenTls,
        ConnectFailure::Proxy => Reason::TokenProxy,
        ConnectFailure::ProxyRefused(_) => Reason::TokenProxyRefused,
    };
    let login_refused = error.failure == ConnectFailure::ProxyRefused(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    NoAnswer { login_refused, ..NoAnswer::new(reason, error.source.to_string()) }
}

fn broken(error: &hyper::Error) -> NoAnswer {
    if error.is_parse() {
        return NoAnswer::new(Reason::TokenMalformed, format!("not HTTP/1: {error}"));
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return NoAnswer::new(Reason::TokenUnreachable, "the connection was closed before the answer was complete");
    }
    if let Some(tls) = crate::tls::cause(error) {
        return NoAnswer::new(Reason::TokenTls, crate::tls::explain(tls));
    }
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    NoAnswer::new(Reason::TokenUnreachable, format!("{error}{cause}"))
}
