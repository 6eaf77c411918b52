//! A connection whose answer has begun before its request was written to the end.
//!
//! The rest of the request is written by a task of its own, so that it goes on however slowly the answer is read: there are callers
//! that read nothing before they have sent everything, and upstreams that answer first and read on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::{Alone, Http1Error, Link};
use crate::http1::outgoing::Unsent;
use crate::upstream::connection::Outbound;

/// A connection that is read here, and written to elsewhere. Dropped, it is closed.
#[derive(Debug)]
pub(in crate::upstream) struct Joint<B> {
    link: Rc<RefCell<Box<Link<B>>>>,
    /// Until its end has been seen.
    writing: Option<Writing>,
}

/// The task that writes. It ends with this.
#[derive(Debug)]
struct Writing(JoinHandle<Result<(), Unsent>>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<B: Outbound> Joint<B> {
    /// Has the rest of the request written.
    pub(in crate::upstream) fn begin(alone: Alone<B>) -> Self {
        let link = Rc::new(RefCell::new(alone.0));
        // The task does not keep the connection open when nobody reads it any more.
        let written = Rc::downgrade(&link);
        let writing = poll_fn(move |cx| match written.upgrade() {
            Some(link) => link.borrow_mut().poll_upload(cx),
            None => Poll::Ready(Ok(())),
        });
        Self { link, writing: Some(Writing(tokio::task::spawn_local(writing))) }
    }

    /// The next piece of the answer. It breaks off where the request does.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        if let Some(Writing(task)) = &mut self.writing
            && let Poll::Ready(ended) = Pin::new(task).poll(cx)
        {
            self.writing = None;
            if let Err(unsent) = ended.unwrap_or(Err(Unsent::Unread)) {
                return Poll::Ready(Some(Err(unsent.into())));
            }
        }
        self.link.borrow_mut().poll_frame(cx)
    }

    /// Whether the answer has ended.
    pub(in crate::upstream) fn is_end_stream(&self) -> bool {
        self.link.borrow().decoder.is_over()
    }

    /// How much of the answer is to come.
    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        self.link.borrow().decoder.size_hint()
    }

    /// The answer has ended: the connection, for whoever writes on; `None` if the request has broken off.
    pub(in crate::upstream) fn part(self) -> Option<Alone<B>> {
        let is_over = self.writing.as_ref().is_none_or(|Writing(task)| task.is_finished());
        drop(self.writing);
        let alone = Alone(Rc::into_inner(self.link)?.into_inner());
        (alone.is_written() || !is_over).then_some(alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::io;
    use std::time::Duration;

    use http::{HeaderMap, Method, uri::PathAndQuery};
    use http_body::Body;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;

    use crate::upstream::connect::Stream;
    use crate::upstream::connection::{RequestHead, Target};
    use crate::upstream::transport::Transport;

    /// How long a test waits for what must come.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// More than fits between two sockets.
    const PIECES: usize = 256;
    const PIECE: usize = 64 * 1024;

    /// A body of pieces; whether it breaks off after them. That it is still there is to be seen by its token.
    struct Pieces(VecDeque<Bytes>, bool, #[expect(dead_code, reason = "others count those that are left")] Rc<()>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            let piece = self.0.pop_front().map(|piece| Ok(Frame::data(piece)));
            Poll::Ready(piece.or_else(|| self.1.then(|| Err(io::ErrorKind::ConnectionReset.into()))))
        }
    }

    /// A request whose upstream has sent the head of an answer and read nothing, with the upstream's end of the connection.
    async fn answered(breaks_off: bool, token: &Rc<()>) -> (Joint<Pieces>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (ours, mut theirs) = (ours.unwrap(), theirs.unwrap().0);
        let pieces = vec![Bytes::from(vec![b'u'; PIECE]); PIECES].into();
        let head = RequestHead {
            method: &Method::POST,
            target: Target::Plain(&PathAndQuery::from_static("/")),
            headers: &HeaderMap::new(),
            injected: None,
            proof: None,
            spelling: None,
            on_interim: None,
            #[cfg(feature = "otel")]
            traceparent: None,
        };
        let mut alone = Alone::begin(Stream::Plain(Transport::Tcp(ours)), false);
        alone.begin_request(&head, Pieces(pieces, breaks_off, Rc::clone(token)));
        theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await.unwrap();
        alone.answered(&head).await.unwrap();
        assert!(!alone.is_written());
        (Joint::begin(alone), theirs)
    }

    async fn within<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, LocalSet::new().run_until(what)).await.expect("it stands still")
    }

    /// Reads a chunked request until it is as long as all pieces, or until the connection ends.
    async fn read_all(theirs: &mut TcpStream) -> usize {
        let (mut came, mut room) = (0, vec![0; PIECE]);
        while came < PIECES * PIECE {
            match theirs.read(&mut room).await.unwrap() {
                0 => break,
                some => came += some,
            }
        }
        came
    }

    async fn next(joint: &mut Joint<Pieces>) -> Option<Result<Frame<Bytes>, Http1Error>> {
        poll_fn(|cx| joint.poll_frame(cx)).await
    }

    #[tokio::test]
    async fn a_request_goes_on_while_nobody_reads_its_answer() {
        within(async {
            let (mut joint, mut theirs) = answered(false, &Rc::default()).await;
            assert!(read_all(&mut theirs).await > PIECES * PIECE, "beside the pieces there is what frames them");
            theirs.write_all(b"well").await.unwrap();
            assert_eq!(next(&mut joint).await.unwrap().unwrap().into_data().unwrap(), "well");
            assert!(joint.is_end_stream());
            assert!(joint.part().unwrap().written().await.is_some());
        })
        .await;
    }

    #[tokio::test]
    async fn an_answer_ends_where_its_request_breaks_off() {
        within(async {
            let (mut joint, mut theirs) = answered(true, &Rc::default()).await;
            let (frame, _) = tokio::join!(next(&mut joint), read_all(&mut theirs));
            assert!(matches!(frame, Some(Err(Http1Error::Unsent(Unsent::Body(_))))));
        })
        .await;
    }

    #[tokio::test]
    async fn a_request_that_broke_off_unseen_leaves_no_connection() {
        within(async {
            let (joint, mut theirs) = answered(true, &Rc::default()).await;
            read_all(&mut theirs).await;
            while !joint.writing.as_ref().unwrap().0.is_finished() {
                tokio::task::yield_now().await;
            }
            assert!(joint.part().is_none());
        })
        .await;
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_ends_its_request() {
        within(async {
            let token = Rc::default();
            let (joint, mut theirs) = answered(false, &token).await;
            drop(joint);
            assert!(read_all(&mut theirs).await < PIECES * PIECE);
            assert_eq!(Rc::strong_count(&token), 1, "the body is still there");
        })
        .await;
    }
}
