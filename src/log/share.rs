//! Of how many of many things there is a line.

/// A share, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// Of none.
    pub const NONE: Self = Self(0);
    /// Of every one.
    pub const ALL: Self = Self(1_000_000);

    /// From 0 to 1. What is not zero is never rounded to it.
    pub fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * f64::from(Self::ALL.0)).ceil() as u32)
    }

    /// Whether there is no line at all.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether the next one is among them, by chance.
    pub fn takes(self) -> bool {
        self == Self::ALL || fastrand::u32(..Self::ALL.0) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_about_that_many() {
        let taken = |share: f64| (0..100_000).filter(|_| Share::of(share).takes()).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, 100_000));
        assert!((800..1200).contains(&taken(0.01)), "one in a hundred");
        assert!(Share::of(0.0).is_none() && !Share::of(1e-12).is_none() && !Share::of(f64::NAN).takes());
        assert_eq!(Share::of(1.0), Share::ALL);
    }
}
