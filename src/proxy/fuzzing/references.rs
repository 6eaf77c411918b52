//! References in an upstream's answer, as callers get them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use http::Uri;
use http::header::{HeaderMap, HeaderValue, LOCATION};
use http::uri::Authority;

use super::super::links::rewrite;
use super::super::route::Route;
use super::super::smallest::route;
use super::super::target::upstream_target;
use crate::fuzzing::controls;
use crate::upstream::Origin;

const CALLERS: &str = "caller.example:8080";
const UPSTREAMS: &str = "api.example.com";

/// A reference that is turned led to the upstream and now leads to where the caller came in, on the same way back to the same place;
/// to no other host, whoever reads it, a browser least of all.
pub(crate) fn references(data: &[u8]) {
    let ([which], reference) = controls(data);
    let (upstream, prefix, strip) = [
        ("https://api.example.com", "/", true),
        ("https://api.example.com/v2", "/", true),
        ("https://api.example.com/v2", "/billing", true),
        ("https://api.example.com/billing/w", "/billing", false),
    ][usize::from(which) % 4];
    let mut settings = route(prefix, None);
    settings.upstream = upstream.parse().unwrap();
    settings.origin = Origin::of(&settings.upstream).unwrap();
    settings.strip_path = strip;
    let route = Route::for_tests(settings);
    let Ok(value) = HeaderValue::from_bytes(reference) else { return };
    let mut headers = HeaderMap::from_iter([(LOCATION, value.clone())]);
    rewrite(&mut headers, &route, ("http", &Authority::from_static(CALLERS)));
    let turned = &headers[LOCATION];
    let (Ok(before), Ok(after)) = (value.to_str(), turned.to_str()) else {
        return assert_eq!(value, turned, "what is no text stays");
    };
    if before == after {
        return;
    }
    let shown = format!("{before:?} became {after:?}");
    let (host_before, path_before) = read(before);
    let (host_after, path_after) = read(after);
    let is_upstreams = |host: &str| {
        host == UPSTREAMS || host.strip_prefix(UPSTREAMS).is_some_and(|port| port == ":443" || port == ":")
    };
    assert!(host_before.is_none_or(|host| is_upstreams(host.rsplit('@').next().unwrap_or_default())), "{shown}");
    assert!(host_after.is_none_or(|host| host == CALLERS), "{shown}");
    let end = |path: &str| path.find('#').unwrap_or(path.len());
    let (path_before, path_after) = (&path_before[..end(&path_before)], &path_after[..end(&path_after)]);
    let Ok(asked) = path_after.parse::<Uri>() else { return };
    let back = upstream_target(&asked, &route).unwrap();
    // A reference without any path leads to the root of what it is in.
    let root = [route.base_path.as_str(), "/"].concat();
    let is_root = |path: &str| path.split('?').next().is_some_and(|path| path == route.base_path || path == root);
    assert!(
        back.as_str() == path_before || (is_root(back.as_str()) && is_root(path_before)),
        "{shown}, and leads to {back}"
    );
}

/// Host and path as a browser reads them (WHATWG URL §4.4): tabs are nothing, and a backslash is a slash.
fn read(reference: &str) -> (Option<String>, String) {
    let plain: String = reference.trim().chars().filter(|c| *c != '\t').collect();
    let slashed = plain.replace('\\', "/");
    let lower = slashed.to_ascii_lowercase();
    let scheme = ["http:", "https:"].into_iter().find(|scheme| lower.starts_with(scheme)).map_or(0, str::len);
    let rest = &slashed[scheme..];
    if scheme == 0 && !rest.starts_with("//") {
        return (None, plain);
    }
    let rest = rest.trim_start_matches('/');
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let begins = plain.len() - rest.len() + end;
    (Some(rest[..end].to_ascii_lowercase()), plain[begins..].to_owned())
}
