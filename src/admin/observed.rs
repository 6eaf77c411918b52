//! What is seen over time: the traffic of the last minute, the configuration and its last reload.
//!
//! Owns a ring of readings of the counters, one each 5 s, taken on the control thread: nothing happens on the path of a request. It
//! lives as long as the process, so that a reload does not make anybody forget what was.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Moment};
use crate::metrics::{Metrics, RouteReading};
use crate::reason::Reason;
use crate::shutdown::Shutdown;

/// Between two readings.
const STEP: Duration = Duration::from_secs(5);
/// The readings of a minute, both ends included.
const READINGS: usize = 13;

/// What the status shows besides the present.
#[derive(Debug)]
pub struct Observed {
    metrics: Arc<Metrics>,
    clock: Clock,
    readings: RefCell<VecDeque<Reading>>,
    configuration: RefCell<Configuration>,
}

/// Where the configuration came from, and what became of the last attempt to read it again.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its file; `None` if flags and variables are all.
    pub file: Option<String>,
    /// When that in force was read.
    pub read_at: SystemTime,
    /// The last reload.
    pub last_reload: Option<LastReload>,
}

/// The last reload.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// When it ended.
    pub at: SystemTime,
    /// Whether the configuration was taken over.
    pub ok: bool,
    /// What has changed, or everything that is wrong, without secrets.
    pub what: String,
}

/// The counters at one moment.
#[derive(Clone, Debug)]
struct Reading {
    at: Moment,
    routes: BTreeMap<String, RouteReading>,
    refused: Vec<(Reason, u64)>,
}

/// The last minute up to now, or as much of it as there was.
#[derive(Debug)]
pub(super) struct Recent {
    now: Reading,
    past: VecDeque<Reading>,
}

impl Observed {
    /// Begins to look. `configuration` was read just now.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        let configuration = Configuration { file: None, read_at: clock.wall(), last_reload: None };
        let observed =
            Self { metrics, clock, readings: RefCell::default(), configuration: RefCell::new(configuration) };
        observed.look();
        observed
    }

    /// The file that the configuration was read from.
    pub fn read_from(&self, file: Option<String>) {
        self.configuration.borrow_mut().file = file;
    }

    /// A reload has ended; `what` has changed, or is wrong.
    pub fn reloaded(&self, ok: bool, what: String) {
        let at = self.clock.wall();
        let mut configuration = self.configuration.borrow_mut();
        if ok {
            configuration.read_at = at;
        }
        configuration.last_reload = Some(LastReload { at, ok, what });
    }

    /// Looks every few seconds, until the end.
    pub async fn follow(self: Rc<Self>, mut shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(STEP) => self.look(),
                () = shutdown.fired() => return,
            }
        }
    }

    fn look(&self) {
        let mut readings = self.readings.borrow_mut();
        readings.push_back(self.read());
        while readings.len() > READINGS {
            readings.pop_front();
        }
    }

    fn read(&self) -> Reading {
        Reading { at: self.clock.now(), routes: self.metrics.routes(), refused: self.metrics.refusals().collect() }
    }

    pub(super) fn recent(&self) -> Recent {
        Recent { now: self.read(), past: self.readings.borrow().clone() }
    }

    pub(super) fn configuration(&self) -> Configuration {
        self.configuration.borrow().clone()
    }
}

impl Recent {
    /// The time that is looked back over.
    pub(super) fn window(&self) -> Duration {
        self.past.front().map_or(Duration::ZERO, |first| self.now.at.since(first.at))
    }

    /// A route up to now, and what it counted within the window.
    pub(super) fn route(&self, name: &str) -> (RouteReading, RouteReading) {
        let now = self.now.routes.get(name).cloned().unwrap_or_default();
        let first = self.past.front().and_then(|first| first.routes.get(name));
        let since = first.map_or_else(|| now.clone(), |first| now.since(first));
        (now, since)
    }

    /// Answers each second, step by step, the oldest first.
    pub(super) fn rates(&self, name: &str) -> Vec<f64> {
        let nothing = RouteReading::default();
        let pairs = self.past.iter().zip(self.past.iter().skip(1));
        let rate = |(before, after): (&Reading, &Reading)| {
            let of = |reading: &Reading| reading.routes.get(name).cloned().unwrap_or_else(|| nothing.clone());
            per_second(of(after).since(&of(before)).answered, after.at.since(before.at))
        };
        pairs.map(rate).collect()
    }

    /// The refusals that there were: since the start, and within the window.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (Reason, u64, u64)> {
        let first = self.past.front();
        self.now.refused.iter().filter(|(_, total)| *total > 0).map(move |(reason, total)| {
            let before = first.and_then(|first| first.refused.iter().find(|(other, _)| other == reason));
            (*reason, *total, total.saturating_sub(before.map_or(0, |(_, before)| *before)))
        })
    }
}

/// A rate; 0 over no time.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::metrics::AnsweredBy;
    use crate::shutdown;

    #[tokio::test(start_paused = true)]
    async fn the_last_minute_is_what_is_looked_back_over() {
        let metrics = Arc::new(Metrics::new());
        let counts = metrics.route("api").worker();
        let observed = Rc::new(Observed::new(Arc::clone(&metrics), Clock::for_tests()));
        let (end, ended) = shutdown::channel();
        let following = Rc::clone(&observed).follow(ended);
        let local = tokio::task::LocalSet::new();
        local.spawn_local(following);
        let story = async {
            for _ in 0..30 {
                (0..50).for_each(|_| counts.answered(StatusCode::OK, AnsweredBy::Upstream));
                metrics.refuse(Reason::NoRoute);
                tokio::time::sleep(STEP).await;
            }
            let recent = observed.recent();
            let (now, since) = recent.route("api");
            assert_eq!(now.answered, 1500);
            let rate = per_second(since.answered, recent.window());
            assert!(recent.window() <= Duration::from_secs(66) && (9.0..=11.0).contains(&rate), "{rate} {recent:?}");
            assert_eq!(recent.rates("api"), vec![10.0; READINGS - 1]);
            let refusals: Vec<_> = recent.refusals().collect();
            assert!(matches!(refusals[..], [(Reason::NoRoute, 30, 12 | 13)]), "{refusals:?}");
            assert_eq!(recent.route("other"), (RouteReading::default(), RouteReading::default()));
        };
        local.run_until(story).await;
        drop(end);
    }

    #[test]
    fn a_failed_reload_leaves_the_time_of_the_configuration() {
        let observed = Observed::new(Arc::new(Metrics::new()), Clock::for_tests());
        let read_at = observed.configuration().read_at;
        observed.reloaded(false, "bearerd.toml:3: …".to_owned());
        let configuration = observed.configuration();
        assert_eq!(configuration.read_at, read_at);
        assert!(configuration.last_reload.is_some_and(|reload| !reload.ok && reload.what.contains(":3:")));
        observed.reloaded(true, "nothing has changed".to_owned());
        assert!(observed.configuration().read_at >= read_at);
    }
}
