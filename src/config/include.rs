//! `include`: further files with routes and credentials.
//!
//! Owns which files these are, in the order of their names, and how they become part of the document. Each keeps its name and lines
//! in messages, and what is written in it relative to it. Refuses anything but routes and credentials there, and a name twice.

use std::path::{Path, PathBuf};

use ring::digest::{Context as Digest, SHA256};

use super::context::Context;
use super::document::{self, Entry, Node, Table, Value};
use super::mistake::{Mistake, Place};
use super::{Sources, read_file};
use crate::reason::Reason;

/// What an included file may hold.
const TABLES: &[&str] = &["routes", "credentials"];

/// Puts the included files into the document.
pub(super) fn merge(context: &Context<'_>, table: &mut Table, main: &Path) {
    let Some(entry) = table.entry("include") else { return };
    let (found, mistakes) = files(&entry.node, main);
    if found.is_empty() && mistakes.is_empty() {
        context.warning(entry.node.place.clone(), Reason::ConfigWrongValue, "include", "no file has such a name yet");
    }
    for (place, message) in mistakes {
        context.mistake(place, Reason::ConfigWrongValue, "include", message);
    }
    for path in found {
        match read_file(&path)
            .map_err(|mistake| vec![mistake])
            .and_then(|text| document::parse(&text, &path.to_string_lossy()))
        {
            Ok(included) => included.entries.into_iter().for_each(|entry| take(context, table, entry)),
            Err(mistakes) => mistakes.into_iter().for_each(|mistake| {
                let Mistake { place, reason, key, message } = mistake;
                context.mistake(place, reason, key, message);
            }),
        }
    }
}

fn take(context: &Context<'_>, table: &mut Table, entry: Entry) {
    let Entry { key, key_place, node } = entry;
    if !TABLES.contains(&key.as_str()) {
        let message =
            "an included file holds routes and credentials alone; this belongs into the file that includes it";
        return context.mistake(key_place, Reason::ConfigUnknownKey, key, message);
    }
    let Value::Table(more) = node.value else {
        let message = format!("must be a table, not {}", node.kind());
        return context.mistake(node.place, Reason::ConfigWrongValue, key, message);
    };
    if table.entry(&key).is_none() {
        table.set(std::slice::from_ref(&key), Node::table(key_place));
    }
    let Some(Value::Table(own)) =
        table.entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node.value)
    else {
        // What the main file has there instead of a table is a mistake that its reader reports.
        return;
    };
    for entry in more.entries {
        match own.entry(&entry.key) {
            Some(other) => {
                let message = format!("is written in {} already", other.key_place);
                context.mistake(
                    entry.key_place,
                    Reason::ConfigContradiction,
                    super::reader::dotted(&key, &entry.key),
                    message,
                );
            }
            None => own.entries.push(entry),
        }
    }
}

/// The files that `include` names, each once and without the one that names them, and what is wrong with it.
fn files(node: &Node, main: &Path) -> (Vec<PathBuf>, Vec<(Place, String)>) {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let base = main.parent().unwrap_or(Path::new(""));
    let (mut found, mut mistakes): (Vec<PathBuf>, Vec<_>) = Default::default();
    for item in items {
        match item.as_text().map(|pattern| expand(base, pattern)) {
            Some(Ok(paths)) => found.extend(paths),
            Some(Err(message)) => mistakes.push((item.place.clone(), message)),
            None => {
                let message =
                    format!("must be a path such as \"conf.d/*.toml\" or a list of them, not {}", item.kind());
                mistakes.push((item.place.clone(), message));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    let itself = main.canonicalize().ok();
    found.retain(|path| seen.insert(path.clone()) && (itself.is_none() || path.canonicalize().ok() != itself));
    (found, mistakes)
}

/// The files of one pattern, in the order of their names. A name without wildcards must be there.
fn expand(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if pattern.is_empty() {
        return Err("must not be empty; a path such as \"conf.d/*.toml\"".to_owned());
    }
    if !pattern.contains(['*', '?', '[']) {
        let path = base.join(pattern);
        return match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                let directory = pattern.trim_end_matches('/');
                Err(format!("{} is a directory; write \"{directory}/*.toml\"", path.display()))
            }
            Ok(_) => Ok(vec![path]),
            Err(_) => Err(format!("there is no file {}", path.display())),
        };
    }
    // The directory of the main file is no pattern, whatever it is called.
    let base = base.to_str().map(glob::Pattern::escape).ok_or("lies in a directory whose name is not UTF-8")?;
    let whole = Path::new(&base).join(pattern);
    let options =
        glob::MatchOptions { require_literal_leading_dot: true, require_literal_separator: true, ..Default::default() };
    let paths =
        glob::glob_with(&whole.to_string_lossy(), options).map_err(|error| format!("is no pattern: {error}"))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|error| format!("cannot be read: {error}"))?;
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A digest over every byte of a configuration's files, for who wants to know whether they have changed. Files that cannot be read
/// count as such.
pub fn print(sources: &Sources) -> [u8; 32] {
    let mut digest = Digest::new(&SHA256);
    let mut files = Vec::from_iter(sources.file.clone());
    if let Some(main) = &sources.file
        && let Ok(text) = read_file(main)
        // Parsing a large file every second for nothing would be seen.
        && text.contains("include")
        && let Ok(table) = document::parse(&text, "")
        && let Some(entry) = table.entry("include")
    {
        files.extend(self::files(&entry.node, main).0);
    }
    for file in files {
        let name = file.as_os_str().as_encoded_bytes();
        let text = read_file(&file);
        for part in [name, text.as_ref().map_or(b"".as_slice(), |text| text.as_bytes())] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.update(&[u8::from(text.is_ok())]);
    }
    let mut print = [0; 32];
    print.copy_from_slice(digest.finish().as_ref());
    print
}

/// Whether a file lies in a volume that Kubernetes changes by its `..data` link.
pub(super) fn is_in_kubernetes_volume(file: &Path) -> bool {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::symlink_metadata(directory.join("..data")).is_ok_and(|found| found.is_symlink())
}
