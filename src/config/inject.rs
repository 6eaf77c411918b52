//! `[credentials.*.inject]` and `[routes.*.inject]`: where the token goes.

use http::HeaderName;
use http::header;

use super::reader::{Keys, Reader};
use super::value;
use crate::proxy::settings::Inject;

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.inject] and [routes.NAME.inject]",
    obeyed: &["header", "scheme"],
    later: &[],
    protective: &[],
};

/// The general default: of tokens that are bound to a key (RFC 9449 §7.1), and of others.
pub(super) fn default(is_bound: bool) -> Inject {
    let scheme = if is_bound { crate::dpop::SCHEME } else { "Bearer" };
    Inject { header: header::AUTHORIZATION, scheme: scheme.to_owned() }
}

/// What is written here, the rest from `base`.
pub(super) fn read(reader: &Reader<'_>, base: &Inject) -> Inject {
    Inject {
        header: reader.parsed("header", injectable).unwrap_or_else(|| base.header.clone()),
        scheme: reader.parsed("scheme", scheme).unwrap_or_else(|| base.scheme.clone()),
    }
}

/// Fields that frame the message, belong to one connection, or name sender and receiver.
static OF_CONNECTION: [HeaderName; 15] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::VIA,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
];

/// Whether a field is nobody's to set but that of whoever holds the connection.
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    OF_CONNECTION.contains(name)
}

/// A field that may carry a secret.
pub(super) fn injectable(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text)?;
    if is_of_connection(&name) || name == header::CONTENT_TYPE {
        return Err(format!("cannot be {name}, which belongs to the connection or the message"));
    }
    Ok(name)
}

fn scheme(text: &str) -> Result<String, String> {
    if text.is_empty() || value::is_token(text) {
        return Ok(text.to_owned());
    }
    Err("must be one word, such as \"Bearer\", or \"\" for the bare token".to_owned())
}

/// The name of a header field.
pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| "must be the name of a header field".to_owned())
}
