//! A command line as a POSIX shell reads it: words, quotes, escapes, continuations, variables.
//!
//! Owns the splitting of text into words. Runs nothing: of command substitutions it knows those whose value can be said
//! (`$(cat FILE)`, `$(echo -n TEXT | base64)`), and refuses the rest. More forgiving than a shell where documentation is sloppy: a
//! line break without a backslash, a placeholder such as `<your secret>` without quotes, an `&` inside a word. The
//! continuations of Windows (`^` and a backtick at the end of a line) count as well, and lines that browsers copy for cmd.exe are
//! known: see [`carets`].

mod carets;
mod quotes;

use std::fmt;

use self::carets::Carets;
use super::marks;

/// Where something stands in what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// In text: both count from 1, columns in characters.
    Text { line: usize, column: usize },
    /// In a list of arguments, counted from 1.
    Argument(usize),
    /// Nowhere in particular.
    Whole,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { line: 1, column } => write!(f, "column {column}"),
            Self::Text { line, column } => write!(f, "line {line}, column {column}"),
            Self::Argument(number) => write!(f, "argument {number}"),
            Self::Whole => f.write_str("the curl line"),
        }
    }
}

/// Why a line cannot be used. Never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub(super) struct Refusal {
    pub(super) at: At,
    pub(super) what: String,
}

impl Refusal {
    pub(super) fn new(at: At, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// One word, with [`marks`] where the shell would have filled something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: At,
}

/// One command, and what follows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) words: Vec<Word>,
    /// What the output is piped into.
    pub(super) piped: Option<String>,
}

/// Splits the first command.
///
/// # Errors
/// A quote or substitution that does not end, a substitution whose value cannot be said, a here-document.
pub(super) fn split(text: &str) -> Result<Line, Refusal> {
    // Editors of Windows begin a file with a mark of the byte order.
    Scanner::new(text.strip_prefix('\u{feff}').unwrap_or(text))?.line()
}

struct Scanner {
    characters: Vec<char>,
    next: usize,
    line: usize,
    column: usize,
    /// The command stands in `NAME=$(…)`, whose end is its end.
    is_substituted: bool,
    carets: Carets,
}

impl Scanner {
    fn new(text: &str) -> Result<Self, Refusal> {
        let characters: Vec<char> = text.chars().collect();
        let carets = carets::carets_of(&characters);
        let mut scanner = Self { characters, next: 0, line: 1, column: 1, is_substituted: false, carets };
        while let Some(character) = scanner.peek(0) {
            if marks::is_private(character) {
                return Err(scanner.refusal("a private character, which no curl line has"));
            }
            scanner.bump();
        }
        (scanner.next, scanner.line, scanner.column) = (0, 1, 1);
        scanner.open_assignment(text);
        Ok(scanner)
    }

    /// `TOKEN=$(curl …)`: the command is what is inside.
    fn open_assignment(&mut self, text: &str) {
        let Some((name, inside)) = text.split_once("=$(") else { return };
        if is_name(name.trim()) && inside.trim_start().starts_with("curl") {
            self.is_substituted = true;
            for _ in 0..name.chars().count() + 3 {
                self.bump();
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.next + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let character = self.peek(0)?;
        self.next += 1;
        if character == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(character)
    }

    fn at(&self) -> At {
        At::Text { line: self.line, column: self.column }
    }

    fn refusal(&self, what: &str) -> Refusal {
        Refusal::new(self.at(), what)
    }

    fn rest(&self) -> String {
        self.characters.get(self.next..).unwrap_or_default().iter().collect()
    }

    fn line(mut self) -> Result<Line, Refusal> {
        let mut line = Line::default();
        loop {
            self.skip_blanks();
            match self.peek(0) {
                None => return Ok(line),
                Some('#') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                }
                Some('|') if self.peek(1) != Some('|') => {
                    self.bump();
                    line.piped = Some(self.rest());
                    return Ok(line);
                }
                Some('|' | ';') => return Ok(line),
                Some('&') if self.peek(1).is_none_or(|next| next.is_whitespace() || next == '&') => return Ok(line),
                Some(')') if self.is_substituted => return Ok(line),
                Some('<') if self.peek(1) == Some('<') => {
                    return Err(self.refusal("a here-document: write the body behind --data instead"));
                }
                Some('>') => self.skip_redirection()?,
                Some('“' | '”' | '‘' | '’' | '„') => {
                    return Err(self.refusal("a typographic quote, which no shell knows: write \" or '"));
                }
                Some('–' | '—') => {
                    return Err(self.refusal("a typographic dash, which curl does not know: write - or --"));
                }
                Some(_) if self.begins_next_command(&line) => return Ok(line),
                Some(_) => {
                    let (at, start) = (self.at(), self.next);
                    let text = match self.carets {
                        Carets::Everywhere => self.caret_word()?,
                        Carets::Plain | Carets::Quoted => self.word()?,
                    };
                    if self.next == start {
                        // Every turn takes something, whatever stands here.
                        self.bump();
                        continue;
                    }
                    // 2>/dev/null
                    if self.peek(0) == Some('>') && matches!(text.as_str(), "1" | "2") {
                        self.skip_redirection()?;
                    } else {
                        line.words.push(Word { text, at });
                    }
                }
            }
        }
    }

    /// Spaces, line breaks and continuations.
    fn skip_blanks(&mut self) {
        loop {
            match self.peek(0) {
                Some(character) if character.is_whitespace() => {
                    self.bump();
                }
                Some('\\' | '^' | '`') if self.continues() => {
                    self.bump();
                }
                _ => return,
            }
        }
    }

    /// Whether the character here is the last of its line (but for blanks): a continuation.
    fn continues(&self) -> bool {
        let rest = self.characters.get(self.next + 1..).unwrap_or_default();
        rest.iter().find(|c| !matches!(c, ' ' | '\t' | '\r')).is_none_or(|c| *c == '\n')
    }

    fn skip_redirection(&mut self) -> Result<(), Refusal> {
        while matches!(self.peek(0), Some('>' | '&' | '|')) {
            self.bump();
        }
        self.skip_blanks();
        self.word().map(drop)
    }

    /// A second `curl` on a line of its own.
    fn begins_next_command(&self, line: &Line) -> bool {
        let begins = |word: &str| self.rest().strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '\t']));
        self.column == 1 && begins("curl") && line.words.iter().any(|word| is_curl(&word.text))
    }

    fn word(&mut self) -> Result<String, Refusal> {
        let mut word = String::new();
        while let Some(character) = self.peek(0) {
            match character {
                c if c.is_whitespace() => break,
                '\'' => self.single_quoted(&mut word)?,
                '"' => self.double_quoted(&mut word)?,
                '\\' | '^' | '`' if self.continues() => break,
                '\\' => {
                    self.bump();
                    word.extend(self.bump());
                }
                '$' => self.dollar(&mut word, false)?,
                '`' => self.backticks(&mut word)?,
                '<' => self.placeholder(&mut word)?,
                '|' | ';' | '>' => break,
                ')' if self.is_substituted => break,
                '&' if self.peek(1).is_none_or(|next| next.is_whitespace() || next == '&') => break,
                '&' => self.ampersand(&mut word)?,
                other => {
                    word.push(other);
                    self.bump();
                }
            }
        }
        Ok(word)
    }
}

/// Whether a word names the program.
pub(super) fn is_curl(word: &str) -> bool {
    let program = word.rsplit(['/', '\\']).next().unwrap_or(word);
    program == "curl" || program.eq_ignore_ascii_case("curl.exe")
}

/// Whether it can be the name of a variable.
pub(super) fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
