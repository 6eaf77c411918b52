//! How a line looks: text for people, JSON for machines, JSON with the members that Google Cloud Logging knows.
//!
//! Owns the escaping that keeps what callers and servers wrote from looking like lines of ours.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::{ACCESS, chain};

/// The form of all lines of a process.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Text,
    Json,
    Gcp { project: Option<String> },
}

impl Form {
    /// A line, with its end, the target that it has if that is not one of ours, and how many it stands for besides itself.
    pub(super) fn line(&self, event: &Event<'_>, target: Option<&str>, unsaid: u64) -> String {
        let now = format!("{:.3}", jiff::Timestamp::now());
        let level = *event.metadata().level();
        match self {
            Self::Text => {
                let mut line = Text { head: format!("{now} {level:>5}"), fields: String::new() };
                if let Some(target) = target {
                    let _ = write!(line.head, " {target}:");
                }
                event.record(&mut line);
                if unsaid > 0 {
                    line.text("unsaid", &unsaid.to_string());
                }
                format!("{}{}\n", line.head, line.fields)
            }
            Self::Json => {
                let mut line = Json(String::from("{"));
                line.text("ts", &now);
                line.text("level", &level.as_str().to_ascii_lowercase());
                if let Some(target) = target {
                    line.text("target", target);
                }
                event.record(&mut line);
                line.close(unsaid)
            }
            Self::Gcp { project } => {
                let mut line = Json(String::from("{"));
                line.text("timestamp", &now);
                line.text("severity", severity(level));
                if let Some(target) = target {
                    line.text("target", target);
                }
                let is_access = target == Some(ACCESS);
                let request = Json(String::from("{"));
                let mut line = Gcp { line, request, is_access, project: project.as_deref() };
                event.record(&mut line);
                line.finish(unsaid)
            }
        }
    }
}

/// LogSeverity of Google Cloud Logging.
fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// `2026-01-02T03:04:05.678Z  INFO message name=value name="longer value"`.
struct Text {
    head: String,
    fields: String,
}

impl Text {
    fn text(&mut self, name: &str, value: &str) {
        if name == "message" {
            self.head.push(' ');
            escape_into(&mut self.head, value);
            return;
        }
        let is_word = !value.is_empty() && !value.contains([' ', '"', '=', '\\', '\'']);
        let _ = write!(self.fields, " {name}=");
        if is_word {
            escape_into(&mut self.fields, value);
        } else {
            self.fields.push('"');
            escape_into(&mut self.fields, &value.replace('\\', "\\\\").replace('"', "\\\""));
            self.fields.push('"');
        }
    }
}

/// A JSON object, open until its line ends.
struct Json(String);

impl Json {
    fn text(&mut self, name: &str, value: &str) {
        self.value(name, &serde_json::Value::from(value));
    }

    fn value(&mut self, name: &str, value: &serde_json::Value) {
        self.raw(name, &value.to_string());
    }

    fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
        // JSON itself escapes the C0 controls alone; the others act on a terminal just as well.
        for c in value.chars() {
            if is_unsafe(c) {
                let _ = write!(self.0, "\\u{:04x}", u32::from(c));
            } else {
                self.0.push(c);
            }
        }
    }

    fn close(mut self, unsaid: u64) -> String {
        if unsaid > 0 {
            self.value("unsaid", &unsaid.into());
        }
        self.0.push_str("}\n");
        self.0
    }
}

/// Members with a meaning of their own: `httpRequest`, and what begins with `logging.googleapis.com/`.
struct Gcp<'a> {
    line: Json,
    /// `httpRequest`.
    request: Json,
    is_access: bool,
    project: Option<&'a str>,
}

impl Gcp<'_> {
    fn put(&mut self, name: &str, value: &serde_json::Value) {
        match name {
            "trace_id" => {
                let id = value.as_str().unwrap_or_default();
                let trace = self.project.map_or_else(|| id.to_owned(), |name| format!("projects/{name}/traces/{id}"));
                self.line.text("logging.googleapis.com/trace", &trace);
            }
            "span_id" => self.line.value("logging.googleapis.com/spanId", value),
            "trace_sampled" => self.line.value("logging.googleapis.com/trace_sampled", value),
            "method" if self.is_access => self.request.value("requestMethod", value),
            // No query, which may hold secrets.
            "path" if self.is_access => self.request.value("requestUrl", value),
            "status" if self.is_access => self.request.value("status", value),
            "protocol" if self.is_access => self.request.value("protocol", value),
            "peer" if self.is_access => self.request.value("remoteIp", value),
            // Numbers of 64 bits are strings there.
            "bytes_in" if self.is_access => self.request.text("requestSize", &value.to_string()),
            "bytes_out" if self.is_access => self.request.text("responseSize", &value.to_string()),
            "milliseconds" if self.is_access => {
                let seconds = value.as_f64().unwrap_or_default() / 1e3;
                self.request.text("latency", &format!("{seconds:.6}s"));
            }
            name => self.line.value(name, value),
        }
    }

    fn finish(mut self, unsaid: u64) -> String {
        if self.request.0.len() > 1 {
            self.request.0.push('}');
            let request = self.request.0;
            self.line.raw("httpRequest", &request);
        }
        self.line.close(unsaid)
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field.name(), &chain(value));
    }
}

/// Both forms of JSON take values in the same way.
macro_rules! visit_json {
    ($form:ty, $put:ident) => {
        impl Visit for $form {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.$put(field.name(), &format!("{value:?}").into());
            }

            fn record_str(&mut self, field: &Field, value: &str) {
                self.$put(field.name(), &value.into());
            }

            fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
                self.$put(field.name(), &chain(value).into());
            }

            fn record_f64(&mut self, field: &Field, value: f64) {
                self.$put(field.name(), &value.into());
            }

            fn record_i64(&mut self, field: &Field, value: i64) {
                self.$put(field.name(), &value.into());
            }

            fn record_u64(&mut self, field: &Field, value: u64) {
                self.$put(field.name(), &value.into());
            }

            fn record_bool(&mut self, field: &Field, value: bool) {
                self.$put(field.name(), &value.into());
            }
        }
    };
}

visit_json!(Json, value);
visit_json!(Gcp<'_>, put);

fn escape_into(line: &mut String, text: &str) {
    for c in text.chars() {
        if is_unsafe(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Whether a character could end a line, drive a terminal, or change the order in which a line is shown.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
