//! Properties of what lies in a store that hold for any bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use super::SealKeys;
use super::file::fuzzing::file;
use crate::secret::Secret;

/// What is sealed opens as it was; what was not sealed, or changed in a single bit, or is another entry's, opens not at all. A file of
/// the store is read as it was written, and what was cut is none.
pub(crate) fn sealed(data: &[u8]) {
    let keys = SealKeys::new(&Secret::new("a key of thirty-two characters!!"), None).unwrap();
    let key = &keys.in_order[0];
    let name = key.name("token", &[7; 32]);
    assert!(key.open(&name, 7, data).is_err(), "nobody else can seal");
    let sealed = key.seal(&name, 7, data).unwrap();
    assert_eq!(*key.open(&name, 7, &sealed).unwrap(), data);
    assert!(key.open(&key.name("rotation", &[7; 32]), 7, &sealed).is_err());
    let at = data.iter().fold(0_usize, |at, byte| at.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut changed = sealed.clone();
    changed[at % sealed.len()] ^= 1 << (at % 8);
    assert!(key.open(&name, 7, &changed).is_err());
    assert!(key.open(&name, 7, &sealed[..at % sealed.len()]).is_err());
    file(data);
}
