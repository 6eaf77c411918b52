//! The configuration as written: a tree of values that each know where they stand.
//!
//! Owns the reading of TOML. Flags and variables are laid over the same tree (`overlay`), so that they meet the same
//! checks. Refuses to know what any key means.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::mistake::{Mistake, Place};
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
        let mut message = error.message().lines().collect::<Vec<_>>().join("; ");
        if let (true, Some(span)) = (message.contains("duplicate key"), error.span()) {
            message.push_str(&twice(text, span));
        }
        syntax_error(place, message)
    });
    Err(mistakes.collect())
}

/// ` "client_id"; it stands in line 7 already`.
fn twice(text: &str, span: std::ops::Range<usize>) -> String {
    let key = text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if key.is_empty() || !key.chars().all(is_name) {
        return String::new();
    }
    let before = text.get(..span.start).unwrap_or_default();
    let own =
        text.get(before.rfind('\n').map_or(0, |at| at + 1)..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let is_header = own.trim_start().starts_with('[');
    let lines: Vec<_> = before.lines().collect();
    let same = |line: &str| match is_header {
        true => line.trim() == own.trim(),
        false => line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')),
    };
    // Within the same table, whose header comes before.
    let table = lines.iter().rev().take_while(|line| is_header || !line.trim_start().starts_with('[')).count();
    let first = lines.iter().enumerate().skip(lines.len() - table).find(|(_, line)| same(line));
    let first = first.map(|(at, _)| format!("; it stands in line {} already", at + 1)).unwrap_or_default();
    format!(" \"{key}\"{first}")
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
