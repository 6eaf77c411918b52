//! Secret references: `"text"`, `{ file = "…" }`, `{ env = "NAME" }`, `{ systemd = "NAME" }`, `{ command = ["…"] }`, each but the first
//! with a `pointer` into it if it is JSON.
//!
//! Every secret is read once while the configuration is checked, so that a missing one is found at start and not at the
//! first request; a command that was run and failed is no mistake of a configuration that is being started with. No message shows a
//! value.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::Context;
use super::document::{Node, Table, Value};
use super::mistake::Place;
use super::reader::{Keys, Reader};
use super::value;
use crate::reason::Reason;
use crate::secret::{Command, Secret, SecretSource};

pub(super) const KEYS: Keys = Keys {
    name: "{ file = \"…\" }",
    obeyed: &["file", "env", "systemd", "command", "timeout", "pointer"],
    later: &[],
    protective: &[],
};

const KINDS: &[&str] = &["file", "env", "systemd", "command"];

/// Where a secret stands in the examples of messages.
const FORMS: &str = "a string, { file = \"…\" }, { env = \"NAME\" }, { systemd = \"NAME\" } or { command = [\"PROGRAM\", \"ARGUMENT\"] }";

/// How long a command may take unless its `timeout` says.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A longer one would make the start of bearerd wait for it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Whether a table is a secret reference, as opposed to a table of keys.
pub(super) fn is_reference(table: &Table) -> bool {
    table.entries.iter().any(|entry| KINDS.contains(&&*entry.key))
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
        Value::Text(text) => {
            let is_secret = ["client_secret", "password"].iter().any(|name| path.ends_with(name));
            if text.is_empty() && is_secret {
                context.warning(node.place.clone(), Reason::ConfigSecret, path, "is empty, and is sent so");
            }
            if is_secret {
                warn_of_place(context, text, &node.place, path);
            }
            Some(SecretSource::inline(text.as_str()))
        }
        Value::Table(table) => {
            let reader = Reader::of_node(context, node, node.place.clone(), path.to_owned(), &KEYS);
            let source = reference(&reader, table)?;
            check_readable(context, &source, &node.place, path);
            Some(source)
        }
        _ => {
            let message = format!("must be {FORMS}, not {}", node.kind());
            context.mistake(node.place.clone(), Reason::ConfigWrongValue, path, message);
            None
        }
    }
}

fn reference(reader: &Reader<'_>, table: &Table) -> Option<SecretSource> {
    let mistake = |reason, message: String| {
        reader.context().mistake(reader.place().clone(), reason, reader.path(), message);
    };
    let written: Vec<_> = KINDS.iter().copied().filter(|kind| reader.has(kind)).collect();
    let kind = match written.as_slice() {
        [kind] => *kind,
        [] => {
            let is_told = table.entries.iter().any(|entry| !KEYS.obeyed.contains(&entry.key.as_str()));
            if !is_told || reader.context().ignore_unknown_keys() {
                mistake(Reason::ConfigWrongValue, format!("must be one of: {FORMS}"));
            }
            return None;
        }
        several => {
            let message = format!("comes from one place alone, but {} are written", several.join(" and "));
            mistake(Reason::ConfigContradiction, message);
            return None;
        }
    };
    let pointer = reader.has("pointer").then(|| reader.parsed("pointer", value::json_pointer));
    let timeout = timeout(reader, kind);
    let source = match kind {
        "command" => command(reader, timeout?),
        kind => from_name(reader, kind),
    };
    match pointer {
        None => source,
        Some(pointer) => Some(SecretSource::Member { of: Box::new(source?), pointer: pointer? }),
    }
}

fn from_name(reader: &Reader<'_>, kind: &str) -> Option<SecretSource> {
    let text = reader.non_empty(kind)?;
    let context = reader.context();
    let source = match kind {
        "file" => Ok(SecretSource::File(context.resolve(&text, &reader.node(kind)?.place))),
        "env" => from_environment(context, &text),
        _ => from_systemd(context, &text),
    };
    let place = &reader.node(kind)?.place;
    source.map_err(|message| context.mistake(place.clone(), Reason::ConfigSecret, reader.path(), message)).ok()
}

fn timeout(reader: &Reader<'_>, kind: &str) -> Option<Duration> {
    if !reader.has("timeout") {
        return Some(TIMEOUT);
    }
    if kind != "command" {
        reader.reject("timeout", Reason::ConfigContradiction, format!("is for commands alone, not for {kind}"));
    }
    let timeout = reader.positive_duration("timeout")?;
    if timeout > LONGEST_TIMEOUT {
        reader.wrong("timeout", "must be at most 2m: bearerd waits for the command when it starts");
    }
    Some(timeout)
}

/// The same command in several places is run once for all of them.
fn command(reader: &Reader<'_>, timeout: Duration) -> Option<SecretSource> {
    let node = reader.node("command")?;
    let wrong = |message: &str| {
        reader.wrong("command", message);
        None
    };
    let Value::List(items) = &node.value else {
        return wrong("must be a list, [\"PROGRAM\", \"ARGUMENT\", …]: it is run without a shell");
    };
    let words: Option<Vec<_>> = items.iter().map(Node::as_text).collect();
    let Some((program, arguments)) = words.as_deref().and_then(<[_]>::split_first) else {
        return wrong("must be a list of strings, of which the first is the program");
    };
    if program.is_empty() || words.iter().flatten().any(|word| word.contains('\0')) {
        return wrong("must begin with a program, and no argument may hold a zero byte");
    }
    let context = reader.context();
    // As in a shell: a name without a slash is looked for in PATH.
    let program = if program.contains('/') {
        context.resolve(program.trim_start_matches("./"), &node.place)
    } else {
        PathBuf::from(program)
    };
    let arguments = arguments.iter().copied().map(Secret::new).collect();
    let environment = context.environment.for_commands(&context.secret_variables.borrow());
    let new = Command::new(program, arguments, timeout, environment);
    let mut known = context.commands.borrow_mut();
    let command = known.iter().find(|command| **command == new).cloned().unwrap_or_else(|| {
        known.push(new.clone());
        new
    });
    Some(SecretSource::Command(command))
}

/// The names of all variables that a configuration reads secrets from: no command gets to see them.
pub(super) fn variables(table: &Table) -> BTreeSet<String> {
    fn walk(table: &Table, found: &mut BTreeSet<String>) {
        for entry in &table.entries {
            if let ("env", Some(name)) = (entry.key.as_str(), entry.node.as_text()) {
                found.insert(name.to_owned());
            }
            walk_node(&entry.node, found);
        }
    }

    fn walk_node(node: &Node, found: &mut BTreeSet<String>) {
        match &node.value {
            Value::Table(table) => walk(table, found),
            Value::List(items) => items.iter().for_each(|item| walk_node(item, found)),
            _ => {}
        }
    }

    let mut found = BTreeSet::new();
    walk(table, &mut found);
    found
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
            "there is no $CREDENTIALS_DIRECTORY: run bearerd as a systemd service with LoadCredential={name}:PATH; by hand, name the \
             directory that holds the file {name:?}: sudo CREDENTIALS_DIRECTORY=/etc/bearerd bearerd …"
        )),
    }
}

fn check_readable(context: &Context<'_>, source: &SecretSource, place: &Place, path: &str) {
    match source.read_now() {
        // What it needs may not be there yet, as after a boot: to end would be for good where nobody starts bearerd again.
        Err(error) if context.starts && path.starts_with("credentials.") && error.may_pass() => {
            let message = format!("{}; it is run again for the first token", crate::log::chain(&error));
            context.warning(place.clone(), Reason::ConfigSecret, path, message);
        }
        Err(error) => context.mistake(place.clone(), Reason::ConfigSecret, path, crate::log::chain(&error)),
        Ok(secret) => warn_of_space(context, secret.expose(), place, path),
    }
}

fn warn_of_space(context: &Context<'_>, secret: &str, place: &Place, path: &str) {
    let has = |whether: bool, which| whether.then_some(which);
    let begins = has(secret.starts_with(char::is_whitespace), "begins with white space, which is sent too");
    let ends = has(
        secret.ends_with(char::is_whitespace),
        "ends with white space, which is sent too (one newline alone is left out)",
    );
    for what in [begins, ends].into_iter().flatten() {
        context.warning(place.clone(), Reason::ConfigSecret, path, format!("the secret {what}"));
    }
}

/// What looks like the place of a secret is taken for the secret itself where it stands as a plain string.
fn warn_of_place(context: &Context<'_>, text: &str, place: &Place, path: &str) {
    let is_path = text.starts_with("/run/secrets/") || (text.starts_with('/') && Path::new(text).is_file());
    if is_path || ["file:", "@/"].iter().any(|prefix| text.starts_with(prefix)) {
        let message = "names a file, and is sent as the secret as it stands here: did you mean { file = \"…\" }?";
        context.warning(place.clone(), Reason::ConfigSecret, path, message);
    }
}

#[cfg(test)]
mod tests;
