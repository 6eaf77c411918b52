//! A panic is a mistake of bearerd's: told by its place, counted, and without its words.
//!
//! Owns the panic hook of the process. What a panic says may repeat what it was about (slicing a text shows the text), and that may be a
//! secret; so it is told only where it happened. Ends nothing: the task that panicked is gone, and everything else goes on (RELIABILITY T41).

use std::io::{self, Write as _};
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Has every panic of the process told and counted from here on.
pub fn watch() {
    panic::set_hook(Box::new(|told| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        let place = told.location().map_or_else(|| "a place unknown".to_owned(), ToString::to_string);
        // Nobody to tell means that a verb runs which has no log.
        if tracing::dispatcher::has_been_set() {
            tracing::error!("panicked at {place}: a mistake of bearerd's, please report it; everything else goes on");
        } else {
            let _ = writeln!(io::stderr(), "bearerd panicked at {place}: a mistake of its own, please report it");
        }
    }));
}

/// How many there were.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_panic_is_told_by_its_place_counted_and_without_its_words() {
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.args(["--exact", "panics::tests::the_one_that_panics", "--ignored", "--nocapture"]);
        let ended = other.env("PANICS_OF_TEST", "").output().unwrap();
        let told = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        assert!(ended.status.success(), "{told}");
        assert!(told.contains("panicked at src/panics.rs:"), "{told}");
        assert!(!told.contains("CANARY"), "{told}");
    }

    #[test]
    #[ignore = "it is what the other starts"]
    fn the_one_that_panics() {
        if std::env::var_os("PANICS_OF_TEST").is_none() {
            return;
        }
        watch();
        // The words of this one are the text itself.
        let cut = |at: usize| "CANARY-é"[..at].len();
        assert!(panic::catch_unwind(|| cut("CANARY-é".len() - 1)).is_err());
        assert_eq!(count(), 1);
    }
}
