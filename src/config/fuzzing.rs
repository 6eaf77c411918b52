//! Properties of configurations that hold for any bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use std::path::Path;

use super::document::{self, Node, Table, Value};
use super::{Mistakes, Place, Settings, load_str};
use crate::fuzzing::controls;

/// Where the text is said to stand: nothing that it refers to is there.
const PATH: &str = "nowhere/bearerd.toml";
/// A part of every secret.
const CANARY: &str = "hunter2";

/// Every mistake has a place in the text, a code and words of its own, and stays the same; neither they nor the settings show a
/// secret, whatever is wrong with it.
pub(crate) fn configuration(data: &[u8]) {
    let ([form], bytes) = controls(data);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = document::parse(text, PATH);
    if parsed.as_ref().is_ok_and(reaches_out) {
        return;
    }
    let loaded = load(text);
    if let Err(mistakes) = &loaded {
        have_places(mistakes, text);
        assert_eq!(load(text).unwrap_err().to_string(), mistakes.to_string());
    }
    let Ok(mut document) = text.parse::<toml::Table>() else { return };
    if text.contains(CANARY) {
        return;
    }
    let secret =
        [CANARY.to_owned(), format!("{CANARY}\n\u{1}"), format!("  \"{CANARY}\u{e9}"), format!("{{{CANARY}: ")];
    let secret = &secret[usize::from(form) % 4];
    if !plant(&mut document, secret) {
        return;
    }
    let Ok(text) = toml::to_string(&document) else { return };
    let shown = match load(&text) {
        Ok(settings) => format!("{settings:?}"),
        Err(mistakes) => format!("{mistakes} {mistakes:?}"),
    };
    assert!(!shown.contains(CANARY), "{shown}");
}

fn load(text: &str) -> Result<Settings, Mistakes> {
    load_str(text, Path::new(PATH))
}

fn have_places(mistakes: &Mistakes, text: &str) {
    let lines: Vec<&str> = text.split('\n').collect();
    assert!(mistakes.count() > 0);
    let mut last = (0, 0);
    for mistake in mistakes.iter() {
        let Place::File { path, line, column } = &mistake.place else { unreachable!("nowhere: {mistake}") };
        assert_eq!(&**path, PATH);
        assert!(*line <= lines.len(), "behind the end: {mistake}");
        assert!(*line == 0 || (1..=lines[line - 1].chars().count() + 1).contains(column), "beside the line: {mistake}");
        assert!(last <= (*line, *column), "out of order: {mistake}");
        last = (*line, *column);
        assert!(mistake.reason.code().starts_with('F') && !mistake.message.trim().is_empty(), "{mistake}");
        assert!(!mistake.to_string().contains(['\n', '\r', '\u{1b}', '\0']), "more than a line: {mistake:?}");
    }
}

/// Whether loading would run a program, or read what is not a file.
fn reaches_out(table: &Table) -> bool {
    let node_reaches = |key: &str, node: &Node| match &node.value {
        Value::Text(text) => {
            text.contains("..")
                || text.starts_with('~')
                || ["/dev", "/proc", "/sys"].iter().any(|path| text.contains(path))
                || (key == "include" && text.starts_with('/'))
        }
        _ => false,
    };
    fn walk(node: &Node, key: &str, node_reaches: &impl Fn(&str, &Node) -> bool) -> bool {
        match &node.value {
            Value::Table(table) => {
                table.entries.iter().any(|entry| entry.key == "command" || walk(&entry.node, &entry.key, node_reaches))
            }
            Value::List(items) => items.iter().any(|item| walk(item, key, node_reaches)),
            _ => node_reaches(key, node),
        }
    }
    table.entries.iter().any(|entry| entry.key == "command" || walk(&entry.node, &entry.key, &node_reaches))
}

/// Makes every secret that is written in the file a known one. Whether there is any.
fn plant(document: &mut toml::Table, secret: &str) -> bool {
    let mut planted = false;
    let mut set = |table: &mut toml::Table, names: &[&str]| {
        for (name, value) in table.iter_mut() {
            if names.contains(&name.as_str()) && value.is_str() {
                *value = toml::Value::String(secret.to_owned());
                planted = true;
            }
        }
    };
    for (section, names) in [("callers", &["key"]), ("store", &["key"])] {
        if let Some(toml::Value::Table(table)) = document.get_mut(section) {
            set(table, names);
        }
    }
    if let Some(toml::Value::Table(credentials)) = document.get_mut("credentials") {
        for (_, credential) in credentials.iter_mut() {
            if let toml::Value::Table(credential) = credential {
                set(credential, &["client_secret", "password", "refresh_token"]);
            }
        }
    }
    planted
}
