//! How the client proves who it is: `client_id`, `client_secret`, `client_authentication`, `basic_encoding`.

use super::reader::Reader;
use super::secret;
use crate::oauth::settings::{BasicEncoding, ClientAuthentication};
use crate::reason::Reason;
use crate::secret::SecretSource;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Basic,
    Post,
    None,
}

const METHODS: &[(&str, Method)] =
    &[("client_secret_basic", Method::Basic), ("client_secret_post", Method::Post), ("none", Method::None)];

const LATER: &[&str] = &["client_secret_jwt", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"];

/// What is written, else inferred: Basic with id and secret, the id alone without a secret, nothing without an id.
pub(super) fn read(reader: &Reader<'_>) -> Option<ClientAuthentication> {
    let id = secret::non_empty(reader, "client_id");
    let secret = secret::read(reader, "client_secret");
    let written = reader.choice("client_authentication", METHODS, LATER);
    let encoding = basic_encoding(reader, written);
    let (has_id, has_secret) = (reader.has("client_id"), reader.has("client_secret"));
    if reader.has("client_authentication") && written.is_none() {
        return None;
    }
    let method = written.unwrap_or(if has_secret { Method::Basic } else { Method::None });
    check(reader, method, has_id, has_secret);
    make(method, id, secret, encoding, has_id)
}

fn check(reader: &Reader<'_>, method: Method, has_id: bool, has_secret: bool) {
    match method {
        Method::None if has_secret => reader.reject(
            "client_authentication",
            Reason::ConfigContradiction,
            "\"none\" sends no client_secret: remove client_secret, or write \"client_secret_basic\" or \
             \"client_secret_post\"",
        ),
        Method::None => {}
        Method::Basic | Method::Post => {
            if !has_id {
                reader.missing("client_id", "is required beside a client_secret", "ID");
            }
            if !has_secret {
                secret::missing(reader, "client_secret", "is required by client_authentication");
            }
        }
    }
}

fn make(
    method: Method,
    id: Option<SecretSource>,
    secret: Option<SecretSource>,
    encoding: BasicEncoding,
    has_id: bool,
) -> Option<ClientAuthentication> {
    Some(match method {
        Method::Basic => ClientAuthentication::Basic { id: id?, secret: secret?, encoding },
        Method::Post => ClientAuthentication::Post { id: id?, secret: secret? },
        Method::None if has_id => ClientAuthentication::Public { id: id? },
        Method::None => ClientAuthentication::Anonymous,
    })
}

fn basic_encoding(reader: &Reader<'_>, written: Option<Method>) -> BasicEncoding {
    let encodings = &[("form", BasicEncoding::Form), ("raw", BasicEncoding::Raw)];
    let encoding = reader.choice("basic_encoding", encodings, &[]);
    let is_basic = written.map_or(reader.has("client_secret"), |method| method == Method::Basic);
    if encoding.is_some() && !is_basic {
        let message = "means something with client_secret_basic only";
        reader.reject("basic_encoding", Reason::ConfigContradiction, message);
    }
    encoding.unwrap_or(BasicEncoding::Form)
}
