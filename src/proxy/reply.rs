//! The answer as the caller gets it: whoever gave it, and the account of the request that ends with it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::access::{Access, Notes};
use super::held::Held;
use super::problem::{Caller, Problem};
use super::share::{RouteShare, WorkerCounts};
use super::slots::Slot;
use super::spans::Spans;
use crate::metrics::AnsweredBy;
use crate::upstream::HttpError;

/// A body on its way to the caller.
#[derive(Debug)]
pub struct ReplyBody {
    content: Content,
    account: Option<Account>,
}

#[derive(Debug)]
enum Content {
    Own(Option<Bytes>),
    Upstream(Held),
}

/// One request being served: counted in flight until dropped, then timed and, if asked for, logged.
#[derive(Debug)]
pub(super) struct Account {
    counts: Rc<WorkerCounts>,
    route: Option<Rc<RouteShare>>,
    began: Instant,
    access: Option<Box<Access>>,
    slot: Option<Slot>,
    pub(super) spans: Spans,
}

impl Account {
    /// Opens the account of a request. `access` is what will be logged of it, `spans` what will be recorded.
    pub(super) fn open(counts: &Rc<WorkerCounts>, access: Option<Box<Access>>, spans: Spans) -> Self {
        counts.in_flight.add(1);
        Self { counts: Rc::clone(counts), route: None, began: Instant::now(), access, slot: None, spans }
    }

    /// Where the access log has things noted on the way, if there is one.
    pub(super) fn notes(&self) -> Option<Rc<Notes>> {
        self.access.as_ref().map(|access| Rc::clone(access.notes()))
    }

    /// Notes which route it is.
    pub(super) fn assign(&mut self, route: &Rc<RouteShare>) {
        self.route = Some(Rc::clone(route));
    }

    /// Keeps the request's place among those in flight until its answer has ended.
    pub(super) fn hold(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    /// An answer of our own.
    pub(super) fn refuse(mut self, problem: Problem, caller: Caller) -> Response<ReplyBody> {
        self.counts.metrics.refuse(problem.reason);
        self.answered(problem.status(), AnsweredBy::Bearerd);
        if let Some(access) = &mut self.access {
            access.refused(problem.reason);
        }
        self.spans.refused(problem.reason);
        if let Some(route) = self.route.as_ref().filter(|_| problem.reason.code().starts_with('U')) {
            route.complaints.utter(&route.settings.name, &problem);
        }
        problem.into_response(caller).map(|body| {
            // Without a body the head ends the stream, which gRPC's "trailers-only" must.
            let content = Content::Own(Some(body).filter(|body| !body.is_empty()));
            ReplyBody { content, account: Some(self) }
        })
    }

    /// An answer of our own that refuses nothing and has no body.
    pub(super) fn answer(mut self, response: Response<()>) -> Response<ReplyBody> {
        self.answered(response.status(), AnsweredBy::Bearerd);
        response.map(|()| ReplyBody { content: Content::Own(None), account: Some(self) })
    }

    /// The upstream's answer.
    pub(super) fn pass(mut self, response: Response<Held>) -> Response<ReplyBody> {
        self.answered(response.status(), AnsweredBy::Upstream);
        if let Some(route) = &self.route {
            route.complaints.settle(&route.settings.name);
        }
        response.map(|held| ReplyBody { content: Content::Upstream(held), account: Some(self) })
    }

    /// The upstream's 101; the account stays open for what comes after it.
    pub(super) fn switch(&mut self, response: Response<Held>) -> Response<ReplyBody> {
        self.answered(response.status(), AnsweredBy::Upstream);
        response.map(|_| ReplyBody { content: Content::Own(None), account: None })
    }

    fn answered(&mut self, status: StatusCode, by: AnsweredBy) {
        if let Some(route) = &self.route {
            route.counts().answered(status, by);
        }
        if let Some(access) = &mut self.access {
            access.answered(status, by);
        }
        self.spans.answered(status, by);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.counts.in_flight.subtract(1);
        let took = self.began.elapsed();
        if let Some(route) = &self.route {
            route.counts().took(took);
        }
        if let Some(access) = &self.access {
            access.write(self.route.as_ref().map(|route| route.settings.name.as_str()), took);
        }
        self.spans.finish(self.route.as_deref(), took);
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = match &mut self.content {
            Content::Own(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Content::Upstream(held) => ready!(Pin::new(held).poll_frame(cx)),
        };
        if let Some(access) = self.account.as_mut().and_then(|account| account.access.as_mut())
            && let Some(Ok(frame)) = &frame
        {
            access.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        if let Some(Err(error)) = &frame {
            tracing::debug!(%error, "upstream broke off its answer");
        }
        if frame.is_none() || self.is_end_stream() {
            self.account = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Upstream(held) => held.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Content::Upstream(held) => held.size_hint(),
        }
    }
}
