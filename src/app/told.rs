//! What the service manager hears of a running bearerd.
//!
//! Owns when it is told: ready as soon as the first token requests have been answered, either way; another line when that changes;
//! alive while the control thread and every worker get round to their tasks.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::App;
use crate::admin::Current;
use crate::notify::Notifier;
use crate::server::Pulse;
use crate::shutdown::Shutdown;

/// How often it is looked how everything stands, before and after the start has settled.
const BEFORE: Duration = Duration::from_millis(50);
const AFTER: Duration = Duration::from_secs(1);

impl App {
    /// Tells the service manager how it goes, until what is returned is dropped.
    pub(super) fn tell(&self, notifier: &Notifier) -> JoinSet<()> {
        let mut telling = JoinSet::new();
        if notifier.is_heard() {
            telling.spawn_local(tell_standing(notifier.clone(), Rc::clone(&self.admin)));
        }
        if let Some(limit) = notifier.watchdog() {
            let parts = (self.threads.pulse(), self.unready.1.clone());
            telling.spawn_local(tell_alive(notifier.clone(), limit / 2, parts.0, parts.1));
        }
        telling
    }
}

async fn tell_standing(notifier: Notifier, admin: Rc<Current>) {
    let mut told = None;
    loop {
        let standing = admin.standing();
        if standing.draining {
            // The end has words of its own.
            return;
        }
        match &told {
            None if standing.started => notifier.ready(&standing.line),
            Some(line) if *line != standing.line => notifier.status(&standing.line),
            _ => {}
        }
        if told.is_some() || standing.started {
            told = Some(standing.line);
        }
        tokio::time::sleep(if told.is_some() { AFTER } else { BEFORE }).await;
    }
}

/// A worker that hangs keeps this from going on, and so does a control thread that hangs.
async fn tell_alive(notifier: Notifier, interval: Duration, pulse: Pulse, draining: Shutdown) {
    loop {
        // Workers end by themselves when it drains.
        if pulse.felt().await.is_err() && !draining.is_fired() {
            return tracing::error!("a worker has ended: the service manager's watchdog is left to act");
        }
        notifier.alive();
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests;
