//! How long to wait before the next try: two curves, as pure functions of how many tries failed before.
//!
//! Owns no clock and no randomness: a caller brings its sample, so that tests know it.

use std::time::Duration;

/// `first`, twice that, four times that, and so on, at most `most`. `tries` counts the waits before this one.
pub fn doubling(first: Duration, tries: u32, most: Duration) -> Duration {
    let factor = 1_u32.checked_shl(tries).unwrap_or(u32::MAX);
    first.checked_mul(factor).unwrap_or(most).min(most)
}

/// Somewhere between zero and [`doubling`], where `sample` (0 to 1) says: callers that failed together do not come
/// back together.
pub fn full_jitter(first: Duration, tries: u32, most: Duration, sample: f64) -> Duration {
    doubling(first, tries, most).mul_f64(sample.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_until_the_most() {
        let check = |tries, wanted| {
            let wait = doubling(Duration::from_secs(10), tries, Duration::from_secs(600));
            assert_eq!(wait, Duration::from_secs(wanted), "after {tries} tries");
        };
        check(0, 10);
        check(1, 20);
        check(5, 320);
        check(6, 600);
        check(31, 600);
        check(32, 600);
        check(u32::MAX, 600);
    }

    proptest! {
        #[test]
        fn jitter_only_ever_shortens(tries in any::<u32>(), sample in 0.0..1.0f64) {
            let (first, most) = (Duration::from_secs(1), Duration::from_secs(30));
            prop_assert!(full_jitter(first, tries, most, sample) <= doubling(first, tries, most));
        }
    }
}
