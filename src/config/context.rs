//! What all tables of one load share: where mistakes go, and what references mean.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::mistake::{Mistake, Place};
use crate::reason::Reason;
use crate::secret::Command;
use crate::upstream::HttpProxy;

/// What all tables of one load share: where mistakes go, and what references mean.
pub(super) struct Context<'e> {
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Mistake>>,
    pub(super) environment: &'e Environment,
    /// What paths in the main file are relative to.
    base: PathBuf,
    main: Place,
    ignore_unknown_keys: bool,
    /// What the start makes first may be missing.
    pub(super) before_start: bool,
    /// A command that fails may bring a credential's secret later.
    pub(super) starts: bool,
    /// Every proxy once, however often it is named.
    pub(super) proxies: RefCell<Vec<HttpProxy>>,
    /// Every command once, so that it runs once for all who need its output.
    pub(super) commands: RefCell<Vec<Command>>,
    /// The variables that hold secrets.
    pub(super) secret_variables: RefCell<BTreeSet<String>>,
}

impl<'e> Context<'e> {
    pub(super) fn new(environment: &'e Environment, base: PathBuf, main: Place, ignore_unknown_keys: bool) -> Self {
        Self {
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
            environment,
            base,
            main,
            ignore_unknown_keys,
            before_start: false,
            starts: false,
            proxies: RefCell::default(),
            commands: RefCell::default(),
            secret_variables: RefCell::default(),
        }
    }

    pub(super) fn mistake(&self, place: Place, reason: Reason, key: impl Into<String>, message: impl Into<String>) {
        let mistake = Mistake { place, reason, key: key.into(), message: message.into() };
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(super) fn warning(&self, place: Place, reason: Reason, key: impl Into<String>, message: impl Into<String>) {
        let warning = Mistake { place, reason, key: key.into(), message: message.into() };
        self.warnings.borrow_mut().push(warning);
    }

    /// Whether a key that is not known becomes a warning.
    pub(super) fn ignore_unknown_keys(&self) -> bool {
        self.ignore_unknown_keys
    }

    /// The mistakes and the warnings.
    pub(super) fn finish(self) -> (Vec<Mistake>, Vec<Mistake>) {
        (self.mistakes.into_inner(), self.warnings.into_inner())
    }

    /// A path as written: in a file it is relative to that file, elsewhere to where bearerd was started.
    pub(super) fn resolve(&self, path: &str, place: &Place) -> PathBuf {
        match (place, &self.main) {
            (Place::File { path: file, .. }, Place::File { path: main, .. }) if file != main => {
                Path::new(&**file).parent().unwrap_or(Path::new("")).join(path)
            }
            (Place::File { .. }, _) => self.base.join(path),
            _ => PathBuf::from(path),
        }
    }
}
