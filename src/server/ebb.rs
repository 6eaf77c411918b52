//! When many connections have ended, the memory that they took goes back to the system.
//!
//! mimalloc, the program's allocator, keeps what was freed until it tidies up, and a thread does that once in ten thousand allocations
//! of more than a kilobyte (its option `generic_collect`). A worker that has become quiet makes few, so that what a crowd has left
//! would stay for hours. There is no safe call for it: so the worker makes these allocations, when there is nothing better to do.

use std::hint::black_box;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;

/// So many connections are a crowd, the end of which is worth tidying up.
const CROWD: usize = 256;
/// How often it is tidied up: pages are freed first, and what has been free for a while is given back.
const ROUNDS: usize = 3;
/// How long between: longer than mimalloc waits (`purge_delay` and `arena_purge_mult`).
const REST: Duration = Duration::from_millis(300);
/// How many allocations make mimalloc tidy up.
const ALLOCATIONS: usize = 10_000;
/// How many are made without letting others have their turn: some 30 µs.
const AT_A_TIME: usize = 500;
/// How large they are: more than mimalloc takes from the front of a list, in bytes.
const SIZE: usize = 2048;

/// Whether the crowd has gone.
#[derive(Debug, Default)]
pub(super) struct Ebb {
    /// How many connections there were at most since it was last tidied up.
    most: usize,
}

impl Ebb {
    /// Whether it is time to tidy up, now that so many connections are open: once, when a crowd has become few.
    pub(super) fn has_come(&mut self, open: usize) -> bool {
        self.most = self.most.max(open);
        let has_come = self.most >= CROWD && open <= self.most / 4;
        if has_come {
            self.most = open;
        }
        has_come
    }
}

/// Has this thread's free memory go back to the system.
pub(super) async fn give_back() {
    for _ in 0..ROUNDS {
        sleep(REST).await;
        for _ in 0..ALLOCATIONS / AT_A_TIME {
            for _ in 0..AT_A_TIME {
                drop(black_box(Vec::<u8>::with_capacity(SIZE)));
            }
            yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_that_has_become_few_is_tidied_up_after_once() {
        let mut ebb = Ebb::default();
        let mut noted = |counts: &[usize]| counts.iter().filter(|open| ebb.has_come(**open)).count();
        assert_eq!(noted(&[0, 1, 255, 0]), 0, "few");
        assert_eq!(noted(&[256, 255, 65]), 0, "not gone yet");
        assert_eq!(noted(&[64, 63, 0, 10, 0]), 1);
        assert_eq!(noted(&[10_000, 2_500]), 1);
        assert_eq!(noted(&[2_499, 626]), 0, "those that are left are a crowd of their own");
        assert_eq!(noted(&[625, 0]), 2);
    }
}
