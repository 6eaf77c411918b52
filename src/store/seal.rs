//! What the place of an entry may not read, change or exchange.
//!
//! Owns names and sealing. From each key of `[store]` two others are derived (HKDF, RFC 5869): one that makes names, one that seals
//! (ChaCha20-Poly1305, RFC 8439, with a random nonce before each text). Name and version of an entry are authenticated with it, so that
//! whoever can write to the place cannot pass off one entry as another, nor an old one as news: a refresh token that was used, a refusal
//! that is over. What the place itself says, the age of an entry above all, is not.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use super::backend::Name;
use crate::secret::Secret;

/// The form of what is sealed; anything else is not ours.
const FORM: u8 = 1;

/// The fewest characters of a key: less could be guessed.
pub const SHORTEST_KEY: usize = 32;

/// What names and seals the entries of one fleet: its key, and the one before or after it while both are in use.
#[derive(Clone, Debug)]
pub struct SealKeys {
    /// In the order in which leases are taken: the old one first, so that instances that know it alone and those that know both
    /// meet at the same place.
    pub(super) in_order: Vec<SealKey>,
}

impl SealKeys {
    /// Of the keys as they are configured. Each must have [`SHORTEST_KEY`] characters at least; that is the configuration's to check.
    ///
    /// # Errors
    /// `Unsealable` if the cryptography does not work on this machine.
    pub fn new(current: &Secret, old: Option<&Secret>) -> Result<Self, Unsealable> {
        let in_order = old.into_iter().chain([current]).map(SealKey::new).collect::<Result<_, _>>()?;
        Ok(Self { in_order })
    }
}

/// One key, as what is derived from it.
#[derive(Clone)]
pub(super) struct SealKey {
    names: hmac::Key,
    seal: LessSafeKey,
}

/// Something that cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another key, for another entry or another version, or changed since")]
pub struct Unsealable;

impl SealKey {
    fn new(key: &Secret) -> Result<Self, Unsealable> {
        let material = hkdf::Salt::new(hkdf::HKDF_SHA256, b"bearerd store 1").extract(key.expose().as_bytes());
        let derive = |what: &[&[u8]]| {
            let mut derived = Zeroizing::new([0; 32]);
            material.expand(what, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut *derived)).map_err(|_| Unsealable)?;
            Ok::<_, Unsealable>(derived)
        };
        let names = hmac::Key::new(hmac::HMAC_SHA256, &*derive(&[b"names"])?);
        let seal = UnboundKey::new(&CHACHA20_POLY1305, &*derive(&[b"seal"])?).map_err(|_| Unsealable)?;
        Ok(Self { names, seal: LessSafeKey::new(seal) })
    }

    /// The name of the entry of this purpose for what has this fingerprint.
    pub(super) fn name(&self, purpose: &str, fingerprint: &[u8; 32]) -> Name {
        let mut context = hmac::Context::with_key(&self.names);
        context.update(&(purpose.len() as u64).to_be_bytes());
        context.update(purpose.as_bytes());
        context.update(fingerprint);
        let mut name = [0; 32];
        name.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        Name(name)
    }

    /// Seals a text for this name and version: form, nonce, ciphertext with its tag.
    ///
    /// # Errors
    /// [`Unsealable`] if the system has no randomness.
    pub(super) fn seal(&self, name: &Name, version: u64, plain: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| Unsealable)?;
        let mut text = Zeroizing::new(plain.to_vec());
        // Its room for the tag now, so that no copy in the clear is left behind by growing.
        text.reserve(CHACHA20_POLY1305.tag_len());
        let aad = Aad::from(bound(name, version));
        let tag = self
            .seal
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(|_| Unsealable)?;
        let mut sealed = vec![FORM];
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for this name and version.
    ///
    /// # Errors
    /// [`Unsealable`] for everything else.
    pub(super) fn open(&self, name: &Name, version: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let (form, rest) = sealed.split_first().ok_or(Unsealable)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unsealable)?;
        if *form != FORM {
            return Err(Unsealable);
        }
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length =
            self.seal.open_in_place(nonce, Aad::from(bound(name, version)), &mut text).map_err(|_| Unsealable)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// What is authenticated with a text, and stands beside it.
fn bound(name: &Name, version: u64) -> [u8; 40] {
    let mut bound = [0; 40];
    let bytes = name.0.into_iter().chain(version.to_be_bytes());
    bound.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    bound
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SealKey {
        SealKey::new(&Secret::new(text)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_name_and_version_alone() {
        let (one, other) = (key("one key"), key("another key"));
        let name = one.name("token", &[7; 32]);
        let sealed = one.seal(&name, 7, b"CANARY").unwrap();
        assert_eq!(*one.open(&name, 7, &sealed).unwrap(), b"CANARY");
        assert!(!sealed.windows(6).any(|window| window == b"CANARY"));
        assert_eq!(other.open(&name, 7, &sealed), Err(Unsealable));
        assert_eq!(one.open(&one.name("token", &[8; 32]), 7, &sealed), Err(Unsealable));
        assert_eq!(one.open(&one.name("rotation", &[7; 32]), 7, &sealed), Err(Unsealable));
        for another in [0, 6, 8, u64::MAX] {
            assert_eq!(one.open(&name, another, &sealed), Err(Unsealable), "version {another}");
        }
    }

    #[test]
    fn nothing_that_was_changed_or_cut_opens() {
        let key = key("key");
        let name = key.name("token", &[7; 32]);
        let sealed = key.seal(&name, 7, b"text").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(&name, 7, &changed).is_err(), "byte {at}");
            assert!(key.open(&name, 7, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn names_differ_by_key_purpose_and_fingerprint_and_two_seals_of_one_text_differ() {
        let (one, other) = (key("one key"), key("another key"));
        let name = one.name("token", &[7; 32]);
        assert_eq!(name, key("one key").name("token", &[7; 32]));
        let others = [other.name("token", &[7; 32]), one.name("token ", &[7; 32]), one.name("token", &[8; 32])];
        assert!(!others.contains(&name));
        assert_ne!(one.seal(&name, 7, b"text"), one.seal(&name, 7, b"text"));
    }
}
