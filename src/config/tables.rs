//! The list of all tables: what `config.example.toml` must show, and where a misplaced key belongs.

use super::document::Keys;
use super::{
    admin, callers, credential, inject, limits, log, permanent, rejection, response, root, route, schedule, timeouts,
    tls,
};

/// Every table with its path in a file; `*` stands for a name that the user chooses.
pub(super) const ALL: &[&Keys] = &[
    &root::KEYS,
    &admin::KEYS,
    &route::KEYS,
    &credential::KEYS,
    &response::KEYS,
    &permanent::KEYS,
    &schedule::KEYS,
    &rejection::KEYS,
    &rejection::BODY_KEYS,
    &inject::KEYS,
    &tls::KEYS,
    &callers::KEYS,
    &timeouts::KEYS,
    &limits::KEYS,
    &log::KEYS,
];
