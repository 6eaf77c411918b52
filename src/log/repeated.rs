//! Failures that repeat: each kind is told at once, then at growing intervals with a count; when they are over, one line says so.
//!
//! Owns the decision when there is a line. Refuses to know what it says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Intervals;

/// Nothing of a kind for so long, and something else instead: then it is over.
const CALM: Duration = Duration::from_secs(5);

/// The failures of one thing, told apart by their kind. May be shared by threads.
#[derive(Debug)]
pub struct Repeated<K> {
    /// Whether there is anything in `trouble`: all that is looked at while nothing is wrong.
    is_open: AtomicBool,
    trouble: Mutex<Trouble<K>>,
}

#[derive(Debug)]
struct Trouble<K> {
    began: Instant,
    last: Instant,
    /// How many there were.
    count: u64,
    kinds: Vec<Told<K>>,
}

/// What was said of one kind.
#[derive(Debug)]
struct Told<K> {
    kind: K,
    quiet_until: Instant,
    interval: Intervals,
    unsaid: u64,
}

/// Failures that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// How many there were.
    pub count: u64,
    /// From the first to the last of them.
    pub lasted: Duration,
}

impl<K: PartialEq> Repeated<K> {
    /// Nothing has failed yet.
    pub fn new() -> Self {
        let now = Instant::now();
        let trouble = Trouble { began: now, last: now, count: 0, kinds: Vec::new() };
        Self { is_open: AtomicBool::new(false), trouble: Mutex::new(trouble) }
    }

    /// It has failed in this way. Whether it is time for a line, and then how many were left out before it.
    pub fn failed(&self, kind: K) -> Option<u64> {
        let now = Instant::now();
        let mut trouble = self.trouble();
        if trouble.count == 0 {
            trouble.began = now;
            self.is_open.store(true, Ordering::Relaxed);
        }
        trouble.count += 1;
        trouble.last = now;
        let Some(told) = trouble.kinds.iter_mut().find(|told| told.kind == kind) else {
            let interval = Intervals::FIRST;
            trouble.kinds.push(Told { kind, quiet_until: now + interval.length(), interval, unsaid: 0 });
            return Some(0);
        };
        if now < told.quiet_until {
            told.unsaid += 1;
            return None;
        }
        told.interval = told.interval.grown();
        told.quiet_until = now + told.interval.length();
        Some(std::mem::take(&mut told.unsaid))
    }

    /// It has gone well. What is over by that, if anything is: a success between failures ends nothing.
    #[inline]
    pub fn succeeded(&self) -> Option<Over> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        self.end()
    }

    #[cold]
    fn end(&self) -> Option<Over> {
        let mut trouble = self.trouble();
        if trouble.count == 0 || trouble.last.elapsed() < CALM {
            return None;
        }
        self.is_open.store(false, Ordering::Relaxed);
        let over = Over { count: trouble.count, lasted: trouble.last - trouble.began };
        trouble.count = 0;
        trouble.kinds.clear();
        Some(over)
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble<K>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: PartialEq> Default for Repeated<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_an_hour_is_eleven_lines_and_one_at_its_end() {
        let repeated = Repeated::new();
        let (mut lines, mut told) = (0, 0);
        for _ in 0..3600 {
            if let Some(unsaid) = repeated.failed("refused") {
                lines += 1;
                told += 1 + unsaid;
            }
            assert_eq!(repeated.succeeded(), None, "a success beside failures ends nothing");
            tokio::time::advance(SECOND).await;
        }
        assert_eq!(lines, 11);
        assert!((2800..=3600).contains(&told), "{told}");
        tokio::time::advance(CALM).await;
        assert_eq!(repeated.succeeded(), Some(Over { count: 3600, lasted: SECOND * 3599 }));
        assert_eq!(repeated.succeeded(), None);
        assert_eq!(repeated.failed("refused"), Some(0), "the next outage is news");
    }

    #[tokio::test(start_paused = true)]
    async fn another_kind_of_failure_is_told_at_once_and_each_has_its_own_count() {
        let repeated = Repeated::new();
        let said: Vec<_> = (0..1000).filter_map(|n| repeated.failed(["refused", "timeout"][n % 2])).collect();
        assert_eq!(said, [0, 0]);
        tokio::time::advance(SECOND * 10).await;
        assert_eq!(repeated.failed("timeout"), Some(499));
        assert_eq!(repeated.failed("refused"), Some(499));
    }
}
