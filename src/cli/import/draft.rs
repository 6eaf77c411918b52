//! A configuration that is about to be printed, and how it is written as TOML.
//!
//! Owns order, comments and quoting of what the importers print, and the list of what is still to be done. A secret never comes in
//! here: its place is a [`Value::File`] or a [`Value::Variable`].

use std::fmt::Write as _;

/// One route and one credential.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Of the credential and of its route.
    pub(super) name: String,
    /// What it was made of: a line of comment.
    pub(super) origin: String,
    /// Where requests go; `None` prints a placeholder.
    pub(super) upstream: Option<String>,
    /// The keys of `[credentials.NAME]`, in their order.
    pub(super) keys: Vec<Key>,
    /// Tables below it: `tls`, `response`.
    pub(super) tables: Vec<(&'static str, Vec<Key>)>,
    /// What must be there before it works.
    pub(super) needed: Vec<Needed>,
    /// What the configuration leaves out or changes.
    pub(super) notes: Vec<String>,
}

/// `key = value`, with lines of comment above.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) value: Value,
    pub(super) comment: Option<String>,
}

/// What can stand behind a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    File(String),
    Variable(String),
    /// A number or a boolean, as it is written.
    Literal(String),
    List(Vec<String>),
    Table(Vec<(String, Value)>),
}

/// Something that a person has to put in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    File {
        path: String,
        what: String,
    },
    Variable {
        name: String,
        what: String,
    },
    /// A placeholder in a text, which must be replaced in the configuration itself.
    Edit {
        what: String,
    },
}

/// Where an upstream stands until somebody knows it.
const UPSTREAM: &str = "https://api.example.com";

impl Draft {
    pub(super) fn key(&mut self, name: &str, value: Value) {
        self.keys.push(Key { name: name.to_owned(), value, comment: None });
    }

    pub(super) fn commented(&mut self, name: &str, value: Value, comment: impl Into<String>) {
        self.keys.push(Key { name: name.to_owned(), value, comment: Some(comment.into()) });
    }

    /// As a configuration file, without a route if none is wanted.
    pub(super) fn to_toml(&self, with_route: bool) -> String {
        let mut text = String::new();
        let name = bare_or_quoted(&self.name);
        comment(&mut text, &self.origin);
        for note in &self.notes {
            comment(&mut text, &format!("NOTE: {note}"));
        }
        if with_route {
            let upstream = quoted(self.upstream.as_deref().unwrap_or(UPSTREAM));
            let replace = if self.upstream.is_none() { "   # REPLACE: the API that wants the tokens" } else { "" };
            let _ = write!(
                text,
                "\n[routes.{name}]\nupstream = {upstream}{replace}\ncredential = {}\n",
                quoted(&self.name)
            );
        }
        let _ = writeln!(text, "\n[credentials.{name}]");
        keys(&mut text, &self.keys);
        for (table, members) in self.tables.iter().filter(|(_, members)| !members.is_empty()) {
            let _ = writeln!(text, "\n[credentials.{name}.{table}]");
            keys(&mut text, members);
        }
        text
    }
}

fn keys(text: &mut String, keys: &[Key]) {
    for key in keys {
        if let Some(words) = &key.comment {
            comment(text, words);
        }
        let _ = writeln!(text, "{} = {}", bare_or_quoted(&key.name), key.value.to_toml());
    }
}

fn comment(text: &mut String, words: &str) {
    for line in words.lines().filter(|line| !line.trim().is_empty()) {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(text, "# {}", line.trim_end());
    }
}

impl Value {
    pub(super) fn to_toml(&self) -> String {
        match self {
            Self::Text(value) => quoted(value),
            Self::File(path) => format!("{{ file = {} }}", quoted(path)),
            Self::Variable(name) => format!("{{ env = {} }}", quoted(name)),
            Self::Literal(literal) => literal.clone(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
            }
            Self::Table(members) => {
                let member = |(name, value): &(String, Self)| format!("{} = {}", bare_or_quoted(name), value.to_toml());
                format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn bare_or_quoted(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !key.is_empty() && key.chars().all(is_bare) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_draft_is_printed_with_its_comments() {
        let mut draft = Draft { name: "api".to_owned(), origin: "made of x".to_owned(), ..Draft::default() };
        draft.notes.push("-4 is left out".to_owned());
        draft.key("token_endpoint", Value::Text("https://x".to_owned()));
        draft.commented("client_secret", Value::File("s".to_owned()), "put it there\n\nand there");
        draft.key("params", Value::Table(vec![("a b".to_owned(), Value::Variable("X".to_owned()))]));
        draft.tables.push(("tls", Vec::new()));
        let wanted = "# made of x\n# NOTE: -4 is left out\n\n[credentials.api]\ntoken_endpoint = \"https://x\"\n\
            # put it there\n# and there\nclient_secret = { file = \"s\" }\nparams = { \"a b\" = { env = \"X\" } }\n";
        assert_eq!(draft.to_toml(false), wanted);
        assert!(draft.to_toml(true).contains("upstream = \"https://api.example.com\"   # REPLACE"));
    }

    proptest! {
        #[test]
        fn every_text_comes_back_from_toml(key in "\\PC{1,20}|[\\x00-\\x7f]{1,20}", value in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
            let line = format!("{} = {}", bare_or_quoted(&key), Value::Text(value.clone()).to_toml());
            let table: toml::Table = line.parse().unwrap();
            prop_assert_eq!(table[&key].as_str(), Some(&*value));
        }
    }
}
