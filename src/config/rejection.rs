//! `[credentials.*.rejection]` and `[routes.*.rejection]`: what counts as a rejection of the token, and what follows.

use std::time::Duration;

use super::reader::{Keys, Reader};
use super::value;
use crate::proxy::settings::{BodyRule, Rejection, Replay};
use crate::reason::Reason;

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.rejection] and [routes.NAME.rejection]",
    obeyed: &["status", "www_authenticate_error", "body", "grpc_status", "gap", "replay", "replay_body_limit"],
    later: &[],
    protective: &[],
};

pub(super) const BODY_KEYS: Keys =
    Keys { name: "rejection.body", obeyed: &["status", "contains"], later: &[], protective: &[] };

pub(super) const REPLAYS: &[(&str, Replay)] = &[("all", Replay::All), ("idempotent", Replay::Idempotent)];

const GAP: Duration = Duration::from_secs(600);

/// The general default.
pub(super) fn default() -> Rejection {
    Rejection {
        status: vec![401],
        www_authenticate_error: vec!["invalid_token".to_owned()],
        body: Vec::new(),
        grpc_status: Vec::new(),
        replay: Replay::All,
        replay_body_limit: 64 << 10,
    }
}

/// What is written here, the rest from `base`.
pub(super) fn read(reader: &Reader<'_>, base: &Rejection) -> Rejection {
    Rejection {
        status: statuses(reader).unwrap_or_else(|| base.status.clone()),
        www_authenticate_error: reader
            .parsed_items("www_authenticate_error", challenge_error)
            .map_or_else(|| base.www_authenticate_error.clone(), |found| found.into_iter().map(|(e, _)| e).collect()),
        body: if reader.has("body") { body_rules(reader) } else { base.body.clone() },
        grpc_status: reader
            .integers("grpc_status", &(1..=16))
            .map_or_else(|| base.grpc_status.clone(), |found| found.into_iter().filter_map(narrow).collect()),
        replay: reader.choice("replay", REPLAYS, &[]).unwrap_or(base.replay),
        replay_body_limit: reader.size("replay_body_limit").unwrap_or(base.replay_body_limit),
    }
}

/// `gap`, which is the credential's alone.
pub(super) fn gap(reader: &Reader<'_>) -> Duration {
    reader.positive_duration("gap").unwrap_or(GAP)
}

/// Records a `gap` in a route.
pub(super) fn refuse_gap(reader: &Reader<'_>) {
    if reader.has("gap") {
        let message = "belongs to the credential, whose token all its routes share: write it in \
            [credentials.NAME.rejection]";
        reader.reject("gap", Reason::ConfigContradiction, message);
    }
}

fn statuses(reader: &Reader<'_>) -> Option<Vec<u16>> {
    let written = reader.integers("status", &(100..=599))?;
    if written.iter().any(|status| (100..300).contains(status)) {
        reader.wrong("status", "cannot hold a status of success; a text in the body tells those apart: body = [{ … }]");
    }
    Some(written.into_iter().filter_map(narrow).collect())
}

fn body_rules(reader: &Reader<'_>) -> Vec<BodyRule> {
    let rule = |reader: Reader<'_>| {
        let status = reader.integer("status", 200..=599).and_then(narrow);
        let contains = reader.non_empty("contains");
        for key in BODY_KEYS.obeyed.iter().filter(|key| reader.is_written() && !reader.has(key)) {
            reader.reject(
                key,
                Reason::ConfigMissing,
                "must be written: { status = 403, contains = \"token_expired\" }",
            );
        }
        Some(BodyRule { status: status?, contains: contains? })
    };
    reader.tables("body", &BODY_KEYS).into_iter().filter_map(rule).collect()
}

/// An error code of a challenge (RFC 6750 §3.1).
fn challenge_error(text: &str) -> Result<String, String> {
    if text == "insufficient_scope" {
        return Err("cannot be insufficient_scope, which no new token would cure".to_owned());
    }
    if !value::is_token(text) {
        return Err("must be error codes such as \"invalid_token\"".to_owned());
    }
    Ok(text.to_owned())
}

/// A status, whose range has been checked.
pub(super) fn narrow(status: i128) -> Option<u16> {
    u16::try_from(status).ok()
}
