//! The process's environment as it was at start.
//!
//! Owns the captured variables, so that nothing below `cli` ever asks the system for one. Values count as secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use crate::notify;
use crate::secret::Secret;
use crate::server::Announced;

/// The variables of the environment. Cloning shares the values.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, Option<Secret>>);

impl Environment {
    /// Takes variables as the system gives them (`std::env::vars_os`). A name that is not UTF-8 is none that a
    /// configuration could write; a value that is not UTF-8 is remembered as such.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let capture = |(name, value): (OsString, OsString)| {
            let value = value.into_string().ok().map(Secret::new);
            Some((name.into_string().ok()?, value))
        };
        Self(variables.into_iter().filter_map(capture).collect())
    }

    /// The file that `BEARERD_CONFIG` names.
    pub fn configuration_file(&self) -> Option<PathBuf> {
        let value = self.value("BEARERD_CONFIG")??.expose();
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// What a variable holds: `None` if it is not set, `Some(None)` if it is not UTF-8.
    pub(super) fn value(&self, name: &str) -> Option<Option<&Secret>> {
        self.0.get(name).map(Option::as_ref)
    }

    /// The names that begin with `BEARERD_`, in alphabetical order.
    pub(super) fn our_names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| name.starts_with("BEARERD_"))
    }

    /// The descriptors that the service manager says it handed over.
    pub fn announced(&self) -> Announced {
        let text = |name| self.value(name).flatten().map(|value| value.expose().to_owned());
        Announced { pid: text("LISTEN_PID"), count: text("LISTEN_FDS"), names: text("LISTEN_FDNAMES") }
    }

    /// What the service manager says that it wants to hear.
    pub fn service_manager(&self) -> notify::Announced {
        let text = |name| self.value(name).flatten().map(|value| value.expose().to_owned());
        notify::Announced {
            socket: text("NOTIFY_SOCKET"),
            watchdog: text("WATCHDOG_USEC"),
            watchdog_pid: text("WATCHDOG_PID"),
        }
    }

    /// Where systemd put the credentials of the service.
    pub(super) fn credentials_directory(&self) -> Option<PathBuf> {
        let value = self.value("CREDENTIALS_DIRECTORY")??;
        Some(PathBuf::from(value.expose()))
    }

    /// The names that are not for the application that `exec` runs: the same that no command gets.
    pub fn withheld<'a>(&'a self, secrets: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str).filter(|name| is_withheld(name, secrets))
    }

    /// What a command that hands out a secret gets: everything but what is ours, what `secrets` names, and what the service manager
    /// says to this process alone.
    pub(super) fn for_commands(&self, secrets: &BTreeSet<String>) -> Vec<(String, Secret)> {
        let pass = |(name, value): (&String, &Option<Secret>)| Some((name.clone(), value.clone()?));
        self.0.iter().filter(|(name, _)| !is_withheld(name, secrets)).filter_map(pass).collect()
    }
}

/// Whether no child process gets a variable: what is ours, what holds a secret, what the service manager says to this process alone.
fn is_withheld(name: &str, secrets: &BTreeSet<String>) -> bool {
    let is_ours = name.starts_with("BEARERD_") || name.starts_with("LISTEN_") || name.starts_with("WATCHDOG_");
    is_ours || name == "NOTIFY_SOCKET" || secrets.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_get_the_ordinary_variables_and_no_secret() {
        let names = [
            "PATH",
            "HOME",
            "HTTPS_PROXY",
            "CREDENTIALS_DIRECTORY",
            "BEARERD_PASSWORD",
            "API_PASSWORD",
            "LISTEN_FDS",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
        ];
        let environment = Environment::new(names.map(|name| (name.into(), "x".into())));
        let passed = environment.for_commands(&BTreeSet::from(["API_PASSWORD".to_owned()]));
        let passed: Vec<_> = passed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(passed, ["CREDENTIALS_DIRECTORY", "HOME", "HTTPS_PROXY", "PATH"]);
    }
}
