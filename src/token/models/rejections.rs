//! Rejections on several threads at once.

use super::*;

/// A worker's request that a rejection must not be seen of.
fn is_served(mut worker: Worker) {
    let got = block_on(worker.request(P));
    assert!(matches!(got, Got::Fine | Got::Healed), "{got:?}");
}

#[test]
fn however_many_workers_have_a_token_rejected_there_is_one_fetch() {
    check(|| {
        let facts = Facts::new(fresh);
        facts.revoke(1);
        live(settings(), &facts, &[(3, is_served)]);
        assert_eq!(facts.asked(), 2);
    });
}

#[test]
fn a_rejection_that_comes_late_forces_no_second_fetch() {
    check(|| {
        let facts = Facts::new(fresh);
        // Known before anybody asks, used when it may have been replaced.
        let twice = |mut worker: Worker| {
            let sent = block_on(worker.token()).expect("a token");
            worker.facts.revoke(1);
            for _ in 0..2 {
                let verdict = block_on(worker.reader.rejected(&sent, P));
                let Verdict::Replay(token) = verdict else { panic!("{verdict:?}") };
                assert_eq!(token.generation(), 2);
            }
        };
        live(settings(), &facts, &[(2, is_served), (1, twice)]);
        assert_eq!(facts.asked(), 2);
    });
}

#[test]
fn each_revocation_is_healed_by_one_fetch() {
    check(|| {
        let facts = Facts::new(fresh);
        let revoke = |worker: Worker| {
            for generation in 1..3 {
                block_on(linger());
                worker.facts.revoke(generation);
            }
        };
        let request = |mut worker: Worker| {
            for request in 0..2 {
                // Rejected twice within one request, or while the gap is open: that is passed on.
                let got = block_on(worker.request(RequestHash(request)));
                assert!(!matches!(got, Got::NoToken | Got::Passed(Pass::Unavailable)), "{got:?}");
            }
        };
        live(settings(), &facts, &[(2, request), (1, revoke)]);
        assert!(facts.asked() <= 3, "{}", facts.asked());
    });
}

#[test]
fn a_caller_that_goes_away_takes_nothing_from_the_others() {
    check(|| {
        let facts = Facts::new(fresh);
        facts.revoke(1);
        let leave = |mut worker: Worker| {
            let _ = block_on(for_a_while(worker.request(P)));
        };
        live(settings(), &facts, &[(2, is_served), (1, leave)]);
        assert_eq!(facts.asked(), 2);
    });
}

#[test]
fn whoever_waits_for_a_fetch_that_fails_is_told_and_the_next_is_for_all() {
    fn fails_once(number: u64) -> Option<Answer> {
        if number == 2 { Some(Err(failed(Class::Transient, 503))) } else { fresh(number) }
    }
    check(|| {
        let facts = Facts::new(fails_once);
        facts.revoke(1);
        let request = |mut worker: Worker| {
            let got = block_on(worker.request(P));
            assert!(matches!(got, Got::Fine | Got::Healed | Got::Passed(Pass::Unavailable)), "{got:?}");
        };
        live(settings(), &facts, &[(3, request)]);
        assert!(facts.asked() <= 3, "{}", facts.asked());
    });
}

#[test]
fn a_person_that_ends_a_wait_has_one_token_asked_for() {
    fn refuses_once(number: u64) -> Option<Answer> {
        if number == 1 { Some(Err(failed(Class::Permanent, 401))) } else { fresh(number) }
    }
    check(|| {
        let facts = Facts::new(refuses_once);
        let retry = |worker: Worker| {
            if worker.reader.retry() {
                let token = block_on(worker.reader.usable());
                assert!(token.is_ok(), "{token:?}");
            }
        };
        let wait = |mut worker: Worker| drop(block_on(worker.token()));
        live(settings(), &facts, &[(2, retry), (1, wait)]);
        assert!(facts.asked() <= 2, "{}", facts.asked());
    });
}

#[test]
fn rejections_that_are_not_replayed_force_one_fetch_and_wait_for_nothing() {
    check(|| {
        let facts = Facts::new(fresh);
        let reject = |mut worker: Worker| {
            let sent = block_on(worker.token()).expect("a token");
            worker.facts.revoke(1);
            if !worker.facts.accepts(&sent) {
                worker.reader.renew_after_rejection(&sent, P);
            }
        };
        live(settings(), &facts, &[(3, reject), (1, is_served)]);
        assert!(facts.asked() <= 2, "{}", facts.asked());
    });
}
