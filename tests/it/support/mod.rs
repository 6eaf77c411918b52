//! What the tests stand on: the real binary, a scripted token endpoint, a scripted upstream, a client of raw bytes.
//!
//! Everything here is plain threads and blocking sockets, so that it shares no code and no runtime with what it tests.

pub(crate) mod attacks;
pub(crate) mod bearerd;
pub(crate) mod bulk;
pub(crate) mod canaries;
pub(crate) mod client;
#[cfg(feature = "otel")]
pub(crate) mod collector;
pub(crate) mod command;
pub(crate) mod connect_proxy;
pub(crate) mod fleet;
pub(crate) mod frames;
pub(crate) mod hand_over;
pub(crate) mod listener;
pub(crate) mod peers;
pub(crate) mod provider;
pub(crate) mod redis;
pub(crate) mod relay;
pub(crate) mod rotating;
pub(crate) mod setup;
pub(crate) mod steps;
pub(crate) mod swaps;
pub(crate) mod tls_front;
pub(crate) mod token_endpoint;
pub(crate) mod tokens;
pub(crate) mod upstream;
pub(crate) mod wire;

use std::time::{Duration, Instant};

pub(crate) use bearerd::Bearerd;
pub(crate) use client::Request;
pub(crate) use command::{Ended, finish};
pub(crate) use setup::{BINARY, Setup};
pub(crate) use token_endpoint::{Reply, TokenEndpoint};
pub(crate) use tokens::{Standing, Tokens};
pub(crate) use upstream::{After, Upstream};

/// The least time in seconds between two token requests as their receiver sees it: one second between the sendings,
/// less what a busy machine takes to deliver the first.
pub(crate) const FLOOR: f64 = 0.7;

/// Sets up the usual three: a token endpoint, an upstream that accepts its tokens, and the setup of a bearerd between
/// them whose tokens live `lifetime` seconds.
pub(crate) fn stage(lifetime: u64) -> (TokenEndpoint, Upstream, Setup) {
    let tokens = Tokens::new(lifetime);
    let endpoint = TokenEndpoint::start(&tokens);
    let upstream = Upstream::start(&tokens);
    let setup = Setup::between(&upstream, &endpoint);
    (endpoint, upstream, setup)
}

/// The time, for deadlines of tests alone.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets a scripted server take its time. Tests themselves wait for conditions: see [`eventually`].
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Seconds, as tests write them.
pub(crate) fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

/// Polls until `holds`, and fails with `what` at the deadline. Returns how long it took.
#[track_caller]
pub(crate) fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = now();
    loop {
        if holds() {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        pause(Duration::from_millis(10));
    }
}

/// Polls for the whole time and fails as soon as it does not hold: for what must *not* happen.
#[track_caller]
pub(crate) fn throughout(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let start = now();
    while start.elapsed() < time {
        assert!(holds(), "after {:?} no longer: {what}", start.elapsed());
        pause(Duration::from_millis(20));
    }
}
