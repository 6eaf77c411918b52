//! What is written of a credential besides what identifies it, as far as it may cure a refusal.
//!
//! Owns the comparison. Where a fingerprint is the same and this is not, whoever was refused may have been refused for what was written
//! there: a pointer to the token, a rule that takes a failure for final, the life of an assertion. Entries of the store are not named by
//! it: instances that differ in it alone have one token. Holds nothing secret.

use ring::digest;

/// A digest over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written([u8; 32]);

/// So many ways to write one credential are told apart. A refusal of more counts for everybody.
const MOST: usize = 32;

impl Written {
    /// Of a source that is written so, and of what decides how its failures are taken.
    pub(super) fn new(source: &[u8; 32], lockout: bool) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(source);
        context.update(&[u8::from(lockout)]);
        let mut print = [0; 32];
        print.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(print)
    }

    /// All of it, for a keyed hash.
    pub(super) fn print(&self) -> &[u8; 32] {
        &self.0
    }

    /// Enough of it to tell the few apart that one fleet has.
    fn short(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether it is among those that were refused. If nobody says which these were, it is.
    pub(super) fn is_among(self, refused: &[u64]) -> bool {
        refused.is_empty() || refused.len() >= MOST || refused.contains(&self.short())
    }

    /// Those that were refused, and this one.
    pub(super) fn added_to(self, refused: &[u64]) -> Vec<u64> {
        let mut all = refused.to_vec();
        if !all.contains(&self.short()) && all.len() < MOST {
            all.push(self.short());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_for_whoever_is_written_alike_or_if_nobody_knows() {
        let (one, other) = (Written::new(&[1; 32], false), Written::new(&[1; 32], true));
        assert_ne!(one, other);
        assert!(one.is_among(&[]));
        let refused = one.added_to(&[]);
        assert!(one.is_among(&refused) && !other.is_among(&refused));
        assert_eq!(one.added_to(&refused), refused);
        assert!(other.is_among(&other.added_to(&refused)) && one.is_among(&other.added_to(&refused)));
    }

    #[test]
    fn a_refusal_of_very_many_counts_for_everybody_and_the_list_of_them_ends() {
        let written = |number: u8| Written::new(&[number; 32], false);
        let all = (0..200).fold(Vec::new(), |all, number| written(number).added_to(&all));
        assert_eq!(all.len(), MOST);
        assert!((0..=255).all(|number| written(number).is_among(&all)));
    }
}
