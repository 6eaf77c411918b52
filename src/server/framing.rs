//! HTTP/1 from a caller's socket, every byte of it checked before anybody acts on it.
//!
//! [`head`] checks a whole head, [`chunks`] and a count follow the body, and no byte behind the current request is looked at before its
//! answer has ended. Refusals are counted and told in a document, and never stand in the middle of another answer:
//! [`end`] writes them when what came before is answered. Bodies are handed on as they lie in memory.

mod activity;
mod chunks;
mod end;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::server) mod fuzzing;
mod head;
mod message;
mod target;

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

pub(super) use activity::{Activity, Busy, Watched};
pub(crate) use fields::MOST as MOST_FIELDS;
pub(super) use fields::Place;
pub(super) use head::{BodyLength, Places};
pub(crate) use target::check as check_target;

use super::caller_body::BodyError;
use super::patient::Patient;
use super::preface::{self, Protocol};
use super::steps::Steps;
use super::{Refusal, Settings};
use crate::alarm::Alarm;
use crate::reason::Reason;
use activity::{Phase, deadline};
use end::End;
use head::Head;
use message::{Judged, Message};

/// How long nothing must happen between two requests before the memory for serving them is given back.
const REST: Duration = Duration::from_secs(1);

/// How much is read at a time of heads, and at first of a body, in bytes.
const LEAST_ROOM: usize = 4 * 1024;
/// How much room a head gets that waits for its turn, in bytes.
const LONG_HEAD: usize = 32 * 1024;
/// How much of a body is read at a time as soon as a read has filled the room that it had.
const MOST_ROOM: usize = 64 * 1024;

/// What a caller is told that waits for a word before it sends its body (RFC 9110 §15.2.1).
const INVITATION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

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
    /// The head at the front of them.
    head: Option<(Head, Places)>,
    /// How much is read of a body at a time.
    room: usize,
    /// What is still to be written of the invitation, and whether it is on its way through the stream.
    invitation: &'static [u8],
    inviting: bool,
    /// Whether there was a request already.
    was_opened: bool,
    /// With whom long heads are read in turns.
    steps: Option<Rc<Steps>>,
    /// Why no more is read, once that is so.
    end: Option<End>,
}

/// How a connection begins, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// With the whole head of a request.
    Http1,
    /// With the preface of HTTP/2, which is held.
    Http2,
    /// With its end.
    Nothing,
    /// Not at all for a while.
    Resting,
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
            head: None,
            room: LEAST_ROOM,
            invitation: b"",
            inviting: false,
            was_opened: false,
            steps: None,
            end: None,
        }
    }

    /// Reads what a head has beyond its first bytes in turns with the other heads of that kind: they wait for each other, and nobody else
    /// waits for them.
    pub(super) fn in_turns(self, steps: &Rc<Steps>) -> Self {
        Self { steps: Some(Rc::clone(steps)), ..self }
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
    fn judge_head(&mut self) {
        let blank = self.message.blank(&self.held);
        self.held.advance(blank);
        if self.held.is_empty() {
            // Empty lines after a request do not begin another (RFC 9112 §2.2). An idle connection keeps no memory.
            self.held = BytesMut::new();
            return;
        }
        match self.message.judge(&self.held, self.settings.head) {
            Ok(Judged { granted: 0, .. }) if self.message.is_new() => (),
            Ok(Judged { granted: 0, .. }) => self.activity.head_began(),
            Ok(Judged { granted, head }) => (self.granted, self.head) = (granted, head),
            Err(refusal) => {
                let is_head_method = self.message.is_head_method();
                self.end = Some(End::Refused { refusal, is_head_method });
            }
        }
    }

    /// The head that has come, where its parts stand, and its body's length.
    pub(super) fn take_head(&mut self) -> Option<(Bytes, Places, BodyLength)> {
        let (head, places) = self.head.take()?;
        self.room = if self.held.len() >= LEAST_ROOM { MOST_ROOM } else { LEAST_ROOM };
        Some((self.take(head.length), places, head.body))
    }

    /// Takes granted bytes off the front of what is held.
    fn take(&mut self, count: usize) -> Bytes {
        self.granted -= count;
        if count == self.held.len() {
            return std::mem::take(&mut self.held).freeze();
        }
        self.held.split_to(count).freeze()
    }

    /// Whoever reads the body tells the caller to send it, unless it comes unasked.
    pub(super) fn will_invite(&mut self) {
        self.invitation = INVITATION;
    }

    /// Takes back an invitation of which nothing was said; whether there was one.
    pub(super) fn withdraw_invitation(&mut self) -> bool {
        let is_unsaid = self.invitation.len() == INVITATION.len();
        if is_unsaid {
            self.invitation = b"";
        }
        is_unsaid
    }

    /// Nobody reads the body any more: whether all of it has come, so that another request may follow.
    pub(super) fn close_body(&mut self) -> bool {
        if self.message.is_over() && self.granted > 0 {
            drop(self.take(self.granted));
        }
        self.message.is_over()
    }
}

impl<S: AsyncRead + Unpin> Framed<S> {
    /// Waits for the next whole head; nothing else is done meanwhile, so that a caller that sends nothing, or half a head, costs
    /// little memory. A caller of HTTP/2 is known by its first bytes; nothing of them is judged here. With `rests` it also ends when
    /// nothing has happened for a while.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn poll_opened(&mut self, rests: bool, cx: &mut Context<'_>) -> Poll<io::Result<Opened>> {
        if self.message.is_over() {
            self.message = Message::new(self.settings.head);
            self.judge_head();
        }
        let mut step = None;
        while self.granted == 0 && self.end.is_none() {
            if step.is_none()
                && self.held.len() >= LEAST_ROOM
                && let Some(steps) = &self.steps
            {
                let Poll::Ready(granted) = steps.poll_step(cx) else {
                    // Thousands of small pieces that become large ones later would leave memory in disorder.
                    self.held.reserve(LONG_HEAD.saturating_sub(self.held.len()));
                    return Poll::Pending;
                };
                step = Some(granted);
            }
            match self.poll_more(cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(Opened::Nothing)),
                Poll::Ready(_) => (),
                Poll::Pending => match ready!(self.poll_patience(rests, cx)) {
                    Opened::Nothing => self.time_out(),
                    opened => return Poll::Ready(Ok(opened)),
                },
            }
            // A connection has one version of HTTP.
            let protocol = if self.was_opened { Some(Protocol::Http1) } else { preface::protocol(&self.held) };
            match protocol {
                Some(Protocol::Http1) => self.judge_head(),
                Some(Protocol::Http2) => return Poll::Ready(Ok(Opened::Http2)),
                // Half a preface may be the beginning of "POST", too.
                None => self.activity.head_began(),
            }
        }
        self.was_opened = true;
        Poll::Ready(Ok(if self.end.is_none() { Opened::Http1 } else { Opened::Nothing }))
    }

    /// Ready when the caller has taken too long, or so long that we may rest.
    fn poll_patience(&mut self, rests: bool, cx: &mut Context<'_>) -> Poll<Opened> {
        let phase = self.activity.phase();
        if let Phase::Idle(since) = phase
            && rests
            && self.settings.keep_alive.is_none_or(|keep_alive| keep_alive > REST)
        {
            return self.alarm.poll_until(since + REST, cx).map(|()| Opened::Resting);
        }
        let Some(deadline) = deadline(phase, &self.settings) else { return Poll::Pending };
        self.alarm.poll_until(deadline, cx).map(|()| Opened::Nothing)
    }

    /// Ready when the caller has hung up while nobody reads its request. What it sends meanwhile is held, one read of it; the rest
    /// of a body that nobody wants is thrown away.
    pub(super) fn poll_hang_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.message.is_over() {
                self.held.clear();
                self.granted = 0;
            } else if !self.held.is_empty() && self.holds_another() {
                return Poll::Pending;
            }
            if let Ok(0) | Err(_) = ready!(self.poll_more(cx)) {
                return Poll::Ready(());
            }
        }
    }

    /// Whether more has come behind the current request than empty lines, which begin no other (RFC 9112 §2.2).
    fn holds_another(&mut self) -> bool {
        self.close_body();
        self.held.advance(message::blank(&self.held));
        !self.held.is_empty()
    }

    /// Reads once from the socket, with as little memory as there is to keep; how much came.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; LEAST_ROOM];
        let mut buf = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        self.held.extend_from_slice(buf.filled());
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// The next bytes of the body, chunks and all; none when it is over.
    ///
    /// # Errors
    /// [`BodyError`], and then again each time.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        loop {
            if self.granted > 0 {
                self.withdraw_invitation();
                return Poll::Ready(Ok(self.take(self.granted)));
            }
            if let Some(End::Broken(refusal)) = self.end {
                return Poll::Ready(Err(BodyError::Refused(refusal)));
            }
            if self.message.is_over() {
                return Poll::Ready(Ok(Bytes::new()));
            }
            ready!(self.poll_invite(cx))?;
            if ready!(self.poll_body(cx))? == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
            match self.message.judge(&self.held, self.settings.head) {
                Ok(Judged { granted, .. }) => self.granted = granted,
                Err(refusal) => self.end = Some(End::Broken(refusal)),
            }
        }
    }

    /// Says the rest of the invitation, if there is one. Whoever writes anything else comes here first.
    fn poll_invite(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.invitation.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, self.invitation))?;
            self.invitation = self.invitation.get(written.max(1)..).unwrap_or_default();
            self.inviting = true;
        }
        if self.inviting {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.inviting = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Where answers are written, once nothing else is.
    pub(super) fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut Patient<S>>> {
        ready!(self.poll_invite(cx))?;
        Poll::Ready(Ok(&mut self.stream))
    }

    /// Reads once from the socket, in more room once it was too little.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.held.capacity() - self.held.len() < self.room / 2 {
            self.held.reserve(self.room);
        }
        let room = self.held.capacity() - self.held.len();
        let came = ready!(pin!(self.stream.read_buf(&mut self.held)).poll(cx))?;
        if came == room {
            self.room = MOST_ROOM;
        }
        Poll::Ready(Ok(came))
    }
}

/// Where the parts of a head stand that is in order.
#[cfg(test)]
pub(super) fn places(head: &[u8]) -> Places {
    Message::new(head.len() + 1).judge(head, 0).unwrap().head.unwrap().1
}

#[cfg(test)]
mod tests;
