//! Request bodies that are kept while they pass.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use prometheus::IntGauge;
use tokio::sync::mpsc;

use super::super::budget::Budget;
use super::super::intake::{Handling, Intake, Lost, RequestBody};
use crate::fuzzing::{controls, pieces};
use crate::server::fuzzing::converse;
use crate::server::{Answer, CallerBody, ConnectionInfo, Handler, Refusal};

/// What is sent again is what came, to the byte, or nothing is; what is within the limits is kept; what was kept is given back.
pub(crate) fn replay_body(data: &[u8]) {
    let ([seed, form, limit, budget, reads], content) = controls(data);
    let content = &content[..content.len().min(4096)];
    let is_chunked = form & 1 == 1;
    let is_cut = form & 2 == 2 && !content.is_empty();
    let has_trailers = is_chunked && form & 8 == 8;
    let mut wire = b"POST / HTTP/1.1\r\nHost: a\r\n".to_vec();
    if is_chunked {
        wire.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in pieces(seed.wrapping_add(1), content) {
            wire.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        let trailers: &[u8] = if has_trailers { b"sum: 1\r\nauthorization: theirs\r\nte: trailers\r\n" } else { b"" };
        wire.extend([b"0\r\n", trailers, b"\r\n"].concat());
    } else {
        wire.extend(format!("Content-Length: {}\r\n\r\n", content.len()).into_bytes());
        wire.extend(content);
    }
    if is_cut {
        wire.pop();
    }
    let case = Rc::new(Case {
        content: content.to_vec(),
        limit: usize::from(limit) * 8,
        budget: usize::from(budget) * 8,
        reads: usize::from(reads) % 64,
        resumes: form & 4 == 4,
        is_cut,
        has_trailers,
        was_asked: Cell::new(false),
    });
    converse(&pieces(seed, &wire), Rc::clone(&case));
    assert!(case.was_asked.get(), "the request is in order");
}

/// A body, what is done with it, and what must come of that.
struct Case {
    content: Vec<u8>,
    limit: usize,
    budget: usize,
    /// So many pieces are read by a first attempt.
    reads: usize,
    resumes: bool,
    /// Whether its last byte never comes.
    is_cut: bool,
    has_trailers: bool,
    was_asked: Cell<bool>,
}

impl Handler for Case {
    type Body = Empty<Bytes>;

    async fn handle(&self, _: Rc<ConnectionInfo>, request: Request<CallerBody>) -> Answer<Empty<Bytes>> {
        self.was_asked.set(true);
        let budget = Arc::new(Budget::new(self.budget, IntGauge::new("g", "g").unwrap()));
        let handling = Handling {
            keep: Some(self.limit),
            budget: Arc::clone(&budget),
            idle: None,
            ours: Arc::new([AUTHORIZATION]),
            resumes: self.resumes,
            discard: mpsc::unbounded_channel().0,
            notes: None,
        };
        let intake = Intake::new(request.into_body(), handling, None);
        self.attempts(&intake).await;
        drop(intake);
        assert!(budget.reserve(self.budget), "all that was kept is given back");
        Response::new(Empty::new()).into()
    }

    fn refuse(&self, _: &ConnectionInfo, _: Refusal, _: bool) -> Bytes {
        Bytes::new()
    }
}

impl Case {
    async fn attempts(&self, intake: &Rc<Intake>) {
        let mut first = intake.body().unwrap();
        let mut live = Vec::new();
        for _ in 0..self.reads {
            match first.frame().await {
                Some(Ok(frame)) => live.extend(frame.into_data().unwrap_or_default()),
                Some(Err(_)) => assert!(self.is_cut),
                None => break,
            }
        }
        assert!(self.content.starts_with(&live), "what passes is what came");
        intake.park();
        let completed = intake.complete().await;
        let again = intake.body();
        drop(first);
        let length = self.content.len();
        match completed {
            Err(Lost::TooLong) => assert!(length > self.limit),
            Err(Lost::OverBudget) => assert!(length > self.budget),
            Err(Lost::Failed) => assert!(self.is_cut),
            Err(lost @ (Lost::Stalled | Lost::Malformed(_))) => unreachable!("{lost:?}"),
            Ok(()) => return self.is_repeated(again).await,
        }
        // One of which nothing was read is still whole, and would be streamed.
        let is_whole = self.reads == 0 && matches!(again, Some(RequestBody::Live { ahead: None, .. }));
        assert!(again.is_none() || is_whole, "half of a body is never sent again");
    }

    /// A replay that can be sent sends all of it, or fails.
    async fn is_repeated(&self, again: Option<RequestBody>) {
        let Some(mut again) = again else {
            assert!(self.resumes && (self.is_cut || self.content.len() > self.limit.min(self.budget)));
            return;
        };
        let is_live = matches!(again, RequestBody::Live { .. });
        assert!(self.resumes || !is_live && !self.is_cut && self.content.len() <= self.limit.min(self.budget));
        if let Some(exact) = again.size_hint().exact() {
            assert_eq!(exact, self.content.len() as u64);
        }
        let (mut content, mut trailers) = (Vec::new(), HeaderMap::new());
        while let Some(frame) = again.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => content.extend(data),
                Ok(Err(frame)) => trailers.extend(frame.into_trailers().unwrap()),
                Err(_) => return assert!(self.is_cut && is_live),
            }
        }
        assert!(!self.is_cut);
        assert_eq!(content, self.content, "what is sent again is what came");
        let names: Vec<&str> = trailers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, if self.has_trailers { &["sum"][..] } else { &[] });
    }
}
