//! Models of the gap: several threads open it, close it and ask it at once.

use std::sync::Arc;

use super::*;
use crate::sync::models::{check, thread};

const P: RequestHash = RequestHash(11);
const Q: RequestHash = RequestHash(22);

fn at(millis: u64) -> Moment {
    Moment::ORIGIN + Duration::from_secs(3600) + Duration::from_millis(millis)
}

fn gap() -> Arc<Gap> {
    Arc::new(Gap::new(Duration::from_secs(600)))
}

/// Has each of the threads do its part with `gap`, all at once.
fn at_once<const N: usize>(gap: &Arc<Gap>, parts: [fn(&Gap) -> u64; N]) -> [u64; N] {
    let part = |part: fn(&Gap) -> u64| {
        let gap = Arc::clone(gap);
        thread::spawn(move || part(&gap))
    };
    parts.map(part).map(|thread| thread.join().unwrap())
}

#[test]
fn however_many_replays_with_one_token_are_rejected_the_gap_opens_once() {
    check(|| {
        let gap = gap();
        let opened = at_once(&gap, [|gap: &Gap| u64::from(gap.useless(2, at(0)).is_some()); 3]);
        assert_eq!(opened.iter().sum::<u64>(), 1);
        assert!(!gap.admits(P, 2, at(999)));
        assert!(gap.admits(P, 2, at(1000)));
    });
}

#[test]
fn replays_with_two_tokens_that_are_rejected_at_once_open_one_gap() {
    check(|| {
        let gap = gap();
        let opened = at_once(
            &gap,
            [
                |gap| gap.useless(2, at(0)).map_or(0, |width| width.as_secs()),
                |gap| gap.useless(3, at(0)).map_or(0, |width| width.as_secs()),
            ],
        );
        assert_eq!(opened.iter().sum::<u64>(), 1, "seconds");
        assert!(gap.admits(P, 3, at(1000)));
    });
}

#[test]
fn however_many_rejections_are_not_replayed_the_next_is_admitted_a_second_later() {
    check(|| {
        let gap = gap();
        let admitted = at_once(&gap, [|gap: &Gap| u64::from(gap.admits_unreplayed(P, 1, at(0))); 3]);
        assert!(admitted.iter().sum::<u64>() >= 1);
        assert!(!gap.admits_unreplayed(P, 2, at(999)));
        assert!(gap.admits_unreplayed(P, 2, at(1000)));
    });
}

#[test]
fn a_remembered_request_ends_the_gap_for_all_whoever_asks_meanwhile() {
    check(|| {
        let gap = gap();
        assert!(gap.useless(2, at(0)).is_some());
        gap.satisfied(|| P, 2, || at(1));
        let [ended, ..] = at_once(
            &gap,
            [
                |gap| u64::from(gap.admits(P, 2, at(2))),
                |gap| u64::from(gap.admits(Q, 2, at(2))),
                |gap| u64::from(gap.admits(RequestHash(33), 2, at(2))),
            ],
        );
        assert_eq!(ended, 1);
        assert!(gap.admits(Q, 2, at(3)), "it is over for this token");
    });
}

#[test]
fn a_useful_replay_and_a_useless_one_leave_it_open_or_closed_but_whole() {
    check(|| {
        let gap = gap();
        let close = |gap: &Gap| {
            gap.useful(2);
            0
        };
        let [opened, _, admitted] = at_once(
            &gap,
            [
                |gap| gap.useless(2, at(0)).map_or(0, |width| width.as_secs()),
                close,
                |gap| u64::from(gap.admits(P, 2, at(500))),
            ],
        );
        assert_eq!(opened, 1, "a second, as always at first");
        assert!(admitted <= 1);
        assert!(gap.admits(P, 2, at(1000)), "and then it is over");
    });
}

#[test]
fn what_several_threads_remember_at_once_is_all_remembered() {
    // As many as one set has room for, all in that one.
    let place = |hash: &u64| (key(RequestHash(*hash), 7) >> 32) % SETS as u64;
    let neighbours: Vec<u64> = (0..).filter(|hash| place(hash) == 0).take(WAYS).collect();
    check(move || {
        let set = Arc::new(RequestSet::new());
        let remember = |hash: &u64| {
            let (set, request) = (Arc::clone(&set), RequestHash(*hash));
            thread::spawn(move || set.insert(request, 7))
        };
        let threads: Vec<_> = neighbours.iter().map(remember).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for hash in &neighbours {
            assert!(set.contains(RequestHash(*hash), 7), "{hash}");
        }
    });
}
