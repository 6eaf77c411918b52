//! Field lines (RFC 9112 §5), in heads and among trailers alike.
//!
//! Pure. What is not exactly a field line is refused; nothing is trimmed but the white space around a value.

/// The most fields in a head, and again among the trailers.
pub(super) const MOST: usize = 100;

/// A byte of a token (RFC 9110 §5.6.2): methods and field names.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// [`is_token_byte`] of every byte: every name of every head is looked up here.
static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "below 256")]
        {
            table[byte] = is_token_byte(byte as u8);
        }
        byte += 1;
    }
    table
};

/// Whether the bytes are those of a token; so are none.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| TOKEN_BYTES.get(usize::from(*byte)) == Some(&true))
}

/// Whether the bytes may all stand in a value. Without an early end, so that many are looked at at once.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |legal, byte| legal & is_value_byte(*byte))
}

/// As [`is_value`], with carriage returns among them.
pub(super) fn is_value_or_return(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |legal, byte| legal & (is_value_byte(*byte) | (*byte == b'\r')))
}

/// A byte of a field's value (RFC 9110 §5.5): visible, a space or a tab, or none of ASCII. Controls are not.
pub(super) const fn is_value_byte(byte: u8) -> bool {
    (byte == b'\t') | ((byte >= b' ') & (byte != 0x7f))
}

/// Name and value of a field line without its end.
///
/// # Errors
/// What is wrong with it.
pub(super) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        // RFC 9112 §5.2: obs-fold; a server rejects it.
        return Err("a field goes on in a second line");
    }
    let colon = memchr::memchr(b':', line).ok_or("a header line has no colon")?;
    let (name, value) = line.split_at_checked(colon).ok_or("a header line has no colon")?;
    if name.is_empty() {
        return Err("a field has no name");
    }
    if matches!(name.last(), Some(b' ' | b'\t')) {
        // RFC 9112 §5.1: refused, since others take it for another name.
        return Err("there is white space between a field's name and its colon");
    }
    if !is_token(name) {
        return Err("a field's name has a character that no name may have");
    }
    let value = value.get(1..).unwrap_or_default();
    if !is_value(value) {
        return Err(if value.contains(&b'\r') {
            "a carriage return stands alone in a field's value"
        } else {
            "a field's value has a control character"
        });
    }
    Ok((name, trimmed(value)))
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_line_is_a_token_a_colon_and_a_value_without_controls() {
        let good = |line: &str, name: &str, value: &str| {
            assert_eq!(split(line.as_bytes()), Ok((name.as_bytes(), value.as_bytes())), "{line:?}");
        };
        good("Host: a", "Host", "a");
        good("a:", "a", "");
        good("a: \t ", "a", "");
        good("a:b:c \t", "a", "b:c");
        good("!#$%&'*+-.^_`|~9z: \u{e9}\tx", "!#$%&'*+-.^_`|~9z", "\u{e9}\tx");
        let bad = |line: &[u8]| {
            assert!(split(line).is_err(), "{:?}", line.escape_ascii().to_string());
        };
        for line in [
            "",
            "a",
            ":",
            ": b",
            " a: b",
            "\ta: b",
            "a : b",
            "a\t: b",
            "a b: c",
            "(a): b",
            "a\"b: c",
            "ä: b",
            "a: b\rc",
            "a: b\r",
            "a: \0",
            "a: \x0b",
            "a: \x7f",
            "a: \x1b[2J",
            "a\0: b",
            "a\r: b",
            "a/b: c",
            "a@b: c",
            "[a]: c",
        ] {
            bad(line.as_bytes());
        }
        bad(b"a\x80: b");
        assert_eq!(split(b"a: \x80\xff").unwrap().1, b"\x80\xff");
    }
}
