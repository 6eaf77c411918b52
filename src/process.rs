//! What the process gives up, and what it asks for, before it reads anything secret.
//!
//! Owns the process attributes. Refuses to fail: a system that does not grant one of them gets a warning later, not a
//! proxy that does not start.

use std::sync::OnceLock;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::want_open_files;
pub use system::{Limits, harden, open_files};

/// The number by which every user looks whom this process cannot tell from others; `None` if it can tell all of them. In a user
/// namespace (`PrivateUsers=yes` of a systemd unit, rootless containers) all users that are not part of it look like this one.
pub fn unknown_user() -> Option<u32> {
    static FOUND: OnceLock<Option<u32>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // Other systems than Linux have neither the file nor such namespaces.
        let map = std::fs::read_to_string("/proc/self/uid_map").ok()?;
        let overflow = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
        (!is_identity(&map)).then(|| overflow.and_then(|text| text.trim().parse().ok()).unwrap_or(OVERFLOW_USER))
    })
}

/// Linux's number for users that have none (proc_sys_kernel(5)).
pub const OVERFLOW_USER: u32 = 65534;

/// Whether a map of users (user_namespaces(7)) is that of the namespace that has all of them.
fn is_identity(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_namespace_is_known_by_its_map() {
        assert!(is_identity("         0          0 4294967295\n"));
        for part in ["0 0 1\n999 999 1\n", "0 100000 65536\n", "0 0 65536\n", "1000 0 4294967295", ""] {
            assert!(!is_identity(part), "{part}");
        }
    }
}
