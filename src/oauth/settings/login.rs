//! What a vendor's login has besides its token request: steps before it, a refresh and a revocation of their own, answers that
//! are no JSON, tokens that are not in a body.

use http::{HeaderName, Method, Uri};

use super::{Encoding, Param, ResponseShape};

/// The requests of one login besides the token request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Login {
    /// Sent before the token request, in this order.
    pub steps: Vec<Step>,
    /// How a refresh token is used, if not as RFC 6749 §6 says.
    pub refresh: Option<Refresh>,
    /// How tokens are given back.
    pub revocation: Option<Revocation>,
}

impl Login {
    /// Whether cookies are carried from one request to the next: where there are several, or where the token is one.
    pub(crate) fn keeps_cookies(&self, response: &ResponseShape) -> bool {
        !self.steps.is_empty() || matches!(response.elsewhere, Some(Elsewhere::Cookie(_)))
    }

    /// Where its requests go, the token request aside.
    pub fn endpoints(&self) -> impl Iterator<Item = &Uri> {
        let steps = self.steps.iter().filter_map(|step| step.shape.endpoint.as_ref());
        let refresh = self.refresh.iter().filter_map(|refresh| refresh.shape.endpoint.as_ref());
        let revocation = self.revocation.iter().filter_map(|revocation| revocation.shape.endpoint.as_ref());
        steps.chain(refresh).chain(revocation)
    }
}

/// A request as a table describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Where it goes; `None`: to the token endpoint, or for a revocation to where the issuer says.
    pub endpoint: Option<Uri>,
    /// Its method.
    pub method: Method,
    /// How its fields travel.
    pub encoding: Encoding,
    /// Its fields, in the order written.
    pub params: Vec<(String, Param)>,
    /// Its header fields.
    pub headers: Vec<(HeaderName, Param)>,
}

/// One `[[credentials.*.steps]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How others refer to it, and messages call it.
    pub name: String,
    /// The request.
    pub shape: Shape,
    /// Statuses that are a success; empty: every 2xx.
    pub expect_status: Vec<u16>,
}

/// `[credentials.*.refresh]`, where it describes a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Refresh {
    /// The request.
    pub shape: Shape,
    /// `grant_type`; `None` leaves the field out.
    pub grant_type: Option<String>,
    /// The field of the refresh token; `None` where it goes elsewhere.
    pub token_field: Option<String>,
}

/// `[credentials.*.revocation]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocation {
    /// The request.
    pub shape: Shape,
    /// Whether it is sent when bearerd ends.
    pub on_shutdown: bool,
    /// The field of the token (RFC 7009 §2.1), one request for each token; `None` where the token goes elsewhere, in one request.
    pub token_field: Option<String>,
}

/// A value that the same login brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it is.
    pub whence: Whence,
    /// What stands before it.
    pub prefix: String,
}

/// Where a value of the same login comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// A member of a step's answer (RFC 6901).
    Pointer(String, String),
    /// A header field of a step's answer.
    Header(String, HeaderName),
    /// A cookie that a step's answer set.
    Cookie(String, String),
    /// The token that is to be revoked.
    AccessToken,
    /// The refresh token in use.
    RefreshToken,
}

/// How the body of an answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As it looks; where that is not plain, as its `Content-Type` says.
    Auto,
    /// RFC 8259.
    Json,
    /// `application/x-www-form-urlencoded`: flat members.
    Form,
    /// Elements are members; attributes are members with `@` before their names.
    Xml,
}

/// A place for the token outside of the answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// A header field.
    Header(HeaderName),
    /// A cookie that is set.
    Cookie(String),
}

/// What a token must be, beside text of at most 16 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Legal {
    /// A b64token (RFC 6750 §2.1): a route sends it with the scheme `Bearer`.
    pub bearer: bool,
    /// Visible ASCII: a route sends it in a header field.
    pub header: bool,
    /// Made of cookie-octets (RFC 6265 §4.1.1): a route sends it as a cookie.
    pub cookie: bool,
}
