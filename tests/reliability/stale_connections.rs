//! An upstream that closes connections while they are idle: GET and POST meet them at the worst moment (RELIABILITY T37, G21).

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use crate::figures::{Row, held, row, secs};
use crate::setting::scaled;
use crate::support::client::{Response, read_response};
use crate::support::wire::Wire;
use crate::support::{After, Request, Upstream, now, pause, seconds, stage};

const CALLERS: usize = 128;
/// How long a connection may idle at the upstream, as far as it says anything about it.
const IDLE: Duration = Duration::from_secs(1);
/// When the upstream closes.
#[derive(Clone, Copy)]
enum Closes {
    AfterASecond,
    /// At any moment of the first 100 ms, each connection after each answer at another.
    AtRandom,
}

impl Closes {
    /// One POST in so many may fail: what was sent in the very moment in which its connection closed cannot be sent again. The figure
    /// asks for the first; the other is the worst that an upstream can do, and closes one connection after seven requests.
    fn failing(self) -> usize {
        match self {
            Self::AfterASecond => 100_000,
            Self::AtRandom => 1_000,
        }
    }
}

pub(crate) fn prove() -> Vec<Row> {
    // Half of each, half of them with either way to close.
    let count = scaled(50_000, 1_000_000) / 2;
    let mut rows = closing("upstream closes what is idle for 1 s", Closes::AfterASecond, count);
    rows.extend(closing("upstream closes what is idle at random moments", Closes::AtRandom, count));
    rows
}

fn closing(what: &str, closes: Closes, count: usize) -> Vec<Row> {
    let (_endpoint, upstream, setup) = stage(3_600);
    upstream.count_only();
    let came: Arc<Vec<AtomicU8>> = Arc::new((0..count).map(|_| AtomicU8::new(0)).collect());
    serve(&upstream, closes, &came);
    let bearerd = setup.start_ready();
    let (start, next) = (now(), Arc::new(AtomicUsize::new(0)));
    let address = bearerd.address();
    let callers: Vec<_> = (0..CALLERS)
        .map(|seed| {
            let next = Arc::clone(&next);
            std::thread::spawn(move || call(address, closes, seed as u64, &next, count))
        })
        .collect();
    let met: Vec<Met> = callers.into_iter().map(|caller| caller.join().expect("a caller")).collect();
    let took = start.elapsed();
    let sum = |part: fn(&Met) -> usize| met.iter().map(part).sum::<usize>();
    let (gets, posts) = (sum(|met| met.gets), sum(|met| met.posts));
    let lost = |kind: &str| met.iter().flat_map(|met| &met.lost).filter(|lost| lost.starts_with(kind)).count();
    let (get_lost, post_lost) = (lost("GET"), lost("POST"));
    met.iter().flat_map(|met| &met.lost).take(5).for_each(|lost| eprintln!("{what}: {lost}"));
    let (doubled, allowed) =
        (came.iter().filter(|count| count.load(Ordering::Relaxed) > 1).count(), posts / closes.failing());
    vec![
        held(format!("{what}: {gets} GET: failed"), get_lost, "0", get_lost == 0),
        held(format!("{what}: {posts} POST: came twice to the upstream"), doubled, "0", doubled == 0),
        held(
            format!("{what}: {posts} POST: failed"),
            post_lost,
            format!("≤ 1 in {}: {allowed}", closes.failing()),
            post_lost <= allowed,
        ),
        row(
            format!("{what}: connections that the upstream took and closed, requests a second, took"),
            format!("{}, {:.0}, {}", upstream.connections(), count as f64 / took.as_secs_f64(), secs(took)),
            "",
        ),
    ]
}

fn serve(upstream: &Upstream, closes: Closes, came: &Arc<Vec<AtomicU8>>) {
    let came = Arc::clone(came);
    upstream.on("/", move |exchange| {
        let number = exchange.target().strip_prefix("/post/").and_then(|number| number.parse::<usize>().ok());
        if let Some(number) = number {
            came[number].fetch_add(1, Ordering::Relaxed);
        }
        exchange.ordinary()?;
        let idle = match closes {
            Closes::AfterASecond => IDLE,
            Closes::AtRandom => Duration::from_micros(fastrand::u64(1_000..100_000)),
        };
        let socket = exchange.wire.socket();
        Ok(if is_asked_within(socket, idle)? { After::KeepAlive } else { After::Close })
    });
}

/// Whether something comes within that time. Looks again at the end of it, as a server does that is woken late.
fn is_asked_within(socket: &TcpStream, idle: Duration) -> io::Result<bool> {
    let usual = socket.read_timeout()?;
    socket.set_read_timeout(Some(idle))?;
    let came = socket.peek(&mut [0]).is_ok() || {
        socket.set_nonblocking(true)?;
        let late = socket.peek(&mut [0]);
        socket.set_nonblocking(false)?;
        late.is_ok()
    };
    socket.set_read_timeout(usual)?;
    Ok(came)
}

/// What one caller met.
#[derive(Default)]
struct Met {
    gets: usize,
    posts: usize,
    lost: Vec<String>,
}

/// Asks, and rests as long as makes it likely that its next request meets a connection that is being closed.
fn call(address: SocketAddr, closes: Closes, seed: u64, next: &AtomicUsize, count: usize) -> Met {
    let mut dice = fastrand::Rng::with_seed(seed);
    let (mut met, mut wire) = (Met::default(), None);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return met;
        }
        let is_post = dice.bool();
        let request = match is_post {
            true => Request::post(&format!("/post/{number}"), vec![b'p'; dice.usize(1..2_000)]),
            false => Request::get(&format!("/get/{number}")),
        };
        let kind = if is_post { "POST" } else { "GET" };
        *(if is_post { &mut met.posts } else { &mut met.gets }) += 1;
        match ask(&mut wire, address, &request, kind) {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => met.lost.push(format!("{kind} {number}: {}{}", answer.raw_head, answer.text())),
            Err(error) => {
                met.lost.push(format!("{kind} {number}: {error}"));
                wire = None;
            }
        }
        pause(rest(&mut dice, closes));
    }
}

fn rest(dice: &mut fastrand::Rng, closes: Closes) -> Duration {
    match (dice.u8(..100), closes) {
        (0..70, _) => Duration::ZERO,
        // All at nearly the same moment after the last answer: as the upstream closes.
        (70..85, Closes::AfterASecond) => IDLE.mul_f64(0.998 + 0.004 * dice.f64()),
        _ => seconds(0.1 * dice.f64()),
    }
}

fn ask(wire: &mut Option<Wire>, address: SocketAddr, request: &Request, method: &str) -> io::Result<Response> {
    if wire.is_none() {
        *wire = Some(Wire::connect(address)?);
    }
    let wire = wire.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    wire.send(request.bytes(address))?;
    read_response(wire, method)
}
