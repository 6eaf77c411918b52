//! The attacks on HTTP/2 (RELIABILITY appendix C, G8): when they are ended, and what honest callers notice of them.

use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::figures::{Row, held, milliseconds, row};
use crate::honest::{Honest, Met};
use crate::process::{self, Memory};
use crate::support::attacks::{ATTACKS, Attack, Material};
use crate::support::frames::{Frames, Goaway};
use crate::support::listener::Listener;
use crate::support::{Bearerd, now, pause, stage};

/// How many attack at the same time, each anew as soon as its connection is ended.
const ATTACKERS: usize = 4;
/// For how long and how often they do, in turns with as much at somebody else.
const SLICE: Duration = Duration::from_secs(1);
const SLICES: u32 = 5;
/// How much more memory all of them together may take, in KiB.
const MEMORY: u64 = 10 << 10;
/// What 50,000 frames that end nothing may cost, in seconds of processor time.
const CHATTER: f64 = 0.2;
/// After how many rounds each was ended when appendix C was written.
const TABLE: &[(&str, u32)] = &[
    ("rapid reset", 64),
    ("CONTINUATION", 10),
    ("empty DATA", 523),
    ("WINDOW_UPDATE 0", 2),
    ("streams beyond the limit", 4_303),
];
/// How many rounds are sent at once by those who hurry.
const BATCH: u32 = 64;

pub(crate) fn prove() -> Vec<Row> {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.count_only();
    // One worker, so that honest callers and attackers share it.
    let bearerd = setup.top("workers = 1").start_ready();
    Honest::warm(bearerd.address());
    let mut rows = Vec::new();
    for attack in ATTACKS {
        rows.push(match attack.ends {
            Some(_) => ended(&bearerd, attack),
            None => endured(&bearerd, attack),
        });
        rows.extend(storm(&bearerd, attack));
    }
    rows
}

/// One attacker who looks after each round whether it is over: so many rounds are taken in.
fn ended(bearerd: &Bearerd, attack: &Attack) -> Row {
    let material = Material::new(bearerd.address());
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    let mut over: Option<(u32, Option<Goaway>)> = None;
    for round in 0..attack.rounds {
        let sent = frames.send(attack.bytes(&material, round));
        // The other end reads meanwhile, so that none or few are on their way when it has ended.
        pause(Duration::from_micros(100));
        match frames.goaway_so_far() {
            Ok(Some(goaway)) => over = Some((round, Some(goaway))),
            Ok(None) if sent.is_ok() => {}
            _ => over = Some((round, None)),
        }
        if over.is_some() {
            break;
        }
    }
    let (rounds, goaway) = over.unwrap_or_else(|| panic!("{}: not ended after {} rounds", attack.name, attack.rounds));
    let goaway = goaway.unwrap_or_else(|| panic!("{}: ended without GOAWAY after {rounds} rounds", attack.name));
    let (code, text) = attack.ends.unwrap();
    assert!(goaway.code == code && goaway.text.contains(text), "{}: {goaway:?}", attack.name);
    // Who goes on before it reads has more on their way: where each round is a stream that is taken, the last one says how many were.
    let taken_in = if text == "too_many_resets" { goaway.last.div_ceil(2) } else { rounds + 1 };
    let figure = format!("{taken_in} of {}, GOAWAY {} {}", attack.rounds, goaway.code, goaway.text);
    let most = TABLE.iter().find(|(name, _)| *name == attack.name).map_or(attack.rounds, |(_, most)| *most);
    held(
        format!("{}: ended after so many rounds", attack.name),
        figure,
        format!("≤ {most}, GOAWAY {code} {text}"),
        taken_in <= most,
    )
}

/// What ends nothing must cost next to nothing.
fn endured(bearerd: &Bearerd, attack: &Attack) -> Row {
    let before = process::cpu(bearerd);
    let (start, log) = (now(), bearerd.log().len());
    let material = Material::new(bearerd.address());
    let sent = attack_once(bearerd.address(), (attack, &material), attack.rounds, &AtomicBool::new(false));
    let (took, cpu) = (start.elapsed(), process::cpu(bearerd) - before);
    let lines = bearerd.log().len() - log;
    assert!(cpu <= CHATTER, "{}: {cpu:.2} s", attack.name);
    assert!(lines <= 10, "{}: {lines} lines in the log", attack.name);
    let figure = format!("{cpu:.2} s, {}, {lines}", milliseconds(took));
    row(format!("{}: {sent} frames: processor time, time, lines of log", attack.name), figure, "≤ 0.2 s, ≤ 10 lines")
}

/// Several at full speed beside honest callers, by turns at bearerd and at somebody else, so that both are seen in the same weather.
fn storm(bearerd: &Bearerd, attack: &'static Attack) -> Vec<Row> {
    let name = attack.name;
    // The same machine a moment before: others may be at work on it.
    let calm = Honest::busy(bearerd.address());
    pause(SLICE * SLICES / 2);
    let calm = calm.stop();
    // Who attacks takes both processors, whomever it attacks: here one who reads all of it and does nothing.
    let sink = Listener::start(Arc::new(|stream: Arc<TcpStream>| {
        let mut bytes = vec![0; 64 << 10];
        while matches!((&*stream).read(&mut bytes), Ok(1..)) {}
    }));
    let (mut here, mut elsewhere) = (Storm::default(), Storm::default());
    let (memory, log) = (Memory::watch(bearerd), bearerd.log().len());
    for _ in 0..SLICES {
        elsewhere.rage(bearerd, sink.address(), attack);
        here.rage(bearerd, bearerd.address(), attack);
    }
    let lines = bearerd.log().len() - log;
    assert!(memory.grown() <= MEMORY, "{name}: {} KiB more", memory.grown());
    assert!(lines <= 10, "{name}: {lines} lines in the log");
    let took = here.took.as_secs_f64();
    let (rate, cpu) = (f64::from(here.rounds) / took, here.cpu / took * 100.0);
    let mut rows = vec![row(
        format!("{name}: {ATTACKERS} at full speed: rounds a second, processor, memory, lines of log"),
        format!("{rate:.0}, {cpu:.0} %, {} KiB, {lines}", memory.grown()),
        format!("≤ {MEMORY} KiB, ≤ 10"),
    )];
    let [kept, fresh] = calm.p99().map(milliseconds);
    rows.push(row(
        format!("{name}: p99 without it, kept connections and a connection each"),
        format!("{kept}, {fresh}"),
        "",
    ));
    let most = elsewhere.met.p99().map(|p99| 2 * p99);
    let when = format!("{name}, p99 at most twice what it is while they do the same to somebody else");
    rows.extend(here.met.verdicts(&when, most));
    rows
}

/// An attack so far, and what honest callers of bearerd have met meanwhile.
#[derive(Default)]
struct Storm {
    met: Met,
    took: Duration,
    rounds: u32,
    /// What bearerd took of the processor, in seconds.
    cpu: f64,
}

impl Storm {
    /// One slice more of it, at this address.
    fn rage(&mut self, bearerd: &Bearerd, address: SocketAddr, attack: &Attack) {
        let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
        let most = if attack.ends.is_some() { attack.rounds } else { u32::MAX };
        let material = Material::new(bearerd.address());
        let (cpu, start) = (process::cpu(bearerd), now());
        let honest = Honest::busy(bearerd.address());
        let met = std::thread::scope(|scope| {
            for _ in 0..ATTACKERS {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        rounds.fetch_add(attack_once(address, (attack, &material), most, &stop), Ordering::Relaxed);
                    }
                });
            }
            pause(SLICE);
            // Honest callers end first, so that none of their requests is without attackers.
            let met = honest.stop();
            stop.store(true, Ordering::Relaxed);
            met
        });
        self.met.merge(met);
        self.took += start.elapsed();
        self.rounds += rounds.into_inner();
        self.cpu += process::cpu(bearerd) - cpu;
    }
}

/// Attacks on a connection of its own until that ends or there is no round left; returns how many rounds were sent.
fn attack_once(address: SocketAddr, (attack, with): (&Attack, &Material), most: u32, stop: &AtomicBool) -> u32 {
    let Ok(mut frames) = Frames::connect(address) else { return 0 };
    let reader = frames.read_on();
    let mut sent = 0;
    while sent < most && !stop.load(Ordering::Relaxed) {
        let upto = sent.saturating_add(BATCH).min(most);
        let batch: Vec<u8> = (sent..upto).flat_map(|round| attack.bytes(with, round)).collect();
        if frames.send(batch).is_err() {
            break;
        }
        sent = upto;
    }
    if stop.load(Ordering::Relaxed) {
        // What is on its way is not to be there when the next slice begins: a reset takes it back.
        let socket: &TcpStream = frames.as_ref();
        socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
        // Whoever reads holds the socket too.
        let _ = socket.shutdown(Shutdown::Read);
    } else {
        // So that the other end comes to read all of it.
        frames.close();
    }
    let _ = reader.join();
    sent
}
