//! Making the text of others fit to be shown: masked first, then cut, then escaped.
//!
//! Owns the promise that no secret leaves in an error message. A server may echo what it was sent, written as whatever it is made of
//! writes texts into texts; so every secret is looked for in every [`reading`] of what it says, and what looks like a token is masked
//! though nobody knows it ([`super::opaque`]). When that cannot be promised
//! (a secret of three letters is in half of all words) the text is withheld altogether.

mod escapes;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod line;
mod reading;
mod spellings;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::material::Material;
use super::opaque::{self, Strictness};
use crate::secret::Secret;
use reading::Bottomless;
use spellings::Needle;

pub(super) use line::escaped;

/// The least length, in characters, of a secret that can be masked without mangling ordinary words.
const SHORTEST: usize = 4;

const MASK: &str = "***";

/// What must not be shown.
#[derive(Default)]
pub(super) struct Mask {
    needles: Vec<Needle>,
    /// A secret is too short to be masked.
    withhold: bool,
}

/// Text that may hold a secret which cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Withheld;

impl Mask {
    /// A mask over the values of a request, and over `tokens`: those issued before and the refresh token in use.
    pub(super) fn new<'a>(material: &'a Material, tokens: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut mask = Self::default();
        for secret in &material.guarded {
            mask.guard(secret.expose());
        }
        for secret in tokens {
            mask.guard(secret.expose());
        }
        material.doubtful.iter().for_each(|secret| mask.doubt(secret));
        mask
    }

    /// Masks what may be a secret, if it is long enough to be one.
    pub(super) fn doubt(&mut self, secret: &Secret) {
        self.look_for(secret.expose());
    }

    fn guard(&mut self, secret: &str) {
        if !secret.is_empty() && !self.look_for(secret) {
            self.withhold = true;
        }
    }

    /// Whether that can be masked without mangling ordinary words.
    fn look_for(&mut self, secret: &str) -> bool {
        let Some(needles) = spellings::of(secret) else { return false };
        // A secret of several lines may come back line by line.
        let lines = secret.lines().map(str::trim).filter(|line| line.chars().count() >= 2 * SHORTEST);
        for needle in needles.into_iter().chain(lines.filter_map(spellings::of).flatten()) {
            if !self.needles.contains(&needle) {
                self.needles.push(needle);
            }
        }
        true
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
        let masked = self.masked(text, strictness).map_err(|Bottomless| Withheld)?;
        let shown = escaped(&masked);
        match self.places(&shown) {
            Ok(places) if places.is_empty() => Ok(shown),
            // Masking may join what stood around a secret to another one, and so may the escapes.
            Ok(_) | Err(Bottomless) => Err(Withheld),
        }
    }

    fn masked(&self, text: &str, strictness: Strictness) -> Result<String, Bottomless> {
        let mut found = self.places(text)?;
        found.extend(json_web_tokens(text));
        // What no mask knows, since nobody has it yet.
        found.extend(opaque::words(text, strictness));
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
        Ok(masked)
    }

    /// Where secrets stand, however they are written.
    fn places(&self, text: &str) -> Result<Vec<Range<usize>>, Bottomless> {
        let mut found = Vec::new();
        reading::each(text, |reading| {
            let folded = reading.folded();
            self.needles.iter().for_each(|needle| reading.find(needle, &folded, &mut found));
        })?;
        Ok(found)
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
