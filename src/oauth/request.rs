//! Which fields and headers a token request has.
//!
//! Owns the grants (RFC 6749 §4, §6) and client authentication (§2.3). A field is never sent twice: the key that is
//! made for it wins over `params`. Values that cannot stand in a header are an error, never a panic.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;
use zeroize::Zeroizing;

use super::Grant;
use super::assertion::Usual;
use super::encode::{Encoded, Field, FieldValue, encode};
use super::material::{Client, Material, Proof, Value, Values};
use super::session::Session;
use super::settings::{BasicEncoding, Encoding, Format, GrantType, Refresh, Settings};
use crate::jose::KeyError;
use crate::secret;
use crate::secret::Secret;
use crate::upstream::Origin;

/// What we call ourselves.
pub(super) const USER_AGENT: &str = concat!("bearerd/", env!("CARGO_PKG_VERSION"));

/// A request that cannot be written down as HTTP. Never shows the value.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    /// A configured header's value has a byte that no header may carry.
    #[error("the value of the header {0} holds a character that no header can carry (a line break?)")]
    Header(HeaderName),
    /// Base64 is always a legal header value; kept for completeness of the error path.
    #[error("client id and secret cannot be sent in a header")]
    Authorization,
    /// What should sign an assertion is no key, or no certificate.
    #[error("what {0} is signed with {1}")]
    Assertion(&'static str, #[source] KeyError),
    /// The system has no randomness to sign with.
    #[error("the DPoP proof of the token request cannot be signed")]
    Proof,
    /// The query is longer than any URI.
    #[error("the query of the token request is too long or not a legal URI; use another encoding")]
    Query,
    /// Any other part.
    #[error("the token request cannot be built")]
    Other(#[source] http::Error),
}

/// A request but for its fields.
pub(super) struct Envelope<'a> {
    pub(super) method: &'a Method,
    pub(super) encoding: Encoding,
    /// Where it goes, and the origin of that.
    pub(super) endpoint: (&'a Uri, &'a Origin),
    pub(super) client: &'a Client,
    pub(super) headers: &'a [(HeaderName, Value)],
    /// Those that the login has brought.
    pub(super) cookies: Vec<(&'a str, &'a Secret)>,
    pub(super) accept: &'static str,
}

/// The whole request, ready to be sent to `endpoint`, which is at `origin`.
pub(super) fn build(
    settings: &Settings,
    endpoint: (&Uri, &Origin),
    material: &Material,
    session: &Session,
    grant: &Grant,
    now: SystemTime,
) -> Result<Request<Full<Bytes>>, Unsendable> {
    let refresh = refresh_of(settings, material, grant);
    let (method, encoding) = match refresh {
        Some((refresh, _)) => (&refresh.shape.method, refresh.shape.encoding),
        None => (&settings.method, settings.encoding),
    };
    let envelope = Envelope {
        method,
        encoding,
        endpoint,
        client: &material.client,
        headers: refresh.map_or(&material.headers, |(_, values)| &values.headers),
        cookies: session.jar.pairs_for(endpoint),
        accept: accepted(settings.response.format),
    };
    let proofs = Proofs::make(endpoint.0, material, grant, now)?;
    assemble(&envelope, &fields(settings, material, grant, &proofs))
}

/// A request of these fields.
pub(super) fn assemble(envelope: &Envelope<'_>, fields: &[Field<'_>]) -> Result<Request<Full<Bytes>>, Unsendable> {
    let encoded = encode(envelope.encoding, fields);
    let target = target(envelope.endpoint.0, encoded.query.as_ref().map(|query| query.as_str()))?;
    let headers = headers(envelope, &encoded)?;
    let mut request = Request::new(Full::new(Bytes::from_owner(encoded.body)));
    *request.method_mut() = envelope.method.clone();
    *request.uri_mut() = target;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The refresh request, where it has a shape of its own.
fn refresh_of<'a>(settings: &'a Settings, material: &'a Material, grant: &Grant) -> Option<(&'a Refresh, &'a Values)> {
    let refresh = settings.login.refresh.as_ref().filter(|_| matches!(grant, Grant::Refresh(_)))?;
    Some((refresh, material.refresh.as_ref()?))
}

fn accepted(format: Format) -> &'static str {
    match format {
        Format::Auto | Format::Json => "application/json",
        Format::Form => "application/x-www-form-urlencoded",
        Format::Xml => "application/xml, text/xml",
    }
}

/// What client authentication sends in `Authorization`.
pub(super) fn basic_pair(id: &str, secret: &str, encoding: BasicEncoding) -> Zeroizing<String> {
    let pair = match encoding {
        // RFC 6749 §2.3.1: both are form-encoded first, so that a colon in the id cannot move the boundary.
        BasicEncoding::Form => Zeroizing::new([&*form_encoded(id), ":", &*form_encoded(secret)].concat()),
        BasicEncoding::Raw => Zeroizing::new([id, ":", secret].concat()),
    };
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

pub(super) fn form_encoded(text: &str) -> Zeroizing<String> {
    // In one piece: what grows leaves copies behind.
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    encoded.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    encoded
}

/// The assertion by which a client proves itself, where it does so by one. `audience` is whom it is for.
pub(super) fn client_assertion(client: &Client, audience: &str, now: SystemTime) -> Result<Option<Secret>, Unsendable> {
    let Client::Jwt { id, assertion, .. } = client else { return Ok(None) };
    let id = id.as_ref().map(Secret::expose);
    let token = assertion.token(Usual { audience, issuer: id, subject: id, now });
    token.map(Some).map_err(|error| Unsendable::Assertion("client_assertion", error))
}

/// The assertion that the grant is made with, where it is made with one.
fn grant_assertion(
    material: &Material,
    grant: &Grant,
    audience: &str,
    now: SystemTime,
) -> Result<Option<Secret>, Unsendable> {
    let (Proof::Assertion(assertion), Grant::Configured) = (&material.proof, grant) else { return Ok(None) };
    let token = assertion.token(Usual { audience, issuer: material.client.id(), subject: None, now });
    token.map(Some).map_err(|error| Unsendable::Assertion("assertion", error))
}

/// The assertions of one request.
struct Proofs {
    client: Option<Secret>,
    grant: Option<Secret>,
}

impl Proofs {
    fn make(endpoint: &Uri, material: &Material, grant: &Grant, now: SystemTime) -> Result<Self, Unsendable> {
        let audience = endpoint.to_string();
        Ok(Self {
            client: client_assertion(&material.client, &audience, now)?,
            grant: grant_assertion(material, grant, &audience, now)?,
        })
    }
}

/// What client authentication sends beside the other fields.
pub(super) fn client_fields<'a>(client: &'a Client, proof: Option<&'a Secret>, add: &mut impl FnMut(&'a str, &'a str)) {
    match client {
        Client::Public { id } => add("client_id", id.expose()),
        Client::Post { id, secret } => {
            add("client_id", id.expose());
            add("client_secret", secret.expose());
        }
        Client::Jwt { id, assertion_type, .. } => {
            if let Some(id) = id {
                add("client_id", id.expose());
            }
            if let Some(assertion) = proof {
                add("client_assertion_type", assertion_type);
                add("client_assertion", assertion.expose());
            }
        }
        // Nothing of it in the body: RFC 6749 §2.3 forbids two methods in one request.
        Client::Basic { .. } | Client::Anonymous => {}
    }
}

/// Fields as they are written. What the login should have brought has been put in before.
pub(super) fn plain_fields(params: &[(String, Value)]) -> Vec<Field<'_>> {
    let mut fields = Vec::with_capacity(params.len());
    for (name, value) in params {
        let value = match value {
            Value::Text(text) => FieldValue::Text(text.expose()),
            Value::Json(value) => FieldValue::Json(value),
            Value::Login(_) => continue,
        };
        fields.push(Field { name, value });
    }
    fields
}

fn fields<'a>(settings: &'a Settings, material: &'a Material, grant: &'a Grant, proofs: &'a Proofs) -> Vec<Field<'a>> {
    let refresh = refresh_of(settings, material, grant);
    let mut fields: Vec<Field<'a>> = Vec::new();
    let mut add = |name: &'a str, value: &'a str| fields.push(Field { name, value: FieldValue::Text(value) });
    match grant {
        Grant::Configured => {
            if let Some(grant) = settings.grant.wire() {
                add("grant_type", grant);
            }
            if let Some(assertion) = &proofs.grant {
                add("assertion", assertion.expose());
            }
            if let Proof::Exchange(exchanged) = &material.proof {
                exchanged.iter().for_each(|(name, value)| add(name, value.expose()));
            }
        }
        Grant::Refresh(token) => {
            let (grant_type, field) = match refresh {
                None => (Some("refresh_token"), Some("refresh_token")),
                Some((own, _)) => (own.grant_type.as_deref(), own.token_field.as_deref()),
            };
            for (name, value) in [(Some("grant_type"), grant_type), (field, Some(token.expose()))] {
                if let (Some(name), Some(value)) = (name, value) {
                    add(name, value);
                }
            }
        }
    }
    client_fields(&material.client, proofs.client.as_ref(), &mut add);
    // A refresh replaces the login: the password stays here, and the scope stays what was granted (RFC 6749 §6).
    if matches!(grant, Grant::Configured) {
        for (name, value) in [("username", &material.username), ("password", &material.password)] {
            if let Some(value) = value {
                add(name, value.expose());
            }
        }
    }
    if let Some(scope) = &settings.scope
        && (matches!(grant, Grant::Configured) || settings.grant == GrantType::RefreshToken)
    {
        add("scope", scope);
    }
    if let Some(audience) = &settings.audience {
        add("audience", audience);
    }
    for resource in &settings.resource {
        add("resource", resource);
    }
    for field in plain_fields(refresh.map_or(&material.params, |(_, values)| &values.params)) {
        if !fields.iter().any(|other| other.name == field.name) {
            fields.push(field);
        }
    }
    fields
}

fn headers(envelope: &Envelope<'_>, encoded: &Encoded) -> Result<HeaderMap, Unsendable> {
    let mut headers = HeaderMap::new();
    let plain = |name: HeaderName, text: &str| HeaderValue::from_str(text).map_err(|_| Unsendable::Header(name));
    headers.insert(header::HOST, plain(header::HOST, envelope.endpoint.1.authority().as_str())?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::ACCEPT, HeaderValue::from_static(envelope.accept));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(content_type) = &encoded.content_type {
        headers.insert(header::CONTENT_TYPE, plain(header::CONTENT_TYPE, content_type)?);
    }
    // RFC 9110 §8.6: a method that usually has content says so even if there is none.
    if !encoded.body.is_empty() || !matches!(*envelope.method, Method::GET | Method::HEAD | Method::DELETE) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(encoded.body.len()));
    }
    if let Client::Basic { id, secret, encoding } = envelope.client {
        let pair = basic_pair(id.expose(), secret.expose(), *encoding);
        let value = secret::header_value(&["Basic ", &pair]).map_err(|_| Unsendable::Authorization)?;
        headers.insert(header::AUTHORIZATION, value);
    }
    for (name, value) in envelope.headers {
        let text = match value {
            Value::Text(text) => Zeroizing::new(text.expose().to_owned()),
            Value::Json(value) => Zeroizing::new(value.to_string()),
            Value::Login(_) => continue,
        };
        if is_framing(name) {
            continue;
        }
        headers.insert(name, sensitive(name, &text)?);
    }
    if !envelope.cookies.is_empty() {
        headers.insert(header::COOKIE, cookies(headers.get(header::COOKIE), &envelope.cookies)?);
    }
    Ok(headers)
}

fn sensitive(name: &HeaderName, text: &str) -> Result<HeaderValue, Unsendable> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Unsendable::Header(name.clone()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The cookies of the login behind those that the configuration writes; a name that it writes is its own.
fn cookies(written: Option<&HeaderValue>, jar: &[(&str, &Secret)]) -> Result<HeaderValue, Unsendable> {
    let written = written.and_then(|value| value.to_str().ok()).unwrap_or_default().trim().trim_end_matches(';');
    let is_written = |name: &str| {
        written.split(';').filter_map(|pair| pair.split_once('=')).any(|(written, _)| written.trim() == name)
    };
    let mut line = Zeroizing::new(written.to_owned());
    for (name, value) in jar.iter().filter(|(name, _)| !is_written(name)) {
        if !line.is_empty() {
            line.push_str("; ");
        }
        line.extend([name, "=", value.expose()]);
    }
    sensitive(&header::COOKIE, &line)
}

/// Fields that say where a message ends or what becomes of the connection: ours to write.
fn is_framing(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::CONNECTION
            | header::TE
            | header::UPGRADE
            | header::EXPECT
    )
}

/// Path and query of the endpoint, with `query` appended to the one that it may have.
fn target(endpoint: &Uri, query: Option<&str>) -> Result<Uri, Unsendable> {
    let own = endpoint.path_and_query().map_or("/", PathAndQuery::as_str);
    let own = if own.is_empty() { "/" } else { own };
    let text = match query {
        None | Some("") => Zeroizing::new(own.to_owned()),
        Some(query) if own.ends_with(['?', '&']) => Zeroizing::new(format!("{own}{query}")),
        Some(query) if own.contains('?') => Zeroizing::new(format!("{own}&{query}")),
        Some(query) => Zeroizing::new(format!("{own}?{query}")),
    };
    let target: PathAndQuery = text.parse().map_err(|_| Unsendable::Query)?;
    Uri::builder().path_and_query(target).build().map_err(Unsendable::Other)
}

#[cfg(test)]
mod tests;
