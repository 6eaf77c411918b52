//! How everything stands in one line: for the service manager's status and for whoever waits.

use super::health::{Ready, Started};
use super::{Admin, Current, Face};
use crate::token::Status;

/// How everything stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It listens, and the first token requests have been answered.
    pub started: bool,
    /// Every required credential has a usable token, and nothing drains.
    pub ready: bool,
    /// It is ending.
    pub draining: bool,
    /// The same in one line, with what is wrong; nothing secret.
    pub line: String,
}

impl Current {
    /// How everything stands now.
    pub fn standing(&self) -> Standing {
        let admin = self.get();
        let draining = admin.draining.is_fired();
        let ready = Ready::of(&admin, Face::Admin).ready;
        Standing { started: Started::of(&admin).started, ready, draining, line: line(&admin, ready, draining) }
    }

    /// Where each credential stands now.
    pub fn statuses(&self) -> Vec<Status> {
        self.get().credentials.iter().map(|credential| credential.status()).collect()
    }
}

fn line(admin: &Admin, ready: bool, draining: bool) -> String {
    if draining {
        return "shutting down: finishing what is in flight".to_owned();
    }
    let without = admin.credentials.iter().map(|credential| credential.status()).filter(|status| !status.usable);
    let said = without.map(|status| match &status.last_error {
        Some(error) => format!("{} {}: {}", error.reason.code(), status.name, error.reason.title()),
        None => format!("{} has no token yet", status.name),
    });
    let word = if ready { "ready" } else { "not ready" };
    std::iter::once(word.to_owned()).chain(said).collect::<Vec<_>>().join("; ")
}
