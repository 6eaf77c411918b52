//! Giving tokens back: RFC 7009, or a vendor's logout.
//!
//! Owns which requests that takes and what counts as done. A failure is told and nothing more: the tokens expire anyway.

use std::sync::PoisonError;
use std::time::Duration;

use super::discovery::takes_body_alone;
use super::encode::{Field, FieldValue};
use super::material::{Client, Material, Values};
use super::request::{self, Envelope};
use super::send::{self, Deadline, NoAnswer};
use super::session::{Carried, Session};
use super::settings::{Revocation, Shape};
use super::{FetchError, Located, TokenEndpoint, refuse};
use crate::reason::Reason;
use crate::secret::Secret;

/// How long all requests of one revocation may take together.
const LIMIT: Duration = Duration::from_secs(3);

/// The tokens of a credential at its end.
#[derive(Clone, Debug)]
pub struct LastTokens {
    /// The token that was sent upstream, even if it has expired.
    pub access: Secret,
    /// The one that would have renewed it.
    pub refresh: Option<Secret>,
}

impl TokenEndpoint {
    /// Whether tokens are to be given back when bearerd ends.
    pub fn revokes_on_shutdown(&self) -> bool {
        self.settings.login.revocation.as_ref().is_some_and(|revocation| revocation.on_shutdown)
    }

    /// Gives the tokens back, within a few seconds. Returns the number of requests that were accepted.
    ///
    /// # Errors
    /// [`FetchError`] of the first request that was not; the others were sent all the same.
    pub async fn revoke(&self, tokens: &LastTokens) -> Result<usize, FetchError> {
        let Some(revocation) = &self.settings.login.revocation else { return Ok(0) };
        let deadline = Deadline::after(LIMIT.min(self.settings.timeout));
        let mut material = Material::read(&self.settings).await.map_err(|error| refuse::unreadable(&error))?;
        let shape = &revocation.shape;
        let mut values =
            material.read_values(&shape.params, &shape.headers).await.map_err(|error| refuse::unreadable(&error))?;
        let session = Session::clone(&self.session.lock().unwrap_or_else(PoisonError::into_inner));
        let carried = Carried { access: Some(&tokens.access), refresh: tokens.refresh.as_ref() };
        let put = session.fill(&mut values, carried).map_err(|missing| refuse::unsendable(&missing))?;
        material.guarded.extend(put);
        material.guarded.extend([Some(&tokens.access), tokens.refresh.as_ref()].into_iter().flatten().cloned());
        let located = self.revocation_place(shape, deadline).await.map_err(|failure| refuse::unanswered(&failure))?;
        located.adapt(&self.settings, &mut material);
        let (mut accepted, mut failure) = (0, None);
        for told in to_tell(revocation, tokens) {
            match self.tell(revocation, told, (&located, &material, &values, &session), deadline).await {
                Ok(()) => accepted += 1,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(accepted), Err)
    }

    /// Where that is: what is written, else what the issuer names.
    async fn revocation_place(&self, shape: &Shape, deadline: Deadline) -> Result<Located, NoAnswer> {
        let metadata = self.metadata(shape.endpoint.as_ref(), deadline).await?;
        let uri = match (&shape.endpoint, &metadata) {
            (Some(written), _) => written,
            (None, None) => self.settings.endpoint.written(),
            (None, Some(metadata)) => {
                let alias = metadata.mtls_revocation_endpoint.as_ref().filter(|_| self.has_certificate());
                let found = alias.or(metadata.revocation_endpoint.as_ref());
                let none = || NoAnswer::new(Reason::TokenUnreachable, "the issuer names no revocation endpoint");
                found.ok_or_else(none)?
            }
        };
        let methods = metadata.as_ref().and_then(|metadata| metadata.revocation_methods.as_ref());
        Ok(Located {
            uri: uri.clone(),
            connector: self.connector_to(uri)?,
            takes_body_alone: takes_body_alone(methods),
        })
    }

    async fn tell(
        &self,
        revocation: &Revocation,
        told: Told<'_>,
        (located, material, values, session): (&Located, &Material, &Values, &Session),
        deadline: Deadline,
    ) -> Result<(), FetchError> {
        let shape = &revocation.shape;
        let endpoint = (&located.uri, located.connector.origin());
        let envelope = Envelope {
            method: &shape.method,
            encoding: shape.encoding,
            endpoint,
            client: &material.client,
            headers: &values.headers,
            cookies: session.jar.pairs_for(endpoint),
            accept: "application/json, */*;q=0.8",
        };
        let audience = self.settings.endpoint.written().to_string();
        let proof = request::client_assertion(&material.client, &audience, self.clock.wall());
        let proof = proof.map_err(|error| refuse::unsendable(&error))?;
        let request = request::assemble(&envelope, &fields(told, (&material.client, proof.as_ref()), values));
        let request = request.map_err(|error| refuse::unsendable(&error))?;
        let answer = send::exchange(&located.connector, request, deadline, &self.clock).await;
        let answer = answer.map_err(|failure| refuse::unanswered(&failure))?;
        // A logout may well end in a redirect to a page.
        if answer.status.is_success() || answer.status.is_redirection() {
            return Ok(());
        }
        Err(refuse::refused(&answer, &self.settings, &self.mask(material, session, tokens_of(told))))
    }
}

/// One token of a revocation request.
#[derive(Clone, Copy)]
struct Told<'a> {
    field: Option<(&'a str, &'a Secret)>,
    /// RFC 7009 §2.1.
    hint: Option<&'static str>,
}

fn tokens_of(told: Told<'_>) -> Option<&Secret> {
    told.field.map(|(_, token)| token)
}

/// The requests: for each token one, the refresh token first, since it could still bring others; or a single one.
fn to_tell<'a>(revocation: &'a Revocation, tokens: &'a LastTokens) -> Vec<Told<'a>> {
    let Some(field) = revocation.token_field.as_deref() else { return vec![Told { field: None, hint: None }] };
    let told = |token, hint| Told { field: Some((field, token)), hint: Some(hint).filter(|_| field == "token") };
    let refresh = tokens.refresh.iter().map(|token| told(token, "refresh_token"));
    refresh.chain([told(&tokens.access, "access_token")]).collect()
}

fn fields<'a>(told: Told<'a>, (client, proof): (&'a Client, Option<&'a Secret>), values: &'a Values) -> Vec<Field<'a>> {
    let mut fields = Vec::new();
    let mut add = |name: &'a str, value: &'a str| fields.push(Field { name, value: FieldValue::Text(value) });
    if let Some((name, token)) = told.field {
        add(name, token.expose());
    }
    if let Some(hint) = told.hint {
        add("token_type_hint", hint);
    }
    request::client_fields(client, proof, &mut add);
    for field in request::plain_fields(&values.params) {
        if !fields.iter().any(|other: &Field<'_>| other.name == field.name) {
            fields.push(field);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Grant;
    use super::super::settings::{BasicEncoding, ClientAuthentication, Encoding, Endpoint, Login, Refresh, Settings};
    use super::super::testing::{Scripted, endpoint, http};
    use super::*;
    use crate::secret::SecretSource;

    fn shape(endpoint: Option<String>) -> Shape {
        let endpoint = endpoint.map(|url| url.parse().unwrap());
        Shape { endpoint, method: http::Method::POST, encoding: Encoding::Form, params: vec![], headers: vec![] }
    }

    /// A server that says everything in every answer, and gets a login, a refresh at an endpoint of its own, and a revocation.
    /// Returns the requests of these.
    async fn whole_life(methods: serde_json::Value, change: impl FnOnce(&mut Settings)) -> Vec<String> {
        let server = Scripted::serve_at(|port| {
            let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
            let mut document = json!({ "issuer": at(""), "token_endpoint": at("/token"), "revocation_endpoint": at("/revoke"),
                "mtls_endpoint_aliases": { "token_endpoint": at("/mtls/token"), "revocation_endpoint": at("/mtls/revoke") },
                "access_token": "tok12345", "refresh_token": "ref12345", "expires_in": 300 });
            document.as_object_mut().unwrap().extend(methods.as_object().unwrap().clone());
            http("200 OK", "Content-Type: application/json\r\n", document.to_string())
        })
        .await;
        let issuer = format!("http://127.0.0.1:{}", server.port);
        let mut settings = super::super::testing::settings();
        settings.client = ClientAuthentication::Basic {
            id: SecretSource::inline("svc"),
            secret: SecretSource::inline("client-canary"),
            encoding: BasicEncoding::Form,
        };
        settings.adapts = true;
        settings.login = Login {
            steps: Vec::new(),
            refresh: Some(Refresh {
                shape: shape(Some(format!("{issuer}/refresh"))),
                grant_type: Some("refresh_token".to_owned()),
                token_field: Some("refresh_token".to_owned()),
            }),
            revocation: Some(Revocation {
                shape: shape(None),
                on_shutdown: true,
                token_field: Some("token".to_owned()),
            }),
        };
        settings.endpoint =
            Endpoint::Issuer { uri: issuer.parse().unwrap(), identifier: issuer, allow_plain_http: false };
        change(&mut settings);
        let endpoint = endpoint(settings);
        let issued = endpoint.fetch(Grant::Configured).await.unwrap();
        let issued = endpoint.fetch(Grant::Refresh(issued.refresh_token.unwrap())).await.unwrap();
        let tokens = LastTokens { access: issued.access_token, refresh: issued.refresh_token };
        assert_eq!(endpoint.revoke(&tokens).await.unwrap(), 2);
        let requests = server.requests();
        requests.into_iter().filter(|request| request.starts_with("POST")).collect()
    }

    fn target(request: &str) -> &str {
        request.split(' ').nth(1).unwrap()
    }

    fn is_in_body(request: &str) -> bool {
        let in_header = request.to_ascii_lowercase().contains("\r\nauthorization: basic");
        assert_ne!(in_header, request.contains("client_secret=client-canary"), "{request}");
        !in_header
    }

    #[tokio::test]
    async fn the_secret_goes_where_the_metadata_take_it_in_every_request() {
        let check = async |methods, wanted: [bool; 4]| {
            let requests = whole_life(methods, |_| {}).await;
            let targets: Vec<_> = requests.iter().map(|request| target(request)).collect();
            assert_eq!(targets, ["/token", "/refresh", "/revoke", "/revoke"]);
            let found: Vec<_> = requests.iter().map(|request| is_in_body(request)).collect();
            assert_eq!(found, wanted);
        };
        let (tokens, ends) = ("token_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported");
        check(json!({}), [false; 4]).await;
        check(json!({ tokens: ["client_secret_post"] }), [true; 4]).await;
        check(json!({ tokens: ["client_secret_post", "client_secret_basic"] }), [false; 4]).await;
        // What is said of revocation alone (RFC 8414 §2) holds there.
        check(json!({ ends: ["client_secret_post"] }), [false, false, true, true]).await;
        check(json!({ tokens: ["client_secret_post"], ends: ["client_secret_basic"] }), [true, true, false, false])
            .await;
    }

    #[tokio::test]
    async fn who_has_a_certificate_revokes_where_it_is_asked_for() {
        let by_certificate = |settings: &mut Settings| {
            settings.client = ClientAuthentication::Certificate { id: SecretSource::inline("svc") };
            settings.login.refresh = None;
        };
        let requests = whole_life(json!({}), by_certificate).await;
        let targets: Vec<_> = requests.iter().map(|request| target(request)).collect();
        assert_eq!(targets, ["/mtls/token", "/mtls/token", "/mtls/revoke", "/mtls/revoke"]);
    }

    #[tokio::test]
    async fn a_revocation_endpoint_that_is_written_learns_how_from_the_issuer_too() {
        let written = |settings: &mut Settings| {
            let issuer = settings.endpoint.written().to_string();
            settings.login.revocation.as_mut().unwrap().shape = shape(Some(format!("{issuer}logout")));
        };
        let requests =
            whole_life(json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] }), written).await;
        assert!(requests.iter().all(|request| is_in_body(request)), "{requests:?}");
        assert_eq!(target(&requests[3]), "/logout");
    }
}
