//! `[credentials.*]`: one configured way to get tokens.

use std::time::Duration;

use http::{Method, Uri};

use super::mistake::Place;
use super::reader::{Keys, Reader};
use super::shape::{self, Known};
use super::{
    budget, client, dpop, grant, inject, permanent, refresh, rejection, response, revocation, schedule, secret, steps,
    tls, value, ways, words,
};
use crate::oauth::settings::{ClientAuthentication, Encoding, Endpoint, GrantType, Legal, Login};
use crate::proxy::settings::{Inject, Rejection};
use crate::reason::Reason;
use crate::tls::Identity;
use crate::upstream::{Origin, Scheme};
use crate::{oauth, token};

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME]",
    obeyed: &[
        "token_endpoint",
        "issuer",
        "allow_plain_http",
        "grant_type",
        "refresh_token",
        "assertion",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "requested_token_type",
        "client_id",
        "client_secret",
        "client_authentication",
        "client_assertion",
        "basic_encoding",
        "username",
        "password",
        "scope",
        "audience",
        "resource",
        "params",
        "headers",
        "method",
        "encoding",
        "use_refresh_token",
        "dpop",
        "required",
        "lockout",
        "response",
        "permanent",
        "steps",
        "refresh",
        "budget",
        "revocation",
        "rejection",
        "inject",
        "tls",
        "proxy",
    ],
    later: &[],
    protective: &[],
};

/// A credential, and what its routes inherit.
pub(super) struct Credential {
    pub(super) name: String,
    pub(super) place: Place,
    /// `None` if it has mistakes.
    pub(super) settings: Option<super::Credential>,
    pub(super) rejection: Rejection,
    pub(super) inject: Inject,
    /// Whether its tokens are bound to a key.
    pub(super) is_bound: bool,
}

impl Credential {
    /// The certificate that its tokens are bound to.
    pub(super) fn bound_to(&self) -> Option<&Identity> {
        let settings = self.settings.as_ref()?;
        let by_certificate = matches!(settings.oauth.client, ClientAuthentication::Certificate { .. });
        settings.tls.identity.as_ref().filter(|_| by_certificate)
    }
}

/// One entry of `credentials`.
pub(super) fn read(reader: &Reader<'_>, name: &str, token_request: Duration) -> Credential {
    let rejections = reader.table("rejection", &rejection::KEYS);
    let dpop = dpop::read(reader);
    let is_bound = dpop.is_some();
    let inject = inject::read(&reader.table("inject", &inject::KEYS), &inject::default(is_bound));
    let oauth = oauth_settings(reader, token_request).map(|oauth| oauth::Settings { dpop, ..oauth });
    if let Some(oauth) = &oauth {
        dpop::check_grant(reader, oauth);
    }
    let use_refresh_token = oauth.as_ref().is_some_and(|oauth| oauth.use_refresh_token);
    let token = token_settings(reader, name, rejection::gap(&rejections), &inject, use_refresh_token);
    let is_login = reader.has("password") || oauth.as_ref().is_some_and(logs_in);
    let token = token::Settings { is_bound, lockout: reader.boolean("lockout").unwrap_or(is_login), ..token };
    let tls = tls::read(&reader.table("tls", &tls::KEYS));
    let origin = oauth.as_ref().and_then(|oauth| Origin::of(oauth.endpoint.written()).ok());
    let proxy = origin.and_then(|origin| ways::read(reader, &origin));
    Credential {
        name: name.to_owned(),
        place: reader.place().clone(),
        settings: oauth.map(|oauth| super::Credential {
            token: token::Settings {
                use_refresh_token: oauth.use_refresh_token,
                lives_by_refresh_token: oauth.grant == GrantType::RefreshToken,
                ..token
            },
            oauth,
            tls,
            proxy,
        }),
        rejection: rejection::read(&rejections, &rejection::default()),
        inject,
        is_bound,
    }
}

fn token_settings(
    reader: &Reader<'_>,
    name: &str,
    gap: Duration,
    inject: &Inject,
    use_refresh_token: bool,
) -> token::Settings {
    let (early, wait) = schedule::read(&reader.table("refresh", &schedule::KEYS));
    token::Settings {
        name: name.to_owned(),
        early,
        wait,
        required: reader.boolean("required").unwrap_or(true),
        // `read` knows.
        lockout: false,
        gap,
        // `read` copies the answer of `oauth_settings`, which knows the grant.
        scheme: inject.scheme().map(str::to_owned),
        use_refresh_token,
        lives_by_refresh_token: false,
        budget: budget::read(&reader.table("budget", &budget::KEYS)),
        // `read` knows.
        is_bound: false,
    }
}

/// Whether somebody's account may be at stake: a vendor's login of steps, or a password among the fields.
fn logs_in(oauth: &oauth::Settings) -> bool {
    !oauth.login.steps.is_empty() || oauth.params.iter().any(|(name, _)| words::means_password(name))
}

fn oauth_settings(reader: &Reader<'_>, timeout: Duration) -> Option<oauth::Settings> {
    let endpoint = endpoint(reader);
    let grant = grant::read(reader);
    let proof = grant.and_then(|grant| grant::proof(reader, grant));
    let client = client::read(reader);
    let encoding = shape::encoding(reader).unwrap_or(Encoding::Form);
    let username = secret::non_empty(reader, "username");
    let password = secret::read(reader, "password");
    let (steps, step_names) = steps::read(reader);
    let known = Known { steps: &step_names, ..Known::default() };
    let is_basic = matches!(client, Some(ClientAuthentication::Basic { .. }));
    let params = shape::params(reader, known, &|field| taken(field, grant, client.as_ref()));
    let headers = shape::headers(reader, known, is_basic);
    let method = shape::method(reader, encoding).unwrap_or(Method::POST);
    let like = refresh::TokenRequest { method: &method, encoding, params: &params, headers: &headers };
    let refresh = refresh::read(&reader.table("refresh", &schedule::KEYS), &like, &step_names);
    let revocation = revocation::read(reader, grant, &step_names);
    let response = response::read(&reader.table("response", &response::KEYS));
    let permanent = reader.tables("permanent", &permanent::KEYS);
    let resource = reader.parsed_items("resource", |text| Ok(text.to_owned())).unwrap_or_default();
    let use_refresh_token = reader.boolean("use_refresh_token");
    if grant == Some(GrantType::RefreshToken) && use_refresh_token == Some(false) {
        let message = "cannot be false with grant_type = \"refresh_token\", which lives by it";
        reader.reject("use_refresh_token", Reason::ConfigContradiction, message);
    }
    Some(oauth::Settings {
        endpoint: endpoint?,
        method,
        encoding,
        grant: grant?,
        proof: proof?,
        client: client?,
        adapts: reader.has("issuer") && !reader.has("client_authentication"),
        username,
        password,
        scope: reader.text("scope").map(str::to_owned),
        audience: reader.text("audience").map(str::to_owned),
        resource: resource.into_iter().map(|(resource, _)| resource).collect(),
        params,
        headers,
        response,
        permanent: permanent.iter().map(permanent::read).collect(),
        // Who describes a refresh wants one.
        use_refresh_token: use_refresh_token.unwrap_or(grant? != GrantType::None || refresh.is_some()),
        login: Login { steps, refresh, revocation },
        // `read` sets it.
        dpop: None,
        // Known only once the routes are: `root` sets it.
        legal: Legal::default(),
        timeout,
    })
}

/// The token endpoint, or who tells where it is.
fn endpoint(reader: &Reader<'_>) -> Option<Endpoint> {
    if !reader.has("issuer") {
        return server_url(reader, "token_endpoint", "https://login.example.com/oauth/token")
            .map(|(uri, _)| Endpoint::Given(uri));
    }
    if reader.has("token_endpoint") {
        let message = "says where the token endpoint is, and so does token_endpoint: remove one of them";
        reader.reject("issuer", Reason::ConfigContradiction, message);
    }
    let (uri, _) = server_url(reader, "issuer", "https://login.example.com")?;
    if uri.query().is_some() {
        // RFC 8414 §2.
        reader.wrong("issuer", "must have no query");
    }
    if uri.path().contains("/.well-known/") {
        reader.wrong("issuer", "is what stands before /.well-known/ in the address of the metadata: leave that out");
    }
    let allow_plain_http = reader.boolean("allow_plain_http").unwrap_or(false);
    Some(Endpoint::Issuer { identifier: reader.text("issuer")?.to_owned(), uri, allow_plain_http })
}

/// A required URL of a server, with the fence against plain http.
pub(super) fn server_url(reader: &Reader<'_>, key: &str, example: &str) -> Option<(Uri, Origin)> {
    let allow_plain_http = reader.boolean("allow_plain_http").unwrap_or(false);
    if !reader.has(key) {
        reader.missing(key, "is required", example);
        return None;
    }
    let (uri, origin) = reader.parsed(key, value::url)?;
    if origin.scheme() == Scheme::Http && !origin.is_loopback() && !allow_plain_http {
        let cure = match reader.node(key).map(|node| &node.place) {
            Some(Place::Flag(_) | Place::Variable(_)) => "--allow-plain-http",
            _ => "allow_plain_http = true beside it",
        };
        let message = format!(
            "plain http beyond this machine would show secrets and tokens to the network; write https://, or \
             add {cure}"
        );
        reader.reject(key, Reason::ConfigPlainHttp, message);
    }
    Some((uri, origin))
}

/// Why a field cannot be written in `params`: bearerd sends it itself.
fn taken(field: &str, grant: Option<GrantType>, client: Option<&ClientAuthentication>) -> Option<String> {
    let is_own_key = matches!(field, "username" | "password" | "scope" | "audience" | "resource" | "client_secret");
    let in_body = match client {
        Some(
            ClientAuthentication::Public { .. }
            | ClientAuthentication::Post { .. }
            | ClientAuthentication::Certificate { .. },
        ) => true,
        Some(ClientAuthentication::Jwt(jwt)) => jwt.id.is_some(),
        // Some servers want the id in the body too, beside HTTP Basic.
        Some(ClientAuthentication::Basic { .. } | ClientAuthentication::Anonymous) | None => false,
    };
    match field {
        _ if is_own_key => Some(format!("has a key of its own: write {field} beside params, not in it")),
        "client_id" if in_body => Some("is sent already, as client_id says".to_owned()),
        "grant_type" if grant != Some(GrantType::None) => {
            Some("is sent already, as grant_type says; grant_type = \"none\" leaves it out".to_owned())
        }
        "assertion" if grant == Some(GrantType::JwtBearer) => Some("is sent already, as assertion says".to_owned()),
        "client_assertion" | "client_assertion_type" if matches!(client, Some(ClientAuthentication::Jwt(_))) => {
            Some("is sent already, as client_assertion says".to_owned())
        }
        "subject_token" | "subject_token_type" | "actor_token" | "actor_token_type" | "requested_token_type"
            if grant == Some(GrantType::TokenExchange) =>
        {
            Some(format!("has a key of its own: write {field} beside params, not in it"))
        }
        "refresh_token" => Some("is sent by bearerd when a server has given it one".to_owned()),
        _ => None,
    }
}
