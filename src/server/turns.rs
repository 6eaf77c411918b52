//! A stream that is read in turns with the others of its worker.
//!
//! h2 reads for as long as there is something to read. Thousands of the smallest frames, each legal, fit into one such go, and
//! callers who send nothing else would hold up everybody on their worker.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::delegate::writes_to;

/// What is read in one turn, in bytes: some two thousand of the smallest frames, or one of the largest.
const TURN: usize = 16 * 1024;

/// Lets others have their turn after some bytes of `stream`.
pub(super) struct Turns<S> {
    stream: S,
    left: usize,
    /// Until everybody else has had theirs.
    others: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl<S> Turns<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: TURN, others: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Turns<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(others) = &mut this.others {
            ready!(others.as_mut().poll(cx));
            this.others = None;
            this.left = TURN;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if read.is_pending() {
            // Everybody has their turn while this caller says nothing.
            this.left = TURN;
            return Poll::Pending;
        }
        this.left = this.left.saturating_sub(buf.filled().len() - before);
        if this.left == 0 {
            // Wakes this task after the sockets of all others have been looked at, which a mere wake does not.
            this.others = Some(Box::pin(tokio::task::yield_now()));
        }
        read
    }
}

writes_to!(Turns<S>, stream);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn a_stream_that_has_always_more_lets_others_have_their_turn() {
        let mut endless = Turns::new(tokio::io::repeat(0).take(100 * TURN as u64));
        let mut turns = 0;
        let read = async {
            let mut all = 0;
            let mut bytes = [0; 1000];
            loop {
                match endless.read(&mut bytes).await.unwrap() {
                    0 => break all,
                    count => all += count,
                }
            }
        };
        let other = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            all = read => assert_eq!(all, 100 * TURN),
            () = other => (),
        }
        assert!(turns > 50, "{turns}");
    }
}
