//! Whether a request may have come from where it says: the `Host` rules and the cross-site rules of DESIGN section 7.
//!
//! Owns two pure decisions that the proxy and the admin listener share. A web page in a browser on this machine can reach a
//! loopback port in two ways: by a name of its own that it points at 127.0.0.1 (DNS rebinding), which shows in `Host`, or
//! by asking across sites, which the browser marks. Refuses both and nothing else: who the caller is, is decided elsewhere.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN};

use crate::reason::Reason;
use crate::upstream::origin::is_loopback_host;

/// Fetch Metadata: how the page that asks stands to what it asks for.
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Endings that no public page can have, so that only somebody inside can have meant them.
const INSIDE_ENDINGS: &[&str] = &[".svc", ".cluster.local", ".internal"];

/// The most of a caller's text that a message shows, in characters.
const SHOWN: usize = 80;

/// The longest host name there is (RFC 1035 §2.3.4), in its written form.
const NAME_LENGTH: usize = 253;

/// Which values of `Host` are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules {
    names: BTreeSet<String>,
    /// The table to add to, if it is not `[callers]`.
    table: Option<String>,
}

/// The host that a request names, as far as rules ask for it. Callers name the same one again and again, so that it is worth
/// keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHost {
    written: String,
    /// In its one normal form, if it is a name or an address.
    name: Option<String>,
    address: Option<IpAddr>,
    is_loopback: bool,
}

/// A request that is refused: the code, and one line for the caller and the log in which the caller's own text is
/// escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// What is wrong and, where there is one, the line that allows it. Without the code.
    pub message: String,
}

impl HostRules {
    /// Rules that allow `names` (every `routes.*.host` and `callers.hosts`) beside what is always allowed. Case, a trailing
    /// dot, a port and the brackets of an address make no difference.
    pub fn new<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let names = names.into_iter().map(|name| {
            let name = name.as_ref();
            // A bare IPv6 address reads like a name with a port; only the configuration may write it so.
            name.parse::<IpAddr>().map_or_else(
                |_| host_of(name).unwrap_or_else(|| name.to_ascii_lowercase()),
                |address| address.to_canonical().to_string(),
            )
        });
        Self { names: names.collect(), table: None }
    }

    /// The same, with refusals that name this table.
    #[must_use]
    pub fn in_table(mut self, table: &str) -> Self {
        self.table = Some(table.to_owned());
        self
    }

    /// Whether a `Host` or `:authority` is allowed. `local` is the address that the connection came in on,
    /// `listener_is_loopback` whether its listener can be reached from this machine only.
    pub fn host_allowed(&self, named: &NamedHost, local: IpAddr, listener_is_loopback: bool) -> bool {
        let Some(host) = &named.name else { return false };
        if named.is_loopback || self.names.contains(host) {
            return true;
        }
        match named.address {
            Some(address) => address == local.to_canonical(),
            None => !listener_is_loopback && is_inside_name(host),
        }
    }

    /// As [`HostRules::host_allowed`], with the answer to give if not.
    ///
    /// # Errors
    /// [`Refusal`] with [`Reason::HostNotAllowed`] and the line that would allow the name.
    pub fn check_host(&self, named: &NamedHost, local: IpAddr, listener_is_loopback: bool) -> Result<(), Refusal> {
        if self.host_allowed(named, local, listener_is_loopback) {
            return Ok(());
        }
        let shown = quoted(&named.written);
        let message = match &named.name {
            Some(name) => {
                let table = self.table.as_deref().unwrap_or("[callers]");
                format!("Host {shown} is not allowed; add to {table}: hosts = [\"{name}\"]")
            }
            None => format!("Host {shown} is not a host name"),
        };
        Err(Refusal { reason: Reason::HostNotAllowed, message })
    }
}

impl NamedHost {
    /// Reads the value of a `Host` or an `:authority`, with or without port.
    pub fn of(written: &str) -> Self {
        let name = host_of(written);
        let address = name.as_ref().and_then(|name| name.parse::<IpAddr>().ok()).map(|address| address.to_canonical());
        let is_loopback = name.as_deref().is_some_and(is_loopback_host);
        Self { written: written.to_owned(), name, address, is_loopback }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reason, self.message)
    }
}

/// Refuses what a browser marks as made by another site. `own_authority` is the request's own `Host` or `:authority`, already
/// allowed by [`HostRules`]. Requests without any mark (curl, SDKs) pass.
///
/// # Errors
/// [`Refusal`] with [`Reason::CrossSite`] if a `Sec-Fetch-Site` says anything but `none` or `same-origin`, or if there is an
/// `Origin` other than `own_authority`, a null one, or more than one.
pub fn check_cross_site(headers: &HeaderMap, own_authority: &str) -> Result<(), Refusal> {
    for site in headers.get_all(&SEC_FETCH_SITE) {
        // `same-site` is another origin all the same: any port of localhost is "same-site" with ours.
        if !matches!(site.as_bytes(), b"none" | b"same-origin") {
            return Err(cross_site(format!("Sec-Fetch-Site is {}", shown_value(site))));
        }
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    if origins.next().is_some() {
        return Err(cross_site("there is more than one Origin".to_owned()));
    }
    if origin.to_str().is_ok_and(|origin| is_own_origin(origin, own_authority)) {
        return Ok(());
    }
    Err(cross_site(format!("its Origin is {}, which is not {}", shown_value(origin), quoted(own_authority))))
}

fn cross_site(found: String) -> Refusal {
    let message = format!("requests that a web page of another site makes are refused: {found}");
    Refusal { reason: Reason::CrossSite, message }
}

/// Whether a serialised origin (RFC 6454 §6.2) has the host and port of `own_authority`. A port that is left out is the one
/// of the origin's scheme on both sides, since TLS may end in front of us.
fn is_own_origin(origin: &str, own_authority: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Some((host, port)) = split_authority(authority) else { return false };
    let Some((own_host, own_port)) = split_authority(own_authority) else { return false };
    host == own_host && port.unwrap_or(default_port) == own_port.unwrap_or(default_port)
}

/// The host of `host[:port]` in its one normal form: lower case, without brackets and trailing dot, addresses canonical. `None`
/// if it is no host name or address.
fn host_of(value: &str) -> Option<String> {
    split_authority(value).map(|(host, _)| host)
}

/// Host, as in [`host_of`], and port. An empty port (RFC 9110 §4.2.1) counts as none.
fn split_authority(value: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = value.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let address = inside.parse::<Ipv6Addr>().ok()?;
        let port = if after.is_empty() { "" } else { after.strip_prefix(':')? };
        return is_port(port).then(|| (IpAddr::V6(address).to_canonical().to_string(), port.parse().ok()));
    }
    let (host, port) = value.split_once(':').unwrap_or((value, ""));
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (is_port(port) && is_host_name(&host)).then(|| (host, port.parse().ok()))
}

/// Empty or a number that fits; `parse` alone would take a sign.
fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

/// Labels of letters, digits, `-` and `_` (Docker Compose service names have it) between single dots.
fn is_host_name(host: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    host.len() <= NAME_LENGTH && host.split('.').all(is_label)
}

/// Whether no public page can have this name.
fn is_inside_name(host: &str) -> bool {
    !host.contains('.') || INSIDE_ENDINGS.iter().any(|ending| host.ends_with(ending))
}

fn shown_value(value: &HeaderValue) -> String {
    quoted(&String::from_utf8_lossy(value.as_bytes()))
}

/// A caller's text in quotes: escaped, so that it cannot pretend to be more than a value, and cut.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> HostRules {
        HostRules::new(["php-proxy", "Billing.Example.", "10.1.2.3", "fd00::7"])
    }

    #[test]
    fn host_is_allowed_for_loopback_own_address_and_configured_names_on_a_loopback_listener() {
        let check = |host: &str, wanted: bool| {
            let local = IpAddr::from([127, 0, 0, 1]);
            assert_eq!(rules().host_allowed(&NamedHost::of(host), local, true), wanted, "{host:?}");
        };
        for allowed in [
            "localhost",
            "localhost:8080",
            "LocalHost",
            "localhost.",
            "localhost.:8080",
            "localhost:",
            "billing.localhost",
            "a.b.LOCALHOST:1",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.8.8.8",
            "127.0.0.1.",
            "[::1]",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "php-proxy",
            "PHP-Proxy:80",
            "billing.example",
            "billing.example.:443",
            "10.1.2.3",
            "[fd00::7]:9",
            "[FD00:0::7]",
        ] {
            check(allowed, true);
        }
        for refused in [
            "",
            ".",
            ":",
            ":8080",
            "evil.test",
            "evil.test:8080",
            "localhost.evil.test",
            "notlocalhost",
            "localhost..",
            "127.0.0.1.nip.io",
            "0.0.0.0",
            "[::]",
            "10.0.0.5",
            "::1",
            "[::1",
            "[::1]8080",
            "[::1]:x",
            "[localhost]",
            "[127.0.0.1]",
            "localhost:99999",
            "localhost:+80",
            "localhost:80:80",
            "user@localhost",
            "localhost/evil",
            "localhost, evil.test",
            "localhost evil.test",
            "lоcalhost",
            "db",
            "db.svc",
            "billing.example.evil.test",
            ".localhost",
        ] {
            check(refused, false);
        }
    }

    #[test]
    fn beyond_loopback_names_that_no_public_page_can_have_are_allowed_too() {
        let check = |host: &str, wanted: bool| {
            let local = IpAddr::from([10, 0, 0, 5]);
            assert_eq!(rules().host_allowed(&NamedHost::of(host), local, false), wanted, "{host:?}");
        };
        check("10.0.0.5", true);
        check("10.0.0.5:8080", true);
        check("[::ffff:10.0.0.5]", true);
        check("10.0.0.6", false);
        check("bearerd", true);
        check("my_service:80", true);
        check("bearerd.prod.svc", true);
        check("bearerd.prod.svc.cluster.local.", true);
        check("metadata.google.internal", true);
        check("localhost", true);
        check("php-proxy", true);
        check(".svc", false);
        check("a..svc", false);
        check("cluster.local", false);
        check("evilsvc.test", false);
        check("x.svc.evil.test", false);
        check("internal.evil.test", false);
        check("evil.test", false);
    }

    #[test]
    fn on_an_ipv6_connection_the_own_address_is_allowed_in_brackets() {
        let local: IpAddr = "2001:db8::5".parse().unwrap();
        assert!(rules().host_allowed(&NamedHost::of("[2001:DB8:0::5]:8080"), local, false));
        assert!(!rules().host_allowed(&NamedHost::of("[2001:db8::6]"), local, false));
    }

    #[test]
    fn the_refusal_shows_the_line_that_would_allow_the_name() {
        let check = |host: &str, wanted: &str| {
            let refusal =
                HostRules::default().check_host(&NamedHost::of(host), IpAddr::from([127, 0, 0, 1]), true).unwrap_err();
            assert_eq!(refusal.to_string(), wanted);
        };
        check("php-proxy", r#"C003 Host "php-proxy" is not allowed; add to [callers]: hosts = ["php-proxy"]"#);
        check(
            "PHP.example:80",
            r#"C003 Host "PHP.example:80" is not allowed; add to [callers]: hosts = ["php.example"]"#,
        );
        check("a\"]\n\u{1b}[2J", r#"C003 Host "a\"]\n\u{1b}[2J" is not a host name"#);
        check(&"ä".repeat(200), &format!("C003 Host \"{}…\" is not a host name", "ä".repeat(80)));
    }

    fn cross_site_of(own: &str, fields: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        check_cross_site(&headers, own)
    }

    #[test]
    fn what_a_browser_marks_as_another_sites_is_refused_and_unmarked_requests_pass() {
        const SITE: &str = "sec-fetch-site";
        let check = |own: &str, fields: &[(&'static str, &str)], wanted: bool| {
            let result = cross_site_of(own, fields);
            assert_eq!(result.is_ok(), wanted, "{own} {fields:?} {result:?}");
            if let Err(refusal) = result {
                assert_eq!(refusal.reason, Reason::CrossSite);
            }
        };
        let own = "localhost:8080";
        check(own, &[], true);
        check(own, &[(SITE, "none")], true);
        check(own, &[(SITE, "same-origin")], true);
        check(own, &[(SITE, "same-site")], false);
        check(own, &[(SITE, "cross-site")], false);
        check(own, &[(SITE, "Cross-Site")], false);
        check(own, &[(SITE, "")], false);
        check(own, &[(SITE, "none, cross-site")], false);
        check(own, &[(SITE, "none"), (SITE, "cross-site")], false);
        check(own, &[(SITE, "some-future-word")], false);
        check(own, &[("origin", "http://localhost:8080")], true);
        check(own, &[("origin", "http://LOCALHOST:8080")], true);
        check(own, &[("origin", "https://localhost:8080")], true);
        check(own, &[(SITE, "same-origin"), ("origin", "http://localhost:8080")], true);
        check(own, &[(SITE, "same-origin"), ("origin", "http://evil.test")], false);
        check(own, &[(SITE, "cross-site"), ("origin", "http://localhost:8080")], false);
        check(own, &[("origin", "http://localhost:8081")], false);
        check(own, &[("origin", "http://localhost")], false);
        check(own, &[("origin", "http://127.0.0.1:8080")], false);
        check(own, &[("origin", "http://evil.test")], false);
        check(own, &[("origin", "http://evil.test:8080")], false);
        check(own, &[("origin", "http://localhost:8080.evil.test")], false);
        check(own, &[("origin", "http://localhost:8080@evil.test")], false);
        check(own, &[("origin", "null")], false);
        check(own, &[("origin", "")], false);
        check(own, &[("origin", "localhost:8080")], false);
        check(own, &[("origin", "file://localhost:8080")], false);
        check(own, &[("origin", "chrome-extension://localhost:8080")], false);
        check(own, &[("origin", "http://localhost:8080"), ("origin", "http://localhost:8080")], false);
        check(own, &[("origin", "http://localhost:8080 http://evil.test")], false);
        check("localhost", &[("origin", "http://localhost")], true);
        check("localhost:80", &[("origin", "http://localhost")], true);
        check("localhost", &[("origin", "https://localhost:443")], true);
        check("[::1]:8080", &[("origin", "http://[::1]:8080")], true);
        check("[::1]:8080", &[("origin", "http://[::2]:8080")], false);
        check("", &[("origin", "http://")], false);
    }

    #[test]
    fn the_cross_site_refusal_escapes_and_cuts_what_the_caller_wrote() {
        let long = format!("http://{}.test", "x".repeat(500));
        let message = cross_site_of("localhost", &[("origin", &long)]).unwrap_err().to_string();
        assert!(message.starts_with("C002 ") && message.len() < 300, "{message}");
        let message = cross_site_of("localhost", &[("origin", "a\"\t\u{202e}b")]).unwrap_err().to_string();
        assert!(message.contains(r#""a\"\t\u{202e}b""#), "{message}");
    }
}
