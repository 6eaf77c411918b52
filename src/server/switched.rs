//! A stream of HTTP/2 that is no longer HTTP, after a 2xx to an extended CONNECT (RFC 8441).
//!
//! hyper gives the bytes of one and keeps its end to itself: a caller's reset reads like an orderly end, and letting go ends the
//! stream in good order where it should be reset. Both are told apart here by hyper's own task that writes on the stream: it ends
//! before we have said all only if the caller has reset the stream, and when it is aborted h2 resets it.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::Executor;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use super::connection::Takeover;
use super::framing::Busy;

/// Spawns what hyper does on one connection, on the spawner's own thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    next: Rc<RefCell<Option<oneshot::Sender<JoinHandle<()>>>>>,
}

impl Tasks {
    /// Tells which task is started next. When a service has answered a CONNECT, hyper begins to write on the stream in the same
    /// breath, and that is what it starts; or the stream is gone, and then nobody asks.
    pub(super) fn tell_next(&self) -> oneshot::Receiver<JoinHandle<()>> {
        let (tell, told) = oneshot::channel();
        self.next.replace(Some(tell));
        told
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let task = tokio::task::spawn_local(task);
        if let Some(tell) = self.next.take() {
            // The stream may be gone already.
            let _ = tell.send(task);
        }
    }
}

/// Hands the stream over as soon as the caller has its answer, until it ends or the caller resets it. The connection is busy
/// meanwhile.
pub(super) async fn run(
    connect: OnUpgrade,
    writer: oneshot::Receiver<JoinHandle<()>>,
    takeover: Takeover,
    busy: Rc<Busy>,
) {
    // Without both the caller has reset the stream before its answer.
    if let Ok(stream) = connect.await
        && let Ok(writer) = writer.await
    {
        let said_all = Rc::new(Cell::new(false));
        let stream = Switched::new(stream, writer.abort_handle(), Rc::clone(&said_all));
        tokio::select! {
            biased;
            // Also while nobody reads, because the upstream takes nothing.
            () = was_reset(writer, &said_all) => (),
            () = takeover(Box::new(stream)) => (),
        }
    }
    drop(busy);
}

/// Ends when the caller has reset its stream.
async fn was_reset(writer: JoinHandle<()>, said_all: &Cell<bool>) {
    let _ = writer.await;
    if said_all.get() {
        std::future::pending().await
    }
}

/// Dropped before we have said all, the stream is reset.
struct Switched {
    stream: TokioIo<Upgraded>,
    writer: AbortHandle,
    said_all: Rc<Cell<bool>>,
    /// Whether what reads like the end was given the time to turn out as a reset.
    looked_again: bool,
}

impl Switched {
    fn new(stream: Upgraded, writer: AbortHandle, said_all: Rc<Cell<bool>>) -> Self {
        Self { stream: TokioIo::new(stream), writer, said_all, looked_again: false }
    }
}

impl AsyncRead for Switched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() == before && !self.said_all.get() && !self.looked_again {
            // h2 has woken the writer together with us; its turn comes before our next.
            self.looked_again = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.said_all.set(true);
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        // Does nothing to one that has written the end.
        self.writer.abort();
    }
}
