//! Callers that mean no harm, beside those that do: are they served, and how fast?

use std::net::SocketAddr;
use std::time::Duration;

use crate::figures::{Row, held, milliseconds, row};
use crate::support::client::{Load, LoadReport};
use crate::support::{Request, pause};

/// How many of each kind there are.
const CALLERS: usize = 4;
/// How long each rests after an answer: together they ask some 500 times a second.
const REST: Duration = Duration::from_millis(15);

/// How slow one in a hundred may be beside attackers who keep the machine itself busy.
pub(crate) const HONEST: Duration = Duration::from_millis(500);

/// Callers that keep their connection, and callers that make one for each request.
pub(crate) struct Honest {
    kept: Load,
    fresh: Load,
}

/// What they met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) kept: LoadReport,
    pub(crate) fresh: LoadReport,
}

impl Honest {
    pub(crate) fn start(address: SocketAddr) -> Self {
        Self::resting(address, REST)
    }

    /// The same twice as often: together some 1,000 times a second.
    pub(crate) fn busy(address: SocketAddr) -> Self {
        Self::resting(address, REST / 2)
    }

    fn resting(address: SocketAddr, rest: Duration) -> Self {
        let kept = Load::start(address, CALLERS, rest, Request::get("/honest"));
        let fresh = Load::start(address, CALLERS, rest, Request::get("/honest").field("Connection", "close"));
        Self { kept, fresh }
    }

    /// The first requests cost memory and time that later ones do not.
    pub(crate) fn warm(address: SocketAddr) {
        let honest = Self::start(address);
        pause(Duration::from_secs(1));
        honest.stop().hold(HONEST);
    }

    pub(crate) fn stop(self) -> Met {
        Met { kept: self.kept.stop(), fresh: self.fresh.stop() }
    }
}

impl Met {
    /// Adds what they met later.
    pub(crate) fn merge(&mut self, later: Self) {
        self.kept.merge(later.kept);
        self.fresh.merge(later.fresh);
    }

    /// Fails if one of them was not answered 200, or if 99 of 100 took longer than this.
    #[track_caller]
    pub(crate) fn hold(&self, p99: Duration) {
        for report in [&self.kept, &self.fresh] {
            report.expect_all_ok();
            assert!(report.quantile(0.99) <= p99, "p99 {:?}, {report:?}", report.quantile(0.99));
        }
    }

    /// How slow one in a hundred was, on kept connections and on connections for one request.
    pub(crate) fn p99(&self) -> [Duration; 2] {
        [&self.kept, &self.fresh].map(|report| report.quantile(0.99))
    }

    /// Their figures, with a verdict: none failed, and 99 of 100 took no longer than this on either kind of connection.
    pub(crate) fn verdicts(&self, when: &str, p99: [Duration; 2]) -> Vec<Row> {
        let verdict = |kind: &str, report: &LoadReport, most: Duration| {
            let failed = report.total() - report.statuses.get(&200).copied().unwrap_or(0);
            let [half, p99, all] = [0.5, 0.99, 1.0].map(|share| report.quantile(share));
            let figures = [half, p99, all].map(milliseconds).join(", ");
            held(
                format!("{when}: {} honest requests, {kind}: failed; p50, p99, max", report.total()),
                format!("{failed}; {figures}"),
                format!("0; p99 ≤ {}", milliseconds(most)),
                failed == 0 && report.total() > 0 && p99 <= most,
            )
        };
        vec![verdict("kept connections", &self.kept, p99[0]), verdict("a connection each", &self.fresh, p99[1])]
    }

    /// Their figures, after [`Met::hold`] with the same bound.
    pub(crate) fn rows(&self, when: &str, p99: Duration) -> Vec<Row> {
        let figures = |report: &LoadReport| {
            let [half, most, all] = [0.5, 0.99, 1.0].map(|share| milliseconds(report.quantile(share)));
            format!("{half}, {most}, {all}")
        };
        let wanted = format!("0 failed, p99 ≤ {}", milliseconds(p99));
        let told = |kind: &str, report: &LoadReport| {
            let what = format!("{when}: {} honest requests, {kind}: p50, p99, max", report.total());
            row(what, figures(report), wanted.clone())
        };
        vec![told("kept connections", &self.kept), told("a connection each", &self.fresh)]
    }
}
