//! `grant_type`, and what each grant is made with: what is written, else what the other keys mean.

use super::assertion::{self, GRANT_KEYS};
use super::reader::Reader;
use super::secret;
use crate::oauth::settings::{Exchange, GrantProof, GrantType};
use crate::reason::Reason;

pub(super) const KNOWN: &[(&str, GrantType)] = &[
    ("client_credentials", GrantType::ClientCredentials),
    ("password", GrantType::Password),
    ("refresh_token", GrantType::RefreshToken),
    ("urn:ietf:params:oauth:grant-type:jwt-bearer", GrantType::JwtBearer),
    ("jwt-bearer", GrantType::JwtBearer),
    ("urn:ietf:params:oauth:grant-type:token-exchange", GrantType::TokenExchange),
    ("token-exchange", GrantType::TokenExchange),
    ("none", GrantType::None),
];

/// The keys that belong to one grant, and to which.
const OWN: &[(&str, GrantType)] = &[
    ("refresh_token", GrantType::RefreshToken),
    ("assertion", GrantType::JwtBearer),
    ("subject_token", GrantType::TokenExchange),
];

const BESIDE_SUBJECT: &[&str] = &["subject_token_type", "actor_token", "actor_token_type", "requested_token_type"];

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The short names of RFC 8693 §3.
pub(super) const TOKEN_TYPES: &[(&str, &str)] = &[
    ("access_token", "urn:ietf:params:oauth:token-type:access_token"),
    ("refresh_token", "urn:ietf:params:oauth:token-type:refresh_token"),
    ("id_token", "urn:ietf:params:oauth:token-type:id_token"),
    ("saml1", "urn:ietf:params:oauth:token-type:saml1"),
    ("saml2", "urn:ietf:params:oauth:token-type:saml2"),
    ("jwt", JWT),
];

/// The grant; `None` after a mistake.
pub(super) fn read(reader: &Reader<'_>) -> Option<GrantType> {
    let grant = match reader.has("grant_type") {
        true => reader.choice("grant_type", KNOWN, &[])?,
        false => inferred(reader),
    };
    if grant == GrantType::Password {
        let why = "is required by the grant \"password\"";
        if !reader.has("username") {
            reader.missing("username", why, "NAME");
        }
        if !reader.has("password") {
            secret::missing(reader, "password", why);
        }
    }
    for (key, owner) in OWN.iter().filter(|(key, owner)| reader.has(key) && *owner != grant) {
        let name = owner.wire().unwrap_or_default();
        let message = format!("belongs to grant_type = \"{name}\"");
        reader.reject(key, Reason::ConfigContradiction, message);
    }
    for key in BESIDE_SUBJECT.iter().filter(|key| reader.has(key) && grant != GrantType::TokenExchange) {
        reader.reject(key, Reason::ConfigContradiction, "belongs to the grant token-exchange, beside subject_token");
    }
    Some(grant)
}

fn inferred(reader: &Reader<'_>) -> GrantType {
    let own = OWN.iter().find(|(key, _)| reader.has(key)).map(|(_, grant)| *grant);
    own.unwrap_or(if reader.has("password") { GrantType::Password } else { GrantType::ClientCredentials })
}

/// What the grant is made with; `None` after a mistake.
pub(super) fn proof(reader: &Reader<'_>, grant: GrantType) -> Option<GrantProof> {
    match grant {
        GrantType::ClientCredentials | GrantType::Password | GrantType::None => Some(GrantProof::Fields),
        GrantType::RefreshToken => {
            if !reader.has("refresh_token") {
                secret::missing(reader, "refresh_token", "is required by the grant \"refresh_token\"");
            }
            secret::non_empty(reader, "refresh_token").map(GrantProof::RefreshToken)
        }
        GrantType::JwtBearer => {
            let Some(written) = assertion::read(reader, "assertion", &GRANT_KEYS, None) else {
                let how = "is required by the grant jwt-bearer: assertion = { key = { file = \"key.pem\" }, issuer = \"…\" }, \
                           or assertion = { file = \"…\" } that is ready";
                reader.reject("assertion", Reason::ConfigMissing, how);
                return None;
            };
            if !written.has_issuer && !reader.has("client_id") {
                let how = "needs an issuer (iss): issuer = \"…\" in it, or client_id beside it";
                reader.reject("assertion", Reason::ConfigMissing, how);
            }
            written.assertion.map(GrantProof::Assertion)
        }
        GrantType::TokenExchange => exchange(reader).map(|exchange| GrantProof::Exchange(Box::new(exchange))),
    }
}

fn exchange(reader: &Reader<'_>) -> Option<Exchange> {
    if !reader.has("subject_token") {
        secret::missing(reader, "subject_token", "is required by the grant token-exchange");
    }
    let subject = secret::non_empty(reader, "subject_token");
    let subject_type = token_type(reader, "subject_token_type");
    let actor = secret::non_empty(reader, "actor_token");
    let actor_type = token_type(reader, "actor_token_type");
    if actor_type.is_some() && actor.is_none() {
        reader.reject("actor_token_type", Reason::ConfigContradiction, "means nothing without actor_token");
    }
    Some(Exchange {
        subject: subject?,
        subject_type: subject_type.unwrap_or_else(|| JWT.to_owned()),
        actor: actor.map(|actor| (actor, actor_type.unwrap_or_else(|| JWT.to_owned()))),
        requested_type: token_type(reader, "requested_token_type"),
    })
}

fn token_type(reader: &Reader<'_>, key: &str) -> Option<String> {
    reader.parsed(key, |text| match TOKEN_TYPES.iter().find(|(short, _)| *short == text) {
        Some((_, urn)) => Ok((*urn).to_owned()),
        None if text.contains(':') => Ok(text.to_owned()),
        None => {
            Err("must be a URN or URL, or one of access_token, refresh_token, id_token, jwt, saml1, saml2".to_owned())
        }
    })
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
