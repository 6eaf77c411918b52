//! Lines that were copied from the source of a page, with its escapes.
//!
//! Owns `&amp;`, which is undone, and knows the others, for which the reader has to write the character: a quote changes what a line
//! means.

/// What is said where one was undone.
const NOTE: &str = "the curl line has &amp; where a page's source writes &: & is read";

/// Escapes behind their `&`, for quotes, brackets and blanks.
const OTHERS: &[&str] = &["quot;", "apos;", "lt;", "gt;", "nbsp;", "#34;", "#39;", "#x22;", "#x27;"];

/// `&amp;` as `&`, and a note that it was so.
pub(super) fn without_amp(text: &str, notes: &mut Vec<String>) -> String {
    let is_noted = notes.iter().any(|note| note == NOTE);
    if text.contains("&amp;") && !is_noted {
        notes.push(NOTE.to_owned());
    }
    text.replace("&amp;", "&")
}

/// What is said of the first escape in a text.
pub(super) fn first_escape(text: &str) -> Option<String> {
    text.split('&').skip(1).find_map(escape_in)
}

/// What is said of an escape, if this is what follows an `&`.
pub(super) fn escape_in(behind: &str) -> Option<String> {
    let escape = OTHERS.iter().find(|escape| behind.starts_with(**escape))?;
    Some(format!("an escape of HTML (&{escape}), as in the source of a page: write the character itself"))
}
