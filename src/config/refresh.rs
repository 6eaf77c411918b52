//! `[credentials.*.refresh]`, as far as it describes a request: whatever is left out is as in the token request.

use http::{HeaderName, Method};

use super::reader::Reader;
use super::shape::{self, Known};
use crate::oauth::settings::{Encoding, Param, Refresh, Shape, Whence};

/// The keys that describe a request.
const OF_REQUEST: &[&str] =
    &["endpoint", "allow_plain_http", "method", "encoding", "grant_type", "token_field", "params", "headers"];

/// What of the token request goes on in the refresh request.
pub(super) struct TokenRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) encoding: Encoding,
    pub(super) params: &'a [(String, Param)],
    pub(super) headers: &'a [(HeaderName, Param)],
}

/// `None` if nothing is written that makes it another request than RFC 6749 §6 has.
pub(super) fn read(reader: &Reader<'_>, like: &TokenRequest<'_>, steps: &[String]) -> Option<Refresh> {
    let known = Known { steps, refresh_token: true, access_token: false };
    let endpoint = shape::endpoint(reader, "endpoint");
    let encoding = shape::encoding(reader).unwrap_or(like.encoding);
    let method = shape::method(reader, encoding).unwrap_or_else(|| like.method.clone());
    let grant_type = reader.non_empty("grant_type");
    let field = reader.non_empty("token_field");
    let params = shape::params(reader, known, &|_| None);
    let params = if reader.has("params") { params } else { like.params.to_vec() };
    let headers = shape::headers(reader, known, false);
    // What is written for the refresh alone goes before client authentication.
    let headers = if reader.has("headers") { headers } else { like.headers.to_vec() };
    if !OF_REQUEST.iter().any(|key| reader.has(key)) {
        return None;
    }
    let carried = shape::carries_token(&params, &headers, &[Whence::RefreshToken]);
    let token_field = field.or_else(|| Some("refresh_token".to_owned()).filter(|_| !carried));
    let grant_type = grant_type.unwrap_or_else(|| "refresh_token".to_owned());
    Some(Refresh {
        shape: Shape { endpoint, method, encoding, params, headers },
        grant_type: Some(grant_type).filter(|grant| grant != "none"),
        token_field,
    })
}
