//! Models of the word: it is said while some begin to listen, and others listen again and again.

use super::*;
use crate::sync::models::{block_on, check, for_a_while, linger, thread};

fn listen(mut shutdown: Shutdown) {
    block_on(async {
        // As a connection does that something else happens on.
        let _ = for_a_while(shutdown.fired()).await;
        linger().await;
        shutdown.fired().await;
    });
    assert!(shutdown.is_fired());
}

/// What is left of the trigger stays until all have heard.
fn everybody_hears(say: fn(Trigger) -> Option<Trigger>) {
    let (trigger, shutdown) = channel();
    let listener = |_| {
        let shutdown = shutdown.clone();
        thread::spawn(move || listen(shutdown))
    };
    let listeners: Vec<_> = (0..3).map(listener).collect();
    let said = say(trigger);
    listeners.into_iter().for_each(|listener| listener.join().unwrap());
    drop(said);
}

#[test]
fn everybody_hears_the_word() {
    check(|| {
        everybody_hears(|trigger| {
            trigger.fire();
            Some(trigger)
        });
    });
}

#[test]
fn everybody_hears_that_nobody_is_left_to_say_it() {
    check(|| {
        everybody_hears(|trigger| {
            drop(trigger);
            None
        });
    });
}
