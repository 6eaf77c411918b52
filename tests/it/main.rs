//! The third tier of tests: the real binary on real sockets.
//!
//! One crate, so that the binary and its tests are linked once. Each module is a topic of DESIGN; each test's name is a
//! sentence about what a user sees. Nothing here shares code with the library: servers and callers are plain threads
//! that read and write bytes (see [`support`]), and `clients` brings callers that nobody here wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking and tells why"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "scripted servers and callers are blocking threads on the real clock"
)]

mod support;

mod abuse;
mod appendix;
mod authorization_servers;
mod callers;
mod check_fetch;
mod clients;
mod configuration;
mod dpop;
mod drain;
mod exec;
mod faults;
mod floods;
mod foreign;
mod forwarding;
mod framing;
mod grants;
mod grpc;
mod http2;
mod imports;
mod inherited;
mod kills;
mod lifecycle;
mod listeners;
mod lockout;
mod logins;
mod logs;
mod main_job;
mod oidc;
mod outage;
mod rejection;
mod reload;
mod renewal;
mod replay;
mod routes;
mod secrets;
mod service_manager;
mod store;
mod streaming;
mod templates;
mod timeouts;
mod tls;
mod tls_callers;
mod tls_files;
mod tls_peers;
#[cfg(feature = "otel")]
mod traces;
#[cfg(not(feature = "otel"))]
mod traces_off;
mod upgrades;
mod vendors;
mod verbs;
mod waysout;
mod websocket_over_http2;
