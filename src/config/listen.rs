//! Addresses to listen on, and the checks over all of them: overlaps, and listeners that other machines can reach.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::ListenAddress;
use super::context::Context;
use super::mistake::{Mistake, Place};
use super::reader::Reader;
use super::value;
use crate::platform;
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

/// A socket that the service manager is to hand over at start, and who wrote so. What it is shows only then.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What stands behind `fd:`.
    pub name: Arc<str>,
    listener: Listener,
    /// Nothing says who may call, so that it must be within this machine.
    is_open: bool,
}

impl Expected {
    /// The mistake if the socket is not there, or not one that can be listened on.
    pub fn unusable(&self, message: String) -> Mistake {
        let Listener { place, key, .. } = self.listener.clone();
        Mistake { place, reason: Reason::ListenInherited, key, message }
    }

    /// The mistake if it listens on an address that other machines can reach.
    pub fn exposed(&self, address: SocketAddr) -> Option<Mistake> {
        let is_exposed = self.is_open && !ListenAddress::Address(address).is_loopback();
        is_exposed.then(|| exposed(&self.listener, format!("{address}, handed over as {},", self.listener.address)))
    }
}

/// The sockets that are to be handed over, of all listeners; `open` are those without a rule who may call.
pub(super) fn expected(listeners: &[Listener], open: &[Listener]) -> Vec<Expected> {
    let find = |listener: &Listener| {
        let ListenAddress::Inherited(name) = &listener.address else { return None };
        let is_open = open.iter().any(|other| (&other.address, &other.key) == (&listener.address, &listener.key));
        Some(Expected { name: Arc::clone(name), listener: listener.clone(), is_open })
    };
    listeners.iter().filter_map(find).collect()
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
        let wrong = |message| (Reason::ConfigWrongValue, message);
        let parsed = match text.split_once(':') {
            Some(("unix", path)) => {
                has(platform::UNIX_SOCKETS).map_err(wrong).and_then(|()| unix(context, path, &place))
            }
            Some(("fd", name)) => {
                has(platform::HANDED_OVER_SOCKETS).and_then(|()| value::descriptor_name(name)).map_err(wrong)
            }
            _ => value::listen_address(text).map_err(wrong),
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

/// A mistake where this system has no such address.
fn has(available: platform::Available) -> Result<(), String> {
    available.map_err(str::to_owned)
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
    // Which address an inherited socket has shows at start; binding the same one then fails.
    let is_named = |address: &ListenAddress| matches!(address, ListenAddress::Unix(_) | ListenAddress::Inherited(_));
    if is_named(a) || is_named(b) {
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
        ListenAddress::Unix(_) | ListenAddress::Inherited(_) => (0, Vec::new()),
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
pub(super) fn check_exposure(context: &Context<'_>, open: &[Listener]) {
    for listener in open.iter().filter(|listener| !listener.address.is_loopback()) {
        let Mistake { place, reason, key, message } = exposed(listener, listener.address.to_string());
        context.mistake(place, reason, key, message);
    }
}

fn exposed(listener: &Listener, what: String) -> Mistake {
    let cure = match listener.place {
        Place::File { .. } => "add to [callers]: from = [\"10.0.0.0/8\"] (address ranges, or \"any\")",
        _ => "add --allow-from 10.0.0.0/8 (or BEARERD_ALLOW_FROM; address ranges, or \"any\")",
    };
    let message = format!("{what} can be reached from other machines; say who may call: {cure}");
    Mistake { place: listener.place.clone(), reason: Reason::ConfigExposed, key: listener.key.clone(), message }
}
