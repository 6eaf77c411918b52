//! `POST /quitquitquit`: asks for the end.
//!
//! Owns the word alone; what the end is, is for whoever hears it.

use std::sync::Arc;

use tokio::sync::Notify;

/// Asks for the end, and hears that it was asked for. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Quit(Arc<Notify>);

impl Quit {
    /// Asks. A word that nobody waits for yet is kept.
    pub(super) fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody asks. Cancel-safe; each word is heard once.
    pub async fn asked(&self) {
        self.0.notified().await;
    }
}
