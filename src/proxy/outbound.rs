//! The request as the upstream gets it, in two steps that cannot change places.
//!
//! [`Sanitized`] is made from the caller's request and has lost everything that ends here; [`Authorized`] is made from it
//! alone and carries the token once, where the route puts it. Only an [`Authorized`] can be sent.

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Version};

use super::problem::Problem;
use super::route::Route;
use super::settings::{HeaderCase, Inject};
use super::share::RouteShare;
use super::target;
use super::upgrade::{self, Wish};
use super::via::Via;
use super::{headers, hops, places};
use crate::reason::Reason;
use crate::spelling::Spelling;
use crate::token::AccessToken;
use crate::upstream::{OnInterim, RequestHead, Target};

/// A caller's request without anything that is not the upstream's business.
#[derive(Debug)]
pub(super) struct Sanitized {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    /// How the caller spelled the names of its fields, where that is to be kept.
    spelling: Option<Spelling>,
    upgrade: Option<Wish>,
    /// Whether it was not to be passed on.
    ends_here: bool,
}

/// A request that carries the token (or needs none) and goes to its route's upstream.
#[derive(Debug)]
pub(super) struct Authorized<'a>(RequestHead<'a>);

impl Sanitized {
    /// Strips a caller's request and points it at the route's upstream. `authority` is what the caller asked for, by its target or
    /// its `Host`; `via` has our own entry (RFC 9110 §7.6.3); `has_body` decides what is said about a body's length.
    ///
    /// # Errors
    /// [`Problem`] if the target would be longer than any.
    pub(super) fn new(
        parts: Parts,
        route: &RouteShare,
        authority: &Authority,
        via: &Via,
        has_body: bool,
    ) -> Result<Self, Problem> {
        let too_long = || Problem::new(Reason::HeadTooLarge, "at the upstream the request's target is longer than any");
        let mut target = target::upstream_target(&parts.uri, route).ok_or_else(too_long)?;
        let upgrade = upgrade::wanted(&parts, has_body, &route.settings.upgrades);
        let version = parts.version;
        let mut headers = parts.headers;
        // Framing is said anew by our own client; an empty body that was announced stays announced, and one that is expected is.
        let was_announced = headers.remove(header::CONTENT_LENGTH).is_some();
        let says_empty = !has_body && upgrade.is_none() && (was_announced || anticipates_content(&parts.method));
        headers::strip_hop_by_hop(&mut headers);
        if version == Version::HTTP_2 {
            headers::join_cookies(&mut headers);
        }
        if let Some(upgrade) = &upgrade {
            headers.remove(header::TE);
            upgrade.say(&mut headers);
        }
        let inject = Some(&route.settings.inject).filter(|_| route.credential.is_some());
        match inject {
            Some(Inject::Header { name, .. }) => headers::strip_injected(&mut headers, name),
            Some(Inject::Query(name)) => target = places::without_parameter(&target, name).unwrap_or(target),
            Some(Inject::Cookie(_)) | None => {}
        }
        if inject.is_some() {
            headers::strip_proof(&mut headers);
        }
        if says_empty {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        // RFC 9110 §10.1.1, of HTTP/1.0: it could not be invited.
        if !has_body || version == Version::HTTP_10 {
            headers.remove(header::EXPECT);
        }
        let ends_here = hops::count_down(&parts.method, &mut headers);
        route.rules.apply(&mut headers);
        // The rules may have set cookies of their own.
        if let Some(Inject::Cookie(name)) = inject {
            places::strip_cookie(&mut headers, name);
        }
        headers.insert(header::HOST, host(route, authority));
        headers.append(header::VIA, via.of(version).clone());
        let spelling = parts.extensions.get().filter(|_| route.settings.header_case == HeaderCase::Preserve).cloned();
        // A caller's extended CONNECT, the only one that gets here, is a GET in HTTP/1's form of it.
        let method = if parts.method == Method::CONNECT { Method::GET } else { parts.method };
        Ok(Self { method, target, headers, spelling, upgrade, ends_here })
    }

    /// The protocols that it asks to change to.
    pub(super) fn upgrade(&self) -> Option<&Wish> {
        self.upgrade.as_ref()
    }

    /// Whether the answer to it is ours ([`hops`]).
    pub(super) fn ends_here(&self) -> bool {
        self.ends_here
    }

    /// Whether it asks for a WebSocket and has no key.
    pub(super) fn lacks_key(&self) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.lacks_key(&self.headers))
    }

    /// Its method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Its path at the upstream.
    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// Its fields, without the token.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Sets the token, as often as there are attempts. Nothing of the request is copied for that, unless the token becomes a part
    /// of what the caller said.
    ///
    /// # Errors
    /// [`Problem`] if the target would be longer than any.
    pub(super) fn authorize<'a>(
        &'a self,
        route: &'a Route,
        token: Option<&AccessToken>,
    ) -> Result<Authorized<'a>, Problem> {
        let (mut target, mut injected) = (Target::Plain(&self.target), None);
        match (&route.settings.inject, token) {
            (_, None) => {}
            (Inject::Header { name, scheme }, Some(token)) => injected = Some((name, token.header_value(scheme))),
            (Inject::Cookie(name), Some(token)) => {
                let line = places::with_cookie(self.headers.get(header::COOKIE), name, token.value());
                injected = Some((&header::COOKIE, line.ok_or_else(too_long)?));
            }
            (Inject::Query(name), Some(token)) => {
                let with = places::with_parameter(&self.target, name, token.value());
                target = Target::WithToken(with.ok_or_else(too_long)?);
            }
        }
        Ok(Authorized(RequestHead {
            method: &self.method,
            target,
            headers: &self.headers,
            injected,
            proof: None,
            spelling: self.spelling.as_ref(),
            on_interim: None,
            #[cfg(feature = "otel")]
            traceparent: None,
        }))
    }
}

/// Whether a request with this method says that it has no content (RFC 9110 §8.6); there are servers that answer 411 otherwise.
fn anticipates_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn too_long() -> Problem {
    Problem::new(Reason::HeadTooLarge, "with the token the request's target is longer than any")
}

/// What `Host` says to the upstream. The caller's own line is not looked at: with a target in absolute-form it is not what was
/// checked (RFC 9112 §3.2.2).
fn host(route: &RouteShare, authority: &Authority) -> HeaderValue {
    let kept = route.settings.keep_host.then(|| HeaderValue::from_str(authority.as_str()).ok());
    kept.flatten().unwrap_or_else(|| route.host())
}

impl<'a> Authorized<'a> {
    /// Sets the proof that goes with the token, if it is bound to a key.
    pub(super) fn proving(mut self, proof: Option<HeaderValue>) -> Self {
        self.0.proof = proof;
        self
    }

    /// Says which span it is, in place of what the request says.
    #[cfg(feature = "otel")]
    pub(super) fn traced(mut self, traceparent: Option<HeaderValue>) -> Self {
        self.0.traceparent = traceparent;
        self
    }

    /// Has every interim answer told.
    pub(super) fn telling(mut self, on_interim: Option<OnInterim>) -> Self {
        self.0.on_interim = on_interim;
        self
    }

    /// Ready to be written.
    pub(super) fn as_head(&self) -> &RequestHead<'a> {
        &self.0
    }
}
