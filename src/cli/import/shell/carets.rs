//! Lines for cmd.exe, in which `^` takes the meaning of the character after it, as browsers copy them.
//!
//! Owns the recognition of such lines, and their words. Chrome and Firefox put `^"` around every word today, `^` before what is no
//! letter, and `^%^` for a percent sign; within it a quote is `\"` and a backslash `\\`, both with their `^`. Earlier Chrome put plain quotes
//! around a word and carets in it all the same.

use super::{Refusal, Scanner};

/// What a `^` means in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carets {
    /// Itself, but at the end of a line.
    Plain,
    /// Nothing in double quotes before `&`, `%` and `^`.
    Quoted,
    /// Nothing before any character.
    Everywhere,
}

/// What stands in double quotes, and how often behind a caret.
#[derive(Default)]
struct Counted {
    all: usize,
    escaped: usize,
}

impl Counted {
    fn count(&mut self, is_escaped: bool) {
        self.all += 1;
        self.escaped += usize::from(is_escaped);
    }

    fn are_all(&self) -> bool {
        self.all > 0 && self.escaped == self.all
    }

    fn is_mixed(&self) -> bool {
        self.escaped > 0 && self.escaped < self.all
    }
}

/// For which shell the text was written. Doubts are for the POSIX shell, whose `^` is a character.
pub(super) fn carets_of(text: &[char]) -> Carets {
    let at = |index: usize| text.get(index).copied();
    let (mut ampersands, mut percents) = (Counted::default(), Counted::default());
    let (mut is_quoted, mut index) = (false, 0);
    while let Some(character) = at(index) {
        let before = index.checked_sub(1).and_then(at);
        let next = at(index + 1);
        match character {
            '^' if !is_quoted && next == Some('"') && before.is_none_or(char::is_whitespace) => {
                return Carets::Everywhere;
            }
            '^' if is_quoted && text.get(index..).is_some_and(|rest| rest.starts_with(&['^', '\\', '^', '"'])) => {
                return Carets::Everywhere;
            }
            // What cmd does not know.
            '\'' if !is_quoted => return Carets::Plain,
            '\\' if !is_quoted && next.is_none_or(char::is_whitespace) => return Carets::Plain,
            '$' if next.is_some_and(|next| next.is_ascii_alphabetic() || "_{(".contains(next)) => return Carets::Plain,
            '\\' => index += 1,
            '"' => is_quoted = !is_quoted,
            '&' if is_quoted => ampersands.count(before == Some('^')),
            '%' if is_quoted => {
                percents.count(before == Some('^') && next.is_none_or(|next| !next.is_ascii_alphanumeric()))
            }
            _ => {}
        }
        index += 1;
    }
    let is_for_cmd = (ampersands.are_all() || percents.are_all()) && !ampersands.is_mixed() && !percents.is_mixed();
    if is_for_cmd { Carets::Quoted } else { Carets::Plain }
}

impl Scanner {
    /// A word of a line in which carets mean nothing anywhere.
    ///
    /// # Errors
    /// A quote that does not end.
    pub(super) fn caret_word(&mut self) -> Result<String, Refusal> {
        let unended = self.refusal("this \" has no end");
        let (mut word, mut is_quoted) = (String::new(), false);
        while let Some(character) = self.peek(0) {
            let ends = character.is_whitespace()
                || matches!(character, '|' | ';' | '>')
                || character == '&' && self.peek(1).is_none_or(|next| next.is_whitespace() || next == '&')
                || character == '^' && self.continues();
            if ends && !is_quoted {
                break;
            }
            match self.behind_carets() {
                Some('"') => is_quoted = !is_quoted,
                Some('\\') => word.push(self.after_backslash()),
                other => word.extend(other),
            }
        }
        if is_quoted { Err(unended) } else { Ok(word) }
    }

    /// The next character, without the caret before it; a caret before a line break goes with it.
    fn behind_carets(&mut self) -> Option<char> {
        if self.peek(0) == Some('^') {
            self.bump();
            self.line_break();
        }
        self.line_break().or_else(|| self.bump())
    }

    fn line_break(&mut self) -> Option<char> {
        if self.peek(0) == Some('\r') && self.peek(1) == Some('\n') {
            self.bump();
        }
        (self.peek(0) == Some('\n')).then(|| self.bump()).flatten()
    }

    /// A quote or a backslash; before anything else the backslash is itself, as in `C:\certs`.
    fn after_backslash(&mut self) -> char {
        let place = (self.next, self.line, self.column);
        match self.behind_carets() {
            Some(escaped @ ('"' | '\\')) => escaped,
            _ => {
                (self.next, self.line, self.column) = place;
                '\\'
            }
        }
    }

    /// `^&`, `^^`, `^%^4` in double quotes, taken if they are there.
    pub(super) fn quoted_caret(&mut self, word: &mut String) -> bool {
        let is_escape = self.carets == Carets::Quoted
            && self.peek(0) == Some('^')
            && self.peek(1).is_some_and(|next| matches!(next, '&' | '%' | '^'));
        if is_escape {
            self.bump();
            let escaped = self.bump();
            word.extend(escaped);
            let is_split = escaped == Some('%') && self.peek(0) == Some('^');
            if is_split && self.peek(1).is_some_and(|next| next.is_ascii_alphanumeric() || next == '_') {
                self.bump();
            }
        }
        is_escape
    }
}
