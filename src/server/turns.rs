//! A stream of HTTP/2 frames that is read in turns with the others of its worker.
//!
//! h2 reads for as long as there is something to read, and takes in every frame before it reads again. Hundreds of the smallest,
//! each legal, fit into one such go, and callers who send nothing else would hold up everybody on their worker.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::delegate::writes_to;

/// What is read in one turn, in bytes: one of the largest frames.
const TURN: usize = 16 * 1024;
/// How many frames may begin in one turn. More than twice [`super::http2::PENDING_RESETS`], or a flood of resets would not be seen.
const FRAMES: usize = 64;
/// What every frame begins with (RFC 9113 §4.1), in bytes.
const HEADER: usize = 9;
/// What a connection begins with (RFC 9113 §3.4), in bytes.
const PREFACE: usize = 24;

/// Lets others have their turn after some bytes of `stream`, and after some frames.
pub(super) struct Turns<S> {
    stream: S,
    left: Left,
    at: Place,
    /// Until everybody else has had theirs.
    others: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// What may still be read in this turn.
struct Left {
    bytes: usize,
    frames: usize,
}

impl Left {
    const ALL: Self = Self { bytes: TURN, frames: FRAMES };
}

/// Where in a frame the stream has been read to.
enum Place {
    /// So many bytes before its end.
    Payload(usize),
    /// In its header: so many bytes of that are read, and what they say of the length.
    Header(usize, usize),
}

impl Place {
    /// Goes on by these bytes; returns how many frames began in them.
    fn advance(&mut self, mut bytes: &[u8]) -> usize {
        let mut begun = 0;
        loop {
            match self {
                Self::Payload(rest) => {
                    let step = bytes.len().min(*rest);
                    *rest -= step;
                    bytes = &bytes[step..];
                    if *rest > 0 || bytes.is_empty() {
                        return begun;
                    }
                    *self = Self::Header(0, 0);
                }
                Self::Header(seen, length) => {
                    let [byte, more @ ..] = bytes else { return begun };
                    if *seen == 0 {
                        begun += 1;
                    }
                    if *seen < 3 {
                        *length = *length << 8 | usize::from(*byte);
                    }
                    *seen += 1;
                    bytes = more;
                    if *seen == HEADER {
                        *self = Self::Payload(*length);
                    }
                }
            }
        }
    }

    /// How many bytes can be read before more than so many frames have begun.
    fn room(&self, frames: usize) -> usize {
        let rest = match self {
            Self::Payload(rest) => *rest,
            Self::Header(seen, _) => HEADER - seen,
        };
        rest + frames * HEADER
    }
}

impl<S> Turns<S> {
    /// A connection from its first byte on.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: Left::ALL, at: Place::Payload(PREFACE), others: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Turns<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(others) = &mut this.others {
            ready!(others.as_mut().poll(cx));
            this.others = None;
            this.left = Left::ALL;
        }
        let room = this.at.room(this.left.frames).min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let read = Pin::new(&mut this.stream).poll_read(cx, &mut part);
        if read.is_pending() {
            // Everybody has their turn while this caller says nothing.
            this.left = Left::ALL;
            return Poll::Pending;
        }
        let (bytes, frames) = (part.filled().len(), this.at.advance(part.filled()));
        buf.advance(bytes);
        this.left.bytes = this.left.bytes.saturating_sub(bytes);
        this.left.frames = this.left.frames.saturating_sub(frames);
        if this.left.bytes == 0 || this.left.frames == 0 {
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

    /// A connection that brings frames with so much in each.
    fn frames(count: usize, payload: usize) -> Vec<u8> {
        let mut bytes = vec![b'.'; PREFACE];
        for _ in 0..count {
            bytes.extend(&u32::try_from(payload).unwrap().to_be_bytes()[1..]);
            bytes.extend([0; HEADER - 3]);
            // As if there were more headers in it.
            bytes.extend(vec![0; payload]);
        }
        bytes
    }

    /// How often others have their turn while all of it is read by so many bytes at a time.
    async fn turns(bytes: &[u8], at_a_time: usize) -> usize {
        let mut stream = Turns::new(bytes);
        let mut turns = 0;
        let read = async {
            let mut all = Vec::<u8>::new();
            let mut piece = vec![0; at_a_time];
            loop {
                match stream.read(&mut piece).await.unwrap() {
                    0 => break all,
                    count => all.extend(&piece[..count]),
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
            all = read => assert!(all == bytes, "what is read is not what was sent"),
            () = other => (),
        }
        turns
    }

    #[tokio::test]
    async fn a_stream_that_has_always_more_lets_others_have_their_turn() {
        for at_a_time in [1, 1000, 8192, 100_000] {
            let large = turns(&frames(100, TURN), at_a_time).await;
            assert!((50..=210).contains(&large), "{large} at {at_a_time}");
            let small = turns(&frames(100 * FRAMES, 0), at_a_time).await;
            assert!((100..=102).contains(&small), "{small} at {at_a_time}");
            let some = turns(&frames(100 * FRAMES, 20), at_a_time).await;
            assert!((100..=102).contains(&some), "{some} at {at_a_time}");
        }
    }

    #[tokio::test]
    async fn a_read_takes_in_no_more_frames_than_a_turn_has() {
        let bytes = frames(1000, 0);
        let mut stream = Turns::new(&bytes[..]);
        let mut piece = [0; 8192];
        let first = stream.read(&mut piece).await.unwrap();
        assert_eq!(first, PREFACE + FRAMES * HEADER);
    }
}
