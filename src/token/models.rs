//! Models of a token's life: workers on threads of their own, and the refresher on its own.
//!
//! Real are the refresher, the publisher, the readers, the gap, the word of shutdown, and the time that all of them wait for. The token
//! endpoint and the upstream stand for others ([`Facts`]): the one makes another token each time and takes a while, the other rejects
//! the tokens that are revoked. [`Worker::request`] stands for `proxy::cycle`: it calls the reader as that does, and sends nothing.
//! There is no token store and no state directory.
//!
//! In every model: a token request has a reason, so that none is made twice; nobody uses a token that has expired, or one that is older
//! than another that somebody has used before; and whoever waits is told in time, so that no deadline of his has to end it.

mod ends;
mod rejections;
mod renewals;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::tests::{self, failed, issued};
use super::{AccessToken, Pass, Reader, Refresher, RequestHash, Settings, Source, Unavailable, Verdict};
use crate::clock::{Clock, Moment};
use crate::metrics::{CredentialMetrics, Metrics};
use crate::oauth::{Class, FetchError, Grant, Issued};
use crate::secret::Secret;
use crate::shutdown::{self, Trigger};
use crate::sync::models::{block_on, check, draw, for_a_while, linger, pass, thread};

/// A life that no schedule sees the end of, in seconds.
const LONG: u64 = 1_000_000;
/// Longer than a schedule takes, and shorter than anybody's patience.
const IN_TIME: Duration = Duration::from_secs(20_000);
const P: RequestHash = RequestHash(11);

type Answer = Result<Issued, FetchError>;

/// What the world knows, which the code is to find out. Not shared in the sense of the model: nothing here is a point.
struct Facts {
    clock: Clock,
    began: Moment,
    /// How the token endpoint answers, by the number of the request; `None` for never.
    script: fn(u64) -> Option<Answer>,
    /// Token requests, and those that were answered.
    asked: AtomicU64,
    answered: AtomicU64,
    /// Tokens that were made, and when the next is due.
    tokens: AtomicU64,
    due: Mutex<Moment>,
    /// What else gave a reason for a token request: failures, and people.
    reasons: AtomicU64,
    /// Tokens up to this generation are rejected.
    revoked: AtomicU64,
    /// The newest generation that somebody has used.
    newest: AtomicU64,
    /// Whether nothing happens any more.
    is_over: AtomicBool,
    /// What was seen to be wrong where a panic would be caught.
    complaints: Mutex<Vec<String>>,
}

impl Facts {
    fn new(script: fn(u64) -> Option<Answer>) -> Arc<Self> {
        let clock = Clock::for_tests();
        let began = clock.now();
        let [asked, answered, tokens, reasons, revoked, newest] = [const { AtomicU64::new(0) }; 6];
        let (due, is_over, complaints) = (Mutex::new(began), AtomicBool::new(false), Mutex::default());
        let facts =
            Self { clock, began, script, asked, answered, tokens, due, reasons, revoked, newest, is_over, complaints };
        Arc::new(facts)
    }

    /// Tokens up to this generation are rejected from now on.
    fn revoke(&self, generation: u64) {
        self.revoked.fetch_max(generation, SeqCst);
    }

    fn accepts(&self, token: &AccessToken) -> bool {
        token.generation() > self.revoked.load(SeqCst)
    }

    fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    /// A token request needs a reason: there is no token, or it is rejected, or due, or one that is noted.
    fn note_request(&self) -> u64 {
        let tokens = self.tokens.load(SeqCst);
        let is_needed = tokens <= self.revoked.load(SeqCst) || self.clock.now() >= *self.due.lock().unwrap();
        if !is_needed && self.reasons.fetch_sub(1, SeqCst) == 0 {
            self.complaints.lock().unwrap().push(format!("token {tokens} was replaced without need"));
        }
        self.asked.fetch_add(1, SeqCst) + 1
    }

    fn note_answer(&self, answer: &Answer, sent: Moment) {
        self.answered.fetch_add(1, SeqCst);
        match answer {
            Ok(issued) => {
                self.tokens.fetch_add(1, SeqCst);
                // No token is renewed before half of its life.
                *self.due.lock().unwrap() = sent + issued.lifetime / 2;
            }
            Err(_) => {
                self.reasons.fetch_add(1, SeqCst);
            }
        }
    }

    /// A token is about to be used that was chosen when `newest` had been used.
    fn note_use(&self, newest: u64, token: &AccessToken) {
        assert!(token.generation() >= newest, "{} after {newest}", token.generation());
        assert!(self.clock.now() < token.expires_at(), "it has expired");
        self.newest.fetch_max(token.generation(), SeqCst);
    }

    fn are_in_order(&self) {
        let complaints = self.complaints.lock().unwrap();
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    /// Lets time pass as long as anything happens.
    fn pass_time(&self) {
        while !self.is_over.load(SeqCst) {
            thread::yield_now();
            pass(Duration::from_millis([300, 1000, 5000][draw(3) as usize]));
            assert!(self.clock.now().since(self.began) < IN_TIME, "somebody waits for what does not come");
        }
    }
}

/// The token endpoint.
#[derive(Clone)]
struct Endpoint(Arc<Facts>);

impl Source for Endpoint {
    async fn fetch(&self, _: Grant) -> Answer {
        let sent = self.0.clock.now();
        let number = self.0.note_request();
        linger().await;
        let Some(answer) = (self.0.script)(number) else { return std::future::pending().await };
        self.0.note_answer(&answer, sent);
        answer
    }

    async fn first_refresh_token(&self) -> Result<Option<Secret>, FetchError> {
        Ok(Some(Secret::new("first")))
    }

    async fn fingerprint(&self) -> Option<[u8; 32]> {
        Some([1; 32])
    }
}

/// What one thread has.
struct Worker {
    facts: Arc<Facts>,
    reader: Reader,
    /// Its own copy of the token, as `proxy::share` has one for each route.
    copy: Option<Arc<AccessToken>>,
    /// The credential ends when nobody holds it any more.
    holds: Arc<Trigger>,
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Fine,
    Healed,
    /// It was sent again, and rejected again.
    Useless,
    Passed(Pass),
    NoToken,
}

impl Worker {
    async fn token(&mut self) -> Result<Arc<AccessToken>, Unavailable> {
        let newest = self.facts.newest.load(SeqCst);
        let token = match self.reader.current_copy(&mut self.copy) {
            Some(token) => token,
            None => self.reader.usable().await?,
        };
        self.facts.note_use(newest, &token);
        Ok(token)
    }

    /// One request, sent at most twice.
    async fn request(&mut self, request: RequestHash) -> Got {
        let Ok(sent) = self.token().await else { return Got::NoToken };
        linger().await;
        if self.facts.accepts(&sent) {
            self.reader.satisfied(&sent, || request);
            return Got::Fine;
        }
        let newest = self.facts.newest.load(SeqCst);
        let replacement = match self.reader.rejected(&sent, request).await {
            Verdict::Replay(replacement) => replacement,
            Verdict::Pass(pass) => return Got::Passed(pass),
        };
        assert!(replacement.generation() > sent.generation(), "the same is sent again");
        self.facts.note_use(newest, &replacement);
        let is_accepted = self.facts.accepts(&replacement);
        self.reader.replayed(&replacement, !is_accepted);
        if is_accepted { Got::Healed } else { Got::Useless }
    }
}

/// A credential and its refresher, which ends when nobody holds the trigger any more.
fn credential(settings: Settings, facts: &Arc<Facts>) -> (impl Future<Output = ()> + use<>, Reader, Arc<Trigger>) {
    let endpoint = Endpoint(Arc::clone(facts));
    let (refresher, reader) = Refresher::new(settings, endpoint, facts.clock.clone(), metrics(), None);
    let (trigger, is_ending) = shutdown::channel();
    (refresher.run(is_ending), reader, Arc::new(trigger))
}

/// What a worker does.
type Work = fn(Worker);

/// Has a credential live until so many workers have done each kind of work.
fn live(settings: Settings, facts: &Arc<Facts>, works: &[(usize, Work)]) {
    let (refresher, reader, trigger) = credential(settings, facts);
    let work = |work: Work| {
        let (facts, reader, holds) = (Arc::clone(facts), reader.clone(), Arc::clone(&trigger));
        thread::spawn(move || work(Worker { facts, reader, copy: None, holds }))
    };
    let works = works.iter().flat_map(|(workers, work)| std::iter::repeat_n(*work, *workers));
    let workers: Vec<_> = works.map(work).collect();
    drop(trigger);
    run(facts, refresher, workers);
}

/// Runs the control thread's part until it ends, and waits for the others.
fn run(facts: &Arc<Facts>, refresher: impl Future<Output = ()>, workers: Vec<thread::JoinHandle<()>>) {
    let time = Arc::clone(facts);
    let time = thread::spawn(move || time.pass_time());
    block_on(refresher);
    facts.is_over.store(true, SeqCst);
    for thread in workers.into_iter().chain([time]) {
        thread.join().unwrap();
    }
    facts.are_in_order();
    assert_eq!(metrics().waiting.get(), 0, "nobody waits any more");
}

/// Of the models of this thread, which come one after the other.
fn metrics() -> CredentialMetrics {
    thread_local! {
        static METRICS: CredentialMetrics = Metrics::new().credential("api");
    }
    METRICS.with(Clone::clone)
}

fn settings() -> Settings {
    Settings { wait: Duration::from_secs(86_400), ..tests::settings() }
}

/// Another token each time.
fn fresh(number: u64) -> Option<Answer> {
    Some(Ok(issued(&format!("token-{number}"), LONG)))
}
