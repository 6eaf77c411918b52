//! Cookies that an upstream sets, as callers see them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::super::cookies::rewrite;
use super::super::route::Route;
use super::super::smallest::route;
use crate::upstream::Origin;

/// Nothing of a cookie changes but its `Domain`, which may go, and its `Path`, which then is what the caller calls the same place.
pub(crate) fn set_cookie(data: &[u8]) {
    let ([which], lines) = crate::fuzzing::controls(data);
    let (upstream, prefix, strip) = [
        ("https://api.example.com", "/", true),
        ("https://api.example.com/v2", "/billing", true),
        ("https://api.example.com/v2/w", "/billing/", true),
        ("http://127.0.0.1:81/billing", "/billing", false),
    ][usize::from(which) % 4];
    let mut settings = route(prefix, None);
    settings.upstream = upstream.parse().unwrap();
    settings.origin = Origin::of(&settings.upstream).unwrap();
    settings.strip_path = strip;
    let route = Route::for_tests(settings);
    let cookies: Vec<HeaderValue> =
        lines.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).take(16).collect();
    let mut headers: HeaderMap = cookies.iter().map(|cookie| (SET_COOKIE, cookie.clone())).collect();
    rewrite(&mut headers, &route, "localhost");
    let after: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    assert_eq!(after.len(), cookies.len(), "no cookie is lost");
    for (before, after) in cookies.iter().zip(&after) {
        is_same_cookie(before.as_bytes(), after.as_bytes(), &route);
    }
}

fn is_same_cookie(before: &[u8], after: &[u8], route: &Route) {
    let attributes = |cookie: &[u8]| cookie.split(|byte| *byte == b';').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (before, after) = (attributes(before), attributes(after));
    let shown = || format!("{:?} became {:?}", text(&before), text(&after));
    assert_eq!(before[0], after[0], "name and value stay: {}", shown());
    let mut left = after[1..].iter().peekable();
    for attribute in &before[1..] {
        let name = attribute.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        match left.peek() {
            Some(next) if *next == attribute => drop(left.next()),
            Some(next) if name.eq_ignore_ascii_case(b"path") && next.starts_with(b" Path=/") => {
                let path = &next[b" Path=".len()..];
                let prefix = if route.strips() { route.prefix.as_bytes() } else { b"" };
                let rest = path.strip_prefix(prefix).unwrap_or_else(|| unreachable!("{}", shown()));
                // The same place, or one above all of the upstream that the route reaches.
                let trimmed = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
                let value = attribute.iter().position(|byte| *byte == b'=').map_or(&b""[..], |at| &attribute[at + 1..]);
                let (base, value) = (route.base_path.as_bytes(), trimmed(value.trim_ascii()));
                let is_same = trimmed(&[base, rest].concat()) == value;
                let is_above = matches!(rest, b"" | b"/") && base.starts_with(&value);
                assert!(is_same || is_above, "{}", shown());
                left.next();
            }
            _ => assert!(name.eq_ignore_ascii_case(b"domain"), "{}", shown()),
        }
    }
    assert!(left.next().is_none(), "nothing is added: {}", shown());
}

fn text(pieces: &[Vec<u8>]) -> String {
    pieces.join(&b";"[..]).escape_ascii().to_string()
}
