//! The log: one line an event, on standard error.
//!
//! Owns the form of a line (text for people, JSON for machines), the level, and the escaping that keeps what callers and servers
//! wrote from looking like lines of ours. Refuses what HTTP and TLS libraries say below `warn`, whatever the level is, since
//! they may dump header fields, and more than one line of theirs in ten seconds, since callers can provoke them. There are no spans: an event carries all that it says.

mod pace;

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

pub use pace::Pace;

/// The target of the lines that there are one of for each request, if asked for.
pub const ACCESS: &str = "access";

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a line looks.
    pub format: Format,
    /// The least level written.
    pub level: Level,
    /// One line per request.
    pub access: bool,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Changes what is logged while the process runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Threshold(Arc<Limits>);

/// Starts logging to standard error as the settings say. Where something else logs already (a test), that goes on.
pub fn init(settings: &Settings) -> Threshold {
    let form = match settings.format {
        Format::Text => Form::Text,
        Format::Json => Form::Json,
        Format::Auto if io::stderr().is_terminal() => Form::Text,
        Format::Auto => Form::Json,
    };
    let threshold = Threshold::new(settings);
    // One write a line, so that lines of several threads do not mix. Nobody could be told of a failure.
    let write = |line: &str| drop(io::stderr().lock().write_all(line.as_bytes()));
    let lines = Lines { form, limits: Arc::clone(&threshold.0), libraries: Pace::new(), write };
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    threshold
}

/// An error with all its causes, on one line: `cannot read the file: permission denied`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

impl Threshold {
    fn new(settings: &Settings) -> Self {
        let threshold = Self(Arc::new(Limits { level: AtomicU8::new(0), access: AtomicBool::new(false) }));
        threshold.store(settings);
        threshold
    }

    /// Takes over level and access log from new settings; the format stays.
    pub fn change(&self, settings: &Settings) {
        self.store(settings);
        // Each place that logs remembers whether it is heard.
        tracing::callsite::rebuild_interest_cache();
    }

    fn store(&self, settings: &Settings) {
        self.0.level.store(verbosity(settings.level), Ordering::Relaxed);
        self.0.access.store(settings.access, Ordering::Relaxed);
    }
}

/// What is heard.
#[derive(Debug)]
struct Limits {
    /// [`verbosity`] of the least level.
    level: AtomicU8,
    access: AtomicBool,
}

impl Limits {
    fn hears(&self, metadata: &Metadata<'_>) -> bool {
        if !metadata.is_event() {
            return false;
        }
        if metadata.target() == ACCESS {
            return self.access.load(Ordering::Relaxed);
        }
        let level = self.level.load(Ordering::Relaxed);
        let level = if is_ours(metadata.target()) { level } else { level.min(verbosity(Level::WARN)) };
        verbosity(*metadata.level()) <= level
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Text,
    Json,
}

/// The layer that formats an event and writes it at once.
struct Lines<W> {
    form: Form,
    limits: Arc<Limits>,
    /// Of what libraries say.
    libraries: Pace,
    write: W,
}

impl<W: Fn(&str) + 'static> Lines<W> {
    /// A line, with how many it stands for besides itself.
    fn line(&self, event: &Event<'_>, unsaid: u64) -> String {
        let metadata = event.metadata();
        let now = format!("{:.3}", jiff::Timestamp::now());
        let target = (!is_ours(metadata.target())).then_some(metadata.target());
        match self.form {
            Form::Text => {
                let mut line = Text { head: format!("{now} {:>5}", metadata.level()), fields: String::new() };
                if let Some(target) = target {
                    let _ = write!(line.head, " {target}:");
                }
                event.record(&mut line);
                if unsaid > 0 {
                    line.text("unsaid", &unsaid.to_string());
                }
                format!("{}{}\n", line.head, line.fields)
            }
            Form::Json => {
                let mut line = Json(String::from("{"));
                line.text("ts", &now);
                line.text("level", &metadata.level().as_str().to_ascii_lowercase());
                if let Some(target) = target {
                    line.text("target", target);
                }
                event.record(&mut line);
                if unsaid > 0 {
                    line.value("unsaid", &unsaid.into());
                }
                line.0.push_str("}\n");
                line.0
            }
        }
    }
}

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Lines<W> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.limits.hears(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.limits.hears(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let level = self.limits.level.load(Ordering::Relaxed);
        let access = if self.limits.access.load(Ordering::Relaxed) { verbosity(Level::INFO) } else { 0 };
        Some(match level.max(access) {
            0 | 1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        let unsaid = if is_ours(target) || target == ACCESS { Some(0) } else { self.libraries.turn() };
        if let Some(unsaid) = unsaid {
            (self.write)(&self.line(event, unsaid));
        }
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

/// A flat JSON object, open until its line ends.
struct Json(String);

impl Json {
    fn text(&mut self, name: &str, value: &str) {
        self.value(name, &serde_json::Value::from(value));
    }

    fn value(&mut self, name: &str, value: &serde_json::Value) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
        // JSON itself escapes the C0 controls alone; the others act on a terminal just as well.
        for c in value.to_string().chars() {
            if is_unsafe(c) {
                let _ = write!(self.0, "\\u{:04x}", u32::from(c));
            } else {
                self.0.push(c);
            }
        }
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

impl Visit for Json {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field.name(), &chain(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field.name(), &value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field.name(), &value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field.name(), &value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field.name(), &value.into());
    }
}

/// 1 for errors alone to 5 for everything.
fn verbosity(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Whether an event comes from this crate.
fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some("bearerd")
}

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
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn settings(level: Level, access: bool) -> Settings {
        Settings { format: Format::Auto, level, access }
    }

    /// A subscriber and what it has written.
    fn sink(form: Form, threshold: &Threshold) -> (impl Subscriber + Send + Sync + use<>, Arc<Mutex<String>>) {
        let written = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&written);
        let write = move |line: &str| sink.lock().unwrap().push_str(line);
        let lines = Lines { form, limits: Arc::clone(&threshold.0), libraries: Pace::new(), write };
        (tracing_subscriber::registry().with(lines), written)
    }

    /// What a piece of code logs.
    fn logged(form: Form, threshold: &Threshold, code: impl FnOnce()) -> String {
        let (subscriber, written) = sink(form, threshold);
        tracing::subscriber::with_default(subscriber, code);
        written.lock().unwrap().clone()
    }

    fn at(level: Level) -> Threshold {
        Threshold::new(&settings(level, false))
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_text_line_has_the_message_first_and_quotes_values_that_are_no_words() {
        let line = logged(Form::Text, &at(Level::INFO), || {
            tracing::warn!(credential = "api", attempt = 2, note = "a \"b\"", empty = "", "token request {}", "failed");
        });
        let (time, rest) = line.split_at(24);
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time:?}");
        assert_eq!(rest, "  WARN token request failed credential=api attempt=2 note=\"a \\\"b\\\"\" empty=\"\"\n");
    }

    #[test]
    fn a_json_line_is_one_flat_object_with_typed_values() {
        let line = logged(Form::Json, &at(Level::INFO), || {
            let error = Outer(io::Error::other("no"));
            let error: &(dyn Error + 'static) = &error;
            tracing::info!(credential = "api", left = 2.5, count = 7_u64, ok = true, error, "renewed");
        });
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(object["ts"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(object["level"], "info");
        assert_eq!(object["message"], "renewed");
        assert_eq!(object["credential"], "api");
        assert_eq!(object["left"], 2.5);
        assert_eq!(object["count"], 7);
        assert_eq!(object["ok"], true);
        assert_eq!(object["error"], "cannot read the file: no");
        assert_eq!(object.get("target"), None);
    }

    #[test]
    fn what_callers_and_servers_write_cannot_forge_a_line_or_drive_a_terminal() {
        let hostile = "x\r\n2026-01-01T00:00:00.000Z ERROR forged\u{1b}[2J\u{9b}2J\u{7f}\u{0}\u{202e}\u{2028}\"},{";
        for form in [Form::Text, Form::Json] {
            let line = logged(form, &at(Level::INFO), || {
                tracing::info!(shown = %hostile, debugged = ?hostile, plain = hostile, "said {hostile}");
            });
            let inner = line.strip_suffix('\n').unwrap();
            assert!(!inner.chars().any(is_unsafe), "{form:?}: {inner:?}");
            assert!(inner.contains("forged"), "the text itself is kept: {inner}");
            if let Form::Json = form {
                let object: serde_json::Value = serde_json::from_str(inner).unwrap();
                assert_eq!(object["plain"], hostile, "escaping loses nothing");
                assert_eq!(object.as_object().unwrap().len(), 6);
            }
        }
    }

    #[test]
    fn libraries_are_heard_from_warn_on_whatever_the_level() {
        let text = logged(Form::Text, &at(Level::TRACE), || {
            tracing::trace!("ours");
            tracing::trace!(target: "hyper::proto::h1", "authorization: Bearer canary");
            tracing::debug!(target: "h2::codec", "authorization: Bearer canary");
            tracing::info!(target: "rustls::client", "authorization: Bearer canary");
            tracing::info!(target: "bearerdx", "canary");
            tracing::warn!(target: "h2::codec", "trouble");
        });
        assert!(text.contains("TRACE ours") && text.contains(" WARN h2::codec: trouble"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_callers_can_make_libraries_say_fills_no_disk() {
        let (subscriber, written) = sink(Form::Text, &at(Level::INFO));
        let _guard = tracing::subscriber::set_default(subscriber);
        let flood = || (0..1000).for_each(|_| tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack"));
        flood();
        tokio::time::advance(std::time::Duration::from_secs(11)).await;
        flood();
        (0..3).for_each(|_| tracing::warn!("ours"));
        let text = written.lock().unwrap().clone();
        assert_eq!(text.matches("recv PING ack").count(), 2, "{text}");
        assert!(text.contains("unsaid=999"), "{text}");
        assert_eq!(text.matches("ours").count(), 3, "{text}");
    }

    #[test]
    fn access_lines_are_written_only_if_asked_for_and_whatever_the_level() {
        let access = || tracing::info!(target: "access", status = 200, "GET /");
        assert_eq!(logged(Form::Text, &at(Level::TRACE), access), "");
        let text = logged(Form::Text, &Threshold::new(&settings(Level::ERROR, true)), access);
        assert!(text.ends_with(" INFO access: GET / status=200\n"), "{text}");
    }

    #[test]
    fn a_changed_level_holds_at_once() {
        let threshold = at(Level::WARN);
        let text = logged(Form::Text, &threshold, || {
            for level in [Level::WARN, Level::DEBUG, Level::INFO] {
                threshold.change(&settings(level, false));
                tracing::debug!("at {level}");
            }
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("DEBUG at DEBUG"), "{text}");
    }
}
