//! `[timeouts]`.

use std::time::Duration;

use super::Timeouts;
use super::reader::{Keys, Reader};

pub(super) const KEYS: Keys = Keys {
    name: "[timeouts]",
    obeyed: &[
        "connect",
        "request_head",
        "request_body_idle",
        "response_head",
        "keep_alive",
        "upstream_idle",
        "token_request",
        "drain_delay",
        "drain",
    ],
    later: &[],
    protective: &[],
};

pub(super) fn read(reader: &Reader<'_>) -> Timeouts {
    Timeouts {
        connect: always(reader, "connect", 5),
        request_head: switchable(reader, "request_head", 10),
        request_body_idle: switchable(reader, "request_body_idle", 30),
        response_head: switchable(reader, "response_head", 60),
        keep_alive: switchable(reader, "keep_alive", 60),
        upstream_idle: switchable(reader, "upstream_idle", 15),
        token_request: always(reader, "token_request", 10),
        drain_delay: delay(reader, "drain_delay"),
        drain: always(reader, "drain", 25),
    }
}

fn is_off(reader: &Reader<'_>, key: &str) -> bool {
    reader.node(key).and_then(|node| node.as_text()) == Some("off")
}

/// A timeout that cannot be switched off: without it something would hang for ever.
fn always(reader: &Reader<'_>, key: &str, default: u64) -> Duration {
    if is_off(reader, key) {
        reader.wrong(key, "cannot be switched off; write a long time instead");
    } else if let Some(duration) = reader.duration(key) {
        if duration > Duration::ZERO || key == "drain" {
            return duration;
        }
        reader.wrong(key, "must be more than zero");
    }
    Duration::from_secs(default)
}

/// A timeout that `"off"` disables.
fn switchable(reader: &Reader<'_>, key: &str, default: u64) -> Option<Duration> {
    if is_off(reader, key) {
        return None;
    }
    match reader.duration(key) {
        Some(Duration::ZERO) => {
            reader.wrong(key, "must be more than zero, or \"off\"");
            None
        }
        Some(duration) => Some(duration),
        None => Some(Duration::from_secs(default)),
    }
}

fn delay(reader: &Reader<'_>, key: &str) -> Duration {
    if is_off(reader, key) {
        return Duration::ZERO;
    }
    reader.duration(key).unwrap_or(Duration::ZERO)
}
