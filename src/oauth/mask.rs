//! Making the text of others fit to be shown: masked first, then cut, then escaped.
//!
//! Owns the promise that no secret leaves in an error message. A server may echo what it was sent, in the encoding in
//! which it was sent; so every secret is looked for in every encoding that we send, and what looks like a token is masked though nobody
//! knows it ([`super::opaque`]). When that cannot be promised
//! (a secret of three letters is in half of all words) the text is withheld altogether.

mod line;
#[cfg(test)]
mod tests;

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::utf8_percent_encode;
use zeroize::Zeroizing;

use super::encode::RESERVED;
use super::material::{Client, Material};
use super::opaque::{self, Strictness};
use super::request::{basic_pair, form_encoded};
use super::settings::BasicEncoding;
use crate::secret::Secret;

pub(super) use line::escaped;

/// The least length, in characters, of a secret that can be masked without mangling ordinary words.
const SHORTEST: usize = 4;

const MASK: &str = "***";

/// What must not be shown.
pub(super) struct Mask {
    /// In ASCII lower case: servers change the case of names and of hexadecimal digits.
    needles: Vec<Zeroizing<String>>,
    /// A secret is too short to be masked.
    withhold: bool,
}

/// Text that may hold a secret which cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Withheld;

impl Mask {
    /// A mask over the values of a request, and over `tokens`: those issued before and the refresh token in use.
    pub(super) fn new<'a>(material: &'a Material, tokens: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut mask = Self { needles: Vec::new(), withhold: false };
        for secret in &material.guarded {
            mask.guard(secret.expose());
        }
        for secret in tokens {
            mask.guard(secret.expose());
        }
        material.doubtful.iter().for_each(|secret| mask.doubt(secret));
        if let Client::Basic { id, secret, .. } = &material.client {
            for encoding in [BasicEncoding::Form, BasicEncoding::Raw] {
                mask.add(&basic_pair(id.expose(), secret.expose(), encoding));
            }
        }
        mask
    }

    /// Masks what may be a secret, if it is long enough to be one.
    pub(super) fn doubt(&mut self, secret: &Secret) {
        if secret.expose().trim().chars().count() >= SHORTEST {
            self.guard(secret.expose());
        }
    }

    fn guard(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        if secret.trim().chars().count() < SHORTEST {
            self.withhold = true;
        }
        self.add_encodings(secret);
        // Servers trim what they read.
        self.add_encodings(secret.trim());
        // A secret of several lines may come back line by line.
        secret.lines().map(str::trim).filter(|line| line.chars().count() >= 2 * SHORTEST).for_each(|line| {
            self.add_encodings(line);
        });
    }

    fn add_encodings(&mut self, secret: &str) {
        self.add(secret);
        self.add(&form_encoded(secret));
        let mut percent = Zeroizing::new(String::with_capacity(3 * secret.len()));
        percent.extend(utf8_percent_encode(secret, RESERVED));
        self.add(&percent);
        // A form-encoded value that went into a form once more.
        self.add(&form_encoded(&form_encoded(secret)));
        self.add(&in_json(secret));
        self.add(&in_ascii_json(secret));
        self.add(&Zeroizing::new(in_json(secret).replace('/', "\\/")));
        self.add(&in_html(secret));
        for base64 in [STANDARD.encode(secret), STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)] {
            self.add(&Zeroizing::new(base64));
        }
    }

    fn add(&mut self, needle: &str) {
        let needle = Zeroizing::new(needle.to_ascii_lowercase());
        if needle.chars().count() >= SHORTEST && !self.needles.contains(&needle) {
            self.needles.push(needle);
        }
    }

    /// The text masked, cut to about 200 characters, on one line, with nothing in it that a terminal obeys.
    ///
    /// # Errors
    /// [`Withheld`] where a secret is too short to be masked, or masking did not remove it.
    pub(super) fn show(&self, text: &str) -> Result<String, Withheld> {
        self.shown(text, Strictness::Prose)
    }

    /// As [`Mask::show`], of a text in an answer that should have held a token: plain words of it.
    pub(super) fn show_words(&self, text: &str) -> Result<String, Withheld> {
        self.shown(text, Strictness::Words)
    }

    fn shown(&self, text: &str, strictness: Strictness) -> Result<String, Withheld> {
        if self.withhold {
            return Err(Withheld);
        }
        let shown = escaped(&self.masked(text, strictness));
        // Masking may join what stood around a secret to another one, and so may the escapes.
        if self.finds_any(&shown) { Err(Withheld) } else { Ok(shown) }
    }

    fn masked(&self, text: &str, strictness: Strictness) -> String {
        let haystack = Zeroizing::new(text.to_ascii_lowercase());
        let mut found: Vec<Range<usize>> = json_web_tokens(text);
        // What no mask knows, since nobody has it yet.
        found.extend(opaque::words(text, strictness));
        for needle in &self.needles {
            found.extend(haystack.match_indices(needle.as_str()).map(|(at, part)| at..at + part.len()));
        }
        found.sort_unstable_by_key(|range| range.start);
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for range in found {
            if range.start >= end {
                masked.push_str(text.get(end..range.start).unwrap_or_default());
                masked.push_str(MASK);
            }
            end = end.max(range.end);
        }
        masked.push_str(text.get(end..).unwrap_or_default());
        masked
    }

    fn finds_any(&self, text: &str) -> bool {
        let haystack = text.to_ascii_lowercase();
        self.needles.iter().any(|needle| haystack.contains(needle.as_str()))
    }
}

/// Whatever begins like a JSON Web Token (`eyJ` is `{"` in Base64) and goes on like one, whoever it belongs to.
fn json_web_tokens(text: &str) -> Vec<Range<usize>> {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("eyJ")) {
        let start = from + at;
        let rest = text.get(start..).unwrap_or_default();
        let end = start + rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        if end - start >= 20 {
            found.push(start..end);
        }
        from = end.max(start + 3);
    }
    found
}

fn in_json(secret: &str) -> Zeroizing<String> {
    let quoted = Zeroizing::new(serde_json::Value::from(secret).to_string());
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Zeroizing::new(inner.unwrap_or(&quoted).to_owned())
}

/// As JSON writers do it that keep to ASCII.
fn in_ascii_json(secret: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    let mut units = [0; 2];
    for c in in_json(secret).chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// As error pages show what they were sent.
fn in_html(secret: &str) -> Zeroizing<String> {
    // In one piece: what grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(6 * secret.len()));
    for c in secret.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c => text.push(c),
        }
    }
    text
}
