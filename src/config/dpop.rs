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
    if inject.header() == Some(&dpop::FIELD) {
        let message = "carries the proof; the token goes into another field (Authorization unless written)";
        reader.reject("inject", Reason::ConfigContradiction, message);
    }
    let scheme = inject.scheme().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(dpop::SCHEME) {
        let message = format!(
            "scheme = {scheme:?} for a token that is bound to a key: RFC 9449 section 7.1 wants \"DPoP\", which is the default here"
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Mistakes, Settings, load_str};

    fn load(credential: &str, route: &str) -> Result<Settings, Mistakes> {
        let text = format!(
            "[routes.api]\nupstream = \"https://api.example.com\"\n{route}\n[credentials.api]\n\
             token_endpoint = \"https://login.example.com/t\"\nclient_id = \"svc\"\n{credential}"
        );
        load_str(&text, Path::new("bearerd.toml"))
    }

    fn good(credential: &str, route: &str) -> Settings {
        load(credential, route).unwrap_or_else(|mistakes| panic!("{credential}\n{mistakes}"))
    }

    fn check(credential: &str, route: &str, code: &str, key: &str, phrase: &str) {
        let mistakes = load(credential, route).err().unwrap_or_else(|| panic!("accepted: {credential} {route}"));
        let found: Vec<_> = mistakes.iter().collect();
        let [only] = found.as_slice() else { panic!("{mistakes}") };
        assert_eq!((only.reason.code(), only.key.as_str()), (code, key), "{mistakes}");
        assert!(only.message.contains(phrase), "{mistakes}");
    }

    fn with_key(key: &str, more: &str) -> String {
        format!("[credentials.api.dpop]\nkey = '''{key}'''\n{more}")
    }

    fn key() -> String {
        rcgen::KeyPair::generate().unwrap().serialize_pem()
    }

    #[test]
    fn dpop_is_off_or_on_or_has_a_key() {
        for off in ["", "dpop = false"] {
            let settings = good(off, "");
            assert!(settings.credentials[0].oauth.dpop.is_none() && !settings.credentials[0].token.is_bound);
            assert_eq!(settings.routes[0].route.inject.scheme(), Some("Bearer"));
        }
        let settings = good("dpop = true", "");
        assert!(matches!(settings.credentials[0].oauth.dpop, Some(KeySource::Generated)));
        assert!(settings.credentials[0].token.is_bound && settings.credentials[0].oauth.legal.bearer);
        assert_eq!(settings.routes[0].route.inject.scheme(), Some("DPoP"));
        let settings = good(&with_key(&key(), "algorithm = \"ES256\""), "");
        let Some(KeySource::Given { algorithm, .. }) = settings.credentials[0].oauth.dpop else { panic!() };
        assert_eq!(algorithm, Some(Algorithm::Es256));
    }

    #[test]
    fn what_cannot_be_is_told_with_what_would_be_right() {
        check("dpop = \"yes\"", "", "F005", "credentials.api.dpop", "must be true, or a table");
        check("dpop = {}", "", "F006", "credentials.api.dpop.key", "dpop = true generates one");
        check(&with_key(&key(), "keys = 1"), "", "F003", "credentials.api.dpop.keys", "key");
        check(&with_key("no key", ""), "", "F010", "credentials.api.dpop.key", "BEGIN PRIVATE KEY");
        let shared = with_key(r#"{"kty":"oct","k":"c2VjcmV0LXNlY3JldA"}"#, "");
        check(&shared, "", "F010", "credentials.api.dpop.key", "shared secret");
        let wrong = with_key(&key(), "algorithm = \"RS256\"");
        check(&wrong, "", "F010", "credentials.api.dpop.key", "cannot sign with RS256");
        let symmetric = with_key(&key(), "algorithm = \"HS256\"");
        check(&symmetric, "", "F005", "credentials.api.dpop.algorithm", "must be");
        check("dpop = true\nheaders = { dpop = \"x\" }", "", "F007", "credentials.api.headers", "set by bearerd");
        check("dpop = true", "headers = { set = { dpop = \"x\" } }", "F007", "routes.api.headers.set.dpop", "proof");
        check("dpop = true", "inject = { header = \"DPoP\" }", "F007", "routes.api.inject", "carries the proof");
        let public = "dpop = true\ngrant_type = \"refresh_token\"\nrefresh_token = \"first\"";
        check(public, "", "F007", "credentials.api.dpop", "lost when bearerd ends");
        let warnings = good("dpop = true", "inject = { scheme = \"Bearer\" }").warnings.join("\n");
        assert!(warnings.contains("RFC 9449"), "{warnings}");
    }
}
