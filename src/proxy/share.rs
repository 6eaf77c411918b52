//! What one worker has of its own of what all workers share: connections, counts, and copies of what every request reads.
//!
//! Two workers that count references to one value, or count requests in one place, take its memory from each other's processor with
//! every request. So each has its own, made when first needed: of ten thousand routes a worker may never see most.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use super::Gateway;
use super::intake::RequestBody;
use super::route::Route;
use crate::metrics::{Metrics, RouteCounts, Tally};
use crate::token::{AccessToken, Reader};
use crate::upstream::{Connector, Pool};

/// A route, as one worker serves it.
#[derive(Debug)]
pub(super) struct RouteShare {
    route: Arc<Route>,
    pub(super) pool: Rc<Pool<RequestBody>>,
    own: OnceCell<Box<Own>>,
    token: RefCell<Option<Arc<AccessToken>>>,
}

#[derive(Debug)]
struct Own {
    counts: Arc<RouteCounts>,
    host: HeaderValue,
}

/// The routes of a worker: those that there were `before` if they are the same, with their connections.
pub(super) fn of_worker(gateway: &Gateway, before: &[Rc<RouteShare>]) -> Vec<Rc<RouteShare>> {
    let known: HashMap<_, _> = before.iter().map(|share| (Arc::as_ptr(&share.route), share)).collect();
    let share = |(route, connector): (&Arc<Route>, &Connector)| match known.get(&Arc::as_ptr(route)) {
        Some(same) => Rc::clone(same),
        None => RouteShare::new(route, connector),
    };
    gateway.routes.iter().zip(&gateway.connectors).map(share).collect()
}

impl RouteShare {
    pub(super) fn new(route: &Arc<Route>, connector: &Connector) -> Rc<Self> {
        let pool = Pool::new(connector.clone(), route.pool_options());
        Rc::new(Self { route: Arc::clone(route), pool, own: OnceCell::new(), token: RefCell::default() })
    }

    fn own(&self) -> &Own {
        self.own
            .get_or_init(|| Box::new(Own { counts: self.route.metrics.worker(), host: copied(&self.route.host_value) }))
    }

    /// Where this worker counts the route's requests.
    pub(super) fn counts(&self) -> &RouteCounts {
        &self.own().counts
    }

    /// What `Host` says to the upstream.
    pub(super) fn host(&self) -> HeaderValue {
        self.own().host.clone()
    }

    /// The current token of `reader`, the route's own, if it has not expired.
    pub(super) fn current_token(&self, reader: &Reader) -> Option<Arc<AccessToken>> {
        reader.current_copy(&mut self.token.borrow_mut())
    }
}

impl Deref for RouteShare {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

/// The same value with bytes of its own.
pub(super) fn copied(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

/// Where one worker counts what belongs to no route.
#[derive(Debug)]
pub(super) struct WorkerCounts {
    pub(super) metrics: Arc<Metrics>,
    pub(super) in_flight: Arc<Tally>,
}

impl WorkerCounts {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Rc<Self> {
        Rc::new(Self { metrics: Arc::clone(metrics), in_flight: metrics.worker() })
    }
}
