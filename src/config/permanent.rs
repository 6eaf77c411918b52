//! `[[credentials.*.permanent]]`: refusals that trying again will not cure.

use super::reader::{Keys, Reader};
use super::rejection::narrow;
use crate::oauth::settings::PermanentRule;
use crate::reason::Reason;

pub(super) const KEYS: Keys = Keys {
    name: "[[credentials.NAME.permanent]]",
    obeyed: &["status", "body_contains", "error_code"],
    later: &[],
    protective: &[],
};

pub(super) fn read(reader: &Reader<'_>) -> PermanentRule {
    let rule = PermanentRule {
        status: reader.integer("status", 200..=599).and_then(narrow),
        body_contains: reader.non_empty("body_contains"),
        error_code: reader.non_empty("error_code"),
    };
    if reader.is_written() && !KEYS.obeyed.iter().any(|key| reader.has(key)) {
        let message = "needs at least one of status, body_contains and error_code; empty, it would match every refusal";
        reader.context().mistake(reader.place().clone(), Reason::ConfigMissing, reader.path(), message);
    }
    rule
}
