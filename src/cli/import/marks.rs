//! What a shell would have filled in, kept in the text where it stood.
//!
//! A word of a curl line may hold `$CLIENT_ID` or `$(cat secret.txt)`, whose value nobody knows here. They stay in the text between
//! private characters, so that a form, a JSON body or a header can be taken apart as if the values were there. Refuses input that
//! holds these characters itself.

/// Begins a variable's name or a file's path.
const OPEN: char = '\u{F0000}';
const CLOSE: char = '\u{F0001}';
/// Begins and ends a text that the shell would have encoded with `base64`.
const OPEN_BASE64: char = '\u{F0002}';
const CLOSE_BASE64: char = '\u{F0003}';
/// Between [`OPEN`] and a path, which a variable's name never begins with.
const FILE: char = '<';

/// A value that is one variable or one file and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// `$NAME`
    Variable(&'a str),
    /// `$(cat PATH)`
    File(&'a str),
}

pub(super) fn is_private(character: char) -> bool {
    matches!(character, OPEN..=CLOSE_BASE64)
}

pub(super) fn variable(name: &str) -> String {
    format!("{OPEN}{name}{CLOSE}")
}

pub(super) fn file(path: &str) -> String {
    format!("{OPEN}{FILE}{path}{CLOSE}")
}

pub(super) fn base64(text: &str) -> String {
    format!("{OPEN_BASE64}{text}{CLOSE_BASE64}")
}

/// Whether anything in it is not known.
pub(super) fn has_marks(text: &str) -> bool {
    text.contains(is_private)
}

/// The variable or file that the whole text is.
pub(super) fn whole(text: &str) -> Option<Reference<'_>> {
    let inner = text.strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
    if has_marks(inner) {
        return None;
    }
    Some(match inner.strip_prefix(FILE) {
        Some(path) => Reference::File(path),
        None => Reference::Variable(inner),
    })
}

/// The text that the shell would have encoded, if that is the whole of it.
pub(super) fn base64_of(text: &str) -> Option<&str> {
    let inner = text.strip_prefix(OPEN_BASE64)?.strip_suffix(CLOSE_BASE64)?;
    (!inner.contains([OPEN_BASE64, CLOSE_BASE64])).then_some(inner)
}

/// The text as a person would write it: `$NAME`, `$(cat PATH)`.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut is_file = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            OPEN if characters.next_if_eq(&FILE).is_some() => {
                is_file = true;
                shown.push_str("$(cat ");
            }
            OPEN => shown.push('$'),
            CLOSE if is_file => {
                is_file = false;
                shown.push(')');
            }
            CLOSE => {}
            OPEN_BASE64 => shown.push_str("base64("),
            CLOSE_BASE64 => shown.push(')'),
            other => shown.push(other),
        }
    }
    shown
}

/// Puts the values of known variables in their places.
pub(super) fn fill_in(text: &str, known: &[(String, String)]) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&variable(name), value))
}

/// Splits into the pieces between marks, and the names in them: `("https://", None), ("HOST", Some)`.
pub(super) fn pieces(text: &str) -> Vec<(&str, bool)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (name, tail) = after.split_once(CLOSE).unwrap_or((after, ""));
        pieces.push((before, false));
        pieces.push((name.trim_start_matches(FILE), true));
        rest = tail;
    }
    pieces.push((rest, false));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_shown_and_filled_in() {
        let text = format!("https://{}/x", variable("HOST"));
        assert!(has_marks(&text));
        assert_eq!(shown(&text), "https://$HOST/x");
        assert_eq!(fill_in(&text, &[("HOST".to_owned(), "a.b".to_owned())]), "https://a.b/x");
        assert_eq!(pieces(&text), [("https://", false), ("HOST", true), ("/x", false)]);
        assert_eq!(whole(&text), None);
        assert_eq!(whole(&variable("A")), Some(Reference::Variable("A")));
        assert_eq!(whole(&file("a b")), Some(Reference::File("a b")));
        assert_eq!(shown(&file("a b")), "$(cat a b)");
        let encoded = base64(&format!("{}:{}", variable("I"), variable("S")));
        assert_eq!(base64_of(&encoded).map(shown), Some("$I:$S".to_owned()));
        assert_eq!(whole(&encoded), None);
    }
}
