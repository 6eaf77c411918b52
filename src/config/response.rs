//! `[credentials.*.response]`: where the token endpoint's answer keeps what.

use std::time::Duration;

use super::reader::{Keys, Reader};
use super::{inject, value};
use crate::oauth::settings::{Elsewhere, Format, ResponseShape};
use crate::reason::Reason;

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.response]",
    obeyed: &[
        "format",
        "expect_status",
        "access_token",
        "access_token_header",
        "access_token_cookie",
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

pub(super) const FORMATS: &[(&str, Format)] =
    &[("auto", Format::Auto), ("json", Format::Json), ("form", Format::Form), ("xml", Format::Xml)];

const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

pub(super) fn read(reader: &Reader<'_>) -> ResponseShape {
    let pointer =
        |key: &str, default: &str| reader.parsed(key, value::json_pointer).unwrap_or_else(|| default.to_owned());
    ResponseShape {
        format: reader.choice("format", FORMATS, &[]).unwrap_or(Format::Auto),
        expect_status: expect_status(reader),
        elsewhere: elsewhere(reader),
        access_token: pointer("access_token", "/access_token"),
        expires_in: pointer("expires_in", "/expires_in"),
        expires_at: reader.parsed("expires_at", value::json_pointer),
        refresh_token: pointer("refresh_token", "/refresh_token"),
        default_lifetime: reader.positive_duration("default_lifetime").unwrap_or(DEFAULT_LIFETIME),
        error_code: pointer("error_code", "/error"),
        error_message: pointer("error_message", "/error_description"),
    }
}

/// `expect_status`: what counts as a success; empty for every 2xx.
pub(super) fn expect_status(reader: &Reader<'_>) -> Vec<u16> {
    let written = reader.integers("expect_status", &(200..=399)).unwrap_or_default();
    written.into_iter().filter_map(|status| u16::try_from(status).ok()).collect()
}

/// A token outside of the body: in one place only.
fn elsewhere(reader: &Reader<'_>) -> Option<Elsewhere> {
    let header = reader.parsed("access_token_header", inject::header_name).map(Elsewhere::Header);
    let cookie = reader.parsed("access_token_cookie", inject::cookie_name).map(Elsewhere::Cookie);
    let places = ["access_token_cookie", "access_token_header", "access_token"];
    let mut written = places.into_iter().filter(|key| reader.has(key));
    if let (Some(key), Some(other)) = (written.next(), written.next()) {
        let message = format!("is written besides {other}: the token stands in one place only");
        reader.reject(key, Reason::ConfigContradiction, message);
    }
    header.or(cookie)
}
