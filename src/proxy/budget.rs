//! How much memory all kept request bodies may take together.

use std::sync::atomic::Ordering;

use prometheus::IntGauge;

use crate::sync::AtomicUsize;

/// A count of bytes with an upper bound, shared by all workers.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: usize,
    gauge: IntGauge,
}

impl Budget {
    /// A budget of `limit` bytes, shown by `gauge`.
    pub fn new(limit: usize, gauge: IntGauge) -> Self {
        Self { used: AtomicUsize::new(0), limit, gauge }
    }

    /// Takes `bytes` if they are left.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let room = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok();
        if taken {
            self.gauge.add(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        taken
    }

    /// Gives `bytes` back that were taken.
    pub(super) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            self.gauge.sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(10, IntGauge::new("g", "g").unwrap());
        assert!(budget.reserve(10));
        assert!(!budget.reserve(1));
        budget.release(4);
        assert!(budget.reserve(4));
        assert!(!budget.reserve(usize::MAX));
        assert_eq!(budget.gauge.get(), 10);
    }
}
