//! An answer came and had no token: in which order its signs are looked at, and what its status alone says.

use http::StatusCode;

use super::words::{audience_or_scope, by_code, clock, entra, style};
use super::{Case, key_of, list, needs_proxy};
use crate::oauth::Content;
use crate::oauth::settings::Encoding;
use crate::reason::Reason;

pub(super) fn cures(case: &Case<'_>, status: StatusCode) -> Vec<String> {
    let said = case.said();
    let by_status = match status.as_u16() {
        300..=399 => Some(redirected(case, &said)),
        429 => Some(rate_limited(case)),
        _ => None,
    };
    let has_no_token = status.is_success() && case.error.reason == Reason::TokenIllegal;
    by_status
        .or_else(|| is_page(case).then(|| web_page(case)))
        // The names of its members stand in the line, and are no server's words.
        .or_else(|| has_no_token.then(|| without_token(case, status, &said)))
        .or_else(|| locked(&said))
        .or_else(|| entra(case, &said))
        .or_else(|| clock(case, &said))
        .or_else(|| (said.contains("invalid_client") && !case.signs()).then(|| style(case)))
        .or_else(|| audience_or_scope(case, &said))
        .or_else(|| by_code(case, &said))
        .or_else(|| by_other_status(case, status, &said))
        .unwrap_or_else(|| list(["read the server's own words above; see also: bearerd explain T020"]))
}

fn is_page(case: &Case<'_>) -> bool {
    case.seen.is_some_and(|seen| seen.content == Content::Html)
}

fn redirected(case: &Case<'_>, said: &str) -> Vec<String> {
    let (_, target) = said.split_once(" to ").unwrap_or_default();
    let target = target.split(')').next().unwrap_or_default();
    let ours = case.endpoint.authority().map(http::uri::Authority::host).unwrap_or_default();
    let is_same_over_tls = case.is_http() && target.strip_prefix("https://").is_some_and(|rest| rest.starts_with(ours));
    if is_same_over_tls {
        return vec![format!("write https:// in {} of {}", key_of(case), case.table())];
    }
    if target.contains("login") || target.contains("signin") || target.contains("authorize") {
        return list([
            "this is where people sign in and not the token endpoint: look it up in the vendor's documentation",
        ]);
    }
    list([
        "write the address that it names, if you trust it, as token_endpoint; redirects are never followed, since they would \
           take the secret along",
    ])
}

fn rate_limited(case: &Case<'_>) -> Vec<String> {
    let wait = match case.error.retry_after {
        Some(time) => format!("wait {}", humantime::format_duration(std::time::Duration::from_secs(time.as_secs()))),
        None => "wait a while".to_owned(),
    };
    vec![format!(
        "{wait}: too many token requests came; see who else uses this client (replicas, scripts, other environments)"
    )]
}

fn web_page(case: &Case<'_>) -> Vec<String> {
    vec![
        format!(
            "a web page answers at this path: correct {} in {} (often …/oauth/token, …/oauth2/token)",
            key_of(case),
            case.table()
        ),
        "or something in between answers for the server: a portal, a gateway, a proxy".to_owned(),
    ]
}

fn locked(said: &str) -> Option<Vec<String>> {
    let words = [
        "locked",
        "too many failed",
        "too many attempts",
        "account disabled",
        "account is disabled",
        "user blocked",
        "account is blocked",
        "aadsts50053",
        "aadsts50057",
    ];
    words.iter().any(|word| said.contains(word)).then(|| {
        list(["have the account unlocked at the server first, and do not try again before: each try may prolong it"])
    })
}

/// An answer that should have had a token.
fn without_token(case: &Case<'_>, status: StatusCode, said: &str) -> Vec<String> {
    let table = format!("[credentials.{}.response]", case.name);
    if said.contains("its token_type is") {
        return vec![format!(
            "write the scheme that the API wants: scheme = \"…\" in [credentials.{}.inject]",
            case.name
        )];
    }
    let is_elsewhere = case.settings.response.elsewhere.is_some();
    let pointer = case.seen.and_then(|seen| seen.token_at.as_deref());
    if let Some(pointer) = pointer.filter(|pointer| is_elsewhere || *pointer != case.settings.response.access_token) {
        return vec![format!("say where the token is: access_token = \"{pointer}\" in {table}")];
    }
    if let Some(words) = quoted(&case.error.message, status) {
        let lower = words.to_lowercase();
        return locked(&lower)
            .or_else(|| entra(case, &lower))
            .or_else(|| audience_or_scope(case, &lower))
            .or_else(|| by_code(case, &lower))
            .unwrap_or_else(|| vec![format!("the server says why there is no token, most likely: {words}")]);
    }
    if said.contains("already expired") {
        return case
            .clock()
            .into_iter()
            .chain(list(["check this machine's clock, and expires_in or expires_at of its table response"]))
            .collect();
    }
    if pointer.is_some() {
        return list([
            "the token is where it should be and cannot be used, as the line above says: tell the server's owner",
        ]);
    }
    if ["is null", "is empty", "is not a text"].iter().any(|what| said.contains(what)) {
        return vec![
            "the server names a token and gives none: see in the vendor's documentation what it wants first (an account that is \
             activated, another grant, a scope)"
                .to_owned(),
        ];
    }
    vec![format!(
        "no member of the answer is called a token: see the vendor's documentation, then write access_token, access_token_header or \
         access_token_cookie in {table}"
    )]
}

/// The server's own words, which stand behind the status.
fn quoted(message: &str, status: StatusCode) -> Option<&str> {
    let (_, words) = message.rsplit_once(&format!("({} \"", status.as_u16()))?;
    words.strip_suffix("\")").filter(|words| !words.is_empty())
}

fn by_other_status(case: &Case<'_>, status: StatusCode, said: &str) -> Option<Vec<String>> {
    let table = case.table();
    let encoding = || match case.settings.encoding {
        Encoding::Form => format!("try encoding = \"json\" in {table}: the server may not read forms"),
        _ => format!("try encoding = \"form\" in {table}: the standard has it so"),
    };
    let speaks_of_format =
        ["content type", "content-type", "media type", "json", "malformed", "cannot parse", "unreadable"];
    Some(match status.as_u16() {
        404 | 410 => vec![format!("nothing is at this path: correct {} in {table}", key_of(case))],
        405 | 501 => vec![format!("the path is wrong, or method = \"{}\" in {table} is", case.settings.method)],
        415 => vec![encoding()],
        400 | 422 if speaks_of_format.iter().any(|word| said.contains(word)) => vec![encoding()],
        400 | 422 => vec![
            format!(
                "a field is missing or wrong: compare params, scope, audience and grant_type in {table} with the vendor's documentation"
            ),
            encoding(),
        ],
        401 => style(case),
        403 => vec![
            "a firewall or an allow-list in front of the server may refuse this machine's address".to_owned(),
            "or id, secret or password are wrong: some servers say so with an empty 403".to_owned(),
        ],
        407 => vec!["a proxy answers in the server's place and wants a login".to_owned(), needs_proxy(case)],
        502..=504 => list(["the server or a gateway before it is down: try again later"]),
        500..=599 if said.contains("required") || said.contains("missing") || said.contains("parameter") => {
            vec![format!("the server says by {status} that a field is missing or wrong: correct params in {table}")]
        }
        500..=599 => list(["the server fails by itself: try again later, and tell its owner"]),
        200..=299 => vec![format!("something else than a token endpoint answers: correct {} in {table}", key_of(case))],
        _ => return None,
    })
}
