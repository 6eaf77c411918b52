//! The client side: connections to upstreams and token endpoints.
//!
//! Owns name resolution, connecting with a deadline, the way through HTTP proxies, client TLS, and the pool of idle upstream connections of one
//! worker. Knows nothing of routes, tokens or callers. Never follows a redirect, never retries by itself what
//! may have been applied.

pub mod answer;
pub mod connect;
pub mod http_proxy;
pub mod origin;
pub mod pool;
mod transport;
mod tunnel;
mod wire;

pub use answer::AnswerBody;
pub use connect::{ConnectError, ConnectFailure, Connector, Stream};
pub use http_proxy::HttpProxy;
pub use origin::{Origin, Scheme};
pub use pool::{Connection, Outbound, Pool, SendError, SendFailure};
pub use transport::Transport;
