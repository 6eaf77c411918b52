//! What the files of the store say.
//!
//! Owns their text and the arithmetic of their times; pure. A time is written down twice: by the boot clock, which no one can set and which
//! goes on during suspend, with the boot that it belongs to; and by the wall clock, for after the next boot.

use std::time::Duration;

use super::super::backend::{Holder, Name};

const ENTRY: &str = "bearerd entry 1";
const LEASE: &str = "bearerd lease 1";
const COUNT: &str = "bearerd count 1";

/// No head of a file is longer, in bytes.
const LONGEST_HEAD: usize = 256;

/// Which boot of the machine; `None` where the system does not say.
pub(super) type Boot = Option<u128>;

/// A point in time that another process, and one after the next boot, can make something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) boot: Boot,
    /// By the boot clock, in milliseconds.
    pub(super) uptime: u64,
    /// By the wall clock, in milliseconds since 1970.
    pub(super) wall: u64,
}

/// By how much, in milliseconds, a clock that was read earlier may be behind.
const LATE: u64 = 2_000;

impl Stamp {
    /// How long ago `earlier` was; `None` where that cannot be known, because a clock was set back.
    pub(super) fn since(self, earlier: Self) -> Option<Duration> {
        // Who waited for the disk has read the clock before who wrote meanwhile.
        let by = |now: u64, then: u64| match now.checked_sub(then) {
            None if then - now <= LATE => Some(Duration::ZERO),
            since => since.map(Duration::from_millis),
        };
        // A container may have a boot clock of its own (time_namespaces(7)).
        let by_boot = if self.is_boot_of(earlier) { by(self.uptime, earlier.uptime) } else { None };
        by_boot.or_else(|| by(self.wall, earlier.wall))
    }

    /// Whether the machine has certainly been started anew since `earlier`.
    pub(super) fn is_after_boot_of(self, earlier: Self) -> bool {
        self.boot.is_some() && earlier.boot.is_some() && self.boot != earlier.boot
    }

    fn is_boot_of(self, earlier: Self) -> bool {
        self.boot.is_some() && self.boot == earlier.boot
    }

    fn print(self) -> String {
        let boot = self.boot.map_or_else(|| "-".to_owned(), |boot| format!("{boot:032x}"));
        format!("{boot} {} {}", self.uptime, self.wall)
    }

    fn parse<'t>(fields: &mut impl Iterator<Item = &'t str>) -> Option<Self> {
        let boot = match fields.next()? {
            "-" => None,
            boot => Some(u128::from_str_radix(boot, 16).ok()?),
        };
        Some(Self { boot, uptime: fields.next()?.parse().ok()?, wall: fields.next()?.parse().ok()? })
    }
}

/// An entry with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: u64,
    /// The highest fencing number that has written here.
    pub(super) fence: u64,
    pub(super) written: Stamp,
    /// How long it is worth keeping; `None` for ever.
    pub(super) keep: Option<Duration>,
    pub(super) bytes: Vec<u8>,
}

impl Entry {
    /// Whether it is not worth anything any more. What has no age is kept.
    pub(super) fn is_over(&self, now: Stamp) -> bool {
        self.keep.is_some_and(|keep| now.since(self.written).is_some_and(|age| age >= keep))
    }

    pub(super) fn print(&self) -> Vec<u8> {
        let keep = self.keep.map_or_else(|| "-".to_owned(), |keep| millis(keep).to_string());
        let (version, fence, written) = (self.version, self.fence, self.written.print());
        // With the length, so that what was cut is seen to be.
        let head = format!("{ENTRY}\n{version} {fence} {written} {keep} {}\n", self.bytes.len());
        [head.as_bytes(), &self.bytes].concat()
    }

    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let (head, bytes) = split(content, ENTRY)?;
        let mut fields = head.split(' ');
        let entry = Self {
            version: fields.next()?.parse().ok()?,
            fence: fields.next()?.parse().ok()?,
            written: Stamp::parse(&mut fields)?,
            keep: match fields.next()? {
                "-" => None,
                keep => Some(Duration::from_millis(keep.parse().ok()?)),
            },
            bytes: bytes.to_vec(),
        };
        let length: usize = fields.next()?.parse().ok()?;
        (length == bytes.len() && fields.next().is_none()).then_some(entry)
    }
}

/// Who has, or had, the lease. Whether it was given back is not said here but by a lock on the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// The highest fencing number given out.
    pub(super) fence: u64,
    pub(super) holder: Holder,
    pub(super) taken: Stamp,
    pub(super) length: Duration,
}

impl Lease {
    /// For how long it is still the holder's, if that lives and does not give it back.
    pub(super) fn left(&self, now: Stamp) -> Duration {
        if now.is_after_boot_of(self.taken) {
            return Duration::ZERO;
        }
        self.length.saturating_sub(now.since(self.taken).unwrap_or_default())
    }

    pub(super) fn print(&self) -> String {
        let (fence, holder, taken) = (self.fence, self.holder, self.taken.print());
        format!("{LEASE}\n{fence} {holder} {taken} {}\n", millis(self.length))
    }

    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let (head, rest) = split(content, LEASE)?;
        let mut fields = head.split(' ');
        let lease = Self {
            fence: fields.next()?.parse().ok()?,
            holder: Holder(u128::from_str_radix(fields.next()?, 16).ok()?),
            taken: Stamp::parse(&mut fields)?,
            length: Duration::from_millis(fields.next()?.parse().ok()?),
        };
        (rest.is_empty() && fields.next().is_none()).then_some(lease)
    }
}

/// How often something has happened within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) sum: u64,
    pub(super) begun: Stamp,
    pub(super) keep: Duration,
}

impl Count {
    /// Whether it is to begin anew. If a clock was set back, so that this cannot be known, it is not.
    pub(super) fn is_over(&self, now: Stamp) -> bool {
        now.since(self.begun).is_some_and(|age| age >= self.keep)
    }

    pub(super) fn print(&self) -> String {
        format!("{COUNT}\n{} {} {}\n", self.sum, self.begun.print(), millis(self.keep))
    }

    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let (head, rest) = split(content, COUNT)?;
        let mut fields = head.split(' ');
        let count = Self {
            sum: fields.next()?.parse().ok()?,
            begun: Stamp::parse(&mut fields)?,
            keep: Duration::from_millis(fields.next()?.parse().ok()?),
        };
        (rest.is_empty() && fields.next().is_none()).then_some(count)
    }
}

/// The name in a file's name, after its prefix.
pub(super) fn name(hex: &str) -> Option<Name> {
    if hex.len() != 64 || hex.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut name = [0; 32];
    for (index, byte) in name.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(Name(name))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The second line of a file of this kind, and what comes after it.
fn split<'c>(content: &'c [u8], kind: &str) -> Option<(&'c str, &'c [u8])> {
    let rest = content.strip_prefix(kind.as_bytes())?.strip_prefix(b"\n")?;
    let end = rest.iter().take(LONGEST_HEAD).position(|byte| *byte == b'\n')?;
    let (head, rest) = rest.split_at_checked(end)?;
    Some((std::str::from_utf8(head).ok()?, rest.strip_prefix(b"\n")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: Stamp = Stamp { boot: Some(7), uptime: 5_000, wall: 1_000_000 };

    fn now(boot: Boot, uptime: u64, wall: u64) -> Stamp {
        Stamp { boot, uptime, wall }
    }

    #[test]
    fn an_age_is_by_the_boot_clock_within_a_boot_and_by_the_wall_clock_after_it() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (now, age) in [
            (now(Some(7), 15_000, 1_010_000), seconds(10)),
            // The wall clock was set, forwards and backwards: nobody cares.
            (now(Some(7), 15_000, 9_000_000), seconds(10)),
            (now(Some(7), 15_000, 0), seconds(10)),
            (now(Some(8), 1_000, 1_060_000), seconds(60)),
            (now(Some(8), 90_000, 990_000), None),
            // Read before it was written, by somebody who then waited for the disk.
            (now(Some(7), 4_990, 1_000_000), seconds(0)),
            (now(Some(8), 90_000, 999_999), seconds(0)),
            (now(None, 90_000, 1_060_000), seconds(60)),
            // A container's own boot clock.
            (now(Some(7), 1_000, 1_060_000), seconds(60)),
        ] {
            assert_eq!(now.since(WRITTEN), age, "{now:?}");
        }
        let unknown = Stamp { boot: None, ..WRITTEN };
        assert_eq!(now(None, 15_000, 1_060_000).since(unknown), seconds(60));
    }

    #[test]
    fn a_lease_ends_by_its_time_and_with_the_boot() {
        let lease = Lease { fence: 1, holder: Holder(1), taken: WRITTEN, length: Duration::from_secs(30) };
        for (now, left) in [
            (now(Some(7), 5_000, 0), 30),
            (now(Some(7), 25_000, u64::MAX), 10),
            (now(Some(7), 35_000, 0), 0),
            (now(Some(7), 99_000, 0), 0),
            (now(Some(8), 5_000, 1_000_000), 0),
            (now(None, 5_000, 1_010_000), 20),
            (now(None, 5_000, 0), 30),
        ] {
            assert_eq!(lease.left(now), Duration::from_secs(left), "{now:?}");
        }
    }

    #[test]
    fn what_has_no_age_is_not_over() {
        let entry =
            Entry { version: 1, fence: 1, written: WRITTEN, keep: Some(Duration::from_secs(10)), bytes: vec![] };
        assert!(!entry.is_over(now(Some(7), 14_999, 0)) && entry.is_over(now(Some(7), 15_000, 0)));
        assert!(!entry.is_over(now(Some(8), 0, 0)));
        assert!(!Entry { keep: None, ..entry }.is_over(now(Some(7), u64::MAX, 0)));
    }

    #[test]
    fn what_is_printed_is_read_and_nothing_that_was_cut_or_changed() {
        let unknown = Stamp { boot: None, ..WRITTEN };
        for (written, keep, bytes) in [
            (WRITTEN, Some(Duration::from_millis(1)), &b"\n\0\xff bearerd"[..]),
            (unknown, None, b""),
            (Stamp { boot: Some(u128::MAX), uptime: u64::MAX, wall: u64::MAX }, Some(Duration::MAX), b"x"),
        ] {
            let entry = Entry { version: u64::MAX, fence: 3, written, keep, bytes: bytes.to_vec() };
            let printed = entry.print();
            let read = Entry::parse(&printed).unwrap();
            assert_eq!(Entry { keep, ..read }, entry);
            for end in 0..printed.len() {
                assert_eq!(Entry::parse(&printed[..end]), None, "cut at {end}");
            }
            assert_eq!(Entry::parse(&[&printed[..], b"x"].concat()), None);
        }
        let lease = Lease { fence: 3, holder: Holder(u128::MAX), taken: WRITTEN, length: Duration::from_secs(1) };
        let count = Count { sum: 9, begun: unknown, keep: Duration::from_secs(1) };
        assert_eq!(Lease::parse(lease.print().as_bytes()), Some(lease));
        assert_eq!(Count::parse(count.print().as_bytes()), Some(count));
        for (index, _) in lease.print().char_indices() {
            assert_eq!(Lease::parse(&lease.print().as_bytes()[..index]), None);
        }
        for other in [&b""[..], b"bearerd entry 2\n1 1 - 1 1 - 0\n", lease.print().as_bytes(), &[0; 4096]] {
            assert_eq!(Entry::parse(other), None);
        }
    }

    #[test]
    fn names_are_read_back_from_files() {
        let all = Name(std::array::from_fn(|index| (index * 8) as u8));
        assert_eq!(name(&all.to_string()), Some(all));
        for wrong in ["", "00", &"g".repeat(64), &"A0".repeat(32), &"é".repeat(32)] {
            assert_eq!(name(wrong), None);
        }
    }
}
