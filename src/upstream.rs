//! The client side: connections to upstreams and token endpoints.
//!
//! Owns name resolution, connecting with a deadline, the way through HTTP proxies, client TLS, and the pool of upstream
//! connections of one worker: idle ones of HTTP/1, shared ones of HTTP/2. Knows nothing of routes, tokens or callers. Never
//! follows a redirect, never retries by itself what
//! may have been applied.

pub mod answer;
pub mod connect;
mod connection;
mod extended_connect;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod greeting;
mod http1;
mod http2;
pub mod http_proxy;
mod incoming;
mod interim;
pub mod origin;
pub mod pool;
mod transport;
mod tunnel;
mod upload;
mod ways;

pub use answer::AnswerBody;
pub use connect::{ConnectError, ConnectFailure, Connector, Stream};
pub use connection::{Connection, Outbound, RequestHead, SendError, SendFailure, Target};
pub use http_proxy::HttpProxy;
pub use incoming::HttpError;
pub use interim::OnInterim;
pub use origin::{Origin, Scheme, is_loopback_host};
pub use pool::{Pool, Protocol};
pub use transport::Transport;
pub use ways::Ways;
