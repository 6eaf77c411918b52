//! A message on its way out (RFC 9112 §§6, 7): its head, and its body as that comes.
//!
//! The other side may have stopped reading before it got the whole message: an upstream that answers 401 and closes, typically. Then
//! our next write fails while the answer lies ready in the receive buffer. So a failed write fails nothing of a request: what is
//! written afterwards goes nowhere, and whoever reads finds the answer or the end. Of an answer it ends everything.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::spelling::Spelling;

/// Pieces of a body up to this length are copied behind what stands before them: cheaper than one more place to write from.
const COPIED: usize = 1024;

/// So much of head and small pieces may wait for the other side to take it; then nothing more is asked of the body.
const WAITING: usize = 8 * 1024;

/// What is still to be written of a message.
#[derive(Debug)]
pub(crate) struct Outgoing<B> {
    /// The head, and what frames the pieces.
    framing: BytesMut,
    /// A piece of the body, behind that.
    piece: Bytes,
    /// What ends the piece, or the body.
    after: &'static [u8],
    body: Option<B>,
    length: Length,
    /// Why there is no more of the body, to be told when what came before is written.
    broken: Option<Unsent>,
    unflushed: bool,
    /// Bytes that the socket took.
    written: u64,
    /// Whether the other side stopped reading, and whether that matters.
    failed: bool,
    fails: bool,
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many bytes are left.
    Known(u64),
    /// By chunks; whether trailers may follow them.
    Chunked {
        /// RFC 9110 §6.5.1: not to whoever did not ask for them.
        trailers: bool,
    },
    /// By the end of the connection.
    UntilClose,
}

/// Why the rest of a message cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The body failed.
    #[error("the body broke off")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    /// It ended before its length.
    #[error("the body is shorter than it was declared")]
    Short,
    /// Nobody reads it.
    #[error("the other side stopped reading")]
    Unread,
}

impl<B> Outgoing<B> {
    /// Nothing of a request, which goes on when nobody reads it.
    pub(crate) fn request() -> Self {
        Self::none(false)
    }

    /// Nothing of an answer, which does not.
    pub(crate) fn answer() -> Self {
        Self::none(true)
    }

    fn none(fails: bool) -> Self {
        Self {
            framing: BytesMut::new(),
            piece: Bytes::new(),
            after: b"",
            body: None,
            length: Length::Known(0),
            broken: None,
            unflushed: false,
            written: 0,
            failed: false,
            fails,
        }
    }

    /// Whether all of it has been written.
    pub(crate) fn is_done(&self) -> bool {
        self.body.is_none() && !self.has_bytes() && !self.unflushed
    }

    fn has_bytes(&self) -> bool {
        !(self.framing.is_empty() && self.piece.is_empty() && self.after.is_empty())
    }

    /// Bytes that the socket took, of all messages.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the other side stopped reading.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Begins the next message, after the last one is done: where to write its head, which says `length`.
    pub(crate) fn begin(&mut self, body: Option<B>, length: Length) -> &mut BytesMut {
        self.body = body;
        self.length = length;
        self.framing.reserve(512);
        &mut self.framing
    }
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin> Outgoing<B> {
    /// Writes on. Ready when all of it is written.
    ///
    /// # Errors
    /// [`Unsent`], and then nothing more may be written.
    pub(crate) fn poll(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            // A body that is there already goes out together with its head.
            let has_room = self.after.is_empty() && self.piece.is_empty() && self.framing.len() < WAITING;
            let waits_for_body = has_room && self.poll_piece(cx)?.is_pending();
            while self.has_bytes() {
                ready!(self.poll_write(stream, cx));
                if self.failed && self.fails {
                    return Poll::Ready(Err(Unsent::Unread));
                }
            }
            if self.body.is_some() && !waits_for_body {
                continue;
            }
            if self.unflushed {
                let flushed = ready!(Pin::new(&mut *stream).poll_flush(cx));
                self.unflushed = false;
                self.note(flushed.err());
            }
            return if self.body.is_some() {
                Poll::Pending
            } else {
                Poll::Ready(self.broken.take().map_or(Ok(()), Err))
            };
        }
    }

    /// The next piece of the body, if it is there. An answer whose body breaks off goes out as far as it came, its head at least; of a
    /// request nothing more is of use.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Unsent> {
        self.poll_body(cx).or_else(|unsent| {
            if !self.fails {
                return Err(unsent);
            }
            self.body = None;
            self.broken = Some(unsent);
            Ok(Poll::Ready(()))
        })
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Unsent> {
        let Some(body) = &mut self.body else { return Ok(Poll::Ready(())) };
        let frame = match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(frame) => frame.transpose().map_err(|error| Unsent::Body(error.into()))?,
        };
        let ends = body.is_end_stream();
        match frame.map(http_body::Frame::into_data) {
            Some(Ok(data)) => self.frame(data)?,
            Some(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return self.end(&trailers).map(Poll::Ready);
            }
            None => return self.end(&HeaderMap::new()).map(Poll::Ready),
        }
        if ends {
            match self.length {
                Length::Known(0) => self.body = None,
                Length::Known(_) => return Err(Unsent::Short),
                Length::Chunked { .. } if !self.piece.is_empty() => {
                    self.after = b"\r\n0\r\n\r\n";
                    self.body = None;
                }
                Length::Chunked { .. } | Length::UntilClose => self.end(&HeaderMap::new())?,
            }
        }
        Ok(Poll::Ready(()))
    }

    fn frame(&mut self, mut data: Bytes) -> Result<(), Unsent> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.length {
            Length::Known(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
            }
            Length::UntilClose => {}
            Length::Chunked { .. } => {
                // A BytesMut takes whatever is written to it.
                let _ = write!(self.framing, "{:X}\r\n", data.len());
                self.after = b"\r\n";
            }
        }
        if data.len() <= COPIED {
            self.framing.put_slice(&data);
            self.framing.put_slice(std::mem::take(&mut self.after));
        } else {
            self.piece = data;
        }
        Ok(())
    }

    fn end(&mut self, trailers: &HeaderMap) -> Result<(), Unsent> {
        self.body = None;
        match self.length {
            Length::Known(0) | Length::UntilClose => {}
            Length::Known(_) => return Err(Unsent::Short),
            Length::Chunked { trailers: allowed } => {
                self.framing.put_slice(b"0\r\n");
                for (name, value) in trailers.iter().filter(|_| allowed) {
                    write_field(&mut self.framing, name.as_str().as_bytes(), value);
                }
                self.framing.put_slice(b"\r\n");
            }
        }
        Ok(())
    }

    fn poll_write(&mut self, stream: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        let all = self.framing.len() + self.piece.len() + self.after.len();
        let taken = if self.failed {
            all
        } else {
            let result = if self.piece.is_empty() && self.after.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.framing))
            } else {
                let slices = [IoSlice::new(&self.framing), IoSlice::new(&self.piece), IoSlice::new(self.after)];
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices))
            };
            let (taken, error) = match result {
                Ok(0) => (all, Some(io::ErrorKind::WriteZero.into())),
                Ok(taken) => (taken, None),
                Err(error) => (all, Some(error)),
            };
            if error.is_none() {
                self.written = self.written.saturating_add(taken as u64);
                self.unflushed = true;
            }
            self.note(error);
            taken
        };
        let of_framing = taken.min(self.framing.len());
        self.framing.advance(of_framing);
        let of_piece = (taken - of_framing).min(self.piece.len());
        self.piece.advance(of_piece);
        self.after = self.after.get(taken - of_framing - of_piece..).unwrap_or_default();
        Poll::Ready(())
    }

    fn note(&mut self, error: Option<io::Error>) {
        if let Some(error) = error {
            tracing::debug!(%error, "the other side stopped reading");
            self.failed = true;
        }
    }
}

/// Writes a field but for its name.
pub(crate) fn write_value(to: &mut BytesMut, value: &HeaderValue) {
    to.put_slice(b": ");
    to.put_slice(value.as_bytes());
    to.put_slice(b"\r\n");
}

fn write_field(to: &mut BytesMut, name: &[u8], value: &HeaderValue) {
    to.put_slice(name);
    write_value(to, value);
}

/// Writes names, counting those of the same name: a header map gives them one after the other.
pub(crate) struct Names<'a> {
    spelling: Option<&'a Spelling>,
    last: Option<&'a HeaderName>,
    nth: usize,
}

impl<'a> Names<'a> {
    /// With a spelling they are written as that says, else in lower case.
    pub(crate) fn new(spelling: Option<&'a Spelling>) -> Self {
        Self { spelling, last: None, nth: 0 }
    }

    /// Writes the next name.
    pub(crate) fn write(&mut self, to: &mut BytesMut, name: &'a HeaderName) {
        let Some(spelling) = self.spelling else { return to.put_slice(name.as_str().as_bytes()) };
        self.nth = if self.last == Some(name) { self.nth + 1 } else { 0 };
        self.last = Some(name);
        spelling.write(name, self.nth, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use http_body::Frame;
    use tokio::io::AsyncReadExt;

    /// A body whose frames are all there.
    struct Frames {
        frames: VecDeque<Frame<Bytes>>,
        knows_its_end: bool,
        breaks_off: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            let broken = self.breaks_off.then(|| Err(io::ErrorKind::UnexpectedEof.into()));
            Poll::Ready(self.frames.pop_front().map(Ok).or(broken))
        }

        fn is_end_stream(&self) -> bool {
            self.knows_its_end && self.frames.is_empty()
        }
    }

    async fn written(body: Frames, length: Length) -> Result<String, Unsent> {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut upload = Outgoing::request();
        upload.begin(Some(body), length).put_slice(HEAD.as_bytes());
        std::future::poll_fn(|cx| upload.poll(&mut ours, cx)).await?;
        assert!(upload.is_done());
        drop(ours);
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        assert_eq!(upload.written(), text.len() as u64);
        Ok(text)
    }

    fn frames(frames: Vec<Frame<Bytes>>, knows_its_end: bool) -> Frames {
        Frames { frames: frames.into(), knows_its_end, breaks_off: false }
    }

    fn data(text: &str) -> Frame<Bytes> {
        Frame::data(Bytes::copy_from_slice(text.as_bytes()))
    }

    const HEAD: &str = "HEAD\r\n\r\n";
    const CHUNKED: Length = Length::Chunked { trailers: true };

    #[tokio::test]
    async fn a_body_is_framed_by_its_length_or_in_chunks_or_by_the_end() {
        let big = "b".repeat(COPIED + 1);
        for knows_its_end in [true, false] {
            let check = async |pieces: &[&str], length, wanted: String| {
                let body = frames(pieces.iter().map(|piece| data(piece)).collect(), knows_its_end);
                assert_eq!(written(body, length).await.unwrap(), format!("{HEAD}{wanted}"));
            };
            check(&["ab", "", &big], Length::Known(COPIED as u64 + 3), format!("ab{big}")).await;
            let size = format!("{:X}", big.len());
            let wanted = format!("2\r\nab\r\n{size}\r\n{big}\r\n1\r\nc\r\n0\r\n\r\n");
            check(&["ab", "", &big, "c"], CHUNKED, wanted).await;
            check(&[&big], CHUNKED, format!("{size}\r\n{big}\r\n0\r\n\r\n")).await;
            check(&["ab", &big], Length::UntilClose, format!("ab{big}")).await;
        }
    }

    #[tokio::test]
    async fn trailers_follow_the_last_chunk_where_they_may() {
        for (length, wanted) in [
            (CHUNKED, "1\r\na\r\n0\r\nsum: 7\r\n\r\n"),
            (Length::Chunked { trailers: false }, "1\r\na\r\n0\r\n\r\n"),
            (Length::Known(1), "a"),
            (Length::UntilClose, "a"),
        ] {
            let mut trailers = HeaderMap::new();
            trailers.insert("sum", HeaderValue::from_static("7"));
            let body = frames(vec![data("a"), Frame::trailers(trailers)], true);
            assert_eq!(written(body, length).await.unwrap(), format!("{HEAD}{wanted}"), "{length:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_shorter_than_declared_is_not_passed_off_as_whole() {
        for knows_its_end in [true, false] {
            let short = frames(vec![data("ab")], knows_its_end);
            assert!(matches!(written(short, Length::Known(3)).await, Err(Unsent::Short)));
        }
        let long = frames(vec![data("abcd")], false);
        assert!(written(long, Length::Known(3)).await.unwrap().ends_with("\r\n\r\nabc"));
    }

    #[tokio::test]
    async fn of_an_answer_all_is_written_that_came_before_its_body_broke_off() {
        for (pieces, length, written) in [
            (&[][..], CHUNKED, ""),
            (&["ab"], CHUNKED, "2\r\nab\r\n"),
            (&["ab"], Length::Known(3), "ab"),
            (&["ab"], Length::UntilClose, "ab"),
        ] {
            let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
            let mut answer = Outgoing::answer();
            let body = Frames { breaks_off: true, ..frames(pieces.iter().map(|piece| data(piece)).collect(), false) };
            answer.begin(Some(body), length).put_slice(HEAD.as_bytes());
            let ended = std::future::poll_fn(|cx| answer.poll(&mut ours, cx)).await;
            assert!(matches!(ended, Err(Unsent::Body(_))), "{ended:?}");
            drop(ours);
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, format!("{HEAD}{written}"));
        }
    }

    #[tokio::test]
    async fn of_a_body_no_more_is_taken_than_may_wait() {
        let (mut ours, _theirs) = tokio::io::duplex(16);
        let mut answer = Outgoing::answer();
        let pieces = 100;
        answer.begin(Some(frames((0..pieces).map(|_| data(&"x".repeat(COPIED))).collect(), true)), CHUNKED);
        std::future::poll_fn(|cx| {
            for _ in 0..pieces {
                assert!(answer.poll(&mut ours, cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        assert!(answer.framing.len() < WAITING + 2 * COPIED, "{}", answer.framing.len());
        assert!(answer.body.as_ref().unwrap().frames.len() > pieces - 2 * WAITING / COPIED);
    }

    #[tokio::test]
    async fn a_failed_write_fails_nothing_of_a_request_and_all_of_an_answer() {
        for (mut upload, fails) in [(Outgoing::request(), false), (Outgoing::answer(), true)] {
            let (mut ours, theirs) = tokio::io::duplex(8);
            drop(theirs);
            upload.begin(Some(frames(vec![data("ab"), data("cd")], true)), CHUNKED).put_slice(HEAD.as_bytes());
            let result = std::future::poll_fn(|cx| upload.poll(&mut ours, cx)).await;
            assert_eq!(matches!(result, Err(Unsent::Unread)), fails);
            assert!(upload.has_failed() && upload.is_done() != fails);
            assert_eq!(upload.written(), 0);
        }
    }
}
