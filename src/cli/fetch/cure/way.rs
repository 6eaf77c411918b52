//! No answer came: what may be wrong on the way.

use http::Uri;

use super::{Case, key_of, list, needs_proxy};
use crate::reason::Reason;

pub(super) fn cures(case: &Case<'_>) -> Vec<String> {
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

/// Without a query, which may hold a key.
fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or("https"), uri.path())
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
