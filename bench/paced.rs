//! An open-loop load generator: HTTP/1.1 requests at planned times, each latency counted from its planned time.
//!
//! `paced ADDRESS PATH CONNECTIONS RATE SECONDS` says "connected" on standard error when all connections are open, and prints one
//! line of JSON at the end. A generator that sends a request only when the one
//! before is answered asks less while a proxy stalls, so the stall is hardly in its percentiles; here every request that
//! should have been sent meanwhile counts with the time that it had to wait. The connections are evenly staggered, so that the
//! rate is even too. One thread serves them all: a thread for each takes so much of a small machine that half of the saturating
//! load saturates it. It needs the standard library only: `rustc -O paced.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::ffi::{c_int, c_long, c_void};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{env, fs, process, ptr};

type Failure = Box<dyn Error>;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Plan {
    address: String,
    request: Vec<u8>,
    connections: u32,
    rate: f64,
    length: Duration,
}

/// One connection to the proxy.
struct Connection {
    stream: TcpStream,
    /// When its next request is to be sent; of one under way, when it was to be.
    planned: Instant,
    /// Whether an answer is awaited.
    asked: bool,
    /// The part of the answer's head that has come.
    head: Vec<u8>,
    /// Once the head is complete: whether the status is 2xx, and the bytes of the body still to come.
    body: Option<(bool, usize)>,
}

/// What all connections saw.
#[derive(Default)]
struct Seen {
    /// Microseconds from planned to answered.
    latencies: Vec<f64>,
    failed: u64,
}

fn main() {
    if let Err(error) = run() {
        eprintln!("paced: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Failure> {
    // The kernel may wake sleepers 50 µs late, to wake several at once. Without it figures are only coarser.
    let _ = fs::write("/proc/self/timerslack_ns", "1");
    let plan = Plan::from_arguments()?;
    // All connections are open before the first request is sent.
    let streams: Vec<_> = (0..plan.connections).map(|_| plan.connect()).collect::<Result<_, _>>()?;
    eprintln!("connected");
    print(&plan, load(&plan, streams)?);
    Ok(())
}

impl Plan {
    fn from_arguments() -> Result<Self, Failure> {
        let arguments: Vec<String> = env::args().skip(1).collect();
        let [address, path, connections, rate, seconds] = arguments.as_slice() else {
            return Err("usage: paced ADDRESS PATH CONNECTIONS RATE SECONDS".into());
        };
        Ok(Self {
            address: address.clone(),
            request: format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes(),
            connections: connections.parse()?,
            rate: rate.parse()?,
            length: Duration::try_from_secs_f64(seconds.parse()?)?,
        })
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// Sends the requests at their times; one whose connection still waits for an answer, as soon as that has come. With one broken
/// connection the rate is not the planned one any more, so that ends everything.
fn load(plan: &Plan, streams: Vec<TcpStream>) -> Result<Seen, Failure> {
    let start = Instant::now() + Duration::from_millis(20);
    let end = start + plan.length;
    let interval = Duration::from_secs_f64(f64::from(plan.connections) / plan.rate);
    let offset = |number: usize| interval.mul_f64(number as f64 / f64::from(plan.connections));
    let mut connections: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, stream)| Connection::new(stream, start + offset(number)))
        .collect();
    let mut poll = Poll::new()?;
    for (connection, number) in connections.iter().zip(0..) {
        poll.watch(&connection.stream, number)?;
    }
    let mut idle: BinaryHeap<_> =
        connections.iter().enumerate().map(|(number, connection)| Reverse((connection.planned, number))).collect();
    let mut seen = Seen::default();
    let mut buffer = vec![0; 64 << 10];
    let mut heard = start;
    loop {
        let now = Instant::now();
        while let Some(&Reverse((planned, next))) = idle.peek()
            && planned <= now
            && planned.max(now) < end
        {
            idle.pop();
            connections[next].send(&plan.request)?;
        }
        let asked = idle.len() < connections.len();
        // All connections stay open to the end.
        if now >= end && !asked {
            return Ok(seen);
        }
        if asked && now.saturating_duration_since(heard) > PATIENCE {
            return Err("no answer for 20 s".into());
        }
        let next = idle.peek().map_or(end, |Reverse((planned, _))| end.min(*planned));
        for number in poll.wait(if now < end { next.saturating_duration_since(now) } else { PATIENCE })? {
            let connection = &mut connections[number];
            heard = Instant::now();
            if let Some(succeeded) = connection.receive(&mut buffer)? {
                seen.latencies.push((heard - connection.planned).as_secs_f64() * 1e6);
                seen.failed += u64::from(!succeeded);
                connection.planned += interval;
                idle.push(Reverse((connection.planned, number)));
            }
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, planned: Instant) -> Self {
        Self { stream, planned, asked: false, head: Vec::new(), body: None }
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.asked = true;
        // An empty socket has room for this.
        self.stream.write_all(request)
    }

    /// Reads what has come. When the answer is complete: whether its status is 2xx.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<bool>, Failure> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err("a connection was closed".into()),
            Ok(_) if !self.asked => return Err("an answer without a request".into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (succeeded, rest) = match self.body {
            Some((succeeded, rest)) => (succeeded, rest.saturating_sub(read)),
            None => {
                self.head.extend_from_slice(&buffer[..read]);
                let Some(end) = self.head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
                let text = std::str::from_utf8(&self.head[..end])?;
                let beyond = self.head.len() - end - 4;
                (text.starts_with("HTTP/1.1 2"), content_length(text)?.saturating_sub(beyond))
            }
        };
        if rest > 0 {
            self.body = Some((succeeded, rest));
            return Ok(None);
        }
        self.asked = false;
        self.head.clear();
        self.body = None;
        Ok(Some(succeeded))
    }
}

fn content_length(head: &str) -> Result<usize, Failure> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(length.ok_or("an answer without content-length")?.1.trim().parse()?)
}

fn print(plan: &Plan, mut all: Seen) {
    all.latencies.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * all.latencies.len() as f64).ceil() as usize;
        all.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    println!(
        "{{\"requests\": {}, \"seconds\": {:.3}, \"failed\": {}, \"p50\": {:.1}, \"p99\": {:.1}, \"p999\": {:.1}}}",
        all.latencies.len(),
        plan.length.as_secs_f64(),
        all.failed,
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// `struct epoll_event` of epoll(7), which is packed on x86-64.
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
#[derive(Clone, Copy, Default)]
struct Event {
    events: u32,
    data: u64,
}

/// `struct timespec`.
#[repr(C)]
struct Timespec {
    seconds: c_long,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn epoll_create1(flags: c_int) -> c_int;
    fn epoll_ctl(epoll: c_int, what: c_int, fd: c_int, event: *mut Event) -> c_int;
    fn epoll_pwait2(
        epoll: c_int,
        events: *mut Event,
        most: c_int,
        timeout: *const Timespec,
        signals: *const c_void,
    ) -> c_int;
}

/// What all connections are watched with. It costs the same for one connection and for a thousand, and what the generator takes
/// of the machine is missing to those whom it measures.
struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    fn new() -> io::Result<Self> {
        const CLOSE_ON_EXEC: c_int = 0o2_000_000;
        // SAFETY: it takes no pointer, and the descriptor that it returns is nobody else's.
        let epoll = unsafe {
            let fd = epoll_create1(CLOSE_ON_EXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self { epoll, events: vec![Event::default(); 256] })
    }

    /// Watches whether there is something to read; `wait` calls the connection by this number.
    fn watch(&self, stream: &TcpStream, number: u64) -> io::Result<()> {
        const ADD: c_int = 1;
        const IN: u32 = 1;
        let mut event = Event { events: IN, data: number };
        // SAFETY: both descriptors are open, and the event is one for the time of the call.
        let said = unsafe { epoll_ctl(self.epoll.as_raw_fd(), ADD, stream.as_raw_fd(), &raw mut event) };
        if said == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until a connection has something to read, or the time is over.
    fn wait(&mut self, timeout: Duration) -> io::Result<impl Iterator<Item = usize>> {
        let timeout =
            Timespec { seconds: timeout.as_secs() as c_long, nanoseconds: c_long::from(timeout.subsec_nanos() as i32) };
        let most = self.events.len() as c_int;
        // SAFETY: the events are as many as said, and both are laid out as the C library has them.
        let ready = unsafe {
            epoll_pwait2(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), most, &raw const timeout, ptr::null())
        };
        let ready = usize::try_from(ready).map_err(|_| io::Error::last_os_error())?;
        Ok(self.events[..ready].iter().map(|event| event.data as usize))
    }
}
