//! `[store]`: where tokens are kept that several instances share, or that survive a restart. What belongs to a Redis is read by `redis`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Keys, Reader};
use super::{redis, secret, words};
use crate::reason::Reason;
use crate::secret::SecretSource;
use crate::store::settings::Place;
use crate::store::{SHORTEST_KEY, Settings};

pub(super) const KEYS: Keys = Keys {
    name: "[store]",
    obeyed: &[
        "kind",
        "directory",
        "seal_key",
        "old_seal_key",
        "timeout",
        "url",
        "sentinel",
        "cluster",
        "username",
        "password",
        "sentinel_username",
        "sentinel_password",
        "allow_plain_tcp",
        "tls",
    ],
    later: &[],
    protective: &[],
};

/// Where entries may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Memory,
    File,
    Redis,
}

pub(super) const KINDS: &[(&str, Kind)] = &[("memory", Kind::Memory), ("file", Kind::File), ("redis", Kind::Redis)];

/// Keys that every place but memory has.
const OF_BOTH: &[&str] = &["seal_key", "old_seal_key", "timeout"];
const OF_FILE: &[&str] = &["directory"];

/// How long one question may take unless `timeout` says.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Requests may wait for a token while the store does not answer.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What makes a key.
const MAKE: &str = "head -c 32 /dev/urandom | base64";

/// Whether this build knows Redis. Tests read configurations and connect to nobody.
const HAS_REDIS: bool = cfg!(any(feature = "redis", test));

/// `None` for memory, and if something is wrong.
pub(super) fn read(reader: &Reader<'_>, state_directory: Option<&Path>) -> Option<Settings> {
    let kind = kind(reader);
    // All keys are read, so that all mistakes are told.
    let (seal_key, old_seal_key) = (key(reader, "seal_key"), key(reader, "old_seal_key"));
    let timeout = timeout(reader);
    let directory = directory(reader, state_directory, kind == Some(Kind::File));
    let redis = redis::read(reader, kind == Some(Kind::Redis));
    let kind = kind?;
    check_belonging(reader, kind);
    if kind == Kind::Memory {
        return None;
    }
    check_keys(reader, seal_key.as_ref(), old_seal_key.as_ref());
    let place = match kind {
        Kind::File => Place::File { directory: directory? },
        _ => Place::Redis(redis?),
    };
    if kind == Kind::Redis {
        check_build(reader, HAS_REDIS);
    }
    if let (Kind::File, Err(why)) = (kind, crate::platform::LOCAL_STORES) {
        reader.reject("kind", Reason::ConfigWrongValue, format!("kind = \"file\" {why}"));
    }
    Some(Settings { place, seal_key: seal_key?, old_seal_key, timeout })
}

fn kind(reader: &Reader<'_>) -> Option<Kind> {
    if reader.has("kind") {
        return reader.choice("kind", KINDS, &[]);
    }
    let of = |keys: &[&str]| keys.iter().any(|key| reader.has(key));
    let (word, why) = match (of(OF_FILE), of(redis::KEYS), of(OF_BOTH)) {
        (false, false, false) => return Some(Kind::Memory),
        (true, _, _) => ("file", "is required beside directory"),
        (_, true, _) => ("redis", "is required to say what it is that is reached there"),
        _ => ("file", "is required, or tokens are kept in memory alone"),
    };
    reader.missing("kind", why, word);
    None
}

/// What is written must be of use where the entries are.
fn check_belonging(reader: &Reader<'_>, kind: Kind) {
    let refuse = |keys: &[&str], of: &str| {
        for key in keys.iter().filter(|key| reader.has(key)) {
            let word = KINDS.iter().find(|(_, known)| *known == kind).map_or("memory", |(word, _)| word);
            let message = format!("belongs to {of}, and here kind is {word:?}");
            reader.reject(key, Reason::ConfigContradiction, message);
        }
    };
    if kind != Kind::File {
        refuse(OF_FILE, "kind = \"file\"");
    }
    if kind != Kind::Redis {
        refuse(redis::KEYS, "kind = \"redis\"");
    }
    if kind == Kind::Memory {
        refuse(OF_BOTH, "kind = \"file\" and kind = \"redis\"");
    }
}

fn check_build(reader: &Reader<'_>, has_redis: bool) {
    if !has_redis {
        let message = "this bearerd was built without the feature \"redis\"; released ones have it. Without it there are \
                       \"memory\" and \"file\"";
        reader.wrong("kind", message);
    }
}

fn key(reader: &Reader<'_>, key: &str) -> Option<SecretSource> {
    let source = secret::read(reader, key)?;
    // What cannot be read has been told of.
    let value = source.read_now().ok()?;
    if value.expose().chars().count() < SHORTEST_KEY {
        let message = format!("must have {SHORTEST_KEY} characters at least, and not be guessed; to make one: {MAKE}");
        reader.wrong(key, message);
        return None;
    }
    Some(source)
}

fn check_keys(reader: &Reader<'_>, new: Option<&SecretSource>, old: Option<&SecretSource>) {
    if !reader.has("seal_key") {
        let why = format!(
            "is required, the same for all who share the store: it seals what is stored. To make one: {MAKE}; then"
        );
        secret::missing(reader, "seal_key", &why);
    }
    if let (Some(new), Some(old)) = (new, old)
        && new.read_now().ok() == old.read_now().ok()
    {
        let message = "is the same as seal_key: it is the one before it, as long as some instances have no other";
        reader.reject("old_seal_key", Reason::ConfigContradiction, message);
    }
}

fn timeout(reader: &Reader<'_>) -> Duration {
    let timeout = reader.positive_duration("timeout").unwrap_or(TIMEOUT);
    if timeout > LONGEST_TIMEOUT {
        reader.wrong("timeout", "must be at most 10s: who waits for a token waits for the store");
    }
    timeout
}

fn directory(reader: &Reader<'_>, state_directory: Option<&Path>, is_wanted: bool) -> Option<PathBuf> {
    let Some(written) = reader.non_empty("directory") else {
        if is_wanted && !reader.has("directory") && state_directory.is_none() {
            reader.missing("directory", "is required without a state_directory", "/var/lib/bearerd/store");
        }
        return state_directory.map(|directory| directory.join("store"));
    };
    let directory = reader.context().resolve(&written, &reader.node("directory")?.place);
    match std::fs::metadata(&directory) {
        Ok(found) if !found.is_dir() => {
            reader.reject("directory", Reason::ConfigFile, format!("{} is no directory", directory.display()));
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            reader.reject("directory", Reason::ConfigFile, format!("{} cannot be used: {error}", directory.display()));
        }
        // It is made when it is first used.
        _ => {}
    }
    Some(directory)
}

/// `"redis", "rediss" or "unix"`, in messages.
pub(super) fn forms() -> String {
    words::one_of(&["redis://HOST:6379/0", "rediss://HOST:6379/0", "unix:///PATH"])
}

#[cfg(test)]
mod tests;
