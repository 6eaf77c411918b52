//! Streams of HTTP/2 that must take what they are sent: who takes nothing of one answer does not hold it for ever, whatever it does
//! with the others of its connection. `patient` watches the socket, which they share.
//!
//! hyper asks an answer's body for a piece, and for the next one as soon as the caller has made room for the beginning of the last
//! (RFC 9113 §5.2). It tells nobody in between, but does all of it in the one task that it has for a stream, and when that is dropped
//! h2 resets the stream.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::alarm::Alarm;

/// In what pieces an answer is handed over at most, in bytes: a usual frame (RFC 9113 §4.2). What is less than that counts as nothing.
const PIECE: usize = 16 * 1024;

/// What the streams of one connection share.
#[derive(Default)]
pub(super) struct Streams {
    limit: Option<Duration>,
    /// What has come of the last piece of the one stream whose task runs now.
    last: Cell<Last>,
    complain: Option<Box<dyn Fn()>>,
}

#[derive(Clone, Copy, Default)]
enum Last {
    /// It is where it was.
    #[default]
    Unasked,
    /// It was taken, and there is no other yet.
    Taken,
    /// It was taken, and another handed over.
    Another,
}

impl Streams {
    /// `limit`: how long a stream may take nothing; `complain` hears of each that has.
    pub(super) fn new(limit: Option<Duration>, complain: impl Fn() + 'static) -> Rc<Self> {
        Rc::new(Self { limit, last: Cell::default(), complain: Some(Box::new(complain)) })
    }

    /// The task of a stream, which ends when its caller has taken nothing for too long.
    pub(super) fn watch<F>(self: &Rc<Self>, task: F) -> Moving<F> {
        Moving { streams: Rc::clone(self), task, waits: None, alarm: Alarm::default() }
    }

    /// A body whose pieces such a task is watched by.
    pub(super) fn hand_over<B>(self: &Rc<Self>, body: B) -> Pieces<B> {
        Pieces { streams: Rc::clone(self), body, rest: Bytes::new() }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("limit", &self.limit).finish_non_exhaustive()
    }
}

pin_project! {
    /// See [`Streams::watch`].
    pub(super) struct Moving<F> {
        streams: Rc<Streams>,
        #[pin]
        task: F,
        // Since when a piece waits to be taken.
        waits: Option<Instant>,
        alarm: Alarm,
    }
}

impl<F: Future<Output = ()>> Future for Moving<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.streams.last.set(Last::Unasked);
        if this.task.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match this.streams.last.get() {
            Last::Unasked => (),
            Last::Taken => *this.waits = None,
            Last::Another => *this.waits = Some(Instant::now()),
        }
        let (Some(limit), Some(since)) = (this.streams.limit, *this.waits) else { return Poll::Pending };
        ready!(this.alarm.poll_until(since + limit, cx));
        if let Some(complain) = &this.streams.complain {
            complain();
        }
        Poll::Ready(())
    }
}

/// See [`Streams::hand_over`].
#[derive(Debug)]
pub(super) struct Pieces<B> {
    streams: Rc<Streams>,
    body: B,
    /// What there is of the body's last piece.
    rest: Bytes,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        this.streams.last.set(Last::Taken);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.rest = data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        // An empty one needs no room.
        if !this.rest.is_empty() {
            this.streams.last.set(Last::Another);
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        body.exact().map_or_else(SizeHint::default, |exact| SizeHint::with_exact(exact + rest))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use h2::{Reason, RecvStream};
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::task::{LocalSet, spawn_local};

    use super::super::switched::Tasks;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    /// What is sent in answer to everything, in one piece.
    const WHOLE: usize = 10 * PIECE;

    /// A caller whose streams have room for one piece, and how many of them were complained of.
    async fn caller() -> (h2::client::SendRequest<Bytes>, Rc<Cell<u32>>) {
        let (theirs, ours) = tokio::io::duplex(4096);
        let complaints = Rc::new(Cell::new(0));
        let count = Rc::clone(&complaints);
        let streams = Streams::new(Some(LIMIT), move || count.set(count.get() + 1));
        let tasks = Tasks::new(Rc::clone(&streams));
        let service = service_fn(move |_: Request<Incoming>| {
            let body = streams.hand_over(Full::new(Bytes::from(vec![0; WHOLE])));
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        spawn_local(http2::Builder::new(tasks).serve_connection(TokioIo::new(ours), service));
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(PIECE as u32).initial_connection_window_size(100 * PIECE as u32);
        let (client, connection) = builder.handshake(theirs).await.unwrap();
        spawn_local(connection);
        (client, complaints)
    }

    async fn ask(client: &mut h2::client::SendRequest<Bytes>) -> RecvStream {
        let (answer, _) = client.send_request(Request::new(()), true).unwrap();
        answer.await.unwrap().into_body()
    }

    /// Reads to the end, and rests before each piece is made room for.
    async fn read(mut answer: RecvStream, rest: Duration) -> Result<usize, h2::Error> {
        let (mut bytes, mut taken) = (0, 0);
        while let Some(data) = answer.data().await {
            taken += data?.len();
            if taken >= PIECE {
                tokio::time::sleep(rest).await;
                answer.flow_control().release_capacity(taken).unwrap();
                bytes += std::mem::take(&mut taken);
            }
        }
        Ok(bytes + taken)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_takes_nothing_is_reset_and_its_neighbour_is_not() {
        let both = async {
            let (mut client, complaints) = caller().await;
            let (stuck, slow) = (ask(&mut client).await, ask(&mut client).await);
            let began = Instant::now();
            let slow = spawn_local(read(slow, LIMIT - Duration::from_secs(1)));
            let error = read(stuck, 3 * LIMIT).await.unwrap_err();
            assert_eq!((error.reason(), error.is_remote()), (Some(Reason::CANCEL), true));
            assert_eq!(complaints.get(), 1);
            assert_eq!(slow.await.unwrap().unwrap(), WHOLE, "who takes a piece in time takes them all");
            assert!(began.elapsed() > 5 * LIMIT);
            assert_eq!(complaints.get(), 1);
        };
        LocalSet::new().run_until(both).await;
    }
}
