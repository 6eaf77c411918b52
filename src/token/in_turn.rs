//! Asking with a refresh token that is the only credential.
//!
//! Owns the order of things: the right to use it, the use, its successor on disk, and only then the access token.

use super::Source;
use super::refresher::{Refresher, Sent, failure};
use super::rotation::RotationError;
use crate::oauth::{Class, FetchError, Grant};
use crate::reason::Reason;

impl<S: Source> Refresher<S> {
    /// With the refresh token that is all there is. Whatever comes is on disk before anybody sees the access token.
    pub(super) async fn request_in_turn(&mut self) -> Result<Sent, FetchError> {
        let state_lost =
            |why: &dyn std::fmt::Display| failure(Class::Transient, Reason::TokenStateLost, &why.to_string());
        let Some(first) = self.source.first_refresh_token().await? else {
            return Err(failure(Class::Transient, Reason::SecretUnreadable, "there is no refresh token"));
        };
        let turn = self.rotation.turn(&first, self.shared.clock.wall()).await.map_err(|error| match error {
            RotationError::Store(_) => failure(Class::Transient, Reason::StoreAway, &error.to_string()),
            error => state_lost(&error),
        })?;
        self.shared.in_turn.send_replace(true);
        let unanswered = turn.unanswered;
        let outcome = self.request(Grant::Refresh(turn.token().clone())).await;
        let kept = match &outcome {
            Ok(sent) => self.rotation.answered(turn, sent.issued.refresh_token.as_ref()).await,
            Err(error) if error.status.is_some_and(|status| status.is_success()) => {
                match self.source.take_successor() {
                    Some(successor) => self.rotation.answered(turn, Some(&successor)).await,
                    // It may have been replaced by one that we could not find.
                    None => Ok(()),
                }
            }
            // A refusal makes no other: it is as good as before.
            Err(error) if error.status.is_some() => self.rotation.answered(turn, None).await,
            // Nobody knows whether it was used.
            Err(_) => Ok(()),
        };
        self.shared.in_turn.send_replace(false);
        if let Err(error) = kept {
            let (credential, code) = (&self.shared.settings.name, Reason::TokenStateLost);
            tracing::error!(credential, %code, %error, "refresh token is in memory alone: a crash now would lose it");
        }
        outcome.map_err(|error| match (error.reason, unanswered) {
            (Reason::TokenSpent, Some(since)) => {
                let since = humantime::format_rfc3339_seconds(since);
                FetchError { message: format!("{}; its use at {since} was not answered", error.message), ..error }
            }
            _ => error,
        })
    }
}
