//! The access log: what one request was, how it ended, and whether there is a line of it.
//!
//! Nothing of this is made, or looked at, while no line could come of it. No query is ever held: it may carry secrets.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Method, StatusCode, Version};

use super::traced::{self, TraceParent};
use crate::log::Share;
use crate::metrics::AnsweredBy;
use crate::reason::Reason;
use crate::server::{ConnectionInfo, Peer};

/// Which requests are logged, and by which names they are known.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Of how many there is a line. Failures are always among them, if there are lines at all.
    pub share: Share,
    /// The field with a request's id; requests without one are given one. `None`: `x-request-id`, and nothing is made.
    pub request_id: Option<HeaderName>,
}

/// What will be said of one request.
#[derive(Debug)]
pub(super) struct Access {
    method: Method,
    path: String,
    version: Version,
    peer: Peer,
    request_id: Option<String>,
    trace: Option<TraceParent>,
    /// Whether it is among those that are logged although nothing is wrong with them.
    is_chosen: bool,
    status: Option<StatusCode>,
    by: Option<AnsweredBy>,
    code: Option<Reason>,
    sent: u64,
    notes: Rc<Notes>,
}

/// What is noted on the way, where the access log's own record cannot be reached.
#[derive(Debug, Default)]
pub(super) struct Notes {
    upstream: Cell<Option<Duration>>,
    received: Cell<u64>,
    is_replayed: Cell<bool>,
}

impl Notes {
    /// An upstream has begun to answer; of several attempts the times add up.
    pub(super) fn upstream_took(&self, took: Duration) {
        self.upstream.set(Some(self.upstream.get().unwrap_or_default() + took));
    }

    /// A piece of the caller's body has come.
    pub(super) fn received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    /// The request was sent again, with another token or proof.
    pub(super) fn replayed(&self) {
        self.is_replayed.set(true);
    }
}

impl AccessLog {
    /// Begins the record of a request; `None` if there are no lines.
    pub(super) fn begin(&self, info: &ConnectionInfo, request: &Parts) -> Option<Box<Access>> {
        if self.share.is_none() {
            return None;
        }
        Some(Box::new(Access {
            method: request.method.clone(),
            path: request.uri.path().to_owned(),
            version: request.version,
            peer: info.peer,
            request_id: traced::id(self.request_id.as_ref(), &request.headers),
            trace: traced::parent(&request.headers),
            is_chosen: self.share.takes(),
            status: None,
            by: None,
            code: None,
            sent: 0,
            notes: Rc::default(),
        }))
    }
}

impl Access {
    pub(super) fn notes(&self) -> &Rc<Notes> {
        &self.notes
    }

    pub(super) fn answered(&mut self, status: StatusCode, by: AnsweredBy) {
        (self.status, self.by) = (Some(status), Some(by));
    }

    /// Why bearerd answers by itself.
    pub(super) fn refused(&mut self, reason: Reason) {
        self.code = Some(reason);
    }

    /// A piece of the answer goes out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    fn is_due(&self) -> bool {
        let has_failed = self.status.is_none_or(|status| status.is_server_error());
        self.is_chosen || has_failed || self.by == Some(AnsweredBy::Bearerd)
    }

    /// The line, if there is to be one. `took` is from the request's head to the end of its answer.
    pub(super) fn write(&self, route: Option<&str>, took: Duration) {
        if !self.is_due() {
            return;
        }
        // A caller that left before the head gets the code of that, as there is no status.
        let code = self.code.or_else(|| self.status.is_none().then_some(Reason::CallerGone));
        let trace = self.trace.as_ref();
        let upstream = self.notes.upstream.get();
        tracing::info!(
            target: "access",
            method = %self.method,
            path = %self.path.escape_default(),
            protocol = protocol(self.version),
            status = self.status.map(|status| u64::from(status.as_u16())),
            route,
            origin = self.by.map(origin),
            code = code.map(Reason::code),
            milliseconds = milliseconds(took),
            upstream_milliseconds = upstream.map(milliseconds),
            bytes_in = self.notes.received.get(),
            bytes_out = self.sent,
            replayed = self.notes.is_replayed.get().then_some(true),
            peer = peer(self.peer),
            request_id = self.request_id.as_deref(),
            trace_id = trace.map(|trace| trace.trace_id.as_str()),
            span_id = trace.map(|trace| trace.span_id.as_str()),
            trace_sampled = trace.map(|trace| trace.sampled),
            "request"
        );
    }
}

/// The line of what the server refused before it became a request.
#[cold]
pub(super) fn write_refused(info: &ConnectionInfo, status: StatusCode, reason: Reason) {
    tracing::info!(
        target: "access",
        status = u64::from(status.as_u16()),
        origin = origin(AnsweredBy::Bearerd),
        code = reason.code(),
        peer = peer(info.peer),
        "refused"
    );
}

/// The address alone: the port is another with each connection and means nothing later.
fn peer(peer: Peer) -> String {
    peer.ip().map_or_else(|| peer.to_string(), |ip| ip.to_string())
}

fn origin(by: AnsweredBy) -> &'static str {
    match by {
        AnsweredBy::Upstream => "upstream",
        AnsweredBy::Bearerd => "bearerd",
    }
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are as exact as it gets.
    time.as_micros() as f64 / 1e3
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(share: Share) -> Option<Box<Access>> {
        let (parts, ()) = http::Request::get("/items?secret=1").body(()).unwrap().into_parts();
        let peer = Peer::Unix { uid: 7, gid: 7, pid: None };
        let info = ConnectionInfo { peer, loopback_listener: true, group: 0, secure: false, names: None };
        AccessLog { share, request_id: None }.begin(&info, &parts)
    }

    #[test]
    fn failures_and_answers_of_our_own_are_logged_whatever_the_share() {
        assert!(access(Share::NONE).is_none(), "nothing is made where there are no lines");
        let check = |status: u16, by: AnsweredBy, wanted: bool| {
            // So few that none of these is chosen by chance.
            let mut access = access(Share::of(1e-6)).unwrap();
            access.is_chosen = false;
            access.answered(StatusCode::from_u16(status).unwrap(), by);
            assert_eq!(access.is_due(), wanted, "{status}");
        };
        check(200, AnsweredBy::Upstream, false);
        check(404, AnsweredBy::Upstream, false);
        check(500, AnsweredBy::Upstream, true);
        check(403, AnsweredBy::Bearerd, true);
        assert!(access(Share::of(1e-6)).unwrap().is_due(), "nobody got an answer");
        assert!(!access(Share::ALL).unwrap().path.contains("secret"));
    }
}
