//! Two streams joined after an upgrade: bytes go both ways, unread by us.
//!
//! Owns the copying and its end. Either side may end its half first; the other then has a while to end its own, so that no
//! half-dead pair stays for good. Knows neither HTTP nor what the bytes mean.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::delegate::writes_to;

/// How long one side may go on after the other has ended.
const HALF_OPEN: Duration = Duration::from_secs(30);

/// A stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// A stream of which some bytes have been read already. To whoever reads it, the stream as it came.
#[derive(Debug)]
pub struct Ahead<S> {
    ahead: Bytes,
    stream: S,
}

impl<S> Ahead<S> {
    /// Puts `ahead` before what `stream` has left.
    pub fn new(stream: S, ahead: Bytes) -> Self {
        Self { ahead, stream }
    }

    /// What was put before and not yet read, and the stream.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.ahead)
    }
}

/// Copies both ways until both sides have ended, one fails, or half a minute has passed since one ended.
pub async fn join(one: impl Duplex, other: impl Duplex) {
    let (mut one_read, mut one_write) = tokio::io::split(one);
    let (mut other_read, mut other_write) = tokio::io::split(other);
    let mut there: Half<'_> = Box::pin(copy_to_end(&mut one_read, &mut other_write));
    let mut back: Half<'_> = Box::pin(copy_to_end(&mut other_read, &mut one_write));
    let half_ended = tokio::select! {
        ended = &mut there => ended.map(|()| back),
        ended = &mut back => ended.map(|()| there),
    };
    // A failure ends both: a stream that breaks off has no orderly rest.
    if let Ok(other_half) = half_ended {
        let _ = timeout(HALF_OPEN, other_half).await;
    }
}

type Half<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

async fn copy_to_end(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    tokio::io::copy(from, to).await?;
    to.shutdown().await
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let taken = self.ahead.len().min(buf.remaining());
        buf.put_slice(self.ahead.get(..taken).unwrap_or_default());
        self.ahead.advance(taken);
        if self.ahead.is_empty() {
            // What it was cut from may be large.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

writes_to!(Ahead<S>, stream);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_beginning_with_those_read_ahead() {
        let (mut caller, ours) = tokio::io::duplex(64);
        let (theirs, mut upstream) = tokio::io::duplex(64);
        let joined = join(Ahead::new(ours, Bytes::from_static(b"early ")), theirs);
        let talk = async {
            caller.write_all(b"late").await.unwrap();
            caller.shutdown().await.unwrap();
            let mut heard = String::new();
            upstream.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "early late");
            upstream.write_all(b"answer").await.unwrap();
            upstream.shutdown().await.unwrap();
            heard.clear();
            caller.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "answer");
        };
        tokio::join!(joined, talk);
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_never_ends_is_left_after_a_while() {
        let (mut caller, ours) = tokio::io::duplex(64);
        let (theirs, _upstream) = tokio::io::duplex(64);
        caller.shutdown().await.unwrap();
        let started = Instant::now();
        join(ours, theirs).await;
        assert_eq!(started.elapsed(), HALF_OPEN);
    }
}
