//! A request on its way out (RFC 9112 §§3, 6, 7): its head, and its body as that comes.
//!
//! An upstream may answer and close before it has read the whole request: with a 401, typically. Then our next write fails while
//! the answer lies ready in the receive buffer. So a failed write fails nothing: what is written afterwards goes nowhere,
//! and whoever reads finds the answer or the end.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Request, request};
use tokio::io::AsyncWrite;

use super::super::connection::Outbound;
use crate::spelling::Spelling;

/// Pieces of a body up to this length are copied behind what stands before them: cheaper than one more place to write from.
const COPIED: usize = 1024;

/// What is still to be written of a request.
#[derive(Debug)]
pub(super) struct Upload<B> {
    /// The head, and what frames the pieces.
    framing: BytesMut,
    /// A piece of the body, behind that.
    piece: Bytes,
    /// What ends the piece, or the body.
    after: &'static [u8],
    body: Option<B>,
    length: Length,
    unflushed: bool,
    /// Bytes that the socket took.
    written: u64,
    /// Whether the upstream stopped reading.
    failed: bool,
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// So many bytes are left.
    Known(u64),
    /// By chunks.
    Chunked,
}

/// Why the rest of a request cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The body failed.
    #[error("the request's body broke off")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    /// It ended before its length.
    #[error("the request's body is shorter than it was declared")]
    Short,
}

impl<B> Upload<B> {
    /// Nothing to write.
    pub(super) fn none() -> Self {
        Self {
            framing: BytesMut::new(),
            piece: Bytes::new(),
            after: b"",
            body: None,
            length: Length::Known(0),
            unflushed: false,
            written: 0,
            failed: false,
        }
    }

    /// Whether all of it has been written.
    pub(super) fn is_done(&self) -> bool {
        self.body.is_none() && !self.has_bytes() && !self.unflushed
    }

    fn has_bytes(&self) -> bool {
        !(self.framing.is_empty() && self.piece.is_empty() && self.after.is_empty())
    }

    /// Bytes that the socket took, of all requests.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the upstream stopped reading.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }
}

impl<B: Outbound> Upload<B> {
    /// Begins the next request, after the last one is done. With a spelling its names are written in that.
    pub(super) fn begin(&mut self, request: Request<B>, spelling: Option<&Spelling>) {
        let (head, body) = request.into_parts();
        self.body = Some(body).filter(|body| !body.is_end_stream());
        let length = self.body.as_ref().map(|body| body.size_hint().exact());
        self.length = match length {
            None => Length::Known(0),
            Some(Some(bytes)) => Length::Known(bytes),
            Some(None) => Length::Chunked,
        };
        write_head(&mut self.framing, &head, length, spelling);
    }

    /// Writes on. Ready when all of it is written.
    ///
    /// # Errors
    /// [`Unsent`], and then nothing more may be written.
    pub(super) fn poll(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            // A body that is there already goes out together with its head.
            let waits_for_body =
                if self.after.is_empty() && self.piece.is_empty() { self.poll_body(cx)?.is_pending() } else { false };
            while self.has_bytes() {
                ready!(self.poll_write(stream, cx));
            }
            if self.body.is_some() && !waits_for_body {
                continue;
            }
            if self.unflushed {
                let flushed = ready!(Pin::new(&mut *stream).poll_flush(cx));
                self.unflushed = false;
                self.note(flushed.err());
            }
            return if self.body.is_some() { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
    }

    /// The next piece of the body, if it is there.
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
                Length::Chunked if self.piece.is_empty() => self.end(&HeaderMap::new())?,
                Length::Chunked => {
                    self.after = b"\r\n0\r\n\r\n";
                    self.body = None;
                }
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
            Length::Chunked => {
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
            Length::Known(0) => {}
            Length::Known(_) => return Err(Unsent::Short),
            Length::Chunked => {
                self.framing.put_slice(b"0\r\n");
                for (name, value) in trailers {
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
            tracing::debug!(%error, "upstream stopped reading; still listening for its answer");
            self.failed = true;
        }
    }
}

/// `length` is that of the body, if there is one: its bytes, if they are known.
fn write_head(to: &mut BytesMut, head: &request::Parts, length: Option<Option<u64>>, spelling: Option<&Spelling>) {
    to.reserve(512);
    to.put_slice(head.method.as_str().as_bytes());
    to.put_u8(b' ');
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with(['/', '*']) {
        // RFC 9112 §3.2.1: an empty path is written so.
        to.put_u8(b'/');
    }
    to.put_slice(target.as_bytes());
    to.put_slice(b" HTTP/1.1\r\n");
    let mut names = Names { spelling, last: None, nth: 0 };
    // RFC 9110 §7.2: first, so that nobody has to look for it.
    if let Some(host) = head.headers.get(HOST) {
        names.write(to, &HOST);
        write_value(to, host);
    }
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != HOST) {
        names.write(to, name);
        write_value(to, value);
    }
    match length {
        None => {}
        Some(Some(bytes)) => {
            names.write(to, &CONTENT_LENGTH);
            write_value(to, &HeaderValue::from(bytes));
        }
        Some(None) => {
            names.write(to, &TRANSFER_ENCODING);
            write_value(to, &HeaderValue::from_static("chunked"));
        }
    }
    to.put_slice(b"\r\n");
}

fn write_field(to: &mut BytesMut, name: &[u8], value: &HeaderValue) {
    to.put_slice(name);
    write_value(to, value);
}

fn write_value(to: &mut BytesMut, value: &HeaderValue) {
    to.put_slice(b": ");
    to.put_slice(value.as_bytes());
    to.put_slice(b"\r\n");
}

/// Writes names, counting those of the same name: a header map gives them one after the other.
struct Names<'a> {
    spelling: Option<&'a Spelling>,
    last: Option<&'a HeaderName>,
    nth: usize,
}

impl<'a> Names<'a> {
    fn write(&mut self, to: &mut BytesMut, name: &'a HeaderName) {
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

    use http_body::{Body, Frame, SizeHint};
    use tokio::io::AsyncReadExt;

    /// A body whose frames are all there.
    struct Frames {
        frames: VecDeque<Frame<Bytes>>,
        length: Option<u64>,
        knows_its_end: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            Poll::Ready(self.frames.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.knows_its_end && self.frames.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    async fn written(request: Request<Frames>, spelling: Option<&Spelling>) -> Result<String, Unsent> {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut upload = Upload::none();
        upload.begin(request, spelling);
        std::future::poll_fn(|cx| upload.poll(&mut ours, cx)).await?;
        assert!(upload.is_done());
        drop(ours);
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        assert_eq!(upload.written(), text.len() as u64);
        Ok(text)
    }

    fn request(frames: Vec<Frame<Bytes>>, length: Option<u64>, knows_its_end: bool) -> Request<Frames> {
        let body = Frames { frames: frames.into(), length, knows_its_end };
        Request::post("/p?q").header("x-a", "1").header("host", "h").header("x-a", "2").body(body).unwrap()
    }

    fn data(text: &str) -> Frame<Bytes> {
        Frame::data(Bytes::copy_from_slice(text.as_bytes()))
    }

    const HEAD: &str = "POST /p?q HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\n";

    #[tokio::test]
    async fn a_body_is_framed_by_its_length_or_in_chunks() {
        let big = "b".repeat(COPIED + 1);
        for knows_its_end in [true, false] {
            let known = request(vec![data("ab"), data(""), data(&big)], Some(COPIED as u64 + 3), knows_its_end);
            let wanted = format!("{HEAD}content-length: {}\r\n\r\nab{big}", COPIED + 3);
            assert_eq!(written(known, None).await.unwrap(), wanted);
            let chunked = request(vec![data("ab"), data(""), data(&big), data("c")], None, knows_its_end);
            let size = format!("{:X}", big.len());
            let wanted =
                format!("{HEAD}transfer-encoding: chunked\r\n\r\n2\r\nab\r\n{size}\r\n{big}\r\n1\r\nc\r\n0\r\n\r\n");
            assert_eq!(written(chunked, None).await.unwrap(), wanted);
            let last_is_big = request(vec![data(&big)], None, knows_its_end);
            let wanted = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{size}\r\n{big}\r\n0\r\n\r\n");
            assert_eq!(written(last_is_big, None).await.unwrap(), wanted);
        }
    }

    #[tokio::test]
    async fn trailers_follow_the_last_chunk() {
        let mut trailers = HeaderMap::new();
        trailers.insert("sum", HeaderValue::from_static("7"));
        let frames = vec![data("a"), Frame::trailers(trailers)];
        let wanted = format!("{HEAD}transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nsum: 7\r\n\r\n");
        assert_eq!(written(request(frames, None, true), None).await.unwrap(), wanted);
    }

    #[tokio::test]
    async fn without_a_body_nothing_is_said_of_one() {
        assert_eq!(written(request(vec![], None, true), None).await.unwrap(), format!("{HEAD}\r\n"));
        let spelling = Spelling::of_head(b"POST / HTTP/1.1\r\nX-A: 1\r\nx-A: 2\r\n\r\n");
        let spelled = "POST /p?q HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-A: 2\r\n\r\n";
        assert_eq!(written(request(vec![], None, true), Some(&spelling)).await.unwrap(), spelled);
    }

    #[tokio::test]
    async fn a_body_that_is_shorter_than_declared_is_not_passed_off_as_whole() {
        for knows_its_end in [true, false] {
            let short = request(vec![data("ab")], Some(3), knows_its_end);
            assert!(matches!(written(short, None).await, Err(Unsent::Short)));
        }
        let long = request(vec![data("abcd")], Some(3), false);
        assert!(written(long, None).await.unwrap().ends_with("\r\n\r\nabc"));
    }

    #[tokio::test]
    async fn a_failed_write_fails_nothing() {
        let (mut ours, theirs) = tokio::io::duplex(8);
        drop(theirs);
        let mut upload = Upload::none();
        upload.begin(request(vec![data("ab"), data("cd")], None, true), None);
        std::future::poll_fn(|cx| upload.poll(&mut ours, cx)).await.unwrap();
        assert!(upload.has_failed() && upload.is_done());
        assert_eq!(upload.written(), 0);
    }
}
