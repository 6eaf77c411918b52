//! Failures of an upstream in the log: the first at once, then at most one line in ten seconds with a count.

use super::problem::Problem;
use crate::log::Pace;

/// What was said of one route's upstream, and what was not. Shared by all workers.
#[derive(Debug)]
pub(super) struct Complaints(Pace);

impl Complaints {
    /// Nothing said yet.
    pub(super) fn new() -> Self {
        Self(Pace::new())
    }

    /// Logs a failure, unless one was logged a moment ago.
    pub(super) fn utter(&self, route: &str, problem: &Problem) {
        if let Some(unsaid) = self.0.turn() {
            let code = problem.reason.code();
            tracing::warn!(route, code, unsaid, "{code} {route}: {}", problem.detail);
        }
    }
}
