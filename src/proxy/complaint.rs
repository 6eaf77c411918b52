//! Failures of an upstream in the log: each kind at once, then at growing intervals with a count; and their end.

use super::problem::Problem;
use crate::log::Repeated;
use crate::reason::Reason;

/// What was said of one route's upstream, and what was not. Shared by all workers.
#[derive(Debug)]
pub(super) struct Complaints(Repeated<Reason>);

impl Complaints {
    /// Nothing said yet.
    pub(super) fn new() -> Self {
        Self(Repeated::new())
    }

    /// Logs a failure, unless one of its kind was logged a moment ago.
    pub(super) fn utter(&self, route: &str, problem: &Problem) {
        if let Some(unsaid) = self.0.failed(problem.reason) {
            let code = problem.reason.code();
            tracing::warn!(route, code, unsaid, "{code} {route}: {}", problem.detail);
        }
    }

    /// The upstream has answered: logs the end of its failures, if that is what it is.
    #[inline]
    pub(super) fn settle(&self, route: &str) {
        if let Some(over) = self.0.succeeded() {
            let lasted = humantime::format_duration(std::time::Duration::from_secs(over.lasted.as_secs()));
            tracing::info!(
                route,
                failures = over.count,
                "{route}: the upstream answers again, after {lasted} of failures"
            );
        }
    }
}
