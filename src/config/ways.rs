//! `routes.*.proxy` and `credentials.*.proxy`: directly, or through which HTTP proxy.
//!
//! Owns the meaning of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, of which no standard exists: it is that of curl and
//! of Python. The lower-case name wins, and one that is set to nothing switches the proxy off. They never apply to loopback. A
//! proxy that cannot be used is a mistake and never a direct connection.

use std::net::IpAddr;

use ipnet::IpNet;

use super::context::Context;
use super::mistake::Place;
use super::reader::Reader;
use super::secret;
use crate::reason::Reason;
use crate::secret::{Secret, SecretSource};
use crate::upstream::http_proxy::ProxyError;
use crate::upstream::{HttpProxy, Origin, Scheme};

/// The proxy on the way to `origin`; `None` for the direct way, or after a mistake.
pub(super) fn read(reader: &Reader<'_>, origin: &Origin) -> Option<HttpProxy> {
    let context = reader.context();
    let node = reader.node("proxy");
    match node.map(|node| node.as_text()) {
        None | Some(Some("env")) => return from_environment(context, origin),
        Some(Some("none")) => return None,
        // A URL without its scheme is the commonest slip, and so are the words of other programs.
        Some(Some(text)) if !text.contains("://") => {
            reader.wrong(
                "proxy",
                "must be \"none\", \"env\", or the URL of an HTTP proxy, such as \"http://proxy:3128\"",
            );
            return None;
        }
        Some(_) => {}
    }
    let source = secret::from_node(context, node?, &reader.dotted("proxy"))?;
    match shared(context, source) {
        Ok(proxy) => {
            check_plain_http(reader, origin, &proxy);
            Some(proxy)
        }
        Err(ProxyError::Url(error)) => {
            reader.wrong("proxy", error.to_string());
            None
        }
        // The reader of the secret has told of it.
        Err(ProxyError::Secret(_)) => None,
    }
}

/// Plain http to "this machine" is another machine's as soon as a proxy elsewhere is asked for it.
fn check_plain_http(reader: &Reader<'_>, origin: &Origin, proxy: &HttpProxy) {
    let is_exposed = origin.scheme() == Scheme::Http && origin.is_loopback() && !proxy.origin().is_loopback();
    if is_exposed && !reader.boolean("allow_plain_http").unwrap_or(false) {
        let message = format!(
            "through the proxy {} plain http to {origin} leaves this machine; write proxy = \"none\", or add \
             allow_plain_http = true beside it",
            proxy.origin().authority()
        );
        reader.reject("proxy", Reason::ConfigPlainHttp, message);
    }
}

/// One proxy for all who name it alike, so that they know together whether its login is refused.
fn shared(context: &Context<'_>, source: SecretSource) -> Result<HttpProxy, ProxyError> {
    let mut known = context.proxies.borrow_mut();
    if let Some(proxy) = known.iter().find(|proxy| *proxy.source() == source) {
        return Ok(proxy.clone());
    }
    let proxy = HttpProxy::new(source)?;
    known.push(proxy.clone());
    Ok(proxy)
}

fn from_environment(context: &Context<'_>, origin: &Origin) -> Option<HttpProxy> {
    let value = |name: &str| context.environment.value(name).map(|value| value.map(|value| value.expose().trim()));
    // The names of a pair in the order in which they are looked at; the first that is set counts.
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, value(name)?)));
    if origin.is_loopback() {
        return None;
    }
    let of_scheme = match origin.scheme() {
        Scheme::Https => ["https_proxy", "HTTPS_PROXY"],
        Scheme::Http => ["http_proxy", "HTTP_PROXY"],
    };
    let (name, url) = first(of_scheme).or_else(|| first(["all_proxy", "ALL_PROXY"]))?;
    let bypassed = match first(["no_proxy", "NO_PROXY"]) {
        Some((_, Some(list))) => bypasses(list, origin.host(), origin.port()),
        _ => false,
    };
    if url == Some("") || bypassed {
        return None;
    }
    let wrong = |message: &str| {
        let message = format!("{message} (it is used for {origin}; proxy = \"none\" there goes without)");
        context.mistake(Place::Variable(name.to_owned()), Reason::ConfigWrongValue, "", message);
    };
    let Some(url) = url else {
        wrong("is not UTF-8 text");
        return None;
    };
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    match shared(context, SecretSource::Env { name: name.to_owned(), value: Secret::new(url) }) {
        Ok(proxy) => Some(proxy),
        Err(ProxyError::Url(error)) => {
            wrong(&error.to_string());
            None
        }
        Err(ProxyError::Secret(error)) => {
            wrong(&crate::log::chain(&error));
            None
        }
    }
}

/// Whether an entry of a `NO_PROXY` names this host: `*`, a name with everything below it (with or without `.` or `*.`
/// before it), an address, a network, each with or without `:port`.
fn bypasses(list: &str, host: &str, port: u16) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    list.split(|c: char| c == ',' || c.is_whitespace()).any(|entry| names(entry, &host, address, port))
}

fn names(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (name, of_port) = without_port(entry);
    if of_port.is_some_and(|of_port| of_port != port) {
        return false;
    }
    if let Ok(entry) = name.parse::<IpAddr>() {
        return address == Some(entry.to_canonical());
    }
    let name = name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase();
    let name = name.strip_prefix('.').unwrap_or(&name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let below = |host: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    !name.is_empty() && address.is_none() && (host == name || below(host))
}

/// `host:port`, `[::1]:port`, `[::1]`, `::1`.
fn without_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((inside, after)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (inside, after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, Settings, Sources, load_text};
    use super::*;

    #[test]
    fn no_proxy_names_hosts_domains_addresses_and_networks() {
        let check = |list: &str, target: &str, wanted: bool| {
            let origin = Origin::of(&format!("https://{target}").parse().unwrap()).unwrap();
            assert_eq!(bypasses(list, origin.host(), origin.port()), wanted, "{list:?} {target}");
        };
        check("*", "api.example.com", true);
        check("example.com", "example.com", true);
        check("example.com", "api.EXAMPLE.com.", true);
        check("example.com", "notexample.com", false);
        check("example.com", "example.com.evil", false);
        check(".example.com", "api.example.com", true);
        check(".example.com", "example.com", true);
        check("*.example.com", "api.example.com", true);
        check("EXAMPLE.com.", "api.example.com", true);
        check("a.test, example.com", "example.com", true);
        check("a.test example.com", "example.com", true);
        check("example.com:8443", "example.com", false);
        check("example.com:443", "example.com", true);
        check("example.com:8443", "example.com:8443", true);
        check("10.0.0.0/8", "10.1.2.3", true);
        check("10.0.0.0/8", "11.1.2.3", false);
        check("10.0.0.0/8", "10.example.com", false);
        check("192.168.1.7", "192.168.1.7:81", true);
        check("192.168.1.7:80", "192.168.1.7:81", false);
        check("fd00::/8", "[fd00::1]", true);
        check("fd00::1", "[fd00::1]:8443", true);
        check("[fd00::1]:8443", "[fd00::1]:8443", true);
        check("[fd00::1]:8443", "[fd00::1]", false);
        check("10.0.0.1", "[::ffff:10.0.0.1]", true);
        check("1", "10.0.0.1", false);
        check("0.0.1", "10.0.0.1", false);
        check("com", "example.com", true);
        check("svc", "api.default.svc", true);
        check("10.0.0.0/33", "10.0.0.1", false);
        check("", "example.com", false);
        check(",. ,*.", "example.com", false);
    }

    fn load(route: &str, variables: &[(&str, &str)]) -> Result<Settings, super::super::Mistakes> {
        let text = format!("[routes.a]\ncredential = \"none\"\n{route}");
        let environment = Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        load_text(
            &text,
            Path::new("b.toml"),
            &Sources { file: Some("b.toml".into()), environment, ..Sources::default() },
        )
    }

    #[test]
    fn the_way_is_what_is_written_else_what_the_environment_says() {
        let check = |route: &str, variables: &[(&str, &str)], wanted: Option<&str>| {
            let settings = load(route, variables).unwrap_or_else(|mistakes| panic!("{route}: {mistakes}"));
            let proxy = settings.routes[0].proxy.as_ref().map(|proxy| proxy.origin().authority().as_str());
            assert_eq!(proxy, wanted, "{route} {variables:?}");
        };
        let https = "upstream = \"https://a.example\"";
        let all = [("https_proxy", "http://low:1"), ("HTTPS_PROXY", "http://up:2"), ("ALL_PROXY", "http://all:3")];
        check(https, &[], None);
        check(https, &all, Some("low:1"));
        check(https, &all[1..], Some("up:2"));
        check(https, &all[2..], Some("all:3"));
        check(https, &[("https_proxy", ""), ("HTTPS_PROXY", "http://up:2"), ("ALL_PROXY", "http://all:3")], None);
        check(https, &[("HTTPS_PROXY", "u:p@up:2")], Some("up:2"));
        check(https, &[("HTTP_PROXY", "http://up:2")], None);
        check(https, &[("HTTPS_PROXY", "http://up:2"), ("NO_PROXY", "b.example,a.example")], None);
        check(https, &[("HTTPS_PROXY", "http://up:2"), ("no_proxy", ""), ("NO_PROXY", "*")], Some("up:2"));
        let http = "upstream = \"http://a.example\"\nallow_plain_http = true";
        check(http, &[("http_proxy", "http://up:2")], Some("up:2"));
        check(http, &[("https_proxy", "http://up:2")], None);
        let loopback = "upstream = \"https://localhost:1\"";
        check(loopback, &all, None);
        check(&format!("{loopback}\nproxy = \"http://p:1\""), &[], Some("p:1"));
        let with = |proxy: &str| format!("{https}\nproxy = {proxy}");
        check(&with("\"none\""), &all, None);
        check(&with("\"env\""), &all, Some("low:1"));
        check(&with("\"http://u:hunter2@p:1\""), &[("HTTPS_PROXY", "http://up:2"), ("NO_PROXY", "*")], Some("p:1"));
        check(&with("{ env = \"X\" }"), &[("X", "https://u:hunter2@p:1")], Some("p:1"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_a_mistake_that_does_not_show_it() {
        let check = |route: &str, variables: &[(&str, &str)], wanted: &str| {
            let mistakes = load(route, variables).expect_err(route).to_string();
            assert!(mistakes.contains(wanted) && !mistakes.contains("hunter2"), "{wanted:?}: {mistakes}");
        };
        let https = "upstream = \"https://a.example\"";
        let with = |proxy: &str| format!("{https}\nproxy = {proxy}");
        check(&with("\"proxy:3128\""), &[], "b.toml:4:9: F005 routes.a.proxy: must be \"none\", \"env\", or the URL");
        check(&with("\"direct\""), &[], "F005 routes.a.proxy: must be \"none\"");
        check(&with("\"socks5://u:hunter2@p:1\""), &[], "F005 routes.a.proxy: SOCKS proxies");
        check(&with("\"http://u:hunter2/@p:1\""), &[], "written %2F");
        check(&with("{ env = \"X\" }"), &[("X", "hunter2")], "F005 routes.a.proxy: must be a URL");
        check(&with("{ file = \"/nonexistent/x\" }"), &[], "F010 routes.a.proxy: cannot read");
        check(&with("3"), &[], "F005 routes.a.proxy");
        check(https, &[("ALL_PROXY", "socks5://u:hunter2@p")], "ALL_PROXY: F005: SOCKS proxies are not supported");
        check(https, &[("https_proxy", "http://u:hunter2@")], "https_proxy: F005: must have a host");
        check(
            "upstream = \"http://localhost:1\"\nproxy = \"http://p:1\"",
            &[],
            "F008 routes.a.proxy: through the proxy p:1",
        );
    }

    #[test]
    fn whoever_names_a_proxy_alike_shares_it() {
        let text = "[routes.b]\npath = \"/b\"\ncredential = \"none\"\nupstream = \"https://b.example\"\n";
        let settings = load(&format!("upstream = \"https://a.example\"\n{text}"), &[("https_proxy", "p:1")]).unwrap();
        let [a, b] = [0, 1].map(|index: usize| settings.routes[index].proxy.clone().unwrap());
        assert!(std::ptr::eq(a.origin(), b.origin()));
    }
}
