//! A connection to an upstream, whichever HTTP it speaks, as far as one request is concerned.

use std::fmt;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body::Body;

use super::http1::{Alone, Http1Error, Joint};
use super::http2::Lease;
use super::incoming::HttpError;
use super::interim::OnInterim;
use crate::dpop;
use crate::spelling::Spelling;
use crate::tunnel::Duplex;

/// Tells the upstream which span of a trace a request is (W3C Trace Context).
#[cfg(feature = "otel")]
pub(super) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The body of a request that goes upstream.
pub trait Outbound:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static
{
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static> Outbound for B {}

/// A request but for its body. Borrowed: it may have to be sent again, with another token.
#[derive(Clone, Debug)]
pub struct RequestHead<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Path and query. Scheme and authority are those of the connection, which only the configuration chooses.
    pub target: Target<'a>,
    /// Its fields, the injected one aside.
    pub headers: &'a HeaderMap,
    /// One field more, in place of all of that name.
    pub injected: Option<(&'a HeaderName, HeaderValue)>,
    /// The proof that goes with what is injected (RFC 9449 §4.1), in place of all others.
    pub proof: Option<HeaderValue>,
    /// How the names of its fields are spelled towards HTTP/1.
    pub spelling: Option<&'a Spelling>,
    /// What to call for each interim answer.
    pub on_interim: Option<OnInterim>,
    /// `traceparent`, in place of all others.
    #[cfg(feature = "otel")]
    pub traceparent: Option<HeaderValue>,
}

/// The path and the query of a request.
#[derive(Clone)]
pub enum Target<'a> {
    /// Without anything secret of ours.
    Plain(&'a PathAndQuery),
    /// With the token in its query, for this attempt.
    WithToken(PathAndQuery),
}

impl Target<'_> {
    /// As it is sent.
    pub(super) fn as_sent(&self) -> &PathAndQuery {
        match self {
            Self::Plain(target) => target,
            Self::WithToken(target) => target,
        }
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(target) => target.fmt(f),
            Self::WithToken(target) => write!(f, "{}?[secret]", target.path()),
        }
    }
}

impl RequestHead<'_> {
    /// The same as a value.
    pub(super) fn to_request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.as_sent().clone());
        *request.headers_mut() = self.headers.clone();
        if let Some((name, value)) = &self.injected {
            request.headers_mut().insert(*name, value.clone());
        }
        if let Some(proof) = &self.proof {
            request.headers_mut().insert(&dpop::FIELD, proof.clone());
        }
        #[cfg(feature = "otel")]
        if let Some(traceparent) = &self.traceparent {
            request.headers_mut().insert(&TRACEPARENT, traceparent.clone());
        }
        request
    }
}

/// Ready for one request.
#[derive(Debug)]
pub struct Connection<B: Outbound> {
    pub(super) kind: Kind<B>,
    pub(super) reused: bool,
}

#[derive(Debug)]
pub(super) enum Kind<B: Outbound> {
    /// HTTP/1, for this request alone.
    Alone(Alone<B>),
    /// The same, while the answer comes and the request has not ended.
    Joint(Joint<B>),
    /// One stream of HTTP/2.
    Shared(Lease),
}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendError {
    /// Whether any byte of it may have reached the upstream, which may then have acted on it.
    pub sent: bool,
    /// Whether the upstream said that it would not look at the request (HTTP/2), so that it may go elsewhere.
    pub refused: bool,
    /// What happened.
    pub failure: SendFailure,
}

impl SendError {
    /// The connection had ended before anything was written.
    pub(super) fn of_closed() -> Self {
        Self { sent: false, refused: false, failure: SendFailure::Closed(HttpError::Http1(Http1Error::Ended)) }
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendFailure {
    /// The connection ended first.
    #[error("{0}")]
    Closed(HttpError),
    /// What came is not HTTP, or too much of it.
    #[error("{}", crate::log::chain(.0))]
    Malformed(HttpError),
    /// Interim answers came, more than anybody means.
    #[error("interim answers without end")]
    Flooded,
    /// The upstream turned to another protocol (RFC 9110 §15.2.2), which this request did not ask for.
    #[error("101 Switching Protocols without being asked")]
    Switched,
}

impl<B: Outbound> Connection<B> {
    /// Whether it served a request before: then the upstream may be about to close it.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether it is one stream of HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.kind, Kind::Shared(_))
    }

    /// Whether it has ended while it was kept.
    pub(super) fn is_spent(&mut self) -> bool {
        match &mut self.kind {
            Kind::Alone(alone) => alone.is_spent(),
            // In use, or kept by others.
            Kind::Joint(_) | Kind::Shared(_) => false,
        }
    }

    /// Whether nothing of its request is left for whoever reads the answer to write.
    pub(super) fn is_written(&self) -> bool {
        match &self.kind {
            Kind::Alone(alone) => alone.is_written(),
            Kind::Joint(_) | Kind::Shared(_) => true,
        }
    }

    /// The same, with the rest of its request being written on its own: its answer has begun.
    #[cold]
    pub(super) fn joined(self) -> Self {
        match self.kind {
            Kind::Alone(alone) => Self { kind: Kind::Joint(Joint::begin(alone)), ..self },
            kind => Self { kind, ..self },
        }
    }

    /// Whether it can be changed to another protocol.
    pub(super) async fn can_switch(&self) -> bool {
        match &self.kind {
            Kind::Alone(_) => true,
            Kind::Joint(_) => false,
            Kind::Shared(lease) => lease.can_switch().await,
        }
    }

    /// The stream itself, after an answer of 101; `None` if it broke.
    pub async fn into_stream(self) -> Option<Box<dyn Duplex>> {
        match self.kind {
            Kind::Alone(alone) => Some(Box::new(alone.into_stream())),
            Kind::Joint(_) => None,
            Kind::Shared(lease) => Some(Box::new(lease.into_stream()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::COOKIE;

    #[test]
    fn a_token_in_the_target_or_in_a_cookie_is_sent_once_and_not_shown() {
        let headers: HeaderMap = [(COOKIE, HeaderValue::from_static("a=1"))].into_iter().collect();
        let mut cookie = HeaderValue::from_static("a=1; SID=hunter2");
        cookie.set_sensitive(true);
        let head = RequestHead {
            method: &Method::GET,
            target: Target::WithToken(PathAndQuery::from_static("/x?a=1&key=hunter2")),
            headers: &headers,
            injected: Some((&COOKIE, cookie)),
            proof: None,
            spelling: None,
            on_interim: None,
            #[cfg(feature = "otel")]
            traceparent: None,
        };
        let request = head.to_request();
        assert_eq!(request.uri(), "/x?a=1&key=hunter2");
        let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; SID=hunter2"]);
        assert!(cookies[0].is_sensitive());
        let shown = format!("{head:?}");
        assert!(shown.contains("/x?[secret]") && !shown.contains("hunter2"), "{shown}");
    }
}

#[cfg(all(test, feature = "otel"))]
mod traces {
    use super::*;

    #[test]
    fn over_http2_a_sending_names_its_own_span_once() {
        let said = [(TRACEPARENT.clone(), HeaderValue::from_static("of the request"))];
        let headers: HeaderMap = said.into_iter().collect();
        let sent = |traceparent| {
            let head = RequestHead {
                method: &Method::GET,
                target: Target::Plain(&PathAndQuery::from_static("/")),
                headers: &headers,
                injected: None,
                proof: None,
                spelling: None,
                on_interim: None,
                traceparent,
            };
            let request = head.to_request();
            request.headers().get_all(&TRACEPARENT).iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(sent(Some(HeaderValue::from_static("of the sending"))), ["of the sending"]);
        assert_eq!(sent(None), ["of the request"]);
    }
}
