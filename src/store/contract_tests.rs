//! What every place for entries must do, as [`super::backend`] says it: any backend is held against these.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::backend::{Backend, Claim, Claimed, Holder, Name, Stored, Write, Written};

/// A lease that does not end while a test runs.
const LONG: Duration = Duration::from_secs(600);

/// A time that a test waits for.
const SHORT: Duration = Duration::from_millis(300);

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Holds a place against the contract. `one` and `other` are two instances at the same place; both must be running.
pub(crate) async fn keeps_the_contract(one: &dyn Backend, other: &dyn Backend) {
    one.ping().await.unwrap();
    assert!(!one.place().is_empty());
    one_holds_the_lease_at_a_time(one, other).await;
    a_lease_ends_by_itself(one, other).await;
    a_newer_entry_makes_a_lease_needless(one, other).await;
    whoever_was_overtaken_writes_nothing(one, other).await;
    a_write_gives_the_lease_back_if_it_says_so(one, other).await;
    entries_are_kept_for_as_long_as_they_say(one, other).await;
    fencing_numbers_go_on(one, other).await;
    bytes_come_back_as_they_were(one, other).await;
    counts_begin_at_zero_and_end(one, other).await;
    the_others_are_told(one, other).await;
}

pub(crate) fn name() -> Name {
    Name(std::array::from_fn(|_| fastrand::u8(..)))
}

pub(crate) fn holder() -> Holder {
    Holder(fastrand::u128(..))
}

/// A claim that has seen nothing.
pub(crate) fn claim(holder: Holder) -> Claim {
    Claim { holder, seen: 0, above: 0, lease: LONG }
}

/// News under this lease, kept for long.
pub(crate) fn news(holder: Holder, fence: u64, bytes: &[u8]) -> Write {
    Write { holder, fence, version: fence, bytes: bytes.to_vec(), keep: Some(LONG), release: false }
}

/// The fencing number of a lease that must be granted.
#[track_caller]
pub(crate) fn fence(claimed: &Claimed) -> u64 {
    match claimed {
        Claimed::Granted { fence, .. } => *fence,
        other => panic!("{other:?}"),
    }
}

async fn one_holds_the_lease_at_a_time(one: &dyn Backend, other: &dyn Backend) {
    let (name, us, they) = (name(), holder(), holder());
    assert_eq!(one.read(&name).await, Ok(None));
    let granted = one.claim(&name, claim(us)).await.unwrap();
    let first = fence(&granted);
    assert_eq!(granted, Claimed::Granted { fence: first, stored: None });
    assert!(first > 0);
    let taken = other.claim(&name, claim(they)).await.unwrap();
    let Claimed::Taken { left } = taken else { panic!("{taken:?}") };
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
    // Whoever has it has it again.
    assert_eq!(fence(&one.claim(&name, claim(us)).await.unwrap()), first);
    // Nobody gives back what another one has.
    other.release(&name, they).await.unwrap();
    assert!(matches!(other.claim(&name, claim(they)).await, Ok(Claimed::Taken { .. })));
    one.release(&name, us).await.unwrap();
    let second = fence(&other.claim(&name, claim(they)).await.unwrap());
    assert!(second > first, "{second} after {first}");
    one.release(&name, us).await.unwrap();
    assert!(matches!(one.claim(&name, claim(us)).await, Ok(Claimed::Taken { .. })));
    other.release(&name, they).await.unwrap();
    one.release(&super::contract_tests::name(), us).await.unwrap();
}

async fn a_lease_ends_by_itself(one: &dyn Backend, other: &dyn Backend) {
    let (name, us, they) = (name(), holder(), holder());
    let first = fence(&one.claim(&name, Claim { lease: SHORT, ..claim(us) }).await.unwrap());
    let taken = other.claim(&name, claim(they)).await.unwrap();
    let Claimed::Taken { left } = taken else { panic!("{taken:?}") };
    assert!(left <= SHORT, "{left:?}");
    // Renewed, it lasts from then on.
    assert_eq!(fence(&one.claim(&name, Claim { lease: 2 * SHORT, ..claim(us) }).await.unwrap()), first);
    let began = Instant::now();
    let second = until_granted(other, &name, claim(they)).await;
    assert!(began.elapsed() > SHORT, "{:?}", began.elapsed());
    assert!(second > first, "{second} after {first}");
    // It is too late for the lease, not for the entry: nothing newer is there yet.
    assert_eq!(one.write(&name, news(us, first, b"late")).await, Ok(Written::Done));
    assert_eq!(other.write(&name, news(they, second, b"next")).await, Ok(Written::Done));
    assert_eq!(one.write(&name, news(us, first, b"later")).await, Ok(Written::Outrun));
    one.release(&name, us).await.unwrap();
    assert!(matches!(one.claim(&name, Claim { seen: second, ..claim(us) }).await, Ok(Claimed::Taken { .. })));
}

async fn a_newer_entry_makes_a_lease_needless(one: &dyn Backend, other: &dyn Backend) {
    let (name, us, they) = (name(), holder(), holder());
    let first = fence(&one.claim(&name, claim(us)).await.unwrap());
    assert_eq!(one.write(&name, news(us, first, b"text")).await, Ok(Written::Done));
    let newer = other.claim(&name, claim(they)).await.unwrap();
    let Claimed::Newer(stored) = newer else { panic!("{newer:?}") };
    is_fresh(&stored, first, b"text");
    is_fresh(&other.read(&name).await.unwrap().unwrap(), first, b"text");
    // Who has seen it gets the lease when it is free, and the entry with it.
    let seen = Claim { seen: first, ..claim(they) };
    assert!(matches!(other.claim(&name, seen).await, Ok(Claimed::Taken { .. })));
    one.release(&name, us).await.unwrap();
    let granted = other.claim(&name, seen).await.unwrap();
    let Claimed::Granted { fence: second, stored: Some(stored) } = granted else { panic!("{granted:?}") };
    is_fresh(&stored, first, b"text");
    assert!(second > first);
    other.release(&name, they).await.unwrap();
    let any = one.claim(&name, Claim { seen: u64::MAX, ..claim(us) }).await.unwrap();
    assert!(matches!(any, Claimed::Granted { stored: Some(_), .. }), "{any:?}");
    // What is no news keeps its version.
    let same = Write { version: first, ..news(us, fence(&any), b"other text") };
    assert_eq!(one.write(&name, same).await, Ok(Written::Done));
    is_fresh(&other.read(&name).await.unwrap().unwrap(), first, b"other text");
    one.release(&name, us).await.unwrap();
    assert!(matches!(other.claim(&name, seen).await, Ok(Claimed::Granted { .. })));
}

async fn whoever_was_overtaken_writes_nothing(one: &dyn Backend, other: &dyn Backend) {
    let (name, us, they) = (name(), holder(), holder());
    let first = fence(&one.claim(&name, claim(us)).await.unwrap());
    one.release(&name, us).await.unwrap();
    let second = fence(&other.claim(&name, claim(they)).await.unwrap());
    assert_eq!(other.write(&name, news(they, second, b"new")).await, Ok(Written::Done));
    assert_eq!(one.write(&name, news(us, first, b"old")).await, Ok(Written::Outrun));
    is_fresh(&one.read(&name).await.unwrap().unwrap(), second, b"new");
    assert_eq!(other.write(&name, news(they, second, b"newer")).await, Ok(Written::Done));
    is_fresh(&one.read(&name).await.unwrap().unwrap(), second, b"newer");
}

async fn a_write_gives_the_lease_back_if_it_says_so(one: &dyn Backend, other: &dyn Backend) {
    let (name, us, they) = (name(), holder(), holder());
    let first = fence(&one.claim(&name, claim(us)).await.unwrap());
    assert_eq!(one.write(&name, news(us, first, b"text")).await, Ok(Written::Done));
    let seen = Claim { seen: first, ..claim(they) };
    assert!(matches!(other.claim(&name, seen).await, Ok(Claimed::Taken { .. })));
    // The holder's own lease goes on under its number.
    assert_eq!(fence(&one.claim(&name, Claim { seen: first, ..claim(us) }).await.unwrap()), first);
    let last = Write { release: true, ..news(us, first, b"last") };
    assert_eq!(one.write(&name, last).await, Ok(Written::Done));
    let second = fence(&other.claim(&name, seen).await.unwrap());
    assert!(second > first);
    // Not that of another one.
    let stranger = Write { release: true, ..news(us, first, b"again") };
    assert_eq!(one.write(&name, stranger).await, Ok(Written::Done));
    assert!(matches!(one.claim(&name, Claim { seen: second, ..claim(us) }).await, Ok(Claimed::Taken { .. })));
}

async fn entries_are_kept_for_as_long_as_they_say(one: &dyn Backend, other: &dyn Backend) {
    let (brief, lasting, us) = (name(), name(), holder());
    let first = fence(&one.claim(&brief, claim(us)).await.unwrap());
    let short = Write { keep: Some(SHORT), release: true, ..news(us, first, b"brief") };
    assert_eq!(one.write(&brief, short.clone()).await, Ok(Written::Done));
    let other_fence = fence(&one.claim(&lasting, claim(us)).await.unwrap());
    let short = Write { fence: other_fence, version: other_fence, ..short };
    assert_eq!(one.write(&lasting, short.clone()).await, Ok(Written::Done));
    assert_eq!(one.write(&lasting, Write { keep: None, ..short }).await, Ok(Written::Done));
    let deadline = Instant::now() + PATIENCE;
    while other.read(&brief).await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "it is still there");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(other.read(&lasting).await.unwrap().is_some());
    // The entry is gone, not the number under which it was written.
    assert!(fence(&other.claim(&brief, claim(holder())).await.unwrap()) > first);
}

async fn fencing_numbers_go_on(one: &dyn Backend, other: &dyn Backend) {
    let name = name();
    let mut last = 0;
    // Beyond what a double and a signed number can hold.
    for above in [1000, 0, 1 << 53, (1 << 53) + 1, 9_999_999_999, (1 << 63) + 7, 0, u64::MAX - 1000] {
        for place in [one, other] {
            let us = holder();
            let number = fence(&place.claim(&name, Claim { above, seen: u64::MAX, ..claim(us) }).await.unwrap());
            assert!(number > above && number > last, "{number} after {last}, above {above}");
            last = number;
            if above == 1 << 53 {
                assert_eq!(place.write(&name, news(us, number, b"text")).await, Ok(Written::Done));
            }
            place.release(&name, us).await.unwrap();
        }
    }
}

async fn bytes_come_back_as_they_were(one: &dyn Backend, other: &dyn Backend) {
    let (name, us) = (name(), holder());
    let first = fence(&one.claim(&name, claim(us)).await.unwrap());
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for bytes in [&b""[..], b"\r\n\0", &all] {
        assert_eq!(one.write(&name, news(us, first, bytes)).await, Ok(Written::Done));
        let stored = other.read(&name).await.unwrap().unwrap();
        assert!(stored.bytes == bytes, "{} bytes came back as {}", bytes.len(), stored.bytes.len());
    }
}

async fn counts_begin_at_zero_and_end(one: &dyn Backend, other: &dyn Backend) {
    let (lasting, brief) = (name(), name());
    assert_eq!(one.count(&lasting, 0, LONG).await, Ok(0));
    assert_eq!(one.count(&lasting, 3, LONG).await, Ok(3));
    assert_eq!(other.count(&lasting, 2, LONG).await, Ok(5));
    assert_eq!(one.count(&lasting, 0, LONG).await, Ok(5));
    assert_eq!(one.count(&lasting, u32::MAX, LONG).await, Ok(5 + u64::from(u32::MAX)));
    assert_eq!(one.count(&brief, 1, SHORT).await, Ok(1));
    // Counted from its first change: later ones prolong nothing.
    let second = other.count(&brief, 1, LONG).await.unwrap();
    assert!(second <= 2, "{second}");
    if second == 2 {
        let deadline = Instant::now() + PATIENCE;
        while one.count(&brief, 0, LONG).await.unwrap() != 0 {
            assert!(Instant::now() < deadline, "it is still there");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn the_others_are_told(one: &dyn Backend, other: &dyn Backend) {
    let (name, us) = (name(), holder());
    let mut changes = other.changes(&name);
    quiet(&mut changes).await;
    let first = fence(&one.claim(&name, claim(us)).await.unwrap());
    quiet(&mut changes).await;
    assert_eq!(one.write(&name, news(us, first, b"text")).await, Ok(Written::Done));
    told(&mut changes, "of a write").await;
    one.release(&name, us).await.unwrap();
    told(&mut changes, "of a lease that was given back").await;
    let second = fence(&one.claim(&name, Claim { seen: first, ..claim(us) }).await.unwrap());
    quiet(&mut changes).await;
    let write = Write { version: first, release: true, ..news(us, second, b"no news") };
    assert_eq!(one.write(&name, write).await, Ok(Written::Done));
    told(&mut changes, "of a lease that ended with a write").await;
    // A second listener of the same name, and the first one goes.
    let mut again = other.changes(&name);
    drop(changes);
    quiet(&mut again).await;
    let third = fence(&one.claim(&name, Claim { seen: first, ..claim(us) }).await.unwrap());
    assert_eq!(one.write(&name, news(us, third, b"text")).await, Ok(Written::Done));
    told(&mut again, "of a write").await;
}

/// Waits until no ring is on its way: whoever begins to listen may be rung for nothing.
pub(crate) async fn quiet(changes: &mut watch::Receiver<()>) {
    while timeout(Duration::from_millis(150), changes.changed()).await.is_ok() {}
}

async fn told(changes: &mut watch::Receiver<()>, of: &str) {
    timeout(PATIENCE, changes.changed()).await.unwrap_or_else(|_| panic!("nobody was told {of}")).unwrap();
    quiet(changes).await;
}

pub(crate) async fn until_granted(backend: &dyn Backend, name: &Name, claim: Claim) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match backend.claim(name, claim).await.unwrap() {
            Claimed::Taken { left } => {
                assert!(Instant::now() < deadline, "the lease never ends");
                sleep(left.max(Duration::from_millis(1))).await;
            }
            claimed => return fence(&claimed),
        }
    }
}

#[track_caller]
fn is_fresh(stored: &Stored, version: u64, bytes: &[u8]) {
    assert_eq!((stored.version, &stored.bytes[..]), (version, bytes));
    assert!(stored.age.unwrap() < PATIENCE, "{:?}", stored.age);
}
