//! The manual as a JSON Schema (draft 2020-12), for editors and for whatever writes configurations.
//!
//! It is never stricter than the readers. What only `bearerd check` can know, such as whether a file is there and which keys go with
//! which, it leaves to that. Patterns keep to what every dialect of regular expressions has.

use serde_json::{Map, Value, json};

use super::{Default, Form, Key, Kind, Section, sections};

/// The schema of the whole configuration.
pub(crate) fn schema() -> Value {
    let mut definitions: Map<String, Value> =
        sections().map(|section| (section.id.to_owned(), table(section))).collect();
    let Some(Value::Object(mut top)) = definitions.remove("top") else { return Value::Null };
    definitions.extend(FORMS.iter().map(|form| (form.id().to_owned(), form.schema())));
    definitions.insert("reference".to_owned(), reference());
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    whole.insert("title".to_owned(), "bearerd.toml".into());
    whole.append(&mut top);
    whole.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(whole)
}

fn table(section: &Section) -> Value {
    let rows = || section.obeyed();
    let properties: Map<String, Value> = rows().map(|row| (row.name.to_owned(), property(row))).collect();
    let mut table = json!({
        "description": section.about,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let required: Vec<_> = rows().filter(|row| matches!(row.default, Default::Required)).map(|row| row.name).collect();
    if let Some(table) = table.as_object_mut() {
        if !required.is_empty() {
            table.insert("required".to_owned(), required.into());
        }
        table.extend(together(section.id));
    }
    table
}

/// Which keys of a table need or exclude each other, as far as that is the same everywhere.
fn together(id: &str) -> Option<(String, Value)> {
    let required = |keys: &[&str]| keys.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>();
    let one_of = |keys: &[&str]| ("oneOf".to_owned(), required(keys).into());
    Some(match id {
        // A file that others include may have either.
        "top" => ("anyOf".to_owned(), required(&["routes", "credentials", "include"]).into()),
        "credential" => one_of(&["token_endpoint", "issuer"]),
        "secret" => one_of(&["file", "env", "systemd", "command"]),
        "permanent" => ("minProperties".to_owned(), 1.into()),
        "tls" => ("dependentRequired".to_owned(), json!({ "certificate": ["key"], "key": ["certificate"] })),
        _ => return None,
    })
}

fn property(row: &Key) -> Value {
    let mut property = row.kind.schema();
    if let Some(object) = property.as_object_mut() {
        let about = match row.default {
            Default::Says(words) => format!("{} Default: {words}.", row.about),
            Default::None | Default::Required | Default::Is(_) => row.about.to_owned(),
        };
        object.insert("description".to_owned(), about.into());
        if let Some(value) = row.default.value() {
            object.insert("default".to_owned(), value);
        }
    }
    property
}

impl Default {
    /// The value itself, where it is one.
    pub(super) fn value(&self) -> Option<Value> {
        let Self::Is(text) = self else { return None };
        let mut table: Map<String, Value> = toml::from_str(&format!("value = {text}")).ok()?;
        table.remove("value")
    }
}

fn of_definition(id: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{id}") })
}

fn any_of(several: impl IntoIterator<Item = Value>) -> Value {
    json!({ "anyOf": several.into_iter().collect::<Vec<_>>() })
}

fn one_or_many(one: &Value) -> Value {
    any_of([one.clone(), json!({ "type": "array", "items": one })])
}

impl Kind {
    fn schema(&self) -> Value {
        match self {
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Integer(from, to) => {
                let bound = |number: &i128| i64::try_from(*number).unwrap_or(i64::MAX);
                json!({ "type": "integer", "minimum": bound(from), "maximum": bound(to) })
            }
            Self::Word(words) => json!({ "enum": words() }),
            Self::Form(form) => of_definition(form.id()),
            Self::Share => {
                any_of([json!({ "type": "boolean" }), json!({ "type": "number", "minimum": 0, "maximum": 1 })])
            }
            Self::Secret => any_of([json!({ "type": "string" }), of_definition("secret")]),
            Self::Field => any_of([json!({ "type": "string" }), of_definition("secret"), of_definition("reference")]),
            Self::Param => any_of([
                json!({ "type": ["string", "number", "boolean"] }),
                of_definition("secret"),
                of_definition("reference"),
            ]),
            Self::Proxy => any_of([
                json!({ "enum": ["env", "none"] }),
                json!({ "type": "string", "pattern": "://" }),
                of_definition("secret"),
            ]),
            Self::Account => any_of([
                json!({ "type": "string" }),
                json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_294_u32 }),
            ]),
            // Whatever JSON has; no dates, which TOML has besides.
            Self::Json => json!({}),
            Self::Command => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
            Self::Either(one, other) => any_of([one.schema(), other.schema()]),
            Self::Many(one) => one_or_many(&one.schema()),
            Self::Map(Form::Text, value) => json!({ "type": "object", "additionalProperties": value.schema() }),
            Self::Map(name, value) => {
                let names = of_definition(name.id());
                json!({ "type": "object", "propertyNames": names, "additionalProperties": value.schema() })
            }
            Self::Table(id) => of_definition(id),
            Self::Tables(id) => one_or_many(&of_definition(id)),
        }
    }
}

/// What the values of a request may take from what the login has brought.
fn reference() -> Value {
    let prefix = json!({ "type": "string" });
    let of_step = |place: &str, form: Form| {
        json!({
            "type": "object",
            "properties": { "step": of_definition(Form::Name.id()), place: of_definition(form.id()), "prefix": prefix },
            "required": ["step", place],
            "additionalProperties": false,
        })
    };
    let of_token = |token: &str| {
        json!({
            "type": "object",
            "properties": { token: { "const": true }, "prefix": prefix },
            "required": [token],
            "additionalProperties": false,
        })
    };
    any_of([
        of_step("pointer", Form::Pointer),
        of_step("header", Form::Header),
        of_step("cookie", Form::Cookie),
        of_token("access_token"),
        of_token("refresh_token"),
    ])
}

/// All forms.
const FORMS: &[Form] = &[
    Form::Text,
    Form::Some,
    Form::Name,
    Form::Duration,
    Form::Off,
    Form::Size,
    Form::Listen,
    Form::Url,
    Form::Pointer,
    Form::Header,
    Form::Cookie,
    Form::Parameter,
    Form::Scheme,
    Form::Method,
    Form::Host,
    Form::Path,
    Form::Range,
    Form::Percent,
    Form::TokenType,
];

/// RFC 9110 §5.6.2.
const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// Those of the crate humantime.
const UNITS: &str = "(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|hours|hour|hrs|hr|h\
    |days|day|d|weeks|week|wks|wk|w|months|month|M|years|year|yrs|yr|y)";

impl Form {
    /// What the schema calls it.
    fn id(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Some => "non_empty",
            Self::Name => "name",
            Self::Duration => "duration",
            Self::Off => "off",
            Self::Size => "size",
            Self::Listen => "listener",
            Self::Url => "url",
            Self::Pointer => "json_pointer",
            Self::Header => "header_name",
            Self::Cookie => "cookie_name",
            Self::Parameter => "parameter_name",
            Self::Scheme => "auth_scheme",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Range => "address_range",
            Self::Percent => "percentage",
            Self::TokenType => "token_type",
        }
    }

    fn schema(self) -> Value {
        let pattern =
            |about: &str, pattern: &str| json!({ "description": about, "type": "string", "pattern": pattern });
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Some => json!({ "type": "string", "minLength": 1 }),
            Self::Off => json!({ "const": "off" }),
            Self::Name => pattern("A name of at most 64 letters, digits, _ and -", "^[A-Za-z0-9_-]{1,64}$"),
            Self::Duration => {
                let number = r"[0-9][0-9\s]*(\.\s*[0-9][0-9\s]*)?";
                let span = format!(r"^(0|\s*({number}{UNITS}\s*)+)$");
                pattern("A time with a unit: \"500ms\", \"10s\", \"1h30m\"", &span)
            }
            Self::Size => pattern(
                "A size with a unit: \"64KiB\", \"1MB\"",
                r"^(\+?0+|([0-9]+\.?[0-9]*|\.[0-9]+)\s*([kKmMgGtTpPeE][iI]?[bB]?|[bB]))$",
            ),
            Self::Listen => pattern(
                "An address: \"localhost:8080\", \"127.0.0.1:8080\", \"[::1]:8080\", \"unix:PATH\", \"fd:NAME\"",
                r"^(unix:.+|fd:.+|[lL][oO][cC][aA][lL][hH][oO][sS][tT]:\+?[0-9]+|[0-9.]+:[0-9]+|\[[0-9A-Fa-f:.%]+\]:[0-9]+)$",
            ),
            Self::Url => pattern("An http or https URL", "^[hH][tT][tT][pP][sS]?://[^#]+$"),
            Self::Pointer => pattern("A JSON Pointer (RFC 6901)", "^(/([^~]|~[01])*)?$"),
            Self::Header => pattern("The name of a header field", TOKEN),
            Self::Cookie => pattern("The name of a cookie", TOKEN),
            Self::Parameter => pattern("The name of a parameter", "^[A-Za-z0-9._~-]+$"),
            Self::Scheme => pattern("One word, or nothing", "^[!#$%&'*+.^_`|~0-9A-Za-z-]*$"),
            Self::Method => {
                let not = json!({ "enum": ["CONNECT", "HEAD", "TRACE"] });
                json!({ "description": "A method in capitals", "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Z-]+$", "not": not })
            }
            Self::Host => pattern("A host without its port", r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+|[A-Za-z0-9._-]+)$"),
            Self::Path => pattern("A path that begins with a slash", r#"^/[^?#%\\;"<>\s]*$"#),
            Self::Range => pattern(
                "\"loopback\", \"any\", an address or an address range",
                "^(any|loopback|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$",
            ),
            Self::Percent => pattern("A share", r"^[0-9.eE+-]+\s*%$"),
            Self::TokenType => pattern("A URN or URL", ":"),
        }
    }

    /// What people call it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Text | Self::Some => "string",
            Self::Name => "name",
            Self::Duration => "duration",
            Self::Off => "`\"off\"`",
            Self::Size => "size",
            Self::Listen => "address",
            Self::Url => "URL",
            Self::Pointer => "JSON Pointer",
            Self::Header => "header name",
            Self::Cookie => "cookie name",
            Self::Parameter => "parameter name",
            Self::Scheme => "word",
            Self::Method => "method",
            Self::Host => "host",
            Self::Path => "path",
            Self::Range => "address range",
            Self::Percent => "percentage",
            Self::TokenType => "URN",
        }
    }
}
