//! A model of the gate: its key is turned while somebody comes to it.

use std::future::poll_fn;

use super::*;
use crate::sync::models::{block_on, check, thread};

#[test]
fn whoever_comes_to_the_gate_while_it_is_opened_passes() {
    check(|| {
        let gate = Gate::new();
        let key = gate.key();
        let opens = thread::spawn(move || key.turn());
        // Its patience has no end: time stands still.
        block_on(poll_fn(|context| gate.poll_open(context)));
        assert!(gate.is_open());
        opens.join().unwrap();
    });
}
