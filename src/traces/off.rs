//! What stands for traces in a build without them: nothing, in the same words.

use tokio::task::JoinSet;

use super::{Settings, TokenRequest};
use crate::metrics::Metrics;
use crate::tls;

/// Nothing is recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recording;

/// Nothing is recorded.
#[derive(Clone, Debug, Default)]
pub struct Current(());

/// Nothing is sent.
#[derive(Debug)]
pub struct Traces;

/// Nothing is to be done.
#[derive(Debug)]
pub struct Planned;

impl Current {
    /// Records nothing.
    #[inline]
    pub fn token_request(&self, _: &TokenRequest<'_>) {}
}

#[allow(clippy::unused_self, reason = "the words of the other build")]
impl Traces {
    /// Nothing.
    pub fn new(_: &Metrics) -> Self {
        Self
    }

    /// Nothing can fail.
    ///
    /// # Errors
    /// None.
    pub fn plan<C, E>(&self, _: Option<&Settings>, _: impl FnOnce(&Settings) -> Result<C, E>) -> Result<Planned, E> {
        Ok(Planned)
    }

    /// Changes nothing.
    pub fn adopt(&mut self, _: Planned, _: &mut JoinSet<()>) {}

    /// Nothing.
    pub fn recording(&self) -> Recording {
        Recording
    }

    /// Nothing.
    pub fn current(&self) -> Current {
        Current(())
    }

    /// Nothing.
    pub fn tls(&self) -> impl Iterator<Item = (String, &tls::Client)> {
        std::iter::empty()
    }

    /// Nothing is left to be sent.
    pub fn end(&self) {}
}
