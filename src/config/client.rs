//! How the client proves who it is: `client_id`, `client_secret`, `client_assertion`, `client_authentication`, `basic_encoding`.

use super::assertion::{self, CLIENT_KEYS, Written};
use super::document::Value;
use super::reader::Reader;
use super::secret;
use crate::oauth::settings::{BasicEncoding, ClientAuthentication, JwtAuthentication};
use crate::reason::Reason;
use crate::secret::SecretSource;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Basic,
    Post,
    SecretJwt,
    PrivateKeyJwt,
    Certificate,
    None,
}

pub(super) const METHODS: &[(&str, Method)] = &[
    ("client_secret_basic", Method::Basic),
    ("client_secret_post", Method::Post),
    ("client_secret_jwt", Method::SecretJwt),
    ("private_key_jwt", Method::PrivateKeyJwt),
    ("tls_client_auth", Method::Certificate),
    ("self_signed_tls_client_auth", Method::Certificate),
    ("none", Method::None),
];

pub(super) const BASIC_ENCODINGS: &[(&str, BasicEncoding)] =
    &[("form", BasicEncoding::Form), ("raw", BasicEncoding::Raw)];

/// `client_assertion_type` of RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What is written, else inferred: by assertion if there is one, Basic with id and secret, the id alone without a secret, nothing
/// without an id.
pub(super) fn read(reader: &Reader<'_>) -> Option<ClientAuthentication> {
    let id = secret::non_empty(reader, "client_id");
    let client_secret = secret::read(reader, "client_secret");
    let written = reader.choice("client_authentication", METHODS, &[]);
    let encoding = basic_encoding(reader, written);
    let inferred = match (reader.has("client_assertion"), reader.has("client_secret")) {
        (true, _) => Method::PrivateKeyJwt,
        (false, true) => Method::Basic,
        (false, false) => Method::None,
    };
    let method = match reader.has("client_authentication") {
        true => written?,
        false => inferred,
    };
    let shared = client_secret.as_ref().filter(|_| method == Method::SecretJwt);
    let assertion = assertion::read(reader, "client_assertion", &CLIENT_KEYS, shared);
    check(reader, method, assertion.as_ref());
    match method {
        Method::Basic => Some(ClientAuthentication::Basic { id: id?, secret: client_secret?, encoding }),
        Method::Post => Some(ClientAuthentication::Post { id: id?, secret: client_secret? }),
        Method::None => match reader.has("client_id") {
            true => Some(ClientAuthentication::Public { id: id? }),
            false => Some(ClientAuthentication::Anonymous),
        },
        Method::Certificate => Some(ClientAuthentication::Certificate { id: id? }),
        Method::PrivateKeyJwt | Method::SecretJwt => by_jwt(id, client_secret, method, assertion),
    }
}

fn by_jwt(
    id: Option<SecretSource>,
    client_secret: Option<SecretSource>,
    method: Method,
    written: Option<Written>,
) -> Option<ClientAuthentication> {
    let kind = written.as_ref().and_then(|written| written.kind.clone());
    let assertion = match written {
        Some(written) => written.assertion?,
        None if method == Method::SecretJwt => assertion::by_secret(client_secret?),
        None => return None,
    };
    let assertion_type = kind.unwrap_or_else(|| JWT_BEARER.to_owned());
    Some(ClientAuthentication::Jwt(Box::new(JwtAuthentication { id, assertion, assertion_type })))
}

fn check(reader: &Reader<'_>, method: Method, assertion: Option<&Written>) {
    let (has_id, has_secret) = (reader.has("client_id"), reader.has("client_secret"));
    let contradiction = |key: &str, message: &str| reader.reject(key, Reason::ConfigContradiction, message);
    if assertion.is_some() && !matches!(method, Method::PrivateKeyJwt | Method::SecretJwt) {
        let message = "is sent with client_authentication = \"private_key_jwt\" or \"client_secret_jwt\" alone";
        contradiction("client_assertion", message);
    }
    match method {
        Method::None if has_secret => contradiction(
            "client_authentication",
            "\"none\" sends no client_secret: remove client_secret, or write \"client_secret_basic\" or \
             \"client_secret_post\"",
        ),
        Method::None => {}
        Method::Basic | Method::Post | Method::SecretJwt => {
            if !has_id {
                reader.missing("client_id", "is required beside a client_secret", "ID");
            }
            if !has_secret {
                secret::missing(reader, "client_secret", "is required by client_authentication");
            }
        }
        Method::PrivateKeyJwt => {
            let Some(assertion) = assertion else {
                let how = "is required by private_key_jwt: client_assertion = { key = { file = \"key.pem\" } }, or \
                           client_assertion = { file = \"…\" } that is ready";
                return reader.reject("client_assertion", Reason::ConfigMissing, how);
            };
            if !has_id && !assertion.has_issuer {
                reader.missing("client_id", "is required beside a client_assertion", "ID");
            }
            if has_secret {
                contradiction(
                    "client_secret",
                    "is not sent beside a client_assertion: remove it, or write client_authentication = \"client_secret_jwt\"",
                );
            }
        }
        Method::Certificate => {
            if !has_id {
                reader.missing("client_id", "is required by client_authentication", "ID");
            }
            if has_secret {
                contradiction("client_secret", "is not sent by this client_authentication: remove it");
            }
            if !has_certificate(reader) {
                let how =
                    "needs the client's certificate: tls = { certificate = \"client.pem\", key = \"client.key\" }";
                reader.reject("client_authentication", Reason::ConfigMissing, how);
            }
        }
    }
}

fn has_certificate(reader: &Reader<'_>) -> bool {
    match reader.node("tls").map(|node| &node.value) {
        Some(Value::Table(table)) => table.entry("certificate").is_some(),
        _ => false,
    }
}

fn basic_encoding(reader: &Reader<'_>, written: Option<Method>) -> BasicEncoding {
    let encoding = reader.choice("basic_encoding", BASIC_ENCODINGS, &[]);
    let is_basic = written.map_or(reader.has("client_secret"), |method| method == Method::Basic);
    if encoding.is_some() && !is_basic {
        let message = "means something with client_secret_basic only";
        reader.reject("basic_encoding", Reason::ConfigContradiction, message);
    }
    encoding.unwrap_or(BasicEncoding::Form)
}
