//! The manual of the configuration: what every key takes, what it is unless written, and what it means.
//!
//! Owns what `bearerd schema` prints, for programs (a JSON Schema) and for people (`docs/configuration.md`). Which keys there are is
//! said by the [`Keys`] that the readers use, and which words by their lists; tests hold the rows here against both, and the schema against
//! the readers: what they accept, it accepts.

mod credentials;
mod general;
mod login;
mod markdown;
mod routes;
mod schema;

use super::reader::Keys;

pub(super) use markdown::markdown;
pub(super) use schema::schema;

/// A table and its keys.
pub(super) struct Section {
    /// What the schema calls it.
    pub(super) id: &'static str,
    /// Its heading for people, as it stands in a file.
    pub(super) heading: &'static str,
    /// One or two sentences.
    pub(super) about: &'static str,
    /// The keys that its reader knows.
    pub(super) keys: &'static Keys,
    /// A row for each of them. Keys that nothing obeys yet may have one too, and are not shown.
    pub(super) rows: &'static [&'static [Key]],
}

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Default,
    pub(super) about: &'static str,
}

/// What a key is unless it is written.
pub(super) enum Default {
    /// Nothing.
    None,
    /// It must be written.
    Required,
    /// This value, in TOML.
    Is(&'static str),
    /// What these words say.
    Says(&'static str),
}

/// What a key takes.
pub(super) enum Kind {
    Boolean,
    /// From and to.
    Integer(i128, i128),
    /// A closed list of words, of the reader's own.
    Word(fn() -> Vec<&'static str>),
    Form(Form),
    /// `true`, `false` or a number from 0 to 1.
    Share,
    /// A string, or where it is to be read.
    Secret,
    /// A secret, or what the login has brought.
    Field,
    /// Likewise, or a number or a boolean.
    Param,
    Proxy,
    Account,
    Json,
    /// A program and its arguments.
    Command,
    /// The first, or any of the others.
    Either(&'static Kind, &'static Kind),
    /// One, or a list of them.
    Many(&'static Kind),
    /// A table whose keys the user chooses.
    Map(Form, &'static Kind),
    /// The section with this id.
    Table(&'static str),
    /// Any number of them.
    Tables(&'static str),
}

/// The form of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// At least one character.
    Some,
    Name,
    Duration,
    Off,
    Size,
    Listen,
    Url,
    Pointer,
    Header,
    Cookie,
    Parameter,
    Scheme,
    Method,
    Host,
    Path,
    Range,
    Percent,
    TokenType,
}

const fn key(name: &'static str, kind: Kind, default: Default, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

fn words<T>(list: &[(&'static str, T)]) -> Vec<&'static str> {
    list.iter().map(|(word, _)| *word).collect()
}

impl Section {
    /// The rows of the keys that are obeyed, in the order of the manual.
    fn obeyed(&self) -> impl Iterator<Item = &'static Key> {
        let keys = self.keys;
        self.rows.iter().copied().flatten().filter(|row| keys.obeyed.contains(&row.name))
    }
}

/// Every table, in the order in which people look for them.
pub(super) fn sections() -> impl Iterator<Item = &'static Section> {
    [general::TOP, routes::ALL, credentials::ALL, login::ALL, general::REST].into_iter().flatten()
}

#[cfg(test)]
mod tests;
