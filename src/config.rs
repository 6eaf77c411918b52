//! What the operator wants: the TOML file, the flags and the environment, validated as a whole.
//!
//! Two layers: the document as written (`document`, spans kept, every mistake collected) and the settings
//! as needed, in the types of the parts that use them. Nothing outside this room sees TOML. A configuration with one mistake
//! yields no settings at all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::oauth;
use crate::proxy;
use crate::tls;
use crate::token;

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listeners of the routes that have none of their own.
    pub listen: Vec<ListenAddress>,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// What must survive a restart goes here.
    pub state_directory: Option<PathBuf>,
    /// `[admin]`.
    pub admin: AdminSettings,
    /// `[routes.*]`, at least one, in the order of the file.
    pub routes: Vec<Route>,
    /// `[credentials.*]`, in the order of the file.
    pub credentials: Vec<Credential>,
    /// `callers.hosts`, lower case, without port.
    pub hosts: Vec<String>,
    /// `callers.from`: who may call on listeners beyond loopback; `None` if not written.
    pub from: Option<Vec<ipnet::IpNet>>,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `limits.replay_memory`, bytes over all requests.
    pub replay_memory: usize,
    /// `[log]`.
    pub log: LogSettings,
    /// Things worth a warning at start: one line each, without secrets.
    pub warnings: Vec<String>,
}

/// One `[routes.*]` with the credential's and general settings already merged in.
#[derive(Clone, Debug)]
pub struct Route {
    /// A port of its own; empty: the listeners at the top.
    pub listen: Vec<ListenAddress>,
    /// What the proxy needs to know of it.
    pub route: proxy::settings::Route,
    /// TLS towards the upstream.
    pub tls: tls::ClientSettings,
}

/// One `[credentials.*]`.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its token requests.
    pub oauth: oauth::Settings,
    /// Its life.
    pub token: token::Settings,
    /// TLS towards the token endpoint.
    pub tls: tls::ClientSettings,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `localhost:PORT`: 127.0.0.1 and ::1 on the same port (::1 only where the machine has it).
    Localhost(u16),
    /// One address.
    Address(SocketAddr),
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Health, metrics, status; `None` if `"off"`.
    pub listen: Option<ListenAddress>,
    /// Probes and metrics alone, to anybody.
    pub probe_listen: Option<ListenAddress>,
    /// Whether `POST /retry/NAME` is served.
    pub retry: bool,
}

/// `[timeouts]`; `None` where `"off"`.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect to an upstream, name and TLS included. Default 5 s.
    pub connect: Duration,
    /// From the first byte of a request's head to its end. Default 10 s.
    pub request_head: Option<Duration>,
    /// Between two pieces of a request's body, before the answer's head. Default 30 s.
    pub request_body_idle: Option<Duration>,
    /// From the request being sent to the answer's head. Default 60 s.
    pub response_head: Option<Duration>,
    /// Between two requests of a caller's connection. Default 60 s.
    pub keep_alive: Option<Duration>,
    /// How long an idle upstream connection is kept. Default 15 s.
    pub upstream_idle: Option<Duration>,
    /// One token request, from connecting to the last byte. Default 10 s.
    pub token_request: Duration,
    /// How long to go on serving while readiness is already false. Default 0.
    pub drain_delay: Duration,
    /// How long requests in flight may take at shutdown. Default 25 s.
    pub drain: Duration,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `auto` is text on a terminal and JSON elsewhere.
    pub format: LogFormat,
    /// The least level written.
    pub level: tracing::Level,
    /// One line per request.
    pub access: bool,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}
