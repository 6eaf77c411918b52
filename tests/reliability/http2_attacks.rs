//! The attacks on HTTP/2 (RELIABILITY appendix C, G8): when they are ended, and what honest callers notice of them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
const STORM: Duration = Duration::from_secs(4);
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
    let sent = attack_once(bearerd, attack, attack.rounds, &AtomicBool::new(false));
    let (took, cpu) = (start.elapsed(), process::cpu(bearerd) - before);
    let lines = bearerd.log().len() - log;
    assert!(cpu <= CHATTER, "{}: {cpu:.2} s", attack.name);
    assert!(lines <= 10, "{}: {lines} lines in the log", attack.name);
    let figure = format!("{cpu:.2} s, {}, {lines}", milliseconds(took));
    row(format!("{}: {sent} frames: processor time, time, lines of log", attack.name), figure, "≤ 0.2 s, ≤ 10 lines")
}

/// Several at full speed beside honest callers.
fn storm(bearerd: &Bearerd, attack: &'static Attack) -> Vec<Row> {
    let name = attack.name;
    // The same machine a moment before: others may be at work on it.
    let calm = Honest::busy(bearerd.address());
    pause(STORM / 2);
    let calm = calm.stop();
    let busy = elsewhere(bearerd, attack);
    let memory = Memory::watch(bearerd);
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let (cpu, log, start) = (process::cpu(bearerd), bearerd.log().len(), now());
    let honest = Honest::busy(bearerd.address());
    let met = std::thread::scope(|scope| {
        for _ in 0..ATTACKERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let most = if attack.ends.is_some() { attack.rounds } else { u32::MAX };
                    rounds.fetch_add(attack_once(bearerd, attack, most, &stop).into(), Ordering::Relaxed);
                }
            });
        }
        pause(STORM);
        // Honest callers end first, so that none of their requests is without attackers.
        let met = honest.stop();
        stop.store(true, Ordering::Relaxed);
        met
    });
    let (took, cpu) = (start.elapsed().as_secs_f64(), process::cpu(bearerd) - cpu);
    let lines = bearerd.log().len() - log;
    assert!(memory.grown() <= MEMORY, "{name}: {} KiB more", memory.grown());
    assert!(lines <= 10, "{name}: {lines} lines in the log");
    let rate = rounds.load(Ordering::Relaxed) as f64 / took;
    let mut rows = vec![row(
        format!("{name}: {ATTACKERS} at full speed: rounds a second, processor, memory, lines of log"),
        format!("{rate:.0}, {:.0} %, {} KiB, {lines}", cpu / took * 100.0, memory.grown()),
        format!("≤ {MEMORY} KiB, ≤ 10"),
    )];
    let [kept, fresh] = calm.p99().map(milliseconds);
    rows.push(row(
        format!("{name}: p99 without it, kept connections and a connection each"),
        format!("{kept}, {fresh}"),
        "",
    ));
    // Who attacks takes both processors, whomever it attacks.
    let most = busy.p99().map(|p99| 2 * p99);
    rows.extend(
        met.verdicts(&format!("{name}, p99 at most twice what it is while they send as much to somebody else"), most),
    );
    rows
}

/// What honest callers meet while the same attackers send the same to a server that reads it and does nothing.
fn elsewhere(bearerd: &Bearerd, attack: &Attack) -> Met {
    let sink = Listener::start(Arc::new(|stream: Arc<TcpStream>| {
        let mut bytes = vec![0; 64 << 10];
        while matches!((&*stream).read(&mut bytes), Ok(1..)) {}
    }));
    let stop = AtomicBool::new(false);
    let honest = Honest::busy(bearerd.address());
    std::thread::scope(|scope| {
        for _ in 0..ATTACKERS {
            scope.spawn(|| send_on(sink.address(), &Material::new(bearerd.address()), attack, &stop));
        }
        pause(STORM);
        let met = honest.stop();
        stop.store(true, Ordering::Relaxed);
        met
    })
}

fn send_on(address: SocketAddr, material: &Material, attack: &Attack, stop: &AtomicBool) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<u8> =
            (sent..sent + BATCH).flat_map(|round| attack.bytes(material, round % attack.rounds)).collect();
        if stream.write_all(&batch).is_err() {
            return;
        }
        sent += BATCH;
    }
}

/// Attacks on a connection of its own until that ends or there is no round left; returns how many rounds were sent.
fn attack_once(bearerd: &Bearerd, attack: &Attack, most: u32, stop: &AtomicBool) -> u32 {
    let material = Material::new(bearerd.address());
    let Ok(mut frames) = Frames::connect(bearerd.address()) else { return 0 };
    let reader = frames.read_on();
    let mut sent = 0;
    while sent < most && !stop.load(Ordering::Relaxed) {
        let upto = sent.saturating_add(BATCH).min(most);
        let batch: Vec<u8> = (sent..upto).flat_map(|round| attack.bytes(&material, round)).collect();
        if frames.send(batch).is_err() {
            break;
        }
        sent = upto;
    }
    // So that the other end comes to read all of it.
    frames.close();
    let _ = reader.join();
    sent
}
