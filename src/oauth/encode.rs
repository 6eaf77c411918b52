//! The encodings of a token request's fields: form, JSON, multipart, query.
//!
//! Owns bytes alone: which fields there are is decided before, in [`super::request`]. What holds secrets is wiped
//! when it is dropped.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::settings::Encoding;

/// All but the unreserved characters of RFC 3986 §2.3.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One field. A name may come several times only where its specification says so (`resource`, RFC 8707).
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) value: FieldValue<'a>,
}

/// Text, or a value that keeps its type in JSON and is written out elsewhere.
#[derive(Clone, Copy)]
pub(super) enum FieldValue<'a> {
    Text(&'a str),
    Json(&'a serde_json::Value),
}

/// The fields as they travel.
pub(super) struct Encoded {
    /// To be appended to the query of the token endpoint.
    pub(super) query: Option<Zeroizing<String>>,
    pub(super) content_type: Option<String>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl FieldValue<'_> {
    fn with_text<R>(&self, use_it: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Text(text) => use_it(text),
            Self::Json(serde_json::Value::String(text)) => use_it(text),
            Self::Json(value) => use_it(&value.to_string()),
        }
    }
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Json(value) => value.serialize(serializer),
        }
    }
}

/// Encodes the fields in their order.
pub(super) fn encode(encoding: Encoding, fields: &[Field<'_>]) -> Encoded {
    match encoding {
        Encoding::Form => Encoded {
            query: None,
            content_type: Some("application/x-www-form-urlencoded".to_owned()),
            body: form(fields),
        },
        Encoding::Json => {
            Encoded { query: None, content_type: Some("application/json".to_owned()), body: json(fields) }
        }
        Encoding::Multipart => {
            let boundary = random_boundary();
            Encoded {
                query: None,
                content_type: Some(format!("multipart/form-data; boundary={boundary}")),
                body: multipart(fields, &boundary),
            }
        }
        Encoding::Query => Encoded { query: Some(query(fields)), content_type: None, body: Zeroizing::default() },
    }
}

/// Room for whatever the fields become, since a buffer that grows leaves copies of what it held behind: a byte is written as three in
/// a form, as six in JSON, and everything around a value is short.
fn room(fields: &[Field<'_>], most: usize) -> usize {
    let around = 128;
    fields.iter().map(|field| most * (field.name.len() + field.value.with_text(str::len)) + around).sum::<usize>()
        + around
}

fn form(fields: &[Field<'_>]) -> Zeroizing<Vec<u8>> {
    let mut serializer = form_urlencoded::Serializer::new(String::with_capacity(room(fields, 3)));
    for field in fields {
        field.value.with_text(|text| {
            serializer.append_pair(field.name, text);
        });
    }
    Zeroizing::new(serializer.finish().into_bytes())
}

/// As `form`, but a space is `%20`: every server reads that as a space, and not every one reads `+` so in a query.
fn query(fields: &[Field<'_>]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(room(fields, 3)));
    for field in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(utf8_percent_encode(field.name, RESERVED));
        text.push('=');
        field.value.with_text(|value| text.extend(utf8_percent_encode(value, RESERVED)));
    }
    text
}

/// One flat object; a name that comes several times becomes an array.
fn json(fields: &[Field<'_>]) -> Zeroizing<Vec<u8>> {
    struct Object<'a>(Vec<(&'a str, Vec<FieldValue<'a>>)>);

    impl Serialize for Object<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeMap;
            let mut map = serializer.serialize_map(Some(self.0.len()))?;
            for (name, values) in &self.0 {
                match values.as_slice() {
                    [one] => map.serialize_entry(name, one)?,
                    several => map.serialize_entry(name, several)?,
                }
            }
            map.end()
        }
    }

    let mut object = Object(Vec::new());
    let mut places = BTreeMap::new();
    for field in fields {
        let place = *places.entry(field.name).or_insert(object.0.len());
        match object.0.get_mut(place) {
            Some((_, values)) => values.push(field.value),
            None => object.0.push((field.name, vec![field.value])),
        }
    }
    let mut body = Zeroizing::new(Vec::with_capacity(room(fields, 6)));
    // Text, numbers and booleans under text names always serialize.
    if serde_json::to_writer(&mut *body, &object).is_err() {
        body.clear();
    }
    body
}

/// RFC 7578. Names are escaped as browsers do it (§4.2 leaves it open).
fn multipart(fields: &[Field<'_>], boundary: &str) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(room(fields, 3) + fields.len() * boundary.len()));
    for field in fields {
        let name = field.name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        field.value.with_text(|text| body.extend_from_slice(text.as_bytes()));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

/// 128 random bits: no value can contain it but by knowing it.
fn random_boundary() -> String {
    let mut bytes = [0; 16];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    bytes.iter().fold(String::from("bearerd-"), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_buffer_with_secrets_ever_grows(values in proptest::collection::vec("[\\x00-\\x7f]{0,40}|\\PC{0,20}", 0..5)) {
            let pairs: Vec<_> = values.iter().map(|value| (value.as_str(), value.as_str())).collect();
            let fields = fields(&pairs);
            for encoding in [Encoding::Form, Encoding::Json, Encoding::Multipart, Encoding::Query] {
                let encoded = encode(encoding, &fields);
                let room = if encoding == Encoding::Json { room(&fields, 6) } else { room(&fields, 3) };
                prop_assert!(encoded.body.len() <= room && encoded.query.is_none_or(|query| query.len() <= room));
            }
        }
    }

    fn fields<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Field<'a>> {
        pairs.iter().map(|&(name, value)| Field { name, value: FieldValue::Text(value) }).collect()
    }

    const ROW: &[(&str, &str)] = &[("b", "x y&z=%+"), ("a", "zoë\n\"'"), ("empty", "")];

    #[test]
    fn a_form_is_urlencoded_in_the_order_of_the_fields() {
        let encoded = encode(Encoding::Form, &fields(ROW));
        assert_eq!(&*encoded.body, b"b=x+y%26z%3D%25%2B&a=zo%C3%AB%0A%22%27&empty=");
        assert_eq!(encoded.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
    }

    #[test]
    fn a_query_writes_spaces_so_that_every_server_reads_them() {
        let encoded = encode(Encoding::Query, &fields(ROW));
        assert_eq!(**encoded.query.as_ref().unwrap(), "b=x%20y%26z%3D%25%2B&a=zo%C3%AB%0A%22%27&empty=");
        assert!(encoded.body.is_empty() && encoded.content_type.is_none());
    }

    #[test]
    fn numbers_and_booleans_keep_their_type_in_json_and_are_written_out_elsewhere() {
        let (number, yes, text) = (serde_json::json!(7), serde_json::json!(true), serde_json::json!("t"));
        let fields = [
            Field { name: "n", value: FieldValue::Json(&number) },
            Field { name: "y", value: FieldValue::Json(&yes) },
            Field { name: "t", value: FieldValue::Json(&text) },
            Field { name: "s", value: FieldValue::Text("7") },
        ];
        assert_eq!(&*encode(Encoding::Json, &fields).body, br#"{"n":7,"y":true,"t":"t","s":"7"}"#);
        assert_eq!(&*encode(Encoding::Form, &fields).body, b"n=7&y=true&t=t&s=7");
    }

    #[test]
    fn repeated_names_become_an_array_in_json() {
        let encoded = encode(Encoding::Json, &fields(&[("resource", "a"), ("x", "\u{eb}\"\n"), ("resource", "b")]));
        assert_eq!(std::str::from_utf8(&encoded.body).unwrap(), "{\"resource\":[\"a\",\"b\"],\"x\":\"ë\\\"\\n\"}");
    }

    #[test]
    fn multipart_keeps_values_as_they_are_and_escapes_names() {
        let body = multipart(&fields(&[("na\"me", "v\r\n--x"), ("b", "")]), "BOUND");
        let wanted = "--BOUND\r\nContent-Disposition: form-data; name=\"na%22me\"\r\n\r\nv\r\n--x\r\n\
                      --BOUND\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\r\n--BOUND--\r\n";
        assert_eq!(std::str::from_utf8(&body).unwrap(), wanted);
    }

    #[test]
    fn every_multipart_request_has_a_boundary_of_its_own() {
        let one = encode(Encoding::Multipart, &[]).content_type;
        assert_ne!(one, encode(Encoding::Multipart, &[]).content_type);
        assert!(one.unwrap().len() <= "multipart/form-data; boundary=".len() + 70, "RFC 2046 §5.1.1");
    }
}
