//! A network that fails, as a relay of TCP connections within this process: connections are reset, and pieces come late.
//!
//! It needs no rights, and knows what it has done: how many connections it broke, and how many of those in the middle of an exchange.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What a sender waits before it sends a lost segment again, on Linux at least this.
const LATE: Duration = Duration::from_millis(200);

/// What the network does to connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// How long connections live on average before they are reset; they end at random, as many early as late ones.
    pub(crate) mean_life: Option<Duration>,
    /// The share of the pieces that come late, as if they had been lost once.
    pub(crate) late: f64,
}

/// What becomes of new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Reset as soon as they have been made.
    Reset,
    /// Their first segments are lost, as where a firewall drops them: the queue of the listening socket is full.
    Lost,
}

pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    mode: watch::Sender<Mode>,
    /// What fills the queue.
    queued: Mutex<Vec<std::net::TcpStream>>,
}

struct Shared {
    target: SocketAddr,
    weather: Weather,
    broken: AtomicU64,
    broken_in_use: AtomicU64,
}

impl Relay {
    pub(crate) fn start(target: SocketAddr, weather: Weather) -> Self {
        let (broken, broken_in_use) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { target, weather, broken, broken_in_use });
        let (mode, modes) = watch::channel(Mode::Pass);
        let (tell, told) = mpsc::channel();
        let relay = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
                // Short enough to be filled.
                let listener = socket.listen(128).unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                relay.accept(listener, modes).await;
            });
        });
        Self { address: told.recv().unwrap(), shared, mode, queued: Mutex::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets this become of connections from now on.
    pub(crate) fn turn(&self, mode: Mode) {
        self.mode.send(mode).unwrap();
        let mut queued = self.queued.lock().unwrap();
        queued.clear();
        while mode == Mode::Lost
            && let Ok(one) = std::net::TcpStream::connect_timeout(&self.address, LATE)
        {
            queued.push(one);
        }
    }

    /// How many connections it has broken, and how many of them while an answer was awaited.
    pub(crate) fn broken(&self) -> [u64; 2] {
        [&self.shared.broken, &self.shared.broken_in_use].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// Until the relay is dropped.
    async fn accept(self: Arc<Self>, listener: TcpListener, mut modes: watch::Receiver<Mode>) {
        loop {
            let mode = *modes.borrow_and_update();
            tokio::select! {
                accepted = listener.accept(), if mode != Mode::Lost => match (accepted.unwrap().0, mode) {
                    (caller, Mode::Reset) => self.reset(caller),
                    (caller, _) => drop(tokio::spawn(Arc::clone(&self).carry(caller))),
                },
                changed = modes.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Closes it with an RST instead of a FIN.
    fn reset(&self, stream: TcpStream) {
        self.broken.fetch_add(1, Ordering::Relaxed);
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }

    async fn carry(self: Arc<Self>, caller: TcpStream) {
        let Ok(server) = TcpStream::connect(self.target).await else {
            self.reset(caller);
            return;
        };
        let _ = (caller.set_nodelay(true), server.set_nodelay(true));
        let is_awaited = AtomicBool::new(false);
        let (from_caller, to_caller) = caller.into_split();
        let (from_server, to_server) = server.into_split();
        let mut ends = (to_caller, to_server);
        let is_broken = {
            let up = self.pour(from_caller, &mut ends.1, || is_awaited.store(true, Ordering::Relaxed));
            let down = self.pour(from_server, &mut ends.0, || is_awaited.store(false, Ordering::Relaxed));
            tokio::select! {
                () = self.end_of_life() => true,
                // Either has closed: so do both, as they speak HTTP.
                _ = up => false,
                _ = down => false,
            }
        };
        if is_broken {
            self.broken.fetch_add(1, Ordering::Relaxed);
            self.broken_in_use.fetch_add(u64::from(is_awaited.load(Ordering::Relaxed)), Ordering::Relaxed);
            for end in [ends.0, ends.1] {
                let _ = socket2::SockRef::from(AsRef::<TcpStream>::as_ref(&end)).set_linger(Some(Duration::ZERO));
                // It would say FIN first.
                end.forget();
            }
        }
    }

    async fn pour(&self, mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, note: impl Fn()) -> io::Result<()> {
        let mut piece = vec![0; 16 << 10];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            if fastrand::f64() < self.weather.late {
                sleep(LATE).await;
            }
            note();
            to.write_all(&piece[..length]).await?;
        }
    }

    async fn end_of_life(&self) {
        match self.weather.mean_life {
            Some(mean) => sleep(mean.mul_f64(-(1.0 - fastrand::f64()).ln())).await,
            None => std::future::pending().await,
        }
    }
}
