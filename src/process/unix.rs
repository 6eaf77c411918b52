//! Resource limits, and what `prctl(2)` takes away.

use std::io;

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Makes memory and environment unreadable for others of the same user, forbids core dumps, and takes as many file
/// descriptors as the system allows. Returns what did not work, for the log.
///
/// `PR_SET_DUMPABLE` also keeps cores from a collector that the kernel pipes them to, which `RLIMIT_CORE` does not.
pub fn harden() -> Vec<String> {
    let steps: [(&str, io::Result<()>); 3] = [
        ("the process stays dumpable", forbid_dumps()),
        ("core dumps stay possible", forbid_cores()),
        ("the limit of open files stays", raise_open_files()),
    ];
    let failed = |(what, result): (&str, io::Result<()>)| Some(format!("{what}: {}", result.err()?));
    steps.into_iter().filter_map(failed).collect()
}

#[cfg(target_os = "linux")]
fn forbid_dumps() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Elsewhere no process may read another's memory without being asked to by root.
#[cfg(not(target_os = "linux"))]
fn forbid_dumps() -> io::Result<()> {
    Ok(())
}

fn forbid_cores() -> io::Result<()> {
    // What is allowed at most stays, for a command that `exec` runs; this process leaves no core in any case.
    let maximum = getrlimit(Resource::Core).maximum;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?)
}

/// Each forwarded request holds two sockets; the soft limit is 1024 for the sake of `select(2)`, which we never call.
fn raise_open_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// The limits that [`harden`] changes, as they were before.
#[derive(Debug)]
pub struct Limits([(Resource, Rlimit); 2]);

impl Limits {
    /// As they are now.
    pub fn now() -> Self {
        Self([Resource::Core, Resource::Nofile].map(|resource| (resource, getrlimit(resource))))
    }

    /// Does something under these limits, to start another program above all.
    pub fn lend<T>(&self, something: impl FnOnce() -> T) -> T {
        let now = Self::now();
        self.set();
        let outcome = something();
        now.set();
        outcome
    }

    fn set(&self) {
        for (resource, limit) in &self.0 {
            if let Err(error) = setrlimit(*resource, *limit) {
                tracing::debug!(%error, ?resource, "a limit stays as it is");
            }
        }
    }
}

/// Raises the limit of open files to `wanted`, as far as the system allows; a limit that is higher stays.
pub(crate) fn want_open_files(wanted: usize) {
    let limit = getrlimit(Resource::Nofile);
    let enough = u64::try_from(wanted).unwrap_or(u64::MAX).max(limit.current.unwrap_or(u64::MAX));
    let raised = enough.min(limit.maximum.unwrap_or(u64::MAX));
    // Who asks looks afterwards how many there are.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
}

/// How many files this process may have open.
pub fn open_files() -> usize {
    getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_not_dumpable_and_leaves_no_core() {
        assert_eq!(harden(), Vec::<String>::new());
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let files = getrlimit(Resource::Nofile);
        assert_eq!(files.current, files.maximum);
    }
}
