//! `Set-Cookie` in an answer: `Domain` and `Path` as the caller must see them.
//!
//! The upstream speaks of its own host and paths; the caller knows ours. Nothing else of a cookie is touched, byte for byte. The
//! cookie that carries the token does not pass.

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::places;
use super::route::Route;
use super::settings::Inject;

/// Rewrites every `Set-Cookie`. `caller_host` is the host that the caller used, without port.
pub(super) fn rewrite(headers: &mut HeaderMap, route: &Route, caller_host: &str) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    // The token as a cookie is not the caller's: an upstream that sets it anew tells nobody else of it.
    let ours = match &route.settings.inject {
        Inject::Cookie(name) if route.credential.is_some() => Some(name),
        _ => None,
    };
    for cookie in cookies {
        if ours.is_some_and(|name| places::sets_cookie(cookie.as_bytes(), name)) {
            continue;
        }
        let turned = HeaderValue::from_bytes(&turned(cookie.as_bytes(), route, caller_host));
        headers.append(SET_COOKIE, turned.unwrap_or(cookie));
    }
}

/// A cookie (RFC 6265 §4.1) whose attributes are mapped.
fn turned(cookie: &[u8], route: &Route, caller_host: &str) -> Vec<u8> {
    let mut pieces = cookie.split(|byte| *byte == b';');
    let pair = pieces.next().unwrap_or_default();
    // Browsers accept such a cookie with the path / alone (RFC 6265bis §4.1.3.2).
    let is_bound_to_host = pair.trim_ascii().get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"__Host-"));
    let mut turned = pair.to_vec();
    for piece in pieces {
        let (name, value) = attribute(piece);
        if name.eq_ignore_ascii_case(b"domain") && is_of_upstream(value, route, caller_host) {
            // Without it the cookie is the caller's host's alone.
            continue;
        }
        turned.push(b';');
        let path = std::str::from_utf8(value).ok().filter(|_| name.eq_ignore_ascii_case(b"path") && !is_bound_to_host);
        match path.and_then(|path| path_for_caller(path, route)) {
            Some(path) => turned.extend_from_slice(format!(" Path={path}").as_bytes()),
            None => turned.extend_from_slice(piece),
        }
    }
    turned
}

fn attribute(piece: &[u8]) -> (&[u8], &[u8]) {
    let equals = piece.iter().position(|byte| *byte == b'=').unwrap_or(piece.len());
    let (name, value) = piece.split_at_checked(equals).unwrap_or((piece, b""));
    (name.trim_ascii(), value.strip_prefix(b"=").unwrap_or(value).trim_ascii())
}

/// Whether a domain is the upstream's host or a parent of it, and not the caller's host or a parent of that.
fn is_of_upstream(domain: &[u8], route: &Route, caller_host: &str) -> bool {
    let Ok(domain) = std::str::from_utf8(domain) else { return false };
    let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
    let within = |host: &str| {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host == domain || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.') && !domain.is_empty())
    };
    within(route.settings.origin.host()) && !within(caller_host)
}

/// Where the caller finds what the upstream calls `path`; `None` if it is to stay.
fn path_for_caller(path: &str, route: &Route) -> Option<String> {
    let base = route.base_path.as_str();
    // With `strip_path = false` the upstream's path still begins with the prefix.
    let prefix = if route.strips() { route.prefix.as_str() } else { "" };
    let is_below = |path: &str, above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || above.ends_with('/'))
    };
    let rest = if is_below(path, base) {
        path.strip_prefix(base)?
    } else if path.starts_with('/') && is_below(base, path) {
        // It is for all of the upstream that this route reaches.
        ""
    } else {
        return None;
    };
    // `/billing/` would not match a request for `/billing` (RFC 6265 §5.1.4).
    let rest = if rest == "/" { "" } else { rest };
    let mapped = format!("{prefix}{rest}");
    Some(if mapped.is_empty() { "/".to_owned() } else { mapped }).filter(|mapped| mapped != path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::route::tests::route;
    use crate::upstream::Origin;

    fn at(upstream: &str, prefix: &str, strip: bool) -> Route {
        let mut settings = route(prefix, None);
        settings.upstream = upstream.parse().unwrap();
        settings.origin = Origin::of(&settings.upstream).unwrap();
        settings.strip_path = strip;
        Route::for_tests(settings)
    }

    #[test]
    fn the_domain_of_the_upstream_becomes_the_callers_host() {
        let check = |upstream: &str, caller: &str, cookie: &str, wanted: &str| {
            let got = turned(cookie.as_bytes(), &at(upstream, "/", true), caller);
            assert_eq!(String::from_utf8(got).unwrap(), wanted, "{upstream} {caller}");
        };
        let api = "https://api.example.com";
        check(api, "localhost", "a=b; Domain=api.example.com; Secure", "a=b; Secure");
        check(api, "localhost", "a=b; domain=.Example.COM;HttpOnly", "a=b;HttpOnly");
        check(api, "localhost", "a=b;DOMAIN = com", "a=b");
        check(api, "localhost", "a=b; Domain=other.example", "a=b; Domain=other.example");
        check(api, "localhost", "a=b; Domain=ample.com", "a=b; Domain=ample.com");
        check(api, "localhost", "a=b; Domain=", "a=b; Domain=");
        check(api, "localhost", "a=b; Domain", "a=b; Domain");
        check(api, "localhost", "domain=api.example.com", "domain=api.example.com");
        check(api, "api.example.com", "a=b; Domain=example.com", "a=b; Domain=example.com");
        check(api, "www.example.com", "a=b; Domain=api.example.com", "a=b");
        check("http://127.0.0.1:81", "localhost", "a=b; Domain=127.0.0.1", "a=b");
        check(
            api,
            "localhost",
            "a=\"x y\"; Max-Age=3;; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
            "a=\"x y\"; Max-Age=3;; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
        );
    }

    #[test]
    fn the_path_of_the_upstream_becomes_the_callers() {
        let check = |upstream: &str, prefix: &str, strip: bool, path: &str, wanted: &str| {
            let got = turned(format!("a=b; Path={path}; Secure").as_bytes(), &at(upstream, prefix, strip), "localhost");
            let wanted = format!("a=b; Path={wanted}; Secure");
            assert_eq!(String::from_utf8(got).unwrap(), wanted, "{upstream} {prefix} strip={strip} {path}");
        };
        check("https://a", "/", true, "/", "/");
        check("https://a", "/", true, "/x", "/x");
        check("https://a/v2", "/", true, "/v2", "/");
        check("https://a/v2", "/", true, "/v2/", "/");
        check("https://a/v2", "/", true, "/v2/x/", "/x/");
        check("https://a/v2", "/api", true, "/v2/x", "/api/x");
        check("https://a/v2", "/api", true, "/v2", "/api");
        check("https://a/v2", "/api", true, "/", "/api");
        check("https://a/v2/w", "/api", true, "/v2", "/api");
        check("https://a/v2/w", "/api", true, "/v2/", "/api");
        check("https://a/v2", "/api", true, "/v22", "/v22");
        check("https://a/v2", "/api", true, "/v", "/v");
        check("https://a", "/api", true, "/", "/api");
        check("https://a", "/api", true, "/x", "/api/x");
        check("https://a/v2", "/api", false, "/v2/api/x", "/api/x");
        check("https://a", "/api", false, "/api/x", "/api/x");
        check("https://a/v2", "/api", true, "", "");
        check("https://a/v2", "/api", true, "x", "x");
    }

    #[test]
    fn a_cookie_bound_to_its_host_keeps_its_path_and_odd_bytes_stay() {
        let mut headers = HeaderMap::new();
        let odd = HeaderValue::from_bytes(b"a=\xff\xfe; Path=/v2/x; Domain=a").unwrap();
        headers.append(SET_COOKIE, HeaderValue::from_static("__Host-a=b; Path=/; Secure"));
        headers.append(SET_COOKIE, odd);
        rewrite(&mut headers, &at("https://a/v2", "/api", true), "localhost");
        let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(cookies, [&b"__Host-a=b; Path=/; Secure"[..], b"a=\xff\xfe; Path=/api/x"]);
    }
}
