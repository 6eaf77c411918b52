//! `check --fetch` and `--probe`: one token request for each credential, step by step, and one GET for each route.
//!
//! Says in one screen what works and what does not: name, connection, TLS, the answer, the token; and on failure what most likely
//! cures it. Never tries a second time in another way: each try may count against an account. Shows no token and no secret.

mod cure;
mod probe;
mod screen;
mod token;
mod way;

use std::collections::BTreeMap;

use http::Uri;

use crate::app::{self, StartError};
use crate::clock::Clock;
use crate::config::{Credential, Settings};
use crate::oauth::settings::{ClientAuthentication, Endpoint, GrantType};
use crate::oauth::{Class, FetchError, Grant, Issued, Seen};
use crate::runtime;
use cure::{Case, cures, skew};
use screen::{Mark, say, title};
use way::{failure, milliseconds, walk};

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
    let runtime = runtime::start()?;
    runtime.block_on(async {
        let (mut outcome, tokens) = fetch_all(settings).await?;
        if let Some(path) = probe {
            for route in &settings.routes {
                let token = route.route.credential.as_ref().and_then(|name| tokens.get(name));
                if let Some(token) = token {
                    outcome = outcome.max(probe::one(route, token, path).await?);
                }
            }
        }
        Ok(outcome)
    })
}

async fn fetch_all(settings: &Settings) -> Result<(Outcome, BTreeMap<String, Issued>), StartError> {
    let clock = Clock::boot();
    let mut outcome = Outcome::Well;
    let mut tokens = BTreeMap::new();
    for credential in &settings.credentials {
        title(&heading(credential));
        match fetch_one(credential, settings, &clock).await? {
            Ok(Some(token)) => {
                tokens.insert(credential.token.name.clone(), token);
            }
            Ok(None) => {}
            Err(error) => {
                let is_refusal = matches!(error.class, Class::Permanent | Class::Refused);
                outcome = outcome.max(if is_refusal { Outcome::Refused } else { Outcome::Failed });
            }
        }
    }
    Ok((outcome, tokens))
}

/// All steps of one credential. `Ok(None)` if nothing was asked for, and for good reason.
async fn fetch_one(
    credential: &Credential,
    settings: &Settings,
    clock: &Clock,
) -> Result<Result<Option<Issued>, FetchError>, StartError> {
    let endpoint = app::token_endpoint(credential, settings, clock)?;
    let ways = app::ways(credential, settings)?;
    let written = credential.oauth.endpoint.written();
    if let Err(error) = walk(&ways, written).await {
        return Ok(Err(failed(credential, error, None, written)));
    }
    let place = match endpoint.whereabouts().await {
        Ok(place) => place,
        Err(error) => {
            say(Mark::Failed, "issuer", &failure(&error));
            return Ok(Err(failed(credential, error, None, written)));
        }
    };
    if place != *written {
        say(Mark::Done, "issuer", &format!("its metadata name {}", screen::printable(&without_query(&place))));
        if place.authority() != written.authority()
            && let Err(error) = walk(&ways, &place).await
        {
            return Ok(Err(failed(credential, error, None, &place)));
        }
    }
    if credential.oauth.grant == GrantType::RefreshToken {
        let why = "not asked for a token: a refresh token may be good for one use alone, and that is bearerd run's";
        say(Mark::Plain, "answer", why);
        return Ok(Ok(None));
    }
    let (result, seen) = endpoint.fetch_observed(Grant::Configured).await;
    if let Some(skew) = seen.as_ref().and_then(|seen| seen.ahead).and_then(skew) {
        say(Mark::Odd, "clock", &format!("this machine's is {skew} the server's"));
    }
    let issued = match result {
        Ok(issued) => issued,
        Err(error) => {
            let took = seen.as_ref().map(|seen| format!(", after {}", milliseconds(seen.took))).unwrap_or_default();
            let label = if error.reason == crate::reason::Reason::SecretUnreadable { "secret" } else { "answer" };
            say(Mark::Failed, label, &format!("{}{took}", failure(&error)));
            return Ok(Err(failed(credential, error, seen.as_ref(), &place)));
        }
    };
    if let Some(seen) = &seen {
        say(Mark::Done, "answer", &format!("{} after {}", seen.status.as_u16(), milliseconds(seen.took)));
    }
    for (mark, label, text) in token::lines(&issued, seen.as_ref(), &credential.oauth, clock.wall()) {
        say(mark, label, &text);
    }
    Ok(Ok(Some(issued)))
}

/// Shows what may help.
fn failed(credential: &Credential, error: FetchError, seen: Option<&Seen>, endpoint: &Uri) -> FetchError {
    let case = Case {
        name: &credential.token.name,
        settings: &credential.oauth,
        lockout: credential.token.lockout,
        has_proxy: credential.proxy.is_some(),
        error: &error,
        seen,
        endpoint,
    };
    for (index, cure) in cures(&case).iter().enumerate() {
        say(Mark::Cure, if index == 0 { "cure" } else { "" }, cure);
    }
    error
}

/// `credentials.api: client_credentials with client_secret_basic at https://login.example.com/oauth/token`.
fn heading(credential: &Credential) -> String {
    let oauth = &credential.oauth;
    let grant = match oauth.grant {
        GrantType::ClientCredentials => "client_credentials",
        GrantType::Password => "password",
        GrantType::RefreshToken => "refresh_token",
        GrantType::JwtBearer => "jwt-bearer",
        GrantType::TokenExchange => "token-exchange",
        GrantType::None => "no grant_type",
    };
    let client = match &oauth.client {
        ClientAuthentication::Anonymous => "without a client",
        ClientAuthentication::Public { .. } => "by client_id alone",
        ClientAuthentication::Basic { .. } => "by client_secret_basic",
        ClientAuthentication::Post { .. } => "by client_secret_post",
        ClientAuthentication::Jwt(_) => "by an assertion",
        ClientAuthentication::Certificate { .. } => "by a certificate",
    };
    let place = match &oauth.endpoint {
        Endpoint::Given(uri) => without_query(uri),
        Endpoint::Issuer { identifier, .. } => format!("issuer {identifier}"),
    };
    format!("credentials.{}: {grant}, {client}, at {place}", credential.token.name)
}

/// A query may hold a key.
fn without_query(uri: &Uri) -> String {
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}
