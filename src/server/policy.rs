//! How connections are treated from now on: what a reload may change while listeners and workers stay.
//!
//! Owns the one place that acceptors and workers look at for each new connection. Connections that are open keep what they began with;
//! where that must not be, [`Generation`] ends them, each with its current request.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Settings;
use crate::shutdown::{self, Shutdown, Trigger};
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

/// The connections of a listener that began under the same conditions. Clones are the same.
#[derive(Clone, Debug)]
pub struct Generation(Arc<ArcSwap<Shutdown>>);

impl Generation {
    /// The first one; what fires when its connections are to end with their current request.
    pub fn new() -> (Trigger, Self) {
        let (trigger, draining) = shutdown::channel();
        (trigger, Self(Arc::new(ArcSwap::from_pointee(draining))))
    }

    /// Connections belong to another one from here on.
    pub fn next(&self) -> Trigger {
        let (trigger, draining) = shutdown::channel();
        self.0.store(Arc::new(draining));
        trigger
    }

    pub(super) fn draining(&self) -> Shutdown {
        Shutdown::clone(&self.0.load())
    }
}
