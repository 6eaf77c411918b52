//! How long a caller's connection may keep us waiting.
//!
//! Owns two timers that hyper has only one for: how long a connection may idle between requests, and how long the head
//! of a request may take from its first byte. Bodies are not our business: whoever reads one knows whether it is
//! wanted. When a timer fires the stream ends, and hyper closes the connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Settings;

/// A stream that ends when its caller takes too long.
#[derive(Debug)]
pub(super) struct Patience<S> {
    stream: S,
    settings: Settings,
    activity: Rc<Activity>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What the connection is doing, told by the service and read by the stream.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    /// How many requests have begun.
    requests: Cell<u64>,
    reader: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests, since then.
    Idle(Instant),
    /// A head has begun, then.
    Head(Instant),
    /// A request is being served.
    Busy,
}

impl<S> Patience<S> {
    pub(super) fn new(stream: S, settings: Settings) -> Self {
        let activity = Activity {
            phase: Cell::new(Phase::Idle(Instant::now())),
            requests: Cell::new(0),
            reader: RefCell::new(None),
        };
        Self { stream, settings, activity: Rc::new(activity), timer: None }
    }

    pub(super) fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    /// Ready when the caller has taken too long. Arms the timer only where a deadline can fire.
    fn poll_out_of_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (since, patience) = match self.activity.phase.get() {
            Phase::Busy => {
                self.activity.reader.replace(Some(cx.waker().clone()));
                self.timer = None;
                return Poll::Pending;
            }
            Phase::Idle(since) => (since, self.settings.keep_alive),
            Phase::Head(since) => (since, self.settings.request_head),
        };
        let Some(patience) = patience else { return Poll::Pending };
        let deadline = since + patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::ZERO)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

impl Activity {
    /// A whole head has been read: no deadline of ours until the request's body and its answer have both ended.
    pub(super) fn request_began(self: &Rc<Self>) -> Rc<Busy> {
        self.phase.set(Phase::Busy);
        let number = self.requests.get().wrapping_add(1);
        self.requests.set(number);
        Rc::new(Busy { activity: Rc::clone(self), number })
    }

    fn bytes_came(&self) {
        if let Phase::Idle(_) = self.phase.get() {
            self.phase.set(Phase::Head(Instant::now()));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if buf.filled().len() > before {
                    self.activity.bytes_came();
                }
                Poll::Ready(result)
            }
            // Nothing was filled in, so this is the end of the stream to hyper.
            Poll::Pending => self.poll_out_of_patience(cx).map(Ok),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A request is being served for as long as this is held.
#[derive(Debug)]
pub(super) struct Busy {
    activity: Rc<Activity>,
    number: u64,
}

impl Drop for Busy {
    fn drop(&mut self) {
        // Whoever threw away the body of an answered request may let go of it when the next one has begun.
        if self.activity.requests.get() != self.number {
            return;
        }
        self.activity.phase.set(Phase::Idle(Instant::now()));
        // The stream was last polled when no deadline applied; it must look again.
        if let Some(reader) = self.activity.reader.take() {
            reader.wake();
        }
    }
}

/// A body that keeps its connection busy until it ends.
#[derive(Debug)]
pub struct Watched<B> {
    body: B,
    busy: Option<Rc<Busy>>,
}

impl<B: Body> Watched<B> {
    pub(super) fn new(body: B, busy: Rc<Busy>) -> Self {
        let busy = (!body.is_end_stream()).then_some(busy);
        Self { body, busy }
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.busy = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn patience<S>(stream: S) -> Patience<S> {
        let settings =
            Settings { request_head: Some(Duration::from_secs(10)), keep_alive: Some(Duration::from_secs(60)) };
        Patience::new(stream, settings)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_after_keep_alive() {
        let (_peer, ours) = tokio::io::duplex(64);
        let started = Instant::now();
        assert_eq!(patience(ours).read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(started.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_ends_the_connection_ten_seconds_after_its_first_byte() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let started = Instant::now();
        tokio::spawn(async move {
            while peer.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let mut stream = patience(ours);
        while stream.read(&mut [0; 8]).await.unwrap() > 0 {}
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn no_deadline_applies_while_a_request_is_served_and_one_does_afterwards() {
        let (_peer, ours) = tokio::io::duplex(64);
        let mut stream = patience(ours);
        let busy = stream.activity().request_began();
        let started = Instant::now();
        let served = async {
            tokio::time::sleep(Duration::from_secs(500)).await;
            drop(busy);
            std::future::pending::<()>().await;
        };
        let mut buffer = [0; 8];
        tokio::select! {
            read = stream.read(&mut buffer) => assert_eq!(read.unwrap(), 0),
            () = served => (),
        }
        assert_eq!(started.elapsed().as_secs(), 560);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_let_go_late_does_not_end_the_next_one() {
        let (_peer, ours) = tokio::io::duplex(64);
        let mut stream = patience(ours);
        let first = stream.activity().request_began();
        let second = stream.activity().request_began();
        drop(first);
        let read = tokio::time::timeout(Duration::from_secs(500), async { stream.read(&mut [0; 8]).await });
        assert!(read.await.is_err(), "the second request is still being served");
        drop(second);
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
