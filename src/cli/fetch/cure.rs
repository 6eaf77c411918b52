//! What most likely cures a token request that failed, in one or two lines.
//!
//! Owns the guessing, as pure functions over what is known: the configuration, the failure with the server's own words (masked long
//! before), the answer. Tries nothing: every try may count against an account. The first rule that fits speaks, the sharpest first.

use http::{StatusCode, Uri};

use crate::oauth::settings::{BasicEncoding, ClientAuthentication, Encoding, Endpoint, GrantType, Settings};
use crate::oauth::{Content, FetchError, Seen};
use crate::reason::Reason;
use crate::upstream::Origin;

/// A clock that is further away is worth a word.
pub(super) const SKEW: i64 = 30;

/// All that is known of a failure.
pub(super) struct Case<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) lockout: bool,
    pub(super) has_proxy: bool,
    pub(super) error: &'a FetchError,
    pub(super) seen: Option<&'a Seen>,
    pub(super) endpoint: &'a Uri,
}

/// The likeliest cures, the likeliest first; at most two.
pub(super) fn cures(case: &Case<'_>) -> Vec<String> {
    let mut found = match case.error.status {
        Some(status) if case.error.reason != Reason::TokenProxyRefused => answered(case, status),
        _ => unanswered(case),
    };
    found.truncate(2);
    found
}

impl Case<'_> {
    /// The failure's line in lower case.
    fn said(&self) -> String {
        self.error.message.to_lowercase()
    }

    fn table(&self) -> String {
        format!("[credentials.{}]", self.name)
    }

    fn host(&self) -> &str {
        self.endpoint.host().unwrap_or_default()
    }

    fn is_http(&self) -> bool {
        self.endpoint.scheme_str() == Some("http")
    }

    fn signs(&self) -> bool {
        matches!(self.settings.client, ClientAuthentication::Jwt(_)) || self.settings.grant == GrantType::JwtBearer
    }

    /// What to say of a clock that is wrong, if it is.
    fn clock(&self) -> Option<String> {
        let ahead = self.seen?.ahead?;
        skew(ahead).map(|skew| format!("set this machine's clock: it is {skew} the server's"))
    }
}

/// How far a clock is off, if that is worth a word.
pub(super) fn skew(ahead: i64) -> Option<String> {
    let seconds = ahead.unsigned_abs();
    let time = humantime::format_duration(std::time::Duration::from_secs(seconds));
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    (seconds >= SKEW.unsigned_abs()).then(|| format!("{time} {side}"))
}

fn list<const N: usize>(lines: [&str; N]) -> Vec<String> {
    lines.map(str::to_owned).into()
}

// ---- No answer ------------------------------------------------------------------------------------------------------

fn unanswered(case: &Case<'_>) -> Vec<String> {
    let said = case.said();
    match case.error.reason {
        Reason::TokenTls => tls(case, &said),
        Reason::TokenProxy | Reason::TokenProxyRefused => proxy(case, &said),
        Reason::TokenTimeout if said.contains("tls handshake") => vec![
            format!(
                "the port may not speak TLS: another port, or http:// with allow_plain_http = true in {}",
                case.table()
            ),
            "or something on the way swallows it: a firewall that inspects TLS, a network with a smaller MTU"
                .to_owned(),
        ],
        Reason::TokenTimeout => vec![
            format!("a firewall that drops packets? try from here: curl -v -m 10 {}", shown(case.endpoint)),
            needs_proxy(case),
        ],
        Reason::TokenUnreachable if said.contains("closed before the answer") && case.is_http() => {
            vec![format!("the port may speak TLS: write https:// in {} of {}", key_of(case), case.table())]
        }
        Reason::TokenUnreachable => vec![
            format!(
                "check host and port in {} of {}, from here: curl -v {}",
                key_of(case),
                case.table(),
                shown(case.endpoint)
            ),
            needs_proxy(case),
        ],
        Reason::TokenMalformed if case.is_http() => {
            vec![format!(
                "what answers does not speak HTTP: write https:// in {} of {}, or another port",
                key_of(case),
                case.table()
            )]
        }
        Reason::TokenIssuer => list([
            "read the document from here: curl -L ISSUER/.well-known/openid-configuration, and write issuer exactly as it does",
            "write token_endpoint = \"https://…\" instead of issuer if the server has no such document",
        ]),
        Reason::SecretUnreadable => {
            list(["mend the file, the variable or the command that the line names; see: bearerd explain T023"])
        }
        reason => vec![format!("see: bearerd explain {reason}")],
    }
}

fn key_of(case: &Case<'_>) -> &'static str {
    match case.settings.endpoint {
        Endpoint::Given(_) => "token_endpoint",
        Endpoint::Issuer { .. } => "issuer",
    }
}

/// Without a query, which may hold a key.
fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or("https"), uri.path())
}

fn needs_proxy(case: &Case<'_>) -> String {
    if Origin::of(case.endpoint).is_ok_and(|origin| origin.is_loopback()) {
        format!("is the server on this machine running, and in this container? {}", case.host())
    } else if case.has_proxy {
        format!("it was tried through a proxy: proxy = \"none\" in {} goes without", case.table())
    } else {
        format!("where the way out is a proxy alone: proxy = \"http://PROXY:PORT\" in {}, or HTTPS_PROXY", case.table())
    }
}

fn tls(case: &Case<'_>, said: &str) -> Vec<String> {
    let table = format!("[credentials.{}.tls]", case.name);
    if said.contains("not trusted") || said.contains("its own") || said.contains("another key") {
        return vec![
            format!("name the authority that signed it: ca = \"corp-ca.pem\" in {table}"),
            format!(
                "a firewall or proxy that breaks TLS open shows an authority of its own; see who: openssl s_client -connect {}:{} </dev/null",
                case.host(),
                case.endpoint.port_u16().unwrap_or(443)
            ),
        ];
    }
    if said.contains("expired") || said.contains("not valid") {
        let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
        return vec![
            format!("check this machine's clock, which says {now}"),
            "if it is right, the server's owner must renew the certificate".to_owned(),
        ];
    }
    if said.contains("is not for") || said.contains("another name") {
        return vec![
            format!("write a host in {} that the certificate names", key_of(case)),
            format!("or, if you must connect to this address: server_name = \"NAME\" in {table}"),
        ];
    }
    if said.contains("speak tls") {
        return vec![
            format!("another port, or http:// with allow_plain_http = true in {}", case.table()),
            "a proxy's port is written as proxy = \"http://HOST:PORT\", not as the token endpoint".to_owned(),
        ];
    }
    if said.contains("client certificate") {
        return vec![format!("certificate = \"client.pem\" and key = \"client.key\" in {table}")];
    }
    vec![needs_proxy(case)]
}

fn proxy(case: &Case<'_>, said: &str) -> Vec<String> {
    let without =
        format!("proxy = \"none\" in {}, or {} in NO_PROXY, goes without the proxy", case.table(), case.host());
    if said.contains("407") {
        let login = "give the proxy a login: proxy = { file = \"…\" } with http://USER:PASSWORD@HOST:PORT in the file";
        return vec![login.to_owned(), without];
    }
    if said.contains("403") || said.contains("405") {
        return vec![format!("the proxy's rules must allow {}", case.host()), without];
    }
    vec!["check the proxy's address: the line above names it".to_owned(), without]
}

// ---- An answer --------------------------------------------------------------------------------------------------------

fn answered(case: &Case<'_>, status: StatusCode) -> Vec<String> {
    let said = case.said();
    let by_status = match status.as_u16() {
        300..=399 => Some(redirected(case, &said)),
        429 => Some(rate_limited(case)),
        _ => None,
    };
    by_status
        .or_else(|| is_page(case).then(|| web_page(case)))
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

/// Microsoft Entra ID says what it means by numbers.
fn entra(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
    let (_, rest) = said.split_once("aadsts")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let table = case.table();
    Some(match number.as_str() {
        "70011" | "1002012" | "28000" | "28003" | "901002" => {
            vec![format!(
                "client credentials want one scope that ends in /.default: scope = \"api://APP_ID/.default\" in {table}"
            )]
        }
        "900144" | "90014" if said.contains("scope") => {
            vec![format!(
                "write scope = \"api://APP_ID/.default\" (or https://graph.microsoft.com/.default) in {table}"
            )]
        }
        "500011" | "650057" => {
            vec![
                "the scope names an API that this tenant does not know: take its Application ID URI, with /.default"
                    .to_owned(),
            ]
        }
        "7000215" => {
            list(["the secret is wrong: Entra shows it once, as \"Value\"; the \"Secret ID\" beside it is none"])
        }
        "7000222" => list(["the client secret has expired: make a new one under Certificates & secrets"]),
        "700016" => list(["the tenant in the URL does not know this client_id: check both"]),
        "90002" | "900023" => {
            list(["there is no such tenant: check the part of the URL after login.microsoftonline.com/"])
        }
        "50126" => list(["user name or password are wrong; accounts that are federated or need MFA cannot log in so"]),
        "50076" | "50079" | "53003" => {
            list(["the account needs MFA or is under conditional access: use client credentials instead"])
        }
        "700024" => case
            .clock()
            .into_iter()
            .chain(list(["the assertion's times do not fit: check this machine's clock"]))
            .collect(),
        "700027" | "7000213" | "700023" | "70021" | "700213" | "700211" => list([
            "the app does not know this certificate or federated identity: compare thumbprint, issuer, subject and audience",
        ]),
        _ => return None,
    })
}

/// Assertions are compared with the server's clock.
fn clock(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
    let words = [
        "\"exp\"",
        "'exp'",
        "\"iat\"",
        "'iat'",
        "\"nbf\"",
        "'nbf'",
        " exp ",
        " iat ",
        " nbf ",
        "expired",
        "in the future",
        "not yet valid",
        "not valid yet",
        "clock",
        "too old",
        "timeframe",
        "lifetime",
        "issued at",
    ];
    let speaks_of_time = words.iter().any(|word| said.contains(word));
    if !case.signs() || !speaks_of_time && case.clock().is_none() {
        return None;
    }
    Some(case.clock().map_or_else(
        || {
            list([
                "the server does not like the assertion's times: its clock and this machine's agree, so set lifetime = \"60s\" beside its key",
                "an assertion from a file may have expired there: see who renews it",
            ])
        },
        |line| vec![line, "assertions are compared with the server's clock, and most servers allow a few seconds alone".to_owned()],
    ))
}

fn audience_or_scope(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
    let table = case.table();
    if said.contains("non-global clients") || said.contains("audience parameter") || said.contains("service not found")
    {
        // Auth0's words for a missing and for a wrong one.
        return Some(vec![format!("write audience = \"…\" (the API's identifier, not its URL by chance) in {table}")]);
    }
    if case.signs() && said.contains("aud") {
        return Some(vec![
            "set audience beside the assertion's key to what the server wants: its issuer, or its token endpoint"
                .to_owned(),
        ]);
    }
    if said.contains("audience")
        || said.contains("invalid_target")
        || said.contains("resource") && said.contains("missing")
    {
        return Some(vec![match (&case.settings.audience, case.settings.resource.is_empty()) {
            (None, true) => format!(
                "write audience (Auth0 and relatives) or resource (RFC 8707) in {table}: the API that the token is for"
            ),
            _ => format!("audience or resource in {table} names no API that this client may have tokens for"),
        }]);
    }
    if said.contains("invalid_scope") || said.contains("scope") {
        return Some(match &case.settings.scope {
            None => vec![format!(
                "write scope = \"…\" in {table}: this server has no default (Okta wants a custom scope, Entra …/.default)"
            )],
            Some(scope)
                if scope.split(' ').any(|one| matches!(one, "openid" | "profile" | "email" | "offline_access")) =>
            {
                vec![format!(
                    "openid, profile, email and offline_access are for people: leave them out of scope in {table} and ask for the API's own"
                )]
            }
            Some(scope) => vec![
                format!("grant {scope:?} to this client at the server, or correct scope in {table}"),
                "scopes are told apart by spaces, and their case counts".to_owned(),
            ],
        });
    }
    None
}

fn by_code(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
    let table = case.table();
    let is = |code: &str| said.contains(code);
    if is("unsupported_grant_type") {
        let grant = case.settings.grant.wire().unwrap_or("none at all");
        let first = match case.settings.encoding {
            Encoding::Form => format!(
                "this server does not do the grant {grant:?}, or not for this client: correct grant_type in {table}"
            ),
            _ => format!("the server may not have read the fields: write encoding = \"form\" in {table}"),
        };
        return Some(vec![first]);
    }
    if is("unauthorized_client") {
        let grant = case.settings.grant.wire().unwrap_or("without grant_type");
        return Some(vec![format!(
            "allow the grant {grant:?} to this client at the server (Keycloak: service accounts; Auth0: grant types)"
        )]);
    }
    if is("invalid_grant") {
        return Some(grant(case));
    }
    if is("access_denied") || is("not authorized to access") {
        return Some(vec![
            "allow this client to have tokens for this API at the server (Auth0: APIs, Machine to Machine)".to_owned(),
        ]);
    }
    if is("invalid_client") || is("client authentication") || is("client credentials") || is("bad client") {
        return Some(style(case));
    }
    if is("invalid_request") && (is("client_id") || is("client_secret") || is("client credential")) {
        return Some(style(case));
    }
    None
}

/// RFC 6749 §5.2: "the provided authorization grant or refresh token is invalid, expired, revoked".
fn grant(case: &Case<'_>) -> Vec<String> {
    let counted = if case.lockout { "; each wrong try counts, so none is made by itself" } else { "" };
    match case.settings.grant {
        GrantType::Password | GrantType::None => vec![format!(
            "user name or password are wrong or have expired, or the account is locked or needs MFA{counted}"
        )],
        GrantType::RefreshToken => {
            list(["the refresh token has expired, was revoked, or was used elsewhere: authorise bearerd again"])
        }
        GrantType::JwtBearer => case
            .clock()
            .into_iter()
            .chain(list(["check issuer, subject and audience of the assertion, and that the server knows its key"]))
            .collect(),
        GrantType::TokenExchange => list([
            "the subject token has expired, or its subject_token_type or issuer is not one that the server takes",
        ]),
        GrantType::ClientCredentials => style(case),
    }
}

/// The client is not known, or proves itself in another way than the server expects.
fn style(case: &Case<'_>) -> Vec<String> {
    let table = case.table();
    let mut lines = match &case.settings.client {
        ClientAuthentication::Basic { encoding, .. } => {
            let raw = match encoding {
                BasicEncoding::Form => "or basic_encoding = \"raw\", if the secret has other characters than letters and digits",
                BasicEncoding::Raw => "or basic_encoding = \"form\", as the standard has it",
            };
            vec![
                format!("try client_authentication = \"client_secret_post\" in {table}: many servers take id and secret in the body alone"),
                raw.to_owned(),
            ]
        }
        ClientAuthentication::Post { .. } => {
            vec![format!("try client_authentication = \"client_secret_basic\" in {table}: the server may take them in the header alone")]
        }
        ClientAuthentication::Public { .. } | ClientAuthentication::Anonymous => {
            vec![format!("the server wants the client to prove itself: client_id and client_secret in {table}")]
        }
        ClientAuthentication::Jwt(_) => case
            .clock()
            .into_iter()
            .chain(list([
                "register the public key (with this key_id) at the server, and compare algorithm and audience with what it wants",
            ]))
            .collect(),
        ClientAuthentication::Certificate { .. } => {
            vec!["the server does not know this certificate for this client_id: compare subject and issuer with what is registered".to_owned()]
        }
    };
    if case.lockout {
        // The warning goes before a second guess.
        lines.truncate(1);
        lines.push("lockout is on: each wrong try may count against an account, so none is made by itself".to_owned());
    } else if lines.len() < 2 {
        lines.push("or id and secret are wrong, belong to another environment, or have expired".to_owned());
    }
    lines
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
        200..=299 if case.error.reason == Reason::TokenIllegal && said.contains("token_type") => {
            vec![format!("write the scheme that the API wants: scheme = \"…\" in [credentials.{}.inject]", case.name)]
        }
        200..=299 if case.error.reason == Reason::TokenIllegal => {
            vec![format!(
                "say where the token is: access_token = \"/data/access_token\" in [credentials.{}.response]",
                case.name
            )]
        }
        200..=299 => vec![format!("something else than a token endpoint answers: correct {} in {table}", key_of(case))],
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
