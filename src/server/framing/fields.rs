//! Field lines (RFC 9112 §5), in heads and among trailers alike.
//!
//! Pure. What is not exactly a field line is refused; nothing is trimmed but the white space around a value.

use std::ops::Range;

/// The most fields in a head, and again among the trailers.
pub(crate) const MOST: usize = 100;

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

/// Where name and value of a field stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Place {
    /// The name.
    pub(in crate::server) name: Range<usize>,
    /// The value, without the white space around it.
    pub(in crate::server) value: Range<usize>,
}

/// Finds name and value in a field line without its end, which stands at `offset`. Its bytes are all of a head.
///
/// # Errors
/// What is wrong with it.
pub(super) fn split(line: &[u8], offset: usize) -> Result<Place, &'static str> {
    let colon = line.iter().position(|byte| TOKEN_BYTES.get(usize::from(*byte)) != Some(&true)).unwrap_or(line.len());
    if colon == 0 || line.get(colon) != Some(&b':') {
        return Err(not_a_field(line));
    }
    let value = line.get(colon + 1..).unwrap_or_default();
    if memchr::memchr(b'\r', value).is_some() {
        return Err("a carriage return stands alone in a field's value");
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    let value = offset + colon + 1;
    Ok(Place { name: offset..offset + colon, value: value + start..value + end })
}

/// Why a line is none of a field.
#[cold]
fn not_a_field(line: &[u8]) -> &'static str {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        // RFC 9112 §5.2: obs-fold; a server rejects it.
        return "a field goes on in a second line";
    }
    let Some(colon) = memchr::memchr(b':', line) else { return "a header line has no colon" };
    match line.get(..colon) {
        None | Some([]) => "a field has no name",
        // RFC 9112 §5.1: refused, since others take it for another name.
        Some([.., b' ' | b'\t']) => "there is white space between a field's name and its colon",
        Some(_) => "a field's name has a character that no name may have",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
        let place = split(line, 0)?;
        assert_eq!(split(line, 7).unwrap().value, place.value.start + 7..place.value.end + 7);
        Ok((&line[place.name], &line[place.value]))
    }

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
            assert_eq!(parts(line.as_bytes()), Ok((name.as_bytes(), value.as_bytes())), "{line:?}");
        };
        good("Host: a", "Host", "a");
        good("a:", "a", "");
        good("a: \t ", "a", "");
        good("a:b:c \t", "a", "b:c");
        good("!#$%&'*+-.^_`|~9z: \u{e9}\tx", "!#$%&'*+-.^_`|~9z", "\u{e9}\tx");
        let bad = |line: &[u8]| {
            assert!(parts(line).is_err(), "{:?}", line.escape_ascii().to_string());
        };
        for line in [
            "", "a", ":", ": b", " a: b", "\ta: b", "a : b", "a\t: b", "a b: c", "(a): b", "a\"b: c", "ä: b",
            "a: b\rc", "a: b\r", "a\0: b", "a\r: b", "a/b: c", "a@b: c", "[a]: c",
        ] {
            bad(line.as_bytes());
        }
        bad(b"a\x80: b");
        assert_eq!(parts(b"a: \x80\xff").unwrap().1, b"\x80\xff");
    }
}
