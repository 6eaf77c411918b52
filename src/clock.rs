//! The clock by which tokens live: it goes on while the machine sleeps.
//!
//! Owns the only reading of `CLOCK_BOOTTIME` and the only timer on it (`timerfd`). `std::time::Instant`
//! stops during suspend on Linux, so a laptop that wakes would send a token that expired hours ago. The wall
//! clock jumps, so it decides nothing; it is here for display and for answers that speak in dates. On macOS `CLOCK_MONOTONIC` is
//! what goes on, on Windows the performance counter, and waiting means looking at it again and again.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

/// A point on the [`Clock`]: the time since an origin that only that clock knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The clock's origin, earlier than any reading.
    pub const ORIGIN: Self = Self(Duration::ZERO);

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds since the origin: a form that fits an atomic.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

/// Tells the time and waits for it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Boot,
    Test { origin: Instant, asleep: Arc<watch::Sender<Duration>> },
}

impl Clock {
    /// The machine's clock, suspend included.
    pub fn boot() -> Self {
        Self(Kind::Boot)
    }

    /// A clock that follows Tokio's, which a test may pause and advance.
    pub fn for_tests() -> Self {
        Self(Kind::Test { origin: Instant::now(), asleep: Arc::default() })
    }

    /// Now.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Kind::Boot => Moment(boot::elapsed()),
            Kind::Test { origin, asleep } => {
                // An hour before, so that subtraction has room as it has on a machine that is up.
                Moment(Duration::from_secs(3600) + origin.elapsed() + *asleep.borrow())
            }
        }
    }

    /// The wall clock, for display and for answers that carry a date. It may be wrong and may jump.
    pub fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Waits until `deadline`. A deadline that passed during suspend ends the wait at once on resume.
    pub async fn sleep_until(&self, deadline: Moment) {
        match &self.0 {
            Kind::Boot => {
                if let Err(error) = timer::sleep_until(deadline).await {
                    // Out of descriptors, most likely. A timer that stops during suspend is worse only
                    // during suspend, and every use of a token checks its expiry again.
                    tracing::debug!(%error, "timerfd is not to be had; falling back to the ordinary timer");
                    tokio::time::sleep(deadline.since(self.now())).await;
                }
            }
            Kind::Test { asleep, .. } => {
                let mut woken = asleep.subscribe();
                while self.now() < deadline {
                    // It changes as long as its sender is here, so an error cannot come.
                    let _ = tokio::time::timeout(deadline.since(self.now()), woken.changed()).await;
                }
            }
        }
    }

    /// Makes a test clock jump as if the machine had slept for `asleep`: timers did not run meanwhile.
    pub fn suspend_for(&self, asleep: Duration) {
        if let Kind::Test { asleep: total, .. } = &self.0 {
            total.send_modify(|total| *total += asleep);
        }
    }
}

#[cfg(unix)]
mod boot {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// The one that goes on during suspend.
    #[cfg(target_os = "linux")]
    const BOOT: ClockId = ClockId::Boottime;
    /// The one that goes on during suspend.
    #[cfg(not(target_os = "linux"))]
    const BOOT: ClockId = ClockId::Monotonic;

    pub(super) fn elapsed() -> Duration {
        let now = clock_gettime(BOOT);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        Duration::new(seconds, nanos)
    }
}

#[cfg(windows)]
mod boot {
    use std::sync::LazyLock;
    use std::time::Duration;

    /// What std reads is `QueryPerformanceCounter`, which counts the time that the machine sleeps, but not from a point that can
    /// be known.
    #[expect(clippy::disallowed_types, reason = "the machine's own clock is what is wanted here")]
    static FIRST: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

    /// An hour before, so that subtraction has room as it has elsewhere on a machine that is up.
    const EARLIER: Duration = Duration::from_secs(3600);

    pub(super) fn elapsed() -> Duration {
        EARLIER.saturating_add(FIRST.elapsed())
    }
}

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use super::Moment;

    pub(super) async fn sleep_until(deadline: Moment) -> io::Result<()> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        let value = Timespec {
            tv_sec: i64::try_from(deadline.0.as_secs()).unwrap_or(i64::MAX),
            // Zero in both fields would disarm the timer.
            tv_nsec: i64::from(deadline.0.subsec_nanos().max(1)),
        };
        let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: interval, it_value: value })?;
        let timer = watch(timer)?;
        timer.readable().await?.retain_ready();
        Ok(())
    }

    #[expect(
        deprecated,
        reason = "the successor is unsafe for types that may swap their descriptor; an OwnedFd keeps its own"
    )]
    fn watch(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::new(timer)
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::{Clock, Moment};

    /// How much later than meant a wait may end after a suspend.
    const LOOK: Duration = Duration::from_secs(10);

    pub(super) async fn sleep_until(deadline: Moment) -> Result<(), Infallible> {
        let clock = Clock::boot();
        while clock.now() < deadline {
            tokio::time::sleep(deadline.since(clock.now()).min(LOOK)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_boot_clock_wakes_at_its_deadline_and_not_before() {
        let clock = Clock::boot();
        let deadline = clock.now() + Duration::from_millis(20);
        clock.sleep_until(deadline).await;
        assert!(clock.now() >= deadline);
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_ends_the_wait_at_once() {
        let clock = Clock::boot();
        clock.sleep_until(Moment::ORIGIN).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspend_ends_a_wait_whose_deadline_passed_meanwhile() {
        let clock = Clock::for_tests();
        let started = Instant::now();
        clock.suspend_for(Duration::from_secs(3600));
        clock.sleep_until(clock.now() - Duration::from_secs(1)).await;
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
