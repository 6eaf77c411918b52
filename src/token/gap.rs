//! The gap: no forced fetch for a while after a new token proved useless (DESIGN section 5, point 3).
//!
//! Owns the answer to one question: may this rejection force a fetch? All of it is atomics, shared by the workers.
//! While the gap is open it remembers which requests the current token satisfied; a rejection of one of those is
//! news, not the old story, and ends the gap. It goes on for the requests that it had turned away, as they would only
//! prove the same again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::RequestHash;
use crate::backoff::doubling;
use crate::clock::Moment;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize};

const FIRST: Duration = Duration::from_secs(1);
const SETS: usize = 256;
const WAYS: usize = 4;
/// Instead of a time: somebody is opening a window, and nobody else may.
const OPENING: u64 = u64::MAX;

/// The gap of one credential.
#[derive(Debug)]
pub(super) struct Gap {
    /// In nanoseconds.
    most: AtomicU64,
    /// Closed to every rejection, or (once narrow) to those it turned away.
    general: Window,
    narrow: AtomicBool,
    /// The last generation that a rejected replay has proved useless.
    useless: AtomicU64,
    /// Paces forced fetches for rejections that are not replayed and thus can prove nothing.
    unreplayed: Window,
    satisfied: RequestSet,
    turned_away: RequestSet,
    /// The generation whose rejection ended the gap last. Its successor stands for that exception.
    ended_for: AtomicU64,
}

impl Gap {
    /// A closed gap that grows to `most`.
    pub(super) fn new(most: Duration) -> Self {
        Self {
            most: AtomicU64::new(nanos(most)),
            general: Window::default(),
            narrow: AtomicBool::new(false),
            useless: AtomicU64::new(0),
            unreplayed: Window::default(),
            satisfied: RequestSet::new(),
            turned_away: RequestSet::new(),
            ended_for: AtomicU64::new(u64::MAX),
        }
    }

    /// From now on it grows to `most`.
    pub(super) fn grows_to(&self, most: Duration) {
        self.most.store(nanos(most), Ordering::Release);
    }

    fn most(&self) -> Duration {
        Duration::from_nanos(self.most.load(Ordering::Acquire))
    }

    /// Whether a rejection of `request`, sent with the token of `generation`, may force a fetch.
    pub(super) fn admits(&self, request: RequestHash, generation: u64, now: Moment) -> bool {
        let Some(opening) = self.general.opening(now) else { return true };
        if self.ended_for.load(Ordering::Acquire) == generation {
            // The gap is over for this token: whoever else it failed joins the same fetch.
            return true;
        }
        if self.satisfied.contains(request, generation) {
            self.ended_for.store(generation, Ordering::Release);
            return true;
        }
        if self.narrow.load(Ordering::Acquire) && !self.turned_away.contains(request, opening) {
            return true;
        }
        self.turned_away.insert(request, opening);
        false
    }

    /// As [`Gap::admits`], for a rejection that will not be replayed. An admitted one opens a window of its own, since no
    /// replay will tell whether the fetch was of use.
    pub(super) fn admits_unreplayed(&self, request: RequestHash, generation: u64, now: Moment) -> bool {
        if self.unreplayed.opening(now).is_some() || !self.admits(request, generation, now) {
            return false;
        }
        self.unreplayed.widen(now, self.most());
        true
    }

    /// Notes that the token of `generation` was good for `request`. One load while the gap is closed.
    pub(super) fn satisfied(
        &self,
        request: impl FnOnce() -> RequestHash,
        generation: u64,
        now: impl FnOnce() -> Moment,
    ) {
        if self.general.may_be_open() && self.general.opening(now()).is_some() {
            self.satisfied.insert(request(), generation);
        }
    }

    /// A replay with the token of `generation` was accepted. Closes the gap; if it was a remembered request that had
    /// ended it, then not for those it turned away.
    pub(super) fn useful(&self, generation: u64) {
        if self.ended_for.load(Ordering::Acquire).wrapping_add(1) == generation {
            self.narrow.store(true, Ordering::Release);
        } else {
            self.general.close();
        }
    }

    /// A replay with the token of `generation` was rejected, too. Opens the gap, once for each generation, and returns
    /// for how long.
    pub(super) fn useless(&self, generation: u64, now: Moment) -> Option<Duration> {
        if self.useless.fetch_max(generation, Ordering::AcqRel) >= generation {
            return None;
        }
        self.widen(now)
    }

    /// A forced fetch brought the token that was rejected. Opens the gap, as nothing is replayed that could.
    pub(super) fn same_again(&self, now: Moment) -> Option<Duration> {
        self.widen(now)
    }

    fn widen(&self, now: Moment) -> Option<Duration> {
        // A narrow gap let this request through: it has to become a whole one again.
        if self.narrow.swap(false, Ordering::AcqRel) {
            self.general.close();
        }
        self.general.widen(now, self.most())
    }
}

/// A time during which something is not done, twice as long each time it opens again soon after.
#[derive(Debug, Default)]
struct Window {
    /// Milliseconds on the clock of the credential; 0 while closed.
    until: AtomicU64,
    /// The end as it was planned, kept after closing early.
    ended: AtomicU64,
    openings: AtomicU64,
    doublings: AtomicU64,
}

impl Window {
    fn may_be_open(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    /// The number of the current opening, while it is open.
    fn opening(&self, now: Moment) -> Option<u64> {
        let until = self.until.load(Ordering::Acquire);
        if until == 0 {
            return None;
        }
        if now.as_millis() >= until {
            // So that `may_be_open` is cheap again. A widening that came in between stays.
            let _ = self.until.compare_exchange(until, 0, Ordering::AcqRel, Ordering::Relaxed);
            return None;
        }
        Some(self.openings.load(Ordering::Acquire))
    }

    fn close(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Opens it, unless it is open or being opened. The next time is twice as long if it comes within as long after the planned end as
    /// it was to last; after a longer peace it starts small.
    fn widen(&self, now: Moment, most: Duration) -> Option<Duration> {
        let is_closed = self.opening(now).is_none();
        if !is_closed || self.until.compare_exchange(0, OPENING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return None;
        }
        let before = self.doublings.load(Ordering::Acquire);
        let last = before.checked_sub(1).map(|tries| width(tries, most));
        let peace = now.as_millis().saturating_sub(self.ended.load(Ordering::Acquire));
        let tries = if last.is_some_and(|last| u128::from(peace) <= last.as_millis()) { before } else { 0 };
        let width = width(tries, most);
        let until = (now + width).as_millis();
        self.doublings.store(tries + 1, Ordering::Release);
        self.openings.fetch_add(1, Ordering::AcqRel);
        self.ended.store(until, Ordering::Release);
        self.until.store(until, Ordering::Release);
        Some(width)
    }
}

/// About a thousand requests, each in the context of a generation or an opening. The oldest of a set gives way.
#[derive(Debug)]
struct RequestSet {
    slots: Box<[[AtomicU64; WAYS]]>,
    next: AtomicUsize,
}

impl RequestSet {
    fn new() -> Self {
        let slots = (0..SETS).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect();
        Self { slots, next: AtomicUsize::new(0) }
    }

    fn contains(&self, request: RequestHash, context: u64) -> bool {
        let key = key(request, context);
        self.set(key).iter().any(|slot| slot.load(Ordering::Relaxed) == key)
    }

    fn insert(&self, request: RequestHash, context: u64) {
        let key = key(request, context);
        let set = self.set(key);
        if set.iter().any(|slot| slot.load(Ordering::Relaxed) == key) {
            return;
        }
        let takes = |slot: &AtomicU64| slot.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if set.iter().any(|slot| slot.load(Ordering::Relaxed) == 0 && takes(slot)) {
            return;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = set.get(turn % WAYS) {
            slot.store(key, Ordering::Relaxed);
        }
    }

    fn set(&self, key: u64) -> &[AtomicU64] {
        let index = usize::try_from(key >> 32).unwrap_or(0) % SETS;
        self.slots.get(index).map_or(&[], |set| set.as_slice())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn width(tries: u64, most: Duration) -> Duration {
    doubling(FIRST, u32::try_from(tries).unwrap_or(u32::MAX), most)
}

/// Never zero, which marks a free slot. The mixing is that of SplitMix64.
fn key(request: RequestHash, context: u64) -> u64 {
    let mut mixed = request.0 ^ context.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)).max(1)
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests {
    use super::*;

    const Q: RequestHash = RequestHash(1);
    const P: RequestHash = RequestHash(2);
    const R: RequestHash = RequestHash(3);

    fn at(millis: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(3600) + Duration::from_millis(millis)
    }

    fn gap() -> Gap {
        Gap::new(Duration::from_secs(600))
    }

    #[test]
    fn a_gap_that_nothing_opened_admits_every_rejection() {
        assert!(gap().admits(Q, 1, at(0)));
    }

    #[test]
    fn a_useless_replay_opens_it_for_a_second_then_twice_as_long() {
        let gap = gap();
        let mut now = 0;
        for (generation, wanted) in (2..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]) {
            assert_eq!(gap.useless(generation, at(now)), Some(Duration::from_secs(wanted)));
            assert!(!gap.admits(Q, generation, at(now + wanted * 1000 - 1)));
            now += wanted * 1000;
            assert!(gap.admits(Q, generation, at(now)), "after {wanted} s");
        }
    }

    #[test]
    fn a_thousand_useless_replays_of_one_token_open_it_once() {
        let gap = gap();
        assert!(gap.useless(2, at(0)).is_some());
        for _ in 0..1000 {
            assert_eq!(gap.useless(2, at(5)), None);
        }
        assert_eq!(gap.useless(2, at(1500)), None, "a late word about the same token");
        assert!(gap.admits(Q, 2, at(1000)));
    }

    #[test]
    fn from_a_change_on_it_grows_to_another_length() {
        let gap = gap();
        gap.grows_to(Duration::from_secs(4));
        let mut now = 0;
        for (generation, wanted) in (2..).zip([1, 2, 4, 4]) {
            assert_eq!(gap.useless(generation, at(now)), Some(Duration::from_secs(wanted)));
            now += wanted * 1000;
        }
    }

    #[test]
    fn a_useful_replay_closes_it() {
        let gap = gap();
        gap.useless(2, at(0));
        gap.useful(3);
        assert!(gap.admits(Q, 3, at(1)));
    }

    #[test]
    fn after_a_long_peace_it_starts_small_again() {
        let gap = gap();
        gap.useless(2, at(0));
        gap.useless(3, at(1000));
        assert_eq!(gap.useless(4, at(60_000)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_rejection_of_a_request_that_the_token_satisfied_ends_it_for_all() {
        let gap = gap();
        gap.useless(2, at(0));
        gap.satisfied(|| P, 2, || at(1));
        assert!(!gap.admits(Q, 2, at(2)), "not remembered");
        assert!(gap.admits(P, 2, at(3)));
        assert!(gap.admits(Q, 2, at(4)), "it is over for this token");
    }

    #[test]
    fn a_memory_of_another_token_does_not_end_it() {
        let gap = gap();
        gap.useless(2, at(0));
        gap.satisfied(|| P, 2, || at(1));
        assert!(!gap.admits(P, 3, at(2)));
    }

    #[test]
    fn nothing_is_remembered_while_it_is_closed() {
        let gap = gap();
        gap.satisfied(|| P, 1, || panic!("the clock is not even read"));
        gap.useless(2, at(0));
        gap.satisfied(|| P, 2, || at(1000));
        gap.useless(3, at(1000));
        assert!(!gap.admits(P, 2, at(1001)));
    }

    #[test]
    fn after_a_healed_request_it_goes_on_only_for_those_it_turned_away() {
        let gap = gap();
        gap.useless(2, at(0));
        assert!(!gap.admits(Q, 2, at(1)));
        gap.satisfied(|| P, 2, || at(2));
        assert!(gap.admits(P, 2, at(3)));
        gap.useful(3);
        assert!(!gap.admits(Q, 3, at(4)), "was turned away before");
        assert!(gap.admits(R, 3, at(5)), "was never heard of");
    }

    #[test]
    fn a_newcomer_whose_fetch_is_useless_makes_it_whole_and_wider() {
        let gap = gap();
        gap.useless(2, at(0));
        gap.satisfied(|| P, 2, || at(1));
        assert!(gap.admits(P, 2, at(2)));
        gap.useful(3);
        assert!(gap.admits(R, 3, at(3)));
        assert_eq!(gap.useless(4, at(4)), Some(Duration::from_secs(2)));
        assert!(!gap.admits(RequestHash(9), 4, at(5)));
    }

    #[test]
    fn rejections_that_are_not_replayed_are_paced_among_themselves() {
        let gap = gap();
        assert!(gap.admits_unreplayed(Q, 1, at(0)));
        assert!(!gap.admits_unreplayed(Q, 2, at(999)));
        assert!(gap.admits_unreplayed(Q, 2, at(1000)));
        assert!(!gap.admits_unreplayed(Q, 3, at(2999)));
        assert!(gap.admits(Q, 3, at(2999)), "one that is replayed is not concerned");
        assert!(gap.admits_unreplayed(Q, 3, at(60_000)));
        assert!(gap.admits_unreplayed(Q, 3, at(61_000)), "after a long peace a second is enough");
    }

    #[test]
    fn a_thousand_requests_are_remembered_at_least_in_part_and_the_last_one_always() {
        let set = RequestSet::new();
        for hash in 0..10_000 {
            set.insert(RequestHash(hash), 7);
            assert!(set.contains(RequestHash(hash), 7));
        }
        let known = (0..10_000).filter(|hash| set.contains(RequestHash(*hash), 7)).count();
        assert!((900..=1024).contains(&known), "{known}");
        assert!(!set.contains(RequestHash(9999), 8));
        // While there is room, nothing gives way.
        let set = RequestSet::new();
        (0..200).for_each(|hash| set.insert(RequestHash(hash), 7));
        assert!((0..200).all(|hash| set.contains(RequestHash(hash), 7)));
    }
}
