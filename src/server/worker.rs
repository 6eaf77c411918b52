//! Worker threads: each a runtime of its own that serves the connections it is given.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc;

use super::acceptor::{Accepted, Connected};
use super::connection::{self, Ends, Handler};
use super::ebb::{self, Ebb};
use super::framing::Framed;
use super::handshake::{self, Failure};
use super::owner::{self, Owner};
use super::peer::Peer;
use super::policy::Policy;
use super::pulse::{self, Pulse};
use super::steps::Steps;
use super::stream::Stream;
use super::{ConnectionInfo, Refusal, Settings, http1};
use crate::log::Pace;
use crate::platform::net::UnixStream;
use crate::reason::Reason;
use crate::runtime;
use crate::shutdown::Shutdown;
use crate::tls;

/// What a caller beyond the limit is told.
const TOO_MANY: Refusal = Refusal::new(Reason::TooManyConnections, "limits.connections are open already");
/// How many such callers of a worker are given the time to read it.
const PATIENT_REFUSALS: usize = 64;

/// The workers as the acceptor sees them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workers {
    desks: Arc<[Desk]>,
    policy: Policy,
}

/// Where one worker takes its connections from.
#[derive(Debug)]
struct Desk {
    incoming: mpsc::UnboundedSender<Assignment>,
    connections: Arc<AtomicUsize>,
}

/// What becomes of an accepted connection.
#[derive(Debug)]
enum Assignment {
    /// It is served, and counted already.
    Serve(Accepted),
    /// It is one too many.
    TurnAway(Accepted),
}

impl Workers {
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Gives a connection to the worker that has the fewest. The one acceptor thread alone adds to the counts, so that the
    /// limit is exact.
    pub(super) fn hand_over(&self, accepted: Accepted) {
        let open = |desk: &Desk| desk.connections.load(Ordering::Relaxed);
        let Some(desk) = self.desks.iter().min_by_key(|desk| open(desk)) else { return };
        let assignment = if self.desks.iter().map(open).sum::<usize>() < self.policy.settings().connections {
            desk.connections.fetch_add(1, Ordering::Relaxed);
            Assignment::Serve(accepted)
        } else {
            Assignment::TurnAway(accepted)
        };
        // A worker that is gone drops the connection; only a shutdown does that.
        let _ = desk.incoming.send(assignment);
    }
}

/// The workers' threads, to be waited for.
#[derive(Debug)]
pub struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Each thread holds a sender; when none is left, all have ended.
    alive: mpsc::Receiver<Infallible>,
    pub(super) pulse: Pulse,
}

impl Threads {
    /// Waits until every worker has ended. Cancel-safe.
    pub async fn ended(&mut self) {
        while self.alive.recv().await.is_some() {}
        for handle in self.handles.drain(..) {
            if handle.join().is_err() {
                tracing::error!("a worker ended with a panic");
            }
        }
    }
}

/// Starts `count` workers. `make_handler` runs once on each worker's thread.
///
/// After `leaving` fires, callers are asked to go elsewhere; after `ending`, connections end at once; when they end with their current request, is for their listener to say. A worker
/// ends when every [`Workers`] is dropped and its last connection has ended.
///
/// # Errors
/// If the system refuses a thread or a runtime.
pub fn start<H: Handler>(
    count: usize,
    policy: &Policy,
    make_handler: impl Fn() -> H + Clone + Send + 'static,
    (leaving, ending): (&Shutdown, &Shutdown),
    gauge: &IntGauge,
) -> io::Result<(Workers, Threads)> {
    let mut desks = Vec::new();
    let mut handles = Vec::new();
    let mut askers = Vec::new();
    let mut reports = Vec::new();
    let (living, alive) = mpsc::channel(1);
    let pace = Arc::new(Pace::steady());
    for number in 0..count.max(1) {
        let (incoming, accepted) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        desks.push(Desk { incoming, connections: Arc::clone(&connections) });
        let (make_handler, policy) = (make_handler.clone(), policy.clone());
        let (leaving, ending) = (leaving.clone(), ending.clone());
        let (asker, questions) = mpsc::unbounded_channel();
        askers.push(asker);
        let (living, gauge, pace) = (living.clone(), gauge.clone(), Arc::clone(&pace));
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let (runtime, outcome): (Option<LocalRuntime>, _) = match runtime::start() {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Whoever starts it waits for this.
            let _ = tell.send(outcome);
            let Some(runtime) = runtime else { return };
            // The handler may spawn tasks as it is made.
            runtime.block_on(async move {
                tokio::task::spawn_local(pulse::answer(questions));
                let handler = Rc::new(make_handler());
                let (refusing, heads) = (Rc::default(), Rc::default());
                Worker { policy, handler, connections, refusing, heads, pace, gauge, leaving, ending }
                    .run(accepted)
                    .await;
            });
            // Requests that outlived the deadline are dropped here; nothing waits for blocking tasks.
            runtime.shutdown_timeout(Duration::ZERO);
            drop(living);
        })?;
        handles.push(thread);
        reports.push(told);
    }
    for report in reports {
        report.recv().map_err(io::Error::other)??;
    }
    Ok((Workers { desks: desks.into(), policy: policy.clone() }, Threads { handles, alive, pulse: Pulse::new(askers) }))
}

struct Worker<H> {
    policy: Policy,
    handler: Rc<H>,
    connections: Arc<AtomicUsize>,
    /// Held once for each caller that is being told that it is one too many.
    refusing: Rc<()>,
    /// Long heads of requests take turns.
    heads: Rc<Steps>,
    /// Of complaints about handshakes, for all workers together.
    pace: Arc<Pace>,
    gauge: IntGauge,
    leaving: Shutdown,
    ending: Shutdown,
}

impl<H: Handler> Worker<H> {
    async fn run(mut self, mut accepted: mpsc::UnboundedReceiver<Assignment>) {
        let mut open = tokio::task::JoinSet::new();
        let mut ending = self.ending.clone();
        let mut ebb = Ebb::default();
        loop {
            if ebb.has_come(open.len()) {
                tokio::task::spawn_local(ebb::give_back());
            }
            tokio::select! {
                next = accepted.recv() => match next {
                    Some(Assignment::Serve(next)) => self.serve(next, &mut open),
                    Some(Assignment::TurnAway(next)) => self.turn_away(next, &mut open),
                    None => break,
                },
                Some(_) = open.join_next(), if !open.is_empty() => (),
            }
        }
        tokio::select! {
            () = async { while open.join_next().await.is_some() {} } => (),
            () = ending.fired() => (),
        }
    }

    fn serve(&mut self, accepted: Accepted, open: &mut tokio::task::JoinSet<()>) {
        self.gauge.inc();
        let counted = Counted(Arc::clone(&self.connections), self.gauge.clone());
        let Ok(stream) = open_socket(accepted.socket) else { return };
        let (settings, handler) = (self.policy.settings(), Rc::clone(&self.handler));
        let ends = Ends { leaving: self.leaving.clone(), draining: accepted.draining };
        let (info, heads) = (accepted.info, Rc::clone(&self.heads));
        match (stream, accepted.tls) {
            (Stream::Plain(stream), Some(tls)) => {
                let pace = Arc::clone(&self.pace);
                open.spawn_local(async move {
                    let info = with_owner(info, settings).await;
                    serve_tls(stream, &tls, (settings, heads), info, handler, (ends, pace)).await;
                    drop(counted);
                });
            }
            (stream, _) => {
                open.spawn_local(async move {
                    let info = with_owner(info, settings).await;
                    let framed = Framed::new(stream, settings).in_turns(&heads);
                    connection::serve(framed, info, handler, ends).await;
                    drop(counted);
                });
            }
        }
    }

    /// Tells a caller that it is one too many. Only a few are waited for: the others may find the connection reset.
    fn turn_away(&self, accepted: Accepted, open: &mut tokio::task::JoinSet<()>) {
        let Ok(stream) = open_socket(accepted.socket) else { return };
        let settings = self.policy.settings();
        if accepted.tls.is_some() {
            // It is counted; an answer would need the handshake that there is no room for.
            let _ = self.handler.refuse(&accepted.info, TOO_MANY, false);
            return;
        }
        if Rc::strong_count(&self.refusing) > PATIENT_REFUSALS {
            // An empty socket has room for this.
            let _ = stream.try_write(&self.handler.refuse(&accepted.info, TOO_MANY, false));
            return;
        }
        let mut stream = Framed::new(stream, settings);
        stream.turn_away(TOO_MANY);
        let (handler, refusing) = (Rc::clone(&self.handler), Rc::clone(&self.refusing));
        open.spawn_local(async move {
            http1::finish(stream, &accepted.info, &*handler).await;
            drop(refusing);
        });
    }
}

/// Makes an accepted socket one of this thread's runtime.
fn open_socket(socket: Connected) -> io::Result<Stream> {
    match socket {
        Connected::Tcp(socket) => {
            let stream = tokio::net::TcpStream::from_std(socket)?;
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot switch off delays of small packets");
            }
            Ok(Stream::Plain(stream))
        }
        Connected::Unix(socket) => Ok(Stream::Unix(UnixStream::from_std(socket)?)),
    }
}

/// Adds whose socket is at the other end, where a rule wants to know: once, before the first request.
async fn with_owner(mut info: ConnectionInfo, settings: Settings) -> ConnectionInfo {
    if let Peer::Tcp { peer, local, owner } = &mut info.peer
        && settings.owners
    {
        let (peer, local) = (*peer, *local);
        let found = tokio::task::spawn_blocking(move || owner::owner(peer, local)).await;
        *owner = Some(found.unwrap_or(Owner::Unknown));
    }
    info
}

/// Serves a connection that begins with a handshake.
async fn serve_tls<H: Handler>(
    socket: tokio::net::TcpStream,
    tls: &tls::Server,
    (settings, heads): (Settings, Rc<Steps>),
    mut info: ConnectionInfo,
    handler: Rc<H>,
    (ends, pace): (Ends, Arc<Pace>),
) {
    match handshake::shake(socket, tls, settings.request_head).await {
        Ok((stream, names)) => {
            info.names = names;
            let framed = Framed::new(stream, settings).in_turns(&heads);
            connection::serve(framed, info, handler, ends).await;
        }
        Err(Failure::Silent) => (),
        Err(Failure::Plain(socket)) => {
            handshake::complain(&pace, info.peer, handshake::PLAIN.detail);
            let mut stream = Framed::new(Stream::Plain(socket), settings);
            stream.turn_away(handshake::PLAIN);
            http1::finish(stream, &info, &*handler).await;
        }
        Err(Failure::Broken(why)) => {
            handshake::complain(&pace, info.peer, &why);
            // There is nobody to read the answer; it is counted like every refusal.
            let _ = handler.refuse(&info, handshake::FAILED, false);
        }
    }
}

/// Takes its connection off the worker's count, however it ends.
struct Counted(Arc<AtomicUsize>, IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;

    use super::super::CallerBody;
    use super::super::connection::Answer;
    use super::*;
    use crate::shutdown;

    /// Has a mistake in what it does with one path.
    struct Fragile;

    impl Handler for Fragile {
        type Body = Full<Bytes>;

        async fn handle(&self, _: Rc<ConnectionInfo>, request: Request<CallerBody>) -> Answer<Full<Bytes>> {
            assert_ne!(request.uri().path(), "/mistake", "on purpose");
            Response::new(Full::new(Bytes::from("well"))).into()
        }

        fn refuse(&self, _: &ConnectionInfo, _: Refusal, _: bool) -> Bytes {
            Bytes::new()
        }
    }

    fn send(mut caller: &TcpStream, path: &str) {
        write!(caller, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }

    fn is_served(mut caller: &TcpStream) -> bool {
        send(caller, "/");
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"well") && caller.read(&mut byte).unwrap() == 1 {
            answer.push(byte[0]);
        }
        answer.starts_with(b"HTTP/1.1 200")
    }

    #[test]
    fn a_panic_in_one_request_ends_its_connection_and_no_other() {
        fragile(|call| {
            let before = call();
            assert!(is_served(&before));
            let mut unlucky = call();
            send(&unlucky, "/mistake");
            // A reset is an end too.
            assert!(matches!(unlucky.read(&mut [0]), Ok(0) | Err(_)), "it got an answer");
            assert!(is_served(&before) && is_served(&call()), "the worker is gone");
        });
    }

    #[test]
    fn a_panic_in_one_stream_of_http2_ends_that_stream_alone() {
        fragile(|call| {
            let mut caller = call();
            caller.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            // GET with an `:authority`; what follows is the path.
            let get = |stream: u8, path: &[u8]| {
                let fields = [&[0x82, 0x86, 0x41, 1, b'h'], path].concat();
                [&[0, 0, u8::try_from(fields.len()).unwrap(), 1, 5, 0, 0, 0, stream], &fields[..]].concat()
            };
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            let mistake = get(1, b"\x04\x08/mistake");
            caller.write_all(&[&preface[..], &mistake, &get(3, b"\x84")].concat()).unwrap();
            // Until there is one of this kind for this stream.
            let await_frame = |mut caller: &TcpStream, wanted: [u8; 2]| loop {
                let mut head = [0; 9];
                caller.read_exact(&mut head).unwrap();
                let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
                caller.read_exact(&mut payload).unwrap();
                assert_ne!(head[3], 7, "GOAWAY {payload:?}");
                if [head[3], head[8]] == wanted {
                    break;
                }
            };
            // They may come in any order: what is asked next is answered after both.
            await_frame(&caller, [3, 1]);
            caller.write_all(&get(5, b"\x84")).unwrap();
            await_frame(&caller, [0, 5]);
        });
    }

    /// Callers of one worker with that handler. In the end none of their connections is counted.
    fn fragile(callers: impl FnOnce(&dyn Fn() -> TcpStream)) {
        let settings = Settings {
            request_head: Some(Duration::from_secs(60)),
            keep_alive: Some(Duration::from_secs(60)),
            response_unread: Some(Duration::from_secs(60)),
            head: 4096,
            connections: 16,
            owners: false,
        };
        let (_trigger, never) = shutdown::channel();
        let gauge = IntGauge::new("connections", "of callers").unwrap();
        let (workers, threads) = start(1, &Policy::new(settings, None), || Fragile, (&never, &never), &gauge).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let call = || {
            let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, peer) = listener.accept().unwrap();
            socket.set_nonblocking(true).unwrap();
            let peer = Peer::Tcp { peer, local: socket.local_addr().unwrap(), owner: None };
            let info = ConnectionInfo { peer, loopback_listener: true, group: 0, secure: false, names: None };
            let (socket, draining) = (Connected::Tcp(socket), never.clone());
            workers.hand_over(Accepted { socket, info, tls: None, draining });
            caller
        };
        callers(&call);
        drop(workers);
        for thread in threads.handles {
            thread.join().unwrap();
        }
        assert_eq!(gauge.get(), 0, "a connection that panicked is still counted");
    }
}
