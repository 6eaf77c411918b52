//! What a token request is made of: the typed, validated form of `[credentials.*]`.

use std::time::Duration;

use http::{HeaderName, Method, Uri};

use crate::secret::SecretSource;

/// Everything that one credential's token requests need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where tokens are asked for.
    pub endpoint: Endpoint,
    /// `POST` unless configured.
    pub method: Method,
    /// How the fields travel.
    pub encoding: Encoding,
    /// What `grant_type` says.
    pub grant: GrantType,
    /// How the client proves who it is.
    pub client: ClientAuthentication,
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
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// Where the answer keeps what.
    pub response: ResponseShape,
    /// Refusals that trying again will not cure, besides the standard codes.
    pub permanent: Vec<PermanentRule>,
    /// Whether a refresh token that came is used.
    pub use_refresh_token: bool,
    /// Whether only b64token (RFC 6750 §2.1) is legal: true where the token is sent with scheme `Bearer`.
    pub token_is_b64: bool,
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
    /// The field is left out.
    None,
}

/// Client authentication (RFC 6749 §2.3).
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
pub enum Param {
    /// Text, possibly secret.
    Text(SecretSource),
    /// A number or boolean, which keeps its type in a JSON body and is written out elsewhere.
    Json(serde_json::Value),
}

/// Where the members of an answer are: JSON Pointers (RFC 6901); `""` is the whole answer.
#[derive(Clone, Debug)]
pub struct ResponseShape {
    /// Default `/access_token`.
    pub access_token: String,
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
