//! `POST /reload`: asks for a reload and answers what came of it.
//!
//! Owns the way from the admin listener to whoever can reload; what a reload is, is not known here.

use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for one another.
const WAITING: usize = 8;

/// Asks for a reload. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<AskedReload>);

/// A reload that was asked for and is to be answered.
#[derive(Debug)]
pub struct AskedReload(oneshot::Sender<Reloaded>);

/// How a reload ended.
#[derive(Clone, Debug)]
pub enum Reloaded {
    /// The new configuration is in force; what it has changed, as JSON and in one line.
    Done {
        /// For programs.
        changes: serde_json::Value,
        /// For people.
        summary: String,
    },
    /// Everything is as it was; what is wrong, a line each.
    Failed(String),
}

/// The two ends of the way.
pub fn reloads() -> (Reload, mpsc::Receiver<AskedReload>) {
    let (asking, asked) = mpsc::channel(WAITING);
    (Reload(asking), asked)
}

impl Reload {
    /// Asks, and waits for the end of it; `None` if nobody can reload any more.
    pub(super) async fn ask(&self) -> Option<Reloaded> {
        let (answer, answered) = oneshot::channel();
        self.0.send(AskedReload(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl AskedReload {
    /// Tells who asked.
    pub fn answer(self, reloaded: Reloaded) {
        // Who hung up does not want to know.
        let _ = self.0.send(reloaded);
    }
}
