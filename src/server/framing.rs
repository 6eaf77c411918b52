//! HTTP/1 from a caller's socket, checked before hyper sees it.
//!
//! hyper repairs some of what can be read in two ways, and answers some of the rest by itself. So every byte of a caller
//! passes here first: [`head`] checks a whole head before hyper gets any of it, [`chunks`] and a count follow the body, and no byte
//! behind the current request is handed on before its answer has ended. Refusals are therefore ours, each counted and
//! told in a document, and never stand in the middle of another answer: hyper is told that the caller has hung up, writes
//! what it still has, and then [`Framed::finish`] writes the refusal. Bodies are read straight into hyper's buffer.

mod activity;
mod chunks;
mod fields;
mod head;
mod message;
mod target;

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

pub use activity::Watched;
pub(super) use activity::{Activity, Busy};

use super::patient::Patient;
use super::preface::{self, Protocol};
use super::{Refusal, Settings};
use crate::alarm::Alarm;
use crate::reason::Reason;
use activity::{Phase, poll_end};
use message::Message;

/// How long a refused caller may pause while what it still sends is thrown away, so that it comes to read the refusal.
const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// How long that may go on.
const LINGER_TIME: Duration = Duration::from_secs(30);

/// How much is read at a time while the first head is not whole, in bytes.
const FIRST_READ: usize = 4096;

/// A stream that hands on one well-framed request at a time.
#[derive(Debug)]
pub(super) struct Framed<S> {
    stream: Patient<S>,
    settings: Settings,
    activity: Rc<Activity>,
    alarm: Alarm,
    message: Message,
    /// What came and was not handed on: the granted rest of the current request, or a head that is not whole, or what
    /// follows the current request.
    held: BytesMut,
    /// So many of the held bytes may be handed on.
    granted: usize,
    /// Whether an answer is on its way through the socket.
    unflushed: bool,
    /// Whether there was a request already.
    was_opened: bool,
    /// Why no more is read, once that is so.
    end: Option<End>,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// With the whole head of a request.
    Http1,
    /// With the preface of HTTP/2, which is held.
    Http2,
    /// With its end.
    Nothing,
}

#[derive(Debug)]
enum End {
    /// Idle for too long: nothing to say.
    Silent,
    /// Refused, in place of an answer.
    Refused { refusal: Refusal, is_head_method: bool },
    /// Refused within a body; whoever reads the body gives the answer.
    Broken,
}

/// The error that a reader of the body meets.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{}", .0.detail)]
struct BrokenBody(Refusal);

/// Why a caller's body was refused, if it was: the framing is broken, as opposed to the caller being gone.
pub fn refusal_of(error: &(dyn Error + 'static)) -> Option<Refusal> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(BrokenBody(refusal)) =
            error.downcast_ref::<io::Error>().and_then(|error| error.get_ref()).and_then(|inner| inner.downcast_ref())
        {
            return Some(*refusal);
        }
        cause = error.source();
    }
    None
}

impl<S> Framed<S> {
    pub(super) fn new(stream: S, settings: Settings) -> Self {
        let activity = Activity::new();
        Self {
            stream: Patient::new(stream, settings.response_unread, Rc::clone(&activity)),
            settings,
            activity,
            alarm: Alarm::default(),
            message: Message::new(settings.head),
            held: BytesMut::new(),
            granted: 0,
            unflushed: false,
            was_opened: false,
            end: None,
        }
    }

    pub(super) fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The stream, and what came on it and was not handed on.
    pub(super) fn into_parts(self) -> (Patient<S>, Bytes) {
        (self.stream, self.held.freeze())
    }

    /// Reads nothing; [`Framed::finish`] says why.
    pub(super) fn turn_away(&mut self, refusal: Refusal) {
        self.end = Some(End::Refused { refusal, is_head_method: false });
    }

    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        if self.message.is_in_head() {
            let is_head_method = self.message.is_head_method();
            self.end = Some(End::Refused { refusal, is_head_method });
            return Ok(());
        }
        self.end = Some(End::Broken);
        Err(io::Error::new(io::ErrorKind::InvalidData, BrokenBody(refusal)))
    }

    /// The caller took too long.
    fn time_out(&mut self) {
        self.end = Some(match self.activity.phase() {
            Phase::Head(_) => End::Refused {
                refusal: Refusal::new(Reason::HeadTimeout, "the head took longer than timeouts.request_head"),
                is_head_method: self.message.is_head_method(),
            },
            Phase::Idle(_) | Phase::Busy => End::Silent,
        });
    }

    /// Judges what is held, which begins with the first byte of a head.
    fn judge_held(&mut self) -> io::Result<()> {
        let blank = self.message.blank(&self.held);
        self.held.advance(blank);
        if self.held.is_empty() {
            // Empty lines after a request do not begin another (RFC 9112 §2.2).
            self.held = BytesMut::new();
            return Ok(());
        }
        let was_in_head = self.message.is_in_head();
        match self.message.judge(&self.held, self.settings.head) {
            Ok(granted) => self.granted = granted,
            Err(refusal) => return self.refuse(refusal),
        }
        if self.granted == 0 && !self.message.is_new() {
            self.activity.head_began();
        } else if was_in_head && self.granted > 0 {
            self.activity.head_came(&self.held);
        }
        Ok(())
    }

    /// Judges what was read into `buf` behind its first `before` bytes, and leaves there what may be handed on.
    fn judge_read(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        let came = buf.filled().get(before..).unwrap_or_default();
        let starts_blank = self.message.is_in_head() && matches!(came.first(), Some(b'\r' | b'\n'));
        if !self.held.is_empty() || starts_blank {
            self.held.extend_from_slice(came);
            buf.set_filled(before);
            return self.judge_held();
        }
        let was_in_head = self.message.is_in_head();
        let judged = self.message.judge(came, self.settings.head);
        let granted = *judged.as_ref().unwrap_or(&0);
        if was_in_head && granted > 0 {
            self.activity.head_came(came);
        }
        self.held.extend_from_slice(came.get(granted..).unwrap_or_default());
        buf.set_filled(before + granted);
        if let Err(refusal) = judged {
            return self.refuse(refusal);
        }
        if granted == 0 {
            self.activity.head_began();
        }
        Ok(())
    }

    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.granted.min(buf.remaining());
        buf.put_slice(&self.held.split_to(count));
        self.granted -= count;
        if self.held.is_empty() {
            // An idle connection keeps no memory.
            self.held = BytesMut::new();
        }
    }

    /// Whether the current request is complete and its answer is not: nothing may be read from the next one.
    fn is_answering(&self) -> bool {
        self.message.is_over() && (self.unflushed || self.activity.phase() == Phase::Busy)
    }

    /// Whether the caller may still be sending what nobody will read.
    fn lingers(&self) -> bool {
        match &self.end {
            // Its silence is why it ends.
            Some(End::Refused { refusal, .. }) if refusal.reason == Reason::HeadTimeout => false,
            Some(End::Refused { .. } | End::Broken) => true,
            Some(End::Silent) => false,
            None if self.activity.is_given_up() => false,
            None => !self.held.is_empty() || !(self.message.is_over() || self.message.is_in_head()),
        }
    }
}

impl<S: AsyncRead + Unpin> Framed<S> {
    /// Waits for the next whole head, before anything of hyper's is built: a caller that sends nothing, or half a head, costs
    /// little memory. A caller of HTTP/2 is known by its first bytes; nothing of them is judged here.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) async fn opened(&mut self) -> io::Result<Opened> {
        std::future::poll_fn(|cx| self.poll_opened(cx)).await
    }

    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Opened>> {
        let mut space = [0; FIRST_READ];
        while self.granted == 0 && self.end.is_none() {
            let mut buf = ReadBuf::new(&mut space);
            if ready!(self.poll_more(cx, &mut buf))? == 0 {
                return Poll::Ready(Ok(Opened::Nothing));
            }
            self.held.extend_from_slice(buf.filled());
            // A connection has one version of HTTP.
            let protocol = if self.was_opened { Some(Protocol::Http1) } else { preface::protocol(&self.held) };
            match protocol {
                Some(Protocol::Http1) => self.judge_held()?,
                Some(Protocol::Http2) => return Poll::Ready(Ok(Opened::Http2)),
                // Half a preface may be the beginning of "POST", too.
                None => self.activity.head_began(),
            }
        }
        self.was_opened = true;
        Poll::Ready(Ok(if self.end.is_none() { Opened::Http1 } else { Opened::Nothing }))
    }

    /// Sees the caller hang up while its request is being answered. What it sends meanwhile is held, one read of it.
    fn poll_hang_up(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.activity.wait(cx);
        if !self.held.is_empty() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        if came.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.held.extend_from_slice(came);
        buf.set_filled(before);
        Poll::Pending
    }

    /// Reads once more from the socket. Ready with nothing read means that it is over.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| buf.filled().len() - before)),
            Poll::Pending if self.message.is_in_head() => {
                if let Some(rest) = self.activity.rests_at()
                    && self.alarm.poll_until(rest, cx).is_ready()
                {
                    self.activity.rest();
                }
                ready!(poll_end(&mut self.alarm, self.activity.phase(), &self.settings, cx));
                self.time_out();
                Poll::Ready(Ok(0))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.activity.is_switched() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        loop {
            // Nothing filled in is the end of the stream to hyper.
            if this.end.is_some() || buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            if this.granted > 0 {
                this.hand_over(buf);
            } else if this.is_answering() {
                return this.poll_hang_up(cx, buf);
            } else if this.message.is_over() {
                this.message = Message::new(this.settings.head);
                this.judge_held()?;
            } else if ready!(this.poll_more(cx, buf))? == 0 {
                return Poll::Ready(Ok(()));
            } else {
                this.judge_read(buf, before)?;
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if std::mem::take(&mut self.unflushed) {
            self.activity.wake_reader();
        }
        Poll::Ready(Ok(()))
    }

    /// Does nothing: hyper has written all that it had, and the rest is up to [`Framed::finish`].
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// Ends the connection: says why it was refused, if it was, and waits until the caller can have read that.
    pub(super) async fn finish(mut self, document: impl FnOnce(Refusal, bool) -> Bytes) {
        let until = Instant::now() + LINGER_TIME;
        let lingers = self.lingers();
        let said = match self.end {
            Some(End::Refused { refusal, is_head_method }) => document(refusal, is_head_method),
            _ => Bytes::new(),
        };
        self.held = BytesMut::new();
        let mut stream = self.stream;
        let said = timeout_at(until, async {
            stream.write_all(&said).await?;
            stream.shutdown().await
        });
        if matches!(said.await, Ok(Ok(()))) && lingers {
            linger(stream, until).await;
        }
    }
}

/// Throws away what still comes. Closing a socket with unread bytes resets it, and the caller would lose the answer.
async fn linger(mut stream: impl AsyncRead + Unpin, until: Instant) {
    let mut bytes = [0; 1024];
    loop {
        let pause = until.min(Instant::now() + LINGER_PAUSE);
        match timeout_at(pause, stream.read(&mut bytes)).await {
            Ok(Ok(1..)) if Instant::now() < until => (),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests;
