//! What is left: memory, certificates, the configuration and its last reload.

use super::html::Html;
use super::{Level, words};
use crate::admin::status::{Certificate, LastReload, Status};

/// An end of a certificate that is nearer than this, in seconds, wants attention.
const SOON: f64 = 14.0 * 86_400.0;

pub(super) fn render(html: &mut Html, status: &Status<'_>) {
    if !status.certificates.is_empty() {
        html.raw("<section id=\"certificates\" aria-labelledby=\"h-certificates\">\n<h2 id=\"h-certificates\">Certificates</h2>\n<ul class=\"list\">");
        for certificate in &status.certificates {
            entry(html, certificate);
        }
        html.raw("</ul>\n</section>\n");
    }
    html.raw("<section id=\"system\" aria-labelledby=\"h-system\">\n<h2 id=\"h-system\">This bearerd</h2>\n<dl class=\"facts card\">");
    html.fact("Version", status.version);
    let memory = (words::bytes(status.replay_memory_bytes), words::bytes(status.replay_memory_limit_bytes));
    html.fact("Kept for replays", format_args!("{} of {}", memory.0, memory.1));
    let configuration = &status.configuration;
    html.fact("Configuration", configuration.file.as_deref().unwrap_or("flags and variables"));
    html.raw("<div><dt>Read</dt><dd><time")
        .attribute("datetime", &configuration.read_at)
        .attribute("title", &configuration.read_at);
    html.raw(">").text(words::duration(configuration.read_seconds_ago)).raw(" ago</time></dd></div>");
    match &configuration.last_reload {
        None => drop(html.fact("Last reload", "none since the start")),
        Some(reload) => self::reload(html, reload),
    }
    html.raw("</dl>\n</section>\n");
}

fn entry(html: &mut Html, certificate: &Certificate) {
    let level = match certificate.expires_in_seconds {
        left if left <= 0.0 => Level::Bad,
        left if left < SOON => Level::Warning,
        _ => Level::Good,
    };
    html.raw("<li class=\"")
        .raw(level.class())
        .raw("\"><span class=\"name\">")
        .text(&certificate.name)
        .raw("</span> <time");
    html.attribute("datetime", &certificate.expires_at).attribute("title", &certificate.expires_at).raw(">");
    if level == Level::Bad {
        html.raw("has expired ").text(words::duration(-certificate.expires_in_seconds)).raw(" ago");
    } else {
        html.raw("expires in ").text(words::duration(certificate.expires_in_seconds));
    }
    html.raw("</time></li>");
}

fn reload(html: &mut Html, reload: &LastReload) {
    let (class, word) = if reload.ok { ("good", "taken over") } else { ("bad", "failed, nothing was changed") };
    html.raw("<div class=\"wide\"><dt>Last reload</dt><dd><span class=\"")
        .raw(class)
        .raw("\">")
        .raw(word)
        .raw("</span>, <time");
    html.attribute("datetime", &reload.at).attribute("title", &reload.at).raw(">");
    html.text(words::duration(reload.seconds_ago)).raw(" ago</time><span class=\"message\"><bdi>").text(&reload.what);
    html.raw("</bdi></span></dd></div>");
}
