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

/// Whether the bytes may all stand in a head: in values, or at the ends of lines.
pub(super) fn are_of_head(bytes: &[u8]) -> bool {
    let is_bad = |byte: u8| u8::from(!is_value_byte(byte) & (byte != b'\r') & (byte != b'\n'));
    // Without an early end, so that many bytes are looked at at once.
    let are_bad = |bytes: &[u8]| bytes.iter().fold(0, |bad, byte| bad | is_bad(*byte)) != 0;
    let (chunks, rest) = bytes.as_chunks::<32>();
    !chunks.iter().any(|chunk| are_bad(chunk)) && !are_bad(rest)
}

/// A byte of a field's value (RFC 9110 §5.5): visible, a space or a tab, or none of ASCII. Controls are not.
pub(super) const fn is_value_byte(byte: u8) -> bool {
    (byte == b'\t') | ((byte >= b' ') & (byte != 0x7f))
}

/// Name and value of a field line without its end. Its bytes are all of a head.
///
/// # Errors
/// What is wrong with it.
pub(in crate::server) fn split(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
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
    if memchr::memchr(b'\r', value).is_some() {
        return Err("a carriage return stands alone in a field's value");
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
    fn controls_are_found_wherever_they_stand() {
        let clean: Vec<u8> = (b'\t'..=b'\r')
            .filter(|byte| matches!(byte, b'\t' | b'\n' | b'\r'))
            .chain(b' '..=0x7e)
            .chain(0x80..=0xff)
            .collect();
        assert!(are_of_head(&clean));
        for bad in (0..b' ').chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r')) {
            for place in [0, 1, 31, 32, 33, clean.len() - 1] {
                let mut bytes = clean.clone();
                bytes[place] = bad;
                assert!(!are_of_head(&bytes), "{bad} at {place}");
            }
        }
    }

    #[test]
    fn a_field_line_is_a_token_a_colon_and_a_value() {
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
            "", "a", ":", ": b", " a: b", "\ta: b", "a : b", "a\t: b", "a b: c", "(a): b", "a\"b: c", "ä: b",
            "a: b\rc", "a: b\r", "a\0: b", "a\r: b", "a/b: c", "a@b: c", "[a]: c",
        ] {
            bad(line.as_bytes());
        }
        bad(b"a\x80: b");
        assert_eq!(split(b"a: \x80\xff").unwrap().1, b"\x80\xff");
    }
}
