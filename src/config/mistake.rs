//! What is wrong with a configuration: every mistake at once, each with its place, its key and its cure.
//!
//! Refuses to show values that may be secret: messages are made of keys, places and closed lists of words.

use std::fmt;
use std::sync::Arc;

use crate::reason::Reason;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file; line and column count from 1, line 0 is the file as a whole.
    File {
        /// As the user named it.
        path: Arc<str>,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// On the command line: `--upstream`.
    Flag(&'static str),
    /// In the environment: `BEARERD_UPSTREAM`.
    Variable(String),
    /// Nowhere: without a file, something was left out.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0, .. } => f.write_str(path),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// Its stable code, `F…`.
    pub reason: Reason,
    /// The dotted key; empty if it is about the whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)?;
        if !self.key.is_empty() {
            write!(f, " {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Leaves out what is said to be missing where it stands misspelled, which is said already.
pub(super) fn without_echoes(mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let table = |key: &str| key.rsplit_once('.').map(|(table, _)| table.to_owned()).unwrap_or_default();
    let is_meant = |key: &str| {
        let name = key.rsplit('.').next().unwrap_or_default();
        let meant = format!("did you mean \"{name}\"?");
        mistakes.iter().any(|other| {
            other.reason == Reason::ConfigUnknownKey
                && table(&other.key) == table(key)
                && other.message.contains(&meant)
        })
    };
    let is_echo = |mistake: &Mistake| mistake.reason == Reason::ConfigMissing && is_meant(&mistake.key);
    let echoes: Vec<_> = mistakes.iter().map(is_echo).collect();
    mistakes.into_iter().zip(echoes).filter(|(_, is_echo)| !is_echo).map(|(mistake, _)| mistake).collect()
}

/// Every mistake of a configuration, at least one, in the order of their places. `Display` writes one a line and then
/// their number.
#[derive(Debug)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// At least one.
    pub(crate) fn new(mut all: Vec<Mistake>) -> Self {
        all.sort_by(|a, b| a.place.cmp(&b.place));
        all.dedup();
        Self(all)
    }

    /// The mistakes, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 mistake; `bearerd explain CODE` says more"),
            n => write!(f, "{n} mistakes; `bearerd explain CODE` says more"),
        }
    }
}

impl std::error::Error for Mistakes {}
