//! Properties of the store's files that hold for any bytes.

use super::format::{Count, Entry, Lease};

/// What is read was written so; what was cut or prolonged is not read.
pub(in crate::store) fn file(data: &[u8]) {
    if let Some(entry) = Entry::parse(data) {
        let printed = entry.print();
        assert_eq!(Entry::parse(&printed), Some(entry));
        assert_eq!(Entry::parse(&[&printed[..], b"x"].concat()), None);
        assert_eq!(printed.split_last().and_then(|(_, cut)| Entry::parse(cut)), None);
    }
    if let Some(lease) = Lease::parse(data) {
        assert_eq!(Lease::parse(lease.print().as_bytes()), Some(lease));
    }
    if let Some(count) = Count::parse(data) {
        assert_eq!(Count::parse(count.print().as_bytes()), Some(count));
    }
}
