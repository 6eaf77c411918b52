//! A caller's stream that must take what it is sent: who reads nothing of an answer does not hold it for ever.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::framing::Activity;
use crate::alarm::Alarm;

/// A stream whose writes fail when the other end has taken nothing for too long.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    limit: Option<Duration>,
    activity: Rc<Activity>,
    /// Since when there is no room for what is to be written.
    stuck: Option<Instant>,
    alarm: Alarm,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, limit: Option<Duration>, activity: Rc<Activity>) -> Self {
        Self { stream, limit, activity, stuck: None, alarm: Alarm::default() }
    }

    /// The stream, which may wait for as long as it likes: it is no longer HTTP.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(limit) = self.limit else { return written };
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = *self.stuck.get_or_insert_with(Instant::now);
        if self.alarm.poll_until(stuck + limit, cx).is_pending() {
            return Poll::Pending;
        }
        self.activity.leave_unread();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller reads nothing of its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const LIMIT: Duration = Duration::from_secs(60);

    fn stream(limit: Option<Duration>) -> (tokio::io::DuplexStream, Patient<tokio::io::DuplexStream>, Rc<Activity>) {
        let (theirs, ours) = tokio::io::duplex(64);
        let activity = Activity::new();
        (theirs, Patient::new(ours, limit, Rc::clone(&activity)), activity)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_fails_when_nothing_of_it_was_taken_for_the_whole_limit() {
        let (_theirs, mut ours, activity) = stream(Some(LIMIT));
        let started = Instant::now();
        let error = ours.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
        assert!(activity.is_unread());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_may_be_as_slow_as_it_likes_if_it_reads_at_all() {
        let (mut theirs, mut ours, activity) = stream(Some(LIMIT));
        let started = Instant::now();
        let read = async {
            let mut bytes = [0; 50];
            for _ in 0..20 {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                theirs.read_exact(&mut bytes).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[0; 1000]), read);
        written.unwrap();
        assert!(started.elapsed() > 15 * LIMIT && !activity.is_unread());
        // A stream that has nothing to write is never too slow.
        tokio::time::sleep(2 * LIMIT).await;
        ours.write_all(&[0; 10]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn off_waits_for_ever() {
        let (_theirs, mut ours, _) = stream(None);
        let waited = tokio::time::timeout(1000 * LIMIT, ours.write_all(&[0; 1000])).await;
        assert!(waited.is_err());
    }
}
