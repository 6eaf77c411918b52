//! Every socket to listen on: bound here, or handed over by the service manager.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Bound, StartError};
use crate::admin::Face;
use crate::config::{ListenAddress, Mistakes, Route, Settings};
use crate::server::{self, Inherited, Listener};
use crate::tls;

/// Every socket, bound and not yet served.
pub(super) struct Sockets {
    pub(super) proxy: Vec<Listener>,
    pub(super) admin: Vec<(server::Socket, Face)>,
    /// The addresses of the configuration; their positions are the groups of routes.
    groups: Vec<Group>,
}

/// An address, and whose it is: of the one route that asked for a port of its own choice of the system, or everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    address: ListenAddress,
    owner: Option<String>,
}

impl Sockets {
    /// Takes what was handed over, and binds the rest.
    ///
    /// # Errors
    /// [`StartError::Inherited`] with everything that is wrong with what was handed over, [`StartError::Bind`].
    pub(super) fn bind(
        settings: &Settings,
        inherited: Inherited,
        tls: Option<&tls::Server>,
    ) -> Result<Self, StartError> {
        let mut handed = claim(settings, inherited).map_err(StartError::Inherited)?;
        let mut groups: Vec<Group> = Vec::new();
        for group in settings.routes.iter().flat_map(|route| groups_of(route, settings)) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let mut proxy = Vec::new();
        for (group, Group { address, .. }) in groups.iter().enumerate() {
            for socket in open(address, &mut handed)? {
                proxy.push(Listener::new(socket, group, tls.cloned())?);
            }
        }
        let mut admin = Vec::new();
        for (address, face) in [(&settings.admin.listen, Face::Admin), (&settings.admin.probe_listen, Face::Probes)] {
            if let Some(address) = address {
                admin.extend(open(address, &mut handed)?.into_iter().map(|socket| (socket, face)));
            }
        }
        Ok(Self { proxy, admin, groups })
    }

    /// The positions of a route's groups.
    pub(super) fn positions(&self, route: &Route, settings: &Settings) -> Vec<usize> {
        groups_of(route, settings).filter_map(|group| self.groups.iter().position(|g| *g == group)).collect()
    }

    pub(super) fn bound(&self, settings: &Settings) -> Bound {
        let addresses = |route: &Route| {
            let groups = self.positions(route, settings);
            self.proxy.iter().filter(|l| groups.contains(&l.group())).map(|l| l.address().clone()).collect()
        };
        let first = |wanted: Face| {
            self.admin.iter().find(|(_, face)| *face == wanted).and_then(|(socket, _)| socket.address().ok())
        };
        Bound {
            routes: settings.routes.iter().map(|route| (route.route.name.clone(), addresses(route))).collect(),
            admin: first(Face::Admin),
            probe: first(Face::Probes),
        }
    }
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

/// The sockets that were handed over, by name.
type Handed = BTreeMap<Arc<str>, Vec<server::Socket>>;

fn open(address: &ListenAddress, handed: &mut Handed) -> Result<Vec<server::Socket>, StartError> {
    let wanted = match address {
        ListenAddress::Localhost(port) => server::Address::Localhost(*port),
        ListenAddress::Address(address) => server::Address::One(*address),
        ListenAddress::Unix(path) => server::Address::Unix(Arc::clone(path)),
        ListenAddress::Inherited(name) => return Ok(handed.remove(name).unwrap_or_default()),
    };
    server::bind(&wanted).map_err(|source| StartError::Bind { address: address.clone(), source })
}

/// Takes what the configuration names of what was handed over; the rest is closed.
///
/// # Errors
/// What is missing, what cannot be listened on, and what other machines can reach although nothing says who may call.
fn claim(settings: &Settings, mut inherited: Inherited) -> Result<Handed, Mistakes> {
    let mut handed = Handed::new();
    let mut mistakes = Vec::new();
    for expected in &settings.inherited {
        // Routes may share it.
        if !handed.contains_key(&expected.name) {
            match inherited.claim(&expected.name) {
                Ok(sockets) => drop(handed.insert(Arc::clone(&expected.name), sockets)),
                Err(error) => {
                    mistakes.push(expected.unusable(error.to_string()));
                    continue;
                }
            }
        }
        let addresses =
            handed.get(&expected.name).into_iter().flatten().filter_map(|socket| socket.address().ok()?.tcp());
        mistakes.extend(addresses.filter_map(|address| expected.exposed(address)));
    }
    for what in inherited.unclaimed() {
        tracing::warn!(
            "{what} was handed over, but no listen names it: closed here, and whoever connects there waits in vain"
        );
    }
    if mistakes.is_empty() { Ok(handed) } else { Err(Mistakes::new(mistakes)) }
}
