//! What is asked of a request before it is let in, in a fixed order: 405 method, 400 malformed, 421 host, 403 caller,
//! 404 route, 508 loop, 417 expectation.

use http::header::{EXPECT, HOST, HeaderMap, ORIGIN, VIA};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version};

use super::Gateway;
use super::problem::Problem;
use super::route::NoMatch;
use crate::guard;
use crate::reason::Reason;
use crate::server::ConnectionInfo;

/// A request that is let in.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The position of its route.
    pub(super) route: usize,
    /// Host and port as the caller named them.
    pub(super) authority: Authority,
    /// Whether the caller waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// Lets a request in.
///
/// # Errors
/// [`Problem`] with the first thing that is wrong.
pub(super) fn admit(gateway: &Gateway, info: &ConnectionInfo, parts: &Parts) -> Result<Entry, Problem> {
    // Both would be handled by the upstream as if the caller itself were connected to it, token included.
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        let detail = format!("{} is never forwarded", parts.method);
        return Err(Problem::new(Reason::MethodNotAllowed, detail));
    }
    let asterisk = parts.uri.path() == "*";
    if asterisk && parts.method != Method::OPTIONS {
        return Err(Problem::new(Reason::BadRequest, "only OPTIONS may ask for *"));
    }
    let authority = authority(parts, info)?;
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let path = if asterisk { "/" } else { parts.uri.path() };
    let found = gateway.table.find(info.group, &host, path);
    // Looked for first, told last: who may call can depend on it.
    let route = found.ok().and_then(|route| gateway.routes.get(route));
    let rules = route.and_then(|route| route.callers.as_ref()).unwrap_or(&gateway.callers);
    rules.check_host(info, authority.as_str()).map_err(refused)?;
    rules.check(info, &parts.headers)?;
    if parts.headers.contains_key(ORIGIN) || parts.headers.contains_key("sec-fetch-site") {
        guard::check_cross_site(&parts.headers, authority.as_str()).map_err(refused)?;
    }
    let route = found.map_err(|no| match no {
        NoMatch::None => no_route(),
        NoMatch::Ambiguous => {
            Problem::new(Reason::BadRequest, "the path can be read in ways that pick different routes")
        }
    })?;
    if came_back(&parts.headers, gateway.via.as_bytes()) {
        return Err(Problem::new(Reason::UpstreamLoop, "the upstream of this route leads back to this bearerd"));
    }
    Ok(Entry { route, authority, expects_continue: expects_continue(&parts.headers)? })
}

/// Nothing is configured for this request.
pub(super) fn no_route() -> Problem {
    Problem::new(Reason::NoRoute, "no [routes.*] matches this host and path")
}

/// The authority that a request names: in its target (absolute-form, RFC 9112 §3.2.2), else in its one `Host`.
fn authority(parts: &Parts, info: &ConnectionInfo) -> Result<Authority, Problem> {
    let bad = |detail: &str| Problem::new(Reason::BadRequest, detail);
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("more than one Host"));
    }
    let host = host.map(|host| Authority::try_from(host.as_bytes()).map_err(|_| bad("Host is not a host name")));
    if let Some(authority) = parts.uri.authority() {
        let is_http2 = parts.version == Version::HTTP_2;
        // HTTP/2 clients behind something that ends TLS go on saying https.
        if parts.uri.scheme_str().is_some_and(|scheme| scheme != info.scheme() && !(is_http2 && scheme == "https")) {
            return Err(bad("the request's target has another scheme than this listener"));
        }
        // RFC 9112 §3.2.2: Host is then ignored; one that is no host is malformed all the same.
        let host = host.transpose()?;
        // RFC 9113 §8.3.1.
        if is_http2 && host.is_some_and(|host| host != *authority) {
            return Err(bad("Host and :authority differ"));
        }
        if authority.as_str().contains('@') {
            return Err(bad("user information before the host"));
        }
        return Ok(authority.clone());
    }
    match host {
        Some(host) => host,
        // HTTP/1.0 knew no Host, and no browser speaks it.
        None if parts.version == Version::HTTP_10 => {
            let local = info.peer.local().map_or_else(|| "localhost".to_owned(), |local| local.to_string());
            Authority::try_from(local).map_err(|_| bad("no Host"))
        }
        None => Err(bad("no Host")),
    }
}

/// Whether our own entry stands in `Via` already.
fn came_back(headers: &HeaderMap, own: &[u8]) -> bool {
    let entries = headers.get_all(VIA).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    entries.map(<[u8]>::trim_ascii).any(|entry| entry == own)
}

/// RFC 9110 §10.1.1: an expectation that is not `100-continue` cannot be met.
fn expects_continue(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut expects = false;
    for value in headers.get_all(EXPECT) {
        if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            return Err(Problem::new(Reason::BadExpectation, "only Expect: 100-continue can be met"));
        }
        expects = true;
    }
    Ok(expects)
}

fn refused(refusal: guard::Refusal) -> Problem {
    Problem::new(refusal.reason, refusal.message)
}
