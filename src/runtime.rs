//! The runtime of a thread: connections, timers, and threads for what may block.
//!
//! Owns how long a thread for blocking work (files, names to be resolved, commands) is kept when it has nothing to do. Such threads take
//! what comes in turns, so that with work every second ten of them would each be busy within any ten seconds, tokio's default, and those
//! that one coincidence made would never end.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, LocalRuntime};

/// Longer than from one look at the configuration's files to the next, a second, so that one thread does them all; shorter than two,
/// so that no second one is kept by taking turns with it.
const IDLE_THREAD: Duration = Duration::from_millis(1_500);

/// Runs on the thread that made it.
///
/// # Errors
/// If the system refuses what it needs.
pub(crate) fn start() -> io::Result<LocalRuntime> {
    builder().build_local(Default::default())
}

fn builder() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().thread_keep_alive(IDLE_THREAD);
    builder
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};

    use tokio::task::{JoinSet, spawn_blocking};
    use tokio::time::{Instant, interval, timeout};

    use super::*;

    #[test]
    fn threads_that_a_coincidence_made_end_while_work_goes_on() {
        const AT_ONCE: usize = 4;
        let threads = Arc::new(AtomicUsize::new(0));
        let (started, stopped) = (Arc::clone(&threads), Arc::clone(&threads));
        let runtime = builder()
            .on_thread_start(move || {
                started.fetch_add(1, Ordering::SeqCst);
            })
            .on_thread_stop(move || {
                stopped.fetch_sub(1, Ordering::SeqCst);
            })
            .build_local(Default::default())
            .unwrap();
        runtime.block_on(async {
            let all_here = Arc::new(Barrier::new(AT_ONCE));
            let mut working = JoinSet::new();
            for _ in 0..AT_ONCE {
                let all_here = Arc::clone(&all_here);
                working.spawn_blocking(move || all_here.wait());
            }
            working.join_all().await;
            let most = threads.load(Ordering::SeqCst);
            assert!(most >= AT_ONCE, "{most}");
            // As the watch over the configuration's files does, for longer than a thread is kept.
            let mut looks = interval(Duration::from_secs(1));
            let start = Instant::now();
            let alone = async {
                while threads.load(Ordering::SeqCst) > most - AT_ONCE + 1 || start.elapsed() < IDLE_THREAD {
                    looks.tick().await;
                    spawn_blocking(|| ()).await.unwrap();
                }
            };
            timeout(Duration::from_secs(20), alone).await.expect("one that does it all");
        });
    }
}
