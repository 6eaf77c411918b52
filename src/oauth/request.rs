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
mod tests {
    use http_body_util::BodyExt;

    use super::super::settings::{
        Assertion, AssertionKey, ClientAuthentication, Endpoint, Exchange, GrantProof, JwtAuthentication, Param, Signer,
    };
    use super::super::testing::settings;
    use super::*;
    use crate::secret::SecretSource;

    fn inline(text: &str) -> SecretSource {
        SecretSource::inline(text)
    }

    async fn request_of(grant: Grant, change: impl FnOnce(&mut Settings)) -> Result<Request<Full<Bytes>>, Unsendable> {
        let mut settings = settings();
        change(&mut settings);
        let material = Material::read(&settings).await.unwrap();
        let uri = settings.endpoint.written();
        let endpoint = (uri, &Origin::of(uri).unwrap());
        build(&settings, endpoint, &material, &Session::default(), &grant, SystemTime::UNIX_EPOCH)
    }

    async fn body_of(grant: Grant, change: impl FnOnce(&mut Settings)) -> String {
        let body = request_of(grant, change).await.unwrap().into_body();
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    async fn check(wanted: &str, change: impl FnOnce(&mut Settings)) {
        assert_eq!(body_of(Grant::Configured, change).await, wanted);
    }

    fn basic(id: &str, secret: &str, encoding: BasicEncoding) -> ClientAuthentication {
        ClientAuthentication::Basic { id: inline(id), secret: inline(secret), encoding }
    }

    #[tokio::test]
    async fn each_grant_sends_exactly_its_fields() {
        check("grant_type=client_credentials", |_| {}).await;
        check("", |s| s.grant = GrantType::None).await;
        check("grant_type=client_credentials&scope=", |s| s.scope = Some(String::new())).await;
        check("grant_type=password&username=u&password=p&scope=a+b&audience=x&resource=r1&resource=r2&k=v", |s| {
            s.grant = GrantType::Password;
            s.username = Some(inline("u"));
            s.password = Some(inline("p"));
            s.scope = Some("a b".to_owned());
            s.audience = Some("x".to_owned());
            s.resource = vec!["r1".to_owned(), "r2".to_owned()];
            s.params = vec![("k".to_owned(), Param::Text(inline("v")))];
        })
        .await;
        check("username=u&password=p&company_name=Acme+Corp", |s| {
            s.grant = GrantType::None;
            s.username = Some(inline("u"));
            s.password = Some(inline("p"));
            s.params = vec![("company_name".to_owned(), Param::Text(inline("Acme Corp")))];
        })
        .await;
    }

    #[tokio::test]
    async fn client_authentication_is_in_the_body_or_in_the_header_but_never_in_both() {
        check("grant_type=client_credentials&client_id=i", |s| {
            s.client = ClientAuthentication::Public { id: inline("i") };
        })
        .await;
        check("grant_type=client_credentials&client_id=i&client_secret=s%C3%A4%26", |s| {
            s.client = ClientAuthentication::Post { id: inline("i"), secret: inline("sä&") };
        })
        .await;
        let with_basic = |encoding| move |s: &mut Settings| s.client = basic("i:d", "s ä", encoding);
        check("grant_type=client_credentials", with_basic(BasicEncoding::Form)).await;
        let authorization = async |encoding| {
            let request = request_of(Grant::Configured, with_basic(encoding)).await.unwrap();
            let value = request.headers().get(header::AUTHORIZATION).unwrap().clone();
            assert!(value.is_sensitive());
            value.to_str().unwrap().to_owned()
        };
        let wanted = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(authorization(BasicEncoding::Form).await, wanted("i%3Ad:s+%C3%A4"));
        assert_eq!(authorization(BasicEncoding::Raw).await, wanted("i:d:s ä"));
    }

    #[tokio::test]
    async fn an_assertion_stands_beside_the_id_and_says_what_kind_it_is() {
        let by_jwt = |id: Option<&str>| {
            let id = id.map(inline);
            let assertion = Assertion::Given(inline("a.b.c"));
            let assertion_type = "urn:x".to_owned();
            move |s: &mut Settings| {
                s.client = ClientAuthentication::Jwt(Box::new(JwtAuthentication { id, assertion, assertion_type }));
            }
        };
        let rest = "client_assertion_type=urn%3Ax&client_assertion=a.b.c";
        check(&format!("grant_type=client_credentials&client_id=i&{rest}"), by_jwt(Some("i"))).await;
        check(&format!("grant_type=client_credentials&{rest}"), by_jwt(None)).await;
        let refreshed = body_of(Grant::Refresh(Secret::new("r")), by_jwt(Some("i"))).await;
        assert_eq!(refreshed, format!("grant_type=refresh_token&refresh_token=r&client_id=i&{rest}"));
    }

    #[tokio::test]
    async fn the_other_grants_send_what_their_rfcs_say() {
        check("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c", |s| {
            s.grant = GrantType::JwtBearer;
            s.proof = GrantProof::Assertion(Assertion::Given(inline("a.b.c")));
        })
        .await;
        let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=s\
            &subject_token_type=urn%3As&actor_token=a&actor_token_type=urn%3Aa&requested_token_type=urn%3Ar&audience=x";
        check(exchange, |s| {
            s.grant = GrantType::TokenExchange;
            s.audience = Some("x".to_owned());
            s.proof = GrantProof::Exchange(Box::new(Exchange {
                subject: inline("s"),
                subject_type: "urn:s".to_owned(),
                actor: Some((inline("a"), "urn:a".to_owned())),
                requested_type: Some("urn:r".to_owned()),
            }));
        })
        .await;
        check("grant_type=client_credentials&client_id=i", |s| {
            s.client = ClientAuthentication::Certificate { id: inline("i") };
        })
        .await;
    }

    #[tokio::test]
    async fn a_key_that_cannot_sign_is_an_error_that_names_it_and_sends_nothing() {
        let request = request_of(Grant::Configured, |s| {
            s.grant = GrantType::JwtBearer;
            let key = AssertionKey::Private(inline("hunter2"));
            let signer = Signer {
                key,
                algorithm: None,
                key_id: None,
                certificate: None,
                issuer: None,
                subject: None,
                audience: None,
                lifetime: std::time::Duration::from_secs(60),
                claims: serde_json::Map::new(),
            };
            s.proof = GrantProof::Assertion(Assertion::Signed(Box::new(signer)));
        });
        let error = request.await.unwrap_err().to_string();
        assert!(error.contains("what assertion is signed with is neither a private key") && !error.contains("hunter2"));
    }

    #[tokio::test]
    async fn a_refresh_sends_neither_the_password_nor_the_scope() {
        let body = body_of(Grant::Refresh(Secret::new("r&t")), |s| {
            s.grant = GrantType::Password;
            s.client = ClientAuthentication::Post { id: inline("i"), secret: inline("s") };
            s.username = Some(inline("u"));
            s.password = Some(inline("p"));
            s.scope = Some("a".to_owned());
            s.audience = Some("aud".to_owned());
            s.params = vec![("grant_type".to_owned(), Param::Text(inline("x")))];
        });
        let wanted = "grant_type=refresh_token&refresh_token=r%26t&client_id=i&client_secret=s&audience=aud";
        assert_eq!(body.await, wanted);
        // Where it replaces nothing, the scope is what is asked for.
        let body = body_of(Grant::Refresh(Secret::new("r")), |s| {
            s.grant = GrantType::RefreshToken;
            s.scope = Some("a".to_owned());
        });
        assert_eq!(body.await, "grant_type=refresh_token&refresh_token=r&scope=a");
    }

    #[tokio::test]
    async fn a_param_never_repeats_a_field_that_has_a_key_of_its_own() {
        check("grant_type=client_credentials&scope=a&x=1", |s| {
            s.scope = Some("a".to_owned());
            s.params = ["scope", "grant_type", "x", "x"].map(|n| (n.to_owned(), Param::Text(inline("1")))).into();
        })
        .await;
    }

    #[tokio::test]
    async fn a_query_is_appended_to_the_one_that_the_endpoint_has() {
        let check = async |endpoint: &str, wanted: &str| {
            let request = request_of(Grant::Configured, |s| {
                s.endpoint = Endpoint::Given(endpoint.parse().unwrap());
                s.encoding = Encoding::Query;
            });
            let request = request.await.unwrap();
            assert_eq!(request.uri().to_string(), wanted, "{endpoint}");
            assert_eq!(request.headers().get(header::CONTENT_LENGTH).unwrap(), "0");
        };
        check("http://a.localhost/t", "/t?grant_type=client_credentials").await;
        check("http://a.localhost/t?v=1", "/t?v=1&grant_type=client_credentials").await;
        check("http://a.localhost/t?", "/t?grant_type=client_credentials").await;
        check("http://a.localhost", "/?grant_type=client_credentials").await;
    }

    #[tokio::test]
    async fn the_endpoints_own_query_stays_with_every_encoding() {
        let request = request_of(Grant::Configured, |s| {
            s.endpoint = Endpoint::Given("http://a.localhost/t?v=1".parse().unwrap())
        });
        assert_eq!(request.await.unwrap().uri().to_string(), "/t?v=1");
    }

    #[tokio::test]
    async fn headers_say_what_is_wanted_and_configured_ones_win() {
        let request = request_of(Grant::Configured, |s| {
            s.endpoint = Endpoint::Given("http://a.localhost:81/t".parse().unwrap());
            s.headers = vec![
                (HeaderName::from_static("x-api-key"), Param::Text(inline("kéy"))),
                (header::ACCEPT, Param::Text(inline("application/vnd.x+json"))),
                (header::CONTENT_LENGTH, Param::Text(inline("1"))),
            ];
        });
        let headers = request.await.unwrap().headers().clone();
        assert_eq!(headers["host"], "a.localhost:81");
        assert_eq!(headers["accept"], "application/vnd.x+json");
        assert_eq!(headers["accept-encoding"], "identity");
        assert_eq!(headers["user-agent"], USER_AGENT);
        assert_eq!(headers["x-api-key"], "kéy".as_bytes());
        assert!(headers["x-api-key"].is_sensitive());
        assert_eq!(headers["content-length"], "29");
    }

    #[tokio::test]
    async fn a_secret_with_a_line_break_in_a_header_is_an_error_that_does_not_show_it() {
        let request = request_of(Grant::Configured, |s| {
            s.headers = vec![(HeaderName::from_static("x-api-key"), Param::Text(inline("hunter2\nX: y")))];
        });
        let error = format!("{:?} {0}", request.await.unwrap_err());
        assert!(error.contains("x-api-key") && !error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_query_longer_than_any_uri_is_an_error() {
        let request = request_of(Grant::Configured, |s| {
            s.encoding = Encoding::Query;
            s.scope = Some("x".repeat(70_000));
        });
        assert!(matches!(request.await, Err(Unsendable::Query)));
    }
}
