//! Which route a request belongs to: by listener, host and longest path prefix.
//!
//! The structure is walked from the longest possible prefix of the path to the shortest, so that its cost grows with the
//! segments of the path and not with the number of routes.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::callers::Rules;
use super::complaint::Complaints;
use super::dpop::Proofs;
use super::field_rules::LiveRules;
use super::readings;
use super::settings;
use crate::metrics::{CredentialMetrics, RouteMetrics};
use crate::shutdown::Trigger;
use crate::token::Reader;
use crate::upstream::pool;

/// One route, with everything that serving a request needs.
#[derive(Debug)]
pub struct Route {
    /// As configured.
    pub settings: settings::Route,
    /// The read half of its credential, if it has one.
    pub credential: Option<Credential>,
    /// Who may use it, if not who may use all.
    pub callers: Option<Rules>,
    /// Where it counts.
    pub metrics: Arc<RouteMetrics>,
    /// What its upstream has said of proofs, if its tokens are bound to a key. In a box: few are.
    pub(super) proofs: Option<Box<Proofs>>,
    /// What the log has been told of its upstream's failures.
    pub(super) complaints: Complaints,
    /// The path prefix without a trailing slash: `""` for `/`.
    pub(super) prefix: String,
    /// The upstream's base path without a trailing slash.
    pub(super) base_path: String,
    /// What `Host` says to the upstream.
    pub(super) host_value: HeaderValue,
    /// Fields that are set or removed, with their values.
    pub(super) rules: LiveRules,
    /// Every field that a caller has no say in: the injected one, a proof, and those of the rules.
    pub(super) ours: Arc<[HeaderName]>,
}

/// The credential of a route.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where its token is read.
    pub reader: Reader,
    /// Where its rejections are counted.
    pub metrics: CredentialMetrics,
    /// Ends the refresher when nobody holds it any more: a credential that a reload has replaced lives as long as requests use it.
    pub refresher: Arc<Trigger>,
}

impl Route {
    /// A route as configured, with its credential and metrics.
    pub fn new(settings: settings::Route, credential: Option<Credential>, metrics: Arc<RouteMetrics>) -> Self {
        let prefix = settings.path.trim_end_matches('/').to_owned();
        let base_path = settings.upstream.path().trim_end_matches('/').to_owned();
        // An authority that was parsed from a URI is visible ASCII, which every header value may be.
        let host_value = HeaderValue::from_str(settings.origin.authority().as_str())
            .unwrap_or_else(|_| HeaderValue::from_static("invalid"));
        let rules = LiveRules::new(&settings.fields);
        // A proof of the caller's own beside our token would be nonsense, whether ours needs one or not.
        let injected = credential.is_some().then_some([settings.inject.header(), Some(&crate::dpop::FIELD)]);
        let ours = injected.into_iter().flatten().flatten().chain(rules.names()).cloned().collect();
        let proofs = credential.as_ref().filter(|credential| credential.reader.is_bound()).map(|_| Box::default());
        let (callers, complaints) = (None, Complaints::new());
        Self { settings, credential, callers, metrics, proofs, complaints, prefix, base_path, host_value, rules, ours }
    }

    /// How connections to its upstream are kept and spoken on.
    pub(super) fn pool_options(&self) -> pool::Options {
        pool::Options {
            protocol: self.settings.protocol,
            idle_timeout: self.settings.timeouts.upstream_idle,
            preserve_header_case: self.settings.header_case == settings::HeaderCase::Preserve,
        }
    }

    /// Whether the matched prefix is taken off the path.
    pub(super) fn strips(&self) -> bool {
        self.settings.strip_path && !self.prefix.is_empty()
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn for_tests(settings: settings::Route) -> Self {
        let metrics = crate::metrics::Metrics::new().route(&settings.name);
        Self::new(settings, None, metrics)
    }
}

/// The routes of all listeners.
#[derive(Debug, Default)]
pub struct Table {
    /// By the number of their group of listeners; there are as many groups as sets of listeners, so numbers are small.
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
struct Group {
    by_host: HashMap<String, Paths>,
    any_host: Paths,
}

/// Routes by their prefix, which has no slash at its end.
#[derive(Debug, Default)]
struct Paths {
    by_prefix: HashMap<String, usize>,
    /// The length of the longest prefix: what a caller's path is looked at at most, however long it is.
    longest: usize,
}

/// No single route can be named for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// None matches.
    None,
    /// Different readings of the path match different ones.
    Ambiguous,
}

impl Table {
    /// Adds a route that listeners of `group` serve; `index` is what [`Table::find`] answers.
    pub fn insert(&mut self, group: usize, host: Option<&str>, path: &str, index: usize) {
        if self.groups.len() <= group {
            self.groups.resize_with(group + 1, Group::default);
        }
        let Some(group) = self.groups.get_mut(group) else { return };
        let paths = match host {
            Some(host) => group.by_host.entry(host.to_ascii_lowercase()).or_default(),
            None => &mut group.any_host,
        };
        let prefix = path.trim_end_matches('/');
        paths.longest = paths.longest.max(prefix.len());
        paths.by_prefix.insert(prefix.to_owned(), index);
    }

    /// The route of a request: routes of its host first, then the longest path. `host` is lower case, without port.
    ///
    /// # Errors
    /// [`NoMatch`] if there is none, or if it depends on how the path is read.
    pub fn find(&self, group: usize, host: &str, path: &str) -> Result<usize, NoMatch> {
        let group = self.groups.get(group).ok_or(NoMatch::None)?;
        let found = group.find(host, path);
        if readings::is_plain(path) {
            return found.ok_or(NoMatch::None);
        }
        for reading in readings::of(path) {
            if group.find(host, &reading) != found {
                return Err(NoMatch::Ambiguous);
            }
        }
        found.ok_or(NoMatch::None)
    }
}

impl Group {
    fn find(&self, host: &str, path: &str) -> Option<usize> {
        self.by_host.get(host).and_then(|paths| paths.find(path)).or_else(|| self.any_host.find(path))
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<usize> {
        self.prefix_lengths(path).find_map(|length| self.by_prefix.get(path.get(..length)?).copied())
    }

    /// Where a prefix of the path may end, the longest first.
    fn prefix_lengths(&self, path: &str) -> impl Iterator<Item = usize> {
        let path_ends = |length: &usize| path.as_bytes().get(*length).is_none_or(|next| *next == b'/');
        (0..=self.longest.min(path.len())).rev().filter(path_ends)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    pub(crate) use crate::proxy::smallest::route;

    fn table() -> Table {
        let mut table = Table::default();
        table.insert(0, None, "/", 0);
        table.insert(0, None, "/billing", 1);
        table.insert(0, None, "/billing/v2/", 2);
        table.insert(0, Some("Billing.localhost"), "/", 3);
        table.insert(0, Some("items.localhost"), "/items", 4);
        table.insert(1, None, "/only", 5);
        table
    }

    #[test]
    fn host_routes_come_first_and_then_the_longest_prefix_at_a_segment_boundary() {
        let table = table();
        let check = |group, host: &str, path: &str, wanted| {
            assert_eq!(table.find(group, host, path), wanted, "{group} {host} {path}");
        };
        check(0, "localhost", "/", Ok(0));
        check(0, "localhost", "*", Err(NoMatch::None));
        check(0, "localhost", "/billing", Ok(1));
        check(0, "localhost", "/billing/", Ok(1));
        check(0, "localhost", "/billing/x", Ok(1));
        check(0, "localhost", "/billingx", Ok(0));
        check(0, "localhost", "/billing/v2", Ok(2));
        check(0, "localhost", "/billing/v2/x/y", Ok(2));
        check(0, "billing.localhost", "/billing/v2", Ok(3));
        check(0, "items.localhost", "/items/1", Ok(4));
        check(0, "items.localhost", "/other", Ok(0));
        check(1, "localhost", "/only/x", Ok(5));
        check(1, "localhost", "/", Err(NoMatch::None));
        check(7, "localhost", "/", Err(NoMatch::None));
    }

    #[test]
    fn a_long_path_costs_no_more_than_the_longest_prefix() {
        let table = table();
        let path = format!("/billing{}", "/a".repeat(16_000));
        assert_eq!(table.find(0, "localhost", &path), Ok(1));
        assert!(table.groups[0].any_host.prefix_lengths(&path).count() <= "/billing/v2".len());
    }

    #[test]
    fn a_path_whose_readings_pick_different_routes_is_ambiguous() {
        let table = table();
        let check = |path: &str, wanted| assert_eq!(table.find(0, "localhost", path), wanted, "{path}");
        check("/x/../billing", Err(NoMatch::Ambiguous));
        check("/x/%2e%2e/billing", Err(NoMatch::Ambiguous));
        check("/x/..;a=b/billing", Err(NoMatch::Ambiguous));
        check("/billing/..%2fx", Err(NoMatch::Ambiguous));
        check("/bill%69ng", Err(NoMatch::Ambiguous));
        check("/billing%2fv2", Err(NoMatch::Ambiguous));
        check("//billing", Err(NoMatch::Ambiguous));
        check("/x\\..\\billing", Err(NoMatch::Ambiguous));
        check("/bill%2569ng", Err(NoMatch::Ambiguous));
        check("/billing/a%20b", Ok(1));
        check("/billing/./a", Ok(1));
        check("/a/../b%2Fc", Ok(0));
    }
}
