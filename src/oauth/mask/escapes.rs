//! One escape of any of the writers that put a text into another: percent signs, entities of HTML and XML, backslashes.
//!
//! Owns their spellings. They are read as leniently as somebody would who wants to know what was there, in any case of letters; nothing
//! that is shown is made of them.

/// A character, and where what it was written with begins.
pub(super) type Glyph = (char, usize);

/// The longest name or number of an entity.
const LONGEST_ENTITY: usize = 10;

/// The most digits between braces.
const MOST_DIGITS: usize = 8;

/// What four digits do not reach.
const BEYOND: std::ops::RangeInclusive<u32> = 0x1_0000..=0x10_ffff;

/// What the escape means that a text begins with, if its first character is one of `leads`, and how many characters it has.
pub(super) fn read(text: &[Glyph], leads: &[char]) -> Option<(char, usize)> {
    let (value, length) = unit(text, leads)?;
    if !(0xd800..0xdc00).contains(&value) {
        return Some((char::from_u32(value)?, length));
    }
    // UTF-16 takes two.
    let (low, more) = unit(text.get(length..)?, leads)?;
    let units = [value, low].map(|unit| u16::try_from(unit).unwrap_or_default());
    let c = char::decode_utf16(units).next()?.ok()?;
    Some((c, length + more))
}

/// The character whose UTF-8 was read as if each byte of it were a character: by somebody else, or by [`read`].
pub(super) fn utf8(text: &[Glyph]) -> Option<(char, usize)> {
    let length = match byte(*text.first()?)? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut bytes = [0; 4];
    for (to, from) in bytes.iter_mut().zip(text.get(..length)?) {
        *to = byte(*from)?;
    }
    let c = std::str::from_utf8(bytes.get(..length)?).ok()?.chars().next()?;
    Some((c, length))
}

/// The byte that ISO 8859-1 or Windows-1252 reads as this character.
fn byte((c, _): Glyph) -> Option<u8> {
    let between = |at: usize| u8::try_from(0x80 + at).ok();
    u8::try_from(c).ok().or_else(|| between(WINDOWS.iter().position(|known| *known == c)?))
}

fn unit(text: &[Glyph], leads: &[char]) -> Option<(u32, usize)> {
    let ((lead, _), rest) = text.split_first()?;
    if !leads.contains(lead) {
        return None;
    }
    let (value, length) = match lead {
        '%' => percent(rest)?,
        '&' => entity(rest)?,
        '\\' => backslash(rest)?,
        _ => return None,
    };
    Some((value, 1 + length))
}

/// RFC 3986 §2.1, and `%u00e4` of older scripts.
fn percent(text: &[Glyph]) -> Option<(u32, usize)> {
    match text.first()?.0 {
        'u' | 'U' => digits(text, 1, 4, 16),
        _ => digits(text, 0, 2, 16),
    }
}

fn entity(text: &[Glyph]) -> Option<(u32, usize)> {
    let end = text.iter().take(LONGEST_ENTITY).position(|(c, _)| *c == ';')?;
    let value = match text.get(..end)? {
        [('#', _), ('x' | 'X', _), number @ ..] => value(number, 16)?,
        [('#', _), number @ ..] => value(number, 10)?,
        name => u32::from(named(name)?),
    };
    Some((value, end + 1))
}

/// As JSON, scripts, C, Python and Perl write it; another character that stands for itself, as in `\/`, without its backslash.
fn backslash(text: &[Glyph]) -> Option<(u32, usize)> {
    let c = text.first()?.0;
    let special = match c {
        'x' | 'X' => in_braces(text).or_else(|| digits(text, 1, 2, 16)),
        'u' => in_braces(text).or_else(|| digits(text, 1, 4, 16)),
        // Python's, or the other one after somebody made all letters large.
        'U' => digits(text, 1, 8, 16).filter(|(c, _)| BEYOND.contains(c)).or_else(|| digits(text, 1, 4, 16)),
        '0'..='3' => digits(text, 0, 3, 8),
        'n' | 'N' => Some(('\n'.into(), 1)),
        'r' | 'R' => Some(('\r'.into(), 1)),
        't' | 'T' => Some(('\t'.into(), 1)),
        'f' | 'F' => Some((0x0c, 1)),
        'v' | 'V' => Some((0x0b, 1)),
        'b' | 'B' => Some((0x08, 1)),
        _ => None,
    };
    Some(special.unwrap_or((c.into(), 1)))
}

/// `x{e4}`.
fn in_braces(text: &[Glyph]) -> Option<(u32, usize)> {
    let [_, ('{', _), rest @ ..] = text else { return None };
    let end = rest.iter().take(MOST_DIGITS + 1).position(|(c, _)| *c == '}')?;
    Some((value(rest.get(..end)?, 16)?, end + 3))
}

/// A number of exactly `count` digits from `at` on, and where it ends.
fn digits(text: &[Glyph], at: usize, count: usize, radix: u32) -> Option<(u32, usize)> {
    Some((value(text.get(at..at + count)?, radix)?, at + count))
}

fn value(digits: &[Glyph], radix: u32) -> Option<u32> {
    let mut value = 0_u32;
    for (digit, _) in digits {
        value = value.checked_mul(radix)?.checked_add(digit.to_digit(radix)?)?;
    }
    (!digits.is_empty()).then_some(value)
}

/// An entity by its name. Its case decides about that of a letter and about nothing else.
fn named(name: &[Glyph]) -> Option<char> {
    let is = |known: &str| name.iter().map(|(c, _)| c.to_ascii_lowercase()).eq(known.chars());
    let c = match ASCII.iter().find(|(known, _)| is(known)) {
        Some((_, c)) => *c,
        None => {
            let at = u32::try_from(LATIN.iter().position(|known| is(known))?).ok()?;
            // The capitals have the names of the small letters, beside which two signs stand.
            char::from_u32(if at < 0x20 { 0xa0 + at } else { 0xbf + at })?
        }
    };
    let is_capital = name.first().is_some_and(|(first, _)| first.is_ascii_uppercase());
    Some(if is_capital { c.to_uppercase().next()? } else { c })
}

const ASCII: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("tab", '\t'),
    ("newline", '\n'),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
    ("times", '×'),
    ("euro", '€'),
];

/// U+00A0 to U+00BF, then U+00DF to U+00FF.
#[rustfmt::skip]
const LATIN: &[&str] = &[
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy", "reg", "macr",
    "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest",
    "szlig",
    "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml",
    "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// What Windows-1252 has at 80 to 9F, where ISO 8859-1 has control characters.
#[rustfmt::skip]
const WINDOWS: &[char] = &[
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
