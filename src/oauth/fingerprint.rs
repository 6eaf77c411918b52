//! What identifies one way to get tokens: a digest over its configuration and every byte of its secrets. Beside it one over what does
//! not identify it and may still cure a refusal.
//!
//! Owns what belongs into which. The first names entries of token stores, so it stays as it is. Each piece is preceded by its length, so
//! that no two different configurations run together to the same bytes.

use http::HeaderName;
use ring::digest;

use super::dpop::KeySource;
use super::material::{Client, Material, Proof, Value};
use super::settings::{
    Assertion, BasicEncoding, ClientAuthentication, Encoding, Endpoint, GrantProof, Settings, Shape,
};
use crate::jose::Algorithm;
use crate::secret::Secret;
use crate::tls::ClientSettings;

impl Material {
    /// A SHA-256 digest over every byte that identifies this way to get tokens. Each piece is preceded by its length,
    /// so that no two different configurations run together to the same bytes.
    pub(super) fn fingerprint(
        &self,
        settings: &Settings,
        proxy: Option<&Secret>,
        identity: Option<[u8; 32]>,
    ) -> [u8; 32] {
        let mut digest = Fingerprint(digest::Context::new(&digest::SHA256));
        digest.add("bearerd credential 1");
        digest.add(&settings.endpoint.written().to_string());
        digest.add(match settings.endpoint {
            Endpoint::Given(_) => "endpoint",
            Endpoint::Issuer { .. } => "issuer",
        });
        digest.add(settings.method.as_str());
        digest.add(encoding_name(settings.encoding));
        digest.add(settings.grant.wire().unwrap_or_default());
        self.add_client(&mut digest);
        self.add_proof(&mut digest);
        digest.add_optional(self.username.as_ref().map(Secret::expose));
        digest.add_optional(self.password.as_ref().map(Secret::expose));
        digest.add_optional(settings.scope.as_deref());
        digest.add_optional(settings.audience.as_deref());
        digest.add_count(settings.resource.len());
        settings.resource.iter().for_each(|resource| digest.add(resource));
        add_values(&mut digest, &self.params, &self.headers);
        for (step, values) in settings.login.steps.iter().zip(&self.steps) {
            digest.add(&step.name);
            add_shape(&mut digest, &step.shape);
            digest.add(&format!("{:?}", step.expect_status));
            add_values(&mut digest, &values.params, &values.headers);
        }
        if let (Some(refresh), Some(values)) = (&settings.login.refresh, &self.refresh) {
            digest.add("refresh");
            add_shape(&mut digest, &refresh.shape);
            digest.add_optional(refresh.grant_type.as_deref());
            digest.add_optional(refresh.token_field.as_deref());
            add_values(&mut digest, &values.params, &values.headers);
        }
        if let Some(key) = &self.dpop {
            digest.add("dpop");
            digest.add(key.expose());
        }
        if let Some(proxy) = proxy {
            digest.add("proxy");
            digest.add(proxy.expose());
        }
        if let Some(identity) = identity {
            digest.add("client certificate");
            digest.add_bytes(&identity);
        }
        digest.finish()
    }

    fn add_client(&self, digest: &mut Fingerprint) {
        match &self.client {
            Client::Anonymous => digest.add("anonymous"),
            Client::Public { id } => {
                digest.add("none");
                digest.add(id.expose());
            }
            Client::Basic { id, secret, encoding } => {
                digest.add(match encoding {
                    BasicEncoding::Form => "basic form",
                    BasicEncoding::Raw => "basic raw",
                });
                digest.add(id.expose());
                digest.add(secret.expose());
            }
            Client::Post { id, secret } => {
                digest.add("post");
                digest.add(id.expose());
                digest.add(secret.expose());
            }
            Client::Jwt { id, assertion, assertion_type } => {
                digest.add("jwt");
                digest.add_optional(id.as_ref().map(Secret::expose));
                assertion.add_to(digest);
                digest.add(assertion_type);
            }
        }
    }

    fn add_proof(&self, digest: &mut Fingerprint) {
        match &self.proof {
            Proof::Fields => {}
            Proof::RefreshToken(token) => {
                digest.add("refresh token");
                digest.add(token.expose());
            }
            Proof::Assertion(assertion) => {
                digest.add("assertion");
                assertion.add_to(digest);
            }
            Proof::Exchange(fields) => {
                digest.add_count(fields.len());
                for (name, value) in fields {
                    digest.add(name);
                    digest.add(value.expose());
                }
            }
        }
    }
}

/// A digest over what is written besides what is in the fingerprint, and may decide how a token request ends or what its answer means.
/// How tokens are given back is no part of it, nor where a secret is kept: that may be another place in each instance of a fleet.
pub(super) fn written(settings: &Settings, tls: &ClientSettings) -> [u8; 32] {
    // All fields by name, so that a new one is thought of.
    let Settings {
        endpoint, client, proof, adapts, response, permanent, use_refresh_token, dpop, legal, timeout, ..
    } = settings;
    let Settings { method: _, encoding: _, grant: _, username: _, password: _, scope: _, audience: _, .. } = settings;
    let Settings { resource: _, params: _, headers: _, login: _, .. } = settings;
    let ClientSettings { ca, identity: _, server_name } = tls;
    let mut digest = Fingerprint(digest::Context::new(&digest::SHA256));
    digest.add("bearerd credential as written 1");
    if let Endpoint::Issuer { identifier, uri: _, allow_plain_http } = endpoint {
        digest.add(identifier);
        digest.add(&allow_plain_http.to_string());
    }
    let by_client = match client {
        ClientAuthentication::Jwt(jwt) => Some(&jwt.assertion),
        _ => None,
    };
    let by_grant = match proof {
        GrantProof::Assertion(assertion) => Some(assertion),
        _ => None,
    };
    for assertion in [by_client, by_grant] {
        digest.add_optional(assertion.and_then(lifetime_of).as_deref());
    }
    let algorithm = match dpop {
        Some(KeySource::Given { key: _, algorithm }) => algorithm.map(Algorithm::name),
        Some(KeySource::Generated) | None => None,
    };
    digest.add_optional(algorithm);
    // These hold what is written and nothing else.
    digest.add(&format!("{adapts:?} {response:?} {permanent:?} {use_refresh_token:?} {legal:?} {timeout:?}"));
    digest.add_optional(ca.as_ref().map(|ca| ca.to_string_lossy()).as_deref());
    digest.add_optional(server_name.as_deref());
    digest.finish()
}

fn lifetime_of(assertion: &Assertion) -> Option<String> {
    match assertion {
        Assertion::Given(_) => None,
        Assertion::Signed(signer) => Some(format!("{:?}", signer.lifetime)),
    }
}

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Form => "form",
        Encoding::Json => "json",
        Encoding::Multipart => "multipart",
        Encoding::Query => "query",
    }
}

fn add_shape(digest: &mut Fingerprint, shape: &Shape) {
    digest.add_optional(shape.endpoint.as_ref().map(ToString::to_string).as_deref());
    digest.add(shape.method.as_str());
    digest.add(encoding_name(shape.encoding));
}

fn add_values(digest: &mut Fingerprint, params: &[(String, Value)], headers: &[(HeaderName, Value)]) {
    digest.add_count(params.len());
    for (name, value) in params {
        digest.add(name);
        add_value(digest, value);
    }
    digest.add_count(headers.len());
    for (name, value) in headers {
        digest.add(name.as_str());
        add_value(digest, value);
    }
}

fn add_value(digest: &mut Fingerprint, value: &Value) {
    match value {
        Value::Text(text) => digest.add_optional(Some(text.expose())),
        Value::Json(value) => digest.add(&value.to_string()),
        // It holds names and places alone.
        Value::Login(reference) => digest.add(&format!("{reference:?}")),
    }
}

/// A digest in the making.
pub(super) struct Fingerprint(digest::Context);

impl Fingerprint {
    pub(super) fn add(&mut self, piece: &str) {
        self.add_bytes(piece.as_bytes());
    }

    fn add_bytes(&mut self, piece: &[u8]) {
        self.add_count(piece.len());
        self.0.update(piece);
    }

    pub(super) fn add_optional(&mut self, piece: Option<&str>) {
        self.add_count(usize::from(piece.is_some()));
        if let Some(piece) = piece {
            self.add(piece);
        }
    }

    fn add_count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_be_bytes());
    }

    fn finish(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests;
