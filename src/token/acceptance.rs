//! A token has come: for how long it is good, when the next one is asked for, and what of it is kept.
//!
//! Owns what is believed of an answer beside what is known already. Where it comes from makes no difference: asked for, or taken over from
//! another instance.

use std::sync::Arc;
use std::time::Duration;

use super::publish::report_useless_token;
use super::refresher::{Refresher, Sent, failure};
use super::schedule::{FLOOR, History, LONGEST_LIFE, Next, ask_again_after, floor_after, is_short, renew_after};
use super::{AccessToken, Source};
use crate::clock::Moment;
use crate::jose::SigningKey;
use crate::oauth::{Class, FetchError, Issued};
use crate::reason::Reason;
use crate::secret::Secret;

impl<S: Source> Refresher<S> {
    pub(super) fn accept(&mut self, sent: Sent) -> Result<Next, FetchError> {
        let Sent { mut issued, at, wall, is_own } = sent;
        self.keep_refresh_token(issued.refresh_token.take());
        let settings = self.shared.figures();
        let (same, generation) = {
            let snapshot = self.shared.snapshot();
            let same = snapshot.token.clone().filter(|token| token.value == issued.access_token);
            let generation = snapshot.generation() + u64::from(same.is_none());
            (same, generation)
        };
        let again = same.is_some();
        let (lifetime, is_assumed) = life(&issued, at, same.as_deref());
        if lifetime.is_zero() {
            return Err(failure(Class::Transient, Reason::TokenIllegal, "the token has already expired"));
        }
        let key = self.key_of(again, issued.key);
        let (value, scheme) = (issued.access_token, settings.scheme.as_deref());
        let token = AccessToken::new(generation, value, scheme, at, wall, lifetime, key)
            .map_err(|_| failure(Class::Transient, Reason::TokenIllegal, "the token is no legal header value"))?
            .assumed(is_assumed);
        // What is left of one that came before is no other short life.
        if same.is_none_or(|same| token.expires_at() >= same.expires_at() + FLOOR) {
            self.short_lives = if is_short(lifetime) { self.short_lives.saturating_add(1) } else { 0 };
            self.floor = floor_after(lifetime, self.short_lives.saturating_sub(1));
        }
        let after = if again { ask_again_after } else { renew_after };
        let renew_at = at + after(lifetime, settings.early, self.fleet.sample(lifetime)).max(self.floor);
        self.history = History::default();
        self.changed_in_vain = 0;
        self.notice_useless_fetch(again);
        self.publisher.issued(token, lifetime, renew_at, is_own);
        Ok(Next::Renew(renew_at))
    }

    /// One that came goes before the one that was used, whatever becomes of the token beside it.
    fn keep_refresh_token(&mut self, new: Option<Secret>) {
        let settings = self.shared.figures();
        let is_wanted = settings.use_refresh_token && !settings.lives_by_refresh_token;
        self.refresh_token = new.or(self.refresh_token.take()).filter(|_| is_wanted);
    }

    /// A token that came before is bound to the key that it first came with, whatever asked for it since.
    fn key_of(&self, again: bool, key: Option<Arc<SigningKey>>) -> Option<Arc<SigningKey>> {
        let snapshot = self.shared.snapshot();
        let bound = snapshot.token.as_ref().filter(|_| again).and_then(|token| token.binding());
        bound.map(|binding| Arc::clone(binding.key())).or(key)
    }

    /// A fetch that a rejection forced, and that brought the same token: doing so once a second would cure nothing.
    fn notice_useless_fetch(&self, again: bool) {
        let snapshot = self.shared.snapshot();
        let now = self.shared.clock.now();
        let forced = self.shared.is_wanted(snapshot.settled) && snapshot.fresh_token(now).is_some();
        if again
            && forced
            && let Some(width) = self.shared.gap.same_again(now)
        {
            report_useless_token(&self.shared.settings.name, width);
        }
    }
}

/// How long a token lives from `at` on, and whether nobody has said so. An endpoint that hands out the same one until it ends may have
/// nothing to say in the last second: what is assumed then prolongs no life that was said before.
fn life(issued: &Issued, at: Moment, same: Option<&AccessToken>) -> (Duration, bool) {
    let lifetime = issued.lifetime.min(LONGEST_LIFE);
    match same.filter(|same| issued.is_assumed && !same.is_assumed()) {
        Some(same) => (lifetime.min(same.expires_at().since(at)), false),
        None => (lifetime, issued.is_assumed),
    }
}
