//! A caller's stream while its requests are served: one task writes answers, and whoever has a request's body reads that.
//!
//! The body may outlive its answer, in another task. So each call borrows the stream for itself.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::caller_body::BodyError;
use super::super::framing::{Activity, BodyLength, Framed, Opened, Places};
use super::super::patient::Patient;
use super::super::{CallerBody, Refusal};
use crate::http1::body::{Decoder, Step};
use crate::reason::Reason;
use crate::tunnel::Duplex;

/// A stream that several look after, all on one thread.
#[derive(Debug)]
pub(in crate::server) struct Wire<S> {
    /// Until the connection ends.
    framed: RefCell<Option<Framed<S>>>,
    activity: Rc<Activity>,
    /// Whether somebody has the body of the current request, and has not come to its end.
    is_lent: Cell<bool>,
}

impl<S: Duplex + 'static> Wire<S> {
    pub(in crate::server) fn new(framed: Framed<S>) -> Rc<Self> {
        let activity = framed.activity();
        Rc::new(Self { framed: RefCell::new(Some(framed)), activity, is_lent: Cell::new(false) })
    }

    /// The stream. Whoever still has a body finds that there is no more of it.
    pub(in crate::server) fn take_framed(&self) -> Option<Framed<S>> {
        self.framed.take()
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Framed<S>) -> T) -> Option<T> {
        self.framed.borrow_mut().as_mut().map(use_it)
    }

    /// The head that has come; see [`Framed::take_head`].
    pub(super) fn take_head(&self) -> Option<(Bytes, Places, BodyLength)> {
        self.with(Framed::take_head).flatten()
    }

    /// The body that follows. With `invites` its reader first tells the caller to go on.
    pub(super) fn lend_body(self: &Rc<Self>, length: BodyLength, invites: bool) -> CallerBody {
        let decoder = match length {
            BodyLength::Known(0) => return CallerBody::empty(),
            BodyLength::Known(length) => Decoder::Length(length),
            // How long trailers may be was judged before.
            BodyLength::Chunked => Decoder::chunked(usize::MAX),
        };
        if invites {
            self.with(Framed::will_invite);
        }
        self.is_lent.set(true);
        let source: Rc<dyn Source> = Rc::<Self>::clone(self);
        WireBody { source: Some(source), decoder, ahead: Bytes::new() }.into()
    }

    /// Takes an invitation back that was not given. Whether there was one: then nobody knows whether the body will come.
    pub(super) fn withdraw_invitation(&self) -> bool {
        self.with(Framed::withdraw_invitation).unwrap_or(false)
    }

    /// Refuses what could not be read.
    pub(super) fn turn_away(&self, refusal: Refusal) {
        self.with(|framed| framed.turn_away(refusal));
    }

    /// What the connection is doing.
    pub(in crate::server) fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    /// Waits for the next head; see [`Framed::poll_opened`].
    pub(in crate::server) fn poll_opened(&self, rests: bool, cx: &mut Context<'_>) -> Poll<io::Result<Opened>> {
        self.with(|framed| framed.poll_opened(rests, cx)).unwrap_or(Poll::Ready(Ok(Opened::Nothing)))
    }

    /// Ready when the caller has hung up. While its body is read that is for the reader to see.
    pub(super) fn poll_hang_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_lent.get() {
            self.activity.wait(cx);
            return Poll::Pending;
        }
        self.with(|framed| framed.poll_hang_up(cx)).unwrap_or(Poll::Ready(()))
    }

    /// Ready when nobody reads the body any more, or when the caller has been given up. Whether another request may follow.
    pub(super) fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.is_lent.get() && !self.activity.is_given_up() {
            self.activity.wait(cx);
            return Poll::Pending;
        }
        Poll::Ready(self.with(Framed::close_body).unwrap_or(false))
    }

    /// Where answers are written.
    pub(super) fn writer(&self) -> Writer<'_, S> {
        Writer(self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn poll_stream<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Patient<S>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut framed = self.framed.borrow_mut();
        let Some(framed) = framed.as_mut() else { return Poll::Ready(Err(ended())) };
        let stream = ready!(framed.poll_stream(cx))?;
        poll(Pin::new(stream), cx)
    }
}

fn ended() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Where a body comes from.
trait Source {
    /// The next bytes of it as they are on the wire, judged already; none when it is over.
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>>;

    /// Nobody reads it any more.
    fn let_go(&self, by: Option<&Context<'_>>);

    /// The caller has been waited for long enough.
    fn give_up(&self);
}

impl<S: Duplex + 'static> Source for Wire<S> {
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        self.with(|framed| framed.poll_piece(cx)).unwrap_or_else(|| Poll::Ready(Err(ended().into())))
    }

    fn let_go(&self, by: Option<&Context<'_>>) {
        self.is_lent.set(false);
        self.activity.wake_reader(by);
    }

    fn give_up(&self) {
        self.activity.give_up();
        self.activity.wake_reader(None);
    }
}

/// The body of a request over HTTP/1.
pub(in crate::server) struct WireBody {
    /// Until the end.
    source: Option<Rc<dyn Source>>,
    decoder: Decoder,
    /// What came and was not read yet.
    ahead: Bytes,
}

impl WireBody {
    pub(in crate::server) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(source) = &self.source else { return Poll::Ready(None) };
        let frame = loop {
            match self.decoder.step(&mut self.ahead) {
                Ok(Step::Frame(frame)) => break Some(Ok(frame)),
                Ok(Step::End) => break None,
                Ok(Step::Hungry) => {}
                // The framing was judged before.
                Err(_) => break Some(Err(BodyError::Refused(Refusal::new(Reason::BadRequest, "a chunk is none")))),
            }
            match ready!(source.poll_piece(cx)) {
                Ok(piece) if piece.is_empty() => break Some(Err(ended().into())),
                Ok(piece) => self.ahead = piece,
                Err(error) => break Some(Err(error)),
            }
        };
        if self.decoder.is_over() || !matches!(frame, Some(Ok(_))) {
            self.let_go(Some(cx));
        }
        Poll::Ready(frame)
    }

    pub(in crate::server) fn is_end_stream(&self) -> bool {
        self.decoder.is_over() || self.source.is_none()
    }

    pub(in crate::server) fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }

    pub(in crate::server) fn give_up(&self) {
        if let Some(source) = &self.source {
            source.give_up();
        }
    }

    fn let_go(&mut self, by: Option<&Context<'_>>) {
        if let Some(source) = self.source.take() {
            source.let_go(by);
        }
    }
}

impl Drop for WireBody {
    fn drop(&mut self) {
        self.let_go(None);
    }
}

impl fmt::Debug for WireBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireBody").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

/// Writes, borrowing the stream for each call: what is written may be waiting for what is read.
#[derive(Debug)]
pub(super) struct Writer<'a, S>(&'a Wire<S>);

impl<S: Duplex> AsyncWrite for Writer<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_stream(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_stream(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_stream(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_stream(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}
