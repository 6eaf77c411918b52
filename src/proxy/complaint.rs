//! Failures of an upstream in the log, and callers that are refused: each kind at once, then at growing intervals with a count; and the
//! end of the failures.

use super::problem::Problem;
use crate::log::Repeated;
use crate::reason::Reason;

/// What was said of one route's upstream, and what was not. Shared by all workers.
#[derive(Debug)]
pub(super) struct Complaints(Repeated<Reason>);

/// What most likely helps, in a line of the log; the page of the code has the rest.
fn cure(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::UpstreamConnect => {
            "check host and port of upstream, and that this machine may reach it: curl -v the same address from here"
        }
        Reason::UpstreamName => "check the name in upstream, and this machine's DNS",
        Reason::UpstreamTls => "check ca and server_name in [routes.NAME.tls]",
        Reason::UpstreamConnectTime => "check firewall and proxy on the way, or raise timeouts.connect",
        Reason::UpstreamSilent => "see why the API is slow, or raise timeouts.response_head",
        Reason::UpstreamClosed => {
            "look into the API's own log; it may close idle connections sooner than timeouts.upstream_idle"
        }
        Reason::UpstreamMalformed => "check scheme and port of upstream: what answers does not speak HTTP as it should",
        Reason::UpstreamProxy | Reason::UpstreamProxyRefused => "check address and login of the proxy on the way",
        _ => return None,
    })
}

impl Complaints {
    /// Nothing said yet.
    pub(super) fn new() -> Self {
        Self(Repeated::new())
    }

    /// Logs a failure, unless one of its kind was logged a moment ago.
    pub(super) fn utter(&self, route: &str, problem: &Problem) {
        if let Some(unsaid) = self.0.failed(problem.reason) {
            let code = problem.reason.code();
            // Left out where there is nothing to count.
            let unsaid = (unsaid > 0).then_some(unsaid);
            let cure = cure(problem.reason).map(|cure| format!("; {cure}")).unwrap_or_default();
            tracing::warn!(route, code, unsaid, "{code} {route}: {}{cure}", problem.detail);
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

/// What was said of callers that were refused for what they are or ask for, and what was not. Shared by all workers.
#[derive(Debug, Default)]
pub struct Refusals(Repeated<Reason>);

impl Refusals {
    /// Logs a refusal that the configuration decided on, or that it could prevent, unless one of its kind was logged a moment ago. What
    /// is wrong with a request alone is for its caller to know.
    pub(super) fn utter(&self, problem: &Problem) {
        if !is_for_the_operator(problem.reason) {
            return;
        }
        if let Some(unsaid) = self.0.failed(problem.reason) {
            let code = problem.reason.code();
            let unsaid = (unsaid > 0).then_some(unsaid);
            let why = match problem.reason {
                // Their detail shows what the caller has sent, which is for itself to read.
                Reason::CrossSite | Reason::HostNotAllowed | Reason::ProtocolNotAllowed => problem.reason.title(),
                _ => &problem.detail,
            };
            tracing::warn!(code, unsaid, "{code} a caller is refused: {why}; its answer says more");
        }
    }
}

fn is_for_the_operator(reason: Reason) -> bool {
    use Reason::{
        CallerKey, CallerNotAllowed, CrossSite, HostNotAllowed, NoRoute, ProtocolNotAllowed, TooManyRequests,
        UpstreamLoop,
    };
    matches!(
        reason,
        NoRoute
            | CrossSite
            | HostNotAllowed
            | CallerNotAllowed
            | CallerKey
            | TooManyRequests
            | ProtocolNotAllowed
            | UpstreamLoop
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_on_the_way_has_a_cure() {
        let of_upstreams = Reason::ALL.iter().filter(|reason| reason.code().starts_with('U'));
        // A loop and a refused upgrade say what to change by themselves.
        let without: Vec<_> =
            of_upstreams.filter(|reason| cure(**reason).is_none()).map(|reason| reason.code()).collect();
        assert_eq!(without, ["U008", "U011"]);
    }
}
