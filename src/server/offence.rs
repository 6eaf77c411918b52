//! A connection of HTTP/2 that was ended for what its caller sent: it stays for a while, and is read no more.
//!
//! A flood is ended within some frames (`http2`), and whoever sends it begins the next one as soon as its connection is gone. Beginning and
//! ending connections is work too: while the last one stays, a flood of them is a trickle. And what a caller sent behind the offence
//! makes its system throw away what it has not read yet of a connection that is closed; so GOAWAY is not lost.

use std::cell::RefCell;
use std::error::Error as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::shutdown::Shutdown;

/// How long it stays.
const REST: Duration = Duration::from_secs(1);
/// One of so many connections that may be open may be such a one; a flood of them leaves room for others.
const SHARE: usize = 4;

/// How many there are, of all workers.
static RESTING: AtomicUsize = AtomicUsize::new(0);

/// Counted for as long as it lives.
struct Resting;

impl Resting {
    /// One more, if there may be.
    fn begin(connections: usize) -> Option<Self> {
        let (order, most) = (Ordering::Relaxed, connections / SHARE);
        let more = |resting| (resting < most).then_some(resting + 1);
        RESTING.fetch_update(order, order, more).is_ok().then(|| Self)
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        RESTING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that stays open when those who use a clone of it are gone, and all that they keep for it.
pub(super) struct Kept<S>(Rc<RefCell<S>>);

impl<S> Kept<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Rc::new(RefCell::new(stream)))
    }

    /// The same stream.
    pub(super) fn share(&self) -> Self {
        Self(Rc::clone(&self.0))
    }

    /// Stays open for a while if it was ended for an offence; a drain does not wait for it. `connections`: how many may be open.
    pub(super) async fn rest(self, ended: &hyper::Error, connections: usize, mut draining: Shutdown) {
        if is_offence(ended)
            && let Some(_resting) = Resting::begin(connections)
        {
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                () = draining.fired() => {}
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut S>) -> T) -> T
    where
        S: Unpin,
    {
        act(Pin::new(&mut *self.0.borrow_mut()))
    }
}

/// Whether a connection was ended by us, with GOAWAY (RFC 9113 §6.8), for what its caller sent.
fn is_offence(ended: &hyper::Error) -> bool {
    ended.source().and_then(|error| error.downcast_ref::<h2::Error>()).is_some_and(h2::Error::is_library)
}

impl<S: AsyncRead + Unpin> AsyncRead for Kept<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Kept<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.with(|stream| stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::Empty;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::Instant;

    use super::super::switched::Tasks;
    use super::*;
    use crate::shutdown;

    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    /// A WINDOW_UPDATE that makes room for nothing, which is an error (RFC 9113 §6.9).
    const OFFENCE: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0";

    /// For how long the connection stays on which this is sent before `leave`, and what is read of it meanwhile.
    async fn stays(said: &[u8], leave: bool, draining: &Shutdown) -> (Duration, Vec<u8>) {
        let (mut caller, ours) = tokio::io::duplex(4096);
        caller.write_all(&[HELLO, said].concat()).await.unwrap();
        let draining = draining.clone();
        let began = Instant::now();
        let serving = spawn_local(async move {
            let socket = Kept::new(ours);
            let service =
                service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
            let connection =
                http2::Builder::new(Tasks::default()).serve_connection(TokioIo::new(socket.share()), service);
            let ended = connection.await.unwrap_err();
            assert_eq!(Rc::strong_count(&socket.0), 1, "what used it is gone");
            socket.rest(&ended, SHARE, draining).await;
        });
        let mut read = Vec::new();
        if leave {
            drop(caller);
        } else {
            // Until all is said, which is long before it is closed.
            caller.read_to_end(&mut read).await.unwrap();
            assert_eq!(began.elapsed(), Duration::ZERO);
        }
        serving.await.unwrap();
        (began.elapsed(), read)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_ended_for_an_offence_stays_for_a_while() {
        let all = async {
            let (trigger, draining) = shutdown::channel();
            let (stayed, read) = stays(OFFENCE, false, &draining).await;
            // GOAWAY with PROTOCOL_ERROR is the last that is said (RFC 9113 §6.8).
            assert_eq!(read[read.len() - 17..][..5], [0, 0, 8, 7, 0]);
            assert_eq!(read.last(), Some(&1));
            assert_eq!(stayed, REST);
            // Who leaves in the midst of a frame commits none.
            let (stayed, _) = stays(&OFFENCE[..5], true, &draining).await;
            assert_eq!(stayed, Duration::ZERO);
            // One of four may, and there is one.
            let another = Resting::begin(SHARE).unwrap();
            let (stayed, _) = stays(OFFENCE, false, &draining).await;
            assert_eq!(stayed, Duration::ZERO);
            drop(another);
            assert_eq!(stays(OFFENCE, false, &draining).await.0, REST);
            trigger.fire();
            let (stayed, _) = stays(OFFENCE, false, &draining).await;
            assert_eq!(stayed, Duration::ZERO, "a drain waits for nothing");
        };
        LocalSet::new().run_until(all).await;
    }
}
