//! How to get to the servers that one credential asks: TLS, the proxy, the deadline; whichever server it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::connect::{BadServerName, Connector};
use super::http_proxy::HttpProxy;
use super::origin::Origin;
use crate::tls;

/// Makes connectors to several origins that are reached alike. Clones share the connectors, and so the memory of good addresses.
#[derive(Clone, Debug)]
pub struct Ways {
    tls: tls::Client,
    timeout: Duration,
    proxy: Option<HttpProxy>,
    known: Arc<Mutex<Vec<Connector>>>,
}

impl Ways {
    /// Connections by `tls` where an origin is https, through `proxy` if there is one, open within `timeout`.
    pub fn new(tls: tls::Client, timeout: Duration, proxy: Option<HttpProxy>) -> Self {
        Self { tls, timeout, proxy, known: Arc::default() }
    }

    /// The connector to an origin: the same whenever it is asked for. A proxy's login that was refused is tried at every call:
    /// whoever asks for tokens counts refusals by himself.
    ///
    /// # Errors
    /// [`BadServerName`] if the name to check is none.
    pub fn to(&self, origin: &Origin) -> Result<Connector, BadServerName> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = known.iter().find(|connector| connector.origin() == origin) {
            return Ok(connector.clone());
        }
        let connector =
            Connector::new(origin.clone(), self.tls.clone(), self.timeout)?.through(self.proxy.clone()).insisting();
        known.push(connector.clone());
        Ok(connector)
    }

    /// How it speaks TLS.
    pub fn tls(&self) -> &tls::Client {
        &self.tls
    }

    /// The proxy on the way.
    pub fn proxy(&self) -> Option<&HttpProxy> {
        self.proxy.as_ref()
    }
}
