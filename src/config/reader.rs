//! Reading one table, key by key.
//!
//! Owns what every table has in common: unknown keys, types, units, lists, closed lists of words. Records every mistake instead
//! of stopping at the first, and refuses to know what any key means.

#[cfg(test)]
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::context::Context;
use super::document::{Entry, Node, Table, Value};
use super::mistake::Place;
use super::{overlay, value, words};
use crate::reason::Reason;

/// Tables that say who may call: a slip in their names must not let everybody in.
const GUARDS: &[&str] = &["callers", "tls"];

/// What a table may hold. Every table has one, beside its conversion; `tables::ALL` lists them.
pub(super) struct Keys {
    /// Where it stands, as people write it: `[credentials.NAME.refresh]`.
    pub(super) name: &'static str,
    /// Keys that are obeyed.
    pub(super) obeyed: &'static [&'static str],
    /// Keys of the design that nothing obeys yet.
    pub(super) later: &'static [&'static str],
    /// Keys of `later` that keep somebody out, or the table's unknown keys too (`"*"`): ignoring one would let them in,
    /// so that `--ignore-unknown-keys` does not ignore it.
    pub(super) protective: &'static [&'static str],
}

/// Reads one table key by key.
///
/// Every method returns `None` where the key is absent or its value is not usable; the latter has then been recorded, and since
/// a configuration with a mistake yields no settings, going on with a default is harmless.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    context: &'a Context<'a>,
    table: Option<&'a Table>,
    place: Place,
    path: String,
    keys: &'static Keys,
}

impl<'a> Reader<'a> {
    /// A reader of `table`, which stands at `path`. Records its unknown keys.
    pub(super) fn new(
        context: &'a Context<'a>,
        table: Option<&'a Table>,
        place: Place,
        path: impl Into<String>,
        keys: &'static Keys,
    ) -> Self {
        let reader = Self { context, table, place, path: path.into(), keys };
        reader.check_keys();
        reader
    }

    /// A reader of a value that must be a table.
    pub(super) fn of_node(
        context: &'a Context<'a>,
        node: &'a Node,
        place: Place,
        path: String,
        keys: &'static Keys,
    ) -> Self {
        let table = match &node.value {
            Value::Table(table) => Some(table),
            _ => {
                let message = format!("must be a table, {}, not {}", keys.name, node.kind());
                context.mistake(node.place.clone(), Reason::ConfigWrongValue, path.clone(), message);
                None
            }
        };
        Self::new(context, table, place, path, keys)
    }

    fn check_keys(&self) {
        for entry in self.table.map_or(&[][..], |table| &table.entries) {
            let key = entry.key.as_str();
            if self.keys.obeyed.contains(&key) {
                continue;
            }
            let (reason, message) = if self.keys.later.contains(&key) {
                (Reason::ConfigNotYet, "not supported yet".to_owned())
            } else {
                (Reason::ConfigUnknownKey, words::unknown_key(key, self.keys))
            };
            let protective = self.keys.protective.iter().any(|p| *p == key || *p == "*")
                || words::meant(key, self.keys.obeyed).is_some_and(|key| GUARDS.contains(&key));
            if !self.context.ignore_unknown_keys() {
                self.context.mistake(entry.key_place.clone(), reason, self.dotted(key), message);
            } else if protective {
                let message = format!("{message}; it keeps callers out, so --ignore-unknown-keys does not ignore it");
                self.context.mistake(entry.key_place.clone(), reason, self.dotted(key), message);
            } else {
                self.context.warning(entry.key_place.clone(), reason, self.dotted(key), format!("{message} (ignored)"));
            }
        }
    }

    pub(super) fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The dotted name of the table.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the table was written at all.
    pub(super) fn is_written(&self) -> bool {
        self.table.is_some()
    }

    /// The dotted name of a key of this table.
    pub(super) fn dotted(&self, key: &str) -> String {
        dotted(&self.path, key)
    }

    /// The value of a key, whatever it is.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(self.keys.obeyed.contains(&key), "{key} is read from {} but not listed there", self.keys.name);
        #[cfg(test)]
        READ.with_borrow_mut(|read| read.insert((self.keys.name, key.to_owned())));
        self.table.and_then(|table| table.entry(key)).map(|entry| &entry.node)
    }

    /// Whether the key was written, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Records a mistake at the value of `key`, or at the table if the key was not written.
    pub(super) fn reject(&self, key: &str, reason: Reason, message: impl Into<String>) {
        self.context.mistake(self.place_of(key), reason, self.dotted(key), message);
    }

    /// Records a mistake of the kind "value is not what the key takes".
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) {
        self.reject(key, Reason::ConfigWrongValue, message);
    }

    /// Records that a required key was not written, and how to write it: in the file, or without one as a flag.
    pub(super) fn missing(&self, key: &str, why: &str, example: &str) {
        let in_file = matches!(self.place, Place::File { .. });
        let flag = if in_file { None } else { overlay::flag_of(&self.dotted(key), example) };
        let how = flag.unwrap_or_else(|| format!("{key} = {example:?}"));
        self.reject(key, Reason::ConfigMissing, format!("{why}: {how}"));
    }

    /// Records a warning at the value of `key`.
    pub(super) fn warn(&self, key: &str, reason: Reason, message: impl Into<String>) {
        self.context.warning(self.place_of(key), reason, self.dotted(key), message);
    }

    fn place_of(&self, key: &str) -> Place {
        self.table.and_then(|table| table.entry(key)).map_or(&self.place, |entry| &entry.node.place).clone()
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        let node = self.node(key)?;
        let text = node.as_text();
        if text.is_none() {
            self.wrong(key, format!("must be a string, not {}", node.kind()));
        }
        text
    }

    /// A string that `parse` understands; its error says what would be right.
    pub(super) fn parsed<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.text(key)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.wrong(key, message);
                None
            }
        }
    }

    /// A string that is not empty.
    pub(super) fn non_empty(&self, key: &str) -> Option<String> {
        self.parsed(key, |text| match text {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match &node.value {
            Value::Boolean(value) => Some(*value),
            Value::Text(text) if matches!(text.as_str(), "true" | "false") => {
                self.wrong(key, format!("must be a boolean: write {} without quotation marks", text.as_str()));
                None
            }
            _ => {
                self.wrong(key, format!("must be true or false, not {}", node.kind()));
                None
            }
        }
    }

    /// An integer within `range`.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<i128>) -> Option<i128> {
        let node = self.node(key)?;
        match node.value {
            Value::Integer(value) if range.contains(&value) => Some(value),
            _ => {
                self.wrong(key, format!("must be an integer from {} to {}", range.start(), range.end()));
                None
            }
        }
    }

    /// A time with a unit. A bare number is refused with the way to write it.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        if let Some(Value::Integer(number)) = self.node(key).map(|node| &node.value) {
            self.wrong(key, format!("must be a string with a unit, such as \"{number}s\""));
            return None;
        }
        self.parsed(key, value::duration)
    }

    /// A time that is more than zero.
    pub(super) fn positive_duration(&self, key: &str) -> Option<Duration> {
        let duration = self.duration(key)?;
        if duration == Duration::ZERO {
            self.wrong(key, "must be more than zero");
        }
        Some(duration)
    }

    /// A number of bytes with a unit.
    pub(super) fn size(&self, key: &str) -> Option<usize> {
        if let Some(Value::Integer(number)) = self.node(key).map(|node| &node.value) {
            self.wrong(key, format!("must be a string with a unit, such as \"{number}B\" or \"64KiB\""));
            return None;
        }
        self.parsed(key, value::size)
    }

    /// One of a closed list of words; a word of `later` is refused with "not yet".
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)], later: &[&str]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        if later.contains(&text) {
            self.reject(key, Reason::ConfigNotYet, format!("{} is not supported yet", value::quoted(text)));
            return None;
        }
        let known: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let near = words::did_you_mean(text, &known);
        self.wrong(key, format!("must be {}, not {}{near}", words::one_of(&known), value::quoted(text)));
        None
    }

    /// The items of a list; a single value counts as a list of one.
    pub(super) fn items(&self, key: &str) -> Option<&'a [Node]> {
        let node = self.node(key)?;
        match &node.value {
            Value::List(items) => Some(items),
            _ => Some(std::slice::from_ref(node)),
        }
    }

    /// Each item of a list of strings (or of a single one) through `parse`. Items that fail are recorded and left out.
    pub(super) fn parsed_items<T>(
        &self,
        key: &str,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<(T, Place)>> {
        let items = self.items(key)?;
        let parse = |item: &'a Node| {
            let result = match item.as_text() {
                Some(text) => parse(text),
                None => Err(format!("must be a string or a list of strings, not {}", item.kind())),
            };
            match result {
                Ok(value) => Some((value, item.place.clone())),
                Err(message) => {
                    self.context.mistake(item.place.clone(), Reason::ConfigWrongValue, self.dotted(key), message);
                    None
                }
            }
        };
        Some(items.iter().filter_map(parse).collect())
    }

    /// A list of integers within `range`.
    pub(super) fn integers(&self, key: &str, range: &RangeInclusive<i128>) -> Option<Vec<i128>> {
        let items = self.items(key)?;
        let parse = |item: &'a Node| match item.value {
            Value::Integer(value) if range.contains(&value) => Some(value),
            _ => {
                let message = format!("must be a list of integers from {} to {}", range.start(), range.end());
                self.context.mistake(item.place.clone(), Reason::ConfigWrongValue, self.dotted(key), message);
                None
            }
        };
        Some(items.iter().filter_map(parse).collect())
    }

    /// A table below this one; absent, it reads as empty.
    pub(super) fn table(&self, key: &str, keys: &'static Keys) -> Reader<'a> {
        let _ = self.node(key);
        match self.table.and_then(|table| table.entry(key)) {
            Some(entry) => Reader::of_node(self.context, &entry.node, entry.key_place.clone(), self.dotted(key), keys),
            None => Reader::new(self.context, None, self.place.clone(), self.dotted(key), keys),
        }
    }

    /// Each table of an array of tables (`[[credentials.api.permanent]]`).
    pub(super) fn tables(&self, key: &str, keys: &'static Keys) -> Vec<Reader<'a>> {
        let items = self.items(key).unwrap_or_default();
        let read = |item: &'a Node| Reader::of_node(self.context, item, item.place.clone(), self.dotted(key), keys);
        items.iter().map(read).collect()
    }

    /// The entries of a table whose keys the user chooses (`routes`, `params`).
    pub(super) fn entries(&self, key: &str) -> &'a [Entry] {
        match self.node(key).map(|node| (&node.value, node)) {
            Some((Value::Table(table), _)) => &table.entries,
            Some((_, node)) => {
                self.wrong(key, format!("must be a table, not {}", node.kind()));
                &[]
            }
            None => &[],
        }
    }
}

#[cfg(test)]
thread_local! {
    /// What this thread's readers have been asked for: a key that is listed must be read.
    pub(super) static READ: RefCell<std::collections::BTreeSet<(&'static str, String)>> = RefCell::default();
}

/// Joins a table's name and a key's; a key that TOML would have to quote is shown quoted.
pub(super) fn dotted(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
