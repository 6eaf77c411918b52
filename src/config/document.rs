//! The configuration as written: a tree of values that each know where they stand.
//!
//! Owns the reading of TOML and the [`Reader`] of one table, which records every mistake instead of stopping at the
//! first. Flags and variables are laid over the same tree (`overlay`), so that they meet the same checks. Refuses to
//! know what any key means.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::mistake::{Mistake, Place};
use super::overlay;
use super::value;
use super::words;
use crate::reason::Reason;

/// A value and where it stands. Has no `Debug`: it may be a secret.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A value as written.
pub(super) enum Value {
    Text(Zeroizing<String>),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// Dates and times, which no key takes.
    Date,
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    pub(super) fn text(place: Place, text: impl Into<String>) -> Self {
        Self { place, value: Value::Text(Zeroizing::new(text.into())) }
    }

    pub(super) fn table(place: Place) -> Self {
        Self { place, value: Value::Table(Table::default()) }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, for messages: "an integer".
    pub(super) fn kind(&self) -> &'static str {
        self.value.kind()
    }
}

/// A table: its entries in the order written.
#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// One key of a table.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Puts a value where `path` says, making the tables on the way; replaces what was there.
    pub(super) fn set(&mut self, path: &[String], node: Node) {
        let Some((key, rest)) = path.split_first() else { return };
        let place = node.place.clone();
        let index = self.entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
            let node = Node::table(place.clone());
            self.entries.push(Entry { key: key.clone(), key_place: place, node });
            self.entries.len() - 1
        });
        let Some(entry) = self.entries.get_mut(index) else { return };
        if rest.is_empty() {
            entry.key_place = node.place.clone();
            entry.node = node;
            return;
        }
        if let Value::Table(inner) = &mut entry.node.value {
            inner.set(rest, node);
        }
        // Otherwise the file has something else than a table there, which is a mistake that its reader reports.
    }
}

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

/// What all tables of one load share: where mistakes go, and what references mean.
pub(super) struct Context<'e> {
    mistakes: RefCell<Vec<Mistake>>,
    warnings: RefCell<Vec<Mistake>>,
    pub(super) environment: &'e Environment,
    /// What paths in the file are relative to.
    pub(super) base: PathBuf,
    ignore_unknown_keys: bool,
}

impl<'e> Context<'e> {
    pub(super) fn new(environment: &'e Environment, base: PathBuf, ignore_unknown_keys: bool) -> Self {
        Self { mistakes: RefCell::default(), warnings: RefCell::default(), environment, base, ignore_unknown_keys }
    }

    pub(super) fn mistake(&self, place: Place, reason: Reason, key: impl Into<String>, message: impl Into<String>) {
        let mistake = Mistake { place, reason, key: key.into(), message: message.into() };
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(super) fn warning(&self, place: Place, reason: Reason, key: impl Into<String>, message: impl Into<String>) {
        let warning = Mistake { place, reason, key: key.into(), message: message.into() };
        self.warnings.borrow_mut().push(warning);
    }

    /// The mistakes and the warnings.
    pub(super) fn finish(self) -> (Vec<Mistake>, Vec<Mistake>) {
        (self.mistakes.into_inner(), self.warnings.into_inner())
    }

    /// A path as written: in the file it is relative to the file, elsewhere to where bearerd was started.
    pub(super) fn resolve(&self, path: &str, place: &Place) -> PathBuf {
        match place {
            Place::File { .. } => self.base.join(path),
            _ => PathBuf::from(path),
        }
    }
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
            let protective = self.keys.protective.iter().any(|p| *p == key || *p == "*");
            if !self.context.ignore_unknown_keys {
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
            other => {
                self.wrong(key, format!("must be true or false, not {}", other.kind()));
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

/// The tree of a TOML text, or its syntax errors. `name` is how messages call the file.
pub(super) fn parse(text: &str, name: &str) -> Result<Table, Vec<Mistake>> {
    let lines = Lines::new(text, name);
    if let Some(offset) = too_deep(text) {
        let message = format!("keys are nested more than {DEEPEST} deep");
        return Err(vec![syntax_error(lines.place(offset), message)]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(convert_table(table.get_ref(), &lines));
    }
    let mistakes = errors.iter().map(|error| {
        // The crate's own Display quotes the line, which may hold a secret.
        let place = lines.place(error.span().map_or(0, |span| span.start));
        syntax_error(place, error.message().lines().collect::<Vec<_>>().join("; "))
    });
    Err(mistakes.collect())
}

/// No table of ours is deeper; the TOML crate limits brackets but not dotted keys, and both are dropped by recursion.
const DEEPEST: usize = 60;

/// Where a line holds more dots outside of quotation marks than any key of ours.
fn too_deep(text: &str) -> Option<usize> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let mut quote = None;
        let mut dots = 0;
        for byte in line.bytes() {
            match (quote, byte) {
                (None, b'#') => break,
                (None, b'.') => dots += 1,
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), byte) if open == byte => quote = None,
                _ => {}
            }
        }
        if dots > DEEPEST {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

fn syntax_error(place: Place, message: String) -> Mistake {
    Mistake { place, reason: Reason::ConfigSyntax, key: String::new(), message }
}

fn convert_table(table: &DeTable<'_>, lines: &Lines<'_>) -> Table {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let convert = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key_place = lines.place(key.span().start);
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        Entry { key: key.to_string(), key_place, node: convert(value, lines) }
    };
    Table { entries: entries.into_iter().map(convert).collect() }
}

fn convert(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let place = lines.place(value.span().start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(Zeroizing::new(text.to_string())),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            // Beyond every range that a key takes.
            Err(_) => Value::Integer(i128::MAX),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => Value::List(items.iter().map(|item| convert(item, lines)).collect()),
        DeValue::Table(table) => Value::Table(convert_table(table, lines)),
    };
    Node { place, value }
}

/// Turns byte offsets into places.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    path: Arc<str>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str, path: &str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(index, _)| index + 1)).collect();
        Self { text, starts, path: path.into() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        Place::File { path: Arc::clone(&self.path), line, column }
    }
}

/// The place that stands for a file as a whole.
pub(super) fn whole(path: &Path) -> Place {
    Place::File { path: path.to_string_lossy().into(), line: 0, column: 0 }
}
