//! Traces by OpenTelemetry: one span for each request, for each sending of it to its upstream, and for each token request.
//!
//! Owns the sampling, what a span may say, the queue in front of the exporter, and OTLP over HTTP to the collector, over connections
//! of [`crate::upstream`] as everything else: the same TLS, proxies and guards. Refuses to be a reason to fail: a collector that is
//! down, slow or talks nonsense costs spans, which are counted, and nothing else. No span holds a query, a token, a secret or what a
//! caller's fields hold, its request id aside.
//!
//! All of it but the settings is behind the cargo feature `otel`. Without that, what others call here is empty and compiles to nothing.

#[cfg(feature = "otel")]
mod delivery;
#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod ids;
#[cfg(feature = "otel")]
mod message;
#[cfg(feature = "otel")]
mod on;
#[cfg(feature = "otel")]
mod queue;
#[cfg(feature = "otel")]
mod span;

#[cfg(not(feature = "otel"))]
mod off;

pub mod settings;

use std::time::{Duration, SystemTime};

use crate::reason::Reason;

#[cfg(feature = "otel")]
pub(crate) use ids::{Context, SpanId, fresh, traceparent};
#[cfg(not(feature = "otel"))]
pub use off::{Current, Planned, Recording, Traces};
#[cfg(feature = "otel")]
pub use on::{Current, Planned, Recording, Traces};
#[cfg(feature = "otel")]
pub(crate) use queue::Sink;
pub use settings::Settings;
#[cfg(feature = "otel")]
pub(crate) use span::{Kind, Span, shortened};

/// Whether this build has traces.
pub const IS_BUILT_IN: bool = cfg!(feature = "otel");

/// A token request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// The credential's name.
    pub credential: &'a str,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// `success`, or the class of the failure.
    pub outcome: &'static str,
    /// Why there is no token.
    pub failure: Option<Reason>,
    /// The status of an answer that brought none.
    pub status: Option<u16>,
}
