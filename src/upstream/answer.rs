//! The body of an upstream's answer, which brings its connection back when it ends.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::{Connection, Kind, Outbound};
use super::incoming::{HttpError, Incoming};
use super::pool::Pool;
use super::upload::Cut;

/// An answer's body. Read to its end it returns the connection to the pool, at the latest when it is
/// dropped; dropped before its end, it closes the connection.
#[derive(Debug)]
pub struct AnswerBody<B: Outbound> {
    incoming: Incoming,
    lease: Option<(Connection<B>, Rc<Pool<B>>)>,
    forfeited: bool,
    /// Breaks off what is left of the request, after an answer on a stream of HTTP/2 has ended.
    request: Option<Rc<Cut>>,
    /// After it the connection is no longer HTTP.
    switched: bool,
}

impl<B: Outbound> AnswerBody<B> {
    pub(super) fn new(incoming: Incoming, connection: Connection<B>, pool: Rc<Pool<B>>, switched: bool) -> Self {
        Self { incoming, lease: Some((connection, pool)), forfeited: false, request: None, switched }
    }

    /// Has the connection closed when the answer ends: its request was not written to the end and never will be.
    pub fn forfeit(&mut self) {
        self.forfeited = true;
        if let Some(request) = self.request.take() {
            request.make();
        }
    }

    /// The connection, after an answer of 101.
    pub fn take_connection(&mut self) -> Option<Connection<B>> {
        self.switched.then(|| self.lease.take()).flatten().map(|(connection, _)| connection)
    }

    fn kind(&self) -> Option<&Kind<B>> {
        self.lease.as_ref().map(|(connection, _)| &connection.kind)
    }

    fn release_at_end(&mut self) {
        if !self.switched && self.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some((connection, pool)) = self.lease.take()
            && !self.forfeited
        {
            match connection.kind {
                Kind::Alone(alone) => pool.give_back(alone),
                Kind::Joint(joint) => joint.part().into_iter().for_each(|alone| pool.give_back(alone)),
                Kind::Shared(lease) => self.request = Some(lease.finish()),
            }
        }
    }
}

impl<B: Outbound> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        let frame = match (&mut this.incoming, &mut this.lease) {
            (Incoming::Http1, Some((Connection { kind: Kind::Alone(alone), .. }, _))) => {
                ready!(alone.poll_frame(cx)).map(|frame| frame.map_err(HttpError::Http1))
            }
            (Incoming::Http1, Some((Connection { kind: Kind::Joint(joint), .. }, _))) => {
                ready!(joint.poll_frame(cx)).map(|frame| frame.map_err(HttpError::Http1))
            }
            (Incoming::Http2(streamed), _) => {
                ready!(streamed.poll_frame(cx)).map(|frame| frame.map_err(HttpError::Http2))
            }
            (Incoming::Http1 | Incoming::Switched, _) => None,
        };
        match &frame {
            Some(Ok(_)) => self.release_at_end(),
            Some(Err(_)) => self.lease = None,
            None => self.release(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.incoming {
            Incoming::Http1 => match self.kind() {
                Some(Kind::Alone(alone)) => alone.is_end_stream(),
                Some(Kind::Joint(joint)) => joint.is_end_stream(),
                Some(Kind::Shared(_)) | None => true,
            },
            Incoming::Http2(streamed) => streamed.is_end_stream(),
            Incoming::Switched => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Incoming::Http1 => match self.kind() {
                Some(Kind::Alone(alone)) => alone.size_hint(),
                Some(Kind::Joint(joint)) => joint.size_hint(),
                Some(Kind::Shared(_)) | None => SizeHint::with_exact(0),
            },
            Incoming::Http2(streamed) => streamed.size_hint(),
            Incoming::Switched => SizeHint::with_exact(0),
        }
    }
}

impl<B: Outbound> Drop for AnswerBody<B> {
    fn drop(&mut self) {
        // A body without bytes is never polled. Its connection comes back no sooner than here, since it may be forfeited until then.
        self.release_at_end();
    }
}

// The fields are moved out of, never pinned through.
impl<B: Outbound> Unpin for AnswerBody<B> {}
