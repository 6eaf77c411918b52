//! What the request path needs to know of a route: the typed, validated form of `[routes.*]`.

use http::{HeaderName, Uri};

use crate::upstream::Origin;

/// One route, its credential's rejection and injection rules merged in.
#[derive(Clone, Debug)]
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
    /// What counts as a rejection of the token, and what follows.
    pub rejection: Rejection,
    /// Where the token goes.
    pub inject: Inject,
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

/// `[*.inject]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inject {
    /// Default `authorization`.
    pub header: HeaderName,
    /// Default `Bearer`; empty for the bare token.
    pub scheme: String,
}
