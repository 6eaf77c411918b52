//! What is asked of a request before it is let in, in a fixed order: 405 method, 400 malformed, 421 host, 403 caller,
//! 404 route, 508 loop, 501 protocol, 417 expectation.

use std::rc::Rc;

use http::header::{COOKIE, EXPECT, HeaderName, ORIGIN, VIA};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Version};

use super::Gateway;
use super::asked::{Asked, Memory};
use super::problem::Problem;
use super::route::NoMatch;
use super::target;
use super::upgrade;
use crate::guard;
use crate::reason::Reason;
use crate::server::{ConnectionInfo, MOST_FIELDS, check_target};

/// A request that is let in.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The position of its route.
    pub(super) route: usize,
    /// Host and port as the caller named them.
    pub(super) asked: Rc<Asked>,
    /// Whether the caller waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// Lets a request in.
///
/// # Errors
/// [`Problem`] with the first thing that is wrong.
pub(super) fn admit(
    gateway: &Gateway,
    memory: &Memory,
    info: &ConnectionInfo,
    parts: &Parts,
) -> Result<Entry, Problem> {
    // Both would be handled by the upstream as if the caller itself were connected to it, token included.
    // Extended CONNECT is another thing: it asks the upstream to speak another protocol, not to connect on.
    let protocol = upgrade::connect_protocol(parts);
    if parts.method == Method::TRACE || (parts.method == Method::CONNECT && protocol.is_none()) {
        let detail = format!("{} is never forwarded", parts.method);
        return Err(Problem::new(Reason::MethodNotAllowed, detail));
    }
    if parts.version == Version::HTTP_2 {
        check_http2(parts)?;
    }
    let asterisk = parts.uri.path() == "*";
    if asterisk && parts.method != Method::OPTIONS {
        return Err(Problem::new(Reason::BadRequest, "only OPTIONS may ask for *"));
    }
    let asked = memory.asked(parts, info)?;
    let path = if asterisk { "/" } else { parts.uri.path() };
    let found = gateway.table.find(info.group, &asked.host, path);
    // Looked for first, told last: who may call can depend on it.
    let route = found.ok().and_then(|route| gateway.routes.get(route));
    let rules = route.and_then(|route| route.callers.as_ref()).unwrap_or(&gateway.callers);
    rules.check_host(info, &asked.named).map_err(|refusal| match parts.uri.authority() {
        // In the form in which requests go to proxies (RFC 9112 §3.2.2).
        Some(authority) if parts.version < Version::HTTP_2 => meant_for_a_proxy(refusal.reason, authority),
        _ => refused(refusal),
    })?;
    rules.check(info, &parts.headers)?;
    let has_marks = parts.headers.keys().any(is_looked_at);
    if has_marks {
        guard::check_cross_site(&parts.headers, asked.authority.as_str()).map_err(refused)?;
    }
    let route = found.map_err(|no| match no {
        NoMatch::None => no_route(),
        NoMatch::Ambiguous => {
            Problem::new(Reason::BadRequest, "the path can be read in ways that pick different routes")
        }
    })?;
    if gateway.routes.get(route).is_some_and(|route| target::leaves(&parts.uri, route)) {
        return Err(Problem::new(
            Reason::BadRequest,
            "the path can be read in ways that lead out of the upstream's path",
        ));
    }
    if has_marks && gateway.via.stands_in(&parts.headers) {
        return Err(Problem::new(Reason::UpstreamLoop, "the upstream of this route leads back to this bearerd"));
    }
    // RFC 9220 §3, which says for HTTP/2's successor what RFC 8441 left open.
    let allowed = gateway.routes.get(route).map_or(&[][..], |route| &route.settings.upgrades);
    if let Some(protocol) = protocol.filter(|protocol| !upgrade::is_allowed(protocol, allowed)) {
        let detail = format!("{protocol:?} is not in this route's upgrades");
        return Err(Problem::new(Reason::ProtocolNotAllowed, detail));
    }
    Ok(Entry { route, asked, expects_continue: has_marks && expects_continue(parts)? })
}

/// What few requests have is looked for in one go, with a look at lengths first.
fn is_looked_at(name: &HeaderName) -> bool {
    match name.as_str().len() {
        3 => *name == VIA,
        6 => *name == EXPECT || *name == ORIGIN,
        14 => *name == guard::SEC_FETCH_SITE,
        _ => false,
    }
}

/// Nothing is configured for this request.
#[cold]
pub(super) fn no_route() -> Problem {
    Problem::new(Reason::NoRoute, "no [routes.*] matches this host and path")
}

/// What over HTTP/1 was looked at before there was a request; h2 and the `Uri` let more pass. A fragment they cut off, so that nobody
/// can see it.
fn check_http2(parts: &Parts) -> Result<(), Problem> {
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    check_target(target.as_bytes()).map_err(|detail| Problem::new(Reason::BadRequest, detail))?;
    let headers = &parts.headers;
    // The crumbs of a cookie are one field (RFC 9113 §8.2.3).
    let is_too_many = |lines: usize| lines > MOST_FIELDS + headers.get_all(COOKIE).iter().count().saturating_sub(1);
    if headers.len() > MOST_FIELDS && is_too_many(headers.len()) {
        return Err(Problem::new(Reason::HeadTooLarge, "the head has more than 100 fields"));
    }
    Ok(())
}

/// RFC 9110 §10.1.1: an expectation that is not `100-continue` cannot be met, and what HTTP/1.0 expects is ignored. Over HTTP/2 nobody
/// can be invited, since hyper has no way to send an interim answer; who waits all the same is not made to wait by us too.
fn expects_continue(parts: &Parts) -> Result<bool, Problem> {
    let mut expects = false;
    for value in parts.headers.get_all(EXPECT) {
        if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            return Err(Problem::new(Reason::BadExpectation, "only Expect: 100-continue can be met"));
        }
        expects = true;
    }
    Ok(expects && parts.version == Version::HTTP_11)
}

/// To allow this host would send what is meant for it to this route's upstream.
#[cold]
fn meant_for_a_proxy(reason: Reason, authority: &Authority) -> Problem {
    let shown: String = authority.host().chars().take(80).collect();
    let detail = format!(
        "the caller takes bearerd for an HTTP proxy and asks for {shown:?}, which is no host of a route; leave it out of the caller's proxy \
         setting (http.nonProxyHosts, NO_PROXY), or write host = {shown:?} in the route that is meant"
    );
    Problem::new(reason, detail)
}

#[cold]
fn refused(refusal: guard::Refusal) -> Problem {
    Problem::new(refusal.reason, refusal.message)
}
