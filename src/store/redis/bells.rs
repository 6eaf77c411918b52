//! Who wants to hear of which entry.
//!
//! Owns one watch a name, for as long as somebody listens. Rung by the task that reads the connection, which the library wants to be able to
//! move between threads: hence the lock, which nobody else ever waits for.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::watch;

use super::scripts;
use crate::store::backend::Name;

/// The listeners of every name.
#[derive(Debug, Default)]
pub(super) struct Bells(Mutex<HashMap<Name, watch::Sender<()>>>);

impl Bells {
    /// Hears of this name from now on.
    pub(super) fn listen(&self, name: &Name) -> watch::Receiver<()> {
        self.lock().entry(*name).or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    /// The names that somebody listens to.
    pub(super) fn names(&self) -> BTreeSet<Name> {
        let mut bells = self.lock();
        bells.retain(|_, bell| !bell.is_closed());
        bells.keys().copied().collect()
    }

    /// Tells those who listen to this name.
    pub(super) fn ring(&self, name: &Name) {
        if let Some(bell) = self.lock().get(name) {
            bell.send_replace(());
        }
    }

    /// Tells those for whom a message of the server is.
    pub(super) fn hear(&self, message: &PushInfo) {
        if message.kind != PushKind::Message {
            return;
        }
        let channel = match message.data.first() {
            Some(Value::BulkString(channel)) => std::str::from_utf8(channel).ok(),
            Some(Value::SimpleString(channel)) => Some(channel.as_str()),
            _ => None,
        };
        if let Some(name) = channel.and_then(scripts::name_of_channel) {
            self.ring(&name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: &[u8]) -> PushInfo {
        PushInfo { kind: PushKind::Message, data: vec![Value::BulkString(channel.to_vec()), Value::Nil] }
    }

    #[test]
    fn a_message_rings_for_its_name_alone_and_names_end_with_their_listeners() {
        let bells = Bells::default();
        let (one, other) = (Name([1; 32]), Name([2; 32]));
        let (mut first, mut second) = (bells.listen(&one), bells.listen(&other));
        bells.hear(&message(scripts::channel(&one).as_bytes()));
        assert!(first.has_changed().unwrap() && !second.has_changed().unwrap());
        first.mark_unchanged();
        for strange in [&b"bearerd:{}"[..], b"bearerd:{00}", b"\xff", b"", &[b'x'; 100]] {
            bells.hear(&message(strange));
        }
        assert!(!first.has_changed().unwrap());
        second.mark_unchanged();
        drop(first);
        assert_eq!(bells.names(), BTreeSet::from([other]));
    }
}
