//! A stream of HTTP/2 frames that is read in turns with the others of its worker.
//!
//! h2 reads for as long as there is something to read, and takes in every frame before it reads again. Hundreds of the smallest,
//! each legal, fit into one such go, and callers who send nothing else would hold up everybody on their worker.
//!
//! Owns how much of a connection is taken in at a time, and what is known of it: whether the caller has said more already.

mod frames;
mod progress;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};

use self::frames::Place;
pub(super) use self::progress::Progress;
use crate::delegate::writes_to;

/// What is read in one turn, in bytes: one of the largest frames.
const TURN: usize = 16 * 1024;
/// How many frames may begin in one turn. More than twice [`super::http2::PENDING_RESETS`], or a flood of resets would not be seen.
const FRAMES: usize = 64;
/// How long a caller rests after a turn of nothing but frames that move no message: thousands of them a second do no harm.
const REST: Duration = Duration::from_millis(1);
/// How long a caller rests after a turn of nothing but heads most of which begin no request: it has more streams than it may, and goes on
/// opening others.
const REFUSED_REST: Duration = Duration::from_millis(10);
/// What a connection begins with (RFC 9113 §3.4), in bytes.
const PREFACE: usize = 24;

/// Lets others have their turn after some bytes of `stream`, and after some frames.
pub(super) struct Turns<S> {
    stream: S,
    left: Left,
    at: Place,
    progress: Rc<Progress>,
    /// Requests that had begun before this turn.
    requests: u32,
    /// Until everybody else has had theirs.
    others: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// What may still be read in this turn.
struct Left {
    bytes: usize,
    frames: usize,
    /// How many heads have come in it.
    heads: usize,
    /// Whether a message has moved on in it.
    moved: bool,
}

impl Left {
    const ALL: Self = Self { bytes: TURN, frames: FRAMES, heads: 0, moved: false };
}

impl<S> Turns<S> {
    /// A connection from its first byte on.
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            left: Left::ALL,
            at: Place::Payload(PREFACE),
            progress: Rc::default(),
            requests: 0,
            others: None,
        }
    }

    fn begin_turn(&mut self) {
        self.left = Left::ALL;
        self.requests = self.progress.requests();
    }

    /// By now everything has been looked at that was taken in: how long its caller rests if that was for nothing.
    fn rest_of_refused(&self) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        let begun = self.progress.requests().wrapping_sub(self.requests) as usize;
        let refused = self.left.heads.saturating_sub(begun);
        (refused > FRAMES / 2).then(|| Box::pin(tokio::time::sleep(REFUSED_REST)) as _)
    }

    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Turns<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let Some(others) = &mut this.others {
            ready!(others.as_mut().poll(cx));
            this.others = this.rest_of_refused();
            this.begin_turn();
        }
        let room = this.at.room(this.left.frames).min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let read = Pin::new(&mut this.stream).poll_read(cx, &mut part);
        let bytes = part.filled().len();
        if read.is_pending() || bytes == 0 {
            // Everybody has their turn while this caller says nothing.
            this.begin_turn();
            this.progress.level();
            return read;
        }
        this.progress.moved_on();
        let begun = this.at.advance(part.filled());
        buf.advance(bytes);
        this.left.bytes = this.left.bytes.saturating_sub(bytes);
        this.left.frames = this.left.frames.saturating_sub(begun.frames);
        this.left.heads += begun.heads;
        this.left.moved |= begun.moved;
        if this.left.bytes == 0 || this.left.frames == 0 {
            this.progress.turn_ended();
            this.others = Some(if this.left.frames == 0 && !this.left.moved {
                Box::pin(tokio::time::sleep(REST))
            } else {
                // Wakes this task after the sockets of all others have been looked at, which a mere wake does not.
                Box::pin(tokio::task::yield_now())
            });
        }
        read
    }
}

writes_to!(Turns<S>, stream);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::frames::HEADER;
    use super::progress::AHEAD;
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const PING: u8 = 6;

    /// A connection that brings frames of this kind with so much in each.
    fn frames(kind: u8, count: usize, payload: usize) -> Vec<u8> {
        let mut bytes = vec![b'.'; PREFACE];
        for _ in 0..count {
            bytes.extend(&u32::try_from(payload).unwrap().to_be_bytes()[1..]);
            bytes.extend([kind, 0, 0, 0, 0, 0]);
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
            let large = turns(&frames(DATA, 100, TURN), at_a_time).await;
            assert!((50..=210).contains(&large), "{large} at {at_a_time}");
            let small = turns(&frames(DATA, 100 * FRAMES, 0), at_a_time).await;
            assert!((100..=102).contains(&small), "{small} at {at_a_time}");
            let some = turns(&frames(DATA, 100 * FRAMES, 20), at_a_time).await;
            assert!((100..=102).contains(&some), "{some} at {at_a_time}");
        }
    }

    #[tokio::test]
    async fn a_read_takes_in_no_more_frames_than_a_turn_has() {
        let bytes = frames(DATA, 1000, 0);
        let mut stream = Turns::new(&bytes[..]);
        let mut piece = [0; 8192];
        let first = stream.read(&mut piece).await.unwrap();
        assert_eq!(first, PREFACE + FRAMES * HEADER);
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_but_chatter_is_read_slowly() {
        for (kind, wanted) in [(PING, 99), (DATA, 0)] {
            let began = tokio::time::Instant::now();
            let bytes = frames(kind, 100 * FRAMES, 0);
            Turns::new(&bytes[..]).read_to_end(&mut Vec::new()).await.unwrap();
            let took = began.elapsed().as_millis();
            assert!((wanted..=2 * wanted + 1).contains(&took), "{took} ms for frames of kind {kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_opens_streams_of_which_none_is_looked_at_is_read_slowly() {
        for (looked_at, wanted) in [(0, 99 * REFUSED_REST.as_millis()), (1, 0)] {
            let began = tokio::time::Instant::now();
            let bytes = frames(HEADERS, 100 * FRAMES, 0);
            let mut stream = Turns::new(&bytes[..]);
            let progress = stream.progress();
            let mut piece = [0; FRAMES * HEADER];
            while let count @ 1.. = stream.read(&mut piece).await.unwrap() {
                (0..count / HEADER * looked_at).for_each(|_| progress.request_began());
            }
            let took = began.elapsed().as_millis();
            assert!(
                (wanted..=wanted + 105).contains(&took),
                "{took} ms instead of {wanted} where {looked_at} of each is looked at"
            );
        }
    }

    #[tokio::test]
    async fn a_request_waits_until_everything_is_read_that_its_caller_has_sent() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(&frames(DATA, 3 * FRAMES, 0)).await.unwrap();
        let mut stream = Turns::new(ours);
        let progress = stream.progress();
        let mut piece = [0; 8192];
        assert_ne!(stream.read(&mut piece).await.unwrap(), 0);
        let mut waits = std::pin::pin!(progress.caught_up());
        let mut pending = async || poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_pending())).await;
        for turn in 0..3 {
            assert!(pending().await, "in turn {turn}");
            let _ = tokio::time::timeout(Duration::ZERO, stream.read(&mut piece)).await;
        }
        assert!(!pending().await, "all of it is read");
        // Nothing more has come, so the next one waits no longer than to look at what there was.
        let mut next = std::pin::pin!(progress.caught_up());
        let mut pending = async || poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
        assert!(pending().await && !pending().await);
    }

    #[tokio::test]
    async fn a_request_does_not_wait_for_ever_for_who_has_always_more_to_say() {
        let bytes = frames(DATA, 1000 * FRAMES, 0);
        let mut stream = Turns::new(&bytes[..]);
        let progress = stream.progress();
        let mut piece = [0; 8192];
        let mut turns = 0;
        assert_ne!(stream.read(&mut piece).await.unwrap(), 0);
        tokio::select! {
            biased;
            () = progress.caught_up() => {}
            () = async { while stream.read(&mut piece).await.unwrap() > 0 { turns += 1; } } => {}
        }
        assert!((1..=AHEAD).contains(&turns), "{turns}");
    }
}
