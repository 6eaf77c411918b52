//! The list of all tables: what `config.example.toml` must show, and where a misplaced key belongs.

use super::reader::Keys;
use super::{
    admin, assertion, budget, callers, credential, dpop, fields, inject, limits, log, permanent, rejection, response,
    revocation, root, route, schedule, steps, store, timeouts, tls, traces,
};

/// Every table with its path in a file; `*` stands for a name that the user chooses. Routes have `rejection`, `inject` and `tls` too.
pub(super) const ALL: &[(&str, &Keys)] = &[
    ("", &root::KEYS),
    ("admin", &admin::KEYS),
    ("routes.*", &route::KEYS),
    ("routes.*.timeouts", &timeouts::ROUTE_KEYS),
    ("routes.*.headers", &fields::KEYS),
    ("credentials.*", &credential::KEYS),
    ("credentials.*.client_assertion", &assertion::CLIENT_KEYS),
    ("credentials.*.assertion", &assertion::GRANT_KEYS),
    ("credentials.*.dpop", &dpop::KEYS),
    ("credentials.*.response", &response::KEYS),
    ("credentials.*.permanent", &permanent::KEYS),
    ("credentials.*.refresh", &schedule::KEYS),
    ("credentials.*.budget", &budget::KEYS),
    ("credentials.*.steps", &steps::KEYS),
    ("credentials.*.revocation", &revocation::KEYS),
    ("credentials.*.rejection", &rejection::KEYS),
    ("credentials.*.rejection.body", &rejection::BODY_KEYS),
    ("credentials.*.inject", &inject::KEYS),
    ("credentials.*.tls", &tls::KEYS),
    ("tls", &tls::SERVER_KEYS),
    ("callers", &callers::KEYS),
    ("timeouts", &timeouts::KEYS),
    ("limits", &limits::KEYS),
    ("log", &log::KEYS),
    ("store", &store::KEYS),
    ("traces", &traces::KEYS),
];
