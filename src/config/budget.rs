//! `[credentials.*.budget]`: how many token requests a time is worth.

use std::time::Duration;

use super::reader::{Keys, Reader};
use crate::reason::Reason;
use crate::token::settings::Budget;

pub(super) const KEYS: Keys =
    Keys { name: "[credentials.NAME.budget]", obeyed: &["requests", "per"], later: &[], protective: &[] };

/// Renewals and forced fetches have half of it each.
pub(super) const LEAST: i128 = 2;
pub(super) const MOST: i128 = u32::MAX as i128;

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// `None` if there is none.
pub(super) fn read(reader: &Reader<'_>) -> Option<Budget> {
    if !reader.is_written() {
        return None;
    }
    let requests = reader.integer("requests", LEAST..=MOST).and_then(|requests| u32::try_from(requests).ok());
    let per = per(reader);
    for (key, how) in [("requests", "requests = 100"), ("per", "per = \"1d\"")] {
        if !reader.has(key) {
            let message = format!("is required: budget = {{ requests = 100, per = \"1d\" }} has {how}");
            reader.reject(key, Reason::ConfigMissing, message);
        }
    }
    Some(Budget { requests: requests?, per: per? })
}

fn per(reader: &Reader<'_>) -> Option<Duration> {
    let per = reader.duration("per")?;
    if !(SHORTEST..=LONGEST).contains(&per) {
        reader.wrong("per", "must be from \"1m\" to \"366d\"");
    }
    Some(per)
}
