//! The routes: what goes where, and how it went within the last minute.

use super::html::Html;
use super::words;
use crate::admin::status::{Refusals, Route, Status};

const HEADS: &str = "<th role=\"columnheader\" scope=\"col\">Route</th>\
    <th role=\"columnheader\" scope=\"col\" class=\"number\">Requests</th>\
    <th role=\"columnheader\" scope=\"col\" class=\"number\"><abbr title=\"Answers with a status of 500 and above\">5xx</abbr></th>\
    <th role=\"columnheader\" scope=\"col\" class=\"number\"><abbr title=\"Answers with a status of 400 to 499\">4xx</abbr></th>\
    <th role=\"columnheader\" scope=\"col\" class=\"number\"><abbr title=\"Half of the requests are faster\">p50</abbr></th>\
    <th role=\"columnheader\" scope=\"col\" class=\"number\"><abbr title=\"99 of 100 requests are faster\">p99</abbr></th>\
    <th role=\"columnheader\" scope=\"col\" class=\"number\">In all</th>";

pub(super) fn render(html: &mut Html, status: &Status<'_>) {
    html.raw("<section id=\"routes\" aria-labelledby=\"h-routes\">\n<h2 id=\"h-routes\">Routes");
    html.element("span", "aside", Window(status.recent_seconds)).raw("</h2>\n");
    html.raw("<table role=\"table\" aria-labelledby=\"h-routes\"><thead role=\"rowgroup\"><tr role=\"row\">")
        .raw(HEADS);
    html.raw("</tr></thead>\n<tbody role=\"rowgroup\">\n");
    for route in &status.routes {
        row(html, route);
    }
    html.raw("</tbody></table>\n</section>\n");
    refusals(html, &status.refusals);
}

struct Window(f64);

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 >= 60.0 { f.write_str("last minute") } else { write!(f, "last {}", words::duration(self.0)) }
    }
}

fn row(html: &mut Html, route: &Route<'_>) {
    let recent = &route.recent;
    html.raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><span class=\"name\">").text(route.name);
    html.raw("</span><span class=\"way\">");
    let from = route.listen.first().map_or("", String::as_str);
    html.raw("<span>").text(route.host.unwrap_or(from)).text(route.path);
    if route.listen.len() > 1 {
        html.raw(" <span class=\"aside\"").attribute("title", route.listen.join(", ")).raw(">and ");
        html.text(route.listen.len() - 1).raw(" more</span>");
    }
    html.raw("</span> <span><span class=\"arrow\" aria-hidden=\"true\">→</span><span class=\"hidden\">to</span> ");
    html.text(&route.upstream).raw("</span> <span>");
    match route.credential {
        Some(credential) => html.raw("with ").text(credential),
        None => html.raw("without a token"),
    };
    html.raw("</span></span></th>");
    html.raw("<td role=\"cell\" class=\"number rate\" data-label=\"Requests\">");
    sparkline(html, &recent.rates);
    html.text(words::rate(recent.requests_per_second)).raw("</td>");
    share(html, ("5xx", "bad"), recent.error_share);
    share(html, ("4xx", "warning"), recent.client_error_share);
    quantile(html, "p50", recent.p50_seconds, recent.upstream_p50_seconds);
    quantile(html, "p99", recent.p99_seconds, recent.upstream_p99_seconds);
    html.raw("<td role=\"cell\" class=\"number\" data-label=\"In all\">").text(words::count(route.requests_total));
    html.raw("</td></tr>\n");
}

/// The rate, step by step; the number beside it says it in words.
fn sparkline(html: &mut Html, rates: &[f64]) {
    const STEPS: usize = 12;
    let most = rates.iter().copied().fold(0.0, f64::max);
    html.raw("<svg class=\"spark\" aria-hidden=\"true\" viewBox=\"0 0 60 16\" width=\"60\" height=\"16\">");
    let skipped = STEPS.saturating_sub(rates.len());
    for (step, rate) in rates.iter().enumerate().filter(|_| most > 0.0) {
        let height = (rate / most * 15.0).max(if *rate > 0.0 { 1.0 } else { 0.0 });
        html.raw("<rect width=\"4\"").attribute("x", (step + skipped) * 5);
        html.attribute("y", format_args!("{:.1}", 15.0 - height))
            .attribute("height", format_args!("{height:.1}"))
            .raw("/>");
    }
    html.raw("<path d=\"M0 15.5H60\"/></svg>");
}

fn share(html: &mut Html, (label, class): (&'static str, &'static str), share: f64) {
    html.raw("<td role=\"cell\" data-label=\"").raw(label).raw("\" class=\"number");
    if share > 0.0 {
        html.raw(" ").raw(class);
    }
    html.raw("\">").text(words::share(share)).raw("</td>");
}

fn quantile(html: &mut Html, label: &'static str, whole: Option<f64>, upstream: Option<f64>) {
    html.raw("<td role=\"cell\" class=\"number\" data-label=\"").raw(label).raw("\">");
    html.text(whole.map_or_else(|| "–".to_owned(), words::latency));
    if let Some(upstream) = upstream {
        html.raw(" <span class=\"lesser\">").text(words::latency(upstream)).raw(" upstream</span>");
    }
    html.raw("</td>");
}

fn refusals(html: &mut Html, refusals: &[Refusals]) {
    html.raw("<section id=\"refused\" aria-labelledby=\"h-refused\">\n<h2 id=\"h-refused\">Refused by bearerd</h2>\n");
    if refusals.is_empty() {
        html.raw("<p class=\"none\">Nothing so far.</p>\n");
    } else {
        html.raw("<table role=\"table\" class=\"small\" aria-labelledby=\"h-refused\"><thead role=\"rowgroup\"><tr role=\"row\">");
        html.raw("<th role=\"columnheader\" scope=\"col\">Reason</th>");
        html.raw("<th role=\"columnheader\" scope=\"col\" class=\"number\">Last minute</th>");
        html.raw("<th role=\"columnheader\" scope=\"col\" class=\"number\">In all</th></tr></thead>\n<tbody role=\"rowgroup\">");
        for refused in refusals {
            html.raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><code>").raw(refused.code).raw("</code> ");
            html.raw(refused.title).raw("</th><td role=\"cell\" class=\"number\" data-label=\"Last minute\">");
            html.text(words::count(refused.last_minute))
                .raw("</td><td role=\"cell\" class=\"number\" data-label=\"In all\">");
            html.text(words::count(refused.total)).raw("</td></tr>\n");
        }
        html.raw("</tbody></table>\n");
    }
    html.raw("</section>\n");
}
