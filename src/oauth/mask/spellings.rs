//! What to look for, so that a secret is found.
//!
//! Owns the spellings that no undoing of escapes leads back from: Base64 of what a secret stands in, hexadecimal digits, what is left where
//! somebody could not write a character, or took one for markup. All others are the same in some [`Reading`] of a text.

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::utf8_percent_encode;
use zeroize::Zeroizing;

use super::SHORTEST;
use super::reading::Reading;
use crate::oauth::encode::RESERVED;
use crate::oauth::message::without_tags;
use crate::oauth::request::form_encoded;

/// One thing to look for, as [`Reading::folded`] has it.
#[derive(PartialEq, Eq)]
pub(super) struct Needle {
    pub(super) text: Zeroizing<String>,
    /// What stands around it in the same word belongs to it.
    pub(super) is_piece: bool,
}

/// How a secret may be written. `None` if it, or what it reads like, is too short to be told from an ordinary word.
pub(super) fn of(secret: &str) -> Option<Vec<Needle>> {
    // Servers trim what they read.
    let secret = secret.trim();
    let last = Reading::last(secret);
    let mut needles = vec![needle(&Reading::of(secret), false)?, needle(&last, false)?];
    let others = [lossy(secret), Zeroizing::new(without_tags(secret)), in_hexadecimal(secret)];
    needles.extend(others.iter().filter_map(|other| needle(&Reading::of(other), false)));
    needles.extend(in_base64(secret).filter_map(|piece| needle(&Reading::of(&piece), true)));
    Some(needles)
}

fn needle(reading: &Reading, is_piece: bool) -> Option<Needle> {
    let folded = reading.folded().text;
    // A backslash at the end may be read as one of another's escapes.
    let text = folded.trim_matches(|c: char| c.is_whitespace() || c == '\\');
    (text.chars().count() >= SHORTEST).then(|| Needle { text: Zeroizing::new(text.to_owned()), is_piece })
}

/// As whoever knows no more than ASCII writes it.
fn lossy(secret: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(secret.len()));
    text.extend(secret.chars().map(|c| if c.is_ascii() { c } else { '?' }));
    text
}

fn in_hexadecimal(secret: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * secret.len()));
    let digits = |byte: u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default());
    text.extend(secret.bytes().flat_map(digits));
    text
}

/// The characters of Base64 that are the secret's alone, whatever stands in front of it and behind it: an id, a whole form.
fn in_base64(secret: &str) -> impl Iterator<Item = Zeroizing<String>> {
    let mut percent = Zeroizing::new(String::with_capacity(3 * secret.len()));
    percent.extend(utf8_percent_encode(secret, RESERVED));
    let texts = [Zeroizing::new(secret.to_owned()), form_encoded(secret), percent];
    texts.into_iter().flat_map(|text| {
        let piece = move |(engine, before)| piece(engine, before, &text);
        [(STANDARD_NO_PAD, 0), (STANDARD_NO_PAD, 1), (STANDARD_NO_PAD, 2)]
            .into_iter()
            .chain([(URL_SAFE_NO_PAD, 0), (URL_SAFE_NO_PAD, 1), (URL_SAFE_NO_PAD, 2)])
            .map(piece)
    })
}

/// Behind so many bytes of something else.
fn piece(engine: GeneralPurpose, before: usize, secret: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(before + secret.len()));
    bytes.resize(before, 0);
    bytes.extend_from_slice(secret.as_bytes());
    let encoded = Zeroizing::new(engine.encode(&*bytes));
    // Six bits each.
    let own = (8 * before).div_ceil(6)..8 * bytes.len() / 6;
    Zeroizing::new(encoded.get(own).unwrap_or_default().to_owned())
}
