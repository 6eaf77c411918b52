//! What the operator wants: the TOML file, the flags and the environment, validated as a whole.
//!
//! Two layers: the document as written (`document`, spans kept, every mistake collected) and the settings
//! as needed, in the types of the parts that use them. Nothing outside this room sees TOML. A configuration with one mistake
//! yields no settings at all.

mod accounts;
mod admin;
mod assertion;
mod budget;
mod callers;
mod client;
mod context;
mod credential;
mod document;
mod doors;
mod dpop;
mod environment;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod grant;
mod include;
mod inject;
mod limits;
mod listen;
mod log;
mod manual;
mod mistake;
pub mod overlay;
mod permanent;
mod placeholders;
mod reader;
mod redis;
mod refresh;
mod rejection;
mod response;
mod revocation;
mod root;
mod route;
mod schedule;
mod secret;
mod shape;
mod steps;
mod store;
mod tables;
mod timeouts;
mod tls;
mod traces;
mod value;
mod ways;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::oauth;
use crate::proxy;
use crate::reason::Reason;
use crate::tls::{ClientSettings, ServerSettings};
use crate::token;
use crate::upstream::HttpProxy;

pub use doors::admin_listeners;
pub use environment::Environment;
pub use include::print;
pub use listen::Expected;
pub use mistake::{Mistake, Mistakes, Place};
pub use overlay::Given;
pub use value::{name as check_name, url as check_url};

use context::Context;
use document::Table;

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listeners of the routes that have none of their own.
    pub listen: Vec<ListenAddress>,
    /// What must be handed over at start: every `fd:` of the listeners, those of `[admin]` too.
    pub inherited: Vec<Expected>,
    /// Whether a change of the configuration's files is taken over by itself.
    pub watch: bool,
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
    /// `[callers]`.
    pub callers: proxy::settings::Callers,
    /// `[tls]`: what callers are shown; `None` for plain listeners.
    pub tls: Option<ServerSettings>,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `[limits]`.
    pub limits: Limits,
    /// `[log]`.
    pub log: crate::log::Settings,
    /// `[store]`; `None` for memory alone.
    pub store: Option<crate::store::Settings>,
    /// `[traces]`; `None` if nothing is recorded.
    pub traces: Option<crate::traces::Settings>,
    /// Variables of the environment that secrets are read from.
    pub secret_variables: BTreeSet<String>,
    /// Things worth a warning at start: one line each, without secrets.
    pub warnings: Vec<String>,
}

impl Settings {
    /// All rules who may call: for all routes, and for single ones.
    pub fn caller_rules(&self) -> impl Iterator<Item = &proxy::settings::Callers> {
        let of_routes = self.routes.iter().filter_map(|route| route.route.callers.as_ref());
        std::iter::once(&self.callers).chain(of_routes)
    }
}

/// One `[routes.*]` with the credential's and general settings already merged in.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// A port of its own; empty: the listeners at the top.
    pub listen: Vec<ListenAddress>,
    /// What the proxy needs to know of it.
    pub route: proxy::settings::Route,
    /// TLS towards the upstream.
    pub tls: ClientSettings,
    /// The proxy on the way to the upstream.
    pub proxy: Option<HttpProxy>,
}

impl Route {
    /// What goes where, in one line: `localhost:8080/items → https://api.example.com/v2 with "api" via proxy proxy:3128`.
    /// `listen` are the addresses that it is served on, `secure` whether by TLS.
    pub fn summary(&self, listen: &[ListenAddress], secure: bool) -> String {
        let route = &self.route;
        let scheme = if secure { "https://" } else { "" };
        let from = listen.iter().map(|address| match address {
            ListenAddress::Unix(_) | ListenAddress::Inherited(_) => format!("{address}{}", route.path),
            _ => format!("{scheme}{address}{}", route.path),
        });
        let from: Vec<_> = from.collect();
        let host = route.host.as_ref().map(|host| format!(" for host {host}")).unwrap_or_default();
        let with = route.credential.as_ref().map_or("without a token".to_owned(), |name| format!("with {name:?}"));
        format!("{}{host} → {} {with}{}", from.join(", "), route.upstream, via(self.proxy.as_ref()))
    }
}

/// ` via proxy HOST:PORT`, or nothing for the direct way.
fn via(proxy: Option<&HttpProxy>) -> String {
    proxy.map(|proxy| format!(" via proxy {}", proxy.origin().authority())).unwrap_or_default()
}

/// One `[credentials.*]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    /// Its token requests.
    pub oauth: oauth::Settings,
    /// Its life.
    pub token: token::Settings,
    /// TLS towards the token endpoint.
    pub tls: ClientSettings,
    /// The proxy on the way to the token endpoint.
    pub proxy: Option<HttpProxy>,
}

impl Credential {
    /// Where its tokens come from if that is not the direct way, in one line without secrets.
    pub fn detour(&self) -> Option<String> {
        let proxy = self.proxy.as_ref()?;
        let endpoint = self.oauth.endpoint.written();
        let host = endpoint.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        // Without its query, which may hold a key.
        Some(format!("{:?} asks {host}{}{}", self.token.name, endpoint.path(), via(Some(proxy))))
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `localhost:PORT`: 127.0.0.1 and ::1 on the same port (::1 only where the machine has it).
    Localhost(u16),
    /// One address.
    Address(SocketAddr),
    /// `unix:PATH`: a Unix socket.
    Unix(Arc<Path>),
    /// `fd:NAME`: the sockets that the service manager hands over with this name.
    Inherited(Arc<str>),
}

impl ListenAddress {
    /// Whether only this machine can reach it, as far as the configuration tells: of an inherited socket it tells nothing
    /// ([`Expected`]).
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Localhost(_) | Self::Unix(_) | Self::Inherited(_) => true,
            Self::Address(address) => address.ip().to_canonical().is_loopback(),
        }
    }

    /// Whether the system is to choose a free port.
    pub fn wants_free_port(&self) -> bool {
        match self {
            Self::Localhost(port) => *port == 0,
            Self::Address(address) => address.port() == 0,
            Self::Unix(_) | Self::Inherited(_) => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminSettings {
    /// Health, metrics, status; `None` if `"off"`.
    pub listen: Option<ListenAddress>,
    /// Probes and metrics alone, to anybody.
    pub probe_listen: Option<ListenAddress>,
    /// Whether `POST /retry/NAME` is served.
    pub retry: bool,
    /// Whether `POST /reload` is served.
    pub reload: bool,
    /// Whether `POST /quitquitquit` is served.
    pub quit: bool,
    /// Whether `POST /log-level` is served.
    pub log_level: bool,
}

/// `[timeouts]`; `None` where `"off"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// To connect to an upstream, name and TLS included. Default 5 s.
    pub connect: Duration,
    /// From the first byte of a request's head to its end. Default 10 s.
    pub request_head: Option<Duration>,
    /// Between two pieces of a request's body, before the answer's head. Default 30 s.
    pub request_body_idle: Option<Duration>,
    /// From the request being sent to the answer's head. Default 60 s.
    pub response_head: Option<Duration>,
    /// How long a caller may take nothing of its answer. Default 60 s.
    pub response_unread: Option<Duration>,
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

/// `[limits]`, each for the whole process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Connections of callers. Default 16,384.
    pub connections: usize,
    /// Requests from their head to the end of their answer. Default 8,192.
    pub requests_in_flight: usize,
    /// How long a request may wait to be among them. Default 1 s.
    pub queue: Duration,
    /// The head of a request, in bytes. Default 32 KiB.
    pub head: usize,
    /// Bytes of request bodies kept for a replay. Default 64 MiB.
    pub replay_memory: usize,
}

/// Where a configuration comes from. Flags win over the environment, the environment over the file.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file. Without one, flags and variables describe the route and the credential `default`.
    pub file: Option<PathBuf>,
    /// Flags, in the order given.
    pub flags: Vec<Given>,
    /// Variables: `BEARERD_…`, those that secrets refer to, and systemd's.
    pub environment: Environment,
    /// Whether a key that is not known becomes a warning.
    pub ignore_unknown_keys: bool,
    /// Whether it is only looked at: what the start makes first may be missing.
    pub before_start: bool,
    /// Whether bearerd is being started with it: a command that brings no secret of a credential yet does not prevent that.
    pub starts: bool,
}

/// More is no configuration but a wrong file name.
const LARGEST_FILE: u64 = 4 << 20;

/// Reads, checks and completes a configuration; reads every secret and TLS file once.
///
/// # Errors
/// Every mistake there is.
pub fn load(sources: &Sources) -> Result<Settings, Mistakes> {
    let Some(path) = &sources.file else {
        return build(Table::default(), Path::new(""), sources);
    };
    let text = read_file(path).map_err(|mistake| Mistakes::new(vec![mistake]))?;
    load_text(&text, path, sources)
}

/// Checks a configuration given as text, as if it stood in the file `path`: relative paths are relative to its directory.
/// The environment is empty.
///
/// # Errors
/// Every mistake there is.
pub fn load_str(text: &str, path: &Path) -> Result<Settings, Mistakes> {
    load_text(text, path, &Sources { file: Some(path.to_owned()), ..Sources::default() })
}

/// The JSON Schema of the file (draft 2020-12).
pub fn schema() -> serde_json::Value {
    manual::schema()
}

/// The reference of all keys, as `docs/configuration.md` holds it.
pub fn reference() -> String {
    manual::markdown()
}

fn load_text(text: &str, path: &Path, sources: &Sources) -> Result<Settings, Mistakes> {
    let table = document::parse(text, &path.to_string_lossy()).map_err(Mistakes::new)?;
    build(table, path, sources)
}

fn build(mut table: Table, path: &Path, sources: &Sources) -> Result<Settings, Mistakes> {
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let whole = if sources.file.is_some() { document::whole(path) } else { Place::CommandLine };
    let mut context = Context::new(&sources.environment, base, whole.clone(), sources.ignore_unknown_keys);
    context.before_start = sources.before_start;
    context.starts = sources.starts;
    include::merge(&context, &mut table, path);
    overlay::apply(&context, &mut table, &sources.flags, sources.file.is_some());
    context.secret_variables.replace(secret::variables(&table));
    let settings = root::read(&context, &table, &whole);
    let secret_variables = context.secret_variables.borrow().clone();
    placeholders::warn(&context, &table);
    let (mistakes, mut warnings) = context.finish();
    let mistakes = mistake::without_echoes(mistakes);
    match settings {
        Some(settings) if mistakes.is_empty() => {
            warnings.sort_by(|a, b| a.place.cmp(&b.place));
            let warnings = warnings.iter().map(ToString::to_string).collect();
            Ok(Settings { warnings, secret_variables, ..settings })
        }
        // A part that is missing has recorded why; should one have forgotten, better no proxy than half of one.
        _ if mistakes.is_empty() => {
            let message = "a part of the configuration could not be read".to_owned();
            Err(Mistakes::new(vec![Mistake {
                place: whole,
                reason: Reason::ConfigUnreadable,
                key: String::new(),
                message,
            }]))
        }
        _ => Err(Mistakes::new(mistakes)),
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<String>, Mistake> {
    let mistake =
        |reason, message: String| Mistake { place: document::whole(path), reason, key: String::new(), message };
    let unreadable = |error: std::io::Error| mistake(Reason::ConfigUnreadable, format!("cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_or(0, |found| found.len()).min(LARGEST_FILE);
    // In one piece, since a buffer that grows leaves copies behind, and some people write secrets here.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 64));
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(mistake(Reason::ConfigUnreadable, "is larger than 4 MiB, which no configuration is".to_owned()));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => Err(mistake(Reason::ConfigSyntax, not_utf8(&bytes, error.valid_up_to()))),
    }
}

/// Where it stops to be UTF-8, as people count.
fn not_utf8(bytes: &[u8], valid: usize) -> String {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "is UTF-16, as PowerShell's > writes it: save it as UTF-8".to_owned();
    }
    let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
    let (line, start) = (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |at| at + 1));
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    format!("is not UTF-8 text (line {line}, column {column}): save it as UTF-8")
}

#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod habit_tests;
#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod tests;
