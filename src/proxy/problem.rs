//! Every answer of our own: the one place where a failure becomes a response.
//!
//! A problem document (RFC 9457) with the reason code, `Proxy-Status` (RFC 9209), and the code in HTTP/1's reason phrase,
//! because old clients print nothing else. None of them can be taken for the upstream's.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::headers;
use crate::reason::Reason;
use crate::server::Refusal;
use crate::token::Unavailable;

/// RFC 9209.
pub(super) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// When a caller that was one too many may come again.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// What `grpc-message` writes as `%XX`: all but visible ASCII and the space.
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// Who is answered, as far as the form of the answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Http1,
    Http2,
    /// The same with HEAD: over HTTP/1 `server` leaves the body out, over HTTP/2 nobody else does.
    Http2Head,
    /// gRPC, over HTTP/2.
    Grpc,
}

impl Caller {
    pub(super) fn of(request: &Parts) -> Self {
        match request.version {
            // To CONNECT the 200 of a gRPC answer would be a yes.
            Version::HTTP_2 if request.method != Method::CONNECT && headers::is_grpc(&request.headers) => Self::Grpc,
            Version::HTTP_2 if request.method == Method::HEAD => Self::Http2Head,
            Version::HTTP_2 => Self::Http2,
            _ => Self::Http1,
        }
    }
}

/// What a caller is told instead of an upstream's answer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) reason: Reason,
    /// One line for people, without any secret.
    pub(super) detail: String,
    pub(super) retry_after: Option<Duration>,
    /// The id of the request that it is about.
    pub(super) request_id: Option<String>,
}

impl Problem {
    #[cold]
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None, request_id: None }
    }

    /// What the server refused before it became a request.
    #[cold]
    pub(super) fn refused(refusal: Refusal) -> Self {
        let is_overload = refusal.reason == Reason::TooManyConnections;
        Self { retry_after: is_overload.then_some(OVERLOAD_PAUSE), ..Self::new(refusal.reason, refusal.detail) }
    }

    /// No place became free in time.
    #[cold]
    pub(super) fn too_many_requests() -> Self {
        let detail = "limits.requests_in_flight are being served, and none ended within limits.queue";
        Self { retry_after: Some(OVERLOAD_PAUSE), ..Self::new(Reason::TooManyRequests, detail) }
    }

    /// There is no token, so nothing was forwarded.
    #[cold]
    pub(super) fn no_token(unavailable: &Unavailable) -> Self {
        Self {
            reason: unavailable.reason,
            detail: unavailable.message.clone(),
            // A latched credential may be cured at any time; asking again soon costs nobody anything.
            retry_after: Some(unavailable.retry_in.unwrap_or(Duration::from_secs(60))),
            request_id: None,
        }
    }

    /// Says which request it is about.
    #[cold]
    pub(super) fn about(self, request_id: Option<String>) -> Self {
        Self { request_id, ..self }
    }

    /// The status that goes with the reason.
    pub(super) fn status(&self) -> StatusCode {
        match self.reason {
            Reason::NoRoute => StatusCode::NOT_FOUND,
            Reason::CrossSite | Reason::CallerNotAllowed | Reason::CallerKey => StatusCode::FORBIDDEN,
            Reason::HostNotAllowed => StatusCode::MISDIRECTED_REQUEST,
            Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reason::ProtocolNotAllowed => StatusCode::NOT_IMPLEMENTED,
            Reason::BadRequest | Reason::CallerGone | Reason::CallerTls => StatusCode::BAD_REQUEST,
            Reason::BodyTimeout | Reason::HeadTimeout | Reason::AnswerUnread => StatusCode::REQUEST_TIMEOUT,
            Reason::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Reason::BadExpectation => StatusCode::EXPECTATION_FAILED,
            Reason::UpstreamConnectTime | Reason::UpstreamSilent => StatusCode::GATEWAY_TIMEOUT,
            Reason::UpstreamLoop => StatusCode::LOOP_DETECTED,
            reason if reason.code().starts_with('U') => StatusCode::BAD_GATEWAY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole answer as bytes of HTTP/1.1, the connection's last; for what was refused before it became a request.
    pub(super) fn into_bytes(self, head_only: bool) -> Bytes {
        let mut response = self.into_document();
        let phrase = response.extensions_mut().remove::<ReasonPhrase>();
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
            headers.insert(DATE, date);
        }
        let mut bytes = format!("HTTP/1.1 {} ", response.status().as_u16()).into_bytes();
        bytes.extend_from_slice(phrase.as_ref().map_or(b"", ReasonPhrase::as_bytes));
        for (name, value) in response.headers() {
            bytes.extend([b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
        }
        bytes.extend(format!("\r\ncontent-length: {}\r\n\r\n", response.body().len()).into_bytes());
        if !head_only {
            bytes.extend_from_slice(response.body());
        }
        Bytes::from(bytes)
    }

    /// Whether the connection cannot serve another request.
    fn closes(&self) -> bool {
        matches!(
            self.reason,
            Reason::BadRequest
                | Reason::BodyTimeout
                | Reason::CallerGone
                | Reason::CallerTls
                | Reason::HeadTimeout
                | Reason::HeadTooLarge
                | Reason::TooManyConnections
                | Reason::HostNotAllowed
                | Reason::BadExpectation
        )
    }

    /// The response, whole, in the form that the caller understands.
    pub(super) fn into_response(self, caller: Caller) -> Response<Bytes> {
        let mut response = match caller {
            Caller::Grpc => self.as_grpc(),
            Caller::Http1 | Caller::Http2 | Caller::Http2Head => self.into_document(),
        };
        if caller == Caller::Http2Head {
            // RFC 9110 §9.3.2: the length of what GET would be answered, and nothing of it.
            let length = std::mem::take(response.body_mut()).len();
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if caller != Caller::Http1 {
            // Said by GOAWAY there; the field is illegal (RFC 9113 §8.2.2).
            response.headers_mut().remove(CONNECTION);
        }
        response
    }

    /// "Trailers-only": what a gRPC client needs to see a status and a message of ours instead of "unknown". All of them read
    /// it with HTTP's 200 only.
    fn as_grpc(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let (code, detail) = (self.reason.code(), &self.detail);
        let message = utf8_percent_encode(&format!("{code} {detail}"), GRPC_MESSAGE).to_string();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from(self.grpc_status()));
        if let Ok(message) = HeaderValue::try_from(message) {
            headers.insert("grpc-message", message);
        }
        headers.insert(PROXY_STATUS, proxy_status(&format!("error={}", error_type(self.reason)), code, detail));
        response
    }

    /// The status of gRPC that goes with that of HTTP (its document "HTTP to gRPC Status Code Mapping", and 421 as 403).
    fn grpc_status(&self) -> u16 {
        match self.status() {
            StatusCode::BAD_REQUEST => 13,
            StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => 7,
            StatusCode::NOT_FOUND => 12,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => 14,
            _ => 2,
        }
    }

    fn into_document(self) -> Response<Bytes> {
        let status = self.status();
        let code = self.reason.code();
        let mut document = serde_json::json!({
            "type": format!("urn:bearerd:{code}"),
            "title": self.reason.title(),
            "status": status.as_u16(),
            "detail": format!("{code} {}", self.detail),
            "code": code,
        });
        if let (Some(id), Some(document)) = (&self.request_id, document.as_object_mut()) {
            document.insert("request_id".to_owned(), id.as_str().into());
        }
        let mut response = Response::new(Bytes::from(format!("{document}\n")));
        *response.status_mut() = status;
        if let Ok(phrase) = ReasonPhrase::try_from(format!("{code} {}", self.reason.title()).into_bytes()) {
            response.extensions_mut().insert(phrase);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PROXY_STATUS, proxy_status(&format!("error={}", error_type(self.reason)), code, &self.detail));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
        }
        if self.reason == Reason::MethodNotAllowed {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// `bearerd; PARAMETER; details="CODE TEXT"` (RFC 9209 §2.1; a structured field, so the text is ASCII and escaped).
pub(super) fn proxy_status(parameter: &str, code: &str, text: &str) -> HeaderValue {
    let mut details = String::new();
    for c in text.chars().take(200) {
        match c {
            '"' | '\\' => details.extend(['\\', c]),
            ' '..='~' => details.push(c),
            _ => details.push('?'),
        }
    }
    HeaderValue::try_from(format!("bearerd; {parameter}; details=\"{code} {details}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("bearerd; error=proxy_internal_error"))
}

/// The registered error type (RFC 9209 §2.3).
fn error_type(reason: Reason) -> &'static str {
    match reason {
        Reason::UpstreamConnect => "connection_refused",
        Reason::UpstreamName => "dns_error",
        Reason::UpstreamTls => "tls_protocol_error",
        Reason::UpstreamConnectTime => "connection_timeout",
        Reason::UpstreamSilent => "http_response_timeout",
        Reason::UpstreamClosed => "http_response_incomplete",
        Reason::UpstreamMalformed => "http_protocol_error",
        Reason::UpstreamNoUpgrade => "http_upgrade_failed",
        Reason::UpstreamLoop => "proxy_loop_detected",
        Reason::NoRoute => "destination_not_found",
        Reason::CrossSite
        | Reason::HostNotAllowed
        | Reason::CallerNotAllowed
        | Reason::CallerKey
        | Reason::MethodNotAllowed
        | Reason::ProtocolNotAllowed => "http_request_denied",
        Reason::BadRequest
        | Reason::BodyTimeout
        | Reason::BadExpectation
        | Reason::CallerGone
        | Reason::CallerTls
        | Reason::HeadTimeout
        | Reason::HeadTooLarge
        | Reason::AnswerUnread => "http_request_error",
        Reason::TooManyRequests | Reason::TooManyConnections => "connection_limit_reached",
        _ => "destination_unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_code_everywhere_a_client_may_look() {
        let response =
            Problem::new(Reason::HostNotAllowed, "Host \"évil\" is not allowed").into_response(Caller::Http1);
        assert_eq!(response.status(), 421);
        let status = response.headers()[PROXY_STATUS].to_str().unwrap();
        assert_eq!(status, r#"bearerd; error=http_request_denied; details="C003 Host \"?vil\" is not allowed""#);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["code"], "C003");
        assert_eq!(body["status"], 421);
        assert_eq!(response.extensions().get::<ReasonPhrase>().unwrap().as_bytes(), b"C003 Host is not allowed");
    }

    #[test]
    fn an_answer_to_head_says_its_length_and_has_no_body_over_http2() {
        let check = |method: Method, is_whole: bool| {
            let request = http::Request::builder().method(method).version(Version::HTTP_2).body(()).unwrap();
            let caller = Caller::of(&request.into_parts().0);
            let response = Problem::new(Reason::NoRoute, "nowhere").into_response(caller);
            assert_eq!(response.body().is_empty(), !is_whole, "{response:?}");
            response.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().parse::<usize>().unwrap())
        };
        assert_eq!(check(Method::GET, true), None, "hyper says it, as it knows the body");
        assert!(check(Method::HEAD, false).is_some_and(|length| length > 100));
    }

    #[test]
    fn every_reason_that_a_caller_can_meet_has_an_error_status() {
        let mut seen = 0;
        for reason in Reason::ALL.iter().filter(|r| !r.code().starts_with('F')) {
            let status = Problem::new(*reason, "").status();
            assert!(status.is_client_error() || status.is_server_error(), "{reason}: {status}");
            seen += 1;
        }
        assert!(seen > 20);
    }

    #[test]
    fn a_grpc_caller_is_told_in_trailers_alone() {
        let check = |reason: Reason, status: &str| {
            let response = Problem::new(reason, "no é%").into_response(Caller::Grpc);
            assert_eq!(response.status(), 200);
            assert!(response.body().is_empty());
            assert_eq!(response.headers()["grpc-status"], status, "{reason}");
            let message = format!("{reason} no %C3%A9%25");
            assert_eq!(response.headers()["grpc-message"], message);
        };
        check(Reason::TokenPending, "14");
        check(Reason::UpstreamConnect, "14");
        check(Reason::UpstreamSilent, "14");
        check(Reason::CallerNotAllowed, "7");
        check(Reason::HostNotAllowed, "7");
        check(Reason::NoRoute, "12");
        check(Reason::BadRequest, "13");
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let mut problem = Problem::new(Reason::TokenPending, "");
        problem.retry_after = Some(Duration::from_millis(1100));
        assert_eq!(problem.into_response(Caller::Http1).headers()[RETRY_AFTER], "2");
    }
}
