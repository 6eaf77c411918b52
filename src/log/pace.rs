//! The pace of lines about a thing that goes on happening: the first at once, then at most one in ten seconds with a count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two lines.
const QUIET: Duration = Duration::from_secs(10);

/// What was said of one thing, and what was not. May be shared by threads.
#[derive(Debug)]
pub struct Pace {
    origin: Instant,
    /// Milliseconds after `origin` until which nothing is said; 0 before the first line.
    quiet_until: AtomicU64,
    unsaid: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self::new()
    }
}

impl Pace {
    /// Nothing said yet.
    pub fn new() -> Self {
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
    async fn repeated_failures_are_one_line_in_ten_seconds_with_a_count() {
        let pace = Pace::new();
        assert_eq!(pace.turn(), Some(0));
        assert_eq!(pace.turn(), None);
        assert_eq!(pace.turn(), None);
        tokio::time::advance(QUIET).await;
        assert_eq!(pace.turn(), Some(2));
        assert_eq!(pace.turn(), None);
    }
}
