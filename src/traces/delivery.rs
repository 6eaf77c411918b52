//! One request to the collector (OTLP over HTTP, with protobuf) and what its answer means.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::time::timeout;

use super::message;
use crate::log::chain;
use crate::retry_after::retry_after;
use crate::secret::{self, SecretSource};
use crate::upstream::Connector;

/// The most that is read of an answer's head and of its body, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Where batches go.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) endpoint: Uri,
    pub(super) headers: Vec<(HeaderName, SecretSource)>,
    pub(super) connector: Connector,
    /// For one request, from connecting to the end of its answer.
    pub(super) limit: Duration,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there, but for some spans that the collector does not want.
    Taken { rejected: u64 },
    /// It will never be taken.
    Refused(Failure),
    /// It may be taken later, not before the time that the collector named.
    Later(Failure, Option<Duration>),
}

/// What happened instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// Nothing of the collector's own words.
    pub(super) text: String,
}

/// Failures that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unsendable,
    Unreachable,
    Silent,
    Broken,
    Status(StatusCode),
}

impl Collector {
    /// Sends a batch, once.
    pub(super) async fn send(&self, batch: Bytes) -> Outcome {
        match timeout(self.limit, self.exchange(batch)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let text = format!("gives no answer within {}", humantime::format_duration(self.limit));
                later(Kind::Silent, text)
            }
        }
    }

    async fn exchange(&self, batch: Bytes) -> Outcome {
        let request = match self.request(batch).await {
            Ok(request) => request,
            Err(text) => return Outcome::Refused(Failure { kind: Kind::Unsendable, text }),
        };
        let stream = match self.connector.connect().await {
            Ok(stream) => stream,
            Err(error) => return later(Kind::Unreachable, format!("cannot be reached ({})", error.source)),
        };
        let mut builder = http1::Builder::new();
        builder.max_buf_size(LONGEST_ANSWER);
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = match handshake {
            Ok(both) => both,
            Err(error) => return broken(&error),
        };
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            // A body that breaks off or never ends changes nothing of what the status says.
            let body = Limited::new(body, LONGEST_ANSWER).collect().await.map(|body| body.to_bytes());
            Ok(judge(head.status, &head.headers, &body.unwrap_or_default()))
        };
        let (mut answer, mut connection) = (std::pin::pin!(answer), std::pin::pin!(connection));
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|error: hyper::Error| broken(&error)),
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }

    async fn request(&self, batch: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(batch));
        *request.method_mut() = Method::POST;
        let target = self.endpoint.path_and_query().cloned();
        *request.uri_mut() = target.map(Uri::from).unwrap_or_default();
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(self.connector.origin().authority().as_str());
        headers.insert(HOST, host.map_err(|error| error.to_string())?);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("bearerd/", env!("CARGO_PKG_VERSION"))));
        for (name, source) in &self.headers {
            let text = secret::glance(source.read()).await.map_err(|error| chain(&error))?;
            let value = secret::header_value(&[text.expose()]);
            let value = value.map_err(|_| format!("{name} holds characters that no header field can"))?;
            headers.insert(name.clone(), value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(request)
    }
}

/// What an answer means (OTLP, "OTLP/HTTP Response").
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    if status.is_success() {
        let partial = message::Response::decode(body).ok().and_then(|response| response.partial_success);
        let rejected = partial.and_then(|partial| u64::try_from(partial.rejected_spans).ok());
        return Outcome::Taken { rejected: rejected.unwrap_or(0) };
    }
    let failure = Failure { kind: Kind::Status(status), text: format!("answers {}", status.as_u16()) };
    match status.as_u16() {
        429 | 502 | 503 | 504 => Outcome::Later(failure, retry_after(headers, SystemTime::now())),
        _ => Outcome::Refused(failure),
    }
}

fn later(kind: Kind, text: String) -> Outcome {
    Outcome::Later(Failure { kind, text }, None)
}

fn broken(error: &hyper::Error) -> Outcome {
    later(Kind::Broken, format!("gives no answer that is one ({})", chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_whether_a_batch_may_be_sent_again() {
        let check = |status: u16, after: Option<&'static str>, wanted: Option<Option<u64>>| {
            let headers = after.map(|after| (http::header::RETRY_AFTER, HeaderValue::from_static(after)));
            let outcome = judge(StatusCode::from_u16(status).unwrap(), &headers.into_iter().collect(), b"whatever");
            match (outcome, wanted) {
                (Outcome::Later(_, after), Some(wanted)) => assert_eq!(after.map(|after| after.as_secs()), wanted),
                (Outcome::Refused(_), None) => {}
                (outcome, wanted) => panic!("{status} {wanted:?}: {outcome:?}"),
            }
        };
        check(429, Some("7"), Some(Some(7)));
        check(503, None, Some(None));
        check(503, Some("soon"), Some(None));
        check(502, None, Some(None));
        check(504, None, Some(None));
        check(500, Some("7"), None);
        check(400, None, None);
        check(401, None, None);
        check(404, None, None);
        check(307, None, None);
    }

    #[test]
    fn a_success_may_be_partial_and_may_be_nonsense() {
        let check = |body: &[u8], rejected: u64| {
            assert_eq!(judge(StatusCode::OK, &HeaderMap::new(), body), Outcome::Taken { rejected }, "{body:?}");
        };
        let partial = |rejected_spans| message::PartialSuccess { rejected_spans };
        let answer = |partial_success| message::Response { partial_success }.encode_to_vec();
        check(&answer(None), 0);
        check(&answer(Some(partial(3))), 3);
        check(&answer(Some(partial(-3))), 0);
        check(b"<html>", 0);
        check(b"", 0);
    }
}
