//! Giving tokens back: RFC 7009, or a vendor's logout.
//!
//! Owns which requests that takes and what counts as done. A failure is told and nothing more: the tokens expire anyway.

use std::sync::PoisonError;
use std::time::Duration;

use http::Uri;

use super::discovery::Means;
use super::encode::{Field, FieldValue};
use super::material::{Client, Material, Values};
use super::request::{self, Envelope};
use super::send::{self, Deadline, NoAnswer};
use super::session::{Carried, Session};
use super::settings::{Revocation, Shape};
use super::{FetchError, TokenEndpoint, refuse};
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
        let (mut accepted, mut failure) = (0, None);
        for told in to_tell(revocation, tokens) {
            match self.tell(revocation, told, (&material, &values, &session), deadline).await {
                Ok(()) => accepted += 1,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(accepted), Err)
    }

    /// The one that is written, else the one that the issuer names.
    async fn revocation_endpoint(&self, shape: &Shape, deadline: Deadline) -> Result<Uri, NoAnswer> {
        if let Some(written) = &shape.endpoint {
            return Ok(written.clone());
        }
        let Some(discovery) = &self.discovery else { return Ok(self.settings.endpoint.written().clone()) };
        let means = Means { ways: &self.ways, clock: &self.clock, deadline };
        let found = discovery.metadata(means).await?.revocation_endpoint.clone();
        found.ok_or_else(|| NoAnswer::new(Reason::TokenUnreachable, "the issuer names no revocation endpoint"))
    }

    async fn tell(
        &self,
        revocation: &Revocation,
        told: Told<'_>,
        (material, values, session): (&Material, &Values, &Session),
        deadline: Deadline,
    ) -> Result<(), FetchError> {
        let shape = &revocation.shape;
        let uri = self.revocation_endpoint(shape, deadline).await.map_err(|failure| refuse::unanswered(&failure))?;
        let uri = &uri;
        let connector = self.connector_to(uri).map_err(|failure| refuse::unanswered(&failure))?;
        let endpoint = (uri, connector.origin());
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
        let answer = send::exchange(&connector, request, deadline, &self.clock).await;
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
