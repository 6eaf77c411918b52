//! Everything that one token request is made of, with each secret read as it is now.
//!
//! Owns the reading of a credential's secrets and the fingerprint over them. A secret that cannot be read ends the
//! attempt before anything is sent.

use http::HeaderName;
use ring::digest;

use super::Grant;
use super::assertion::AssertionMaterial;
use super::dpop::KeySource;
use super::session::{Carried, Missing, Session};
use super::settings::{
    BasicEncoding, ClientAuthentication, Encoding, Endpoint, GrantProof, Param, Reference, Settings, Shape,
};
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

    /// A SHA-256 digest over every byte that identifies this way to get tokens. Each piece is preceded by its length,
    /// so that no two different configurations run together to the same bytes.
    pub(super) fn fingerprint(&self, settings: &Settings, proxy: Option<&Secret>) -> [u8; 32] {
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
        self.add_count(piece.len());
        self.0.update(piece.as_bytes());
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
mod tests {
    use super::super::settings::{GrantType, Refresh, Step};
    use super::super::testing::settings;
    use super::*;

    async fn fingerprint(change: impl FnOnce(&mut Settings)) -> [u8; 32] {
        let mut settings = settings();
        change(&mut settings);
        Material::read(&settings).await.unwrap().fingerprint(&settings, None)
    }

    fn shape(params: Vec<(String, Param)>) -> Shape {
        let endpoint = Some("https://a.example/".parse().unwrap());
        Shape { endpoint, method: http::Method::POST, encoding: Encoding::Form, params, headers: Vec::new() }
    }

    fn step(name: &str, value: &str) -> Step {
        let params = vec![("p".to_owned(), Param::Text(SecretSource::inline(value)))];
        Step { name: name.to_owned(), shape: shape(params), expect_status: Vec::new() }
    }

    fn refresh(token_field: Option<&str>) -> Refresh {
        Refresh { shape: shape(Vec::new()), grant_type: None, token_field: token_field.map(str::to_owned) }
    }

    #[tokio::test]
    async fn every_change_of_configuration_or_secret_changes_the_fingerprint() {
        let inline = |text: &str| SecretSource::inline(text);
        let basic = |id: &str, secret: &str| ClientAuthentication::Basic {
            id: inline(id),
            secret: inline(secret),
            encoding: BasicEncoding::Form,
        };
        let all = [
            fingerprint(|_| {}).await,
            fingerprint(|s| s.endpoint = Endpoint::Given("http://127.0.0.1/other".parse().unwrap())).await,
            fingerprint(|s| s.method = http::Method::PUT).await,
            fingerprint(|s| s.encoding = Encoding::Json).await,
            fingerprint(|s| s.grant = GrantType::Password).await,
            fingerprint(|s| s.client = ClientAuthentication::Public { id: inline("a") }).await,
            fingerprint(|s| s.client = basic("ab", "c")).await,
            fingerprint(|s| s.client = basic("a", "bc")).await,
            fingerprint(|s| s.scope = Some(String::new())).await,
            fingerprint(|s| s.audience = Some(String::new())).await,
            fingerprint(|s| s.username = Some(inline("x"))).await,
            fingerprint(|s| s.password = Some(inline("x"))).await,
            fingerprint(|s| s.resource = vec!["x".into()]).await,
            fingerprint(|s| s.params = vec![("a".into(), Param::Text(inline("1")))]).await,
            fingerprint(|s| s.params = vec![("a".into(), Param::Json(1.into()))]).await,
            fingerprint(|s| s.headers = vec![(HeaderName::from_static("a"), Param::Text(inline("1")))]).await,
            fingerprint(|s| s.dpop = Some(KeySource::Generated)).await,
            fingerprint(|s| s.dpop = Some(KeySource::Given { key: inline("k"), algorithm: None })).await,
            fingerprint(|s| s.login.steps = vec![step("a", "x")]).await,
            fingerprint(|s| s.login.steps = vec![step("b", "x")]).await,
            fingerprint(|s| s.login.steps = vec![step("a", "y")]).await,
            fingerprint(|s| s.login.steps = vec![step("a", "x"), step("a", "x")]).await,
            fingerprint(|s| s.login.refresh = Some(refresh(Some("f")))).await,
            fingerprint(|s| s.login.refresh = Some(refresh(None))).await,
        ];
        let mut unique = all.to_vec();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), all.len());
    }

    #[tokio::test]
    async fn the_same_configuration_has_the_same_fingerprint() {
        assert_eq!(fingerprint(|_| {}).await, fingerprint(|_| {}).await);
    }
}
