//! Every answer of our own: the one place where a failure becomes a response.
//!
//! A problem document (RFC 9457) with the reason code, `Proxy-Status` (RFC 9209), and the code in HTTP/1's reason phrase,
//! because old clients print nothing else. None of them can be taken for the upstream's.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use crate::reason::Reason;
use crate::server::Refusal;
use crate::token::Unavailable;

/// RFC 9209.
pub(super) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// When a caller that was one too many may come again.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// What a caller is told instead of an upstream's answer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) reason: Reason,
    /// One line for people, without any secret.
    pub(super) detail: String,
    pub(super) retry_after: Option<Duration>,
}

impl Problem {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), retry_after: None }
    }

    /// What the server refused before it became a request.
    pub(super) fn refused(refusal: Refusal) -> Self {
        let is_overload = refusal.reason == Reason::TooManyConnections;
        Self { retry_after: is_overload.then_some(OVERLOAD_PAUSE), ..Self::new(refusal.reason, refusal.detail) }
    }

    /// No place became free in time.
    pub(super) fn too_many_requests() -> Self {
        let detail = "limits.requests_in_flight are being served, and none ended within limits.queue";
        Self { retry_after: Some(OVERLOAD_PAUSE), ..Self::new(Reason::TooManyRequests, detail) }
    }

    /// There is no token, so nothing was forwarded.
    pub(super) fn no_token(unavailable: &Unavailable) -> Self {
        Self {
            reason: unavailable.reason,
            detail: unavailable.message.clone(),
            // A latched credential may be cured at any time; asking again soon costs nobody anything.
            retry_after: Some(unavailable.retry_in.unwrap_or(Duration::from_secs(60))),
        }
    }

    /// The status that goes with the reason.
    pub(super) fn status(&self) -> StatusCode {
        match self.reason {
            Reason::NoRoute => StatusCode::NOT_FOUND,
            Reason::CrossSite | Reason::CallerNotAllowed | Reason::CallerKey => StatusCode::FORBIDDEN,
            Reason::HostNotAllowed => StatusCode::MISDIRECTED_REQUEST,
            Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reason::BadRequest | Reason::CallerGone | Reason::CallerTls => StatusCode::BAD_REQUEST,
            Reason::BodyTimeout | Reason::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Reason::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Reason::BadExpectation => StatusCode::EXPECTATION_FAILED,
            Reason::UpstreamConnectTime | Reason::UpstreamSilent => StatusCode::GATEWAY_TIMEOUT,
            Reason::UpstreamLoop => StatusCode::LOOP_DETECTED,
            reason if reason.code().starts_with('U') => StatusCode::BAD_GATEWAY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The whole answer as bytes of HTTP/1.1, the connection's last; for what was refused before hyper saw it.
    pub(super) fn into_bytes(self, head_only: bool) -> Bytes {
        let mut response = self.into_response();
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

    /// The response, whole.
    pub(super) fn into_response(self) -> Response<Bytes> {
        let status = self.status();
        let code = self.reason.code();
        let document = serde_json::json!({
            "type": format!("urn:bearerd:{code}"),
            "title": self.reason.title(),
            "status": status.as_u16(),
            "detail": format!("{code} {}", self.detail),
            "code": code,
        });
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
        Reason::UpstreamLoop => "proxy_loop_detected",
        Reason::NoRoute => "destination_not_found",
        Reason::CrossSite
        | Reason::HostNotAllowed
        | Reason::CallerNotAllowed
        | Reason::CallerKey
        | Reason::MethodNotAllowed => "http_request_denied",
        Reason::BadRequest
        | Reason::BodyTimeout
        | Reason::BadExpectation
        | Reason::CallerGone
        | Reason::CallerTls
        | Reason::HeadTimeout
        | Reason::HeadTooLarge => "http_request_error",
        Reason::TooManyRequests | Reason::TooManyConnections => "connection_limit_reached",
        _ => "destination_unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_code_everywhere_a_client_may_look() {
        let response = Problem::new(Reason::HostNotAllowed, "Host \"évil\" is not allowed").into_response();
        assert_eq!(response.status(), 421);
        let status = response.headers()[PROXY_STATUS].to_str().unwrap();
        assert_eq!(status, r#"bearerd; error=http_request_denied; details="C003 Host \"?vil\" is not allowed""#);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["code"], "C003");
        assert_eq!(body["status"], 421);
        assert_eq!(response.extensions().get::<ReasonPhrase>().unwrap().as_bytes(), b"C003 Host is not allowed");
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
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let mut problem = Problem::new(Reason::TokenPending, "");
        problem.retry_after = Some(Duration::from_millis(1100));
        assert_eq!(problem.into_response().headers()[RETRY_AFTER], "2");
    }
}
