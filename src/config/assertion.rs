//! `credentials.*.client_assertion` and `credentials.*.assertion`: a JWT that is ready, or how to sign one.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::document::{Node, Table, Value};
use super::reader::{Keys, Reader};
use super::secret;
use crate::jose::{Algorithm, SigningKey, certificate_thumbprints};
use crate::oauth::settings::{Assertion, AssertionKey, Signer};
use crate::reason::Reason;
use crate::secret::SecretSource;

pub(super) const CLIENT_KEYS: Keys = Keys {
    name: "[credentials.NAME.client_assertion]",
    obeyed: &[
        "token",
        "type",
        "key",
        "algorithm",
        "key_id",
        "certificate",
        "issuer",
        "subject",
        "audience",
        "lifetime",
        "claims",
    ],
    later: &[],
    protective: &[],
};

pub(super) const GRANT_KEYS: Keys = Keys {
    name: "[credentials.NAME.assertion]",
    obeyed: &[
        "token",
        "key",
        "algorithm",
        "key_id",
        "certificate",
        "issuer",
        "subject",
        "audience",
        "lifetime",
        "claims",
    ],
    later: &[],
    protective: &[],
};

/// Google takes an hour, most others minutes.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Whether the value is a secret reference and no table of ours.
fn is_reference(node: &Node) -> bool {
    match &node.value {
        Value::Table(table) => secret::is_reference(table),
        _ => true,
    }
}

/// An assertion, from either form.
pub(super) struct Written {
    pub(super) assertion: Option<Assertion>,
    /// `type` of a client assertion.
    pub(super) kind: Option<String>,
    /// Whether it says whom it is by.
    pub(super) has_issuer: bool,
}

/// Reads the assertion at `key`; `None` if it is not written. `shared` signs where the table has no key.
pub(super) fn read(
    reader: &Reader<'_>,
    key: &str,
    keys: &'static Keys,
    shared: Option<&SecretSource>,
) -> Option<Written> {
    let node = reader.node(key)?;
    if is_reference(node) {
        let assertion = secret::read(reader, key).map(Assertion::Given);
        return Some(Written { assertion, kind: None, has_issuer: true });
    }
    let table = reader.table(key, keys);
    let has_type = keys.obeyed.contains(&"type");
    let kind = has_type.then(|| table.non_empty("type")).flatten();
    let has_issuer = table.has("issuer") || table.has("token");
    Some(Written { assertion: read_table(&table, shared), kind, has_issuer })
}

/// An assertion signed with the client secret and nothing said about it.
pub(super) fn by_secret(secret: SecretSource) -> Assertion {
    Assertion::Signed(Box::new(Signer::new(AssertionKey::Shared(secret))))
}

fn read_table(table: &Reader<'_>, shared: Option<&SecretSource>) -> Option<Assertion> {
    let token = secret::read(table, "token");
    let signer = signer(table, shared);
    if !table.has("token") {
        return signer.map(|signer| Assertion::Signed(Box::new(signer)));
    }
    let signing = ["key", "algorithm", "key_id", "certificate", "issuer", "subject", "audience", "lifetime", "claims"];
    for key in signing.into_iter().filter(|key| table.has(key)) {
        let message = "means nothing beside token, which is signed already";
        table.reject(key, Reason::ConfigContradiction, message);
    }
    token.map(Assertion::Given)
}

fn signer(table: &Reader<'_>, shared: Option<&SecretSource>) -> Option<Signer> {
    let names: Vec<_> = Algorithm::ALL.to_vec();
    let algorithm = table.choice("algorithm", &names, &["ES512", "none"]);
    let private = secret::read(table, "key");
    let certificate = secret::read(table, "certificate");
    if let Some(source) = &certificate
        && let Ok(pem) = source.read_now()
        && let Err(error) = certificate_thumbprints(pem.expose())
    {
        table.reject("certificate", Reason::ConfigFile, error.to_string());
    }
    let lifetime = table.positive_duration("lifetime").unwrap_or(Signer::USUAL_LIFETIME);
    if lifetime > LONGEST_LIFETIME {
        table.wrong("lifetime", "must be at most 24h; servers take minutes, few an hour");
    }
    let (issuer, subject) = (secret::non_empty(table, "issuer"), secret::non_empty(table, "subject"));
    let claims = claims(table);
    let key_id = table.non_empty("key_id");
    let audience = table.non_empty("audience");
    let key = match (&private, shared) {
        (Some(source), None) => {
            check_key(table, source, algorithm);
            AssertionKey::Private(source.clone())
        }
        (Some(_), Some(_)) => {
            let message = "means nothing with client_secret_jwt, which signs with client_secret";
            table.reject("key", Reason::ConfigContradiction, message);
            return None;
        }
        (None, Some(secret)) => {
            if algorithm.is_some_and(|algorithm| !algorithm.is_symmetric()) {
                table.wrong("algorithm", "must be \"HS256\", \"HS384\" or \"HS512\" with client_secret_jwt");
            }
            AssertionKey::Shared(secret.clone())
        }
        (None, None) => {
            if !table.has("key") && !table.has("token") {
                let message =
                    "is required: key = { file = \"key.pem\" } to sign with, or token = { file = \"…\" } that is ready";
                table.reject("key", Reason::ConfigMissing, message);
            }
            return None;
        }
    };
    Some(Signer { key, algorithm, key_id, certificate, issuer, subject, audience, lifetime, claims })
}

/// A key that cannot sign is found at start. What it is may change while we run, so this promises nothing for later.
fn check_key(table: &Reader<'_>, source: &SecretSource, algorithm: Option<Algorithm>) {
    let Ok(text) = source.read_now() else { return };
    if let Err(error) = SigningKey::parse(text.expose(), algorithm) {
        table.reject("key", Reason::ConfigFile, error.to_string());
    }
}

fn claims(table: &Reader<'_>) -> Map<String, Json> {
    let path = table.dotted("claims");
    let mut claims = Map::new();
    for entry in table.entries("claims") {
        match json(&entry.node) {
            Ok(value) => drop(claims.insert(entry.key.clone(), value)),
            Err(kind) => {
                let message = format!("{kind} is nothing that JSON has");
                let key = super::reader::dotted(&path, &entry.key);
                table.context().mistake(entry.node.place.clone(), Reason::ConfigWrongValue, key, message);
            }
        }
    }
    claims
}

/// The same as JSON; an error names the kind that JSON does not have.
fn json(node: &Node) -> Result<Json, &'static str> {
    Ok(match &node.value {
        Value::Text(text) => Json::String(text.to_string()),
        Value::Integer(number) => i64::try_from(*number).map_err(|_| node.kind())?.into(),
        Value::Float(number) => serde_json::Number::from_f64(*number).ok_or(node.kind())?.into(),
        Value::Boolean(value) => Json::Bool(*value),
        Value::Date => return Err(node.kind()),
        Value::List(items) => Json::Array(items.iter().map(json).collect::<Result<_, _>>()?),
        Value::Table(table) => Json::Object(object(table)?),
    })
}

fn object(table: &Table) -> Result<Map<String, Json>, &'static str> {
    table.entries.iter().map(|entry| Ok((entry.key.clone(), json(&entry.node)?))).collect()
}
