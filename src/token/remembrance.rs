//! What a credential was refused with: told from what it has now, and remembered over a restart.
//!
//! Owns the comparison of fingerprints, and of what is written besides, which ends a latch, and the traffic with the file of `latch`.
//! Decides nothing: that is `schedule`.

use super::Source;
use super::latch::{Digest, Latch, Record};
use super::refresher::Refresher;
use super::schedule::{FLOOR, History, Next, SECRET_SETTLES};
use super::supervision::caught;
use crate::reason::Reason;
use crate::sync::spawn_blocking;

impl<S: Source> Refresher<S> {
    pub(super) fn start_over(&mut self) {
        let credential = &self.shared.settings.name;
        tracing::info!(credential, "the configuration or a secret has changed; asking for a token again");
        self.history = History::default();
    }

    pub(super) async fn secret_has_changed(&self) -> bool {
        let Some(digest) = self.glance().await.filter(|digest| Some(*digest) != self.refused) else { return false };
        self.shared.clock.sleep_until(self.shared.clock.now() + SECRET_SETTLES).await;
        self.glance().await == Some(digest)
    }

    async fn glance(&self) -> Option<Digest> {
        let fingerprint = caught(self.source.glance()).await.flatten()?;
        Some(self.latch.digest(&fingerprint))
    }

    pub(super) async fn digest(&self) -> Option<Digest> {
        let fingerprint = caught(self.source.fingerprint()).await.flatten()?;
        Some(self.latch.digest(&fingerprint))
    }

    /// Takes up what an earlier run left. Anything but the same refused secrets means a fresh start.
    pub(super) async fn remember(&mut self) -> Next {
        let now = self.shared.clock.now();
        let (directory, name) = (self.state_directory.clone(), self.shared.settings.name.clone());
        let opened = spawn_blocking(move || {
            let latch = Latch::open(directory.as_deref(), &name);
            let record = latch.load();
            (latch, record)
        });
        let Ok((latch, record)) = opened.await else { return Next::Renew(now) };
        self.latch = latch;
        let Some(record) = record else { return Next::Renew(now) };
        self.recorded = true;
        // A secret that cannot be read just now is no reason to believe that it has changed, nor is a record that does not say how it was written.
        let is_other = self.digest().await.is_some_and(|digest| digest != record.digest);
        let is_rewritten = record.written.is_some_and(|written| written != self.latch.digest(self.written.print()));
        if is_other || is_rewritten {
            return Next::Renew(now);
        }
        let wall = self.shared.clock.wall();
        // The wall clock may have been wrong: no wait is longer than the longest that is ever decided.
        let left = |until: std::time::SystemTime| until.duration_since(wall).unwrap_or_default().min(FLOOR * 3600);
        let due = record.until.map(|until| now + left(until));
        let next = match due {
            None => Next::Latched,
            Some(due) if record.permanent => Next::Confirm(due),
            Some(due) => Next::Held(due),
        };
        self.history = History::restored(record.refusals, record.server_errors, record.permanent, due.unwrap_or(now));
        self.refused = Some(record.digest);
        self.publisher.restored(record.reason, next);
        next
    }

    /// Only what protects an account, or says that asking is useless, must outlive the process.
    pub(super) async fn record(&mut self, reason: Reason, next: Next) {
        let protects = self.shared.figures().lockout || !matches!(next, Next::Held(_));
        let Some(digest) = self.refused.filter(|_| protects && self.latch.is_kept()) else { return };
        let now = self.shared.clock.now();
        let record = Record {
            digest,
            written: Some(self.latch.digest(self.written.print())),
            until: next.due().map(|due| self.shared.clock.wall() + due.since(now)),
            permanent: self.history.permanent_since.is_some(),
            refusals: self.history.refusals,
            server_errors: self.history.server_errors,
            reason,
        };
        let latch = self.latch.clone();
        self.recorded = true;
        if let Ok(Err(error)) = spawn_blocking(move || latch.store(&record)).await {
            let credential = &self.shared.settings.name;
            tracing::warn!(credential, %error, "latch cannot be written; a restart would try again");
        }
    }

    pub(super) async fn forget(&mut self) {
        self.refused = None;
        if std::mem::take(&mut self.recorded) {
            let latch = self.latch.clone();
            // An error here means that the runtime is ending.
            let _ = spawn_blocking(move || latch.clear()).await;
        }
    }
}
