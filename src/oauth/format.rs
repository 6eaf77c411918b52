//! Reading the body of an answer, whatever it is written in: JSON, a form, XML.
//!
//! Owns the one shape that all become, JSON values with members, so that one pointer (RFC 6901) finds a member in each. Refuses
//! whatever two readers could read differently: text that is not UTF-8, a member of a form or of an object that comes twice. XML is
//! read without document types and their entities, and not however deep. No error shows any of the text.

use std::borrow::Cow;
use std::fmt;

use http::header::{CONTENT_TYPE, HeaderMap};
use roxmltree::{Document, Node, ParsingOptions};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::settings::Format;

/// How deep XML elements may be nested.
const DEEPEST: usize = 64;

/// The longest XML, in bytes: its parser compares the attributes of an element with each other.
const LONGEST_XML: usize = 64 * 1024;

/// What a leaf of XML has beside its attributes.
const TEXT: &str = "#text";

/// The members of an answer.
///
/// # Errors
/// Why it has none that mean one thing.
pub(super) fn parse(body: &[u8], headers: &HeaderMap, format: Format) -> Result<Value, String> {
    let text = text(body)?;
    match found(text, headers, format) {
        Format::Auto | Format::Json => json(text),
        Format::Form => form(text),
        Format::Xml => xml(text),
    }
}

/// An answer that is the token as a whole: a JSON text, or text as it is.
pub(super) fn whole(body: &[u8]) -> Result<Value, String> {
    let text = text(body)?;
    if text.starts_with('<') {
        return Err("it is a page (HTML or XML) and not a token".to_owned());
    }
    Ok(match serde_json::from_str(text) {
        Ok(value @ (Value::String(_) | Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_))) => value,
        Ok(Value::Number(_)) | Err(_) => Value::String(text.to_owned()),
    })
}

/// The members of an error, of which nothing depends but words: `None` if it has none.
pub(super) fn error_members(text: &str, headers: &HeaderMap, format: Format) -> Option<Value> {
    let text = text.trim();
    // A form is the last guess for what somebody may just have written.
    let value = match found(text, headers, format) {
        Format::Auto | Format::Json => serde_json::from_str(text).ok(),
        Format::Form => form(text).ok().filter(|value| value.as_object().is_some_and(|members| members.len() < 32)),
        Format::Xml => xml(text).ok(),
    };
    value.map(plain)
}

/// Where a pointer leads: to what a leaf of XML says, if it has attributes too.
pub(super) fn at<'a>(answer: &'a Value, pointer: &str) -> Option<&'a Value> {
    let found = answer.pointer(pointer)?;
    Some(leaf(found).unwrap_or(found))
}

/// As [`at`], to take the value out.
pub(super) fn at_mut<'a>(answer: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    let found = answer.pointer_mut(pointer)?;
    if leaf(found).is_some() { found.get_mut(TEXT) } else { Some(found) }
}

fn leaf(value: &Value) -> Option<&Value> {
    let members = value.as_object()?;
    members.get(TEXT).filter(|_| members.keys().all(|name| name == TEXT || name.starts_with('@')))
}

fn text(body: &[u8]) -> Result<&str, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16 text".to_owned());
    }
    match std::str::from_utf8(body).map_err(|_| "it is not UTF-8 text".to_owned())?.trim() {
        "" => Err("empty body".to_owned()),
        text => Ok(text),
    }
}

/// What a text is to be read as. Brackets of either kind are unmistakable, whatever a server calls them.
fn found(text: &str, headers: &HeaderMap, format: Format) -> Format {
    if format != Format::Auto {
        return format;
    }
    match text.bytes().next() {
        Some(b'{' | b'[' | b'"') => return Format::Json,
        Some(b'<') => return Format::Xml,
        _ => {}
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/x-www-form-urlencoded" => Format::Form,
        kind if kind.ends_with("/json") || kind.ends_with("+json") => Format::Json,
        _ if looks_like_form(text) => Format::Form,
        _ => Format::Json,
    }
}

/// `name=value&…`, on one line and without spaces.
fn looks_like_form(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'))
    };
    !text.contains(char::is_whitespace)
        && text.split('&').all(|pair| pair.split_once('=').is_some_and(|(name, _)| is_name(name)))
}

fn json(text: &str) -> Result<Value, String> {
    match serde_json::from_str::<Unambiguous>(text) {
        Ok(answer) => Ok(answer.0),
        // The place of the mistake may be told; serde_json shows nothing of the text itself.
        Err(error) if error.is_eof() => Err("the JSON is cut off".to_owned()),
        Err(_) if text.starts_with('<') => Err("it is a page (HTML or XML) and not JSON".to_owned()),
        Err(error) => Err(format!("it is not valid JSON ({error})")),
    }
}

fn form(text: &str) -> Result<Value, String> {
    let mut members = Map::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if members.insert(name.into_owned(), Value::String(value.into_owned())).is_some() {
            return Err("a member of the form comes twice".to_owned());
        }
    }
    Ok(Value::Object(members))
}

fn xml(text: &str) -> Result<Value, String> {
    let start: String = text.chars().take(512).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.contains("<html") {
        return Err("it is a page (HTML)".to_owned());
    }
    if text.len() > LONGEST_XML {
        return Err(format!("it is XML of more than {} KiB", LONGEST_XML / 1024));
    }
    let options = ParsingOptions { allow_dtd: false, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => "it is XML with a document type, which is not read".to_owned(),
        error => format!("it is not valid XML (at line {})", error.pos().row),
    })?;
    let root = document.root_element();
    let mut members = Map::new();
    members.insert(root.tag_name().name().to_owned(), element(root, 0)?);
    Ok(Value::Object(members))
}

/// An element without attributes and elements is its text. Elements of one name are a list; prefixes of namespaces go.
fn element(node: Node<'_, '_>, depth: usize) -> Result<Value, String> {
    if depth >= DEEPEST {
        return Err(format!("its XML is nested more than {DEEPEST} deep"));
    }
    let children: Vec<_> = node.children().filter(Node::is_element).collect();
    let words = || {
        let mut text: Cow<'_, str> = Cow::Borrowed("");
        for piece in node.children().filter(Node::is_text).filter_map(|piece| piece.text()) {
            text = if text.is_empty() { Cow::Borrowed(piece) } else { Cow::Owned(format!("{text}{piece}")) };
        }
        text.trim().to_owned()
    };
    if children.is_empty() && node.attributes().len() == 0 {
        return Ok(Value::String(words()));
    }
    let mut members = Map::new();
    for attribute in node.attributes() {
        add(&mut members, format!("@{}", attribute.name()), Value::from(attribute.value()));
    }
    if children.is_empty() {
        members.insert(TEXT.to_owned(), Value::String(words()));
    }
    for child in children {
        add(&mut members, child.tag_name().name().to_owned(), element(child, depth + 1)?);
    }
    Ok(Value::Object(members))
}

fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => {
            members.insert(name, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(before) => {
            let first = before.take();
            *before = Value::Array(vec![first, value]);
        }
    }
}

/// The same with each leaf of XML as its text alone.
fn plain(value: Value) -> Value {
    if let Some(text) = leaf(&value) {
        return text.clone();
    }
    match value {
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        value => value,
    }
}

/// JSON in which no member comes twice: "parameters MUST NOT be included more than once" (RFC 6749 §3.2).
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Unambiguous>()? {
            list.push(item.0);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = entries.next_entry::<String, Unambiguous>()? {
            if members.insert(name, value.0).is_some() {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of_type(content_type: &str) -> HeaderMap {
        [(CONTENT_TYPE, content_type.parse().unwrap())].into_iter().collect()
    }

    fn check(body: &str, format: Format, content_type: &str, wanted: &Value) {
        let parsed = parse(body.as_bytes(), &of_type(content_type), format);
        assert_eq!(parsed.as_ref(), Ok(wanted), "{body} as {format:?} {content_type}");
    }

    fn check_defect(body: &str, format: Format, words: &str) {
        let defect = parse(body.as_bytes(), &HeaderMap::new(), format).unwrap_err();
        assert!(defect.contains(words), "{body} gave {defect:?}");
    }

    #[test]
    fn a_form_is_told_by_its_type_or_its_look() {
        let form = "access_token=a%2Fb+c&expires=5183999";
        let wanted = json!({ "access_token": "a/b c", "expires": "5183999" });
        for content_type in ["application/x-www-form-urlencoded; charset=utf-8", "text/plain", "text/html", ""] {
            check(form, Format::Auto, content_type, &wanted);
        }
        check(form, Format::Form, "application/json", &wanted);
        check("a b", Format::Auto, "application/x-www-form-urlencoded", &json!({ "a b": "" }));
        // Brackets say more than the server does.
        for content_type in ["application/x-www-form-urlencoded", "text/xml", "text/html"] {
            check(r#"{"a":"b"}"#, Format::Auto, content_type, &json!({ "a": "b" }));
        }
        check("<a>b</a>", Format::Auto, "application/json", &json!({ "a": "b" }));
        check_defect("access_token=a&access_token=b", Format::Auto, "comes twice");
        check_defect("wrong password = none", Format::Auto, "not valid JSON");
        check_defect("access_token=a", Format::Json, "not valid JSON");
        check_defect("<a>b</a>", Format::Json, "page (HTML or XML) and not JSON");
    }

    #[test]
    fn xml_becomes_members() {
        let xml = |body: &str, wanted: &Value| check(body, Format::Auto, "text/xml", wanted);
        xml("<oauth><access_token>t</access_token><n/></oauth>", &json!({ "oauth": { "access_token": "t", "n": "" } }));
        let soap = "<?xml version=\"1.0\"?>\n<soap:Envelope xmlns:soap=\"urn:s\"><soap:Body><m:Login xmlns:m=\"urn:m\" \
            id=\"7\"><m:token m:kind=\"x\"> a&amp;b<![CDATA[<c>]]> </m:token></m:Login></soap:Body></soap:Envelope>";
        let login = json!({ "@id": "7", "token": { "@kind": "x", "#text": "a&b<c>" } });
        xml(soap, &json!({ "Envelope": { "Body": { "Login": login } } }));
        let mut answer = parse(soap.as_bytes(), &HeaderMap::new(), Format::Xml).unwrap();
        assert_eq!(at(&answer, "/Envelope/Body/Login/token"), Some(&json!("a&b<c>")));
        assert_eq!(at(&answer, "/Envelope/Body/Login/token/@kind"), Some(&json!("x")));
        assert_eq!(at_mut(&mut answer, "/Envelope/Body/Login/token").unwrap().take(), json!("a&b<c>"));
        xml("<a><b>1</b><b>2</b><b>3</b></a>", &json!({ "a": { "b": ["1", "2", "3"] } }));
        xml("<x:a xmlns:x=\"u\"><x:b>1</x:b><b>2</b></x:a>", &json!({ "a": { "b": ["1", "2"] } }));
    }

    #[test]
    fn xml_that_could_do_harm_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY e \"eeee\">]><a>&e;</a>";
        check_defect(bomb, Format::Auto, "document type");
        check_defect("<a>&nbsp;</a>", Format::Auto, "not valid XML (at line 1)");
        check_defect("<a><b></a>", Format::Xml, "not valid XML");
        check_defect("<a/><b/>", Format::Xml, "not valid XML");
        check_defect("no xml", Format::Xml, "not valid XML");
        check_defect(
            &format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000)),
            Format::Auto,
            "nested more than 64 deep",
        );
        check_defect(&format!("<a>{}</a>", "x".repeat(70_000)), Format::Auto, "more than 64 KiB");
        check_defect("<!DOCTYPE html><p>Log in", Format::Auto, "a page (HTML)");
        check_defect("<HTML><title>Log in</title></HTML>", Format::Auto, "a page (HTML)");
    }

    #[test]
    fn an_error_is_read_from_each_of_them() {
        let error = |body: &str| error_members(body, &HeaderMap::new(), Format::Auto);
        assert_eq!(
            error("error=invalid_client&error_description=no"),
            Some(json!({ "error": "invalid_client", "error_description": "no" }))
        );
        assert_eq!(error("<r><code t=\"i\">7</code></r>"), Some(json!({ "r": { "code": "7" } })));
        assert_eq!(error("{\"error\":1,\"error\":2}"), Some(json!({ "error": 2 })));
        assert_eq!(error("Required parameters are missing"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in [Format::Auto, Format::Json, Format::Form, Format::Xml] {
                let _ = parse(&body, &HeaderMap::new(), format);
            }
        }

        #[test]
        fn no_markup_makes_it_panic(body in "[<>/a-c=&;#x\"'! \\[\\]\\?-]{0,80}") {
            let _ = parse(body.as_bytes(), &HeaderMap::new(), Format::Xml);
        }
    }
}
