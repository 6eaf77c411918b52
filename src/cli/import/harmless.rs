//! Which fields, headers and pieces of a URL may be written as they are.
//!
//! Owns the rule that a value is a secret unless something says that it is none: its look, or a name that tells where, which or how.
//! The last word of a name counts, which is its noun: `tenant_id` is an id, `user_answer` is an answer.

use super::{literal, marks};

/// Nouns of which the values open no door.
const NOUNS: &[&str] = &[
    "accept",
    "account",
    "action",
    "acr",
    "address",
    "agent",
    "alg",
    "algorithm",
    "api",
    "app",
    "application",
    "area",
    "audience",
    "brand",
    "browser",
    "channel",
    "charset",
    "city",
    "client",
    "cluster",
    "company",
    "connection",
    "consumer",
    "context",
    "control",
    "country",
    "currency",
    "customer",
    "database",
    "date",
    "days",
    "db",
    "department",
    "dest",
    "device",
    "display",
    "dnt",
    "domain",
    "duration",
    "email",
    "encoding",
    "endpoint",
    "env",
    "environment",
    "expiration",
    "expires",
    "expiry",
    "flow",
    "format",
    "grant",
    "group",
    "groups",
    "hint",
    "host",
    "hostname",
    "id",
    "idp",
    "ids",
    "in",
    "instance",
    "integration",
    "issuer",
    "kind",
    "lang",
    "language",
    "level",
    "lifetime",
    "limit",
    "locale",
    "locales",
    "location",
    "login",
    "mail",
    "market",
    "merchant",
    "method",
    "mobile",
    "mode",
    "model",
    "module",
    "name",
    "namespace",
    "network",
    "offset",
    "org",
    "organisation",
    "organization",
    "origin",
    "os",
    "owner",
    "page",
    "parent",
    "partner",
    "path",
    "permission",
    "permissions",
    "platform",
    "policy",
    "port",
    "pragma",
    "prefix",
    "priority",
    "product",
    "profile",
    "project",
    "prompt",
    "protocol",
    "provider",
    "purpose",
    "realm",
    "referer",
    "region",
    "release",
    "remember",
    "requests",
    "resource",
    "resources",
    "role",
    "roles",
    "schema",
    "scheme",
    "scope",
    "scopes",
    "sdk",
    "seconds",
    "server",
    "service",
    "shop",
    "site",
    "size",
    "source",
    "stage",
    "status",
    "store",
    "subdomain",
    "system",
    "target",
    "team",
    "tenancy",
    "tenant",
    "time",
    "timeout",
    "timezone",
    "ttl",
    "type",
    "tz",
    "ua",
    "unit",
    "uri",
    "url",
    "urn",
    "use",
    "user",
    "username",
    "uuid",
    "vendor",
    "version",
    "view",
    "website",
    "with",
    "workspace",
    "zone",
];

/// Nouns of which the values have colons. Elsewhere a colon may be the one of `user:password`.
const WITH_COLONS: &[&str] = &[
    "accept",
    "address",
    "audience",
    "date",
    "endpoint",
    "format",
    "host",
    "method",
    "origin",
    "path",
    "permission",
    "permissions",
    "resource",
    "resources",
    "scope",
    "scopes",
    "server",
    "time",
    "type",
    "ua",
    "uri",
    "url",
    "version",
];

/// Words that are settings and no secrets, under any name.
const SETTINGS: &[&str] = &["true", "false", "yes", "no", "on", "off", "none", "null", "json", "xml"];

/// Whether the value of a field or header may be written.
pub(super) fn is_harmless(name: &str, value: &str) -> bool {
    if value.is_empty() {
        return true;
    }
    if literal::is_secret_name(name) {
        return false;
    }
    let stands_for_another = literal::is_reference(value) || literal::is_surely_placeholder(value);
    stands_for_another || is_setting(value) || is_url(value) || noun(name).is_some_and(|noun| is_value_of(&noun, value))
}

/// Whether a piece between the slashes of a path may be written: a name, an id, a version. What is random may be a key; a tenant's
/// id is shorter, or a UUID.
pub(super) fn is_harmless_segment(segment: &str) -> bool {
    match segment.split_once('=') {
        Some((name, value)) => is_harmless(name, value),
        None => segment.len() < 24 || !literal::looks_random(segment),
    }
}

/// The last word of a name, if it is known.
fn noun(name: &str) -> Option<String> {
    let is_noun = |word: &str| NOUNS.contains(&word);
    let last = literal::words(name).pop().filter(|_| name.is_ascii())?;
    // `tenantid`, `apiversion`
    let is_pair = || {
        (1..last.len())
            .any(|at| last.split_at_checked(at).is_some_and(|(first, second)| is_noun(first) && is_noun(second)))
    };
    let is_known = is_noun(&last) || is_pair();
    is_known.then_some(last)
}

fn is_value_of(noun: &str, value: &str) -> bool {
    let has_colons = WITH_COLONS.iter().any(|known| noun.ends_with(known));
    let is_harmless_word = |word: &str| match word.contains("://") {
        true => is_url(word),
        false => has_colons || !word.contains(':') || word.starts_with("urn:") || word.starts_with("arn:"),
    };
    // Of an agent the build may look random.
    let is_random = |word: &str| noun != "agent" && literal::looks_random(word);
    !is_random(value)
        && (marks::has_marks(value) || value.split_whitespace().all(|word| is_harmless_word(word) && !is_random(word)))
}

/// `true`, `7`, `2.0`, `v1`: a number too short for a PIN.
fn is_setting(value: &str) -> bool {
    let version = value.strip_prefix('v').unwrap_or(value);
    let is_short = version.len() <= 5
        && version.chars().all(|c| c.is_ascii_digit() || c == '.')
        && (1..=3).contains(&version.chars().filter(char::is_ascii_digit).count());
    is_short || SETTINGS.contains(&value.to_ascii_lowercase().as_str())
}

/// A URL without a login, of which every piece may be written.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let is_scheme = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    is_scheme
        && !text.contains(char::is_whitespace)
        && !base.contains('@')
        && is_harmless_segment(fragment)
        && base.split(['/', ';']).all(is_harmless_segment)
        && form_urlencoded::parse(query.as_bytes()).all(|(name, value)| is_harmless(&name, &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_a_look_says_that_a_value_is_harmless() {
        let check =
            |name: &str, value: &str, wanted: bool| assert_eq!(is_harmless(name, value), wanted, "{name}={value}");
        check("tenant_id", "84896a0c-1347-aa90-a4f6-aca8b7558780", true);
        check("tenantId", "contoso", true);
        check("APIVERSION", "2021-07-28", true);
        check("x", "v2", true);
        check("x", "FALSE", true);
        check("x", "<your value>", true);
        check("x", "https://api.acme.com/v2", true);
        check("scopes", "read:items write:items", true);
        check("resource_id", "urn:acme:api", true);
        check("x", "1234", false);
        check("x", "joe", false);
        check("user_answer", "blue", false);
        check("mfa_type", "123456", false);
        check("tenánt", "contoso", false);
        check("login", "joe:pw", false);
        check("tenant", "8A4BE698BCA216718ECB0B1D", false);
        check("redirect_uri", "https://joe:pw@acme.com/", false);
        check("redirect_uri", "https://acme.com/?code=1", false);
        check("redirect_uri", "https://acme.com/#token=1", false);
        check("user-agent", "Mozilla/5.0 (+https://acme.com/?key=1)", false);
    }
}
