//! Which running bearerd is asked: the one of the address that was written, else the one of this configuration.
//!
//! Owns the search, so that `HEALTHCHECK CMD ["bearerd", "healthcheck"]` of a container asks what runs beside it with the same file and
//! variables.

use std::path::PathBuf;

use super::query::{self, QueryError, Target};
use super::sources;
use crate::config::{self, Environment, Sources, overlay};

/// Which running bearerd is asked.
#[derive(Clone, Debug, Default)]
pub struct Whom {
    written: Option<String>,
    /// The addresses of the configuration, in the order in which they are tried; `None` if there is none that tells.
    configured: Option<Vec<String>>,
    /// The file that should have told and did not.
    unread: Option<PathBuf>,
}

impl Whom {
    /// The one with this address: `HOST:PORT`, or `unix:PATH`.
    pub fn at(address: impl Into<String>) -> Self {
        Self { written: Some(address.into()), ..Self::default() }
    }

    /// The one that is written, else that of the configuration in `file`, or where it is looked for. `probes`: whether its probe
    /// listener will do.
    pub(super) fn of(written: Option<String>, file: Option<PathBuf>, environment: Environment, probes: bool) -> Self {
        // What is off has no address; the configuration says what there is instead.
        let written = written.filter(|address| address != "off");
        if written.is_some() {
            return Self { written, ..Self::default() };
        }
        let listeners = |file: Option<PathBuf>| {
            let sources = Sources { file, environment: environment.clone(), ..Sources::default() };
            config::admin_listeners(&sources).map(|admin| {
                let probe = admin.probe_listen.filter(|_| probes);
                admin.listen.into_iter().chain(probe).map(|address| address.to_string()).collect::<Vec<_>>()
            })
        };
        let named = file.or_else(|| environment.configuration_file());
        let by_variables = named.is_none() && overlay::environment_describes_routes(&environment);
        let usual = sources::usual_file();
        let file = if by_variables { None } else { named.or_else(|| usual.clone()) };
        let mut found = listeners(file.clone());
        // A variable that is set here need not be set where bearerd runs.
        if let (true, Some(found), Some(usual)) = (by_variables, &mut found, usual) {
            let more = listeners(Some(usual)).unwrap_or_default();
            let more: Vec<_> = more.into_iter().filter(|address| !found.contains(address)).collect();
            found.extend(more);
        }
        let unread = file.filter(|_| found.is_none());
        Self { written, configured: found, unread }
    }

    /// What a person should know who gets an answer of another bearerd than they meant.
    pub(super) fn note(&self) -> Option<String> {
        let file = self.unread.as_ref()?.display();
        Some(format!(
            "{file} cannot be read, or has a mistake: localhost:9180 is asked; bearerd check {file} says more"
        ))
    }

    /// Where it can be asked.
    ///
    /// # Errors
    /// [`QueryError`] if that is nowhere.
    pub(super) fn targets(&self) -> Result<Vec<Target>, QueryError> {
        match (&self.written, &self.configured) {
            (None, Some(configured)) => {
                let mut targets = Vec::new();
                let mut trouble = None;
                for address in configured {
                    match query::addresses(Some(address)) {
                        Ok(found) => targets.extend(found),
                        Err(error) => trouble = trouble.or(Some(error)),
                    }
                }
                if targets.is_empty() { Err(trouble.unwrap_or(QueryError::Off)) } else { Ok(targets) }
            }
            (written, _) => query::addresses(written.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_written_comes_first_and_then_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.toml");
        let check = |written: Option<&str>, text: &str, probes: bool, wanted: &[&str]| {
            std::fs::write(&path, text).unwrap();
            let whom = Whom::of(written.map(str::to_owned), Some(path.clone()), Environment::default(), probes);
            let targets = whom.targets().unwrap_or_default();
            assert_eq!(targets.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted, "{written:?} {text}");
        };
        let text = "[admin]\nlisten = \"127.0.0.2:1\"\nprobe_listen = \"0.0.0.0:2\"\n";
        check(Some("127.0.0.1:9"), text, true, &["127.0.0.1:9"]);
        check(None, text, true, &["127.0.0.2:1", "127.0.0.1:2"]);
        check(None, text, false, &["127.0.0.2:1"]);
        check(Some("off"), "[admin]\nlisten = \"off\"\nprobe_listen = \"0.0.0.0:2\"\n", true, &["127.0.0.1:2"]);
        check(None, "[admin]\nlisten = \"fd:a\"\nprobe_listen = \"0.0.0.0:2\"\n", true, &["127.0.0.1:2"]);
        check(None, "[admin]\nlisten = \"off\"\n", true, &[]);
        check(None, "[admin", true, &["127.0.0.1:9180", "[::1]:9180"]);
        let note = Whom::of(None, Some(path.clone()), Environment::default(), true).note().unwrap_or_default();
        assert!(note.contains("cannot be read") && note.contains("localhost:9180"), "{note}");
        std::fs::write(&path, text).unwrap();
        assert_eq!(Whom::of(None, Some(path), Environment::default(), true).note(), None);
    }
}
