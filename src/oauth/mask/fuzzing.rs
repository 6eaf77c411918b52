//! The property of the mask that holds for any bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Mask, escaped};
use crate::fuzzing::controls;

/// So many characters of a secret, and as many around it, are shown if they are not masked.
const LONGEST: usize = 40;

/// What `encodeURIComponent` leaves, `quote` of Python, and `encodeURI`.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
const QUOTE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
const URI: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`');

/// How servers put one text into another. The last are looked for in the secret's own Base64 alone.
const WRITERS: &[fn(&str) -> String] = &[
    str::to_owned,
    |text| form_urlencoded::byte_serialize(text.as_bytes()).collect(),
    |text| utf8_percent_encode(text, COMPONENT).to_string(),
    |text| utf8_percent_encode(text, QUOTE).to_string(),
    |text| utf8_percent_encode(text, URI).to_string(),
    // PHP, Python, Go, XML.
    |text| in_html(text, ["&quot;", "&#039;"]),
    |text| in_html(text, ["&quot;", "&#x27;"]),
    |text| in_html(text, ["&#34;", "&#39;"]),
    |text| in_html(text, ["\"", "&apos;"]),
    |text| text.chars().map(|c| format!("&#{};", u32::from(c))).collect(),
    |text| in_json(text, |c| "\"\\".contains(c)),
    // PHP, Go, .NET.
    |text| in_json(text, |c| "\"\\/".contains(c)),
    |text| in_json(text, |c| "\"\\<>&".contains(c)),
    |text| in_json(text, |c| !c.is_ascii_alphanumeric() && !" -./:_,".contains(c)),
    |text| text.bytes().map(|byte| format!("\\x{byte:02X}")).collect(),
    str::to_uppercase,
    |text| STANDARD.encode(text),
    |text| URL_SAFE_NO_PAD.encode(format!("id:{text}")),
];

/// Those that may come after others.
const IN_TEXTS: usize = WRITERS.len() - 2;

/// What may stand in front of an echo, and behind it: nothing that is the half of an escape.
const BEFORE: &[&str] = &[" ", "=", "\"", "'", ":", "(", "\\\"", "&amp;p=", "%3D", "\\u003d", ">", "%26p="];
const BEHIND: &[&str] = &[" ", "\"", "'", ")", ",", "\\\"", "&amp;", "%26", "\\u0026", "<", "\n"];

/// No secret is in what is shown, however it was written into what was said: not as it was written, and not for who undoes the escapes
/// of what is shown.
///
/// After three bytes that choose writers, and two that choose what stands around, the secret, a zero byte and more of what stands around.
pub(crate) fn mask(data: &[u8]) {
    let ([first, second, third, before, behind], rest) = controls(data);
    let mut texts = rest.split(|byte| *byte == 0).map(|bytes| {
        String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(LONGEST).collect::<String>()
    });
    let (secret, around) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    let chosen = |list: &[&'static str], which: u8| list[usize::from(which) % list.len()];
    let writers = [(first, WRITERS.len()), (second, IN_TEXTS), (third, IN_TEXTS)];
    let writers = writers.map(|(which, count)| WRITERS[usize::from(which) % count]);
    let write = |secret: &str| writers.iter().fold(secret.to_owned(), |text, write| write(&text));
    let said = format!("{around}{}{}{}{around}", chosen(BEFORE, before), write(&secret), chosen(BEHIND, behind));
    let mut mask = Mask::default();
    mask.guard(&secret);
    let Ok(shown) = mask.show(&said) else { return };
    // What is around a secret that it is not looked for with, may be all that is shown before a text is cut.
    let core = secret.trim_matches(|c: char| c.is_whitespace() || c == '\\');
    let written = escaped(&write(core));
    assert!(core.is_empty() || !shown.to_lowercase().contains(&written.to_lowercase()), "{written:?} in {shown:?}");
    let mut readings = shown;
    for _ in 0..4 {
        assert!(
            secret.is_empty() || !comparable(&readings).contains(&comparable(&secret)),
            "{secret:?} in {readings:?}"
        );
        readings = undone(&readings);
    }
}

/// What is shown has one space for many, and no double quotes.
fn comparable(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "'")
}

/// By other means than those of the mask.
fn undone(text: &str) -> String {
    let text = percent_decode_str(text).decode_utf8_lossy().replace('+', " ");
    let pairs = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#039;", "'"),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("\\u0026", "&"),
        ("\\/", "/"),
        ("&amp;", "&"),
    ];
    pairs.iter().fold(text, |text, (escape, c)| text.replace(escape, c))
}

fn in_html(text: &str, [double, single]: [&str; 2]) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', double).replace('\'', single)
}

/// With the characters that `is_special` says, and all beyond ASCII, by their number; `\` before those that JSON names so.
fn in_json(text: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut written = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' | '/' if is_special(c) => written.extend(['\\', c]),
            c if c.is_ascii() && !c.is_ascii_control() && !is_special(c) => written.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| written.push_str(&format!("\\u{unit:04X}"))),
        }
    }
    written
}
