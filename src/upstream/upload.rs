//! A request's body on its way onto a stream of HTTP/2.
//!
//! Whatever breaks it off, to the upstream the request is cancelled: at once, also while the upstream takes nothing.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Frame;
use tokio::time::Instant;

use super::connection::Outbound;
use super::http1::{LINGER, PAUSE};

/// Ends the body of a request whose answer nobody waits for.
#[derive(Debug, Default)]
pub(super) struct Cut {
    made: Cell<bool>,
    /// Whether the body has got on since somebody looked.
    moved: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Cut {
    pub(super) fn make(&self) {
        self.made.set(true);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// Sends a body to its end, or until it is cut or the upstream wants no more of it.
pub(super) async fn send<B: Outbound>(body: B, stream: SendStream<Bytes>, cut: Rc<Cut>) {
    let mut upload = Upload { body, stream, cut };
    while let Some(frame) = upload.next().await {
        let goes_on = match frame.map(Frame::into_data) {
            Some(Ok(data)) => upload.send_data(data).await,
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                upload.stream.send_trailers(trailers).is_err()
            }
            None => upload.stream.send_data(Bytes::new(), true).is_err(),
        };
        if !goes_on {
            return;
        }
    }
}

/// Ends a body that goes on after its answer when it pauses or takes too long.
pub(super) async fn wind_up(cut: Weak<Cut>) {
    let until = Instant::now() + LINGER;
    while let Some(cut) = cut.upgrade() {
        if Instant::now() >= until || !cut.moved.replace(false) {
            return cut.make();
        }
        drop(cut);
        tokio::time::sleep(PAUSE).await;
    }
}

struct Upload<B> {
    body: B,
    stream: SendStream<Bytes>,
    cut: Rc<Cut>,
}

impl<B: Outbound> Upload<B> {
    /// The next piece, or `Some(None)` at the end; `None` if there is no use in going on.
    async fn next(&mut self) -> Option<Option<Frame<Bytes>>> {
        std::future::poll_fn(|cx| {
            if self.poll_over(cx).is_ready() {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose() {
                Ok(frame) => Poll::Ready(Some(frame)),
                Err(error) => {
                    tracing::debug!(error = %error.into(), "request body of a caller broke off");
                    self.stream.send_reset(Reason::CANCEL);
                    Poll::Ready(None)
                }
            }
        })
        .await
    }

    /// Sends as much at a time as the upstream takes; whether there is more to come.
    async fn send_data(&mut self, mut data: Bytes) -> bool {
        let is_last = self.body.is_end_stream();
        loop {
            if data.is_empty() {
                return !is_last || self.stream.send_data(data, true).is_err();
            }
            self.stream.reserve_capacity(data.len());
            let Some(capacity) = std::future::poll_fn(|cx| self.poll_capacity(cx)).await else { return false };
            let piece = data.split_to(capacity.min(data.len()));
            self.cut.moved.set(true);
            let ends = is_last && data.is_empty();
            if self.stream.send_data(piece, ends).is_err() || ends {
                return false;
            }
        }
    }

    /// How much the upstream takes now; `None` if there is no use in waiting.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        if self.poll_over(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            match self.stream.capacity() {
                0 => (),
                capacity => return Poll::Ready(Some(capacity)),
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }

    /// Ready when the body was cut, which resets the stream, or when the upstream has reset it.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.cut.made.get() {
            self.stream.send_reset(Reason::CANCEL);
            return Poll::Ready(());
        }
        self.cut.waiting.replace(Some(cx.waker().clone()));
        self.stream.poll_reset(cx).map(|_| ())
    }
}
