//! Other figures for a credential that goes on: when to renew, how long to wait, over which way to ask, where to remember.
//!
//! Owns the exchange. Who is asked for what stays the same, so the token is as good as before, and with it what renews it; everybody who
//! holds the credential goes on with it, and nothing is asked for because of the exchange. Readers obey the new figures at once, the refresher
//! as soon as no token request is under way.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Source;
use super::latch::Latch;
use super::refresher::Refresher;
use super::schedule::{Next, renew_after};
use super::settings::{Early, Settings};
use super::shared::Shared;
use super::written::Written;
use crate::sync::spawn_blocking;

/// Changes the figures of one credential.
#[derive(Debug)]
pub struct Figures<S> {
    shared: Arc<Shared>,
    changes: mpsc::UnboundedSender<Change<S>>,
}

/// What the refresher exchanges.
#[derive(Debug)]
pub(super) struct Change<S> {
    source: S,
    state_directory: Option<PathBuf>,
    /// When to renew until now.
    early: Early,
}

impl<S> Figures<S> {
    /// From now on as these settings say, which have the name, the grant and the binding of those before. `source` asks the same server for the same.
    pub fn change(&self, settings: Settings, source: S, state_directory: Option<PathBuf>) {
        let before = self.shared.change(settings);
        // An error means that the refresher has ended, and with it the process.
        let _ = self.changes.send(Change { source, state_directory, early: before.early });
        self.shared.wake.notify_one();
    }
}

impl<S: Source> Refresher<S> {
    /// The same, and what changes its figures.
    pub fn changeable(mut self) -> (Self, Figures<S>) {
        let (changes, heard) = mpsc::unbounded_channel();
        self.changes = Some(heard);
        let figures = Figures { shared: Arc::clone(&self.shared), changes };
        (self, figures)
    }

    /// Figures that are to be obeyed from now on.
    pub(super) fn change(&mut self) -> Option<Change<S>> {
        self.changes.as_mut()?.try_recv().ok()
    }

    /// Takes them up; returns what follows instead of what was to follow.
    pub(super) async fn take_up(&mut self, change: Change<S>, next: Next) -> Next {
        let Change { source, state_directory, early } = change;
        let before = std::mem::replace(&mut self.source, source);
        self.source.go_on_from(before);
        let figures = Arc::clone(&self.shared.figures());
        self.ledger.change(figures.budget, &self.shared.metrics.budget);
        if !figures.use_refresh_token {
            self.refresh_token = None;
        }
        let written = Written::new(&self.source.written(), figures.lockout);
        let is_rewritten = std::mem::replace(&mut self.written, written) != written;
        if self.state_directory != state_directory {
            self.move_to(state_directory, next).await;
        }
        match next {
            Next::Renew(_) if early != figures.early => self.renewal(figures.early).unwrap_or(next),
            Next::Held(_) | Next::Confirm(_) | Next::Latched if is_rewritten => {
                self.start_over();
                Next::Renew(self.shared.clock.now())
            }
            other => other,
        }
    }

    /// When the token that there is will be renewed.
    fn renewal(&self, early: Early) -> Option<Next> {
        let snapshot = self.shared.snapshot();
        let token = snapshot.fresh_token(self.shared.clock.now())?;
        let after = renew_after(token.lifetime(), early, self.fleet.sample(token.lifetime()));
        let renew_at = token.sent_at() + after.max(self.floor);
        self.publisher.rests(renew_at).then_some(Next::Renew(renew_at))
    }

    /// What has to outlive the process is kept elsewhere from now on.
    async fn move_to(&mut self, directory: Option<PathBuf>, next: Next) {
        let name = self.shared.settings.name.clone();
        if let Err(error) = self.rotation.move_to(directory.as_deref(), &name).await {
            tracing::warn!(credential = name, %error, "the refresh token in use is not found where it was kept until now");
        }
        self.state_directory = directory.clone();
        let opened = spawn_blocking(move || Latch::open(directory.as_deref(), &name)).await;
        // An error means that the runtime is ending.
        let Ok(latch) = opened else { return };
        self.latch = latch;
        // What another time may have left there ends with the next token.
        self.recorded = true;
        let reason = self.shared.snapshot().failure.as_ref().map(|failure| failure.reason);
        if let Some(reason) = reason.filter(|_| next.watches_secrets()) {
            self.refused = self.digest().await;
            self.record(reason, next).await;
        }
    }
}
