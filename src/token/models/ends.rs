//! Shutdown and reload, while workers wait.

use super::*;
use crate::sync::watch;

/// Answers the first request, and is silent then.
fn once(number: u64) -> Option<Answer> {
    if number == 1 { fresh(number) } else { None }
}

/// Says that it is time to end, at any moment of the others.
fn shut_down(worker: Worker) {
    block_on(linger());
    worker.holds.fire();
}

#[test]
fn at_the_end_whoever_waits_for_another_token_is_told() {
    check(|| {
        let facts = Facts::new(once);
        facts.revoke(1);
        let wait = |mut worker: Worker| {
            let got = block_on(worker.request(P));
            assert!(matches!(got, Got::NoToken | Got::Passed(Pass::Unavailable)), "{got:?}");
        };
        live(settings(), &facts, &[(2, wait), (1, shut_down)]);
    });
}

#[test]
fn at_the_end_whoever_waits_for_the_first_token_is_told() {
    check(|| {
        let facts = Facts::new(|_| None);
        let wait = |mut worker: Worker| assert!(block_on(worker.token()).is_err());
        live(settings(), &facts, &[(2, wait), (1, shut_down)]);
    });
}

#[test]
fn whatever_happens_when_it_ends_nobody_waits_on() {
    check(|| {
        let facts = Facts::new(fresh);
        facts.revoke(1);
        let request = |mut worker: Worker| {
            let _ = block_on(worker.request(P));
        };
        live(settings(), &facts, &[(2, request), (1, shut_down)]);
        assert!(facts.asked() <= 2, "{}", facts.asked());
    });
}

#[test]
fn the_end_waits_for_the_answer_to_a_refresh_token_that_is_the_only_credential() {
    check(|| {
        let facts = Facts::new(fresh);
        facts.revoke(1);
        let settings = Settings { lives_by_refresh_token: true, ..settings() };
        let request = |mut worker: Worker| {
            let _ = block_on(worker.request(P));
        };
        live(settings, &facts, &[(2, request), (1, shut_down)]);
        assert_eq!(facts.asked(), facts.answered.load(SeqCst), "an answer was not waited for");
    });
}

/// What a reload exchanges. Stands for the gateway: whoever holds it holds its credential.
struct Gateway {
    facts: Arc<Facts>,
    reader: Reader,
    holds: Arc<Trigger>,
}

impl Gateway {
    fn new(facts: &Arc<Facts>) -> (impl Future<Output = ()> + use<>, Arc<Self>) {
        let (refresher, reader, holds) = credential(settings(), facts);
        (refresher, Arc::new(Self { facts: Arc::clone(facts), reader, holds }))
    }

    fn worker(&self) -> Worker {
        let (facts, reader, holds) = (Arc::clone(&self.facts), self.reader.clone(), Arc::clone(&self.holds));
        Worker { facts, reader, copy: None, holds }
    }
}

/// Two requests, each with the gateway that there is when it begins, as `proxy::live` has it.
fn serve(mut gateways: watch::Receiver<Arc<Gateway>>, new: &Arc<Facts>, is_replaced: &AtomicBool) {
    let mut gateway = Arc::clone(&gateways.borrow_and_update());
    for _ in 0..2 {
        let is_new = is_replaced.load(SeqCst);
        if gateways.has_changed().unwrap_or(false) {
            gateway = Arc::clone(&gateways.borrow_and_update());
        }
        assert!(!is_new || Arc::ptr_eq(&gateway.facts, new), "a request after the reload has what was before");
        let got = block_on(gateway.worker().request(P));
        assert!(matches!(got, Got::Fine | Got::Healed), "in flight or not, it ends well: {got:?}");
    }
}

#[test]
fn a_credential_that_is_replaced_serves_whom_it_serves_and_ends() {
    check(|| {
        let (old, new) = (Facts::new(fresh), Facts::new(fresh));
        old.revoke(1);
        let ((before, first), (after, second)) = (Gateway::new(&old), Gateway::new(&new));
        let (sender, gateways) = watch::channel(first);
        let is_replaced = Arc::new(AtomicBool::new(false));
        let worker = |_| {
            let (gateways, new, is_replaced) = (gateways.clone(), Arc::clone(&new), Arc::clone(&is_replaced));
            thread::spawn(move || serve(gateways, &new, &is_replaced))
        };
        let workers: Vec<_> = (0..2).map(worker).collect();
        drop(gateways);
        let reload = thread::spawn(move || {
            drop(sender.send_replace(second));
            is_replaced.store(true, SeqCst);
            for worker in workers {
                worker.join().unwrap();
            }
        });
        // Both on the control thread, and both end by themselves.
        let both = async {
            tokio::join!(before, after);
        };
        run(&new, both, vec![reload]);
        old.are_in_order();
        assert!(old.asked() <= 2 && new.asked() <= 1, "{} and {}", old.asked(), new.asked());
    });
}
