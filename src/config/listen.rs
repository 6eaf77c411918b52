//! Addresses to listen on, and the checks over all of them: overlaps, and listeners that other machines can reach.

use std::net::IpAddr;

use super::ListenAddress;
use super::context::Context;
use super::mistake::Place;
use super::reader::Reader;
use super::value;
use crate::reason::Reason;
use crate::server::LONGEST_PATH;

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
        if text.starts_with("fd:") {
            let message = "inherited sockets are not supported yet; write an address with a port, or unix:PATH";
            context.mistake(place, Reason::ConfigNotYet, reader.dotted(key), message);
            continue;
        }
        let parsed = match text.strip_prefix("unix:") {
            Some(path) => unix(context, path, &place),
            None => value::listen_address(text).map_err(|message| (Reason::ConfigWrongValue, message)),
        };
        match parsed {
            Ok(address) if found.iter().any(|other| overlap(&other.address, &address)) => {
                let message = format!("{address} is written twice");
                context.mistake(place, Reason::ConfigContradiction, reader.dotted(key), message);
            }
            Ok(address) => found.push(Listener { address, place, key: reader.dotted(key) }),
            Err((reason, message)) => context.mistake(place, reason, reader.dotted(key), message),
        }
    }
    if reader.items(key).is_some_and(<[_]>::is_empty) {
        reader.wrong(key, "must name at least one address");
    }
    Some(found)
}

/// The path of a Unix socket. What is there now is looked at when it is bound.
fn unix(context: &Context<'_>, path: &str, place: &Place) -> Result<ListenAddress, (Reason, String)> {
    if path.is_empty() || path.ends_with('/') {
        let message = "must name a file: \"unix:/run/bearerd/app.sock\"";
        return Err((Reason::ConfigWrongValue, message.to_owned()));
    }
    let path = context.resolve(path, place);
    if path.as_os_str().len() > LONGEST_PATH || path.as_os_str().as_encoded_bytes().contains(&0) {
        let message = format!("{} is no path of a Unix socket: at most {LONGEST_PATH} bytes", path.display());
        return Err((Reason::ConfigWrongValue, message));
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if directory.is_some_and(|directory| !directory.is_dir()) {
        let message = format!(
            "the directory of {} is not there; make it first (systemd: RuntimeDirectory=bearerd)",
            path.display()
        );
        return Err((Reason::ConfigFile, message));
    }
    Ok(ListenAddress::Unix(path.into()))
}

/// Whether binding one address stands in the way of binding the other. Port 0 is a free one each time.
pub(super) fn overlap(a: &ListenAddress, b: &ListenAddress) -> bool {
    if matches!(a, ListenAddress::Unix(_)) || matches!(b, ListenAddress::Unix(_)) {
        return a == b;
    }
    let (a_port, a_addresses) = parts(a);
    let (b_port, b_addresses) = parts(b);
    let covers = |a: &IpAddr, b: &IpAddr| a == b || (a.is_unspecified() && (a.is_ipv6() || b.is_ipv4()));
    a_port == b_port
        && a_port != 0
        && a_addresses.iter().any(|a| b_addresses.iter().any(|b| covers(a, b) || covers(b, a)))
}

fn parts(address: &ListenAddress) -> (u16, Vec<IpAddr>) {
    match address {
        ListenAddress::Localhost(port) => {
            (*port, vec![std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()])
        }
        ListenAddress::Address(address) => (address.port(), vec![address.ip().to_canonical()]),
        ListenAddress::Unix(_) => (0, Vec::new()),
    }
}

/// Records listeners that cannot exist beside each other. Equal addresses among the routes are one shared listener.
pub(super) fn check_overlaps(context: &Context<'_>, routes: &[Listener], admin: &[Listener]) {
    let all = routes.iter().map(|listener| (listener, true)).chain(admin.iter().map(|listener| (listener, false)));
    let all: Vec<_> = all.collect();
    for (index, (listener, of_route)) in all.iter().enumerate() {
        let clash = all.iter().take(index).find(|(other, other_of_route)| {
            let is_shared = *of_route && *other_of_route && other.address == listener.address;
            overlap(&other.address, &listener.address) && !is_shared
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
