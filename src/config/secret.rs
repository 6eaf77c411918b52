//! Secret references: `"text"`, `{ file = "…" }`, `{ env = "NAME" }`, `{ systemd = "NAME" }`.
//!
//! Every secret is read once while the configuration is checked, so that a missing one is found at start and not at the
//! first request. No message shows a value.

use super::context::Context;
use super::document::{Node, Table, Value};
use super::mistake::Place;
use super::reader::Reader;
use super::words;
use crate::reason::Reason;
use crate::secret::{Secret, SecretSource};

const KINDS: &[&str] = &["file", "env", "systemd"];

/// Where a secret stands in the examples of messages.
const FORMS: &str = "a string, { file = \"…\" }, { env = \"NAME\" } or { systemd = \"NAME\" }";

/// Whether a table is a secret reference, as opposed to a table of keys.
pub(super) fn is_reference(table: &Table) -> bool {
    table.entries.iter().any(|entry| KINDS.contains(&&*entry.key) || entry.key == "command")
}

/// The secret at `key`.
pub(super) fn read(reader: &Reader<'_>, key: &str) -> Option<SecretSource> {
    from_node(reader.context(), reader.node(key)?, &reader.dotted(key))
}

/// The secret at `key`, which must not be empty.
pub(super) fn non_empty(reader: &Reader<'_>, key: &str) -> Option<SecretSource> {
    let source = read(reader, key)?;
    if matches!(&source, SecretSource::Inline(text) if text.expose().is_empty()) {
        reader.wrong(key, "must not be empty");
    }
    Some(source)
}

/// Records that a required secret was not written.
pub(super) fn missing(reader: &Reader<'_>, key: &str, why: &str) {
    if matches!(reader.place(), Place::File { .. }) {
        reader.reject(key, Reason::ConfigMissing, format!("{why}: {key} = {{ file = \"…\" }}"));
    } else {
        // Secrets have variables and flags for files alone.
        let flag = key.replace('_', "-");
        let message = format!("{why}: --{flag}-file FILE (or BEARERD_{})", key.to_ascii_uppercase());
        reader.reject(key, Reason::ConfigMissing, message);
    }
}

/// A secret from wherever it was written; `path` is its dotted key.
pub(super) fn from_node(context: &Context<'_>, node: &Node, path: &str) -> Option<SecretSource> {
    match &node.value {
        Value::Text(text) => Some(SecretSource::inline(text.as_str())),
        Value::Table(table) => match table.entries.as_slice() {
            [entry] => {
                let source = reference(context, &entry.key, &entry.node, &entry.key_place, path)?;
                check_readable(context, &source, &node.place, path);
                Some(source)
            }
            _ => {
                let message = format!("must be one of: {FORMS}");
                context.mistake(node.place.clone(), Reason::ConfigWrongValue, path, message);
                None
            }
        },
        _ => {
            let message = format!("must be {FORMS}, not {}", node.kind());
            context.mistake(node.place.clone(), Reason::ConfigWrongValue, path, message);
            None
        }
    }
}

fn reference(context: &Context<'_>, kind: &str, node: &Node, key_place: &Place, path: &str) -> Option<SecretSource> {
    let mistake = |place: &Place, reason, message: String| context.mistake(place.clone(), reason, path, message);
    if kind == "command" {
        mistake(key_place, Reason::ConfigNotYet, "secrets from a command are not supported yet".to_owned());
        return None;
    }
    if !KINDS.contains(&kind) {
        let near = words::did_you_mean(kind, KINDS);
        mistake(key_place, Reason::ConfigUnknownKey, format!("a secret comes from {}{near}", words::one_of(KINDS)));
        return None;
    }
    let Some(text) = node.as_text().filter(|text| !text.is_empty()) else {
        mistake(&node.place, Reason::ConfigWrongValue, format!("{kind} must be a string that is not empty"));
        return None;
    };
    match kind {
        "file" => Some(SecretSource::File(context.resolve(text, &node.place))),
        "env" => from_environment(context, text).map_err(|m| mistake(&node.place, Reason::ConfigSecret, m)).ok(),
        _ => from_systemd(context, text).map_err(|m| mistake(&node.place, Reason::ConfigSecret, m)).ok(),
    }
}

/// Variables that Kubernetes fills from a Secret carry its final newline, as files do.
fn from_environment(context: &Context<'_>, name: &str) -> Result<SecretSource, String> {
    match context.environment.value(name) {
        None => Err(format!("the environment variable {name:?} is not set")),
        Some(None) => Err(format!("the environment variable {name:?} is not UTF-8 text")),
        Some(Some(value)) => {
            let text = value.expose();
            let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
            if text.is_empty() {
                return Err(format!("the environment variable {name:?} is empty"));
            }
            Ok(SecretSource::Env { name: name.to_owned(), value: Secret::new(text) })
        }
    }
}

/// systemd.exec(5): `LoadCredential=NAME:…` puts a file NAME into `$CREDENTIALS_DIRECTORY`.
fn from_systemd(context: &Context<'_>, name: &str) -> Result<SecretSource, String> {
    if name.contains('/') || name == "." || name == ".." {
        return Err("systemd must be the name of a credential, as in LoadCredential=NAME:PATH".to_owned());
    }
    match context.environment.credentials_directory() {
        Some(directory) => Ok(SecretSource::File(directory.join(name))),
        None => Err(format!(
            "there is no $CREDENTIALS_DIRECTORY: run bearerd as a systemd service with LoadCredential={name}:PATH"
        )),
    }
}

fn check_readable(context: &Context<'_>, source: &SecretSource, place: &Place, path: &str) {
    if let Err(error) = source.read_now() {
        context.mistake(place.clone(), Reason::ConfigSecret, path, crate::log::chain(&error));
    }
}
