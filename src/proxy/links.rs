//! References in an answer that point to the upstream, turned to where the caller came in.
//!
//! A caller that followed them as they are would leave the proxy, and with it the token. A token in the query of any of them is
//! taken out. References to anywhere else, and
//! those that no caller's path of this route reaches, stay as they are.

use http::header::{CONTENT_LOCATION, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, REFRESH};
use http::{Uri, uri::Authority};

use super::places;
use super::route::Route;
use super::settings::Inject;
use crate::upstream::Origin;

/// Fields that hold references.
pub(super) static REFERENCES: [HeaderName; 4] = [LOCATION, CONTENT_LOCATION, LINK, REFRESH];

/// Rewrites `Location`, `Content-Location`, `Link` and `Refresh`. `caller` are the scheme, and the host and port, that the caller
/// used.
pub(super) fn rewrite(fields: &mut HeaderMap, route: &Route, caller: (&str, &Authority)) {
    if !fields.keys().any(is_reference) {
        return;
    }
    let token = match &route.settings.inject {
        Inject::Query(name) if route.credential.is_some() => Some(name.as_str()),
        _ => None,
    };
    let turn = |reference: &str| {
        // An upstream that repeats the query repeats the token, and it is not the caller's.
        let without = token.and_then(|name| places::without_parameter_in_reference(reference, name));
        match &without {
            Some(reference) => turned(reference, route, caller).or(without.clone()),
            None => turned(reference, route, caller),
        }
    };
    for name in [LOCATION, CONTENT_LOCATION] {
        rewrite_field(fields, &name, turn);
    }
    rewrite_field(fields, &REFRESH, |value| {
        let at = value.to_ascii_lowercase().find("url=")? + 4;
        let (before, reference) = value.split_at_checked(at)?;
        let quote = reference
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
            .map_or("", |c| if c == '"' { "\"" } else { "'" });
        let bare = reference.trim_matches(['"', '\'']);
        Some(format!("{before}{quote}{}{quote}", turn(bare)?))
    });
    rewrite_field(fields, &LINK, |value| {
        let mut rewritten = String::new();
        let mut rest = value;
        while let Some((before, tail)) = rest.split_once('<') {
            let (reference, after) = tail.split_once('>')?;
            let target = turn(reference).unwrap_or_else(|| reference.to_owned());
            rewritten.push_str(&format!("{before}<{target}>"));
            rest = after;
        }
        rewritten.push_str(rest);
        Some(rewritten)
    });
}

/// Whether it is one of [`REFERENCES`], with a look at lengths first.
fn is_reference(name: &HeaderName) -> bool {
    matches!(name.as_str().len(), 4 | 7 | 8 | 16) && REFERENCES.contains(name)
}

fn rewrite_field(headers: &mut HeaderMap, name: &HeaderName, turn: impl Fn(&str) -> Option<String>) {
    if !headers.contains_key(name) {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for value in values {
        let turned = value.to_str().ok().and_then(&turn).and_then(|text| HeaderValue::try_from(text).ok());
        headers.append(name, turned.unwrap_or(value));
    }
}

/// The reference as the caller must write it; `None` if it is to stay.
fn turned(reference: &str, route: &Route, (scheme, authority): (&str, &Authority)) -> Option<String> {
    let (path, absolute) = if reference.starts_with('/') && !reference.starts_with("//") {
        (reference, false)
    } else {
        (path_at(reference, &route.settings.origin)?, true)
    };
    let rest = path.strip_prefix(route.base_path.as_str())?;
    if !(rest.is_empty() || rest.starts_with(['/', '?', '#'])) {
        return None;
    }
    // With `strip_path = false` the upstream's path still begins with the prefix.
    let prefix = if route.strips() { route.prefix.as_str() } else { "" };
    let slash = if prefix.is_empty() && !rest.starts_with('/') { "/" } else { "" };
    // `/v2//evil.test` is a path of the upstream, and `//evil.test` would be another host (RFC 3986 §4.2; browsers take `\` for `/`, and
    // tabs for nothing).
    let would_be_host = || {
        let mut characters = rest.chars();
        prefix.is_empty() && characters.next() == Some('/') && matches!(characters.next(), Some('/' | '\\' | '\t'))
    };
    if absolute || (!route.base_path.is_empty() && would_be_host()) {
        Some(format!("{scheme}://{authority}{prefix}{slash}{rest}"))
    } else {
        Some(format!("{prefix}{slash}{rest}"))
    }
}

/// What follows the authority, if the reference is absolute (or begins with `//`) and its authority is the origin's.
fn path_at<'a>(reference: &'a str, origin: &Origin) -> Option<&'a str> {
    let rest = match reference.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(origin.scheme().as_str()) => rest,
        Some(_) => return None,
        None => reference.strip_prefix("//")?,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let uri: Uri = format!("{}://{authority}/", origin.scheme().as_str()).parse().ok()?;
    let named = Origin::of(&uri).ok()?;
    // The parser takes a port that is none (`:443x`, `:99999`) for the scheme's own: what is written must be one of those that mean it.
    let is_port = match authority.get(named.authority().host().len()..)? {
        "" | ":" => origin.port() == origin.scheme().default_port(),
        written => written.strip_prefix(':')? == origin.port().to_string(),
    };
    let is_same = named.host().eq_ignore_ascii_case(origin.host());
    (is_same && is_port).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::route::tests::route;

    fn at(upstream: &str, prefix: &str) -> Route {
        let mut settings = route(prefix, None);
        settings.upstream = upstream.parse().unwrap();
        settings.origin = Origin::of(&settings.upstream).unwrap();
        Route::for_tests(settings)
    }

    #[test]
    fn every_field_with_references_is_looked_for() {
        assert!(REFERENCES.iter().all(is_reference));
        assert!(!is_reference(&HeaderName::from_static("etag")) && !is_reference(&HeaderName::from_static("x")));
    }

    #[test]
    fn references_to_the_upstream_are_turned_to_where_the_caller_came_in() {
        let check = |upstream: &str, prefix: &str, reference: &str, wanted: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, reference.parse().unwrap());
            rewrite(&mut headers, &at(upstream, prefix), ("http", &Authority::from_static("localhost:8080")));
            assert_eq!(headers[LOCATION], wanted, "{upstream} {prefix} {reference}");
        };
        check("https://a.test", "/", "https://a.test/x?y#z", "http://localhost:8080/x?y#z");
        check("https://a.test", "/", "https://A.test:443/x", "http://localhost:8080/x");
        check("https://a.test", "/", "https://a.test", "http://localhost:8080/");
        check("https://a.test", "/", "//a.test/x", "http://localhost:8080/x");
        check("https://a.test", "/", "/x", "/x");
        check("https://a.test/v2", "/api", "https://a.test/v2/x", "http://localhost:8080/api/x");
        check("https://a.test/v2", "/api", "https://a.test/v2", "http://localhost:8080/api");
        check("https://a.test/v2", "/api", "/v2/x?y", "/api/x?y");
        check("https://a.test/v2", "/api", "/v22/x", "/v22/x");
        check("https://a.test/v2", "/", "/v2", "/");
        check("https://a.test", "/", "https://evil.test/x", "https://evil.test/x");
        check("https://a.test", "/", "https://a.test.evil/x", "https://a.test.evil/x");
        check("https://a.test", "/", "https://a.test@evil.test/x", "https://a.test@evil.test/x");
        check("https://a.test", "/", "http://a.test/x", "http://a.test/x");
        check("https://a.test", "/", "https://a.test:443x/y", "https://a.test:443x/y");
        check("https://a.test", "/", "https://a.test:99999/y", "https://a.test:99999/y");
        check("https://a.test", "/", "https://a.test:e[]/y", "https://a.test:e[]/y");
        check("https://a.test", "/", "https://[a.test]/y", "https://[a.test]/y");
        check("https://a.test", "/", "https://a.test:/y", "http://localhost:8080/y");
        check("https://a.test:8443", "/", "https://a.test:8443/y", "http://localhost:8080/y");
        check("https://a.test:8443", "/", "https://a.test:/y", "https://a.test:/y");
        check("http://[::1]:81", "/", "http://[::1]:81/y", "http://localhost:8080/y");
        check("https://a.test", "/", "x/y", "x/y");
    }

    #[test]
    fn what_a_base_path_hid_is_no_other_host() {
        let check = |prefix: &str, reference: &str, wanted: &str| {
            let mut headers = HeaderMap::from_iter([(LOCATION, reference.parse().unwrap())]);
            rewrite(
                &mut headers,
                &at("https://a.test/v2", prefix),
                ("http", &Authority::from_static("localhost:8080")),
            );
            assert_eq!(headers[LOCATION], wanted, "{prefix} {reference}");
        };
        check("/", "/v2//evil.test/x", "http://localhost:8080//evil.test/x");
        check("/", "/v2/\\evil.test/x", "http://localhost:8080/\\evil.test/x");
        check("/", "/v2/\t/evil.test/x", "http://localhost:8080/\t/evil.test/x");
        check("/api", "/v2//evil.test/x", "/api//evil.test/x");
        check("/", "/v2/x//y", "/x//y");
    }

    #[test]
    fn links_and_refreshes_are_turned_too() {
        let route = at("https://a.test/v2", "/api");
        let mut headers = HeaderMap::new();
        let links = "<https://a.test/v2/i?page=2>; rel=\"next\", <https://else.test/>; rel=\"x\"";
        headers.insert(LINK, links.parse().unwrap());
        headers.insert(REFRESH, "5; URL=https://a.test/v2/x".parse().unwrap());
        rewrite(&mut headers, &route, ("https", &Authority::from_static("localhost:1")));
        assert_eq!(headers[LINK], "<https://localhost:1/api/i?page=2>; rel=\"next\", <https://else.test/>; rel=\"x\"");
        assert_eq!(headers[REFRESH], "5; URL=https://localhost:1/api/x");
    }
}
