//! Live, started, ready: what a probe is told, and why not.

use serde::Serialize;

use super::{Admin, Credential, Face};
use crate::reason::Reason;
use crate::token::{Status, Unavailable};

/// The answer to `/livez`: that there is one. Readiness stands beside it for people who look at `/health` alone.
#[derive(Debug, Serialize)]
pub(super) struct Live {
    live: bool,
    ready: bool,
}

/// The answer to `/startupz`.
#[derive(Debug, Serialize)]
pub(super) struct Started {
    pub(super) started: bool,
    /// Required credentials whose first token request has not been answered.
    waiting_for: Vec<String>,
}

/// The answer to `/readyz`.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    pub(super) ready: bool,
    draining: bool,
    credentials: Vec<CredentialHealth>,
}

#[derive(Debug, Serialize)]
struct CredentialHealth {
    name: String,
    required: bool,
    usable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Trouble>,
}

/// A failure as it may be shown.
#[derive(Debug, Serialize)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// Seconds; left out if nothing is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_in_seconds: Option<f64>,
}

impl Live {
    pub(super) fn of(admin: &Admin) -> Self {
        Self { live: true, ready: Ready::of(admin, Face::Probes).ready }
    }
}

impl Started {
    /// Addresses are bound before anything is served, so what remains is the first fetch of every required credential,
    /// settled either way.
    pub(super) fn of(admin: &Admin) -> Self {
        let waiting_for: Vec<_> =
            statuses(admin).filter(|status| status.required && !status.settled).map(|status| status.name).collect();
        Self { started: waiting_for.is_empty(), waiting_for }
    }
}

impl Ready {
    /// Every required credential has a usable token, and nothing drains. What the token endpoint said is for the admin
    /// listener alone: anybody may ask the probe listener.
    pub(super) fn of(admin: &Admin, face: Face) -> Self {
        let draining = admin.draining.is_fired();
        let statuses: Vec<_> = statuses(admin).collect();
        let ready = !draining && statuses.iter().all(|status| status.usable || !status.required);
        let credentials = statuses.into_iter().map(|status| CredentialHealth::of(status, face)).collect();
        Self { ready, draining, credentials }
    }
}

impl CredentialHealth {
    fn of(status: Status, face: Face) -> Self {
        let reason = (!status.usable).then(|| match (&status.last_error, face) {
            (Some(error), Face::Admin) => Trouble::of(error),
            (Some(error), Face::Probes) => Trouble::in_short(error.reason),
            (None, _) => Trouble::in_short(Reason::TokenPending),
        });
        Self { name: status.name, required: status.required, usable: status.usable, reason }
    }
}

impl Trouble {
    pub(super) fn of(error: &Unavailable) -> Self {
        let retry_in_seconds = error.retry_in.map(super::status::seconds);
        Self { message: Some(error.message.clone()), retry_in_seconds, ..Self::in_short(error.reason) }
    }

    fn in_short(reason: Reason) -> Self {
        Self { code: reason.code(), title: reason.title(), message: None, retry_in_seconds: None }
    }
}

fn statuses(admin: &Admin) -> impl Iterator<Item = Status> {
    admin.credentials.iter().map(|credential| Credential::status(credential.as_ref()))
}
