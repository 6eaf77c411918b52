//! The attacks on HTTP/2 (RELIABILITY appendix C, G8): when they are ended, and what honest callers notice of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::figures::{Row, milliseconds, row};
use crate::honest::{HONEST, Honest};
use crate::process::{self, Memory};
use crate::support::attacks::{ATTACKS, Attack, Material};
use crate::support::frames::{Frames, Goaway};
use crate::support::{Bearerd, now, pause, stage};

/// How many attack at the same time, each anew as soon as its connection is ended.
const ATTACKERS: usize = 4;
const STORM: Duration = Duration::from_secs(4);
/// How much more memory all of them together may take, in KiB.
const MEMORY: u64 = 10 << 10;
/// What 50,000 frames that end nothing may cost, in seconds of processor time.
const CHATTER: f64 = 0.2;
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

/// One attacker who looks after each round whether it is over: so many rounds it takes.
fn ended(bearerd: &Bearerd, attack: &Attack) -> Row {
    let material = Material::new(bearerd.address());
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    let mut over: Option<(u32, Option<Goaway>)> = None;
    for round in 0..attack.rounds {
        let sent = frames.send(attack.bytes(&material, round));
        pause(Duration::from_micros(20));
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
    let figure = format!("{} of {}, GOAWAY {} {}", rounds + 1, attack.rounds, goaway.code, goaway.text);
    row(format!("{}: ended after so many rounds", attack.name), figure, format!("GOAWAY {code} {text}"))
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
    let calm = Honest::start(bearerd.address());
    pause(STORM / 2);
    let calm = calm.stop();
    let usual = calm.kept.quantile(0.99).max(calm.fresh.quantile(0.99));
    let memory = Memory::watch(bearerd);
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let (cpu, log, start) = (process::cpu(bearerd), bearerd.log().len(), now());
    let honest = Honest::start(bearerd.address());
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
    met.hold(HONEST);
    assert!(memory.grown() <= MEMORY, "{name}: {} KiB more", memory.grown());
    assert!(lines <= 10, "{name}: {lines} lines in the log");
    let rate = rounds.load(Ordering::Relaxed) as f64 / took;
    let mut rows = vec![row(
        format!("{name}: {ATTACKERS} at full speed: rounds a second, processor, memory, lines of log"),
        format!("{rate:.0}, {:.0} %, {} KiB, {lines}", cpu / took * 100.0, memory.grown()),
        format!("≤ {MEMORY} KiB, ≤ 10"),
    )];
    rows.extend(met.rows(&format!("{name} (p99 without: {})", milliseconds(usual)), HONEST));
    rows
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
