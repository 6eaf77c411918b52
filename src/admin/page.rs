//! The status page: one self-contained HTML page of what [`Status`] has.
//!
//! Owns its markup, style and script. Everything is in the one answer, and its policy lets nothing else in: no resource of anybody, no script and no style
//! but those two, known by their digests. It works without the script, which only fetches the page again and puts in place what
//! has changed. Knows nothing that `status` does not show.

mod credentials;
mod html;
mod routes;
mod system;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::status::{Credential, State, Status};
use super::words;
use html::Html;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// The value of `Content-Security-Policy` that goes with the page.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |text: &str| STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(STYLE),
        digest(SCRIPT)
    )
});

/// How it all stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Good,
    Warning,
    Bad,
}

impl Level {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// The whole page.
pub(super) fn render(status: &Status<'_>) -> String {
    let mut html = Html::default();
    let (level, headline, _) = headline(status);
    html.raw("<!doctype html>\n<html lang=\"en\"").attribute("data-version", status.version).raw(">\n<head>\n");
    html.raw("<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n");
    html.raw("<title>").text(headline).raw(" · bearerd</title>\n");
    html.raw("<link rel=\"icon\" id=\"icon\" href=\"").raw(icon(level)).raw("\">\n");
    html.raw("<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n");
    html.raw("<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
    html.raw("<header><h1>bearerd</h1><p id=\"live\" role=\"status\">Loaded once</p>");
    html.raw("<button id=\"pause\" type=\"button\" hidden>Pause</button></header>\n");
    html.raw("<p id=\"lost\" role=\"alert\"></p>\n<main id=\"page\">\n");
    summary(&mut html, status);
    credentials::render(&mut html, status);
    routes::render(&mut html, status);
    system::render(&mut html, status);
    html.raw("</main>\n<footer><nav aria-label=\"Other pages\"><a href=\"/metrics\">Metrics</a> ");
    html.raw("<a href=\"/status\">Status as JSON</a> <a href=\"/readyz\">Readiness</a> <a href=\"/livez\">Liveness</a></nav>");
    html.raw("<p>In a terminal: <code>bearerd status --watch</code></p></footer>\n");
    html.raw("<script>").raw(SCRIPT).raw("</script>\n</body>\n</html>\n");
    html.into_string()
}

fn summary(html: &mut Html, status: &Status<'_>) {
    let (level, headline, why) = headline(status);
    html.raw("<section id=\"summary\" aria-label=\"Summary\">\n<div class=\"headline ").raw(level.class()).raw("\">");
    html.element("p", "word", headline).element("p", "why", why).raw("</div>\n<dl class=\"figures\">");
    let rate: f64 = status.routes.iter().map(|route| route.recent.requests_per_second).sum();
    html.fact("Requests", words::rate(rate));
    html.fact("In flight", words::count(status.requests_in_flight));
    html.fact("Connections", words::count(u64::try_from(status.connections).unwrap_or(0)));
    html.fact("Up for", words::duration(status.uptime_seconds));
    html.raw("</dl>\n</section>\n");
}

fn headline(status: &Status<'_>) -> (Level, &'static str, String) {
    let named = |wanted: &dyn Fn(&Credential) -> bool| {
        let names: Vec<_> = status.credentials.iter().filter(|one| wanted(one)).map(|one| one.name.clone()).collect();
        names.join(", ")
    };
    if status.draining {
        return (Level::Warning, "Draining", "It is shutting down: what is in flight is finished.".to_owned());
    }
    if !status.ready {
        let missing = named(&|credential| credential.required && !credential.usable);
        return (Level::Bad, "Not ready", format!("No usable token: {missing}."));
    }
    let failing = named(&|credential| credential.state != State::Valid);
    if !failing.is_empty() {
        return (Level::Warning, "Ready", format!("But look at: {failing}."));
    }
    let reload_failed = status.configuration.last_reload.as_ref().is_some_and(|reload| !reload.ok);
    if reload_failed {
        return (
            Level::Warning,
            "Ready",
            "But the last reload failed; the configuration before it is in force.".to_owned(),
        );
    }
    let why = match status.credentials.len() {
        0 => "No credential is configured; requests are forwarded without a token.",
        1 => "The credential has a usable token.",
        _ => "Every credential has a usable token.",
    };
    (Level::Good, "Ready", why.to_owned())
}

/// A dot in the browser's tab, as a `data:` URL.
const fn icon(level: Level) -> &'static str {
    match level {
        Level::Good => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%231f9d5a'/%3E%3C/svg%3E"
        }
        Level::Warning => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%23e0a100'/%3E%3C/svg%3E"
        }
        Level::Bad => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%23d92d20'/%3E%3C/svg%3E"
        }
    }
}
