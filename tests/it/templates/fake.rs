//! A token endpoint of a vendor's shape: it accepts what the vendor documents, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value as Json;
use toml::Table;

use crate::support::token_endpoint::TokenRequest;
use crate::support::{Reply, Tokens};

pub(super) const KEY: &str = include_str!("../../../src/jose/keys/rsa.pkcs8.pem");
const JWK: &str = include_str!("../../../src/jose/keys/rsa.jwk");
pub(super) const SECRET: &str = "vendor/canary+secret-41";

/// How a client proves who it is.
#[derive(Clone, Copy)]
pub(super) enum Auth {
    /// In `Authorization`, form-encoded first (RFC 6749 §2.3.1), and nothing of it in the body.
    Basic,
    /// In `Authorization` as they are.
    RawBasic,
    /// In the form, and no `Authorization`.
    Post,
    /// The id alone, in the form.
    IdAlone,
    /// A signed assertion is the grant: issuer, subject if there is one, audience, longest life in seconds, `scope`.
    Assertion {
        issuer: &'static str,
        subject: Option<&'static str>,
        audience: &'static str,
        longest: u64,
        scope: Option<&'static str>,
    },
}

/// A slip, and what the vendor says to it.
pub(super) struct Mistake {
    pub(super) what: &'static str,
    pub(super) edit: fn(&mut Table),
    pub(super) words: &'static str,
}

/// What a vendor documents.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// Placeholders of the template.
    pub(super) set: &'static [(&'static str, &'static str)],
    pub(super) endpoint: &'static str,
    pub(super) auth: Auth,
    pub(super) client_id: &'static str,
    /// The fields of the form, besides those of `auth`.
    pub(super) fields: &'static [(&'static str, &'static str)],
    /// The answer; `TOKEN` and `LIFE` are replaced.
    pub(super) answer: &'static str,
    /// Before each token.
    pub(super) prefix: &'static str,
    /// What the token's life is to be, in seconds.
    pub(super) lifetime: u64,
    /// What a wrong secret gets.
    pub(super) refusal: Option<(u16, &'static str)>,
    pub(super) code: &'static str,
    pub(super) words: &'static str,
    /// What a request gets that lacks this field, or has another value in it.
    pub(super) required: &'static [(&'static str, u16, &'static str)],
    pub(super) mistakes: &'static [Mistake],
}

/// The answer to every request.
pub(super) fn answer(shape: &'static Shape) -> Reply {
    Reply::custom(move |request, tokens| judge(shape, request, tokens))
}

fn judge(shape: &Shape, request: &TokenRequest, tokens: &Tokens) -> Reply {
    let path = shape.endpoint.split_once("://").unwrap().1.split_once('/').map_or("", |(_, path)| path);
    let kind = request.fields.first("content-type").unwrap_or_default();
    if request.method != "POST" || request.target != format!("/{path}") {
        return Reply::text(404, "text/plain", "no such page");
    }
    if kind != "application/x-www-form-urlencoded" {
        return Reply::json(415, r#"{"error":"invalid_request","error_description":"not a form"}"#);
    }
    let mut form = request.form();
    let mut take = |name: &str| {
        let place = form.iter().position(|(n, _)| n == name)?;
        Some(form.remove(place).1)
    };
    let basic = request.fields.first("authorization").is_some().then(|| request.basic().unwrap_or_default());
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let is_client = match shape.auth {
        Auth::Basic => basic == Some(format!("{}:{}", encode(shape.client_id), encode(SECRET))),
        Auth::RawBasic => basic == Some(format!("{}:{SECRET}", shape.client_id)),
        Auth::Post => {
            let pair = (take("client_id"), take("client_secret"));
            basic.is_none() && pair == (Some(shape.client_id.to_owned()), Some(SECRET.to_owned()))
        }
        Auth::IdAlone => basic.is_none() && take("client_id").as_deref() == Some(shape.client_id),
        Auth::Assertion { .. } => basic.is_none() && take("assertion").is_some_and(|jwt| is_valid(&jwt, shape.auth)),
    };
    let is_user = shape
        .fields
        .iter()
        .all(|(name, value)| *name != "password" || request.field("password").as_deref() == Some(*value));
    if !is_client || !is_user {
        let (status, body) = shape.refusal.unwrap();
        return Reply::json(status, body);
    }
    for (name, status, body) in shape.required {
        let wanted = shape.fields.iter().find(|(n, _)| n == name).map(|(_, value)| (*value).to_owned());
        if request.field(name) != wanted {
            return Reply::json(*status, body);
        }
    }
    let mut wanted: Vec<_> = shape.fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    form.sort();
    wanted.sort();
    if form != wanted {
        // Names alone: values are the test's secrets.
        let names: Vec<_> = form.iter().map(|(name, _)| name).collect();
        return Reply::json(
            400,
            format!(r#"{{"error":"invalid_request","error_description":"fields {names:?}"}}"#).replace("\\\"", "'"),
        );
    }
    let token = format!("{}{}", shape.prefix, tokens.issue());
    tokens.register(&token);
    Reply::json(200, shape.answer.replace("TOKEN", &token).replace("LIFE", &shape.lifetime.to_string()))
}

/// Whether the vendor takes this assertion: signature, claims and life (RFC 7523 §3).
fn is_valid(jwt: &str, auth: Auth) -> bool {
    let Auth::Assertion { issuer, subject, audience, longest, scope } = auth else { return false };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let jwk: Json = serde_json::from_str(JWK).unwrap();
    let part = |name: &str| decoded(jwk[name].as_str().unwrap());
    let key = RsaPublicKeyComponents { n: part("n"), e: part("e") };
    let is_signed = key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &decoded(signature)).is_ok();
    let header: Json = serde_json::from_slice(&decoded(header)).unwrap();
    let claims: Json = serde_json::from_slice(&decoded(claims)).unwrap();
    let life = claims["exp"].as_u64().unwrap_or(u64::MAX) - claims["iat"].as_u64().unwrap_or(0);
    is_signed
        && header["alg"] == "RS256"
        && claims["iss"] == issuer
        && claims.get("sub").and_then(Json::as_str) == subject
        && claims["aud"] == audience
        && claims.get("scope").and_then(Json::as_str) == scope
        && life <= longest
}
