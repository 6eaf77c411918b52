//! The listeners: which are open, which a configuration wants, and how the ones become the others.
//!
//! Owns every socket to listen on, bound here or handed over by the service manager. A reload opens what is new before anything else
//! is changed, and leaves alone what stays: a socket that is kept keeps the connections that wait in its queue.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{Bound, StartError};
use crate::admin::Face;
use crate::config::{ListenAddress, Mistakes, Route, Settings};
use crate::server::{self, Generation, Inherited, Listener};
use crate::shutdown::{self, Shutdown, Trigger};

/// Every open listener.
#[derive(Debug, Default)]
pub(super) struct Doors {
    proxy: Vec<ProxyDoor>,
    admin: Vec<AdminDoor>,
    /// What was handed over, by name. Kept even where no configuration names it any more: the next one may.
    inherited: BTreeMap<Arc<str>, Vec<server::Socket>>,
    /// Numbers of doors that the last change has closed: their last connections may still be there.
    resting: Vec<usize>,
}

/// An address of the configuration with its listeners.
#[derive(Debug)]
struct ProxyDoor {
    group: Group,
    /// What requests that come in here carry, and the table of routes knows.
    number: usize,
    bound: Vec<server::Bound>,
    closing: Trigger,
    generation: Generation,
    /// Ends the connections of the present generation with their current request.
    draining: Trigger,
}

#[derive(Debug)]
struct AdminDoor {
    address: ListenAddress,
    face: Face,
    bound: Vec<server::Bound>,
    ending: Trigger,
}

/// An address, and whose it is: of the one route that asked for a port of its own choice of the system, or everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    address: ListenAddress,
    owner: Option<String>,
}

/// The listeners that a configuration wants, opened as far as they are new.
pub(super) struct Planned {
    proxy: Vec<(Group, Option<Vec<server::Socket>>)>,
    admin: Vec<(ListenAddress, Face, Option<Vec<server::Socket>>)>,
}

/// What has been opened and is yet to be served.
pub(super) struct Opened {
    pub(super) proxy: Vec<(Listener, Generation, Shutdown)>,
    pub(super) admin: Vec<(server::Socket, Face, Shutdown)>,
    /// What was opened, for people.
    pub(super) added: Vec<String>,
    /// What is closed once everything else has changed: those who came in there end with their current request.
    pub(super) closing: Closing,
}

/// Listeners that are no longer wanted.
pub(super) struct Closing {
    proxy: Vec<ProxyDoor>,
    admin: Vec<AdminDoor>,
}

impl Doors {
    /// Opens what is wanted and not open yet. Changes nothing that is.
    ///
    /// # Errors
    /// [`StartError::Inherited`] with everything that is wrong with what was handed over, [`StartError::Bind`].
    pub(super) fn plan(&mut self, settings: &Settings, inherited: Inherited) -> Result<Planned, StartError> {
        self.claim(settings, inherited).map_err(StartError::Inherited)?;
        let mut proxy: Vec<(Group, _)> = Vec::new();
        for group in settings.routes.iter().flat_map(|route| groups_of(route, settings)) {
            if proxy.iter().any(|(known, _)| *known == group) {
                continue;
            }
            let is_open = self.proxy.iter().any(|door| door.group == group);
            let opened = if is_open { None } else { Some(self.open(&group.address)?) };
            proxy.push((group, opened));
        }
        let mut admin = Vec::new();
        for (address, face) in [(&settings.admin.listen, Face::Admin), (&settings.admin.probe_listen, Face::Probes)] {
            let Some(address) = address else { continue };
            let is_open = self.admin.iter().any(|door| door.is(address, face));
            let opened = if is_open { None } else { Some(self.open(address)?) };
            admin.push((address.clone(), face, opened));
        }
        Ok(Planned { proxy, admin })
    }

    /// Makes the planned listeners those that are open.
    ///
    /// # Errors
    /// If the system does not say where a new socket listens; then nothing has changed.
    pub(super) fn adopt(&mut self, planned: Planned) -> io::Result<Opened> {
        let bound =
            |sockets: &[server::Socket]| sockets.iter().map(server::Socket::address).collect::<io::Result<Vec<_>>>();
        let proxy_bound = planned.proxy.iter().map(|(_, opened)| opened.as_deref().map(bound).transpose());
        let proxy_bound: Vec<_> = proxy_bound.collect::<io::Result<_>>()?;
        let admin_bound = planned.admin.iter().map(|(_, _, opened)| opened.as_deref().map(bound).transpose());
        let admin_bound: Vec<_> = admin_bound.collect::<io::Result<_>>()?;
        let mut opened = Opened {
            proxy: Vec::new(),
            admin: Vec::new(),
            added: Vec::new(),
            closing: Closing { proxy: std::mem::take(&mut self.proxy), admin: std::mem::take(&mut self.admin) },
        };
        let closing = &mut opened.closing;
        let mut taken: Vec<usize> =
            closing.proxy.iter().map(|door| door.number).chain(self.resting.drain(..)).collect();
        for ((group, sockets), bound) in planned.proxy.into_iter().zip(proxy_bound) {
            let Some((sockets, bound)) = sockets.zip(bound) else {
                let kept = closing.proxy.iter().position(|door| door.group == group);
                self.proxy.extend(kept.map(|index| closing.proxy.swap_remove(index)));
                continue;
            };
            let number = (0..).find(|number| !taken.contains(number)).unwrap_or_default();
            taken.push(number);
            let (closing, is_closing) = shutdown::channel();
            let (draining, generation) = Generation::new();
            let listener = |socket| (Listener::new(socket, number), generation.clone(), is_closing.clone());
            opened.proxy.extend(sockets.into_iter().map(listener));
            opened.added.push(group.address.to_string());
            self.proxy.push(ProxyDoor { group, number, bound, closing, generation, draining });
        }
        for ((address, face, sockets), bound) in planned.admin.into_iter().zip(admin_bound) {
            let Some((sockets, bound)) = sockets.zip(bound) else {
                let kept = closing.admin.iter().position(|door| door.is(&address, face));
                self.admin.extend(kept.map(|index| closing.admin.swap_remove(index)));
                continue;
            };
            let (ending, is_ending) = shutdown::channel();
            opened.admin.extend(sockets.into_iter().map(|socket| (socket, face, is_ending.clone())));
            opened.added.push(address.to_string());
            self.admin.push(AdminDoor { address, face, bound, ending });
        }
        self.resting.extend(closing.proxy.iter().map(|door| door.number));
        Ok(opened)
    }

    /// The numbers of a route's listeners.
    pub(super) fn numbers(&self, route: &Route, settings: &Settings) -> Vec<usize> {
        numbers(&self.proxy, route, settings)
    }

    pub(super) fn bound(&self, settings: &Settings) -> Bound {
        let addresses = |route: &Route| {
            let numbers = self.numbers(route, settings);
            let doors = self.proxy.iter().filter(|door| numbers.contains(&door.number));
            doors.flat_map(|door| door.bound.iter().cloned()).collect()
        };
        let first = |wanted: Face| {
            self.admin.iter().find(|door| door.face == wanted).and_then(|door| door.bound.first().cloned())
        };
        Bound {
            routes: settings.routes.iter().map(|route| (route.route.name.clone(), addresses(route))).collect(),
            admin: first(Face::Admin),
            probe: first(Face::Probes),
        }
    }

    /// No more connections of callers; those that are open end with their current request.
    pub(super) fn drain(&self) {
        self.proxy.iter().for_each(ProxyDoor::close);
    }

    /// Connections that are open end with their current request: what they began with is not to be relied on any more.
    pub(super) fn renew_connections(&mut self) {
        for door in &mut self.proxy {
            std::mem::replace(&mut door.draining, door.generation.next()).fire();
        }
    }

    /// Nobody needs to be told any more how we are.
    pub(super) fn end(&self) {
        self.admin.iter().for_each(|door| door.ending.fire());
    }

    fn open(&self, address: &ListenAddress) -> Result<Vec<server::Socket>, StartError> {
        let failed = |source| StartError::Bind { address: address.clone(), source };
        let wanted = match address {
            ListenAddress::Localhost(port) => server::Address::Localhost(*port),
            ListenAddress::Address(address) => server::Address::One(*address),
            ListenAddress::Unix(path) => server::Address::Unix(Arc::clone(path)),
            ListenAddress::Inherited(name) => {
                let sockets = self.inherited.get(name).into_iter().flatten();
                return sockets.map(server::Socket::try_clone).collect::<io::Result<_>>().map_err(failed);
            }
        };
        server::bind(&wanted).map_err(|error| failed(self.explained(address, error)))
    }

    /// The system does not say that it is we who listen there.
    fn explained(&self, address: &ListenAddress, error: io::Error) -> io::Error {
        let port = |address: &ListenAddress| match address {
            ListenAddress::Localhost(port) => Some(*port),
            ListenAddress::Address(address) => Some(address.port()),
            ListenAddress::Unix(_) | ListenAddress::Inherited(_) => None,
        };
        let proxy = self.proxy.iter().flat_map(|door| &door.bound);
        let mut ours = proxy.chain(self.admin.iter().flat_map(|door| &door.bound)).filter_map(server::Bound::tcp);
        if error.kind() == io::ErrorKind::AddrInUse && ours.any(|ours| Some(ours.port()) == port(address)) {
            let message = "bearerd itself listens on this port, as another address; only a restart can change that";
            return io::Error::new(io::ErrorKind::AddrInUse, message);
        }
        error
    }

    /// Takes what the configuration names of what was handed over; the rest is closed.
    ///
    /// # Errors
    /// What is missing, what cannot be listened on, and what other machines can reach although nothing says who may call.
    fn claim(&mut self, settings: &Settings, mut inherited: Inherited) -> Result<(), Mistakes> {
        let mut mistakes = Vec::new();
        for expected in &settings.inherited {
            // Routes may share it.
            if !self.inherited.contains_key(&expected.name) {
                match inherited.claim(&expected.name) {
                    Ok(sockets) => drop(self.inherited.insert(Arc::clone(&expected.name), sockets)),
                    Err(error) => {
                        mistakes.push(expected.unusable(error.to_string()));
                        continue;
                    }
                }
            }
            let sockets = self.inherited.get(&expected.name).into_iter().flatten();
            let addresses = sockets.filter_map(|socket| socket.address().ok()?.tcp());
            mistakes.extend(addresses.filter_map(|address| expected.exposed(address)));
        }
        for what in inherited.unclaimed() {
            tracing::warn!(
                "{what} was handed over, but no listen names it: closed here, and whoever connects there waits in vain"
            );
        }
        if mistakes.is_empty() { Ok(()) } else { Err(Mistakes::new(mistakes)) }
    }
}

impl ProxyDoor {
    fn close(&self) {
        self.closing.fire();
        self.draining.fire();
    }
}

impl AdminDoor {
    fn is(&self, address: &ListenAddress, face: Face) -> bool {
        self.address == *address && self.face == face
    }
}

impl Closing {
    /// Nothing.
    pub(super) fn nothing() -> Self {
        Self { proxy: Vec::new(), admin: Vec::new() }
    }

    /// The numbers of a route's listeners that are among them. `settings` are those that they were opened by.
    pub(super) fn numbers(&self, route: &Route, settings: &Settings) -> Vec<usize> {
        numbers(&self.proxy, route, settings)
    }

    /// Closes them; returns which, for people.
    pub(super) fn close(self) -> Vec<String> {
        self.proxy.iter().for_each(ProxyDoor::close);
        self.admin.iter().for_each(|door| door.ending.fire());
        let proxy = self.proxy.iter().map(|door| door.group.address.to_string());
        proxy.chain(self.admin.iter().map(|door| door.address.to_string())).collect()
    }
}

fn numbers(doors: &[ProxyDoor], route: &Route, settings: &Settings) -> Vec<usize> {
    let number = |group| doors.iter().find(|door| door.group == group).map(|door| door.number);
    groups_of(route, settings).filter_map(number).collect()
}

/// The addresses on which a route is served.
pub(super) fn listens<'a>(route: &'a Route, settings: &'a Settings) -> &'a [ListenAddress] {
    if route.listen.is_empty() { &settings.listen } else { &route.listen }
}

fn groups_of<'a>(route: &'a Route, settings: &'a Settings) -> impl Iterator<Item = Group> + use<'a> {
    let owner = (!route.listen.is_empty()).then(|| route.route.name.clone());
    let group = move |address: &ListenAddress| Group {
        address: address.clone(),
        owner: owner.clone().filter(|_| address.wants_free_port()),
    };
    listens(route, settings).iter().map(group)
}
