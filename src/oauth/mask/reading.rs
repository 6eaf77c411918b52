//! A text as somebody reads it who undoes its escapes: once, twice, until there are none.
//!
//! Owns the way back: whatever is found in a reading has its place in the text that was given. Knows no secrets.

use std::ops::Range;

use memchr::memmem;
use zeroize::Zeroizing;

use super::escapes::{self, Glyph};
use super::spellings::Needle;

/// How often escapes are undone. No server that echoes writes more of them into each other.
const ROUNDS: usize = 8;

/// What the escapes of all writers begin with.
const LEADS: &[char] = &['%', '&', '\\'];

/// Those of some writers and not of the others: what stands in front of a secret may read like the beginning of an escape of one who
/// never saw it.
const WAYS: &[&[char]] = &[&['%'], &['&'], &['\\'], &['%', '&'], &['%', '\\'], &['&', '\\']];

/// A text that has escapes within escapes without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bottomless;

/// One way to read a text.
pub(super) struct Reading {
    glyphs: Zeroizing<Vec<Glyph>>,
    /// Of the text that was given, in bytes.
    length: usize,
}

/// A reading as it is compared, and of each byte of that the number of its character in the reading.
pub(super) struct Folded {
    pub(super) text: Zeroizing<String>,
    glyphs: Zeroizing<Vec<usize>>,
}

/// Shows every reading of a text, as it stands first.
///
/// # Errors
/// [`Bottomless`] if not all could be shown.
pub(super) fn each(text: &str, mut look: impl FnMut(&Reading)) -> Result<(), Bottomless> {
    let plain = Reading::of(text);
    let (mut met, mut is_ascii) = (plain.leads(), plain.is_ascii());
    look(&plain);
    plain.each_undone(LEADS, true, |reading| {
        met.extend(reading.leads());
        is_ascii &= reading.is_ascii();
        look(reading);
    })?;
    met.sort_unstable();
    met.dedup();
    // With those that are not there it is the same.
    let is_another = |leads: &&&[char]| leads.len() < met.len() && leads.iter().all(|lead| met.contains(lead));
    for leads in WAYS.iter().filter(is_another) {
        plain.each_undone(leads, true, &mut look)?;
    }
    if is_ascii {
        return Ok(());
    }
    // Two characters of a secret may read like the UTF-8 of another, above all in capitals.
    for leads in WAYS.iter().filter(is_another).chain([&LEADS]) {
        plain.each_undone(leads, false, &mut look)?;
    }
    Ok(())
}

impl Reading {
    pub(super) fn of(text: &str) -> Self {
        let mut glyphs = Zeroizing::new(Vec::with_capacity(text.len()));
        glyphs.extend(text.char_indices().map(|(at, c)| (c, at)));
        Self { glyphs, length: text.len() }
    }

    /// What is left when no escape is, or after some rounds.
    pub(super) fn last(text: &str) -> Self {
        let mut reading = Self::of(text);
        for _ in 0..ROUNDS {
            let Some(next) = reading.undone(LEADS, true) else { break };
            reading = next;
        }
        reading
    }

    /// Shows what is left after each round, until no escape that begins so is, nor UTF-8 that was read as something else, if that is
    /// undone too.
    fn each_undone(&self, leads: &[char], is_recoded: bool, mut look: impl FnMut(&Self)) -> Result<(), Bottomless> {
        let mut next = self.undone(leads, is_recoded);
        for _ in 0..ROUNDS {
            let Some(reading) = next else { return Ok(()) };
            look(&reading);
            next = reading.undone(leads, is_recoded);
        }
        if next.is_none() { Ok(()) } else { Err(Bottomless) }
    }

    /// The characters in it that escapes may begin with.
    fn leads(&self) -> Vec<char> {
        LEADS.iter().copied().filter(|lead| self.glyphs.iter().any(|(c, _)| c == lead)).collect()
    }

    fn is_ascii(&self) -> bool {
        self.glyphs.iter().all(|(c, _)| c.is_ascii())
    }

    /// With the escapes undone that begin so, and the other reading of UTF-8. `None` if there are none.
    fn undone(&self, leads: &[char], is_recoded: bool) -> Option<Self> {
        let undone = self.replaced(|rest| escapes::read(rest, leads));
        let undone = if is_recoded { undone.replaced(escapes::utf8) } else { undone };
        (undone.glyphs.len() < self.glyphs.len()).then_some(undone)
    }

    /// With one character for several, wherever `read` finds that it is written so.
    fn replaced(&self, read: impl Fn(&[Glyph]) -> Option<(char, usize)>) -> Self {
        let mut glyphs = Zeroizing::new(Vec::with_capacity(self.glyphs.len()));
        let mut rest = self.glyphs.as_slice();
        while let Some((c, at)) = rest.first() {
            let (c, length) = read(rest).unwrap_or((*c, 1));
            glyphs.push((c, *at));
            rest = rest.get(length..).unwrap_or_default();
        }
        Self { glyphs, length: self.length }
    }

    /// As it is compared: without case; white space and `+` alike, and all quotes, since forms and what is shown exchange them; one for
    /// many of these, and of what stands for characters that somebody could not write.
    pub(super) fn folded(&self) -> Folded {
        let room = self.glyphs.iter().map(|(c, _)| c.len_utf8()).sum();
        let mut folded = Folded {
            text: Zeroizing::new(String::with_capacity(room)),
            glyphs: Zeroizing::new(Vec::with_capacity(room)),
        };
        let mut before = None;
        for (glyph, (c, _)) in self.glyphs.iter().enumerate() {
            match folded_alike(*c) {
                Some(alike) if before == Some(alike) => {}
                Some(alike) => folded.push(alike, glyph),
                None => c.to_uppercase().flat_map(char::to_lowercase).for_each(|c| folded.push(c, glyph)),
            }
            before = folded_alike(*c);
        }
        folded
    }

    /// Where `needle` stands, by the bytes of the text that was given.
    pub(super) fn find(&self, needle: &Needle, folded: &Folded, found: &mut Vec<Range<usize>>) {
        let length = needle.text.len();
        let mut end = 0;
        for at in memmem::find_iter(folded.text.as_bytes(), needle.text.as_bytes()) {
            let glyph = |at: usize| folded.glyphs.get(at).copied().unwrap_or(self.glyphs.len());
            let mut glyphs = glyph(at)..glyph(at + length - 1) + 1;
            if glyphs.start < end {
                continue;
            }
            if needle.is_piece {
                glyphs = self.whole_word(glyphs);
            }
            end = glyphs.end;
            found.push(self.place(glyphs.start)..self.place(glyphs.end));
        }
    }

    /// With what stands around it of the same Base64: it has the bits beside those of the secret.
    fn whole_word(&self, glyphs: Range<usize>) -> Range<usize> {
        let belongs = |(c, _): &&Glyph| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_');
        let before = self.glyphs.get(..glyphs.start).unwrap_or_default().iter().rev().take_while(belongs);
        let after = self.glyphs.get(glyphs.end..).unwrap_or_default();
        let more = after.iter().take_while(belongs).count();
        let padding = after.iter().skip(more).take_while(|(c, _)| *c == '=');
        glyphs.start - before.count()..glyphs.end + more + padding.count()
    }

    /// Where a character's writing begins.
    fn place(&self, glyph: usize) -> usize {
        self.glyphs.get(glyph).map_or(self.length, |(_, at)| *at)
    }
}

impl Folded {
    fn push(&mut self, c: char, glyph: usize) {
        self.text.push(c);
        self.glyphs.extend(std::iter::repeat_n(glyph, c.len_utf8()));
    }
}

/// What this and others are compared as, one or many.
fn folded_alike(c: char) -> Option<char> {
    match c {
        '+' => Some(' '),
        c if c.is_whitespace() => Some(' '),
        '"' | '\'' | '`' => Some('\''),
        '?' | char::REPLACEMENT_CHARACTER => Some('?'),
        _ => None,
    }
}
