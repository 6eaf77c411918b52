//! What the kernel says of a process: memory and processor time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{Bearerd, pause};

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(10);
/// What `/proc` counts processor time in: USER_HZ, which is 100 on every Linux that we run on.
const TICK: f64 = 0.01;

/// Resident memory now, in KiB.
pub(crate) fn resident(bearerd: &Bearerd) -> u64 {
    kib(bearerd.pid(), "VmRSS:")
}

/// The most resident memory there ever was, in KiB.
pub(crate) fn peak(bearerd: &Bearerd) -> u64 {
    kib(bearerd.pid(), "VmHWM:")
}

/// Processor time spent so far, in seconds, ours and the kernel's for us.
pub(crate) fn cpu(bearerd: &Bearerd) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", bearerd.pid())).unwrap();
    // Behind the name, which may hold anything; utime and stime are the 14th and 15th field of all (proc(5)).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() * TICK
}

/// Resident memory (in KiB), descriptors and threads of a process.
pub(crate) fn holdings(pid: u32) -> [u64; 3] {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    [kib(pid, "VmRSS:"), descriptors, kib(pid, "Threads:")]
}

fn kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Follows the resident memory of a process. The kernel's own peak is of the whole life; this one is of a while.
pub(crate) struct Memory {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    before: u64,
}

impl Memory {
    pub(crate) fn watch(bearerd: &Bearerd) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (pid, stopped, seen) = (bearerd.pid(), Arc::clone(&stop), Arc::clone(&most));
        let before = kib(pid, "VmRSS:");
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(kib(pid, "VmRSS:"), Ordering::Relaxed);
                pause(INTERVAL);
            }
        });
        Self { stop, most, thread: Some(thread), before }
    }

    /// The most that was seen, in KiB.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed).max(self.before)
    }

    /// How much more it was at most than at the start, in KiB.
    pub(crate) fn grown(&self) -> u64 {
        self.most.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
