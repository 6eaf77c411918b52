//! Lines of `check --fetch`: a mark, a label, a text, wrapped so that a terminal of 100 columns does not have to.

use crate::cli::output;

/// Columns of a line.
const WIDTH: usize = 98;
/// Where the text begins.
const INDENT: usize = 14;

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Done,
    Failed,
    /// It works, and is worth a look.
    Odd,
    /// Nothing to say well or ill of.
    Plain,
    /// What may help.
    Cure,
}

impl Mark {
    fn sign(self) -> char {
        match self {
            Self::Done => '✓',
            Self::Failed => '✗',
            Self::Odd => '!',
            Self::Plain => '-',
            Self::Cure => '→',
        }
    }
}

/// Prints one step.
pub(super) fn say(mark: Mark, label: &str, text: &str) {
    output::write(format!("{}\n", line(mark, label, text)));
}

/// Prints a line as it is.
pub(super) fn title(text: &str) {
    output::write(format!("{text}\n"));
}

pub(super) fn line(mark: Mark, label: &str, text: &str) -> String {
    // What goes on about the same thing has no mark of its own.
    let sign = if label.is_empty() { ' ' } else { mark.sign() };
    let mut line = format!("  {sign} {label:<9} ");
    let mut column = INDENT;
    let mut is_first = true;
    for word in text.split(' ') {
        let length = word.chars().count();
        if !is_first && column + 1 + length > WIDTH {
            line.push_str(&format!("\n{:INDENT$}", ""));
            column = INDENT;
        } else if !is_first {
            line.push(' ');
            column += 1;
        }
        line.push_str(word);
        column += length;
        is_first = false;
    }
    line
}

/// Another party's text, without what could act on a terminal.
pub(super) fn printable(text: &str) -> String {
    let hides = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hides(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_marked_and_wrapped_below_its_text() {
        assert_eq!(line(Mark::Done, "name", "a is b"), "  ✓ name      a is b");
        assert_eq!(line(Mark::Cure, "", "or b"), "              or b");
        let long = line(Mark::Failed, "answer", &"word ".repeat(40));
        assert!(long.lines().count() > 2 && long.lines().all(|line| line.chars().count() <= WIDTH), "{long}");
        assert!(long.lines().skip(1).all(|line| line.starts_with("              ")), "{long}");
        assert_eq!(printable("a\u{1b}[2J\u{202e}"), "a\\u{1b}[2J\\u{202e}");
    }
}
