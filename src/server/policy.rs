//! How connections are treated from now on: what a reload may change while listeners and workers stay.
//!
//! Owns the one place that acceptors and workers look at for each new connection. Connections that are open keep what they began with.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Settings;
use crate::tls;

/// The settings for new connections. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Policy(Arc<ArcSwap<Current>>);

#[derive(Debug)]
struct Current {
    settings: Settings,
    tls: Option<tls::Server>,
}

impl Policy {
    /// `tls`: what TCP listeners speak; plain ones without it.
    pub fn new(settings: Settings, tls: Option<tls::Server>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Current { settings, tls })))
    }

    /// Changes it for all connections to come.
    pub fn change(&self, settings: Settings, tls: Option<tls::Server>) {
        self.0.store(Arc::new(Current { settings, tls }));
    }

    pub(super) fn settings(&self) -> Settings {
        self.0.load().settings
    }

    pub(super) fn tls(&self) -> Option<tls::Server> {
        self.0.load().tls.clone()
    }
}
