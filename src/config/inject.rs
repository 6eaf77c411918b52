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

/// The general default.
pub(super) fn default() -> Inject {
    Inject { header: header::AUTHORIZATION, scheme: "Bearer".to_owned() }
}

/// What is written here, the rest from `base`.
pub(super) fn read(reader: &Reader<'_>, base: &Inject) -> Inject {
    Inject {
        header: reader.parsed("header", injectable).unwrap_or_else(|| base.header.clone()),
        scheme: reader.parsed("scheme", scheme).unwrap_or_else(|| base.scheme.clone()),
    }
}

/// Fields that frame the message or name its receiver cannot carry a token.
const FORBIDDEN: &[HeaderName] = &[
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::VIA,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
];

fn injectable(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text)?;
    if FORBIDDEN.contains(&name) || matches!(name.as_str(), "keep-alive" | "proxy-connection") {
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
