//! Load at a planned rate, whatever the answers do: a stall counts for every request that should have been sent meanwhile.
//!
//! Callers that wait for the answer before they plan the next request ask less while a proxy stalls, so that the stall is hardly in
//! their percentiles. Here each connection has a timetable. One thread serves all of them. Connections that break are made again, and
//! every request ends as a status, or as 0 where there was no whole answer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::support::Request;

/// Who waits longer for an answer gets none: the case that nobody may meet.
const PATIENCE: Duration = Duration::from_secs(40);

/// How many connections ask how often, together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) connections: usize,
    pub(crate) rate: f64,
    /// Whether requests that could not be sent in time are sent later, all of them. Not for outages, where nearly all would be those.
    pub(crate) catches_up: bool,
}

impl Pace {
    /// So many requests a second over so many connections, each of them sent.
    pub(crate) fn of(rate: f64, connections: usize) -> Self {
        Self { connections, rate, catches_up: true }
    }

    /// Who is late leaves out what it missed.
    pub(crate) fn without_catching_up(self) -> Self {
        Self { catches_up: false, ..self }
    }
}

/// Load that runs until it is stopped or dropped.
pub(crate) struct Paced {
    plan: Arc<Plan>,
    thread: Option<JoinHandle<()>>,
}

/// The bytes of the n-th request.
type Words = dyn Fn(u64) -> Vec<u8> + Send + Sync;

struct Plan {
    address: SocketAddr,
    pace: Pace,
    words: Box<Words>,
    number: AtomicU64,
    stop: AtomicBool,
    seen: Mutex<(Report, Instant)>,
}

/// What came of a stretch of load.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many answers had which status; 0 stands for no answer.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// The first failures, told.
    pub(crate) failures: Vec<String>,
    /// From the moment when a request was to be sent to the end of its answer.
    pub(crate) times: Times,
    /// From the moment when it was sent.
    pub(crate) waits: Times,
    /// 503s that did not say when to come again.
    pub(crate) unadvised: u64,
    pub(crate) took: Duration,
}

/// Times counted in classes of a hundredth and a half of their length, so that hours of them fit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    counts: Vec<u64>,
    total: u64,
    most: Duration,
}

struct Answer {
    status: u16,
    is_advised: bool,
    ends: bool,
    text: String,
}

impl Paced {
    pub(crate) fn start(address: SocketAddr, pace: Pace, request: &Request) -> Self {
        let bytes = request.bytes(address);
        Self::start_with(address, pace, move |_| bytes.clone())
    }

    /// Every request is made anew.
    pub(crate) fn start_with(
        address: SocketAddr,
        pace: Pace,
        words: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let plan = Arc::new(Plan {
            address,
            pace,
            words: Box::new(words),
            number: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            seen: Mutex::new((Report::default(), Instant::now())),
        });
        let shared = Arc::clone(&plan);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let start = Instant::now();
                let callers: Vec<_> = (0..shared.pace.connections)
                    .map(|number| tokio::spawn(call(Arc::clone(&shared), start, number)))
                    .collect();
                for caller in callers {
                    caller.await.unwrap();
                }
            });
        };
        Self { plan, thread: Some(std::thread::spawn(run)) }
    }

    /// What came since the start, or since this was asked last.
    pub(crate) fn take(&self) -> Report {
        let mut seen = self.plan.seen.lock().unwrap();
        let (mut report, since) = std::mem::replace(&mut *seen, (Report::default(), Instant::now()));
        report.took = since.elapsed();
        report
    }

    /// Waits for the last answers. What came since the start, or since [`Self::take`].
    pub(crate) fn stop(mut self) -> Report {
        self.plan.stop.store(true, Ordering::Relaxed);
        let took = self.plan.seen.lock().unwrap().1.elapsed();
        self.thread.take().unwrap().join().unwrap();
        Report { took, ..self.take() }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.plan.stop.store(true, Ordering::Relaxed);
    }
}

async fn call(plan: Arc<Plan>, start: Instant, number: usize) {
    let Pace { connections, rate, catches_up } = plan.pace;
    let interval = Duration::from_secs_f64(connections as f64 / rate);
    let mut planned = start + interval.mul_f64(number as f64 / connections as f64);
    let (mut stream, mut buffer) = (None, Vec::with_capacity(8 << 10));
    while !plan.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let begun = if now < planned {
            sleep_until(planned).await;
            // Timers are a millisecond late at most, which is nobody's fault but theirs.
            Instant::now()
        } else if catches_up {
            planned
        } else {
            planned = now;
            now
        };
        planned += interval;
        let words = (plan.words)(plan.number.fetch_add(1, Ordering::Relaxed));
        let sent = Instant::now();
        let answer = timeout(PATIENCE, exchange(&plan, &mut stream, &mut buffer, &words)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        plan.seen.lock().unwrap().0.note(begun.elapsed(), sent.elapsed(), answer);
    }
}

/// One request and its answer, on the connection that is open, if one is; it stays open unless something failed.
async fn exchange(
    plan: &Plan,
    stream: &mut Option<TcpStream>,
    buffer: &mut Vec<u8>,
    words: &[u8],
) -> io::Result<Answer> {
    let mut open = match stream.take() {
        Some(open) => open,
        None => {
            let fresh = TcpStream::connect(plan.address).await?;
            fresh.set_nodelay(true)?;
            fresh
        }
    };
    open.write_all(words).await?;
    let answer = read(&mut open, buffer).await?;
    if !answer.ends {
        *stream = Some(open);
    }
    Ok(answer)
}

/// An answer with a length, the only ones that there are here.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Answer> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    buffer.clear();
    let end = loop {
        if let Some(at) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, buffer).await?;
    };
    let head = std::str::from_utf8(&buffer[..end]).map_err(|_| invalid("a head of other bytes"))?;
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| invalid(head))?;
    let length: usize =
        field("content-length").and_then(|length| length.parse().ok()).ok_or_else(|| invalid("no length"))?;
    let ends = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let is_advised = field("retry-after").is_some();
    while buffer.len() < end + length {
        more(stream, buffer).await?;
    }
    if buffer.len() > end + length {
        return Err(invalid("more than one answer"));
    }
    let text = if status == 200 { String::new() } else { String::from_utf8_lossy(buffer).into_owned() };
    Ok(Answer { status, is_advised, ends, text })
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

impl Report {
    fn note(&mut self, time: Duration, wait: Duration, answer: io::Result<Answer>) {
        self.times.add(time);
        self.waits.add(wait);
        let (status, told) = match answer {
            Ok(answer) => {
                self.unadvised += u64::from(answer.status == 503 && !answer.is_advised);
                (answer.status, answer.text)
            }
            Err(error) => (0, error.to_string()),
        };
        *self.statuses.entry(status).or_default() += 1;
        if status != 200 && self.failures.len() < 5 {
            self.failures.push(told);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.statuses.values().sum()
    }

    pub(crate) fn with(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// Everything but 200.
    pub(crate) fn failed(&self) -> u64 {
        self.total() - self.with(200)
    }

    /// Requests a second that were reached.
    pub(crate) fn rate(&self) -> f64 {
        self.total() as f64 / self.took.as_secs_f64()
    }

    /// Tells the first failures, if there are any, to whoever looks at the output.
    pub(crate) fn tell(&self, when: &str) {
        if self.failed() > 0 {
            eprintln!("{when}: answers {:?}, the first: {:#?}", self.statuses, self.failures);
        }
    }

    /// Adds what another stretch met.
    pub(crate) fn merge(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.times.merge(&other.times);
        self.waits.merge(&other.waits);
        self.unadvised += other.unadvised;
        self.took += other.took;
    }
}

/// Each power of two has so many classes, as a power of two.
const FINE: u32 = 6;

impl Times {
    fn add(&mut self, time: Duration) {
        let class = class_of(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += 1;
        self.total += 1;
        self.most = self.most.max(time);
    }

    fn merge(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
        self.most = self.most.max(other.most);
    }

    /// The time within which this share of the requests was answered.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut reached = 0;
        let class = self.counts.iter().position(|count| {
            reached += count;
            reached >= rank
        });
        class.map_or(Duration::ZERO, |class| Duration::from_micros(longest_of(class)).min(self.most))
    }

    pub(crate) fn most(&self) -> Duration {
        self.most
    }
}

/// Whole microseconds as long as they are few, then classes of equal width within each power of two.
fn class_of(micros: u64) -> usize {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(FINE + 1);
    ((shift as usize) << FINE) + (micros >> shift) as usize
}

fn longest_of(class: usize) -> u64 {
    let shift = (class >> FINE).saturating_sub(1);
    let first = class - (shift << FINE);
    ((first as u64 + 1) << shift) - 1
}
