//! One request to the admin or the probe listener, answered from memory.

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;

use super::health::{Live, Ready, Started};
use super::log_level;
use super::status::Status;
use super::{Address, Admin, Door, Face, Reloaded, page};
use crate::guard::{self, NamedHost, Refusal};
use crate::reason::Reason;

type Answer = Response<Full<Bytes>>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page<'a> {
    Index,
    Live,
    Ready,
    Started,
    Metrics,
    Status,
    Retry(&'a str),
    Reload,
    Quit,
    LogLevel,
}

/// Answers one request, from memory; `reload` alone waits.
pub(super) async fn answer<B>(admin: &Admin, door: Door, request: &Request<B>) -> Answer {
    if door.face == Face::Admin
        && let Err(refusal) = check(admin, door, request)
    {
        return refuse(admin, &refusal);
    }
    let Some(page) = Page::of(request.uri().path(), door.face) else {
        return text(StatusCode::NOT_FOUND, format!("there is nothing at this path\n\n{}", index(admin, door.face)));
    };
    let allowed = match page {
        Page::Retry(_) | Page::Reload | Page::Quit => "POST",
        Page::LogLevel => "GET, HEAD, POST",
        _ => "GET, HEAD",
    };
    if !allowed.split(", ").any(|method| request.method() == method) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("this path wants {allowed}\n"));
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return answer;
    }
    if page == Page::LogLevel && request.method() == Method::POST {
        return change_log_level(admin, request.uri().query());
    }
    show(admin, door.face, page, request.headers()).await
}

async fn show(admin: &Admin, face: Face, page: Page<'_>, headers: &HeaderMap) -> Answer {
    match page {
        Page::Index if face == Face::Probes => text(StatusCode::OK, index(admin, face)),
        // A page for people, unless they ask for something that a terminal shows.
        Page::Index if quality(headers, "text/plain") > quality(headers, "text/html") => {
            vary(text(StatusCode::OK, index(admin, face)))
        }
        Page::Index => vary(html(admin)),
        Page::Live => json(StatusCode::OK, &Live::of(admin)),
        Page::Ready => {
            let ready = Ready::of(admin, face);
            json(ok_if(ready.ready), &ready)
        }
        Page::Started => {
            let started = Started::of(admin);
            json(ok_if(started.started), &started)
        }
        Page::Metrics => finish(StatusCode::OK, PROMETHEUS, admin.metrics.render()),
        Page::Status if quality(headers, "text/html") > quality(headers, "application/json") => vary(html(admin)),
        Page::Status => vary(json(StatusCode::OK, &Status::of(admin))),
        Page::Retry(name) => retry(admin, name),
        Page::Reload => reload(admin).await,
        Page::Quit => quit(admin),
        Page::LogLevel => json(StatusCode::OK, &log_level::Shown::of(&admin.log)),
    }
}

fn change_log_level(admin: &Admin, query: Option<&str>) -> Answer {
    if !admin.log_level {
        let message = "this is switched off; [admin]: log_level = true serves it\n";
        return text(StatusCode::FORBIDDEN, message.to_owned());
    }
    match log_level::Wish::parse(query) {
        Ok(wish) => {
            wish.fulfil(&admin.log);
            json(StatusCode::OK, &log_level::Shown::of(&admin.log))
        }
        Err(message) => text(StatusCode::BAD_REQUEST, message),
    }
}

fn quit(admin: &Admin) -> Answer {
    let Some(quit) = &admin.quit else {
        let message = "this is switched off; [admin]: quit = true serves it, and SIGTERM ends bearerd anyway\n";
        return text(StatusCode::FORBIDDEN, message.to_owned());
    };
    quit.ask();
    text(StatusCode::ACCEPTED, "shutting down: finishing what is in flight\n".to_owned())
}

async fn reload(admin: &Admin) -> Answer {
    let Some(reload) = &admin.reload else {
        let message = "this is switched off; [admin]: reload = true serves it, and SIGHUP reloads anyway\n";
        return text(StatusCode::FORBIDDEN, message.to_owned());
    };
    match reload.ask().await {
        Some(Reloaded::Done { changes, summary }) => {
            json(StatusCode::OK, &json!({ "reloaded": true, "summary": summary, "changes": changes }))
        }
        Some(Reloaded::Failed(why)) => {
            let message = format!("the configuration was not reloaded and everything is as it was:\n{why}\n");
            text(StatusCode::UNPROCESSABLE_ENTITY, message)
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, "bearerd is shutting down\n".to_owned()),
    }
}

fn retry(admin: &Admin, name: &str) -> Answer {
    if !admin.retry {
        return text(StatusCode::FORBIDDEN, "retry is switched off by [admin]: retry = false\n".to_owned());
    }
    let name = percent_decode_str(name).decode_utf8_lossy();
    let names: Vec<_> = admin.credentials.iter().map(|credential| credential.status().name).collect();
    let found = admin.credentials.iter().zip(&names).find(|(_, known)| **known == name);
    let Some((credential, known)) = found else {
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return text(StatusCode::NOT_FOUND, format!("there is no credential of this name; there are: {names}\n"));
    };
    if credential.retry() {
        tracing::info!(credential = known, "asked by hand to try again");
        text(StatusCode::OK, format!("{known}: asking the token endpoint again now; /status shows what comes of it\n"))
    } else {
        text(StatusCode::OK, format!("{known}: it has a token or is asking at this moment; nothing to try again\n"))
    }
}

/// The rules of DESIGN section 7: 421 by `Host`, then 403 for what a browser marks as another site's.
fn check<B>(admin: &Admin, door: Door, request: &Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        let message = "a request needs exactly one Host".to_owned();
        return Err(Refusal { reason: Reason::BadRequest, message });
    };
    let host = String::from_utf8_lossy(host.as_bytes());
    // The authority of an absolute-form target stands above Host (RFC 9112 §3.2.2), so it must be allowed as well.
    let authority = request.uri().authority().map_or(&*host, |authority| authority.as_str());
    // No page in a browser can reach a Unix socket, whatever it calls itself.
    if let Some(Address { local, peer, is_loopback }) = door.came_in {
        admin.hosts.check_host(&NamedHost::of(&host), local, is_loopback)?;
        admin.hosts.check_host(&NamedHost::of(authority), local, is_loopback)?;
        let invited = admin.from.iter().flatten().any(|range| range.contains(&peer));
        if !(invited || is_loopback && peer.is_loopback()) {
            let message = format!("{peer} is not allowed; add to [callers]: from = [\"{peer}\"]");
            return Err(Refusal { reason: Reason::CallerNotAllowed, message });
        }
    }
    guard::check_cross_site(request.headers(), authority)
}

fn refuse(admin: &Admin, refusal: &Refusal) -> Answer {
    admin.metrics.refuse(refusal.reason);
    let status = match refusal.reason {
        Reason::HostNotAllowed => StatusCode::MISDIRECTED_REQUEST,
        Reason::CrossSite | Reason::CallerNotAllowed => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    text(status, format!("{refusal}\n"))
}

impl<'a> Page<'a> {
    /// The usual spellings of others lead to the same page. `/health` alone is liveness: a process must not be restarted, and
    /// its passwords tried anew, because a token endpoint is away.
    fn of(path: &'a str, face: Face) -> Option<Self> {
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        Some(match trimmed {
            "" => Self::Index,
            "/livez" | "/live" | "/liveness" | "/alive" | "/healthz" | "/health" | "/health/live" | "/healthz/live"
            | "/-/healthy" => Self::Live,
            "/readyz" | "/ready" | "/readiness" | "/health/ready" | "/healthz/ready" | "/-/ready" => Self::Ready,
            "/startupz" | "/startup" | "/started" | "/health/startup" | "/health/started" | "/healthz/startup"
            | "/-/started" => Self::Started,
            "/metrics" => Self::Metrics,
            "/status" if face == Face::Admin => Self::Status,
            "/log-level" if face == Face::Admin => Self::LogLevel,
            "/reload" if face == Face::Admin => Self::Reload,
            "/quitquitquit" if face == Face::Admin => Self::Quit,
            _ if face == Face::Admin => Self::Retry(trimmed.strip_prefix("/retry/")?),
            _ => return None,
        })
    }
}

fn index(admin: &Admin, face: Face) -> String {
    let mut lines = vec![
        "GET  /livez       200 while the process answers",
        "GET  /readyz      200 while every required credential has a usable token and nothing drains",
        "GET  /startupz    200 once the first token requests have been answered",
        "GET  /metrics     for Prometheus",
    ];
    if face == Face::Admin {
        lines.push("GET  /            the status page\nGET  /status      the same as JSON");
        if admin.retry {
            lines.push("POST /retry/NAME  a latched or waiting credential asks again");
        }
        lines.push("GET  /log-level   what the log hears");
        if admin.log_level {
            lines.push("POST /log-level?level=debug&for=10m  another level, for a while");
        }
        if admin.reload.is_some() {
            lines.push("POST /reload      the configuration is read again");
        }
        if admin.quit.is_some() {
            lines.push("POST /quitquitquit  shuts down as SIGTERM does");
        }
    }
    format!("bearerd {}\n{}\n", env!("CARGO_PKG_VERSION"), lines.join("\n"))
}

/// How much `Accept` wants this very type, in thousandths; 0 if it is not named: `*/*` is content with anything (RFC 9110 §12.5.1).
fn quality(headers: &HeaderMap, wanted: &str) -> u16 {
    let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
    let of_range = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(wanted) {
            return None;
        }
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // Saturates, and what is no number is 0.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturating is what is wanted")]
        Some(weight.map_or(1000, |weight| (weight.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u16))
    };
    fields.flat_map(|field| field.split(',')).filter_map(of_range).max().unwrap_or(0)
}

fn vary(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    answer
}

/// The status page, which nobody may frame and which tells nobody where it was.
fn html(admin: &Admin) -> Answer {
    let mut answer = finish(StatusCode::OK, HTML, page::render(&Status::of(admin)));
    let headers = answer.headers_mut();
    let policy = HeaderValue::from_str(&page::POLICY);
    headers.insert(CONTENT_SECURITY_POLICY, policy.unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    answer
}

fn ok_if(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Indented, since people read it with curl.
fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(body) => finish(status, JSON, body + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("this page cannot be written: {error}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Answer {
    finish(status, TEXT, body)
}

fn finish(status: StatusCode, content_type: HeaderValue, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_lead_to_the_same_page() {
        let check = |path: &str, wanted: Option<Page<'_>>| {
            assert_eq!(Page::of(path, Face::Admin), wanted, "{path}");
        };
        for path in ["/livez", "/healthz", "/health", "/live", "/-/healthy", "/health/live", "/livez/"] {
            check(path, Some(Page::Live));
        }
        for path in ["/readyz", "/ready", "/-/ready", "/health/ready"] {
            check(path, Some(Page::Ready));
        }
        for path in ["/startupz", "/startup", "/started", "/health/started"] {
            check(path, Some(Page::Started));
        }
        check("/", Some(Page::Index));
        check("/retry/api", Some(Page::Retry("api")));
        check("/livez/x", None);
        check("/LIVEZ", None);
        check("/retry", None);
        check("/env.json", None);
        check("/debug/pprof", None);
    }

    #[test]
    fn the_probe_listener_has_probes_and_metrics_alone() {
        assert_eq!(Page::of("/readyz", Face::Probes), Some(Page::Ready));
        assert_eq!(Page::of("/metrics", Face::Probes), Some(Page::Metrics));
        assert_eq!(Page::of("/status", Face::Probes), None);
        assert_eq!(Page::of("/retry/api", Face::Probes), None);
    }
}
