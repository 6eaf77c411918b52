//! `[timeouts]`.

use std::time::Duration;

use super::Timeouts;
use super::reader::{Keys, Reader};
use crate::proxy::settings;

pub(super) const KEYS: Keys = Keys {
    name: "[timeouts]",
    obeyed: &[
        "connect",
        "request_head",
        "request_body_idle",
        "response_head",
        "response_unread",
        "keep_alive",
        "upstream_idle",
        "token_request",
        "drain_delay",
        "drain",
    ],
    later: &[],
    protective: &[],
};

/// `[routes.NAME.timeouts]`: what of it one route may have for itself.
pub(super) const ROUTE_KEYS: Keys = Keys {
    name: "[routes.NAME.timeouts]",
    obeyed: &["connect", "request_body_idle", "response_head", "upstream_idle"],
    later: &[],
    protective: &[],
};

/// What a route's table says, the rest from `base`.
pub(super) fn of_route(reader: &Reader<'_>, base: &Timeouts) -> settings::Timeouts {
    settings::Timeouts {
        connect: always(reader, "connect", base.connect),
        request_body_idle: switchable(reader, "request_body_idle", base.request_body_idle),
        response_head: switchable(reader, "response_head", base.response_head),
        upstream_idle: switchable(reader, "upstream_idle", base.upstream_idle),
    }
}

pub(super) fn read(reader: &Reader<'_>) -> Timeouts {
    let seconds = Duration::from_secs;
    Timeouts {
        connect: always(reader, "connect", seconds(5)),
        request_head: switchable(reader, "request_head", Some(seconds(10))),
        request_body_idle: switchable(reader, "request_body_idle", Some(seconds(30))),
        response_head: switchable(reader, "response_head", Some(seconds(60))),
        response_unread: switchable(reader, "response_unread", Some(seconds(60))),
        keep_alive: switchable(reader, "keep_alive", Some(seconds(60))),
        upstream_idle: switchable(reader, "upstream_idle", Some(seconds(15))),
        token_request: always(reader, "token_request", seconds(10)),
        drain_delay: delay(reader, "drain_delay"),
        drain: always(reader, "drain", seconds(25)),
    }
}

fn is_off(reader: &Reader<'_>, key: &str) -> bool {
    reader.node(key).and_then(|node| node.as_text()) == Some("off")
}

/// A timeout that cannot be switched off: without it something would hang for ever.
fn always(reader: &Reader<'_>, key: &str, default: Duration) -> Duration {
    if is_off(reader, key) {
        reader.wrong(key, "cannot be switched off; write a long time instead");
    } else if let Some(duration) = reader.duration(key) {
        if duration > Duration::ZERO || key == "drain" {
            return duration;
        }
        reader.wrong(key, "must be more than zero");
    }
    default
}

/// A timeout that `"off"` disables.
fn switchable(reader: &Reader<'_>, key: &str, default: Option<Duration>) -> Option<Duration> {
    if is_off(reader, key) {
        return None;
    }
    match reader.duration(key) {
        Some(Duration::ZERO) => {
            reader.wrong(key, "must be more than zero, or \"off\"");
            None
        }
        Some(duration) => Some(duration),
        None => default,
    }
}

fn delay(reader: &Reader<'_>, key: &str) -> Duration {
    if is_off(reader, key) {
        return Duration::ZERO;
    }
    reader.duration(key).unwrap_or(Duration::ZERO)
}
