//! What is heard: the least level, as configured or as somebody wants it for a while.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};

use super::{ACCESS, Settings, is_ours, verbosity};

/// Changes what is logged while the process runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Threshold(Arc<Limits>);

/// What is heard now, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The least level written.
    pub level: Level,
    /// What the configuration says.
    pub configured: Level,
    /// How much longer it is another; `None` if it is the configured one, or stays until somebody says otherwise.
    pub remaining: Option<Duration>,
}

impl Threshold {
    /// What the settings say.
    pub fn new(settings: &Settings) -> Self {
        let limits = Limits {
            level: AtomicU8::new(verbosity(settings.level)),
            access: AtomicBool::new(!settings.access.is_none()),
            wanted: Mutex::new(Wanted { configured: settings.level, lent: None, turn: 0 }),
        };
        Self(Arc::new(limits))
    }

    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.0)
    }

    /// Takes over level and access log from new settings; the format stays. A level that somebody has set by hand stays too, unless
    /// the configured one is another than before.
    pub fn change(&self, settings: &Settings) {
        let mut wanted = self.0.wanted();
        if wanted.configured != settings.level {
            wanted.turn += 1;
            wanted.lent = None;
        }
        wanted.configured = settings.level;
        self.0.access.store(!settings.access.is_none(), Ordering::Relaxed);
        self.apply(&wanted);
    }

    /// Sets the level by hand, until `time` is over, if there is one. Whoever asks wakes up then and calls [`Threshold::end`] with
    /// what this returns.
    pub fn lend(&self, level: Level, time: Option<Duration>) -> u64 {
        let mut wanted = self.0.wanted();
        wanted.turn += 1;
        wanted.lent = Some((level, time.map(|time| Instant::now() + time)));
        self.apply(&wanted);
        wanted.turn
    }

    /// Back to the configured level, if nothing was said since that `turn`. Returns whether it was so.
    pub fn end(&self, turn: u64) -> bool {
        let mut wanted = self.0.wanted();
        let is_current = wanted.turn == turn && wanted.lent.is_some();
        if is_current {
            wanted.lent = None;
            self.apply(&wanted);
        }
        is_current
    }

    /// Back to the configured level.
    pub fn restore(&self) {
        let mut wanted = self.0.wanted();
        wanted.turn += 1;
        wanted.lent = None;
        self.apply(&wanted);
    }

    /// What is heard now.
    pub fn heard(&self) -> Heard {
        let wanted = self.0.wanted();
        let until = wanted.lent.and_then(|(_, until)| until);
        let remaining = until.map(|until| until.saturating_duration_since(Instant::now()));
        Heard { level: wanted.level(), configured: wanted.configured, remaining }
    }

    fn apply(&self, wanted: &Wanted) {
        self.0.level.store(verbosity(wanted.level()), Ordering::Relaxed);
        // Each place that logs remembers whether it is heard.
        tracing::callsite::rebuild_interest_cache();
    }
}

/// What is heard.
#[derive(Debug)]
pub(super) struct Limits {
    /// [`verbosity`] of the least level.
    level: AtomicU8,
    access: AtomicBool,
    /// Where `level` comes from. Nobody who logs looks at it.
    wanted: Mutex<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    configured: Level,
    /// By hand, until when.
    lent: Option<(Level, Option<Instant>)>,
    /// Counts the changes by hand.
    turn: u64,
}

impl Wanted {
    fn level(&self) -> Level {
        self.lent.map_or(self.configured, |(level, _)| level)
    }
}

impl Limits {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hears(&self, metadata: &Metadata<'_>) -> bool {
        if !metadata.is_event() {
            return false;
        }
        if metadata.target() == ACCESS {
            return self.access.load(Ordering::Relaxed);
        }
        let level = self.level.load(Ordering::Relaxed);
        let level = if is_ours(metadata.target()) { level } else { level.min(verbosity(Level::WARN)) };
        verbosity(*metadata.level()) <= level
    }

    pub(super) fn filter(&self) -> LevelFilter {
        let level = self.level.load(Ordering::Relaxed);
        let access = if self.access.load(Ordering::Relaxed) { verbosity(Level::INFO) } else { 0 };
        match level.max(access) {
            0 | 1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Share};
    use super::*;

    fn settings(level: Level) -> Settings {
        Settings { format: Format::Auto, level, access: Share::NONE, request_id: None, project: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_by_hand_holds_for_its_time_unless_something_else_is_said() {
        let threshold = Threshold::new(&settings(Level::INFO));
        let level = || threshold.heard().level;
        let minute = Duration::from_secs(60);
        let first = threshold.lend(Level::DEBUG, Some(minute));
        tokio::time::advance(minute / 4).await;
        assert_eq!((level(), threshold.heard().remaining), (Level::DEBUG, Some(minute * 3 / 4)));
        let second = threshold.lend(Level::TRACE, None);
        assert!(!threshold.end(first), "its time is over, but it no longer counts");
        assert_eq!((level(), threshold.heard().remaining), (Level::TRACE, None));
        assert!(threshold.end(second) && !threshold.end(second));
        assert_eq!(level(), Level::INFO);
        threshold.lend(Level::ERROR, None);
        threshold.restore();
        assert_eq!(level(), Level::INFO);
    }

    #[test]
    fn a_reload_ends_a_level_by_hand_only_if_the_configured_one_is_another() {
        let threshold = Threshold::new(&settings(Level::INFO));
        let turn = threshold.lend(Level::DEBUG, None);
        threshold.change(&settings(Level::INFO));
        assert_eq!(threshold.heard().level, Level::DEBUG);
        threshold.change(&settings(Level::WARN));
        assert_eq!(threshold.heard(), Heard { level: Level::WARN, configured: Level::WARN, remaining: None });
        threshold.lend(Level::TRACE, None);
        assert!(!threshold.end(turn));
        assert_eq!(threshold.heard().level, Level::TRACE);
    }
}
