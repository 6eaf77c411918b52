//! Timers for deadlines that are nearly always met: set once and moved on, not set and taken back for each.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// A timer for deadlines that mostly move on. It is set anew only where it would ring too late: it may ring early.
#[derive(Debug, Default)]
pub struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
}

/// Alarms of one thread, each used for one thing after the other.
#[derive(Debug, Default)]
pub struct Alarms(RefCell<Vec<Alarm>>);

/// An alarm that goes back when it is dropped.
#[derive(Debug)]
pub struct Lent<'a> {
    alarm: Alarm,
    owner: &'a Alarms,
}

impl Alarm {
    /// Ready at the deadline.
    pub fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Waits for the deadline.
    pub async fn until(&mut self, deadline: Instant) {
        std::future::poll_fn(|cx| self.poll_until(deadline, cx)).await;
    }
}

impl Alarms {
    /// One that nobody uses.
    pub fn lend(&self) -> Lent<'_> {
        Lent { alarm: self.0.borrow_mut().pop().unwrap_or_default(), owner: self }
    }
}

impl std::ops::Deref for Lent<'_> {
    type Target = Alarm;

    fn deref(&self) -> &Alarm {
        &self.alarm
    }
}

impl std::ops::DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Alarm {
        &mut self.alarm
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.owner.0.borrow_mut().push(std::mem::take(&mut self.alarm));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_was_used_before_rings_at_the_new_deadline() {
        let alarms = Alarms::default();
        let began = Instant::now();
        let seconds = Duration::from_secs;
        for (deadline, is_met) in [(10, true), (20, false), (35, true), (30, false), (31, false)] {
            let met = tokio::time::sleep(seconds(if is_met { 1 } else { 1000 }));
            let mut alarm = alarms.lend();
            let until = began + seconds(deadline);
            tokio::select! {
                () = met => assert!(is_met && Instant::now() < until),
                () = alarm.until(until) => assert!(!is_met && Instant::now() == until),
            }
        }
        assert_eq!(alarms.0.borrow().len(), 1);
    }
}
