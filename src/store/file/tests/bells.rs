//! Bells: who waits hears of writes, releases and deaths.

use super::*;

/// While its bells ring.
pub(super) async fn with_bells<T>(store: &FileStore, work: impl Future<Output = T>) -> T {
    tokio::select! {
        () = store.run() => unreachable!(),
        done = timeout(MINUTE, work) => done.expect("nothing rang"),
    }
}

/// Waits until a claim is not answered with "taken", at each ring.
pub(super) async fn wait_for_lease(store: &FileStore, claim: Claim) -> Claimed {
    let mut bell = store.changes(&NAME);
    loop {
        match store.claim(&NAME, claim).await.unwrap() {
            Claimed::Taken { .. } => bell.changed().await.unwrap(),
            other => return other,
        }
    }
}

#[tokio::test]
async fn of_many_one_is_let_in_and_the_others_hear_of_what_it_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let all: Vec<_> = (0..16).map(|_| store(directory.path())).collect();
    let fetches = std::cell::Cell::new(0);
    let one = async |index: u128, store: &FileStore| {
        with_bells(store, async {
            match wait_for_lease(store, claim_of(Holder(index))).await {
                Claimed::Granted { fence, .. } => {
                    fetches.set(fetches.get() + 1);
                    store.write(&NAME, news(Holder(index), fence, "token")).await.unwrap();
                }
                other => assert!(matches!(other, Claimed::Newer(_)), "{other:?}"),
            }
        })
        .await;
    };
    let mut running = Vec::new();
    for (index, store) in all.iter().enumerate() {
        running.push(Box::pin(one(index as u128, store)));
    }
    for each in futures(running).await {
        each
    }
    assert_eq!(fetches.get(), 1);
}

/// All of them at once.
async fn futures<F: Future + Unpin>(mut all: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<_> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = Pin::new(future).poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn bells_ring_after_writes_releases_and_deaths_and_go_on_when_the_directory_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, other) = (store(directory.path()), store(directory.path()));
    let started = Instant::now();
    with_bells(&listener, async {
        let mut bell = listener.changes(&NAME);
        // The first one says that it hears.
        bell.changed().await.unwrap();
        granted(&other, claim_of(ONE)).await;
        other.write(&NAME, Write { release: false, ..news(ONE, 1, "x") }).await.unwrap();
        bell.changed().await.unwrap();
        bell.mark_unchanged();
        other.release(&NAME, ONE).await.unwrap();
        bell.changed().await.unwrap();
        let wants_another = Claim { seen: 1, ..claim_of(ONE) };
        granted(&other, wants_another).await;
        drop(other);
        let next = wait_for_lease(&listener, Claim { seen: 1, ..claim_of(TWO) }).await;
        assert!(matches!(next, Claimed::Granted { fence: 3, .. }), "{next:?}");
        fs::remove_dir_all(directory.path().join("store")).unwrap();
        bell.mark_unchanged();
        let again = store(directory.path());
        bell.changed().await.unwrap();
        bell.mark_unchanged();
        again.write(&NAME, news(ONE, 9, "x")).await.unwrap();
        bell.changed().await.unwrap();
        assert_eq!(text(&listener).await, Some((9, "x".to_owned())));
    })
    .await;
    // By hearing, and not by looking now and then, or by the end of a lease.
    assert!(started.elapsed() < MINUTE / 2);
}

#[tokio::test]
async fn who_cannot_hear_looks() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, other) = (store(directory.path()), store(directory.path()));
    let mut bell = listener.changes(&NAME);
    notice::look(&listener).await;
    assert!(bell.has_changed().unwrap());
    let mut changes = async || {
        bell.mark_unchanged();
        notice::look(&listener).await;
        bell.has_changed().unwrap()
    };
    assert!(!changes().await);
    granted(&other, claim_of(ONE)).await;
    assert!(changes().await && !changes().await);
    other.write(&NAME, Write { release: false, ..news(ONE, 1, "x") }).await.unwrap();
    assert!(changes().await && !changes().await);
    drop(other);
    assert!(changes().await && !changes().await);
}
