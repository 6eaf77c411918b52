//! The credentials: each with the life of its token as a bar, and what is wrong with it.

use super::html::Html;
use super::{Level, words};
use crate::admin::status::{Credential, LastError, State, Status};

pub(super) fn render(html: &mut Html, status: &Status<'_>) {
    html.raw(
        "<section id=\"credentials\" aria-labelledby=\"h-credentials\">\n<h2 id=\"h-credentials\">Credentials</h2>\n",
    );
    if status.credentials.is_empty() {
        html.raw("<p class=\"none\">None is configured.</p>\n");
    }
    for credential in &status.credentials {
        card(html, credential);
    }
    html.raw("</section>\n");
}

fn card(html: &mut Html, credential: &Credential) {
    let (level, state) = state(credential);
    html.raw("<article class=\"card ").raw(level.class()).raw("\">\n<div class=\"title\"><h3>").text(&credential.name);
    html.raw("</h3><span class=\"pill ").raw(level.class()).raw("\">").raw(state).raw("</span>");
    if !credential.required {
        html.raw("<span class=\"aside\">not required</span>");
    }
    html.raw("</div>\n");
    life(html, credential);
    facts(html, credential);
    if let Some(error) = &credential.last_error {
        trouble(html, credential, error);
    }
    html.raw("</article>\n");
}

fn state(credential: &Credential) -> (Level, &'static str) {
    match (credential.state, credential.usable) {
        (State::Valid, _) => (Level::Good, "Valid"),
        (State::Failing, _) => (Level::Warning, "Valid, renewal fails"),
        (State::Pending, _) => (Level::Warning, "Waiting for the first answer"),
        (State::Waiting, _) => (Level::Bad, "No token"),
        (State::Latched, true) => (Level::Warning, "Valid, renewal given up"),
        (State::Latched, false) => (Level::Bad, "No token, given up"),
    }
}

/// The token's life from left to right: what is over, the point of renewal, what is left after it.
fn life(html: &mut Html, credential: &Credential) {
    let (Some(lifetime), Some(left)) = (credential.lifetime_seconds, credential.expires_in_seconds) else {
        html.raw("<div class=\"life\"><svg class=\"bar empty\" role=\"img\" aria-label=\"There is no token\" ");
        html.raw("width=\"100%\" height=\"12\"><rect class=\"track\" width=\"100%\" height=\"100%\" rx=\"3\"/></svg></div>\n");
        return;
    };
    let percent = |seconds: f64| if lifetime > 0.0 { (seconds / lifetime * 100.0).clamp(0.0, 100.0) } else { 100.0 };
    let over = percent(lifetime - left);
    // While a renewal fails, what comes next is another try, and the time for it has passed.
    let renewal =
        credential.next_fetch_in_seconds.filter(|next| *next <= left).map(|next| percent(lifetime - left + next));
    let renewal = renewal.filter(|_| credential.state == State::Valid);
    html.raw("<div class=\"life\"><svg class=\"bar\" role=\"img\" width=\"100%\" height=\"12\" aria-label=\"");
    html.text(format_args!("{over:.0} % of the token's life of {} are over", words::duration(lifetime)));
    if let Some(renewal) = renewal {
        html.text(format_args!("; it is renewed at {renewal:.0} %"));
    }
    html.raw("\"><rect class=\"track\" width=\"100%\" height=\"100%\" rx=\"3\"/>");
    if let Some(renewal) = renewal {
        html.raw("<rect class=\"reserve\" height=\"100%\"").attribute("x", format_args!("{renewal:.2}%"));
        html.attribute("width", format_args!("{:.2}%", 100.0 - renewal)).raw("/>");
    }
    html.raw("<rect class=\"over\" height=\"100%\" rx=\"3\"").attribute("width", format_args!("{over:.2}%")).raw("/>");
    if let Some(renewal) = renewal {
        html.raw("<rect class=\"mark\" width=\"2\" height=\"100%\"")
            .attribute("x", format_args!("{renewal:.2}%"))
            .raw("/>");
    }
    html.raw("</svg></div>\n");
}

fn facts(html: &mut Html, credential: &Credential) {
    html.raw("<dl class=\"facts\">");
    let until =
        |seconds: f64| if seconds < 0.5 { "now".to_owned() } else { format!("in {}", words::duration(seconds)) };
    let ago = |seconds: f64| format!("{} ago", words::duration(seconds));
    let next = match credential.next_fetch_in_seconds {
        Some(next) => until(next),
        None if credential.latched => "not before somebody acts".to_owned(),
        None => "not planned".to_owned(),
    };
    html.fact(if credential.state == State::Valid { "Renewal" } else { "Next try" }, next);
    html.fact("Expires", credential.expires_in_seconds.map_or_else(|| "no token".to_owned(), until));
    html.fact("Last issued", credential.last_success_seconds_ago.map_or_else(|| "never".to_owned(), ago));
    html.fact("Lifetime", credential.lifetime_seconds.map_or_else(|| "–".to_owned(), words::duration));
    html.fact(
        "Token",
        if credential.generation == 0 { "–".to_owned() } else { format!("no. {}", credential.generation) },
    );
    if credential.requests_waiting > 0 {
        html.fact("Waiting", format_args!("{} requests", words::count(credential.requests_waiting)));
    }
    let routes = if credential.routes.is_empty() { "none".to_owned() } else { credential.routes.join(", ") };
    html.fact("Routes", routes);
    html.raw("</dl>\n");
}

fn trouble(html: &mut Html, credential: &Credential, error: &LastError) {
    html.raw("<div class=\"trouble\">\n<p class=\"what\"><code>").raw(error.trouble.code).raw("</code> ");
    html.raw(error.trouble.title).raw("</p>\n");
    // Most messages begin with the title.
    let message = error.trouble.message.as_deref().unwrap_or_default();
    let message = message.strip_prefix(error.trouble.title).unwrap_or(message).trim_start();
    if !message.is_empty() {
        html.raw("<p class=\"message\"><bdi>").text(message).raw("</bdi></p>\n");
    }
    html.raw("<details><summary>What to do</summary>\n<ol>");
    for cure in error.cures {
        html.raw("<li>").raw(cure).raw("</li>");
    }
    html.raw("</ol>\n<p>More: <code>bearerd explain ").raw(error.trouble.code).raw("</code>. ");
    html.raw("Once it is mended: <code>bearerd retry ").text(&credential.name).raw("</code></p></details>\n</div>\n");
}
