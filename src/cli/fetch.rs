//! `check --fetch` and `--probe`: one token request for each credential, one GET for each route.
//!
//! Shows of a token its lifetime, its scope and, if it is a JWT, its claims: never the token, never its signature.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;

use crate::app::{self, StartError};
use crate::clock::Clock;
use crate::config::{Route, Settings};
use crate::log::chain;
use crate::oauth::{Class, FetchError, Grant, Issued};
use crate::secret::Secret;

/// How it went, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Tokens came, and no upstream rejected one.
    Well,
    /// Something could not be reached, or an upstream rejected a fresh token.
    Failed,
    /// A token endpoint refused the credentials.
    Refused,
}

/// Gets one token for each credential; with a path, also sends one GET through each route's token.
///
/// # Errors
/// [`StartError`] if a TLS file or the runtime cannot be had.
pub(super) fn run(settings: &Settings, probe: Option<&str>) -> Result<Outcome, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async {
        let (mut outcome, tokens) = fetch_all(settings).await?;
        if let Some(path) = probe {
            for route in &settings.routes {
                let token = route.route.credential.as_ref().and_then(|name| tokens.get(name));
                if let Some(token) = token {
                    outcome = outcome.max(probe_one(route, token, path).await?);
                }
            }
        }
        Ok(outcome)
    })
}

async fn fetch_all(settings: &Settings) -> Result<(Outcome, BTreeMap<String, Secret>), StartError> {
    let clock = Clock::boot();
    let mut outcome = Outcome::Well;
    let mut tokens = BTreeMap::new();
    for credential in &settings.credentials {
        let name = &credential.token.name;
        match app::token_endpoint(credential, settings, &clock)?.fetch(Grant::Configured).await {
            Ok(issued) => {
                say(&describe(name, &issued));
                tokens.insert(name.clone(), issued.access_token);
            }
            Err(error) => {
                say(&describe_failure(name, &error));
                let is_refusal = matches!(error.class, Class::Permanent | Class::Refused);
                outcome = outcome.max(if is_refusal { Outcome::Refused } else { Outcome::Failed });
            }
        }
    }
    Ok((outcome, tokens))
}

fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn describe(name: &str, issued: &Issued) -> String {
    let lifetime = Duration::from_secs(issued.lifetime.as_secs());
    let mut text = format!("credentials.{name}: a token for {}", humantime::format_duration(lifetime));
    if let Some(scope) = &issued.scope {
        let _ = write!(text, ", scope \"{}\"", printable(scope));
    }
    if issued.refresh_token.is_some() {
        text.push_str(", with a refresh token");
    }
    match claims(&issued.access_token) {
        Some(claims) => {
            for (claim, value) in &claims {
                let _ =
                    write!(text, "\n  {}: {}{}", printable(claim), printable(&value.to_string()), date(claim, value));
            }
        }
        None => text.push_str(", opaque (no JWT)"),
    }
    text
}

fn describe_failure(name: &str, error: &FetchError) -> String {
    format!("credentials.{name}: {} {}", error.reason, error.message)
}

/// The payload of a JWT (RFC 7519 §3). Nothing is verified: only the API can say whether it accepts the token.
fn claims(token: &Secret) -> Option<serde_json::Map<String, serde_json::Value>> {
    let mut parts = token.expose().split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&payload).ok()
}

/// Seconds since the epoch, readable (RFC 7519 §2, NumericDate).
fn date(claim: &str, value: &serde_json::Value) -> String {
    if !matches!(claim, "exp" | "iat" | "nbf" | "auth_time" | "updated_at") {
        return String::new();
    }
    let date = value.as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    date.map_or_else(String::new, |date| format!(" ({date})"))
}

/// A server's text, without what could act on a terminal.
fn printable(text: &str) -> String {
    let hides = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hides(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

async fn probe_one(route: &Route, token: &Secret, path: &str) -> Result<Outcome, StartError> {
    let connector = app::upstream(route)?;
    let within = route.route.timeouts.response_head.unwrap_or(Duration::from_secs(60));
    let name = &route.route.name;
    let target = target(route, path);
    let shown = format!("routes.{name}: GET {}{}", route.route.origin, target.path());
    let answer = tokio::time::timeout(within, send(&connector, route, token, target)).await;
    let status = match answer {
        Ok(Ok(status)) => status,
        Ok(Err(problem)) => {
            say(&format!("{shown} failed: {problem}"));
            return Ok(Outcome::Failed);
        }
        Err(_) => {
            say(&format!("{shown} failed: no answer within {}", humantime::format_duration(within)));
            return Ok(Outcome::Failed);
        }
    };
    let is_rejection = route.route.rejection.status.contains(&status.as_u16());
    let remark = if is_rejection { ": it rejected a fresh token" } else { "" };
    say(&format!("{shown} → {status}{remark}"));
    Ok(if is_rejection || status.is_server_error() { Outcome::Failed } else { Outcome::Well })
}

/// The upstream's path for a path below the route's own.
fn target(route: &Route, path: &str) -> PathAndQuery {
    let base = route.route.upstream.path().trim_end_matches('/');
    let kept = if route.route.strip_path { "" } else { route.route.path.trim_end_matches('/') };
    // All three parts have been checked to be paths.
    PathAndQuery::try_from(format!("{base}{kept}{path}")).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

async fn send(
    connector: &crate::upstream::Connector,
    route: &Route,
    token: &Secret,
    target: PathAndQuery,
) -> Result<StatusCode, String> {
    let stream = connector.connect().await.map_err(|error| chain(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let request = request(route, token, target).map_err(|error| chain(&error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| chain(&error))?;
        Ok(answer.status())
    };
    let mut answer = std::pin::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        // The connection may end before the answer is looked at.
        _ = &mut connection => {}
    }
    answer.await
}

fn request(route: &Route, token: &Secret, target: PathAndQuery) -> Result<Request<Empty<Bytes>>, http::Error> {
    let inject = &route.route.inject;
    let value = match inject.scheme.as_str() {
        "" => token.expose().to_owned(),
        scheme => format!("{scheme} {}", token.expose()),
    };
    let mut value = HeaderValue::try_from(value)?;
    value.set_sensitive(true);
    Request::get(http::Uri::from(target))
        .header(header::HOST, route.route.origin.authority().as_str())
        .header(header::ACCEPT, "*/*")
        .header(header::USER_AGENT, concat!("bearerd/", env!("CARGO_PKG_VERSION")))
        .header(inject.header.clone(), value)
        .body(Empty::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(token: &str) -> Issued {
        Issued {
            access_token: Secret::new(token),
            lifetime: Duration::from_millis(3_599_400),
            refresh_token: None,
            scope: Some("a b\u{1b}[2J".to_owned()),
        }
    }

    #[test]
    fn claims_are_shown_and_the_token_is_not() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://login.example.com","exp":1656576038}"#);
        let token = format!("aGVhZGVy.{payload}.c2lnbmF0dXJl");
        let text = describe("api", &issued(&token));
        assert_eq!(
            text,
            "credentials.api: a token for 59m 59s, scope \"a b\\u{1b}[2J\"\n  \
             exp: 1656576038 (2022-06-30T08:00:38Z)\n  iss: \"https://login.example.com\""
        );
        assert!(!text.contains(&payload) && !text.contains("c2lnbmF0dXJl"));
    }

    #[test]
    fn an_opaque_token_is_called_so() {
        for token in ["sk-418e41", "a.b.c", "a..c", "a.e30.c.d"] {
            let text = describe("api", &issued(token));
            assert!(text.ends_with("opaque (no JWT)") && !text.contains(token), "{text}");
        }
    }

    #[test]
    fn a_probed_path_stands_below_the_upstream() {
        let check = |route: &str, wanted: &str| {
            let text = format!("[routes.a]\ncredential = \"none\"\n{route}");
            let settings = crate::config::load_str(&text, std::path::Path::new("b.toml")).unwrap();
            assert_eq!(target(&settings.routes[0], "/x?y").as_str(), wanted, "{route}");
        };
        check("upstream = \"https://a.example\"", "/x?y");
        check("upstream = \"https://a.example/v2/\"", "/v2/x?y");
        check("upstream = \"https://a.example/v2\"\npath = \"/b\"", "/v2/x?y");
        check("upstream = \"https://a.example/v2\"\npath = \"/b\"\nstrip_path = false", "/v2/b/x?y");
    }
}
