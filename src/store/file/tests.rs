//! What the place promises: leases by life and by time, numbers that never go back, files that are whole.

mod bells;
mod processes;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::super::contract_tests::keeps_the_contract;
use super::*;

const NAME: Name = Name([0xab; 32]);
const ONE: Holder = Holder(1);
const TWO: Holder = Holder(2);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_contract_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (store(directory.path()), store(directory.path()));
    tokio::select! {
        () = one.run() => {}
        () = other.run() => {}
        () = keeps_the_contract(&one, &other) => return,
    }
    panic!("the place has ended");
}

fn claim_of(holder: Holder) -> Claim {
    Claim { holder, seen: 0, above: 0, lease: MINUTE }
}

fn news(holder: Holder, fence: u64, text: &str) -> Write {
    Write { holder, fence, version: fence, bytes: text.into(), keep: None, release: true }
}

async fn granted(store: &FileStore, claim: Claim) -> (u64, Option<Stored>) {
    match store.claim(&NAME, claim).await.unwrap() {
        Claimed::Granted { fence, stored } => (fence, stored),
        other => panic!("{other:?}"),
    }
}

async fn is_taken(store: &FileStore, claim: Claim) -> bool {
    matches!(store.claim(&NAME, claim).await.unwrap(), Claimed::Taken { left } if left <= claim.lease)
}

async fn text(store: &FileStore) -> Option<(u64, String)> {
    let stored = store.read(&NAME).await.unwrap()?;
    Some((stored.version, String::from_utf8(stored.bytes).unwrap()))
}

fn store(directory: &Path) -> FileStore {
    FileStore::new(directory.join("store"), Clock::boot())
}

#[tokio::test]
async fn one_has_the_lease_until_it_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (store(directory.path()), store(directory.path()));
    assert_eq!(granted(&one, claim_of(ONE)).await, (1, None));
    assert!(is_taken(&two, claim_of(TWO)).await);
    // Who has it keeps its number.
    assert_eq!(granted(&one, claim_of(ONE)).await, (1, None));
    assert_eq!(one.write(&NAME, news(ONE, 1, "first")).await, Ok(Written::Done));
    let Claimed::Newer(stored) = two.claim(&NAME, claim_of(TWO)).await.unwrap() else { panic!() };
    assert_eq!((stored.version, &*stored.bytes), (1, &b"first"[..]));
    assert!(stored.age.unwrap() < MINUTE);
    let wants_another = Claim { seen: 1, ..claim_of(TWO) };
    let (fence, stored) = granted(&two, wants_another).await;
    assert_eq!((fence, stored.unwrap().version), (2, 1));
    assert!(is_taken(&one, Claim { seen: u64::MAX, ..claim_of(ONE) }).await);
    two.release(&NAME, TWO).await.unwrap();
    // It was given back, so that the number is another one.
    assert_eq!(granted(&two, wants_another).await.0, 3);
}

#[tokio::test]
async fn modes_and_names_are_what_the_manual_says_and_nothing_is_left_over() {
    let directory = tempfile::tempdir().unwrap();
    let one = store(directory.path());
    one.ping().await.unwrap();
    granted(&one, claim_of(ONE)).await;
    one.write(&NAME, news(ONE, 1, "first")).await.unwrap();
    one.count(&NAME, 1, MINUTE).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = directory.path().join("store");
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
    let mut names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["count", "entry", "lease", "lock"].map(|kind| format!("{kind}-{NAME}")));
    assert!(files.iter().all(|path| mode(path) == 0o600));
}

#[tokio::test]
async fn the_lease_of_one_that_lives_and_does_nothing_ends_by_time_and_its_late_write_is_outrun() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::for_tests();
    let [asleep, other] = [ONE, TWO].map(|_| FileStore::new(directory.path().to_owned(), clock.clone()));
    assert_eq!(granted(&asleep, claim_of(ONE)).await.0, 1);
    assert!(is_taken(&other, claim_of(TWO)).await);
    clock.suspend_for(MINUTE);
    assert_eq!(granted(&other, claim_of(TWO)).await.0, 2);
    // Its own lock is one on a file that is no more.
    assert!(is_taken(&asleep, claim_of(ONE)).await);
    asleep.release(&NAME, ONE).await.unwrap();
    assert!(is_taken(&asleep, claim_of(ONE)).await);
    other.write(&NAME, news(TWO, 2, "second")).await.unwrap();
    assert_eq!(asleep.write(&NAME, news(ONE, 1, "first")).await, Ok(Written::Outrun));
    assert_eq!(text(&other).await, Some((2, "second".to_owned())));
}

#[tokio::test]
async fn numbers_never_go_back_whatever_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let one = store(directory.path());
    let file = |kind: &str| directory.path().join("store").join(format!("{kind}-{NAME}"));
    for fence in 1..=3 {
        let claim = Claim { seen: fence - 1, ..claim_of(ONE) };
        assert_eq!(granted(&one, claim).await.0, fence);
        one.write(&NAME, news(ONE, fence, "x")).await.unwrap();
    }
    fs::remove_file(file("entry")).unwrap();
    assert_eq!(granted(&one, claim_of(ONE)).await, (4, None));
    one.write(&NAME, news(ONE, 4, "x")).await.unwrap();
    fs::remove_file(file("lease")).unwrap();
    assert_eq!(granted(&one, Claim { seen: 4, ..claim_of(ONE) }).await.0, 5);
    one.release(&NAME, ONE).await.unwrap();
    fs::remove_dir_all(directory.path().join("store")).unwrap();
    assert_eq!(granted(&one, Claim { above: 41, ..claim_of(ONE) }).await, (42, None));
}

#[tokio::test]
async fn what_cannot_be_understood_is_said_to_be_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let one = store(directory.path());
    let file = |kind: &str| directory.path().join("store").join(format!("{kind}-{NAME}"));
    granted(&one, claim_of(ONE)).await;
    one.write(&NAME, news(ONE, 1, "first")).await.unwrap();
    for (round, nonsense) in [&b""[..], b"\xff\xfe", b"bearerd entry 2\n", &[b'x'; 1 << 16]].iter().enumerate() {
        for kind in ["entry", "lease", "count"] {
            fs::write(file(kind), nonsense).unwrap();
        }
        assert!(matches!(one.read(&NAME).await, Err(StoreError::Nonsense(_))));
        assert!(matches!(one.count(&NAME, 0, MINUTE).await, Err(StoreError::Nonsense(_))));
        assert_eq!(one.count(&NAME, 2, MINUTE).await, Ok(2));
        let claim = Claim { above: round as u64 + 1, ..claim_of(ONE) };
        let (fence, stored) = granted(&one, claim).await;
        assert_eq!((fence, stored), (round as u64 + 2, None));
        assert_eq!(one.write(&NAME, news(ONE, fence, "anew")).await, Ok(Written::Done));
        assert_eq!(text(&one).await, Some((fence, "anew".to_owned())));
    }
    // Nor is a link followed to wherever it leads.
    let elsewhere = directory.path().join("elsewhere");
    fs::copy(file("entry"), &elsewhere).unwrap();
    fs::remove_file(file("entry")).unwrap();
    symlink(&elsewhere, file("entry")).unwrap();
    assert!(matches!(one.read(&NAME).await, Err(StoreError::Nonsense(_))));
}

#[tokio::test]
async fn an_entry_and_a_count_end_with_their_time() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::for_tests();
    let one = FileStore::new(directory.path().to_owned(), clock.clone());
    let kept = |fence| Write { keep: Some(MINUTE), ..news(ONE, fence, "x") };
    one.write(&NAME, kept(3)).await.unwrap();
    assert_eq!(one.count(&NAME, 2, MINUTE).await, Ok(2));
    clock.suspend_for(MINUTE / 2);
    assert_eq!(one.count(&NAME, 3, MINUTE).await, Ok(5));
    assert_eq!(one.read(&NAME).await.unwrap().unwrap().age.unwrap().as_secs(), 30);
    clock.suspend_for(MINUTE / 2);
    assert_eq!((one.read(&NAME).await, one.count(&NAME, 0, MINUTE).await), (Ok(None), Ok(0)));
    // The number counts, though the entry does not.
    assert_eq!(one.write(&NAME, kept(2)).await, Ok(Written::Outrun));
    assert_eq!(granted(&one, claim_of(ONE)).await, (4, None));
    assert_eq!(one.count(&NAME, 1, MINUTE).await, Ok(1));
}

#[tokio::test]
async fn after_a_boot_leases_are_over_and_ages_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let before = store(directory.path());
    before.write(&NAME, news(ONE, 1, "x")).await.unwrap();
    granted(&before, Claim { seen: 1, ..claim_of(ONE) }).await;
    let after = store(directory.path());
    after.boot.set(Some(1)).unwrap();
    assert!(after.read(&NAME).await.unwrap().unwrap().age.unwrap() < MINUTE);
    // Nobody can have lived through it, whatever the locks say.
    assert_eq!(granted(&after, Claim { seen: 1, ..claim_of(TWO) }).await.0, 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_stopped_in_the_middle_makes_others_slow_and_not_wait_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let one = store(directory.path());
    one.write(&NAME, news(ONE, 1, "x")).await.unwrap();
    let lock = directory.path().join("store").join(format!("lock-{NAME}"));
    let stopped = lock::Locked::at(&lock).unwrap().unwrap();
    let write = one.write(&NAME, news(ONE, 2, "y")).await;
    assert!(matches!(write, Err(StoreError::Slow(_))), "{write:?}");
    // What can be done without it is done.
    assert_eq!(text(&one).await, Some((1, "x".to_owned())));
    assert!(matches!(one.claim(&NAME, claim_of(ONE)).await, Ok(Claimed::Newer(_))));
    drop(stopped);
    assert_eq!(one.write(&NAME, news(ONE, 2, "y")).await, Ok(Written::Done));
}

#[tokio::test]
async fn a_directory_that_cannot_be_had_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("store"), "a file").unwrap();
    let one = store(directory.path());
    for error in [one.ping().await.unwrap_err(), one.write(&NAME, news(ONE, 1, "x")).await.unwrap_err()] {
        assert!(error.to_string().contains("cannot be reached") && error.to_string().contains("/store"), "{error}");
    }
    assert_eq!(one.place(), format!("files in {}/store", directory.path().display()));
}

#[tokio::test]
async fn what_is_over_is_swept_and_what_is_not_stays() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::for_tests();
    let one = FileStore::new(directory.path().to_owned(), clock.clone());
    let [over, held, kept] = [1, 2, 3].map(|byte| Name([byte; 32]));
    let write = |keep| Write { keep, ..news(ONE, 1, "x") };
    one.claim(&over, claim_of(ONE)).await.unwrap();
    one.write(&over, write(Some(MINUTE))).await.unwrap();
    one.count(&over, 1, MINUTE).await.unwrap();
    one.claim(&held, claim_of(ONE)).await.unwrap();
    one.write(&held, Write { release: false, ..write(Some(MINUTE)) }).await.unwrap();
    one.write(&kept, write(None)).await.unwrap();
    let file = |kind: &str, name: &Name| directory.path().join(format!("{kind}-{name}"));
    let draft = directory.path().join(".draft-0");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(40 * 24 * 3600);
    fs::write(&draft, "").unwrap();
    fs::write(directory.path().join("somebody else's"), "").unwrap();
    for path in [&draft, &file("lease", &over), &file("lease", &held)] {
        fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    clock.suspend_for(MINUTE);
    let _ = timeout(Duration::from_millis(1), async {
        let now = one.now().await;
        for name in one.directory.names(now).unwrap() {
            one.directory.alone(&name, || one.directory.sweep(&name, now)).unwrap().unwrap();
        }
    })
    .await;
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path()).collect();
    left.sort_unstable();
    let mut wanted = vec![
        file("entry", &kept),
        file("lock", &kept),
        file("lease", &held),
        file("lock", &held),
        directory.path().join("somebody else's"),
    ];
    wanted.sort_unstable();
    assert_eq!(left, wanted);
}
