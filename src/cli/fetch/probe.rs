//! `check --probe`: one GET with a fresh token, since a token is not yet an accepted token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http::header::{self, HeaderValue};
use http::response::Parts;
use http::uri::PathAndQuery;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;

use super::Outcome;
use super::screen::title;
use crate::app::{self, StartError};
use crate::config::Route;
use crate::dpop::{self, Binding, Memory, Terms};
use crate::log::chain;
use crate::oauth::Issued;
use crate::proxy::settings::Inject;
use crate::proxy::{self, with_cookie, with_parameter};
use crate::secret::Secret;

/// Sends it, and says how it was answered.
///
/// # Errors
/// [`StartError`] if a TLS file cannot be used.
pub(super) async fn one(route: &Route, token: &Issued, path: &str) -> Result<Outcome, StartError> {
    let connector = app::upstream(route)?;
    let within = route.route.timeouts.response_head.unwrap_or(Duration::from_secs(60));
    let name = &route.route.name;
    let target = target(route, path);
    let shown = format!("routes.{name}: GET {}{}", route.route.origin, target.path());
    let answer = tokio::time::timeout(within, ask(&connector, route, token, target)).await;
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(problem)) => {
            title(&format!("{shown} failed: {problem}"));
            return Ok(Outcome::Failed);
        }
        Err(_) => {
            title(&format!("{shown} failed: no answer within {}", humantime::format_duration(within)));
            return Ok(Outcome::Failed);
        }
    };
    let status = answer.status;
    let is_rejection = route.route.rejection.status.contains(&status.as_u16());
    let refuses_proof = token.key.is_some() && proxy::complaint(status, &answer.headers).is_some();
    let remark = match (refuses_proof, is_rejection) {
        (true, _) => ": it refused the DPoP proof (bearerd explain T031)",
        (false, true) => ": it rejected a fresh token",
        (false, false) => "",
    };
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

/// Asks once, and once more if the upstream wants another proof of possession (RFC 9449 §9).
async fn ask(
    connector: &crate::upstream::Connector,
    route: &Route,
    token: &Issued,
    target: PathAndQuery,
) -> Result<Parts, String> {
    let binding = token.key.as_ref().map(|key| Binding::new(Arc::clone(key), token.access_token.expose()));
    let memory = Memory::default();
    let send_with = async |terms: &Terms| {
        let mut request = request(route, &token.access_token, target.clone()).map_err(|error| chain(&error))?;
        if let Some(binding) = &binding {
            let origin = &route.route.origin;
            let target = dpop::target(origin.scheme().as_str(), origin.authority().as_str(), target.path());
            let proof = binding.prove("GET", &target, terms, SystemTime::now()).map_err(|error| chain(&error))?;
            request.headers_mut().insert(&dpop::FIELD, proof);
        }
        send(connector, request).await
    };
    let terms = memory.terms();
    let answer = send_with(&terms).await?;
    let complaint = proxy::complaint(answer.status, &answer.headers).filter(|_| binding.is_some());
    let better = complaint.and_then(|what| memory.correct(&terms, what, &answer.headers, SystemTime::now()));
    match better {
        Some(better) => send_with(&better).await,
        None => Ok(answer),
    }
}

async fn send(connector: &crate::upstream::Connector, request: Request<Empty<Bytes>>) -> Result<Parts, String> {
    let stream = connector.connect().await.map_err(|error| chain(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| chain(&error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| chain(&error))?;
        Ok(answer.into_parts().0)
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
    let mut place = None;
    let mut with_token = target.clone();
    match &route.route.inject {
        Inject::Header { name, scheme } => {
            let separator = if scheme.is_empty() { "" } else { " " };
            let mut value = HeaderValue::try_from([scheme, separator, token.expose()].concat())?;
            value.set_sensitive(true);
            place = Some((name.clone(), value));
        }
        Inject::Cookie(name) => place = with_cookie(None, name, token).map(|value| (header::COOKIE, value)),
        Inject::Query(name) => with_token = with_parameter(&target, name, token).unwrap_or(target),
    }
    let mut request = Request::get(http::Uri::from(with_token))
        .header(header::HOST, route.route.origin.authority().as_str())
        .header(header::ACCEPT, "*/*")
        .header(header::USER_AGENT, concat!("bearerd/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())?;
    request.headers_mut().extend(place);
    Ok(request)
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
