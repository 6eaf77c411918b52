//! The tables: what `/status` says, in lines.

use serde_json::Value;

use super::paint::{Paint, Side, aligned};
use crate::admin::words;

const BAR: usize = 20;
/// An end of a certificate that is nearer than this, in seconds, wants attention.
const SOON: f64 = 14.0 * 86_400.0;

/// Everything, with a line break at the end. A bearerd of another version may lack a part, which is then left out.
pub(super) fn render(status: &Value, paint: Paint) -> String {
    let parts = [
        head(status, paint),
        credentials(status, paint),
        routes(status, paint),
        refusals(status, paint),
        certificates(status, paint),
        configuration(status, paint),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn head(status: &Value, paint: Paint) -> String {
    let state = match (is(status, "draining"), is(status, "ready")) {
        (true, _) => paint.warning("draining"),
        (_, true) => paint.good("ready"),
        _ => paint.bad("not ready"),
    };
    let mut facts = vec![format!("up for {}", words::duration(number(status, "uptime_seconds").unwrap_or(0.0)))];
    for (name, what) in [("connections", "connections"), ("requests_in_flight", "in flight")] {
        facts.extend(whole(status, name).map(|count| format!("{} {what}", words::count(count))));
    }
    if let (Some(used), Some(limit)) =
        (whole(status, "replay_memory_bytes"), whole(status, "replay_memory_limit_bytes"))
    {
        facts.push(format!("{} of {} kept for replays", words::bytes(used), words::bytes(limit)));
    }
    format!("{} {}: {state}, {}\n", paint.strong("bearerd"), text(status, "version"), facts.join(", "))
}

fn credentials(status: &Value, paint: Paint) -> String {
    let mut rows = vec![header(paint, &["CREDENTIAL", "STATE", "TOKEN", "EXPIRES", "NEXT", "ISSUED", "WAITING"])];
    let mut troubles = String::new();
    for credential in list(status, "credentials") {
        let time = |name: &str| number(credential, name).map_or_else(|| "–".to_owned(), words::duration);
        let issued = number(credential, "last_success_seconds_ago").map(|ago| format!("{} ago", words::duration(ago)));
        let waiting = whole(credential, "requests_waiting").map_or_else(|| "–".to_owned(), words::count);
        rows.push(vec![
            paint.strong(&text(credential, "name")),
            state(credential, paint),
            bar(credential, paint),
            time("expires_in_seconds"),
            time("next_fetch_in_seconds"),
            issued.unwrap_or_else(|| "never".to_owned()),
            waiting,
        ]);
        troubles.push_str(&trouble(credential, paint));
    }
    use Side::{Left, Right};
    table(&[Left, Left, Left, Right, Right, Right, Right], &rows) + &troubles
}

fn state(credential: &Value, paint: Paint) -> String {
    let usable = is(credential, "usable");
    let word = match (text(credential, "state").as_str(), usable) {
        ("valid", _) => return paint.good("valid"),
        ("failing", _) => "renewal fails",
        ("pending", _) => "asking",
        ("latched", true) => "renewal given up",
        ("latched", false) => "given up",
        (_, true) => "valid",
        (_, false) => "no token",
    };
    if usable || word == "asking" { paint.warning(word) } else { paint.bad(word) }
}

/// The life of the token: what is over, what is left, and where it is renewed.
fn bar(credential: &Value, paint: Paint) -> String {
    let (Some(lifetime), Some(left)) =
        (number(credential, "lifetime_seconds").filter(|life| *life > 0.0), number(credential, "expires_in_seconds"))
    else {
        return paint.quiet(&"·".repeat(BAR));
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width of the bar")]
    let place = |seconds: f64| ((seconds / lifetime).clamp(0.0, 1.0) * BAR as f64).round() as usize;
    let over = place(lifetime - left);
    let renewal = number(credential, "next_fetch_in_seconds").map(|next| place(lifetime - left + next));
    let cell = |index: usize| match index {
        _ if Some(index) == renewal => '|',
        _ if index < over => '█',
        _ => '░',
    };
    let text: String = (0..BAR).map(cell).collect();
    if text_is(credential, "state", "valid") { paint.good(&text) } else { paint.warning(&text) }
}

fn trouble(credential: &Value, paint: Paint) -> String {
    let Some(error) = credential.get("last_error").filter(|error| error.is_object()) else { return String::new() };
    let (code, name) = (text(error, "code"), text(credential, "name"));
    let said = if error.get("message").is_some() { text(error, "message") } else { text(error, "title") };
    let line = format!("{code} {name}: {said}");
    let mut lines = format!("\n{}\n", if is(credential, "usable") { paint.warning(&line) } else { paint.bad(&line) });
    if let Some(cure) = list(error, "cures").next().and_then(Value::as_str) {
        lines.push_str(&format!("  {}\n", words::harmless(cure)));
    }
    lines.push_str(&paint.quiet(&format!("  more: bearerd explain {code}; once it is mended: bearerd retry {name}")));
    lines + "\n"
}

fn routes(status: &Value, paint: Paint) -> String {
    let mut rows = vec![header(paint, &["ROUTE", "RATE", "5XX", "4XX", "P50", "P99", "TOTAL", "WAY"])];
    for route in list(status, "routes") {
        let recent = route.get("recent").unwrap_or(&Value::Null);
        let share = |name: &str, colour: &dyn Fn(&str) -> String| match number(recent, name) {
            None => "–".to_owned(),
            Some(share) if share > 0.0 => colour(&words::share(share)),
            Some(share) => words::share(share),
        };
        let time = |name: &str| number(recent, name).map_or_else(|| "–".to_owned(), words::latency);
        rows.push(vec![
            paint.strong(&text(route, "name")),
            number(recent, "requests_per_second").map_or_else(|| "–".to_owned(), words::rate),
            share("error_share", &|share| paint.bad(share)),
            share("client_error_share", &|share| paint.warning(share)),
            time("p50_seconds"),
            time("p99_seconds"),
            whole(route, "requests_total").map_or_else(|| "–".to_owned(), words::count),
            way(route),
        ]);
    }
    use Side::{Left, Right};
    table(&[Left, Right, Right, Right, Right, Right, Right, Left], &rows)
}

/// What goes where, as the log says it at the start.
fn way(route: &Value) -> String {
    let listen: Vec<_> = list(route, "listen").filter_map(Value::as_str).collect();
    let more = if listen.len() > 1 { " …" } else { "" };
    let from = if route.get("host").is_some() {
        text(route, "host")
    } else {
        listen.first().copied().unwrap_or("").to_owned()
    };
    let with = match route.get("credential").and_then(Value::as_str) {
        Some(credential) => format!("with {credential:?}"),
        None => "without a token".to_owned(),
    };
    words::harmless(&format!("{from}{}{more} → {} {with}", text(route, "path"), text(route, "upstream")))
}

fn refusals(status: &Value, paint: Paint) -> String {
    let mut rows = vec![header(paint, &["REFUSED", "LAST MINUTE", "TOTAL", "REASON"])];
    for refused in list(status, "refusals") {
        let count = |name: &str| words::count(whole(refused, name).unwrap_or(0));
        rows.push(vec![text(refused, "code"), count("last_minute"), count("total"), text(refused, "title")]);
    }
    table(&[Side::Left, Side::Right, Side::Right, Side::Left], &rows)
}

fn certificates(status: &Value, paint: Paint) -> String {
    let mut rows = vec![header(paint, &["CERTIFICATE", "EXPIRES IN", "ON"])];
    for certificate in list(status, "certificates") {
        let left = number(certificate, "expires_in_seconds").unwrap_or(0.0);
        let told = match left {
            left if left <= 0.0 => paint.bad("expired"),
            left if left < SOON => paint.warning(&words::duration(left)),
            left => words::duration(left),
        };
        rows.push(vec![text(certificate, "name"), told, text(certificate, "expires_at")]);
    }
    table(&[Side::Left, Side::Right, Side::Left], &rows)
}

fn configuration(status: &Value, paint: Paint) -> String {
    let Some(configuration) = status.get("configuration") else { return String::new() };
    let file =
        configuration.get("file").and_then(Value::as_str).map_or("flags and variables".to_owned(), words::harmless);
    let ago = |value: &Value, name: &str| words::duration(number(value, name).unwrap_or(0.0));
    let mut lines = format!("configuration {file}, read {} ago\n", ago(configuration, "read_seconds_ago"));
    if let Some(reload) = configuration.get("last_reload").filter(|reload| reload.is_object()) {
        let line = format!("last reload {} ago: {}", ago(reload, "seconds_ago"), text(reload, "what"));
        let shown = if is(reload, "ok") {
            line
        } else {
            paint.bad(&format!("{line}\nthe reload failed, and nothing was changed"))
        };
        lines.push_str(&shown);
        lines.push('\n');
    }
    lines
}

/// The rows, unless there is nothing below the header.
fn table(sides: &[Side], rows: &[Vec<String>]) -> String {
    if rows.len() < 2 { String::new() } else { aligned(sides, rows) }
}

fn header(paint: Paint, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| paint.quiet(name)).collect()
}

fn is(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name)?.as_f64()
}

fn whole(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

fn text_is(value: &Value, name: &str, wanted: &str) -> bool {
    value.get(name).and_then(Value::as_str) == Some(wanted)
}

/// Text of the answer, harmless to a terminal.
fn text(value: &Value, name: &str) -> String {
    words::harmless(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Value {
        json!({
            "version": "1.2.3", "ready": false, "draining": false, "uptime_seconds": 252.0, "connections": 12,
            "requests_in_flight": 3, "replay_memory_bytes": 0, "replay_memory_limit_bytes": 67_108_864,
            "credentials": [
                {"name": "api", "state": "valid", "usable": true, "lifetime_seconds": 3600.0, "expires_in_seconds": 2700.0,
                 "next_fetch_in_seconds": 1980.0, "last_success_seconds_ago": 900.0, "requests_waiting": 0, "last_error": null},
                {"name": "old", "state": "latched", "usable": false, "expires_in_seconds": null,
                 "last_error": {"code": "T021", "title": "t", "message": "refused \u{1b}[2J(401)", "cures": ["Correct it."]}},
            ],
            "routes": [{"name": "billing", "listen": ["127.0.0.1:8080", "[::1]:8080"], "path": "/", "credential": "api",
                "upstream": "https://api.example.com", "requests_total": 12_408,
                "recent": {"requests_per_second": 12.4, "error_share": 0.003, "client_error_share": 0.0,
                           "p50_seconds": 0.0042, "p99_seconds": 0.25}}],
            "refusals": [{"code": "C001", "title": "no route for this request", "total": 7, "last_minute": 2}],
            "certificates": [{"name": "tls", "expires_at": "2027-01-01T00:00:00Z", "expires_in_seconds": 86_400.0}],
            "configuration": {"file": "/etc/bearerd/bearerd.toml", "read_seconds_ago": 250.0,
                "last_reload": {"ok": false, "seconds_ago": 20.0, "what": "bearerd.toml:3: F003 …"}},
        })
    }

    #[test]
    fn everything_stands_in_aligned_columns() {
        let wanted = "\
bearerd 1.2.3: not ready, up for 4 min 12 s, 12 connections, 3 in flight, 0 B of 64.0 MiB kept for replays

CREDENTIAL  STATE     TOKEN                 EXPIRES    NEXT      ISSUED  WAITING
api         valid     █████░░░░░░░░░░░|░░░   45 min  33 min  15 min ago        0
old         given up  ····················        –       –       never        –

T021 old: refused \u{fffd}[2J(401)
  Correct it.
  more: bearerd explain T021; once it is mended: bearerd retry old

ROUTE      RATE    5XX  4XX     P50     P99   TOTAL  WAY
billing  12.4/s  0.3 %  0 %  4.2 ms  250 ms  12,408  127.0.0.1:8080/ … → https://api.example.com with \"api\"

REFUSED  LAST MINUTE  TOTAL  REASON
C001               2      7  no route for this request

CERTIFICATE  EXPIRES IN  ON
tls                 1 d  2027-01-01T00:00:00Z

configuration /etc/bearerd/bearerd.toml, read 4 min 10 s ago
last reload 20 s ago: bearerd.toml:3: F003 …
the reload failed, and nothing was changed
";
        let shown = render(&status(), Paint::new(false));
        assert_eq!(shown, wanted, "\n{shown}");
    }

    #[test]
    fn an_answer_of_another_version_is_shown_as_far_as_it_goes() {
        assert!(render(&json!({"ready": true}), Paint::new(true)).contains("\x1b[32mready\x1b[0m"));
    }
}
