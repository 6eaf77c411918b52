//! The life of a token on a paused clock, against a scripted token endpoint.

mod changes;
mod failures;
mod fleet;
mod heritage;
mod keys;
mod lines;
mod memory;
mod panics;
mod reader;
mod refreshes;
mod rejections;
mod renewals;
mod roll_out;
mod same_token;
mod scale;
mod shared;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::settings::Early;
use super::{AccessToken, Pass, Reader, Refresher, RequestHash, Settings, Source, Verdict};
use crate::clock::{Clock, Moment};
use crate::metrics::Metrics;
use crate::oauth::{Class, FetchError, Grant, Issued};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::shutdown;

type Answer = Result<Issued, FetchError>;
/// An endpoint without a memory of its own.
type Script = fn(&Asked) -> Answer;
type AnyScript = Box<dyn FnMut(&Asked) -> Answer>;

/// A way to write a credential that nobody can describe.
const UNHEARD_OF: u8 = u8::MAX;

/// A token endpoint that does what the test says. Clones are the same endpoint.
#[derive(Clone)]
struct Endpoint {
    clock: Clock,
    log: Rc<RefCell<Vec<Asked>>>,
    answer: Rc<RefCell<AnyScript>>,
    latency: Rc<Cell<Duration>>,
    /// What `fingerprint` says: stands for the content of a secret file.
    secret: Rc<Cell<Option<u8>>>,
    /// Whether looking at the secret ends at all.
    hangs: Rc<Cell<bool>>,
    /// The refresh token that is the only credential, where there is one.
    first: Rc<Cell<Option<&'static str>>>,
    /// How many of the next looks at how long a request may take panic.
    panics: Rc<Cell<u32>>,
    /// How often that was looked at.
    looks: Rc<Cell<u32>>,
    /// How the credential is written of whom this is the source. A clone's is its own.
    written: Cell<u8>,
}

/// One token request.
#[derive(Clone, Debug)]
struct Asked {
    /// 1 for the first.
    number: usize,
    at: Moment,
    refresh_token: Option<String>,
    secret: Option<u8>,
    written: u8,
}

impl Source for Endpoint {
    async fn fetch(&self, grant: Grant) -> Answer {
        let refresh_token = match grant {
            Grant::Configured => None,
            Grant::Refresh(token) => Some(token.expose().to_owned()),
        };
        let number = self.log.borrow().len() + 1;
        let asked = Asked {
            number,
            at: self.clock.now(),
            refresh_token,
            secret: self.secret.get(),
            written: self.written.get(),
        };
        self.log.borrow_mut().push(asked.clone());
        tokio::time::sleep(self.latency.get()).await;
        (self.answer.borrow_mut())(&asked)
    }

    async fn first_refresh_token(&self) -> Result<Option<Secret>, FetchError> {
        Ok(self.first.get().map(Secret::new))
    }

    fn deadline(&self) -> Duration {
        self.looks.set(self.looks.get() + 1);
        let left = self.panics.get().checked_sub(1);
        self.panics.set(left.unwrap_or_default());
        assert!(left.is_none(), "nobody knows");
        seconds(10)
    }

    fn written(&self) -> [u8; 32] {
        assert!(self.written.get() != UNHEARD_OF, "nobody knows how it is written");
        [self.written.get(); 32]
    }

    async fn fingerprint(&self) -> Option<[u8; 32]> {
        self.secret.get().map(|byte| [byte; 32])
    }

    async fn glance(&self) -> Option<[u8; 32]> {
        if self.hangs.get() { std::future::pending().await } else { self.fingerprint().await }
    }
}

impl Endpoint {
    fn new(clock: Clock, answer: impl FnMut(&Asked) -> Answer + 'static) -> Self {
        Self {
            clock,
            log: Rc::default(),
            answer: Rc::new(RefCell::new(Box::new(answer))),
            latency: Rc::new(Cell::new(Duration::from_millis(20))),
            secret: Rc::new(Cell::new(Some(1))),
            hangs: Rc::default(),
            first: Rc::default(),
            panics: Rc::default(),
            looks: Rc::default(),
            written: Cell::default(),
        }
    }

    /// The same, and describing it panics.
    fn unheard_of(&self) -> Self {
        let endpoint = self.clone();
        endpoint.written.set(UNHEARD_OF);
        endpoint
    }

    fn answers(&self, answer: impl FnMut(&Asked) -> Answer + 'static) {
        *self.answer.borrow_mut() = Box::new(answer);
    }

    fn requests(&self) -> usize {
        self.log.borrow().len()
    }

    /// The times between the token requests, in seconds.
    fn gaps(&self) -> Vec<f64> {
        let log = self.log.borrow();
        log.windows(2).map(|pair| pair[1].at.since(pair[0].at).as_secs_f64()).collect()
    }
}

/// One credential and its endpoint.
struct World {
    clock: Clock,
    endpoint: Endpoint,
    reader: Reader,
    metrics: Metrics,
    trigger: shutdown::Trigger,
}

/// Runs a credential while `body` watches it.
async fn with<F, B>(settings: Settings, answer: F, body: B)
where
    F: FnMut(&Asked) -> Answer + 'static,
    B: AsyncFnOnce(&World),
{
    let clock = Clock::for_tests();
    let endpoint = Endpoint::new(clock.clone(), answer);
    run(settings, clock, endpoint, None, body).await;
}

async fn run<B>(settings: Settings, clock: Clock, endpoint: Endpoint, state: Option<&Path>, body: B)
where
    B: AsyncFnOnce(&World),
{
    let metrics = Metrics::new();
    let credential = metrics.credential(&settings.name);
    let state = state.map(Path::to_owned);
    let (refresher, reader) = Refresher::new(settings, endpoint.clone(), clock.clone(), credential, state);
    let (trigger, heard) = shutdown::channel();
    let world = World { clock, endpoint, reader, metrics, trigger };
    let watched = async {
        body(&world).await;
        world.trigger.fire();
    };
    // In this order: what the body prepares before it first waits is there before the first token request.
    tokio::join!(watched, refresher.run(heard));
    // Every test of this house: token requests are at least a second apart.
    for gap in world.endpoint.gaps() {
        assert!(gap >= 1.0, "token requests {gap} s apart: {:#?}", world.endpoint.log.borrow());
    }
}

impl World {
    async fn token(&self) -> Arc<AccessToken> {
        self.reader.usable().await.expect("a token")
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.metrics.render();
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{page}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        name: "api".to_owned(),
        early: Early::Default,
        wait: seconds(10),
        required: true,
        lockout: false,
        gap: seconds(600),
        use_refresh_token: true,
        lives_by_refresh_token: false,
        scheme: Some("Bearer".to_owned()),
        is_bound: false,
        budget: None,
    }
}

fn login() -> Settings {
    Settings { lockout: true, ..settings() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Another token each time, which lives for `lifetime` seconds.
fn fresh(lifetime: u64) -> impl FnMut(&Asked) -> Answer + 'static {
    move |asked| Ok(issued(&format!("token-{}", asked.number), lifetime))
}

pub(super) fn issued(token: &str, lifetime: u64) -> Issued {
    Issued {
        access_token: Secret::new(token),
        lifetime: seconds(lifetime),
        is_assumed: false,
        refresh_token: None,
        scope: None,
        key: None,
    }
}

pub(super) fn failed(class: Class, status: u16) -> FetchError {
    let reason = match class {
        Class::Transient => Reason::TokenUnreachable,
        Class::Refused => Reason::TokenRefused,
        Class::Permanent => Reason::TokenDenied,
    };
    let status = StatusCode::from_u16(status).ok();
    FetchError { class, reason, status, retry_after: None, message: format!("{class:?}") }
}

fn down(_: &Asked) -> Answer {
    Err(failed(Class::Transient, 0))
}

fn denied(_: &Asked) -> Answer {
    Err(failed(Class::Permanent, 401))
}

fn refused(_: &Asked) -> Answer {
    Err(failed(Class::Refused, 403))
}
