//! A request as a table describes it: where it goes, and its fields, which may refer to what the login has brought.
//!
//! Owns what the token request, the steps before it, the refresh and the revocation have in common. Refuses references to what
//! comes later.

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::credential::server_url;
use super::document::{Entry, Node, Table, Value};
use super::mistake::Place;
use super::reader::{Reader, dotted};
use super::{inject, secret, value, words};
use crate::oauth::settings::{Encoding, Param, Reference, Shape, Whence};
use crate::reason::Reason;

pub(super) const ENCODINGS: &[(&str, Encoding)] = &[
    ("form", Encoding::Form),
    ("json", Encoding::Json),
    ("multipart", Encoding::Multipart),
    ("query", Encoding::Query),
];

/// Fields that bearerd sets itself in every request.
const OWN_HEADERS: &[HeaderName] = &[
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::ACCEPT_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
];

/// What the values of a request may refer to.
#[derive(Clone, Copy, Default)]
pub(super) struct Known<'a> {
    /// The steps before it.
    pub(super) steps: &'a [String],
    pub(super) access_token: bool,
    pub(super) refresh_token: bool,
}

/// `encoding`, if it is written.
pub(super) fn encoding(reader: &Reader<'_>) -> Option<Encoding> {
    reader.choice("encoding", ENCODINGS, &[])
}

/// `method`, if it is written. `encoding` is what goes with it.
pub(super) fn method(reader: &Reader<'_>, encoding: Encoding) -> Option<Method> {
    let parse = |text: &str| match text.parse::<Method>() {
        Ok(Method::CONNECT | Method::TRACE | Method::HEAD) => Err(format!("cannot be {text}")),
        Ok(method) if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Err(format!("must be in capitals: \"{}\"", text.to_ascii_uppercase()))
        }
        Ok(method) => Ok(method),
        Err(_) => Err("must be a method, such as \"POST\"".to_owned()),
    };
    let method = reader.parsed("method", parse)?;
    if method == Method::GET && encoding != Encoding::Query {
        let message = "most servers ignore the body of a GET; encoding = \"query\" puts the fields where they are read";
        reader.warn("method", Reason::ConfigContradiction, message);
    }
    Some(method)
}

/// The whole request of a step or a revocation. `key` is the one that says where it goes, which must be written unless `is_optional`.
pub(super) fn read(reader: &Reader<'_>, key: &str, is_optional: bool, known: Known<'_>) -> Option<Shape> {
    let endpoint = match is_optional && !reader.has(key) {
        true => Some(endpoint(reader, key)),
        false => server_url(reader, key, "https://login.example.com/session").map(|(uri, _)| Some(uri)),
    };
    let params = params(reader, known, &|_| None);
    let headers = headers(reader, known, false);
    let written = encoding(reader);
    let encoding = written.unwrap_or(Encoding::Form);
    // Without fields there is nothing that a GET could lose.
    let in_query = if params.is_empty() { Encoding::Query } else { encoding };
    let method = method(reader, in_query).unwrap_or(Method::POST);
    // An empty form announces a body that nobody reads.
    let encoding =
        if written.is_none() && params.is_empty() && method == Method::GET { Encoding::Query } else { encoding };
    Some(Shape { endpoint: endpoint?, method, encoding, params, headers })
}

/// An endpoint that is the token endpoint unless another is written.
pub(super) fn endpoint(reader: &Reader<'_>, key: &str) -> Option<Uri> {
    if !reader.has(key) {
        let _ = reader.boolean("allow_plain_http");
        return None;
    }
    Some(server_url(reader, key, "")?.0)
}

/// `params`. `taken` says why a field may not be written there.
pub(super) fn params(
    reader: &Reader<'_>,
    known: Known<'_>,
    taken: &dyn Fn(&str) -> Option<String>,
) -> Vec<(String, Param)> {
    let path = reader.dotted("params");
    let read = |entry: &Entry| {
        let key = dotted(&path, &entry.key);
        if let Some(message) = taken(&entry.key) {
            reader.context().mistake(entry.key_place.clone(), Reason::ConfigContradiction, key, message);
            return None;
        }
        Some((entry.key.clone(), param(reader, &entry.node, &key, known)?))
    };
    reader.entries("params").iter().filter_map(read).collect()
}

fn param(reader: &Reader<'_>, node: &Node, key: &str, known: Known<'_>) -> Option<Param> {
    let number = match &node.value {
        Value::Boolean(value) => Some(serde_json::Value::from(*value)),
        Value::Integer(value) => {
            i64::try_from(*value).map(serde_json::Value::from).or_else(|_| u64::try_from(*value).map(Into::into)).ok()
        }
        Value::Float(value) => serde_json::Number::from_f64(*value).map(serde_json::Value::Number),
        _ => return text(reader, node, key, known),
    };
    if number.is_none() {
        let message = "is a number that JSON cannot hold; write it as a string";
        reader.context().mistake(node.place.clone(), Reason::ConfigWrongValue, key, message);
    }
    number.map(Param::Json)
}

/// `headers`. `is_basic`: client authentication has `Authorization` for itself.
pub(super) fn headers(reader: &Reader<'_>, known: Known<'_>, is_basic: bool) -> Vec<(HeaderName, Param)> {
    let path = reader.dotted("headers");
    let context = reader.context();
    let mut found: Vec<(HeaderName, Param)> = Vec::new();
    for entry in reader.entries("headers") {
        let key = dotted(&path, &entry.key);
        let mistake = |place: &Place, reason, message: &str| context.mistake(place.clone(), reason, &*key, message);
        let Ok(name) = inject::header_name(&entry.key) else {
            mistake(&entry.key_place, Reason::ConfigWrongValue, "is no legal name of a header field");
            continue;
        };
        if OWN_HEADERS.contains(&name) {
            mistake(&entry.key_place, Reason::ConfigContradiction, "is set by bearerd itself");
        } else if name == header::AUTHORIZATION && is_basic {
            let message = "is set by client_authentication = \"client_secret_basic\" already";
            mistake(&entry.key_place, Reason::ConfigContradiction, message);
        } else if found.iter().any(|(other, _)| *other == name) {
            mistake(&entry.key_place, Reason::ConfigContradiction, "is written twice");
        }
        let Some(value) = text(reader, &entry.node, &key, known) else { continue };
        if let Param::Text(source) = &value
            && source.read_now().is_ok_and(|value| HeaderValue::from_str(value.expose()).is_err())
        {
            mistake(&entry.node.place, Reason::ConfigWrongValue, "holds characters that no header field can");
        }
        found.push((name, value));
    }
    found
}

/// A secret, or a reference to what the login has brought.
fn text(reader: &Reader<'_>, node: &Node, key: &str, known: Known<'_>) -> Option<Param> {
    if let Value::Table(table) = &node.value
        && KINDS.iter().any(|kind| table.entry(kind).is_some())
    {
        return reference(reader, table, &node.place, key, known).map(Param::Login);
    }
    secret::from_node(reader.context(), node, key).map(Param::Text)
}

/// What makes a table a reference, and no secret.
const KINDS: &[&str] = &["step", "access_token", "refresh_token"];

const PLACES: &[&str] = &["pointer", "header", "cookie"];

fn reference(reader: &Reader<'_>, table: &Table, place: &Place, key: &str, known: Known<'_>) -> Option<Reference> {
    let mistake = |place: &Place, reason, message: String| {
        reader.context().mistake(place.clone(), reason, key, message);
        None
    };
    let allowed: &[&str] = if table.entry("step").is_some() {
        &["step", "pointer", "header", "cookie", "prefix"]
    } else {
        &["access_token", "refresh_token", "prefix"]
    };
    for entry in &table.entries {
        if !allowed.contains(&entry.key.as_str()) {
            let near = words::did_you_mean(&entry.key, allowed);
            let message =
                format!("unknown key {}; it takes {}{near}", value::quoted(&entry.key), words::one_of(allowed));
            return mistake(&entry.key_place, Reason::ConfigUnknownKey, message);
        }
        let is_flag = matches!(entry.key.as_str(), "access_token" | "refresh_token");
        if is_flag != matches!(entry.node.value, Value::Boolean(true)) || !is_flag && entry.node.as_text().is_none() {
            let wanted = if is_flag { "true" } else { "a string" };
            let message = format!("{} must be {wanted}, not {}", entry.key, entry.node.kind());
            return mistake(&entry.node.place, Reason::ConfigWrongValue, message);
        }
    }
    let prefix = table.entry("prefix").and_then(|entry| entry.node.as_text()).unwrap_or_default();
    if !prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return mistake(place, Reason::ConfigWrongValue, "prefix must be visible ASCII text".to_owned());
    }
    let whence = match table.entry("step") {
        Some(step) => of_step(table, &step.node, place, known, &mistake)?,
        None => of_token(table, place, known, &mistake)?,
    };
    Some(Reference { whence, prefix: prefix.to_owned() })
}

type OnMistake<'m> = &'m dyn Fn(&Place, Reason, String) -> Option<Reference>;

fn of_token(table: &Table, place: &Place, known: Known<'_>, mistake: OnMistake<'_>) -> Option<Whence> {
    let (access, refresh) = (table.entry("access_token").is_some(), table.entry("refresh_token").is_some());
    if access && refresh {
        mistake(place, Reason::ConfigContradiction, "must be either access_token or refresh_token".to_owned());
    } else if access && !known.access_token {
        let message = "there is no access token yet: { access_token = true } is for [credentials.NAME.revocation]";
        mistake(place, Reason::ConfigContradiction, message.to_owned());
    } else if refresh && !known.refresh_token {
        let message = "there is no refresh token here: { refresh_token = true } is for refresh and revocation";
        mistake(place, Reason::ConfigContradiction, message.to_owned());
    }
    Some(if access { Whence::AccessToken } else { Whence::RefreshToken })
}

fn of_step(table: &Table, step: &Node, place: &Place, known: Known<'_>, mistake: OnMistake<'_>) -> Option<Whence> {
    let name = step.as_text().unwrap_or_default().to_owned();
    if !known.steps.contains(&name) {
        let names: Vec<_> = known.steps.iter().map(String::as_str).collect();
        let which = match names.as_slice() {
            [] => "there is none before this request; [[credentials.NAME.steps]] makes one".to_owned(),
            names => format!("there are {}{}", words::one_of(names), words::did_you_mean(&name, names)),
        };
        mistake(
            &step.place,
            Reason::ConfigWrongValue,
            format!("there is no step {} here: {which}", value::quoted(&name)),
        );
    }
    let written: Vec<_> = PLACES.iter().filter_map(|kind| Some((*kind, table.entry(kind)?))).collect();
    let [(kind, entry)] = written.as_slice() else {
        let message = "must say where in the step's answer: exactly one of pointer, header and cookie".to_owned();
        mistake(place, Reason::ConfigMissing, message);
        return None;
    };
    let text = entry.node.as_text().unwrap_or_default();
    let whence = match *kind {
        "pointer" => value::json_pointer(text).map(|pointer| Whence::Pointer(name, pointer)),
        "header" => inject::header_name(text).map(|header| Whence::Header(name, header)),
        _ => inject::cookie_name(text).map(|cookie| Whence::Cookie(name, cookie)),
    };
    match whence {
        Ok(whence) => Some(whence),
        Err(message) => {
            mistake(&entry.node.place, Reason::ConfigWrongValue, format!("{kind} {message}"));
            None
        }
    }
}

/// Whether one of the values is a token of the login.
pub(super) fn carries_token(params: &[(String, Param)], headers: &[(HeaderName, Param)], which: &[Whence]) -> bool {
    let values = params.iter().map(|(_, value)| value).chain(headers.iter().map(|(_, value)| value));
    values.into_iter().any(|value| matches!(value, Param::Login(reference) if which.contains(&reference.whence)))
}
