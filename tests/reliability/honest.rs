//! Callers that mean no harm, beside those that do: are they served, and how fast?

use std::net::SocketAddr;
use std::time::Duration;

use crate::figures::{Row, milliseconds, row};
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
#[derive(Debug)]
pub(crate) struct Met {
    pub(crate) kept: LoadReport,
    pub(crate) fresh: LoadReport,
}

impl Honest {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let kept = Load::start(address, CALLERS, REST, Request::get("/honest"));
        let fresh = Load::start(address, CALLERS, REST, Request::get("/honest").field("Connection", "close"));
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
    /// Fails if one of them was not answered 200, or if 99 of 100 took longer than this.
    #[track_caller]
    pub(crate) fn hold(&self, p99: Duration) {
        for report in [&self.kept, &self.fresh] {
            report.expect_all_ok();
            assert!(report.quantile(0.99) <= p99, "p99 {:?}, {report:?}", report.quantile(0.99));
        }
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
