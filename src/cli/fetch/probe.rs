//! `check --probe`: one GET with a fresh token, since a token is not yet an accepted token.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;

use super::Outcome;
use super::screen::title;
use crate::app::{self, StartError};
use crate::config::Route;
use crate::log::chain;
use crate::secret::Secret;

/// Sends it, and says how it was answered.
///
/// # Errors
/// [`StartError`] if a TLS file cannot be used.
pub(super) async fn one(route: &Route, token: &Secret, path: &str) -> Result<Outcome, StartError> {
    let connector = app::upstream(route)?;
    let within = route.route.timeouts.response_head.unwrap_or(Duration::from_secs(60));
    let name = &route.route.name;
    let target = target(route, path);
    let shown = format!("routes.{name}: GET {}{}", route.route.origin, target.path());
    let answer = tokio::time::timeout(within, send(&connector, route, token, target)).await;
    let status = match answer {
        Ok(Ok(status)) => status,
        Ok(Err(problem)) => {
            title(&format!("{shown} failed: {problem}"));
            return Ok(Outcome::Failed);
        }
        Err(_) => {
            title(&format!("{shown} failed: no answer within {}", humantime::format_duration(within)));
            return Ok(Outcome::Failed);
        }
    };
    let is_rejection = route.route.rejection.status.contains(&status.as_u16());
    let remark = if is_rejection { ": it rejected a fresh token" } else { "" };
    title(&format!("{shown} → {status}{remark}"));
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
