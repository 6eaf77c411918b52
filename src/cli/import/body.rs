//! The fields of the request that a call of curl makes, and how they travel.
//!
//! Owns what curl does with `--data`, `--data-urlencode`, `--form` and `--json`, and what a form, a flat JSON object and a query
//! are. Refuses what a token request of bearerd cannot say: nested JSON, files as bodies, other kinds of bodies.

use serde_json::{Map, Value as Json};

use super::curl::{Call, Datum};
use super::html;
use super::marks;
use super::shell::{At, Refusal, Word};

/// How the fields travel: the words of the key `encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Form,
    Json,
    Multipart,
    Query,
}

/// One field, decoded, with [`marks`] in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: FieldValue,
    pub(super) at: At,
}

/// Text, or a JSON number or boolean.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FieldValue {
    Text(String),
    Scalar(Json),
}

impl FieldValue {
    /// As text, which is what it is in a form.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Scalar(value) => value.to_string(),
        }
    }
}

/// What is said of names that only a shell knows.
pub(super) const NO_FIELDS: &str = "a body that is one variable or file: write its fields, as NAME=VALUE";

/// All that the request says, but for its headers.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) encoding: Encoding,
    pub(super) fields: Vec<Field>,
    pub(super) notes: Vec<String>,
}

/// Reads the data of a call.
///
/// # Errors
/// See the module.
pub(super) fn read(call: &Call, content_type: Option<&Word>) -> Result<Body, Refusal> {
    let parts = call.data.iter().filter(|datum| matches!(datum, Datum::Part(_) | Datum::LiteralPart(_))).count();
    let first = call.data.first().map_or(At::Whole, |datum| datum.word().at);
    if parts > 0 && parts < call.data.len() {
        return Err(Refusal::new(first, "--form and --data in one call, which curl refuses as well"));
    }
    if parts > 0 {
        let fields = call.data.iter().map(part).collect::<Result<_, _>>()?;
        return Ok(Body { encoding: Encoding::Multipart, fields, notes: Vec::new() });
    }
    let kind = content_type.map(kind_of).transpose()?;
    let is_json = kind == Some(Encoding::Json)
        || call.data.iter().any(|datum| matches!(datum, Datum::Json(_)))
        || call
            .data
            .first()
            .is_some_and(|datum| datum.word().text.trim_start().starts_with('{') && datum.is_as_written());
    if kind == Some(Encoding::Multipart) {
        return Err(Refusal::new(
            first,
            "multipart/form-data that is not made by --form: write each field as --form NAME=VALUE",
        ));
    }
    match is_json && !call.data.is_empty() && !call.is_get {
        true => json_or_form(call, kind, first),
        false => form(call),
    }
}

impl Datum {
    fn word(&self) -> &Word {
        match self {
            Self::AsWritten(word)
            | Self::Encoded(word)
            | Self::Json(word)
            | Self::Part(word)
            | Self::LiteralPart(word) => word,
        }
    }

    fn is_as_written(&self) -> bool {
        matches!(self, Self::AsWritten(_) | Self::Json(_))
    }
}

fn kind_of(content_type: &Word) -> Result<Encoding, Refusal> {
    let kind = content_type.text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" => Ok(Encoding::Form),
        "multipart/form-data" => Ok(Encoding::Multipart),
        json if json == "application/json" || json == "text/json" || json.ends_with("+json") => Ok(Encoding::Json),
        _ => {
            Err(Refusal::new(content_type.at, "a body of this kind: bearerd sends forms, JSON and multipart/form-data"))
        }
    }
}

fn form(call: &Call) -> Result<Body, Refusal> {
    let (mut fields, mut notes) = (Vec::new(), Vec::new());
    for datum in &call.data {
        match datum {
            Datum::Encoded(word) => fields.push(encoded(word)?),
            other => as_written(other.word(), &mut fields, &mut notes)?,
        }
    }
    check_names(&fields)?;
    let encoding = if call.is_get { Encoding::Query } else { Encoding::Form };
    Ok(Body { encoding, fields, notes })
}

/// `a=b&c=d`, percent-encoded already.
fn as_written(word: &Word, fields: &mut Vec<Field>, notes: &mut Vec<String>) -> Result<(), Refusal> {
    if word.text.starts_with('@') {
        return Err(Refusal::new(word.at, "a body from a file: write its fields into the line"));
    }
    // Line breaks in quoted data are documentation's, not the vendor's.
    let text: String = word.text.split(['\n', '\r']).map(str::trim).collect();
    fields.extend(query(&html::without_amp(&text, notes), word.at)?);
    Ok(())
}

/// The fields of a query or a form.
///
/// # Errors
/// A piece that is no field: it may be a secret, and a name would be written.
pub(super) fn query(text: &str, at: At) -> Result<Vec<Field>, Refusal> {
    if let Some(what) = html::first_escape(text) {
        return Err(Refusal::new(at, what));
    }
    let mut fields = Vec::new();
    for piece in text.split('&').filter(|piece| !piece.trim().is_empty()) {
        let pair = piece.contains('=').then(|| form_urlencoded::parse(piece.as_bytes()).next()).flatten();
        let (name, value) = match pair {
            Some((name, value)) if !name.trim().is_empty() => (name.trim().to_owned(), value.into_owned()),
            _ if marks::has_marks(piece) => return Err(Refusal::new(at, NO_FIELDS)),
            _ => {
                let what = "a piece of a body or a query that is not NAME=VALUE (not shown, since it may be a secret): write its name";
                return Err(Refusal::new(at, what));
            }
        };
        fields.push(Field { name, value: FieldValue::Text(value), at });
    }
    Ok(fields)
}

/// Refuses one text in base64, whose padding looks like a field without a value.
///
/// # Errors
/// That it is one.
pub(super) fn check_names(fields: &[Field]) -> Result<(), Refusal> {
    let [field] = fields else { return Ok(()) };
    let value = field.value.text();
    let is_padded = value.chars().all(|c| c == '=') && (field.name.len() + 1 + value.len()).is_multiple_of(4);
    match is_padded && field.name.contains(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()) {
        true => Err(Refusal::new(field.at, "a text that looks like base64 where fields should be, as NAME=VALUE")),
        false => Ok(()),
    }
}

/// The five forms of `--data-urlencode`.
fn encoded(word: &Word) -> Result<Field, Refusal> {
    let nameless = || Refusal::new(word.at, "--data-urlencode without a name: write NAME=VALUE");
    let field =
        |name: &str, value: String| Field { name: name.to_owned(), value: FieldValue::Text(value), at: word.at };
    let text = &word.text;
    let first = text.find(['=', '@']).ok_or_else(nameless)?;
    let (name, rest) = text.split_at(first);
    let (sign, value) = (rest.chars().next(), rest.get(1..).unwrap_or_default());
    match (name, sign) {
        ("", _) => Err(nameless()),
        (name, Some('@')) => Ok(field(name, marks::file(value))),
        (name, _) => Ok(field(name, value.to_owned())),
    }
}

/// `NAME=VALUE`, `NAME=<FILE`, with `;type=…` after it.
fn part(datum: &Datum) -> Result<Field, Refusal> {
    let word = datum.word();
    let Some((name, value)) = word.text.split_once('=') else {
        return Err(Refusal::new(word.at, "--form without NAME=VALUE"));
    };
    let field = |value: String| Field { name: name.to_owned(), value: FieldValue::Text(value), at: word.at };
    if matches!(datum, Datum::LiteralPart(_)) {
        return Ok(field(value.to_owned()));
    }
    let value = strip_attributes(value);
    if value.starts_with('@') {
        return Err(Refusal::new(
            word.at,
            "an upload of a file (@): bearerd sends fields without file names; --form 'NAME=<FILE' sends a file's content",
        ));
    }
    match value.strip_prefix('<') {
        // `<your secret>` is a placeholder, not a file.
        Some(path) if !path.ends_with('>') => Ok(field(marks::file(path))),
        _ => Ok(field(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value).to_owned())),
    }
}

/// What is before `;type=` and its kin.
fn strip_attributes(value: &str) -> &str {
    let attributes = [";type=", ";filename=", ";headers=", ";encoder="];
    let end = attributes.iter().filter_map(|attribute| value.find(attribute)).min();
    end.and_then(|end| value.get(..end)).unwrap_or(value)
}

fn json_or_form(call: &Call, kind: Option<Encoding>, at: At) -> Result<Body, Refusal> {
    let text: String = call.data.iter().map(|datum| datum.word().text.as_str()).collect();
    if text.trim_start().starts_with('@') {
        return Err(Refusal::new(at, "a body from a file: write its fields into the line"));
    }
    if !text.trim_start().starts_with(['{', '[']) && text.contains('=') {
        let body = form(call)?;
        let note = "the curl line calls its body JSON, but writes a form: a form is sent. If the endpoint wants JSON: encoding = \"json\"";
        let notes = std::iter::once(note.to_owned()).chain(body.notes).collect();
        return Ok(Body { notes, ..body });
    }
    let mut notes = Vec::new();
    if kind == Some(Encoding::Form) {
        notes.push("the curl line calls its body a form, but writes JSON: JSON is sent. If the endpoint wants a form, leave out encoding".to_owned());
    }
    let fields = object(&text, at)?.into_iter().map(|(name, value)| member(name, value, at, &mut notes));
    let fields: Vec<Option<Field>> = fields.collect::<Result<_, _>>()?;
    Ok(Body { encoding: Encoding::Json, fields: fields.into_iter().flatten().collect(), notes })
}

fn object(text: &str, at: At) -> Result<Map<String, Json>, Refusal> {
    match serde_json::from_str(text) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(Refusal::new(at, "a JSON body that is no object: bearerd sends one flat object")),
        Err(error) => {
            if let Some(what) = html::first_escape(text) {
                return Err(Refusal::new(at, what));
            }
            // Its message shows nothing of the text.
            let place = format!("at line {}, column {} of the body", error.line(), error.column());
            Err(Refusal::new(at, format!("a body that begins as JSON and is not ({}, {place})", category(&error))))
        }
    }
}

fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "something that JSON does not allow; an unquoted variable, a comma too many?",
    }
}

fn member(name: String, value: Json, at: At, notes: &mut Vec<String>) -> Result<Option<Field>, Refusal> {
    if marks::has_marks(&name) {
        return Err(Refusal::new(at, NO_FIELDS));
    }
    let value = match value {
        Json::String(text) => FieldValue::Text(text),
        Json::Null => {
            notes.push(format!("the JSON member {name:?} is null in the curl line and is left out"));
            return Ok(None);
        }
        Json::Bool(_) | Json::Number(_) => FieldValue::Scalar(value),
        Json::Array(_) | Json::Object(_) => {
            let what = format!(
                "the JSON member {name:?} is a list or an object: bearerd sends one flat object of texts, numbers and booleans"
            );
            return Err(Refusal::new(at, what));
        }
    };
    Ok(Some(Field { name, value, at }))
}

#[cfg(test)]
mod tests {
    use super::super::{curl, shell};
    use super::*;

    fn body(text: &str) -> Result<Body, Refusal> {
        let call = curl::read(shell::split(text).unwrap()).unwrap();
        let header = call.headers.iter().find_map(|word| {
            let (name, value) = word.text.split_once(':')?;
            name.eq_ignore_ascii_case("content-type").then(|| Word { text: value.trim().to_owned(), at: word.at })
        });
        read(&call, header.as_ref())
    }

    fn check(text: &str, encoding: Encoding, fields: &[(&str, &str)]) {
        let body = body(text).unwrap();
        let found: Vec<_> = body.fields.iter().map(|f| (f.name.clone(), marks::shown(&f.value.text()))).collect();
        let wanted: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!((body.encoding, found), (encoding, wanted), "{text}");
    }

    #[test]
    fn forms_are_read_in_all_their_ways() {
        check("curl x -d a=b -d 'c=d%20e+f&g='", Encoding::Form, &[("a", "b"), ("c", "d e f"), ("g", "")]);
        check(
            "curl x --data-urlencode 'a=b c&d' --data-urlencode k@/run/k",
            Encoding::Form,
            &[("a", "b c&d"), ("k", "$(cat /run/k)")],
        );
        check("curl x -d \"a=$A&b=${B}\"", Encoding::Form, &[("a", "$A"), ("b", "$B")]);
        check("curl x -d 'a=1\n&b=2'", Encoding::Form, &[("a", "1"), ("b", "2")]);
        check("curl x -d a=b -d abcdeF1=", Encoding::Form, &[("a", "b"), ("abcdeF1", "")]);
        check("curl -G x -d a=b", Encoding::Query, &[("a", "b")]);
        check("curl x", Encoding::Form, &[]);
        check(
            "curl x -F a=b -F 'c=<f' -F 'd=e;type=text/plain' --form-string 'g=@h;type=x'",
            Encoding::Multipart,
            &[("a", "b"), ("c", "$(cat f)"), ("d", "e"), ("g", "@h;type=x")],
        );
        check("curl x -F 'a=<your secret>'", Encoding::Multipart, &[("a", "<your secret>")]);
    }

    #[test]
    fn json_is_read_by_its_header_its_option_or_its_look() {
        let fields = [("a", "b"), ("n", "7"), ("y", "true")];
        for text in [
            r#"curl x -H 'Content-Type: application/json' -d '{"a":"b","n":7,"y":true}'"#,
            r#"curl x --json '{"a":"b",' --json '"n":7,"y":true}'"#,
            r#"curl x -d '{"a":"b","n":7,"y":true,"z":null}'"#,
        ] {
            check(text, Encoding::Json, &fields);
        }
        check(r#"curl x --json '{"a":"'$A'"}'"#, Encoding::Json, &[("a", "$A")]);
        check("curl x -H 'Content-Type: application/json' -d 'a=b'", Encoding::Form, &[("a", "b")]);
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let refused = |text: &str, wanted: &str| {
            let error = body(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
            assert!(!error.contains("hunter22") && !error.contains("aHVud"), "{error}");
        };
        refused(r#"curl x --json '{"a":{"b":1}}'"#, "\"a\" is a list or an object");
        refused(r#"curl x --json '[1]'"#, "no object");
        refused(r#"curl x --json '{"a":'"#, "it ends too early");
        refused(r#"curl x --json "{\"a\":$A}""#, "an unquoted variable");
        refused("curl x -d hunter22rawsecret", "column 11: a piece of a body or a query that is not NAME=VALUE");
        refused("curl x -d 'a=b&hunter22'", "not NAME=VALUE");
        refused("curl x -d '=hunter22'", "not NAME=VALUE");
        refused("curl x -d aHVudGVyMjI=", "looks like base64");
        refused("curl x -d \"$(cat secret)\"", "a body that is one variable or file: write its fields");
        refused("curl x -d \"$BODY\"", "a body that is one variable or file: write its fields");
        refused("curl x -d @body.json", "column 11: a body from a file");
        refused("curl x --json @body.json", "a body from a file");
        refused("curl x --data-urlencode @f", "without a name");
        refused("curl x --data-urlencode =v", "without a name");
        refused("curl x -F a=@f", "an upload of a file");
        refused("curl x -F a", "--form without");
        refused("curl x -F a=b -d c=d", "--form and --data");
        refused("curl x -H 'Content-Type: text/xml' -d '<a/>'", "a body of this kind");
        refused("curl x -H 'Content-Type: multipart/form-data' -d a=b", "that is not made by --form");
    }
}
