//! What the instances of a fleet learn from each other, and tell.
//!
//! Owns the way from an entry of the token store to what this instance knows, and back: tokens and refusals are taken over, or told. When
//! an entry is looked at and who may write one is `fleet`'s to say.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{MARGIN, Occasion, Refresher};
use crate::backoff::doubling;
use crate::oauth::{Class, FetchError, Issued};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::store::{Claimed, Opened, Written};
use crate::token::entry::{Entry, Known, Then, Trouble};
use crate::token::refresher::Sent;
use crate::token::schedule::{History, Next, ask_again_after};
use crate::token::shared::Phase;
use crate::token::{AccessToken, Source};

/// A token that was asked for so recently answers a rejection, even if it is the same.
const JUST_NOW: Duration = Duration::from_secs(5);
/// What is left of a token that is not worth taking over.
const SLIVER: Duration = Duration::from_millis(250);
/// How long nothing is offered to a store that did not take it; doubled each time, since all others look whenever one has tried.
pub(super) const OFFER_AGAIN: Duration = Duration::from_secs(5);
/// The longest of these times.
pub(super) const OFFER_AT_LAST: Duration = Duration::from_secs(300);
/// How long an entry is kept beyond what it is about.
const AFTERLIFE: Duration = Duration::from_secs(3600);
/// How long a refusal is kept, or what can be renewed.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

impl<S: Source> Refresher<S> {
    /// The entry may have changed: what follows, if that is news.
    pub(in crate::token) async fn look(&mut self) -> Option<Next> {
        self.fleet.is_unread = false;
        let fingerprint = self.fleet.fingerprint;
        if !self.meet(fingerprint) {
            self.leave_the_store().await;
            return None;
        }
        let opened = self.fleet.slot.as_ref()?.read().await.ok()?;
        let is_left_behind = opened.as_ref().is_some_and(|opened| opened.is_left_behind);
        let next = self.learn_from(opened).await;
        self.bring_along(is_left_behind).await;
        next
    }

    async fn learn_from(&mut self, opened: Option<Opened>) -> Option<Next> {
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
                self.fleet.is_unread |= opened.is_left_behind;
                self.take_over(&opened, Occasion::Told).await
            }
            Claimed::Granted(lease, opened) => {
                self.fleet.begin_turn(lease, opened);
                self.tell(Some(renews)).await;
                None
            }
            // Who has it will be heard.
            Claimed::Taken(_) => None,
        }
    }

    /// Takes over what another instance, or an earlier run, has learnt. `None` if that is no answer to the occasion.
    pub(super) async fn take_over(&mut self, opened: &Opened, occasion: Occasion) -> Option<Next> {
        // Written in a future that was none: nothing can be said of its token.
        let age = opened.age?;
        let Some(entry) = Entry::parse(&opened.text, age) else {
            let (credential, code) = (&self.shared.settings.name, Reason::StoreUnusable);
            tracing::warn!(credential, %code, "{code} {credential}: the entry in the token store cannot be understood");
            return None;
        };
        let now = self.shared.clock.now();
        self.note_sent(now - entry.asked);
        self.fleet.refused = entry.trouble.as_ref().map(|trouble| trouble.refused.clone()).unwrap_or_default();
        if let Some(descendant) = entry.descendant {
            self.rotation.learn(descendant);
        }
        let adopted = match entry.token {
            Some(token) if token.age + SLIVER < token.lifetime => self.adopt(token, entry.asked, occasion).await,
            _ => None,
        };
        match entry.trouble.filter(|trouble| self.is_concerned_by(trouble)) {
            None => adopted,
            Some(trouble) => match self.suffer(trouble, occasion).await {
                // It is over, and nobody wants a token: what was taken over is renewed when it is time.
                None if occasion == Occasion::Told => adopted,
                next => next,
            },
        }
    }

    /// Whether this instance would fare alike. While another configuration is rolled out, who was refused with the one before says nothing
    /// of the next: each tries for itself, and remembers all that were refused, so that none of them tries again.
    fn is_concerned_by(&self, trouble: &Trouble) -> bool {
        let is_refused = self.written.is_among(&trouble.refused);
        match trouble.then {
            // Whoever writes this was not refused: what was refused here for good is none of its business.
            Then::Retry(_) if trouble.refused.is_empty() => true,
            Then::Retry(_) => !is_refused || self.shared.snapshot().phase != Phase::Latched,
            Then::Held(_) | Then::Confirm(_) | Then::Latched => is_refused,
        }
    }

    async fn adopt(&mut self, token: Known, asked: Duration, occasion: Occasion) -> Option<Next> {
        let now = self.shared.clock.now();
        let at = now - token.age;
        let is_same = self.shared.snapshot().token.as_ref().is_some_and(|own| *own.value() == token.value);
        if is_same && occasion != Occasion::Rejected {
            // Nothing new but when it will be renewed.
            let renew_at = at
                + ask_again_after(token.lifetime, self.shared.figures().early, self.fleet.sample(token.lifetime))
                    .max(self.floor);
            let is_answer = occasion == Occasion::Told || asked < JUST_NOW;
            return (is_answer && renew_at > now && self.publisher.rests(renew_at)).then_some(Next::Renew(renew_at));
        }
        if is_same && asked > JUST_NOW {
            return None;
        }
        self.source.heard_of(&token.value);
        let Known { value: access_token, lifetime, is_assumed, .. } = token;
        let issued = Issued { access_token, lifetime, is_assumed, refresh_token: None, scope: None, key: None };
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
    pub(in crate::token) async fn tell(&mut self, next: Option<Next>) {
        let Some(lease) = self.fleet.lease.take() else { return };
        let Some(slot) = &self.fleet.slot else { return };
        let Some(next) = next else { return slot.release(lease).await };
        let entry = self.entry(Some(next));
        let keep = keep(&entry);
        match slot.write(&lease, lease.fence(), &entry.print(), (Some(keep), true)).await {
            Ok(Written::Done) => {
                self.fleet.seen = lease.fence();
                self.fleet.is_untold = false;
                self.fleet.untaken = 0;
                // It is in the store, for whoever renews next.
                self.refresh_token = None;
                self.fleet.refresh_token = None;
            }
            // What came after it will be heard.
            Ok(Written::Outrun) => {}
            Err(_) => {
                self.fleet.is_untold = true;
                self.fleet.offers_from =
                    Some(Instant::now() + doubling(OFFER_AGAIN, self.fleet.untaken, OFFER_AT_LAST));
                self.fleet.untaken = self.fleet.untaken.saturating_add(1);
                // A store that takes no writes may still let others have their turn.
                slot.release(lease).await;
            }
        }
    }

    /// What this instance knows.
    fn entry(&self, next: Option<Next>) -> Entry {
        let now = self.shared.clock.now();
        let snapshot = self.shared.snapshot();
        let known = |token: &Arc<AccessToken>| Known {
            value: token.value().clone(),
            age: now.since(token.sent_at()),
            lifetime: token.lifetime(),
            is_assumed: token.is_assumed(),
        };
        let trouble = snapshot.failure.as_ref().filter(|_| !matches!(next, None | Some(Next::Renew(_))));
        let is_refused = next.is_some_and(Next::watches_secrets);
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
                refused: match is_refused {
                    true => self.written.added_to(&self.fleet.refused),
                    false => self.fleet.refused.clone(),
                },
            }),
            descendant: self.rotation.newest(),
        }
    }

    /// The refresh token of the entry, for one use: nobody else finds it there any more. `None` if that cannot be had.
    pub(in crate::token) async fn shared_refresh_token(&mut self) -> Option<Secret> {
        let token = self.fleet.refresh_token.take()?;
        let text = self.entry(None).print();
        let (slot, lease) = (self.fleet.slot.as_ref()?, self.fleet.lease.as_ref()?);
        let written = slot.write(lease, self.fleet.seen, &text, (Some(MONTH), false)).await;
        (written == Ok(Written::Done)).then_some(token)
    }
}

/// How long an entry is worth keeping.
pub(super) fn keep(entry: &Entry) -> Duration {
    let token = entry.token.as_ref().map_or(Duration::ZERO, |token| token.lifetime.saturating_sub(token.age));
    let trouble = match entry.trouble.as_ref().map(|trouble| trouble.then) {
        None => Duration::ZERO,
        Some(Then::Latched) => MONTH,
        Some(Then::Retry(wait) | Then::Held(wait) | Then::Confirm(wait)) => wait,
    };
    let renewable = if entry.refresh_token.is_some() { MONTH } else { Duration::ZERO };
    token.max(trouble).max(renewable) + AFTERLIFE
}
