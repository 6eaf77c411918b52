//! A TLS configuration that can be replaced while it is used.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::TlsError;
use super::files::{Files, Print, Role, Wanted};

/// Settings from which a TLS configuration is made.
pub trait Recipe: fmt::Debug + Send + Sync + 'static {
    /// What is made.
    type Config: Send + Sync + 'static;

    /// The files that it needs.
    fn wanted(&self) -> Vec<Wanted>;

    /// Makes it of the files' content.
    ///
    /// # Errors
    /// [`TlsError`] with the file that is to blame.
    fn make(&self, files: &Files) -> Result<Self::Config, TlsError>;
}

/// A TLS configuration as its files were when they were last good. Clones share it; whoever begins a handshake takes the
/// current one, and connections that are open keep theirs.
pub struct Live<S: Recipe>(Arc<Inner<S>>);

struct Inner<S: Recipe> {
    recipe: S,
    loaded: ArcSwap<Loaded<S::Config>>,
}

struct Loaded<C> {
    config: Arc<C>,
    print: Print,
    ends: Vec<(Role, SystemTime)>,
}

impl<S: Recipe> Live<S> {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if one of them cannot be used.
    pub fn load(recipe: S) -> Result<Self, TlsError> {
        let loaded = Loaded::new(&recipe, &Files::read(&recipe.wanted()))?;
        Ok(Self(Arc::new(Inner { recipe, loaded: ArcSwap::from_pointee(loaded) })))
    }

    /// What it was made of.
    pub fn settings(&self) -> &S {
        &self.0.recipe
    }

    /// The configuration for the next handshake.
    pub fn config(&self) -> Arc<S::Config> {
        Arc::clone(&self.0.loaded.load().config)
    }

    /// Changes with every byte of the files that are in use.
    pub fn files_print(&self) -> [u8; 32] {
        self.0.loaded.load().print
    }

    /// When the certificates in its files end.
    pub fn ends(&self) -> Vec<(Role, SystemTime)> {
        self.0.loaded.load().ends.clone()
    }
}

impl<C> Loaded<C> {
    fn new<S: Recipe<Config = C>>(recipe: &S, files: &Files) -> Result<Self, TlsError> {
        let config = Arc::new(recipe.make(files)?);
        Ok(Self { config, print: files.print(), ends: files.ends() })
    }
}

/// A live configuration of either kind, as the watch sees it.
pub(super) trait Renewable {
    fn wanted(&self) -> Vec<Wanted>;
    /// Of the files that are in use.
    fn print(&self) -> Print;
    fn ends(&self) -> Vec<(Role, SystemTime)>;
    /// Uses these from now on; after an error the old ones stay.
    fn renew(&self, files: &Files) -> Result<(), TlsError>;
}

impl<S: Recipe> Renewable for Live<S> {
    fn wanted(&self) -> Vec<Wanted> {
        self.0.recipe.wanted()
    }

    fn print(&self) -> Print {
        self.files_print()
    }

    fn ends(&self) -> Vec<(Role, SystemTime)> {
        Self::ends(self)
    }

    fn renew(&self, files: &Files) -> Result<(), TlsError> {
        let loaded = Loaded::new(&self.0.recipe, files)?;
        self.0.loaded.store(Arc::new(loaded));
        Ok(())
    }
}

impl<S: Recipe> Clone for Live<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Recipe> fmt::Debug for Live<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&self.0.recipe).finish()
    }
}
