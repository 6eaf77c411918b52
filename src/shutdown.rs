//! The word that it is time to end, told to everybody at once.
//!
//! Owns one latch: [`Shutdown`] is cloned into every task that must stop, [`Trigger`] is kept by the one
//! who decides.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};

use crate::sync::watch;

/// Tells every [`Shutdown`] made with it to stop. Dropping it tells them too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Hears the word. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and its first listener.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Says it. Saying it again changes nothing.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the word has been said: one atomic load, since nobody ever marks what this receiver has as seen.
    pub fn is_fired(&self) -> bool {
        // An error means that the trigger is gone, which ends everything just as well.
        self.0.has_changed().unwrap_or(true)
    }

    /// Waits for the word. Cancel-safe. Asked again by the same task while nothing was said, it costs one atomic load:
    /// every connection asks whenever anything happens on it.
    pub async fn fired(&mut self) {
        let mut receiver = self.0.clone();
        // An error means that the trigger is gone, which ends everything just as well.
        let mut said = pin!(async move { drop(receiver.wait_for(|fired| *fired).await.map(|_| ())) });
        let mut listening: Option<Waker> = None;
        poll_fn(|cx| {
            let is_listening = listening.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if is_listening && matches!(self.0.has_changed(), Ok(false)) {
                return Poll::Pending;
            }
            listening = Some(cx.waker().clone());
            said.as_mut().poll(cx)
        })
        .await;
    }
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_word_said_before_listening_is_heard() {
        let (trigger, mut shutdown) = channel();
        assert!(!shutdown.is_fired());
        trigger.fire();
        assert!(shutdown.is_fired());
        shutdown.fired().await;
        assert!(shutdown.is_fired() && shutdown.clone().is_fired());
    }

    #[tokio::test]
    async fn a_dropped_trigger_ends_the_wait() {
        let (trigger, mut shutdown) = channel();
        drop(trigger);
        shutdown.fired().await;
        assert!(shutdown.is_fired());
    }
}
