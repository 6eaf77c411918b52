//! The words of servers: standard error codes, and what vendors say in their stead.

use super::{Case, list};
use crate::oauth::settings::{BasicEncoding, ClientAuthentication, Encoding, GrantType};
use crate::secret::SecretSource;

/// Microsoft Entra ID says what it means by numbers.
pub(super) fn entra(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
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
pub(super) fn clock(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
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

pub(super) fn audience_or_scope(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
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

pub(super) fn by_code(case: &Case<'_>, said: &str) -> Option<Vec<String>> {
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
pub(super) fn grant(case: &Case<'_>) -> Vec<String> {
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
pub(super) fn style(case: &Case<'_>) -> Vec<String> {
    let table = case.table();
    let wrong = || "id or secret are wrong, belong to another environment, or have expired".to_owned();
    let mut lines = match &case.settings.client {
        ClientAuthentication::Basic { id, secret, encoding } => {
            let encoding = other_encoding([id, secret], *encoding);
            let post = format!(
                "or try client_authentication = \"client_secret_post\" in {table}: many servers take id and secret in the body alone{encoding}"
            );
            vec![wrong(), post]
        }
        ClientAuthentication::Post { .. } => {
            let basic = format!(
                "or try client_authentication = \"client_secret_basic\" in {table}: the server may take them in the header alone"
            );
            vec![wrong(), basic]
        }
        ClientAuthentication::Public { .. } | ClientAuthentication::Anonymous => vec![
            format!("the server wants the client to prove itself: client_id and client_secret in {table}"),
            "or client_id is wrong, or belongs to another environment".to_owned(),
        ],
        ClientAuthentication::Jwt(_) => case
            .clock()
            .into_iter()
            .chain(list([
                "register the public key (with this key_id) at the server, and compare algorithm and audience with what it wants",
                "or client_id is wrong, or belongs to another environment",
            ]))
            .collect(),
        ClientAuthentication::Certificate { .. } => list([
            "the server does not know this certificate for this client_id: compare subject and issuer with what is registered",
            "or client_id is wrong, or belongs to another environment",
        ]),
    };
    let is_by_secret =
        matches!(case.settings.client, ClientAuthentication::Basic { .. } | ClientAuthentication::Post { .. });
    // A server that has seen no client at all looks for it elsewhere: that its secret is wrong, it cannot know.
    if is_by_secret && is_unseen(&case.said()) {
        lines.reverse();
        lines = lines.iter().map(|line| line.trim_start_matches("or ").to_owned()).collect();
    }
    if case.lockout {
        // The warning goes before a second guess.
        lines.truncate(1);
        lines.push("lockout is on: each wrong try may count against an account, so none is made by itself".to_owned());
    }
    lines
}

fn is_unseen(said: &str) -> bool {
    ["missing", "required", "invalid_request", "not provided", "no client"].iter().any(|word| said.contains(word))
}

/// What is worth a word of `basic_encoding`: nothing if it changes nothing, as far as that can be known.
fn other_encoding(sources: [&SecretSource; 2], encoding: BasicEncoding) -> String {
    let is_same = |source: &SecretSource| match source {
        // It may have side effects, and cost time.
        SecretSource::Command(_) | SecretSource::Member { .. } => None,
        other => other.read_now().ok().map(|secret| secret.is_same_in_forms()),
    };
    let known = sources.map(is_same);
    let because = match known {
        [Some(true), Some(true)] => return String::new(),
        _ if known.contains(&Some(false)) => "id or secret have characters that the two ways write differently",
        _ => "if id or secret have other characters than letters and digits",
    };
    let other = match encoding {
        BasicEncoding::Form => "raw",
        BasicEncoding::Raw => "form",
    };
    format!("; or basic_encoding = \"{other}\": {because}")
}
