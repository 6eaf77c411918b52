//! Colours of a terminal, and columns that are aligned in spite of them.

use std::fmt::Write as _;

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn new(in_colour: bool) -> Self {
        Self(in_colour)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn warning(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn quiet(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Which side the text of a column stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Rows with columns of equal width, two spaces apart.
pub(super) fn aligned(sides: &[Side], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| seen(cell)).max().unwrap_or(0);
    let widths: Vec<_> = (0..sides.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, side), width) in row.iter().zip(sides).zip(&widths) {
            let room = " ".repeat(width.saturating_sub(seen(cell)));
            let _ = match side {
                Side::Left => write!(line, "{cell}{room}  "),
                Side::Right => write!(line, "{room}{cell}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How many characters of it are seen.
fn seen(text: &str) -> usize {
    let mut in_code = false;
    let is_seen = |c: &char| {
        let hidden = in_code || *c == '\x1b';
        in_code = hidden && *c != 'm';
        !hidden
    };
    text.chars().filter(is_seen).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_colour() {
        let rows =
            |paint: Paint| vec![vec!["a".to_owned(), paint.bad("1")], vec![paint.strong("über"), "100".to_owned()]];
        let sides = [Side::Left, Side::Right];
        assert_eq!(aligned(&sides, &rows(Paint::new(false))), "a       1\nüber  100\n");
        let coloured = aligned(&sides, &rows(Paint::new(true)));
        assert_eq!(coloured, "a       \x1b[31m1\x1b[0m\n\x1b[1müber\x1b[0m  100\n");
    }
}
