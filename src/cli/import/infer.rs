//! From a call of curl to a credential: what each part of the request is called in a configuration.
//!
//! Owns the inference: grant, client authentication, fields with keys of their own, the rest. Writes no secret: see
//! [`super::literal`].

mod client;
mod request;

use serde_json::Value as Json;

use super::body::{self, Body, Encoding, Field, FieldValue};
use super::curl::Call;
use super::draft::{Draft, Key, Needed, Value};
use super::endpoint::{self, TokenEndpoint};
use super::harmless;
use super::headers::Headers;
use super::literal;
use super::marks;
use super::shell::{At, Refusal};

/// What the command line adds to the curl line.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) name: Option<String>,
    pub(super) upstream: Option<String>,
}

/// Grants by their name in the request, with the fields that each needs, which have keys of their own.
const GRANTS: &[(&str, &str, &[&str])] = &[
    ("client_credentials", "client_credentials", &[]),
    ("password", "password", &["username", "password"]),
    ("refresh_token", "refresh_token", &["refresh_token"]),
    ("urn:ietf:params:oauth:grant-type:jwt-bearer", "jwt-bearer", &["assertion"]),
    ("urn:ietf:params:oauth:grant-type:token-exchange", "token-exchange", &["subject_token", "subject_token_type"]),
];

fn is_grant(text: &str) -> bool {
    GRANTS.iter().any(|(name, key, _)| *name == text || *key == text)
}

/// Makes a credential of a call.
///
/// # Errors
/// What [`body`] and [`endpoint`] refuse, and requests that no configuration can say.
pub(super) fn draft(call: &Call, wishes: &Wishes) -> Result<Draft, Refusal> {
    let url = call.url.clone().unwrap_or_else(|| endpoint::word(""));
    let mut endpoint = endpoint::read(&url, &call.variables)?;
    let headers = Headers::read(&call.headers, &endpoint)?;
    let body = request::merged(call, body::read(call, headers.content_type.as_ref())?, &mut endpoint)?;
    let name = wishes.name.clone().unwrap_or_else(|| endpoint.name());
    let draft = Draft {
        upstream: wishes.upstream.clone(),
        origin: "Made of a curl line by `bearerd import curl`.".to_owned(),
        notes: notes(call, &endpoint, &body),
        name,
        ..Draft::default()
    };
    let mut maker = Maker { draft, encoding: body.encoding, fields: body.fields, grant: None };
    maker.endpoint(&endpoint);
    maker.grant()?;
    maker.client(call.user.as_ref().or(endpoint.user.as_ref()), headers.authorization.as_ref())?;
    maker.known()?;
    maker.rest()?;
    maker.headers(&headers);
    maker.request(call, &endpoint);
    maker.connection(call)?;
    maker.response(call);
    Ok(maker.draft)
}

fn notes(call: &Call, endpoint: &TokenEndpoint, body: &Body) -> Vec<String> {
    let dropped = call.dropped.iter().map(|option| format!("{option} is left out: no key of a credential says it"));
    endpoint.notes.iter().chain(&body.notes).chain(&call.notes).cloned().chain(dropped).collect()
}

struct Maker {
    draft: Draft,
    encoding: Encoding,
    fields: Vec<Field>,
    /// Its name in the request, where it has a key.
    grant: Option<&'static str>,
}

impl Maker {
    fn take(&mut self, name: &str) -> Result<Option<Field>, Refusal> {
        let mut found = self.take_all(name).into_iter();
        let first = found.next();
        match found.next() {
            Some(second) => Err(Refusal::new(second.at, format!("the field {name} twice"))),
            None => Ok(first),
        }
    }

    fn take_all(&mut self, name: &str) -> Vec<Field> {
        let (found, rest) = std::mem::take(&mut self.fields).into_iter().partition(|field| field.name == name);
        self.fields = rest;
        found
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    fn path(&self, key: &str) -> String {
        let key: String =
            key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        format!("secrets/{}_{key}", self.draft.name)
    }

    /// A key that holds a secret.
    fn secret(&mut self, key: &str, value: &str, at: At) {
        let (value, comment, needed) = literal::secret(value, &key.replace('_', " "), &self.path(key), at);
        self.draft.needed.push(needed);
        self.draft.commented(key, value, comment);
    }

    /// A key that may hold a reference.
    fn open(&mut self, key: &str, value: &str) {
        let (value, comment, needed) = literal::open(value, key);
        self.draft.needed.extend(needed);
        self.draft.keys.push(Key { name: key.to_owned(), value, comment });
    }

    /// A key that can only hold a text.
    fn plain(&mut self, key: &str, value: &str) {
        let (value, comment, needed) = literal::plain(value, key);
        self.draft.needed.extend(needed);
        self.draft.keys.push(Key { name: key.to_owned(), value: Value::Text(value), comment });
    }

    fn endpoint(&mut self, endpoint: &TokenEndpoint) {
        let value = Value::Text(endpoint.url.clone());
        if endpoint.replace.is_empty() {
            self.draft.key("token_endpoint", value);
            return;
        }
        let mut comments = Vec::new();
        for (text, was) in &endpoint.replace {
            let is_as_written = text == was;
            comments.push(match is_as_written {
                true => format!("REPLACE {text} in it"),
                false => format!("REPLACE {text} in it: {was} in the curl line"),
            });
            let was = if is_as_written { String::new() } else { format!(" ({was})") };
            self.draft.needed.push(Needed::Edit { what: format!("{text} in token_endpoint{was}") });
        }
        self.draft.commented("token_endpoint", value, comments.join("\n"));
    }

    fn grant(&mut self) -> Result<(), Refusal> {
        let Some(field) = self.take("grant_type")? else {
            if self.has("code") && self.has("redirect_uri") {
                return Err(Refusal::new(At::Whole, BROWSER));
            }
            self.draft.commented("grant_type", Value::Text("none".to_owned()), "the curl line sends no grant_type");
            return Ok(());
        };
        let text = field.value.text();
        if matches!(text.as_str(), "authorization_code" | "implicit" | "urn:ietf:params:oauth:grant-type:device_code") {
            return Err(Refusal::new(field.at, BROWSER));
        }
        // `<string>` of generated documentation, where a user and a password are given. `password` alone is a grant's name.
        let is_open = !is_grant(&text) && (marks::has_marks(&text) || literal::is_placeholder(&text));
        let guessed = match is_open {
            true if self.has("password") && self.has("username") => "password",
            true => "client_credentials",
            false => &text,
        };
        let known = GRANTS.iter().find(|(name, key, _)| *name == guessed || *key == guessed);
        match known.filter(|(.., needs)| needs.iter().all(|need| self.has(need))) {
            Some((name, key, _)) => {
                self.grant = Some(name);
                let value = Value::Text((*key).to_owned());
                match is_open {
                    true => self.draft.commented(
                        "grant_type",
                        value,
                        format!("GUESSED: the curl line has {} here", marks::shown(&text)),
                    ),
                    false => self.draft.key("grant_type", value),
                }
            }
            None => {
                let why = match known {
                    Some((_, key, needs)) => {
                        format!(
                            "the grant {key} wants the fields {}: without them it is one of params",
                            needs.join(" and ")
                        )
                    }
                    None => "a grant without a key of its own: the field is one of params".to_owned(),
                };
                self.draft.commented("grant_type", Value::Text("none".to_owned()), why);
                self.fields.push(field);
            }
        }
        Ok(())
    }

    /// Fields that have keys of their own.
    fn known(&mut self) -> Result<(), Refusal> {
        let is = |grant: &str| GRANTS.iter().any(|(name, key, _)| *key == grant && self.grant == Some(name));
        let (refresh, bearer, exchange) = (is("refresh_token"), is("jwt-bearer"), is("token-exchange"));
        for (key, wanted) in
            [("refresh_token", refresh), ("assertion", bearer), ("subject_token", exchange), ("actor_token", exchange)]
        {
            if let Some(field) = if wanted { self.take(key)? } else { None } {
                self.secret(key, &field.value.text(), field.at);
            }
        }
        for key in ["subject_token_type", "actor_token_type", "requested_token_type"] {
            if let Some(field) = if exchange { self.take(key)? } else { None } {
                self.plain(key, &field.value.text());
            }
        }
        if let Some(field) = self.take("username")? {
            let text = field.value.text();
            self.open("username", if text.is_empty() { "YOUR_USERNAME" } else { &text });
        }
        if let Some(field) = self.take("password")? {
            self.secret("password", &field.value.text(), field.at);
        }
        for key in ["scope", "audience"] {
            if let Some(field) = self.take(key)? {
                self.plain(key, &field.value.text());
            }
        }
        let resources = self.take_all("resource");
        if !resources.is_empty() {
            let values: Vec<String> = resources.iter().map(|field| marks::shown(&field.value.text())).collect();
            self.draft.key("resource", Value::List(values));
        }
        Ok(())
    }

    /// All other fields are `params`.
    fn rest(&mut self) -> Result<(), Refusal> {
        let (mut params, mut comments) = (Vec::new(), Vec::new());
        for field in std::mem::take(&mut self.fields) {
            if marks::has_marks(&field.name) {
                return Err(Refusal::new(field.at, body::NO_FIELDS));
            }
            if literal::looks_random(&field.name) {
                let what = "a field whose name looks like a secret (not shown): write its name, as NAME=VALUE";
                return Err(Refusal::new(field.at, what));
            }
            if params.iter().any(|(name, _)| *name == field.name) {
                return Err(Refusal::new(field.at, format!("the field {:?} twice", field.name)));
            }
            if field.name == "refresh_token" {
                return Err(Refusal::new(field.at, "a refresh_token without grant_type=refresh_token"));
            }
            let value = match &field.value {
                FieldValue::Scalar(number @ Json::Number(_))
                    if !harmless::is_harmless(&field.name, &number.to_string()) =>
                {
                    self.draft.notes.push(format!("the number {} becomes a text, as all secrets are", field.name));
                    self.field(&field.name, &number.to_string(), field.at, &mut comments)
                }
                FieldValue::Scalar(value) => Value::Literal(value.to_string()),
                FieldValue::Text(text) if field.name == "grant_type" && is_grant(text) => Value::Text(text.clone()),
                FieldValue::Text(text) => self.field(&field.name, text, field.at, &mut comments),
            };
            params.push((field.name, value));
        }
        if !params.is_empty() {
            self.table("params", params, &comments);
        }
        Ok(())
    }

    /// The value of a field or header that has no key of its own.
    fn field(&mut self, name: &str, text: &str, at: At, comments: &mut Vec<String>) -> Value {
        let (value, comment, needed) = match harmless::is_harmless(name, text) {
            true => literal::open(text, name),
            false => {
                let (value, comment, needed) = literal::secret(text, name, &self.path(name), at);
                let is_certain = literal::is_secret_name(name) || marks::has_marks(text) || literal::looks_random(text);
                let doubt = if is_certain { "" } else { "; if it is no secret, it may stand here as a text" };
                (value, Some(comment + doubt), Some(needed))
            }
        };
        comments.extend(comment);
        self.draft.needed.extend(needed);
        value
    }

    fn table(&mut self, key: &str, members: Vec<(String, Value)>, comments: &[String]) {
        let comment = (!comments.is_empty()).then(|| comments.join("\n"));
        self.draft.keys.push(Key { name: key.to_owned(), value: Value::Table(members), comment });
    }

    fn headers(&mut self, headers: &Headers) {
        let (mut members, mut comments) = (Vec::new(), Vec::new());
        let is_client = self.draft.keys.iter().any(|key| key.name == "basic_encoding");
        if let Some(header) = headers.authorization.as_ref().filter(|_| !is_client) {
            let path = self.path("authorization");
            let (value, comment, needed) =
                literal::secret(&header.text, "whole value of Authorization, scheme included,", &path, header.at);
            members.push(("authorization".to_owned(), value));
            comments.push(comment);
            self.draft.needed.push(needed);
        }
        for (name, word) in &headers.others {
            let value = self.field(name, &word.text, word.at, &mut comments);
            members.push((name.clone(), value));
        }
        if !members.is_empty() {
            self.table("headers", members, &comments);
        }
    }
}

const BROWSER: &str = "a grant that begins in a browser, which bearerd has none of: log in once by hand, and import the request that \
    follows, with grant_type=refresh_token";

#[cfg(test)]
#[path = "infer_tests.rs"]
mod tests;
