//! `[admin]`.

use super::listen::{self, Listener};
use super::mistake::Place;
use super::reader::{Keys, Reader};
use super::{AdminSettings, ListenAddress};

pub(super) const KEYS: Keys = Keys {
    name: "[admin]",
    obeyed: &["listen", "probe_listen", "retry", "reload", "log_level", "quit"],
    later: &[],
    protective: &[],
};

const LISTEN: ListenAddress = ListenAddress::Localhost(9180);

/// The settings, and the listeners for the check against the others.
pub(super) fn read(reader: &Reader<'_>) -> (AdminSettings, Vec<Listener>) {
    let listen = match reader.has("listen") {
        true => one(reader, "listen"),
        false => Some((LISTEN, reader.place().clone())),
    };
    let probe_listen = one(reader, "probe_listen");
    let settings = AdminSettings {
        listen: listen.as_ref().map(|(address, _)| address.clone()),
        probe_listen: probe_listen.as_ref().map(|(address, _)| address.clone()),
        retry: reader.boolean("retry").unwrap_or(true),
        reload: reader.boolean("reload").unwrap_or(false),
        quit: reader.boolean("quit").unwrap_or(false),
        log_level: reader.boolean("log_level").unwrap_or(false),
    };
    let name = |key: &str, found: Option<(ListenAddress, Place)>| {
        found.map(|(address, place)| Listener { address, place, key: reader.dotted(key) })
    };
    let listeners = [name("listen", listen), name("probe_listen", probe_listen)];
    (settings, listeners.into_iter().flatten().collect())
}

fn one(reader: &Reader<'_>, key: &str) -> Option<(ListenAddress, Place)> {
    if reader.node(key)?.as_text() == Some("off") {
        return None;
    }
    let mut found = listen::read(reader, key).unwrap_or_default();
    if found.len() > 1 {
        reader.wrong(key, "must be one address");
    }
    found.pop().map(|listener| (listener.address, listener.place))
}
