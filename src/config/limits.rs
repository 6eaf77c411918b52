//! `[limits]`.

use super::reader::{Keys, Reader};

pub(super) const KEYS: Keys = Keys {
    name: "[limits]",
    obeyed: &["replay_memory"],
    later: &["connections", "requests_in_flight", "queue", "head"],
    protective: &[],
};

const REPLAY_MEMORY: usize = 64 << 20;

/// `replay_memory` in bytes.
pub(super) fn read(reader: &Reader<'_>) -> usize {
    reader.size("replay_memory").unwrap_or(REPLAY_MEMORY)
}
