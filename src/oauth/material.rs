//! Everything that one token request is made of, with each secret read as it is now.
//!
//! Owns the reading of a credential's secrets. A secret that cannot be read ends the attempt before anything is sent.

use http::HeaderName;

use super::Grant;
use super::assertion::AssertionMaterial;
use super::dpop::KeySource;
use super::session::{Carried, Missing, Session};
use super::settings::{BasicEncoding, ClientAuthentication, GrantProof, Param, Reference, Settings};
use crate::secret::{Secret, SecretError, SecretSource};

/// The values of one token request. Lives as long as the request.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) client: Client,
    pub(super) proof: Proof,
    pub(super) username: Option<Secret>,
    pub(super) password: Option<Secret>,
    pub(super) params: Vec<(String, Value)>,
    pub(super) headers: Vec<(HeaderName, Value)>,
    /// The steps before the token request, in their order.
    pub(super) steps: Vec<Values>,
    /// The refresh request, if it has a shape of its own.
    pub(super) refresh: Option<Values>,
    /// What was declared secret: no text may show it, however short it is.
    pub(super) guarded: Vec<Secret>,
    /// The key that proofs are signed with, as far as it identifies this way to get tokens.
    pub(super) dpop: Option<Secret>,
    /// Values that stand in the configuration itself where a secret may stand, and may or may not be one (a tenant,
    /// an API key).
    pub(super) doubtful: Vec<Secret>,
}

/// Who the client is.
#[derive(Debug)]
pub(super) enum Client {
    Anonymous,
    Public { id: Secret },
    Basic { id: Secret, secret: Secret, encoding: BasicEncoding },
    Post { id: Secret, secret: Secret },
    Jwt { id: Option<Secret>, assertion: AssertionMaterial, assertion_type: String },
}

impl Client {
    /// Sends the secret in the body and not in a header.
    pub(super) fn post(&mut self) {
        if let Self::Basic { id, secret, .. } = self {
            *self = Self::Post { id: id.clone(), secret: secret.clone() };
        }
    }

    /// `client_id`, if there is one.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Public { id } | Self::Basic { id, .. } | Self::Post { id, .. } => Some(id.expose()),
            Self::Jwt { id, .. } => id.as_ref().map(Secret::expose),
        }
    }
}

/// What the grant is made with.
#[derive(Debug)]
pub(super) enum Proof {
    Fields,
    /// The first refresh token. It is sent as `Grant::Refresh` alone.
    RefreshToken(Secret),
    Assertion(AssertionMaterial),
    /// RFC 8693, by the names of the fields.
    Exchange(Vec<(&'static str, Secret)>),
}

/// A value of `params` or `headers`.
#[derive(Debug)]
pub(super) enum Value {
    Text(Secret),
    Json(serde_json::Value),
    /// Known only once the login has come so far.
    Login(Reference),
}

/// The fields and header fields of one request.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) params: Vec<(String, Value)>,
    pub(super) headers: Vec<(HeaderName, Value)>,
}

impl Material {
    /// Whether a request of this has a JWT in it that we sign, with times by our wall clock.
    pub(super) fn signs(&self) -> bool {
        let signed = |assertion: &AssertionMaterial| matches!(assertion, AssertionMaterial::Signed(_));
        let by_client = matches!(&self.client, Client::Jwt { assertion, .. } if signed(assertion));
        by_client || matches!(&self.proof, Proof::Assertion(assertion) if signed(assertion))
    }

    /// Reads every secret.
    pub(super) async fn read(settings: &Settings) -> Result<Self, SecretError> {
        let mut material = Self {
            client: Client::Anonymous,
            proof: Proof::Fields,
            username: None,
            password: None,
            params: Vec::new(),
            headers: Vec::new(),
            steps: Vec::new(),
            refresh: None,
            guarded: Vec::new(),
            doubtful: Vec::new(),
            dpop: None,
        };
        material.client = material.read_client(&settings.client).await?;
        material.proof = material.read_proof(&settings.proof).await?;
        if let Some(source) = &settings.username {
            let name = source.read().await?;
            // A user name in the configuration itself is no secret, and messages that show it are the better ones.
            if !matches!(source, SecretSource::Inline(_)) {
                material.guarded.push(name.clone());
            }
            material.username = Some(name);
        }
        if let Some(source) = &settings.password {
            let password = source.read().await?;
            material.guarded.push(password.clone());
            material.password = Some(password);
        }
        Values { params: material.params, headers: material.headers } =
            material.read_values(&settings.params, &settings.headers).await?;
        for step in &settings.login.steps {
            let values = material.read_values(&step.shape.params, &step.shape.headers).await?;
            material.steps.push(values);
        }
        if let Some(refresh) = &settings.login.refresh {
            material.refresh = Some(material.read_values(&refresh.shape.params, &refresh.shape.headers).await?);
        }
        material.dpop = match &settings.dpop {
            Some(KeySource::Given { key, .. }) => Some(key.read().await?),
            Some(KeySource::Generated) => Some(Secret::new("")),
            None => None,
        };
        Ok(material)
    }

    /// Puts in what the token request refers to: what the login has brought, and the refresh token in use.
    pub(super) fn complete(&mut self, session: &Session, grant: &Grant) -> Result<(), Missing> {
        let carried = match grant {
            Grant::Refresh(token) => Carried { refresh: Some(token), access: None },
            Grant::Configured => Carried::default(),
        };
        let put = match (&mut self.refresh, grant) {
            (Some(refresh), Grant::Refresh(_)) => session.fill(refresh, carried)?,
            _ => {
                let (params, headers) = (std::mem::take(&mut self.params), std::mem::take(&mut self.headers));
                let mut values = Values { params, headers };
                let put = session.fill(&mut values, carried)?;
                Values { params: self.params, headers: self.headers } = values;
                put
            }
        };
        self.guarded.extend(put);
        Ok(())
    }

    /// Whether a refresh request refers to nothing that an earlier login has not brought.
    pub(super) fn may_refresh_with(&self, session: &Session) -> bool {
        match &self.refresh {
            Some(refresh) => session.has_all(&refresh.params, &refresh.headers),
            None => session.has_all(&self.params, &self.headers),
        }
    }

    async fn read_client(&mut self, client: &ClientAuthentication) -> Result<Client, SecretError> {
        Ok(match client {
            ClientAuthentication::Anonymous => Client::Anonymous,
            ClientAuthentication::Public { id } | ClientAuthentication::Certificate { id } => {
                Client::Public { id: id.read().await? }
            }
            ClientAuthentication::Basic { id, secret, encoding } => {
                let (id, secret) = (id.read().await?, secret.read().await?);
                self.guarded.push(secret.clone());
                Client::Basic { id, secret, encoding: *encoding }
            }
            ClientAuthentication::Post { id, secret } => {
                let (id, secret) = (id.read().await?, secret.read().await?);
                self.guarded.push(secret.clone());
                Client::Post { id, secret }
            }
            ClientAuthentication::Jwt(jwt) => {
                let id = match &jwt.id {
                    Some(id) => Some(id.read().await?),
                    None => None,
                };
                let assertion = AssertionMaterial::read(&jwt.assertion, &mut self.guarded).await?;
                Client::Jwt { id, assertion, assertion_type: jwt.assertion_type.clone() }
            }
        })
    }

    async fn read_proof(&mut self, proof: &GrantProof) -> Result<Proof, SecretError> {
        let exchange = match proof {
            GrantProof::Fields => return Ok(Proof::Fields),
            GrantProof::RefreshToken(source) => {
                let token = source.read().await?;
                self.guarded.push(token.clone());
                return Ok(Proof::RefreshToken(token));
            }
            GrantProof::Assertion(assertion) => {
                return Ok(Proof::Assertion(AssertionMaterial::read(assertion, &mut self.guarded).await?));
            }
            GrantProof::Exchange(exchange) => exchange,
        };
        let subject = exchange.subject.read().await?;
        self.guarded.push(subject.clone());
        let mut fields =
            vec![("subject_token", subject), ("subject_token_type", Secret::new(exchange.subject_type.as_str()))];
        if let Some((actor, actor_type)) = &exchange.actor {
            let actor = actor.read().await?;
            self.guarded.push(actor.clone());
            fields.extend([("actor_token", actor), ("actor_token_type", Secret::new(actor_type.as_str()))]);
        }
        if let Some(requested) = &exchange.requested_type {
            fields.push(("requested_token_type", Secret::new(requested.as_str())));
        }
        Ok(Proof::Exchange(fields))
    }

    /// Reads the secrets of one request's fields and header fields.
    pub(super) async fn read_values(
        &mut self,
        params: &[(String, Param)],
        headers: &[(HeaderName, Param)],
    ) -> Result<Values, SecretError> {
        let mut values = Values::default();
        for (name, param) in params {
            values.params.push((name.clone(), self.read_param(param).await?));
        }
        for (name, param) in headers {
            values.headers.push((name.clone(), self.read_param(param).await?));
        }
        Ok(values)
    }

    async fn read_param(&mut self, param: &Param) -> Result<Value, SecretError> {
        Ok(match param {
            Param::Text(source) => Value::Text(self.read_either(source).await?),
            Param::Json(value) => Value::Json(value.clone()),
            Param::Login(reference) => Value::Login(reference.clone()),
        })
    }

    async fn read_either(&mut self, source: &SecretSource) -> Result<Secret, SecretError> {
        let value = source.read().await?;
        let list = if matches!(source, SecretSource::Inline(_)) { &mut self.doubtful } else { &mut self.guarded };
        list.push(value.clone());
        Ok(value)
    }
}
