//! The attacks on HTTP/2 that are known to bring servers down (RELIABILITY appendix C), at the lengths given there.

use std::net::SocketAddr;

use super::frames::*;

/// An attack: so many rounds, each of some frames.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) rounds: u32,
    /// With which code the connection ends, and what GOAWAY says; `None` if it need not end.
    pub(crate) ends: Option<(u32, &'static str)>,
    round: fn(&Material, u32) -> Vec<u8>,
}

/// What rounds are made of.
pub(crate) struct Material {
    get: Vec<u8>,
    block: Vec<u8>,
}

impl Material {
    /// For a server that is called by its address.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let get = request("GET", "/items", &address.to_string(), &[]);
        // Some 11 KB, as much as fits into a frame without being asked for more.
        Self { get, block: fields(&[("x-a", &"a".repeat(100))]).repeat(100) }
    }
}

impl Attack {
    pub(crate) fn bytes(&self, material: &Material, round: u32) -> Vec<u8> {
        (self.round)(material, round)
    }
}

const CALM: u32 = 11;
const PROTOCOL: u32 = 1;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "rapid reset",
        rounds: 20_000,
        ends: Some((CALM, "too_many_resets")),
        round: |with, round| [headers(with, round, END_STREAM), frame(RST_STREAM, 0, id(round), [0, 0, 0, 8])].concat(),
    },
    Attack {
        name: "CONTINUATION",
        rounds: 2_000,
        ends: Some((CALM, "too_many_continuations")),
        round: |with, round| match round {
            0 => frame(HEADERS, END_STREAM, 1, &with.get),
            _ => frame(CONTINUATION, 0, 1, &with.block),
        },
    },
    Attack {
        name: "empty DATA",
        rounds: 50_000,
        ends: Some((CALM, "too_many_data_frames")),
        round: |with, round| match round {
            0 => headers(with, 0, 0),
            _ => frame(DATA, 0, 1, []),
        },
    },
    Attack {
        name: "WINDOW_UPDATE 0",
        rounds: 20_000,
        ends: Some((PROTOCOL, "")),
        round: |with, round| [headers(with, round, 0), frame(WINDOW_UPDATE, 0, id(round), [0; 4])].concat(),
    },
    Attack {
        name: "streams beyond the limit",
        rounds: 20_000,
        ends: Some((CALM, "too_many_internal_resets")),
        round: |with, round| headers(with, round, 0),
    },
    Attack { name: "SETTINGS", rounds: 50_000, ends: None, round: |_, _| frame(SETTINGS, 0, 0, []) },
    Attack { name: "PING", rounds: 50_000, ends: None, round: |_, _| frame(PING, 0, 0, [0; 8]) },
    Attack { name: "PING answers", rounds: 50_000, ends: None, round: |_, _| frame(PING, 1, 0, [0; 8]) },
    Attack { name: "PRIORITY", rounds: 50_000, ends: None, round: |_, _| frame(PRIORITY, 0, 1, [0, 0, 0, 3, 9]) },
    Attack { name: "unknown frames", rounds: 50_000, ends: None, round: |_, _| frame(0xee, 0, 0, []) },
];

fn id(round: u32) -> u32 {
    2 * round + 1
}

fn headers(with: &Material, round: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, id(round), &with.get)
}
