//! What becomes of a credential whose refresher panics: it goes on.
//!
//! Owns the loop of a refresher's life, and where it goes on after a panic. A token request that ends in one is one more way for it to
//! fail; a panic anywhere else ends what was being done, and what was known stays known. Its place is told by the hook of
//! [`crate::panics`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::Source;
use super::refresher::{Refresher, failure};
use super::schedule::Next;
use super::shared::Phase;
use crate::backoff::doubling;
use crate::oauth::{Class, FetchError};
use crate::reason::Reason;

/// How long it rests after a panic, twice that after the next one, and so on.
const REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// After so long without another, a panic counts as the first.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

impl<S: Source> Refresher<S> {
    /// Takes up what an earlier run left, then asks and rests by turns.
    pub(super) async fn live(&mut self) -> Infallible {
        let (mut next, mut panics, mut last) = (None, 0, None);
        loop {
            match caught(self.go_on(&mut next)).await {
                Some(never) => match never {},
                None => {
                    let now = self.shared.clock.now();
                    if last.is_some_and(|last| now.since(last) > FORGOTTEN_AFTER) {
                        panics = 0;
                    }
                    self.shared.clock.sleep_until(now + doubling(REST, panics, LONGEST_REST)).await;
                    (panics, last) = (panics + 1, Some(now));
                    // Whoever waits for the answer to a refresh token would wait for ever.
                    self.shared.in_turn.send_replace(false);
                    if let Some(known) = caught(self.after_panic(next)).await {
                        next = Some(known);
                    }
                }
            }
        }
    }

    /// `next` is always what follows, so that it is known after a panic.
    async fn go_on(&mut self, next: &mut Option<Next>) -> Infallible {
        let mut now = match *next {
            Some(next) => next,
            None => {
                let first = self.remember().await;
                let fingerprint = caught(self.source.fingerprint()).await.flatten();
                self.meet(fingerprint);
                *next.insert(first)
            }
        };
        loop {
            now = match self.rest(now).await {
                Some(other) => other,
                None => self.ask().await,
            };
            *next = Some(now);
        }
    }

    /// A request of which nobody knows how it ended has failed.
    async fn after_panic(&mut self, next: Option<Next>) -> Next {
        match known(self.shared.snapshot().phase, next) {
            Some(next) => next,
            None => {
                let error = self.panicked("the renewal ended in a panic");
                let asked_with = self.digest().await;
                self.give_way(&error, asked_with).await
            }
        }
    }

    /// A password tried by a parser that panics was tried all the same, and may be tried too often.
    pub(super) fn panicked(&self, why: &str) -> FetchError {
        let class = if self.shared.figures().lockout { Class::Refused } else { Class::Transient };
        failure(class, Reason::TokenMalformed, why)
    }
}

/// What follows on a panic in this phase, where `next` was to follow: the same, unless what was published since is something else. `None`
/// where a request was under way.
fn known(phase: Phase, next: Option<Next>) -> Option<Next> {
    match (phase, next) {
        (Phase::Resting(at), _) => Some(Next::Renew(at)),
        (Phase::Latched, _) => Some(Next::Latched),
        (Phase::Waiting(at), Some(next)) if next.due() == Some(at) => Some(next),
        (Phase::Waiting(at), _) => Some(Next::Held(at)),
        (Phase::Asking | Phase::Stopped, _) => None,
    }
}

/// What the future returns; `None` if it panics, which must not end the renewal of tokens.
pub(super) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;

    #[test]
    fn what_was_to_follow_follows_unless_something_else_was_published() {
        let [soon, late] = [10, 60].map(|seconds| Moment::ORIGIN + Duration::from_secs(seconds));
        let check = |phase, next, wanted| assert_eq!(known(phase, next), wanted, "{phase:?}, {next:?}");
        check(Phase::Resting(late), Some(Next::Renew(late)), Some(Next::Renew(late)));
        check(Phase::Resting(late), Some(Next::Renew(soon)), Some(Next::Renew(late)));
        check(Phase::Latched, Some(Next::Confirm(soon)), Some(Next::Latched));
        check(Phase::Waiting(late), Some(Next::Retry(late)), Some(Next::Retry(late)));
        check(Phase::Waiting(late), Some(Next::Confirm(late)), Some(Next::Confirm(late)));
        check(Phase::Waiting(late), Some(Next::Renew(soon)), Some(Next::Held(late)));
        check(Phase::Waiting(late), None, Some(Next::Held(late)));
        check(Phase::Asking, Some(Next::Renew(soon)), None);
        check(Phase::Asking, None, None);
    }
}
