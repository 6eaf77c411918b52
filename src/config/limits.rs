//! `[limits]`.

use std::time::Duration;

use super::Limits;
use super::reader::{Keys, Reader};

pub(super) const KEYS: Keys = Keys {
    name: "[limits]",
    obeyed: &["connections", "requests_in_flight", "queue", "head", "replay_memory"],
    later: &[],
    protective: &[],
};

const REPLAY_MEMORY: usize = 64 << 20;
const CONNECTIONS: usize = 16_384;
const REQUESTS_IN_FLIGHT: usize = 8_192;
const QUEUE: Duration = Duration::from_secs(1);
const HEAD: usize = 32 << 10;
/// No client can do without these.
const SMALLEST_HEAD: usize = 1 << 10;
/// A head is held in memory as a whole.
const LARGEST_HEAD: usize = 256 << 10;
pub(super) const MOST: i128 = 1_000_000;

pub(super) fn read(reader: &Reader<'_>) -> Limits {
    Limits {
        connections: count(reader, "connections", CONNECTIONS),
        requests_in_flight: count(reader, "requests_in_flight", REQUESTS_IN_FLIGHT),
        queue: reader.duration("queue").unwrap_or(QUEUE),
        head: head(reader),
        replay_memory: reader.size("replay_memory").unwrap_or(REPLAY_MEMORY),
    }
}

fn count(reader: &Reader<'_>, key: &str, default: usize) -> usize {
    reader.integer(key, 1..=MOST).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
}

fn head(reader: &Reader<'_>) -> usize {
    match reader.size("head") {
        Some(size) if (SMALLEST_HEAD..=LARGEST_HEAD).contains(&size) => size,
        Some(_) => {
            reader.wrong("head", "must be from 1KiB to 256KiB");
            HEAD
        }
        None => HEAD,
    }
}
