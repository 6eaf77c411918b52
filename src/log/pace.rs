//! The pace of lines about a thing that goes on happening: the first at once, then fewer and fewer, each with a count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The time between the first two lines, and between all of a steady pace.
const QUIET: Duration = Duration::from_secs(10);
/// What that grows to.
const QUIETEST: Duration = Duration::from_secs(600);

/// How long nothing is said after each of several lines: 10 s, doubling to 10 min.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals(Duration);

impl Intervals {
    /// After the first line.
    pub const FIRST: Self = Self(QUIET);

    /// Its length.
    pub fn length(self) -> Duration {
        self.0
    }

    /// After the line that follows.
    #[must_use]
    pub fn grown(self) -> Self {
        Self((self.0 * 2).min(QUIETEST))
    }
}

/// What was said of one thing at a steady pace, a line in ten seconds, and what was not. May be shared by threads.
#[derive(Debug)]
pub struct Pace {
    origin: Instant,
    /// Milliseconds after `origin` until which nothing is said; 0 before the first line.
    quiet_until: AtomicU64,
    unsaid: AtomicU64,
}

impl Pace {
    /// Nothing said yet.
    pub fn steady() -> Self {
        Self { origin: Instant::now(), quiet_until: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Whether it is time for a line, and then how many were left out before it.
    pub fn turn(&self) -> Option<u64> {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        let next = now.saturating_add(u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX));
        let is_time = now >= quiet_until;
        if is_time && self.quiet_until.compare_exchange(quiet_until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_at_a_steady_pace_is_one_line_in_ten_seconds_with_a_count() {
        let pace = Pace::steady();
        assert_eq!(pace.turn(), Some(0));
        assert_eq!(pace.turn(), None);
        assert_eq!(pace.turn(), None);
        tokio::time::advance(QUIET).await;
        assert_eq!(pace.turn(), Some(2));
        assert_eq!(pace.turn(), None);
    }

    #[test]
    fn an_hour_of_failures_is_eleven_lines() {
        let (mut at, mut interval, mut lines) = (Duration::ZERO, Intervals::FIRST, 1);
        while at + interval.length() <= Duration::from_secs(3600) {
            at += interval.length();
            interval = interval.grown();
            lines += 1;
        }
        assert_eq!(lines, 11);
        assert_eq!(interval.length(), QUIETEST);
    }
}
