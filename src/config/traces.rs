//! `[traces]`: whether and where spans are sent; what is not written there is as OpenTelemetry's variables say.
//!
//! A build without traces refuses the table, and does not look at the variables, which other programs have in the same places.

mod variables;

use http::Uri;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use super::document::{Entry, Value};
use super::reader::{Keys, Reader, dotted};
use super::{inject, secret, tls, value, ways};
use crate::reason::Reason;
use crate::secret::SecretSource;
use crate::tls::ClientSettings;
use crate::traces::IS_BUILT_IN;
use crate::traces::settings::{Sampler, Settings};
use crate::upstream::{Origin, Scheme};
use variables::Variables;

pub(super) const KEYS: Keys = Keys {
    name: "[traces]",
    obeyed: &["endpoint", "allow_plain_http", "headers", "sample", "service_name", "resource", "proxy", "tls"],
    later: &[],
    protective: &[],
};

/// Where collectors take OTLP over HTTP, below the endpoint.
const PATH: &str = "/v1/traces";

/// The collector beside us.
const ENDPOINT: &str = "http://localhost:4318";

/// What the spans are about unless anybody says.
const SERVICE_NAME: &str = "bearerd";

const PLAIN_HTTP: &str = "plain http beyond this machine would show the paths of requests, and the headers for the collector, to the \
     network; write https://, or add allow_plain_http = true";

/// What is to be recorded and where it goes; `None` if nothing is, or after a mistake.
pub(super) fn read(reader: &Reader<'_>) -> Option<Settings> {
    // The manual and the example are the same for every build, and tests hold them against the readers.
    if !IS_BUILT_IN && !cfg!(test) {
        refuse(reader);
        return None;
    }
    let variables = Variables::of(reader.context());
    let endpoint = if reader.has("endpoint") { written_endpoint(reader) } else { usual_endpoint(reader, &variables) };
    let headers = headers(reader, &variables);
    let sampler = sampler(reader, &variables);
    let resource = resource(reader, &variables);
    let tls = client_tls(reader, &variables);
    let (endpoint, origin) = endpoint?;
    let proxy = ways::read(reader, &origin);
    if variables.switch_off(reader.is_written()) {
        return None;
    }
    Some(Settings { endpoint, headers, sampler, resource, tls: tls?, proxy, batches: variables.batches() })
}

fn refuse(reader: &Reader<'_>) {
    if !reader.is_written() {
        return;
    }
    let message = "needs a bearerd that was built with traces: cargo build --release --features otel";
    let (place, path, context) = (reader.place().clone(), reader.path(), reader.context());
    if context.ignore_unknown_keys() {
        context.warning(place, Reason::ConfigNotYet, path, format!("{message} (ignored)"));
    } else {
        context.mistake(place, Reason::ConfigNotYet, path, message);
    }
}

fn written_endpoint(reader: &Reader<'_>) -> Option<(Uri, Origin)> {
    let (uri, origin) = reader.parsed("endpoint", value::url)?;
    if uri.query().is_some() {
        reader.wrong("endpoint", "must have no query");
    }
    if !may_be_plain(reader, &origin) {
        reader.reject("endpoint", Reason::ConfigPlainHttp, format!("{PLAIN_HTTP} beside it"));
    }
    Some((below(uri)?, origin))
}

/// As the environment says, or the collector on this machine. A wrong variable is no reason not to start: other programs have it too.
fn usual_endpoint(reader: &Reader<'_>, variables: &Variables<'_>) -> Option<(Uri, Origin)> {
    let Some((name, text)) = variables.endpoint() else {
        let (uri, origin) = value::url(ENDPOINT).ok().filter(|_| reader.is_written())?;
        return Some((below(uri)?, origin));
    };
    let found = value::url(text).and_then(|(uri, origin)| match may_be_plain(reader, &origin) {
        true => Ok((uri, origin)),
        false => Err(format!("{PLAIN_HTTP} to [traces]")),
    });
    match found {
        Ok((uri, origin)) => Some((if variables.is_whole(name) { uri } else { below(uri)? }, origin)),
        Err(message) => {
            variables.ignore(name, &format!("{message}; there are no traces"));
            None
        }
    }
}

fn may_be_plain(reader: &Reader<'_>, origin: &Origin) -> bool {
    let is_allowed = reader.boolean("allow_plain_http").unwrap_or(false);
    origin.scheme() == Scheme::Https || origin.is_loopback() || is_allowed
}

/// The endpoint with the path that traces have below it, unless somebody has written that already.
fn below(uri: Uri) -> Option<Uri> {
    let base = uri.path().trim_end_matches('/');
    let path = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// What is written goes before what the environment says.
fn headers(reader: &Reader<'_>, variables: &Variables<'_>) -> Vec<(HeaderName, SecretSource)> {
    let mut found: Vec<(HeaderName, SecretSource)> = Vec::new();
    let path = reader.dotted("headers");
    for entry in reader.entries("headers") {
        if let Some((name, source)) = header(reader, entry, &dotted(&path, &entry.key), &found) {
            found.push((name, source));
        }
    }
    for (name, source) in variables.headers() {
        if !found.iter().any(|(other, _)| *other == name) {
            found.push((name, source));
        }
    }
    found
}

fn header(
    reader: &Reader<'_>,
    entry: &Entry,
    key: &str,
    before: &[(HeaderName, SecretSource)],
) -> Option<(HeaderName, SecretSource)> {
    let mistake = |place: &super::mistake::Place, reason, message: &str| {
        reader.context().mistake(place.clone(), reason, key, message);
        None
    };
    let Ok(name) = inject::header_name(&entry.key) else {
        return mistake(&entry.key_place, Reason::ConfigWrongValue, "is no legal name of a header field");
    };
    if is_own(&name) {
        return mistake(&entry.key_place, Reason::ConfigContradiction, "is set by bearerd itself");
    }
    if before.iter().any(|(other, _)| *other == name) {
        return mistake(&entry.key_place, Reason::ConfigContradiction, "is written twice");
    }
    let source = secret::from_node(reader.context(), &entry.node, key)?;
    if source.read_now().is_ok_and(|value| HeaderValue::from_str(value.expose()).is_err()) {
        return mistake(&entry.node.place, Reason::ConfigWrongValue, "holds characters that no header field can");
    }
    Some((name, source))
}

/// What frames the request, or says what is in it.
fn is_own(name: &HeaderName) -> bool {
    inject::is_of_connection(name)
        || [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::USER_AGENT].contains(name)
}

fn sampler(reader: &Reader<'_>, variables: &Variables<'_>) -> Sampler {
    match share(reader) {
        Some(share) => Sampler { share, follows_callers: true },
        None => variables.sampler(),
    }
}

/// `sample`: all, none, or a share.
fn share(reader: &Reader<'_>) -> Option<f64> {
    let share = match &reader.node("sample")?.value {
        Value::Float(share) => *share,
        Value::Integer(0) | Value::Boolean(false) => 0.0,
        Value::Integer(1) | Value::Boolean(true) => 1.0,
        Value::Text(text) => {
            let percent = text.as_str().strip_suffix('%').and_then(|percent| percent.trim_end().parse::<f64>().ok());
            percent.map_or(f64::NAN, |percent| percent / 100.0)
        }
        _ => f64::NAN,
    };
    if (0.0..=1.0).contains(&share) {
        return Some(share);
    }
    reader.wrong("sample", "must be a share from 0 to 1, such as 0.05 or \"5%\", or true or false");
    None
}

/// What the spans are about. What is written goes before what the environment says.
fn resource(reader: &Reader<'_>, variables: &Variables<'_>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: &str| {
        if !found.iter().any(|(other, _)| other == key) {
            found.push((key.to_owned(), value.to_owned()));
        }
    };
    let name = reader.non_empty("service_name");
    let written = reader.entries("resource");
    if name.is_some() && written.iter().any(|entry| entry.key == "service.name") {
        let message = "has a key of its own: service_name";
        reader.context().mistake(
            reader.place().clone(),
            Reason::ConfigContradiction,
            reader.dotted("resource"),
            message,
        );
    }
    for name in name.as_deref().into_iter() {
        add("service.name", name);
    }
    for entry in written {
        match entry.node.as_text() {
            Some(text) if !text.is_empty() && !entry.key.is_empty() => add(&entry.key, text),
            _ => {
                let key = dotted(&reader.dotted("resource"), &entry.key);
                let message = "must be a string that is not empty";
                reader.context().mistake(entry.node.place.clone(), Reason::ConfigWrongValue, key, message);
            }
        }
    }
    for (key, value) in variables.resource() {
        add(&key, &value);
    }
    add("service.name", SERVICE_NAME);
    add("service.version", env!("CARGO_PKG_VERSION"));
    found
}

fn client_tls(reader: &Reader<'_>, variables: &Variables<'_>) -> Option<ClientSettings> {
    if reader.has("tls") {
        return Some(tls::read(&reader.table("tls", &tls::KEYS)));
    }
    variables.tls()
}

#[cfg(test)]
mod tests;
