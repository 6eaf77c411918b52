//! `[credentials.*.inject]` and `[routes.*.inject]`: where the token goes.

use http::HeaderName;
use http::header;

use super::reader::{Keys, Reader};
use super::value;
use crate::proxy::settings::Inject;
use crate::reason::Reason;

const SCHEME: &str = "Bearer";

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.inject] and [routes.NAME.inject]",
    obeyed: &["header", "scheme", "cookie", "query"],
    later: &[],
    protective: &[],
};

/// The general default: of tokens that are bound to a key (RFC 9449 §7.1), and of others.
pub(super) fn default(is_bound: bool) -> Inject {
    let scheme = if is_bound { crate::dpop::SCHEME } else { SCHEME };
    Inject::Header { name: header::AUTHORIZATION, scheme: scheme.to_owned() }
}

/// What is written here, the rest from `base`. A place that is written replaces the one of `base`.
pub(super) fn read(reader: &Reader<'_>, base: &Inject) -> Inject {
    let name = reader.parsed("header", injectable);
    let scheme = reader.parsed("scheme", scheme);
    let cookie = reader.parsed("cookie", cookie_name);
    let query = reader.parsed("query", query_name);
    let mut places = ["query", "cookie", "header"].into_iter().filter(|key| reader.has(key));
    if let (Some(key), Some(other)) = (places.next(), places.next()) {
        let message = format!("is written besides {other}: the token goes to one place");
        reader.reject(key, Reason::ConfigContradiction, message);
    }
    let place = [cookie.map(Inject::Cookie), query.map(Inject::Query)].into_iter().flatten().next();
    let place = place.or_else(|| Some(base.clone()).filter(|base| base.header().is_none() && name.is_none()));
    if let Some(place) = place {
        if reader.has("scheme") {
            let message = "means something with a header only: a cookie and a query carry the bare token";
            reader.reject("scheme", Reason::ConfigContradiction, message);
        }
        return place;
    }
    Inject::Header {
        name: name.or_else(|| base.header().cloned()).unwrap_or(header::AUTHORIZATION),
        scheme: scheme.unwrap_or_else(|| base.scheme().unwrap_or(SCHEME).to_owned()),
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

/// The name of a cookie (RFC 6265 §4.1.1).
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    match value::is_token(text) {
        true => Ok(text.to_owned()),
        false => Err("must be the name of a cookie, such as \"JSESSIONID\"".to_owned()),
    }
}

/// The name of a parameter, of characters that stand for themselves in any query.
fn query_name(text: &str) -> Result<String, String> {
    let is_legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
    match !text.is_empty() && text.bytes().all(is_legal) {
        true => Ok(text.to_owned()),
        false => Err("must be the name of a parameter, such as \"access_token\"".to_owned()),
    }
}
