//! From the caller's path to the upstream's, byte for byte.

use http::Uri;
use http::uri::PathAndQuery;

use super::readings;
use super::route::Route;

/// The upstream's path: base path, and the caller's path less the route's prefix. The query goes through unchanged. `None` if that is
/// longer than any: without the base path it would lead to where this route does not.
pub(super) fn upstream_target(caller: &Uri, route: &Route) -> Option<PathAndQuery> {
    let whole = || caller.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if caller.path() == "*" || (route.base_path.is_empty() && !route.strips()) {
        return Some(whole());
    }
    let rest = if route.strips() { strip_prefix(caller.path(), &route.prefix) } else { caller.path() };
    let target = join(&route.base_path, rest, caller.query());
    // Both parts come from parsed URIs, so that joining them gives no new characters: it can only be too long.
    PathAndQuery::try_from(target).ok()
}

/// Whether another server may read the upstream's path as one outside of where the route leads: dot segments of the caller's path go up
/// into the base path then, or, below a prefix that is taken off, from where the caller's path began.
pub(super) fn leaves(caller: &Uri, route: &Route) -> bool {
    let rest = if route.strips() { strip_prefix(caller.path(), &route.prefix) } else { caller.path() };
    (route.strips() || !route.base_path.is_empty()) && readings::climbs(rest)
}

/// The path below a prefix that it begins with; the whole path otherwise.
fn strip_prefix<'a>(path: &'a str, prefix: &str) -> &'a str {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
}

fn join(base: &str, rest: &str, query: Option<&str>) -> String {
    let mut target = String::with_capacity(base.len() + rest.len() + query.map_or(0, str::len) + 2);
    target.push_str(base);
    target.push_str(rest);
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::route::tests::route;

    #[test]
    fn the_upstream_path_is_base_plus_path_less_prefix() {
        let check = |upstream: &str, prefix: &str, strip: bool, caller: &str, wanted: &str| {
            let mut settings = route(prefix, None);
            settings.upstream = upstream.parse().unwrap();
            settings.strip_path = strip;
            let got = upstream_target(&caller.parse().unwrap(), &Route::for_tests(settings));
            assert_eq!(got.unwrap().as_str(), wanted, "{upstream} {prefix} strip={strip} {caller}");
        };
        check("https://a", "/", true, "/x?y=1", "/x?y=1");
        check("https://a/", "/", true, "/", "/");
        check("https://a/v2", "/", true, "/x", "/v2/x");
        check("https://a/v2/", "/", true, "/x", "/v2/x");
        check("https://a/v2", "/billing", true, "/billing/x?q", "/v2/x?q");
        check("https://a/v2", "/billing", false, "/billing/x", "/v2/billing/x");
        check("https://a", "/billing", true, "/billing", "/");
        check("https://a", "/billing", true, "/billing?q", "/?q");
        check("https://a/v2", "/billing", true, "/billing", "/v2");
        check("https://a", "/billing/", true, "/billing/x", "/x");
        check("https://a", "/", true, "/a%2Fb//c/../d;x=1", "/a%2Fb//c/../d;x=1");
        check("https://a", "/", true, "http://localhost:8080/x?y", "/x?y");
        check("https://a/v2", "/", true, "*", "*");
    }

    #[test]
    fn no_reading_of_a_path_leaves_the_base_path() {
        let check = |upstream: &str, prefix: &str, strip: bool, caller: &str, wanted: bool| {
            let mut settings = route(prefix, None);
            settings.upstream = upstream.parse().unwrap();
            settings.strip_path = strip;
            let got = leaves(&caller.parse().unwrap(), &Route::for_tests(settings));
            assert_eq!(got, wanted, "{upstream} {prefix} strip={strip} {caller}");
        };
        check("https://a", "/", true, "/../x", false);
        check("https://a/", "/", false, "/%2e%2e/x", false);
        check("https://a/v2", "/", true, "/../x", true);
        check("https://a/v2", "/", true, "/x/../y", false);
        check("https://a/v2", "/", true, "/.well-known/x?a=/../..", false);
        check("https://a/v2", "/api", true, "/api/../../api/x", true);
        check("https://a", "/api", true, "/api/../api/x", true);
        check("https://a", "/api", false, "/api/../api/x", false);
        check("https://a/v2", "/api", false, "/api/../api/x", false);
        check("https://a/v2", "/api", false, "/api/../../api/x", true);
        check("https://a/v2", "/", true, "*", false);
    }

    #[test]
    fn a_path_that_is_too_long_with_the_base_path_is_none_at_all() {
        let mut settings = route("/", None);
        settings.upstream = "https://a/v2".parse().unwrap();
        let route = Route::for_tests(settings);
        let of_length = |length: usize| {
            let path = format!("/{}", "a".repeat(length - 1));
            upstream_target(&path.parse().unwrap(), &route).map(|target| target.as_str().len())
        };
        let longest = usize::from(u16::MAX) - 1;
        assert_eq!(of_length(longest - 3), Some(longest));
        assert_eq!(of_length(longest - 2), None);
    }
}
