//! The socket of an upstream connection, made to outlive a failed write.
//!
//! An upstream may answer and close before it has read the whole request: with a 401, typically. Then our next write
//! fails while the answer lies ready in the receive buffer, and hyper's client reports the write and loses the answer.
//! [`Wire`] swallows the failure: what is written afterwards is dropped, reading goes on until the answer or the end.
//!
//! It also bounds what may come before an answer. hyper skips interim answers without counting them, within one poll as many
//! as the socket holds, so that a flood of them would end neither by a deadline nor let another task run.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection has done so far, shared with whoever must judge a failure.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    written: Cell<u64>,
    write_failed: Cell<bool>,
    /// What may still be read until the head of an answer has come; `None` where one has.
    before_head: Cell<Option<usize>>,
}

impl Traffic {
    /// Bytes that the socket took.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Whether the peer stopped reading.
    pub(super) fn write_failed(&self) -> bool {
        self.write_failed.get()
    }

    /// An answer is awaited: reading fails once `allowance` bytes, give or take one read, have not held its whole head.
    pub(super) fn await_head(&self, allowance: usize) {
        self.before_head.set(Some(allowance));
    }

    /// The head has come; its body may be of any length.
    pub(super) fn head_came(&self) {
        self.before_head.set(None);
    }

    /// Whether reading failed because the head was not among all that came.
    pub(super) fn is_flooded(&self) -> bool {
        self.before_head.get() == Some(0)
    }

    fn read(&self, bytes: usize) {
        self.before_head.set(self.before_head.get().map(|left| left.saturating_sub(bytes)));
    }
}

/// A stream whose failed writes do not end reading.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    traffic: Rc<Traffic>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, traffic: Rc<Traffic>) -> Self {
        Self { stream, traffic }
    }

    /// The stream itself, for what is no longer HTTP.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Counts what was taken; turns a failure into success that goes nowhere.
    fn settle(&self, offered: usize, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(taken) => {
                self.traffic.written.set(self.traffic.written.get().saturating_add(taken as u64));
                Ok(taken)
            }
            Err(error) => {
                tracing::debug!(%error, "upstream stopped reading; still listening for its answer");
                self.traffic.write_failed.set(true);
                Ok(offered)
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.traffic.is_flooded() {
            return Poll::Ready(Err(io::Error::other("interim answers without end")));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.traffic.read(buf.filled().len().saturating_sub(before));
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.traffic.write_failed() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.settle(buf.len(), result))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|b| b.len()).sum();
        if self.traffic.write_failed() {
            return Poll::Ready(Ok(offered));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(self.settle(offered, result))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.traffic.write_failed() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.settle(0, result.map(|()| 0)).map(|_| ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.traffic.write_failed() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn an_answer_is_read_after_the_peer_stopped_reading() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let traffic = Rc::new(Traffic::default());
        let mut wire = Wire::new(ours, Rc::clone(&traffic));
        wire.write_all(b"request").await.unwrap();
        peer.write_all(b"answer").await.unwrap();
        drop(peer);
        wire.write_all(&[0; 4096]).await.unwrap();
        wire.flush().await.unwrap();
        assert!(traffic.write_failed());
        assert_eq!(traffic.written(), 7);
        let mut answer = String::new();
        wire.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn reading_fails_when_no_head_is_among_what_may_come_before_it() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let traffic = Rc::new(Traffic::default());
        let mut wire = Wire::new(ours, Rc::clone(&traffic));
        let mut buffer = [0; 8];
        peer.write_all(&[0; 40]).await.unwrap();
        wire.read_exact(&mut buffer).await.unwrap();
        traffic.await_head(12);
        wire.read_exact(&mut buffer).await.unwrap();
        assert!(!traffic.is_flooded());
        wire.read_exact(&mut buffer).await.unwrap();
        assert!(traffic.is_flooded());
        assert!(wire.read_exact(&mut buffer).await.is_err());
        traffic.head_came();
        wire.read_exact(&mut buffer).await.unwrap();
    }
}
