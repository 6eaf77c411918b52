//! The word that it is time to end, told to everybody at once.
//!
//! Owns one latch: [`Shutdown`] is cloned into every task that must stop, [`Trigger`] is kept by the one
//! who decides.

use tokio::sync::watch;

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
    /// Whether the word has been said.
    pub fn is_fired(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits for the word. Cancel-safe.
    pub async fn fired(&mut self) {
        // An error means that the trigger is gone, which ends everything just as well.
        let _ = self.0.wait_for(|fired| *fired).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_word_said_before_listening_is_heard() {
        let (trigger, mut shutdown) = channel();
        trigger.fire();
        shutdown.fired().await;
        assert!(shutdown.is_fired());
    }

    #[tokio::test]
    async fn a_dropped_trigger_ends_the_wait() {
        let (trigger, mut shutdown) = channel();
        drop(trigger);
        shutdown.fired().await;
        assert!(shutdown.is_fired());
    }
}
