//! What a token request is made of: the typed, validated form of `[credentials.*]`.

mod identity;
mod login;

use std::time::Duration;

use http::{HeaderName, Method, Uri};
use serde_json::{Map, Value};

use super::dpop::KeySource;
use crate::jose::Algorithm;
use crate::secret::SecretSource;

pub use login::{Elsewhere, Format, Legal, Login, Reference, Refresh, Revocation, Shape, Step, Whence};

/// Everything that one credential's token requests need.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where tokens are asked for.
    pub endpoint: Endpoint,
    /// `POST` unless configured.
    pub method: Method,
    /// How the fields travel.
    pub encoding: Encoding,
    /// What `grant_type` says.
    pub grant: GrantType,
    /// What the grant is made with, where that is more than fields of their own.
    pub proof: GrantProof,
    /// How the client proves who it is.
    pub client: ClientAuthentication,
    /// Whether the issuer's metadata may correct that: id and secret in the body where it takes them in no header.
    pub adapts: bool,
    /// Sent as `username` whenever set.
    pub username: Option<SecretSource>,
    /// Sent as `password` whenever set.
    pub password: Option<SecretSource>,
    /// `None` sends no `scope`; an empty one is sent empty.
    pub scope: Option<String>,
    /// `audience` parameter.
    pub audience: Option<String>,
    /// `resource` parameters (RFC 8707), one field each.
    pub resource: Vec<String>,
    /// More fields, in the order written.
    pub params: Vec<(String, Param)>,
    /// Header fields of the token request.
    pub headers: Vec<(HeaderName, Param)>,
    /// What there is to it besides the token request.
    pub login: Login,
    /// Where the answer keeps what.
    pub response: ResponseShape,
    /// Refusals that trying again will not cure, besides the standard codes.
    pub permanent: Vec<PermanentRule>,
    /// Whether a refresh token that came is used.
    pub use_refresh_token: bool,
    /// Whose key tokens are bound to (RFC 9449); `None` without DPoP.
    pub dpop: Option<KeySource>,
    /// What a token must be, so that it can stand wherever a route puts it.
    pub legal: Legal,
    /// From the start of connecting to the last byte of the answer.
    pub timeout: Duration,
}

/// Where the token endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Absolute `http` or `https` URI of the token endpoint, without fragment.
    Given(Uri),
    /// The authorization server's metadata say (RFC 8414, OpenID Connect Discovery).
    Issuer {
        /// The issuer identifier, byte for byte as the server must name itself.
        identifier: String,
        /// The same as a URI.
        uri: Uri,
        /// Whether a token endpoint beyond this machine may be plain http.
        allow_plain_http: bool,
    },
}

impl Endpoint {
    /// What the configuration says: the token endpoint, or the issuer.
    pub fn written(&self) -> &Uri {
        match self {
            Self::Given(uri) | Self::Issuer { uri, .. } => uri,
        }
    }
}

/// How the fields of a token request travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// One flat JSON object.
    Json,
    /// `multipart/form-data` (RFC 7578).
    Multipart,
    /// In the query string; the body is empty.
    Query,
}

/// The `grant_type` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §4.3.
    Password,
    /// RFC 6749 §6, with a refresh token that a person gave: the only credential, rotated ever after.
    RefreshToken,
    /// RFC 7523 §2.1.
    JwtBearer,
    /// RFC 8693 §2.1.
    TokenExchange,
    /// The field is left out.
    None,
}

impl GrantType {
    /// The value of `grant_type`; `None` leaves the field out.
    pub fn wire(self) -> Option<&'static str> {
        Some(match self {
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::RefreshToken => "refresh_token",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::None => return None,
        })
    }
}

/// What a grant is made with.
#[derive(Clone, Debug, PartialEq)]
pub enum GrantProof {
    /// Fields of their own, or nothing.
    Fields,
    /// The first refresh token. Those that follow are the refresher's.
    RefreshToken(SecretSource),
    /// `assertion` (RFC 7523 §2.1).
    Assertion(Assertion),
    /// RFC 8693 §2.1.
    Exchange(Box<Exchange>),
}

/// The tokens of a token exchange (RFC 8693 §2.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// `subject_token`.
    pub subject: SecretSource,
    /// `subject_token_type`, a URN of §3.
    pub subject_type: String,
    /// `actor_token` and `actor_token_type`.
    pub actor: Option<(SecretSource, String)>,
    /// `requested_token_type`.
    pub requested_type: Option<String>,
}

/// A JWT that proves something (RFC 7521).
#[derive(Clone, Debug, PartialEq)]
pub enum Assertion {
    /// Somebody else made it; read anew for each token request.
    Given(SecretSource),
    /// Signed for each token request.
    Signed(Box<Signer>),
}

/// How to sign an assertion (RFC 7523 §3).
#[derive(Clone, Debug, PartialEq)]
pub struct Signer {
    /// With what.
    pub key: AssertionKey,
    /// `alg`; what is usual for the key if left out.
    pub algorithm: Option<Algorithm>,
    /// `kid`; that of the JWK if left out.
    pub key_id: Option<String>,
    /// A PEM text whose first certificate is named by `x5t#S256` and `x5t`.
    pub certificate: Option<SecretSource>,
    /// `iss`; the client id if left out.
    pub issuer: Option<SecretSource>,
    /// `sub`; the issuer if left out and a client proves itself.
    pub subject: Option<SecretSource>,
    /// `aud`; the token endpoint if left out.
    pub audience: Option<String>,
    /// From `iat` to `exp`.
    pub lifetime: Duration,
    /// More claims. They win over those above.
    pub claims: Map<String, Value>,
}

impl Signer {
    /// Servers allow for little more, and a replayed assertion is of use for no longer (RFC 7523 §3).
    pub const USUAL_LIFETIME: Duration = Duration::from_secs(60);

    /// With this key, and nothing else said.
    pub fn new(key: AssertionKey) -> Self {
        Self {
            key,
            algorithm: None,
            key_id: None,
            certificate: None,
            issuer: None,
            subject: None,
            audience: None,
            lifetime: Self::USUAL_LIFETIME,
            claims: Map::new(),
        }
    }
}

/// The key of an assertion.
#[derive(Clone, Debug, PartialEq)]
pub enum AssertionKey {
    /// A private key in PEM or as a JWK.
    Private(SecretSource),
    /// The client secret (`client_secret_jwt`).
    Shared(SecretSource),
}

/// Client authentication (RFC 6749 §2.3).
#[derive(Clone, Debug, PartialEq)]
pub enum ClientAuthentication {
    /// No client at all: neither id nor secret is sent.
    Anonymous,
    /// `none`: the id alone, in the body.
    Public {
        /// `client_id`.
        id: SecretSource,
    },
    /// `client_secret_basic`: in `Authorization`, nothing of it in the body.
    Basic {
        /// `client_id`.
        id: SecretSource,
        /// `client_secret`.
        secret: SecretSource,
        /// Form-encode both first (§2.3.1) or not.
        encoding: BasicEncoding,
    },
    /// `client_secret_post`: both in the body.
    Post {
        /// `client_id`.
        id: SecretSource,
        /// `client_secret`.
        secret: SecretSource,
    },
    /// `client_secret_jwt` and `private_key_jwt` (OpenID Connect Core §9), or an assertion that somebody else made.
    Jwt(Box<JwtAuthentication>),
    /// `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705 §2): the id in the body, the proof in the TLS handshake.
    Certificate {
        /// `client_id`.
        id: SecretSource,
    },
}

/// How a client proves itself by a JWT (RFC 7523 §2.2).
#[derive(Clone, Debug, PartialEq)]
pub struct JwtAuthentication {
    /// `client_id`: sent beside the assertion, and its issuer and subject.
    pub id: Option<SecretSource>,
    /// `client_assertion`.
    pub assertion: Assertion,
    /// `client_assertion_type`.
    pub assertion_type: String,
}

impl ClientAuthentication {
    /// Whether nothing proves who the client is (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Anonymous | Self::Public { .. })
    }
}

/// What happens to id and secret before Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicEncoding {
    /// `application/x-www-form-urlencoded`, as RFC 6749 §2.3.1 says.
    Form,
    /// As they are, for servers that never heard of it.
    Raw,
}

/// A value of `params`.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// Text, possibly secret.
    Text(SecretSource),
    /// A number or boolean, which keeps its type in a JSON body and is written out elsewhere.
    Json(Value),
    /// What the same login brought earlier.
    Login(Reference),
}

/// Where the members of an answer are: JSON Pointers (RFC 6901); `""` is the whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseShape {
    /// How a body is to be read.
    pub format: Format,
    /// Statuses that are a success; empty: every 2xx.
    pub expect_status: Vec<u16>,
    /// Default `/access_token`.
    pub access_token: String,
    /// Where the token is instead, if not in the body.
    pub elsewhere: Option<Elsewhere>,
    /// Default `/expires_in`: seconds, as a number or a numeric string.
    pub expires_in: String,
    /// An absolute time: RFC 3339, epoch seconds or epoch milliseconds.
    pub expires_at: Option<String>,
    /// Default `/refresh_token`.
    pub refresh_token: String,
    /// Only if neither the answer nor a JWT `exp` says.
    pub default_lifetime: Duration,
    /// Default `/error`.
    pub error_code: String,
    /// Default `/error_description`.
    pub error_message: String,
}

/// One `[[credentials.*.permanent]]`: all given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermanentRule {
    /// The answer's status.
    pub status: Option<u16>,
    /// A text in the answer's body.
    pub body_contains: Option<String>,
    /// The error code at `response.error_code`.
    pub error_code: Option<String>,
}
