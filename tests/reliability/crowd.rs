//! Thousands of connections that say something and then nothing more, each with its own clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};

/// How many of them connect at the same time: fewer than a listening socket's queue holds, else the kernel makes them wait a second.
const CONNECTING: usize = 256;

/// What became of one connection.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// From its connecting to the end of the stream; `None` if it was still open when the crowd was sent home.
    pub(crate) closed_after: Option<Duration>,
    /// What it was sent.
    pub(crate) heard: Vec<u8>,
    /// Attackers do not close their side, not even after the other end has.
    _socket: Option<TcpStream>,
}

/// What its members do after they have said what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Read what comes until the other end closes.
    Listen,
    /// Read nothing, as a caller beyond a network. The socket takes as little as it can.
    Ignore,
}

/// The connections, until they are closed or sent home.
pub(crate) struct Crowd {
    said: Arc<AtomicUsize>,
    home: watch::Sender<bool>,
    thread: JoinHandle<Vec<Fate>>,
}

impl Crowd {
    pub(crate) fn start(address: SocketAddr, count: usize, then: Then, says: Vec<u8>) -> Self {
        let said = Arc::new(AtomicUsize::new(0));
        let (home, going) = watch::channel(false);
        let counter = Arc::clone(&said);
        let gather = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (door, says) = (Arc::new(Semaphore::new(CONNECTING)), Arc::<[u8]>::from(says));
                let members: Vec<_> = (0..count)
                    .map(|_| {
                        let (door, says, counter) = (Arc::clone(&door), Arc::clone(&says), Arc::clone(&counter));
                        tokio::spawn(live(address, then, says, door, counter, going.clone()))
                    })
                    .collect();
                let mut fates = Vec::new();
                for member in members {
                    fates.push(member.await.unwrap());
                }
                fates
            })
        };
        Self { said, home, thread: std::thread::spawn(gather) }
    }

    /// How many have said what they say.
    pub(crate) fn said(&self) -> usize {
        self.said.load(Ordering::Relaxed)
    }

    /// Waits until the other end has closed all of them.
    pub(crate) fn wait(self) -> Vec<Fate> {
        self.thread.join().unwrap()
    }

    /// Ends those that are still open.
    pub(crate) fn send_home(self) -> Vec<Fate> {
        let _ = self.home.send(true);
        self.thread.join().unwrap()
    }
}

/// When the first and the last of them were closed, each by its own clock.
pub(crate) fn closed_between(fates: &[Fate]) -> (Duration, Duration) {
    let times = || fates.iter().map(|fate| fate.closed_after.expect("it was closed"));
    (times().min().unwrap(), times().max().unwrap())
}

async fn live(
    address: SocketAddr,
    then: Then,
    says: Arc<[u8]>,
    door: Arc<Semaphore>,
    said: Arc<AtomicUsize>,
    mut going: watch::Receiver<bool>,
) -> Fate {
    let turn = door.acquire().await.unwrap();
    let start = Instant::now();
    let mut fate = Fate::default();
    let Ok(mut stream) = connect(address, then).await else {
        fate.closed_after = Some(start.elapsed());
        return fate;
    };
    let _ = stream.write_all(&says).await;
    said.fetch_add(1, Ordering::Relaxed);
    drop(turn);
    let stay = async {
        if then == Then::Ignore {
            return std::future::pending().await;
        }
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut fate.heard).await;
        start.elapsed()
    };
    tokio::select! {
        closed_after = stay => fate.closed_after = Some(closed_after),
        _ = going.wait_for(|home| *home) => (),
    }
    fate._socket = Some(stream);
    fate
}

async fn connect(address: SocketAddr, then: Then) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if then == Then::Ignore {
        socket.set_recv_buffer_size(4096)?;
        // With those of loopback, which are 64 KiB long, the kernel alone takes megabytes for it.
        socket2::SockRef::from(&socket).set_tcp_mss(1460)?;
    }
    socket.connect(address).await
}
