//! `[credentials.*.response]`: where the token endpoint's answer keeps what.

use std::time::Duration;

use super::reader::{Keys, Reader};
use super::value;
use crate::oauth::settings::ResponseShape;

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.response]",
    obeyed: &[
        "access_token",
        "expires_in",
        "expires_at",
        "refresh_token",
        "default_lifetime",
        "error_code",
        "error_message",
    ],
    later: &[],
    protective: &[],
};

const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

pub(super) fn read(reader: &Reader<'_>) -> ResponseShape {
    let pointer =
        |key: &str, default: &str| reader.parsed(key, value::json_pointer).unwrap_or_else(|| default.to_owned());
    ResponseShape {
        access_token: pointer("access_token", "/access_token"),
        expires_in: pointer("expires_in", "/expires_in"),
        expires_at: reader.parsed("expires_at", value::json_pointer),
        refresh_token: pointer("refresh_token", "/refresh_token"),
        default_lifetime: reader.positive_duration("default_lifetime").unwrap_or(DEFAULT_LIFETIME),
        error_code: pointer("error_code", "/error"),
        error_message: pointer("error_message", "/error_description"),
    }
}
