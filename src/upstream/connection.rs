//! A connection to an upstream, whichever HTTP it speaks, as far as one request is concerned.

use bytes::Bytes;
use http::Request;
use http_body::Body;

use super::http1::Alone;
use super::http2::Lease;
use super::incoming::{HttpError, Incoming};
use super::origin::Origin;
use crate::tunnel::Duplex;

/// The body of a request that goes upstream.
pub trait Outbound:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static
{
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + 'static> Outbound for B {}

/// Ready for one request.
#[derive(Debug)]
pub struct Connection<B: Outbound> {
    pub(super) kind: Kind<B>,
    pub(super) reused: bool,
}

#[derive(Debug)]
pub(super) enum Kind<B: Outbound> {
    /// HTTP/1, for this request alone.
    Alone(Alone<B>),
    /// One stream of HTTP/2.
    Shared(Lease),
}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendError {
    /// Whether any byte of it may have reached the upstream, which may then have acted on it.
    pub sent: bool,
    /// Whether the upstream said that it would not look at the request (HTTP/2), so that it may go elsewhere.
    pub refused: bool,
    /// What happened.
    pub failure: SendFailure,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendFailure {
    /// The connection ended first.
    #[error("{0}")]
    Closed(HttpError),
    /// What came is not HTTP, or too much of it.
    #[error("{}", crate::log::chain(.0))]
    Malformed(HttpError),
    /// Interim answers came, more than anybody means.
    #[error("interim answers without end")]
    Flooded,
    /// The upstream turned to another protocol (RFC 9110 §15.2.2), which this request did not ask for.
    #[error("101 Switching Protocols without being asked")]
    Switched,
}

impl<B: Outbound> Connection<B> {
    /// Whether it served a request before: then the upstream may be about to close it.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether it is one stream of HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.kind, Kind::Shared(_))
    }

    /// Whether it has ended while it was kept.
    pub(super) fn is_spent(&mut self) -> bool {
        match &mut self.kind {
            Kind::Alone(alone) => alone.is_spent(),
            // Kept by others.
            Kind::Shared(_) => false,
        }
    }

    /// Whether it can be changed to another protocol.
    pub(super) async fn can_switch(&self) -> bool {
        match &self.kind {
            Kind::Alone(_) => true,
            Kind::Shared(lease) => lease.can_switch().await,
        }
    }

    /// The stream itself, after an answer of 101; `None` if it broke.
    pub async fn into_stream(self) -> Option<Box<dyn Duplex>> {
        match self.kind {
            Kind::Alone(alone) => Some(Box::new(alone.into_stream())),
            Kind::Shared(lease) => Some(Box::new(lease.into_stream()?)),
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<B>,
        origin: &Origin,
    ) -> Result<http::Response<Incoming>, SendError> {
        match &mut self.kind {
            Kind::Alone(alone) => Ok(alone.send(request).await?.map(|()| Incoming::Http1)),
            Kind::Shared(lease) => lease.send(request, origin).await,
        }
    }
}
