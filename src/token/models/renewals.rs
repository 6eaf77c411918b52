//! Renewals and ends of tokens, while workers use them.

use super::*;

/// A life that schedules see the end of.
fn short(number: u64) -> Option<Answer> {
    Some(Ok(issued(&format!("token-{number}"), 20)))
}

#[test]
fn a_renewal_and_a_rejection_at_once_are_one_fetch() {
    check(|| {
        let facts = Facts::new(short);
        let request = |mut worker: Worker| {
            for _ in 0..2 {
                let got = block_on(worker.request(P));
                // The next token, too, may have expired before its turn comes.
                assert!(got != Got::NoToken && got != Got::Useless, "{got:?}");
                worker.facts.revoke(1);
            }
        };
        live(settings(), &facts, &[(2, request)]);
    });
}

#[test]
fn whoever_meets_an_expired_token_gets_the_next_and_never_the_old() {
    check(|| {
        let facts = Facts::new(short);
        let use_it = |mut worker: Worker| {
            for _ in 0..3 {
                let token = block_on(worker.token());
                assert!(token.is_ok(), "{token:?}");
                block_on(linger());
            }
        };
        live(settings(), &facts, &[(2, use_it)]);
    });
}

#[test]
fn a_failed_renewal_leaves_nobody_waiting() {
    fn fails_often(number: u64) -> Option<Answer> {
        if number.is_multiple_of(2) { Some(Err(failed(Class::Transient, 503))) } else { short(number) }
    }
    check(|| {
        let facts = Facts::new(fails_often);
        let use_it = |mut worker: Worker| {
            for _ in 0..2 {
                let token = block_on(worker.token());
                assert!(token.is_ok(), "{token:?}");
                worker.facts.revoke(1);
                let _ = block_on(worker.request(P));
            }
        };
        live(settings(), &facts, &[(2, use_it)]);
    });
}
