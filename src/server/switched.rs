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
use super::steps::Steps;
use super::stuck::Streams;

/// Spawns what hyper does on one connection, on the spawner's own thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    steps: Rc<Steps>,
    streams: Rc<Streams>,
    next: Rc<RefCell<Option<oneshot::Sender<JoinHandle<()>>>>>,
}

impl Tasks {
    /// Those of streams that are watched together.
    pub(super) fn new(streams: Rc<Streams>) -> Self {
        Self { streams, ..Self::default() }
    }

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
        match self.next.take() {
            // What writes must not come later than what reads: see `Switched`. The stream may be gone already.
            Some(tell) => drop(tell.send(tokio::task::spawn_local(task))),
            None => drop(tokio::task::spawn_local(self.steps.pace(self.streams.watch(task)))),
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::Empty;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;

    use super::super::framing::Activity;
    use super::*;

    const CONNECT: &[(&str, &str)] =
        &[(":method", "CONNECT"), (":protocol", "chat"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

    /// A frame on stream 1.
    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1][..], payload].concat()
    }

    /// Serves a caller that has sent an extended CONNECT. Tells what is read, `"end"` for the end.
    fn serve(stream: DuplexStream) -> mpsc::UnboundedReceiver<String> {
        let (tell, told) = mpsc::unbounded_channel();
        let tasks = Tasks::default();
        let starting = tasks.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (connect, tasks, tell) = (hyper::upgrade::on(&mut request), starting.clone(), tell.clone());
            let takeover: Takeover = Box::new(move |mut stream| {
                Box::pin(async move {
                    let mut bytes = [0; 64];
                    let mut count = 1;
                    while count > 0 {
                        count = stream.read(&mut bytes).await.unwrap();
                        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                        tell.send(if count > 0 { text } else { "end".to_owned() }).unwrap();
                    }
                })
            });
            let busy = Activity::new().request_began();
            async move {
                tokio::task::spawn_local(run(connect, tasks.tell_next(), takeover, busy));
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let mut builder = http2::Builder::new(tasks);
        let connection = builder.enable_connect_protocol().serve_connection(TokioIo::new(stream), service);
        tokio::task::spawn_local(connection);
        told
    }

    async fn check(last: Vec<u8>, wanted: &[&str]) {
        let (mut caller, ours) = tokio::io::duplex(4096);
        let mut told = serve(ours);
        let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let fields: Vec<u8> =
            CONNECT.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect();
        let mut settings = frame(4, 0, &[]);
        settings[8] = 0;
        let hello =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &frame(1, 4, &fields), &frame(0, 0, b"first")];
        caller.write_all(&hello.concat()).await.unwrap();
        let mut hear = async || tokio::time::timeout(PATIENCE, told.recv()).await.ok().flatten();
        let mut seen = vec![hear().await.unwrap()];
        // In one piece, so that the end and what it follows are met at once.
        caller.write_all(&[frame(0, 0, b"last"), last].concat()).await.unwrap();
        while seen.last().is_some_and(|said| said != "end") {
            match hear().await {
                Some(said) => seen.push(said),
                None => break,
            }
        }
        assert_eq!(seen, wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reset_never_reads_like_an_end() {
        let calls = async {
            check(frame(0, 1, &[]), &["first", "last", "end"]).await;
            check(frame(3, 0, &8u32.to_be_bytes()), &["first", "last"]).await;
        };
        LocalSet::new().run_until(calls).await;
    }
}
