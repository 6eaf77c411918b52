//! `credentials.*.dpop`: whether tokens are bound to a key, and to which (RFC 9449).

use super::document::Value;
use super::reader::{Keys, Reader};
use super::secret;
use crate::dpop;
use crate::jose::Algorithm;
use crate::oauth;
use crate::oauth::dpop::{KeySource, parse_key};
use crate::oauth::settings::GrantType;
use crate::proxy::settings::Inject;
use crate::reason::Reason;
use crate::secret::SecretSource;

pub(super) const KEYS: Keys =
    Keys { name: "[credentials.NAME.dpop]", obeyed: &["key", "algorithm"], later: &[], protective: &[] };

/// What is written: `true` for a key of the process's own, or a table with one.
pub(super) fn read(reader: &Reader<'_>) -> Option<KeySource> {
    let node = reader.node("dpop")?;
    match &node.value {
        Value::Boolean(false) => return None,
        Value::Boolean(true) => {
            // Read all the same, so that a table and `true` have one set of keys.
            check_headers(reader);
            return Some(KeySource::Generated);
        }
        Value::Table(_) => check_headers(reader),
        _ => {
            let message =
                format!("must be true, or a table with a key: {{ key = {{ file = \"…\" }} }}, not {}", node.kind());
            reader.wrong("dpop", message);
            return None;
        }
    }
    let table = reader.table("dpop", &KEYS);
    let algorithm = algorithm(&table);
    if !table.has("key") {
        secret::missing(&table, "key", "is required in a table; dpop = true generates one instead");
        return None;
    }
    let key = secret::read(&table, "key")?;
    check_key(&table, &key, algorithm);
    Some(KeySource::Given { key, algorithm })
}

/// What a credential must not be together with: a public client's refresh token is bound to the key (RFC 9449 §5), so that where it is
/// all there is, the key must outlive the process.
pub(super) fn check_grant(reader: &Reader<'_>, oauth: &oauth::Settings) {
    let is_lost = matches!(oauth.dpop, Some(KeySource::Generated)) && oauth.client.is_public();
    if is_lost && oauth.grant == GrantType::RefreshToken {
        let message = "would bind the refresh token to a key that is lost when bearerd ends, as there is no client secret: \
             write dpop = { key = { file = \"…\" } } with the key that it was issued to";
        reader.reject("dpop", Reason::ConfigContradiction, message);
    }
}

/// What a route that sends such tokens must not do.
pub(super) fn check_route(reader: &Reader<'_>, inject: &Inject) {
    if inject.header == dpop::FIELD {
        let message = "carries the proof; the token goes into another field (Authorization unless written)";
        reader.reject("inject", Reason::ConfigContradiction, message);
    }
    if !inject.scheme.eq_ignore_ascii_case(dpop::SCHEME) {
        let message = format!(
            "scheme = {:?} for a token that is bound to a key: RFC 9449 section 7.1 wants \"DPoP\", which is the default here",
            inject.scheme
        );
        reader.warn("inject", Reason::ConfigContradiction, message);
    }
}

fn algorithm(table: &Reader<'_>) -> Option<Algorithm> {
    let known: Vec<_> = Algorithm::ALL.iter().copied().filter(|(_, algorithm)| !algorithm.is_symmetric()).collect();
    table.choice("algorithm", &known, &[])
}

fn check_key(table: &Reader<'_>, key: &SecretSource, algorithm: Option<Algorithm>) {
    // What cannot be read has been told of.
    let Ok(text) = key.read_now() else { return };
    if let Err(why) = parse_key(text.expose(), algorithm) {
        table.reject("key", Reason::ConfigSecret, why);
    }
}

fn check_headers(reader: &Reader<'_>) {
    if reader.entries("headers").iter().any(|entry| entry.key.eq_ignore_ascii_case(dpop::FIELD.as_str())) {
        reader.reject("headers", Reason::ConfigContradiction, "DPoP is set by bearerd itself, as dpop says");
    }
}
