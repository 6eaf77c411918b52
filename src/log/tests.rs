use std::sync::Mutex;

use super::form::is_unsafe;
use super::*;

fn settings(level: Level, access: bool) -> Settings {
    let access = if access { Share::ALL } else { Share::NONE };
    Settings { format: Format::Auto, level, access, request_id: None, project: None }
}

/// A subscriber and what it has written.
fn sink(form: Form, threshold: &Threshold) -> (impl Subscriber + Send + Sync + use<>, Arc<Mutex<String>>) {
    be_heard();
    let written = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&written);
    let write = move |line: &str| sink.lock().unwrap().push_str(line);
    let lines = Lines { form, limits: threshold.limits(), libraries: Pace::steady(), write };
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
        let line = logged(form.clone(), &at(Level::INFO), || {
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

#[test]
fn google_cloud_logging_gets_the_members_that_it_knows() {
    let access = Threshold::new(&settings(Level::INFO, true));
    let check = |project: Option<&str>, trace: &str| {
        let form = Form::Gcp { project: project.map(str::to_owned) };
        let line = logged(form, &access, || {
            tracing::info!(
                target: "access",
                method = "GET", path = "/items", status = 200_u64, route = "api", bytes_out = 7_u64,
                milliseconds = 1.5, peer = "10.0.0.7", trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
                span_id = "00f067aa0ba902b7", trace_sampled = true,
                "request"
            );
        });
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        let request = serde_json::json!({
            "requestMethod": "GET", "requestUrl": "/items", "status": 200, "responseSize": "7", "latency": "0.001500s",
            "remoteIp": "10.0.0.7",
        });
        assert_eq!(object["httpRequest"], request);
        assert_eq!((&object["severity"], &object["message"]), (&"INFO".into(), &"request".into()));
        assert_eq!(object["route"], "api");
        assert_eq!(object["logging.googleapis.com/trace"], trace);
        assert_eq!(object["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
        assert_eq!(object["logging.googleapis.com/trace_sampled"], true);
        assert!(object["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    };
    check(None, "4bf92f3577b34da6a3ce929d0e0e4736");
    check(Some("acme"), "projects/acme/traces/4bf92f3577b34da6a3ce929d0e0e4736");
    let line = logged(Form::Gcp { project: None }, &at(Level::INFO), || tracing::warn!(status = 1, "U001 api: no"));
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["severity"], &object["status"]), (&"WARNING".into(), &1.into()));
    assert_eq!(object.get("httpRequest"), None);
}
