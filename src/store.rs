//! The token store: what the instances of a fleet know in common, so that they behave like one.
//!
//! Owns the places where a credential's entry lives (a directory of one host, a Redis), the sealing of what is put there, the
//! lease by which one instance at a time asks the token endpoint, and the knowledge whether the store answers at all. It knows
//! no tokens: an entry is bytes with a version. It is never a reason to fail: every question has a deadline, and while the store
//! does not answer all of them fail at once, and each instance goes on as if alone.
//!
//! ```text
//!   token::fleet ──▶ Slot (names, sealing, both keys) ──▶ Store (deadline, away or there) ──▶ Backend (file, redis)
//! ```

pub mod backend;
#[cfg(test)]
pub(crate) mod contract_tests;
#[cfg(unix)]
mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod presence;
#[cfg(feature = "redis")]
pub mod redis;
mod seal;
pub mod settings;
#[cfg(test)]
pub(crate) mod simulated;
mod slot;

pub use backend::{Backend, StoreError, Written};
#[cfg(unix)]
pub use file::FileStore;
pub use presence::Store;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
pub use seal::{SHORTEST_KEY, SealKeys};
pub use settings::Settings;
pub use slot::{Claimed, Lease, Opened, Slot};
