//! The token store: which is in use, and how another takes its place.
//!
//! Owns its life. A store that is written as before, with the same keys, stays; another one is handed to the credentials, which keep
//! their tokens and tell it what they know. It ends after the credentials do.

use std::rc::Rc;

use ring::digest;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::StartError;
use crate::clock::Clock;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::store::settings::Place;
use crate::store::{self, Backend, SealKeys, Store};
use crate::token::Stores;

/// The store of the process.
#[derive(Debug)]
pub(super) struct Common {
    stores: watch::Sender<Option<Rc<Store>>>,
    made_of: Option<MadeOf>,
    running: Option<AbortHandle>,
}

/// All that a store is made of.
#[derive(Debug, PartialEq)]
pub(super) struct MadeOf {
    settings: store::Settings,
    keys: [u8; 32],
}

/// The store that a configuration wants.
pub(super) enum Planned {
    Same,
    None,
    Other(Box<(MadeOf, Box<dyn Backend>, SealKeys)>),
}

impl Common {
    pub(super) fn new() -> Self {
        Self { stores: watch::Sender::new(None), made_of: None, running: None }
    }

    /// Makes the store that is wanted, if there is another one now. Nothing is asked yet.
    ///
    /// # Errors
    /// [`StartError`] if a key cannot be read or the place cannot be used.
    pub(super) fn plan(&self, settings: &Settings, clock: &Clock) -> Result<Planned, StartError> {
        let Some(settings) = &settings.store else {
            return Ok(if self.made_of.is_none() { Planned::Same } else { Planned::None });
        };
        let seal_key = settings.seal_key.read_now()?;
        let old_seal_key = settings.old_seal_key.as_ref().map(|key| key.read_now()).transpose()?;
        let made_of = MadeOf { settings: settings.clone(), keys: digest_of(&seal_key, old_seal_key.as_ref()) };
        if self.made_of.as_ref() == Some(&made_of) {
            return Ok(Planned::Same);
        }
        let keys = SealKeys::new(&seal_key, old_seal_key.as_ref()).map_err(std::io::Error::other)?;
        let backend = backend(settings, clock).map_err(std::io::Error::other)?;
        Ok(Planned::Other(Box::new((made_of, backend, keys))))
    }

    /// Puts what is planned in use.
    pub(super) fn adopt(&mut self, planned: Planned, metrics: &Metrics) {
        let store = match planned {
            Planned::Same => return,
            Planned::None => {
                self.made_of = None;
                None
            }
            Planned::Other(parts) => {
                let (made_of, backend, keys) = *parts;
                let store = Store::new(backend, keys, made_of.settings.timeout, metrics.store());
                self.made_of = Some(made_of);
                Some(store)
            }
        };
        let running = store.clone().map(|store| tokio::task::spawn_local(store.run()).abort_handle());
        let before = std::mem::replace(&mut self.running, running);
        self.stores.send_replace(store);
        if let Some(before) = before {
            before.abort();
        }
    }

    /// For a credential.
    pub(super) fn stores(&self) -> Stores {
        self.stores.subscribe()
    }

    /// Nobody needs it any more.
    pub(super) fn end(self) {
        if let Some(running) = self.running {
            running.abort();
        }
    }
}

/// Where the entries are.
fn backend(settings: &store::Settings, clock: &Clock) -> Result<Box<dyn Backend>, store::StoreError> {
    match &settings.place {
        #[cfg(unix)]
        Place::File { directory } => Ok(Box::new(store::FileStore::new(directory.clone(), clock.clone()))),
        #[cfg(not(unix))]
        Place::File { .. } => Err(store::StoreError::Refused("files are not shared on this system".to_owned())),
        #[cfg(feature = "redis")]
        Place::Redis(redis) => Ok(Box::new(store::RedisStore::new(redis.clone(), settings.timeout, clock.clone())?)),
        // The configuration has refused it already.
        #[cfg(not(feature = "redis"))]
        Place::Redis(_) => Err(store::StoreError::Refused("this build has no Redis".to_owned())),
    }
}

fn digest_of(current: &Secret, old: Option<&Secret>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for key in [Some(current), old].into_iter().flatten() {
        context.update(&(key.expose().len() as u64).to_be_bytes());
        context.update(key.expose().as_bytes());
    }
    let mut print = [0; 32];
    print.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    print
}
