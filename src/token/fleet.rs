//! How the instances of a fleet act as one: one of them asks the token endpoint, and what it learns all know.
//!
//! Owns what this instance knows of the credential's entry in the token store, and the right to ask for all. Whatever goes wrong with the
//! store, the answer is the same: go on as if alone. Tokens that are bound to a key of this process are of no use to another, and are
//! not shared.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Source;
use super::entry::{Entry, Known, Then, Trouble};
use super::refresher::{Refresher, Sent};
use super::schedule::{FLOOR, History, Next, ask_again_after};
use super::shared::Phase;
use crate::oauth::{Class, FetchError, Issued};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::store::{Claimed, Lease, Opened, Slot, Store, StoreError, Written};

/// The token store as it is configured now; `None` for none.
pub type Stores = watch::Receiver<Option<Rc<Store>>>;

/// How much longer than a token request a lease lasts.
const MARGIN: Duration = Duration::from_secs(2);
/// How long somebody else's turns may last before this instance asks on its own.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long somebody else's turn is waited for without a word before the store is asked again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A token that was asked for so recently answers a rejection, even if it is the same.
const JUST_NOW: Duration = Duration::from_secs(5);
/// What is left of a token that is not worth taking over.
const SLIVER: Duration = Duration::from_millis(250);
/// How long nothing is offered to a store that did not take it.
const OFFER_AGAIN: Duration = Duration::from_secs(5);
/// A life of which the last fifth has room for whatever the store does.
const LONG_LIFE: Duration = Duration::from_secs(60);
/// How long an entry is kept beyond what it is about.
const AFTERLIFE: Duration = Duration::from_secs(3600);
/// How long a refusal is kept, or what can be renewed.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// What this instance has to do with the others.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    stores: Option<Stores>,
    slot: Option<Slot>,
    fingerprint: Option<[u8; 32]>,
    /// The version of the entry as this instance knows it.
    seen: u64,
    /// While it is this instance's turn.
    lease: Option<Lease>,
    /// The refresh token of the entry, while it is this instance's turn.
    refresh_token: Option<Secret>,
    /// Whether the entry may have changed.
    is_unread: bool,
    /// Whether there is something that the others do not know.
    is_untold: bool,
    /// Until then it is not offered again: the store did not take it.
    offers_from: Option<Instant>,
}

/// Why a token is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It is time, or there is none.
    Due,
    /// The one that there is was rejected.
    Rejected,
    /// A person says so.
    Person,
    /// Nobody wants one: others have been heard.
    Told,
}

/// Who asks.
pub(super) enum Turn {
    /// Nobody: this is what the others know already.
    Known(Next),
    /// This instance: for all, or for itself.
    Ask,
}

impl Fleet {
    pub(super) fn of(stores: Stores) -> Self {
        Self { stores: Some(stores), ..Self::default() }
    }

    /// The store, if there is one now.
    pub(super) fn store(&self) -> Option<Rc<Store>> {
        self.stores.as_ref().and_then(|stores| stores.borrow().clone())
    }

    /// The credential's entry.
    pub(super) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Finds the entry of what has this fingerprint. Returns whether there is one to be had.
    fn prepare(&mut self, store: Option<Rc<Store>>, fingerprint: Option<[u8; 32]>) -> bool {
        let is_same = fingerprint.is_some() && self.fingerprint == fingerprint;
        self.fingerprint = fingerprint.or(self.fingerprint);
        let (Some(store), Some(fingerprint)) = (store, fingerprint) else {
            self.slot = None;
            return false;
        };
        if !is_same || self.slot.as_ref().is_none_or(|slot| !slot.is_of(&store)) {
            self.slot = Some(Slot::new(&store, "token", &fingerprint));
            (self.seen, self.is_unread, self.is_untold) = (0, true, is_same);
            (self.lease, self.refresh_token) = (None, None);
        }
        true
    }

    /// Others may have written, or there is another store. May end for nothing.
    pub(super) async fn changed(&mut self) {
        let Self { stores, slot, is_unread, .. } = self;
        let changed = async {
            match slot {
                Some(slot) => slot.changed().await,
                None => std::future::pending().await,
            }
        };
        let exchanged = async {
            match stores {
                // An error means that the process is ending.
                Some(stores) => match stores.changed().await {
                    Ok(()) => {}
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            () = exchanged => {}
        }
        *is_unread = true;
    }

    /// The jitter of the next renewal, 0 to 1. Instances that take turns need not keep out of each other's way: whoever is first renews for
    /// all, so they keep to the last fifth of the time for it, and a fleet asks hardly more often than one instance. Short lives have no
    /// time for a store that turns out to be away.
    pub(super) fn sample(&self, lifetime: Duration) -> f64 {
        let sample = fastrand::f64();
        let is_late = lifetime >= LONG_LIFE && self.slot.as_ref().is_some_and(Slot::is_there);
        if is_late { 0.8 + sample / 5.0 } else { sample }
    }

    /// Whether the entry should be looked at.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread
    }

    async fn claim(&self, lease: Duration) -> Result<Claimed, StoreError> {
        match &self.slot {
            Some(slot) => slot.claim(self.seen, self.seen, lease).await,
            None => Err(StoreError::Away),
        }
    }

    /// It is somebody else's turn again.
    pub(super) async fn let_go(&mut self) {
        if let (Some(slot), Some(lease)) = (&self.slot, self.lease.take()) {
            slot.release(lease).await;
        }
    }
}

impl<S: Source> Refresher<S> {
    /// Finds the credential's entry, and the refresh token's where that is the only credential.
    pub(super) fn meet(&mut self, fingerprint: Option<[u8; 32]>) -> bool {
        let store = if self.shared.settings.is_bound { None } else { self.fleet.store() };
        self.rotation.share(store.as_ref(), self.lease_time());
        self.fleet.prepare(store, fingerprint)
    }

    fn lease_time(&self) -> Duration {
        self.source.deadline() + self.floor + MARGIN
    }

    /// Who asks for a token? Waits while somebody else does.
    pub(super) async fn take_turn(&mut self, fingerprint: Option<[u8; 32]>, occasion: Occasion) -> Turn {
        if !self.meet(fingerprint) {
            return Turn::Ask;
        }
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // Nobody else waits for a rest of this instance.
            self.rest_for_the_floor().await;
            match self.fleet.claim(self.lease_time()).await {
                Err(_) => break,
                Ok(Claimed::Newer(opened)) => {
                    self.fleet.seen = opened.version;
                    if let Some(next) = self.take_over(&opened, occasion).await {
                        return Turn::Known(next);
                    }
                }
                Ok(Claimed::Granted(lease, opened)) => {
                    self.fleet.lease = Some(lease);
                    let entry = opened.and_then(|opened| Entry::parse(&opened.text, opened.age.unwrap_or_default()));
                    self.fleet.refresh_token = entry.and_then(|entry| entry.refresh_token);
                    return Turn::Ask;
                }
                Ok(Claimed::Taken(left)) => {
                    // A store that does not answer any more tells nobody anything: it must be asked to be found out.
                    let left = left.clamp(FLOOR / 100, ASK_AGAIN);
                    if let Some(slot) = &mut self.fleet.slot {
                        // Too late is as good as told.
                        let _ = timeout(left, slot.changed()).await;
                    }
                }
            }
        }
        self.fleet.is_untold = true;
        Turn::Ask
    }

    /// Before another request in the same turn.
    pub(super) async fn prolong_turn(&mut self) {
        if let (Some(slot), Some(_)) = (&self.fleet.slot, &self.fleet.lease)
            && let Ok(Claimed::Granted(lease, _)) = slot.claim(u64::MAX, self.fleet.seen, self.lease_time()).await
        {
            self.fleet.lease = Some(lease);
        }
    }

    /// The entry may have changed: what follows, if that is news.
    pub(super) async fn look(&mut self) -> Option<Next> {
        self.fleet.is_unread = false;
        let fingerprint = self.fleet.fingerprint;
        if !self.meet(fingerprint) {
            return None;
        }
        let opened = self.fleet.slot.as_ref()?.read().await.ok()?;
        match opened {
            Some(opened) if opened.version > self.fleet.seen => {
                self.fleet.seen = opened.version;
                self.take_over(&opened, Occasion::Told).await
            }
            Some(opened) if opened.version == self.fleet.seen && !self.fleet.is_untold => None,
            _ if self.fleet.offers_from.is_some_and(|from| Instant::now() < from) => None,
            _ => self.offer().await,
        }
    }

    /// The store knows less than this instance does.
    async fn offer(&mut self) -> Option<Next> {
        let renews = match (self.shared.snapshot().phase, self.shared.snapshot().fresh_token(self.shared.clock.now())) {
            (Phase::Resting(at), Some(_)) => Next::Renew(at),
            _ => return None,
        };
        match self.fleet.claim(MARGIN).await.ok()? {
            Claimed::Newer(opened) => {
                self.fleet.seen = opened.version;
                self.take_over(&opened, Occasion::Told).await
            }
            Claimed::Granted(lease, _) => {
                self.fleet.lease = Some(lease);
                self.tell(Some(renews)).await;
                None
            }
            // Who has it will be heard.
            Claimed::Taken(_) => None,
        }
    }

    /// Takes over what another instance, or an earlier run, has learnt. `None` if that is no answer to the occasion.
    async fn take_over(&mut self, opened: &Opened, occasion: Occasion) -> Option<Next> {
        // Written in a future that was none: nothing can be said of its token.
        let age = opened.age?;
        let Some(entry) = Entry::parse(&opened.text, age) else {
            let (credential, code) = (&self.shared.settings.name, Reason::StoreUnusable);
            tracing::warn!(credential, %code, "{code} {credential}: the entry in the token store cannot be understood");
            return None;
        };
        let now = self.shared.clock.now();
        self.note_sent(now - entry.asked);
        if let Some(descendant) = entry.descendant {
            self.rotation.learn(descendant);
        }
        let adopted = match entry.token {
            Some(token) if token.age + SLIVER < token.lifetime => self.adopt(token, entry.asked, occasion).await,
            _ => None,
        };
        match entry.trouble {
            None => adopted,
            Some(trouble) => self.suffer(trouble, occasion).await,
        }
    }

    async fn adopt(&mut self, token: Known, asked: Duration, occasion: Occasion) -> Option<Next> {
        let now = self.shared.clock.now();
        let at = now - token.age;
        let is_same = self.shared.snapshot().token.as_ref().is_some_and(|own| *own.value() == token.value);
        if is_same && occasion != Occasion::Rejected {
            // Nothing new but when it will be renewed.
            let renew_at = at
                + ask_again_after(token.lifetime, self.shared.settings.early, self.fleet.sample(token.lifetime))
                    .max(self.floor);
            let is_answer = occasion == Occasion::Told || asked < JUST_NOW;
            return (is_answer && renew_at > now && self.publisher.rests(renew_at)).then_some(Next::Renew(renew_at));
        }
        if is_same && asked > JUST_NOW {
            return None;
        }
        let issued =
            Issued { access_token: token.value, lifetime: token.lifetime, refresh_token: None, scope: None, key: None };
        let wall = self.shared.clock.wall();
        let wall = wall.checked_sub(token.age).unwrap_or(wall);
        let next = self.accept(Sent { issued, at, wall, is_own: false }).ok()?;
        // What renews it is in the store. One of this instance's own would be of another grant.
        self.refresh_token = None;
        self.fleet.is_untold = false;
        self.shared.metrics.adopted.inc();
        self.forget().await;
        Some(next)
    }

    /// Another instance was refused, or got no answer: its experience is everybody's.
    async fn suffer(&mut self, trouble: Trouble, occasion: Occasion) -> Option<Next> {
        let now = self.shared.clock.now();
        // A little later than whoever it was, each at another time.
        let later = |wait: Duration| (wait > Duration::ZERO).then(|| now + wait.mul_f64(1.0 + fastrand::f64() / 4.0));
        let next = match trouble.then {
            Then::Retry(wait) => Next::Retry(later(wait)?),
            Then::Held(wait) => Next::Held(later(wait)?),
            Then::Confirm(wait) => Next::Confirm(later(wait)?),
            Then::Latched => Next::Latched,
        };
        if occasion == Occasion::Person {
            return None;
        }
        self.history = History::heard(trouble.past, now);
        if next.watches_secrets() {
            self.refused = self.digest().await;
        }
        let class = trouble.past.kept.unwrap_or(Class::Transient);
        let Trouble { reason, message, .. } = trouble;
        self.publisher.failed(&FetchError { class, reason, status: None, retry_after: None, message }, next);
        Some(next)
    }

    /// Tells the others how asking ended, with what follows, and gives the turn back; with `None` it ended before it was any of
    /// their business.
    pub(super) async fn tell(&mut self, next: Option<Next>) {
        let Some(lease) = self.fleet.lease.take() else { return };
        let Some(slot) = &self.fleet.slot else { return };
        let Some(next) = next else { return slot.release(lease).await };
        let entry = self.entry(Some(next));
        let keep = keep(&entry);
        match slot.write(&lease, lease.fence(), &entry.print(), (Some(keep), true)).await {
            Ok(Written::Done) => {
                self.fleet.seen = lease.fence();
                self.fleet.is_untold = false;
                // It is in the store, for whoever renews next.
                self.refresh_token = None;
                self.fleet.refresh_token = None;
            }
            // What came after it will be heard.
            Ok(Written::Outrun) => {}
            Err(_) => {
                self.fleet.is_untold = true;
                self.fleet.offers_from = Some(Instant::now() + OFFER_AGAIN);
                // A store that takes no writes may still let others have their turn.
                slot.release(lease).await;
            }
        }
    }

    /// What this instance knows.
    fn entry(&self, next: Option<Next>) -> Entry {
        let now = self.shared.clock.now();
        let snapshot = self.shared.snapshot();
        let known = |token: &std::sync::Arc<super::AccessToken>| Known {
            value: token.value().clone(),
            age: now.since(token.sent_at()),
            lifetime: token.lifetime(),
        };
        let trouble = snapshot.failure.as_ref().filter(|_| !matches!(next, None | Some(Next::Renew(_))));
        Entry {
            asked: self.last_sent.map_or(MONTH, |at| now.since(at)),
            token: snapshot.fresh_token(now).map(known),
            refresh_token: self.refresh_token.clone().or_else(|| self.fleet.refresh_token.clone()),
            trouble: trouble.zip(next).map(|(failure, next)| Trouble {
                reason: failure.reason,
                message: failure.message.clone(),
                then: match next {
                    Next::Renew(at) | Next::Retry(at) => Then::Retry(at.since(now)),
                    Next::Held(at) => Then::Held(at.since(now)),
                    Next::Confirm(at) => Then::Confirm(at.since(now)),
                    Next::Latched => Then::Latched,
                },
                past: self.history.told(now),
            }),
            descendant: self.rotation.newest(),
        }
    }

    /// The refresh token of the entry, for one use: nobody else finds it there any more. `None` if that cannot be had.
    pub(super) async fn shared_refresh_token(&mut self) -> Option<Secret> {
        let token = self.fleet.refresh_token.take()?;
        let text = self.entry(None).print();
        let (slot, lease) = (self.fleet.slot.as_ref()?, self.fleet.lease.as_ref()?);
        let written = slot.write(lease, self.fleet.seen, &text, (Some(MONTH), false)).await;
        (written == Ok(Written::Done)).then_some(token)
    }

    /// Whether others should know how asking ended.
    pub(super) fn concerns_all(error: &FetchError) -> bool {
        use Reason::{SecretUnreadable, StoreAway, TokenBudget, TokenStateLost};
        !matches!(error.reason, SecretUnreadable | StoreAway | TokenBudget | TokenStateLost)
    }

    /// Why asking is about to begin.
    pub(super) fn occasion(&self) -> Occasion {
        let snapshot = self.shared.snapshot();
        let is_wanted = self.shared.is_wanted(snapshot.settled);
        match (is_wanted, snapshot.phase) {
            (true, Phase::Waiting(_) | Phase::Latched) => Occasion::Person,
            (true, _) if snapshot.fresh_token(self.shared.clock.now()).is_some() => Occasion::Rejected,
            _ => Occasion::Due,
        }
    }
}

/// How long an entry is worth keeping.
fn keep(entry: &Entry) -> Duration {
    let token = entry.token.as_ref().map_or(Duration::ZERO, |token| token.lifetime.saturating_sub(token.age));
    let trouble = match entry.trouble.as_ref().map(|trouble| trouble.then) {
        None => Duration::ZERO,
        Some(Then::Latched) => MONTH,
        Some(Then::Retry(wait) | Then::Held(wait) | Then::Confirm(wait)) => wait,
    };
    let renewable = if entry.refresh_token.is_some() { MONTH } else { Duration::ZERO };
    token.max(trouble).max(renewable) + AFTERLIFE
}
