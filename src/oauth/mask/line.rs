//! A text of others as one line: cut, and with nothing in it that a terminal obeys.
//!
//! Owns no secret: what must not be shown was masked before.

/// How many characters of a text are shown.
pub(super) const SHOWN: usize = 200;

/// The text cut to about 200 characters, on one line, with nothing in it that a terminal obeys. Masks nothing.
pub(in crate::oauth) fn escaped(text: &str) -> String {
    let mut shown = String::new();
    let mut length = 0;
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        for c in word.chars() {
            if length >= SHOWN {
                shown.push('…');
                return shown;
            }
            length += 1;
            match c {
                // The text stands in double quotes.
                '"' => shown.push('\''),
                c if is_harmless(c) => shown.push(c),
                c => {
                    let escape = c.escape_unicode();
                    length += escape.len();
                    shown.extend(escape);
                }
            }
        }
        if words.peek().is_some() {
            shown.push(' ');
            length += 1;
        }
    }
    shown
}

/// Not a control character, and not one that changes the direction or the visibility of others.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}
