//! What the request path needs to know of a route: the typed, validated form of `[routes.*]`.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;

use crate::secret::SecretSource;
use crate::tls::CallerName;
use crate::upstream::{Origin, Protocol};

/// One route, its credential's rejection and injection rules merged in.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The name in the configuration: metric label.
    pub name: String,
    /// Matched against the caller's host, lower case, without port; `None` matches every host.
    pub host: Option<String>,
    /// Prefix matched at a segment boundary; begins with `/`.
    pub path: String,
    /// The configured URL: origin and base path.
    pub upstream: Uri,
    /// The origin of `upstream`.
    pub origin: Origin,
    /// The name of its credential; `None` forwards without a token.
    pub credential: Option<String>,
    /// Whether the matched prefix is left out of the upstream's path.
    pub strip_path: bool,
    /// Whether the caller's `Host` is forwarded.
    pub keep_host: bool,
    /// Which HTTP the upstream is spoken to in.
    pub protocol: Protocol,
    /// The protocols that a connection may be changed to: names, or names with a version.
    pub upgrades: Vec<String>,
    /// What counts as a rejection of the token, and what follows.
    pub rejection: Rejection,
    /// Where the token goes.
    pub inject: Inject,
    /// Fields that are set or removed.
    pub fields: FieldRules,
    /// How names of fields are spelled towards an HTTP/1 upstream.
    pub header_case: HeaderCase,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Who may use it; `None` if the rules for all are its own.
    pub callers: Option<Callers>,
}

/// `[routes.*.timeouts]` over `[timeouts]`: the deadlines of the request path; `None` where off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to the upstream, name, proxy and TLS included.
    pub connect: Duration,
    /// Between two pieces of a request's body.
    pub request_body_idle: Option<Duration>,
    /// From the request being sent to the answer's head.
    pub response_head: Option<Duration>,
    /// How long an idle upstream connection is kept.
    pub upstream_idle: Option<Duration>,
}

/// `routes.*.headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldRules {
    /// In the order written; no name twice, none that is also removed.
    pub set: Vec<SetField>,
    /// Names that never reach the upstream.
    pub remove: Vec<HeaderName>,
}

/// One entry of `headers.set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetField {
    /// The field.
    pub name: HeaderName,
    /// Where its value is kept.
    pub source: SecretSource,
    /// The value as it was when the configuration was read; marked as sensitive.
    pub value: HeaderValue,
}

/// `routes.*.header_case`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderCase {
    /// Lower case, as HTTP/2 has it.
    Lower,
    /// As the caller spelled them; our own in Title-Case.
    Preserve,
}

/// `[callers]` or `[routes.*.callers]`, the latter with the former merged in. Messages name the table where a rule was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Callers {
    /// Values of `Host`, lower case, without port.
    pub hosts: Vec<String>,
    /// The table of `hosts`.
    pub hosts_in: String,
    /// Address ranges; `None` if not written: loopback alone.
    pub from: Option<Vec<IpNet>>,
    /// The table of `from`.
    pub from_in: String,
    /// Whose certificates are let in; `None` if not written: every valid one.
    pub client_names: Option<Vec<CallerName>>,
    /// Whose processes are let in; `None` if not written: everybody's.
    pub accounts: Option<Accounts>,
    /// What callers must show; `None` if nothing.
    pub key: Option<CallerKey>,
}

/// `callers.uids` and `callers.gids`: one of them is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Users.
    pub uids: Vec<u32>,
    /// Groups.
    pub gids: Vec<u32>,
    /// The users of these groups: of a TCP connection the system tells the user alone.
    pub members: Vec<u32>,
    /// The table.
    pub written_in: String,
}

/// `callers.key` and `callers.key_header`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallerKey {
    /// The key.
    pub source: SecretSource,
    /// The header that carries it.
    pub header: HeaderName,
}

/// `[*.rejection]`: an answer rejects the token if any of these holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Statuses that reject. Default 401.
    pub status: Vec<u16>,
    /// Error codes of a Bearer challenge (RFC 6750 §3.1) in any 4xx. Default `invalid_token`.
    pub www_authenticate_error: Vec<String>,
    /// A status together with a text in the body.
    pub body: Vec<BodyRule>,
    /// `grpc-status` values in a trailers-only answer.
    pub grpc_status: Vec<u16>,
    /// Which methods may be sent again.
    pub replay: Replay,
    /// The longest request body that is kept for a replay, in bytes.
    pub replay_body_limit: usize,
}

/// One entry of `rejection.body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRule {
    /// The answer's status.
    pub status: u16,
    /// A text in its body.
    pub contains: String,
}

/// `rejection.replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Every method (a 401 means: not applied).
    All,
    /// Never POST or PATCH.
    Idempotent,
}

/// `[*.inject]`: where the token goes. Whatever the caller sends there is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inject {
    /// A header field, by default `authorization`.
    Header {
        /// Its name.
        name: HeaderName,
        /// Stands before the token: default `Bearer`; empty for the bare token.
        scheme: String,
    },
    /// A cookie of this name, beside the caller's others.
    Cookie(String),
    /// A parameter of this name at the end of the query.
    Query(String),
}

impl Inject {
    /// The header field that carries the token and nothing else.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Cookie(_) | Self::Query(_) => None,
        }
    }

    /// What stands before the token in its header field; `None` where there is no such field.
    pub fn scheme(&self) -> Option<&str> {
        match self {
            Self::Header { scheme, .. } => Some(scheme),
            Self::Cookie(_) | Self::Query(_) => None,
        }
    }
}
