//! An open-loop load generator: HTTP/1.1 requests at planned times, each latency counted from its planned time.
//!
//! `paced ADDRESS PATH CONNECTIONS RATE SECONDS` says "connected" on standard error when all connections are open, and prints one
//! line of JSON at the end. A generator that sends a request only when the one
//! before is answered asks less while a proxy stalls, so the stall is hardly in its percentiles; here every request that
//! should have been sent meanwhile counts with the time that it had to wait. One thread a connection, all of them evenly
//! staggered, so that the rate is even too. It needs the standard library only: `rustc -O paced.rs`.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

type Failure = Box<dyn Error + Send + Sync>;

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// Microseconds from planned to answered.
    latencies: Vec<f64>,
    failed: u64,
}

struct Plan {
    address: String,
    request: Vec<u8>,
    connections: u32,
    rate: f64,
    length: Duration,
}

fn main() {
    if let Err(error) = run() {
        end(&*error);
    }
}

fn end(error: &dyn Error) -> ! {
    eprintln!("paced: {error}");
    process::exit(1);
}

fn run() -> Result<(), Failure> {
    // The kernel may wake sleepers 50 µs late, to wake several at once; threads inherit this. Without it figures are only coarser.
    let _ = fs::write("/proc/self/timerslack_ns", "1");
    let plan = Arc::new(Plan::from_arguments()?);
    // All connections are open before the first request is sent.
    let ready = Arc::new(Barrier::new(plan.connections as usize + 1));
    let threads: Vec<_> = (0..plan.connections)
        .map(|number| {
            let (plan, ready) = (Arc::clone(&plan), Arc::clone(&ready));
            thread::Builder::new().stack_size(64 << 10).spawn(move || {
                // One broken connection and the rate is not the planned one any more.
                connection(&plan, number, &ready).unwrap_or_else(|error| end(&*error))
            })
        })
        .collect::<Result<_, _>>()?;
    ready.wait();
    eprintln!("connected");
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().map_err(|_| "a thread panicked")?;
        all.latencies.extend(seen.latencies);
        all.failed += seen.failed;
    }
    print(&plan, all);
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
}

/// Sends the requests of one connection at their times, a late one at once.
fn connection(plan: &Plan, number: u32, ready: &Barrier) -> Result<Seen, Failure> {
    let connected = TcpStream::connect(&plan.address);
    ready.wait();
    let mut stream = connected?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let start = Instant::now() + Duration::from_millis(20);
    let end = start + plan.length;
    let interval = Duration::from_secs_f64(f64::from(plan.connections) / plan.rate);
    let mut planned = start + interval.mul_f64(f64::from(number) / f64::from(plan.connections));
    let mut seen = Seen::default();
    let mut buffer = vec![0; 16 << 10];
    while planned < end && Instant::now() < end {
        thread::sleep(planned.saturating_duration_since(Instant::now()));
        stream.write_all(&plan.request)?;
        if !answered(&mut stream, &mut buffer)? {
            seen.failed += 1;
        }
        seen.latencies.push(planned.elapsed().as_secs_f64() * 1e6);
        planned += interval;
    }
    // All connections stay open to the end.
    thread::sleep(end.saturating_duration_since(Instant::now()));
    Ok(seen)
}

/// Reads one answer to its end; whether its status is 2xx.
fn answered(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<bool, Failure> {
    let mut filled = 0;
    let head = loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        filled += read;
        if let Some(end) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = std::str::from_utf8(&buffer[..head])?;
    let succeeded = text.starts_with("HTTP/1.1 2");
    let mut rest = content_length(text)?.saturating_sub(filled - head);
    while rest > 0 {
        let read = stream.read(buffer)?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        rest = rest.saturating_sub(read);
    }
    Ok(succeeded)
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
