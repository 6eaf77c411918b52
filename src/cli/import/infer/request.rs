//! How a token request travels: method, encoding, proxy, TLS, and where the answer keeps the token.

use super::super::body::{Body, Encoding, Field};
use super::super::curl::Call;
use super::super::draft::{Key, Needed, Value};
use super::super::endpoint::TokenEndpoint;
use super::super::shell::{At, Refusal, Word};
use super::super::{harmless, literal, marks};
use super::Maker;

/// Fields of the query and of the body are one list, unless both are there.
pub(super) fn merged(call: &Call, body: Body, endpoint: &mut TokenEndpoint) -> Result<Body, Refusal> {
    if endpoint.fields.is_empty() {
        return Ok(body);
    }
    let query = std::mem::take(&mut endpoint.fields);
    if body.fields.is_empty() || call.is_get {
        endpoint.query.clear();
        let fields = query.into_iter().chain(body.fields).collect();
        return Ok(Body { encoding: Encoding::Query, fields, notes: body.notes });
    }
    let is_ours = |field: &&Field| {
        literal::is_secret_name(&field.name) || ["grant_type", "client_id", "username", "scope"].contains(&&*field.name)
    };
    let is_secret = |field: &Field| {
        let text = field.value.text();
        [&field.name, &text].iter().any(|part| marks::has_marks(part) || literal::looks_random(part))
            || literal::is_secret_name(&field.name)
    };
    if query.iter().any(is_secret) {
        let what = "a secret or a variable in the query beside a body: bearerd sends all fields in one place; move it into --data";
        return Err(Refusal::new(call.url.as_ref().map_or(At::Whole, |word| word.at), what));
    }
    let (ours, others): (Vec<_>, Vec<_>) = query.into_iter().partition(|field| is_ours(&field));
    if ours.is_empty() {
        let query = shown_query(&endpoint.query, &others, &mut endpoint.replace);
        endpoint.url = format!("{}?{query}", endpoint.url);
        return Ok(body);
    }
    let mut notes = body.notes;
    notes.push("the curl line sends fields in the query and in the body: all are sent in the body, where most servers take them".to_owned());
    let fields = ours.into_iter().chain(others).chain(body.fields).collect();
    Ok(Body { fields, notes, ..body })
}

/// The query as it was written, with placeholders for what may be a secret.
fn shown_query(query: &str, fields: &[Field], replace: &mut Vec<(String, String)>) -> String {
    let mut pieces = Vec::new();
    for (piece, field) in query.split('&').filter(|piece| !piece.trim().is_empty()).zip(fields) {
        let value = field.value.text();
        if harmless::is_harmless(&field.name, &value) {
            pieces.push(piece.to_owned());
            continue;
        }
        let name = piece.split('=').next().unwrap_or_default();
        let text = format!("YOUR_{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_uppercase());
        pieces.push(format!("{name}={text}"));
        replace.push((text, format!("the {} hidden characters of {:?}", value.chars().count(), field.name)));
    }
    pieces.join("&")
}

/// What documentation writes before its table of fields: a token request is a POST then. Curl would send a GET, and does mean one
/// where anything is beside the URL that a GET could carry.
fn is_url_alone(call: &Call, endpoint: &TokenEndpoint) -> bool {
    call.data.is_empty()
        && call.method.is_none()
        && !call.is_get
        && endpoint.query.is_empty()
        && call.headers.is_empty()
        && call.user.is_none()
        && endpoint.user.is_none()
        && call.certificate.is_none()
        // A login in a file.
        && call.notes.is_empty()
        // A file of cookies.
        && !call.dropped.iter().any(|option| option.starts_with("-b "))
}

const URL_ALONE: &str = "the curl line is a URL alone, which curl would GET; a POST is written, as token endpoints want one. If yours \
    wants a GET: method = \"GET\" and encoding = \"query\"";

impl Maker {
    pub(super) fn request(&mut self, call: &Call, endpoint: &TokenEndpoint) {
        let encoding = match self.encoding {
            Encoding::Form => None,
            Encoding::Json => Some("json"),
            Encoding::Multipart => Some("multipart"),
            Encoding::Query => Some("query"),
        };
        let default = if call.data.is_empty() || call.is_get { "GET" } else { "POST" };
        let method =
            call.method.as_ref().map_or(default.to_owned(), |word| marks::shown(&word.text).to_ascii_uppercase());
        if is_url_alone(call, endpoint) && self.encoding == Encoding::Form {
            self.draft.notes.push(URL_ALONE.to_owned());
        } else if method != "POST" {
            // A form would be the body of a GET, which nobody reads; there is none to send.
            let is_empty_get = method == "GET" && call.data.is_empty() && encoding.is_none();
            self.draft.key("method", Value::Text(method));
            if is_empty_get {
                self.draft.key("encoding", Value::Text("query".to_owned()));
            }
        }
        if let Some(encoding) = encoding {
            self.draft.key("encoding", Value::Text(encoding.to_owned()));
        }
    }

    pub(super) fn connection(&mut self, call: &Call) -> Result<(), Refusal> {
        if let Some(proxy) = &call.proxy {
            self.proxy(proxy, call.proxy_user.as_ref())?;
        }
        let mut tls = Vec::new();
        let mut file = |name: &str, word: &Word| {
            let path = marks::shown(&word.text);
            self.draft.needed.push(Needed::File { path: path.clone(), what: format!("TLS {name}") });
            tls.push(Key { name: name.to_owned(), value: Value::Text(path), comment: None });
        };
        if let Some(ca) = &call.ca {
            file("ca", ca);
        }
        if let Some(certificate) = &call.certificate {
            if certificate.text.contains(':') {
                return Err(Refusal::new(
                    certificate.at,
                    "a certificate with a passphrase: decrypt its key (openssl pkey -in KEY -out FILE)",
                ));
            }
            file("certificate", certificate);
            let key = call.key.as_ref().unwrap_or(certificate);
            file("key", key);
        } else if let Some(key) = &call.key {
            return Err(Refusal::new(key.at, "--key without --cert"));
        }
        self.draft.tables.push(("tls", tls));
        Ok(())
    }

    fn proxy(&mut self, proxy: &Word, user: Option<&Word>) -> Result<(), Refusal> {
        let url = if proxy.text.contains("://") { proxy.text.clone() } else { format!("http://{}", proxy.text) };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Refusal::new(proxy.at, "a proxy that is not an HTTP proxy: -x http://proxy:3128"));
        }
        if user.is_some() || url.contains('@') || marks::has_marks(&url) {
            let path = self.path("proxy");
            let what = "URL of the proxy with user and password (http://user:password@proxy:3128)";
            let (value, comment, needed) = match marks::whole(&proxy.text) {
                Some(_) if user.is_none() => literal::secret(&proxy.text, what, &path, proxy.at),
                _ => literal::file(what, &path, ", as the curl line has it, not shown here"),
            };
            self.draft.needed.push(needed);
            self.draft.commented("proxy", value, comment);
        } else {
            self.draft.key("proxy", Value::Text(url));
        }
        Ok(())
    }

    /// `| jq -r .data.token` says where the token is.
    pub(super) fn response(&mut self, call: &Call) {
        let Some(pointer) = call.piped.as_deref().and_then(pointer_of).filter(|pointer| pointer != "/access_token")
        else {
            return;
        };
        let value = Value::Text(pointer);
        let comment = Some("as jq takes it from the answer in the curl line".to_owned());
        self.draft.tables.push(("response", vec![Key { name: "access_token".to_owned(), value, comment }]));
    }
}

/// The JSON Pointer (RFC 6901) of a simple path of jq.
fn pointer_of(command: &str) -> Option<String> {
    let arguments = command.trim_start().strip_prefix("jq")?;
    let path = arguments.split_whitespace().find(|word| !word.starts_with('-'))?;
    let path = path.trim_matches(['\'', '"', ')']).strip_prefix('.')?;
    let is_simple = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    path.split('.').all(is_simple).then(|| format!("/{}", path.replace('.', "/")))
}
