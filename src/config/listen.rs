//! Addresses to listen on, and the checks over all of them: overlaps, and listeners that other machines can reach.

use std::net::IpAddr;

use super::ListenAddress;
use super::context::Context;
use super::mistake::Place;
use super::reader::Reader;
use super::value;
use crate::reason::Reason;

/// An address to listen on, and who wrote it.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) address: ListenAddress,
    pub(super) place: Place,
    /// Dotted.
    pub(super) key: String,
}

/// An address or a list of them.
pub(super) fn read(reader: &Reader<'_>, key: &str) -> Option<Vec<Listener>> {
    let mut found: Vec<Listener> = Vec::new();
    let context = reader.context();
    for node in reader.items(key)? {
        let place = node.place.clone();
        let Some(text) = node.as_text() else {
            let example = match node.value {
                super::document::Value::Integer(port @ 0..=65535) => port,
                _ => 8080,
            };
            let message = format!("must be an address such as \"localhost:{example}\", not {}", node.kind());
            context.mistake(place, Reason::ConfigWrongValue, reader.dotted(key), message);
            continue;
        };
        if text.starts_with("unix:") || text.starts_with("fd:") {
            let message = "Unix sockets and inherited sockets are not supported yet; write an address with a port";
            context.mistake(place, Reason::ConfigNotYet, reader.dotted(key), message);
            continue;
        }
        match value::listen_address(text) {
            Ok(address) if found.iter().any(|other| overlap(other.address, address)) => {
                let message = format!("{address} is written twice");
                context.mistake(place, Reason::ConfigContradiction, reader.dotted(key), message);
            }
            Ok(address) => found.push(Listener { address, place, key: reader.dotted(key) }),
            Err(message) => context.mistake(place, Reason::ConfigWrongValue, reader.dotted(key), message),
        }
    }
    if reader.items(key).is_some_and(<[_]>::is_empty) {
        reader.wrong(key, "must name at least one address");
    }
    Some(found)
}

/// Whether binding one address stands in the way of binding the other. Port 0 is a free one each time.
pub(super) fn overlap(a: ListenAddress, b: ListenAddress) -> bool {
    let (a_port, a_addresses) = parts(a);
    let (b_port, b_addresses) = parts(b);
    let covers = |a: &IpAddr, b: &IpAddr| a == b || (a.is_unspecified() && (a.is_ipv6() || b.is_ipv4()));
    a_port == b_port
        && a_port != 0
        && a_addresses.iter().any(|a| b_addresses.iter().any(|b| covers(a, b) || covers(b, a)))
}

fn parts(address: ListenAddress) -> (u16, Vec<IpAddr>) {
    match address {
        ListenAddress::Localhost(port) => {
            (port, vec![std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()])
        }
        ListenAddress::Address(address) => (address.port(), vec![address.ip().to_canonical()]),
    }
}

/// Records listeners that cannot exist beside each other. Equal addresses among the routes are one shared listener.
pub(super) fn check_overlaps(context: &Context<'_>, routes: &[Listener], admin: &[Listener]) {
    let all = routes.iter().map(|listener| (listener, true)).chain(admin.iter().map(|listener| (listener, false)));
    let all: Vec<_> = all.collect();
    for (index, (listener, of_route)) in all.iter().enumerate() {
        let clash = all.iter().take(index).find(|(other, other_of_route)| {
            let is_shared = *of_route && *other_of_route && other.address == listener.address;
            overlap(other.address, listener.address) && !is_shared
        });
        let Some((other, _)) = clash else { continue };
        // The one that was written is shown, not a default.
        let (shown, against) = if is_default(listener) { (*other, *listener) } else { (*listener, *other) };
        let message = format!("{} is already taken by {} ({})", shown.address, against.key, against.address);
        context.mistake(shown.place.clone(), Reason::ConfigContradiction, shown.key.clone(), message);
    }
}

fn is_default(listener: &Listener) -> bool {
    matches!(listener.place, Place::File { line: 0, .. } | Place::CommandLine)
}

/// Records listeners that other machines can reach although nothing says who may call.
pub(super) fn check_exposure(context: &Context<'_>, listeners: &[Listener]) {
    for listener in listeners.iter().filter(|listener| !listener.address.is_loopback()) {
        let cure = match listener.place {
            Place::File { .. } => "add to [callers]: from = [\"10.0.0.0/8\"] (address ranges, or \"any\")",
            _ => "add --allow-from 10.0.0.0/8 (or BEARERD_ALLOW_FROM; address ranges, or \"any\")",
        };
        let message = format!("{} can be reached from other machines; say who may call: {cure}", listener.address);
        context.mistake(listener.place.clone(), Reason::ConfigExposed, listener.key.clone(), message);
    }
}
