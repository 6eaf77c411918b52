//! The spans of a request: one for all of it, one for each time that it is sent to its upstream.
//!
//! Owns what they say, in the words of OpenTelemetry's semantic conventions for HTTP, and the `traceparent` that goes upstream: it
//! names the span of that very sending. Nothing of a query, of a body, or of any field but the request's id is held. What a worker
//! records it hands over at the end of the request, all at once.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode, Version};
use tokio::time::Instant;

use super::outbound::{Authorized, Sanitized};
use super::share::RouteShare;
use super::traced::{self, TRACEPARENT};
use crate::metrics::AnsweredBy;
use crate::reason::Reason;
use crate::server::ConnectionInfo;
use crate::token::AccessToken;
use crate::traces::{Context, Kind, Recording, Sink, Span, SpanId, fresh, shortened, traceparent};

/// What goes with a trace that a caller is in, and means nothing without it.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The spans of one request, if it is recorded.
#[derive(Debug)]
pub(super) struct Spans(Option<Box<Server>>);

#[derive(Debug)]
struct Server {
    sink: Arc<Sink>,
    context: Context,
    start: SystemTime,
    began: Instant,
    method: Method,
    path: String,
    scheme: &'static str,
    version: Version,
    client: Option<IpAddr>,
    request_id: Option<String>,
    asked: Option<Authority>,
    status: Option<StatusCode>,
    by: Option<AnsweredBy>,
    refused: Option<Reason>,
    sent: RefCell<Vec<Span>>,
    sendings: Cell<u16>,
    /// Since when a connection is made for the next sending.
    connecting: Cell<Option<Instant>>,
}

/// Where the sendings of a request are recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sendings<'a>(Option<&'a Server>);

/// One sending. It is recorded when this is dropped, however it ended.
pub(super) struct Sending<'a>(Option<Begun<'a>>);

/// What is said of it to the upstream: its `traceparent`.
pub(super) struct Said(Option<HeaderValue>);

struct Begun<'a> {
    server: &'a Server,
    route: &'a RouteShare,
    request: &'a Sanitized,
    span_id: SpanId,
    began: Instant,
    number: u16,
    generation: Option<u64>,
    status: Option<StatusCode>,
    failure: Option<Reason>,
}

impl Spans {
    /// Decides whether a request is recorded. Its fields say afterwards which span it is in: ours, if it is; the caller's, if that is
    /// not recorded either. Whoever begins a trace that nobody records says that too, so that the upstream does not begin another.
    pub(super) fn begin(
        recording: &Recording,
        info: &ConnectionInfo,
        parts: &mut Parts,
        id_field: Option<&HeaderName>,
    ) -> Self {
        let Some(sink) = recording.sink() else { return Self(None) };
        let said = traced::parent(&parts.headers);
        let parent = said.as_ref().and_then(|said| {
            let trace_id = u128::from_str_radix(&said.trace_id, 16).ok()?;
            Some((trace_id, u64::from_str_radix(&said.span_id, 16).ok()?.to_be_bytes(), said.sampled))
        });
        let context = match parent {
            Some((trace_id, span_id, _)) => Context::child_of(trace_id, span_id),
            None => {
                parts.headers.remove(TRACESTATE);
                Context::root()
            }
        };
        let said = parent.map(|(_, _, sampled)| sampled);
        let is_recorded = sink.sampler.takes(context.trace_id, said);
        if !is_recorded && said == Some(false) {
            return Self(None);
        }
        let known_by = if is_recorded { context.span_id } else { context.parent.unwrap_or(context.span_id) };
        if let Some(value) = traceparent(context.trace_id, known_by, is_recorded) {
            parts.headers.insert(TRACEPARENT, value);
        }
        let begin = || Server {
            sink: Arc::clone(sink),
            context,
            start: SystemTime::now(),
            began: Instant::now(),
            method: parts.method.clone(),
            path: shortened(parts.uri.path()),
            scheme: info.scheme(),
            version: parts.version,
            client: info.peer.ip(),
            request_id: traced::id(id_field, &parts.headers),
            asked: None,
            status: None,
            by: None,
            refused: None,
            sent: RefCell::default(),
            sendings: Cell::new(0),
            connecting: Cell::new(None),
        };
        Self(is_recorded.then(|| Box::new(begin())))
    }

    /// What the caller asks for, once it was found to be allowed.
    pub(super) fn asked(&mut self, authority: &Authority) {
        if let Some(server) = &mut self.0 {
            server.asked = Some(authority.clone());
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode, by: AnsweredBy) {
        if let Some(server) = &mut self.0 {
            (server.status, server.by) = (Some(status), Some(by));
        }
    }

    /// Why bearerd answers by itself.
    pub(super) fn refused(&mut self, reason: Reason) {
        if let Some(server) = &mut self.0 {
            server.refused = Some(reason);
        }
    }

    /// Where its sendings are recorded.
    pub(super) fn sendings(&self) -> Sendings<'_> {
        Sendings(self.0.as_deref())
    }

    /// The answer has ended, `took` after the request began: hands everything over.
    pub(super) fn finish(&mut self, route: Option<&RouteShare>, took: Duration) {
        if let Some(server) = self.0.take() {
            let mut spans = server.sent.take();
            spans.push(server.span(route, took));
            server.sink.put(spans);
        }
    }
}

impl Server {
    fn span(&self, route: Option<&RouteShare>, took: Duration) -> Span {
        let (method, verb) = method(&self.method);
        let path = route.map(|route| route.settings.path.as_str());
        let name = path.map_or(Cow::Borrowed(verb), |path| format!("{verb} {path}").into());
        let mut span = Span::new(self.context, Kind::Server, name, self.start);
        span.end = self.start + took;
        span.set("http.request.method", method);
        span.set("url.scheme", self.scheme);
        span.set("url.path", self.path.clone());
        span.set("network.protocol.version", protocol(self.version));
        if let Some(asked) = &self.asked {
            span.set("server.address", shortened(asked.host()));
            if let Some(port) = asked.port_u16() {
                span.set("server.port", port);
            }
        }
        if let Some(client) = self.client {
            span.set("client.address", client.to_string());
        }
        if let Some(route) = route {
            span.set("http.route", route.settings.path.clone());
            span.set("bearerd.route", route.settings.name.clone());
        }
        if let Some(id) = &self.request_id {
            span.set("bearerd.request_id", id.clone());
        }
        if let Some(by) = self.by {
            span.set("bearerd.origin", if by == AnsweredBy::Bearerd { "bearerd" } else { "upstream" });
        }
        // A caller that left before the head gets the code of that, as there is no status.
        let code = self.refused.or_else(|| self.status.is_none().then_some(Reason::CallerGone));
        span.failure = code;
        span.has_failed = self.status.is_some_and(|status| status.is_server_error());
        if let Some(status) = self.status {
            span.set("http.response.status_code", status.as_u16());
        }
        match (code, self.status) {
            (Some(code), _) => span.set("error.type", code.code()),
            (None, Some(status)) if span.has_failed => span.set("error.type", status.as_str().to_owned()),
            (None, _) => {}
        }
        span
    }
}

impl<'a> Sendings<'a> {
    /// A connection is being made: that is a part of the next sending.
    pub(super) fn connecting(self) {
        if let Some(server) = self.0 {
            server.connecting.set(Some(Instant::now()));
        }
    }

    /// The request is sent once more, with this token.
    pub(super) fn begin(
        self,
        route: &'a RouteShare,
        request: &'a Sanitized,
        token: Option<&AccessToken>,
    ) -> Sending<'a> {
        let begin = |server: &'a Server| {
            let number = server.sendings.get();
            server.sendings.set(number.saturating_add(1));
            Begun {
                server,
                route,
                request,
                span_id: fresh(),
                began: server.connecting.take().unwrap_or_else(Instant::now),
                number,
                generation: token.map(AccessToken::generation),
                status: None,
                failure: None,
            }
        };
        Sending(self.0.map(begin))
    }
}

impl Said {
    pub(super) fn say(self, request: Authorized<'_>) -> Authorized<'_> {
        request.traced(self.0)
    }
}

impl Sending<'_> {
    /// Names this sending's span to the upstream, unless the route's rules have taken the field out.
    pub(super) fn said(&self) -> Said {
        let says = self.0.as_ref().filter(|begun| begun.request.headers().contains_key(TRACEPARENT));
        Said(says.and_then(|begun| traceparent(begun.server.context.trace_id, begun.span_id, true)))
    }

    /// The head of an answer has come.
    pub(super) fn answered(mut self, status: StatusCode) {
        if let Some(begun) = &mut self.0 {
            begun.status = Some(status);
        }
    }

    /// There is no answer.
    pub(super) fn failed(mut self, reason: Reason) {
        if let Some(begun) = &mut self.0 {
            begun.failure = Some(reason);
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.0.take() {
            begun.server.sent.borrow_mut().push(begun.span());
        }
    }
}

impl Begun<'_> {
    fn span(&self) -> Span {
        let server = self.server;
        let (method, verb) = method(self.request.method());
        let context = Context { span_id: self.span_id, parent: Some(server.context.span_id), ..server.context };
        let start = server.start + self.began.saturating_duration_since(server.began);
        let mut span = Span::new(context, Kind::Client, verb, start);
        span.is_parent_remote = false;
        span.end = start + self.began.elapsed();
        let settings = &self.route.settings;
        let origin = &settings.origin;
        span.set("http.request.method", method);
        span.set("server.address", origin.host().to_owned());
        span.set("server.port", origin.port());
        // Without the query, whether the caller's or with a token in it.
        span.set("url.full", shortened(&format!("{origin}{}", self.request.path())));
        span.set("bearerd.route", settings.name.clone());
        if let Some(credential) = &settings.credential {
            span.set("bearerd.credential", credential.clone());
        }
        if let Some(generation) = self.generation {
            span.set("bearerd.token.generation", generation);
        }
        if self.number > 0 {
            span.set("http.request.resend_count", self.number);
        }
        if let Some(status) = self.status {
            span.set("http.response.status_code", status.as_u16());
        }
        match self.status {
            Some(status) if status.is_client_error() || status.is_server_error() => {
                span.set("error.type", status.as_str().to_owned());
                span.has_failed = true;
            }
            Some(_) => {}
            None => {
                // Nobody waits for the answer any more.
                let reason = self.failure.unwrap_or(Reason::CallerGone);
                span.set("error.type", reason.code());
                (span.has_failed, span.failure) = (self.failure.is_some(), Some(reason));
            }
        }
        span
    }
}

/// The method as an attribute, and as the name of a span: what is not known is not told, since there would be no end of names.
fn method(method: &Method) -> (&'static str, &'static str) {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    known.into_iter().find(|known| *method == **known).map_or(("_OTHER", "HTTP"), |known| (known, known))
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
