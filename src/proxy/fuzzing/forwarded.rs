//! A caller's request and what the upstream gets of it, from bytes to bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version};
use percent_encoding::percent_decode;

use super::super::asked::Memory;
use super::super::field_rules::field_value;
use super::super::outbound::Sanitized;
use super::super::route::{Credential, Route};
use super::super::settings::{FieldRules, Inject, SetField};
use super::super::share::RouteShare;
use super::super::smallest;
use super::super::via::Via;
use crate::fuzzing::controls;
use crate::http1::outgoing::Length;
use crate::metrics::Metrics;
use crate::secret::SecretSource;
use crate::server::fuzzing::{Read, info, request};
use crate::token::AccessToken;
use crate::upstream::{Connector, Origin};
use crate::{shutdown, tls, token, upstream};

const TOKEN: &str = "tok-7f3a9c.Q_~+/=";
const NAME: &str = "bearerd-fuzz";

/// The upstream's target is its base path and the caller's path less the prefix, byte for byte, whatever that is; its host is the
/// configured one.
pub(crate) fn request_target(data: &[u8]) {
    let ([which], target) = controls(data);
    let head = [b"GET ", target, b" HTTP/1.1\r\nHost: caller.example:8080\r\n\r\n"].concat();
    forward(which, 0, &head);
}

/// Of a caller's fields none that ends here goes on, nor one that could be taken for ours; all others go on as they came; ours are
/// there once.
pub(crate) fn header_rules(data: &[u8]) {
    let ([which, flags], head) = controls(data);
    forward(which, flags, head);
}

thread_local! {
    static ROUTES: Vec<Rc<RouteShare>> = routes();
}

/// Every place of the token, at upstreams with and without a base path.
fn routes() -> Vec<Rc<RouteShare>> {
    let tls = tls::Client::load(tls::ClientSettings::default()).unwrap();
    let metrics = Metrics::new();
    let injects = [
        Some(Inject::Header { name: header::AUTHORIZATION, scheme: "Bearer".to_owned() }),
        Some(Inject::Header { name: HeaderName::from_static("x-api-key"), scheme: String::new() }),
        Some(Inject::Cookie("auth_token".to_owned())),
        Some(Inject::Query("access_token".to_owned())),
        None,
    ];
    let places = [
        ("https://api.example", "/", true, false),
        ("http://api.example:81/v2", "/", true, true),
        ("http://api.example/v2/", "/billing", true, false),
        ("http://api.example/", "/billing/", false, false),
    ];
    let mut routes = Vec::new();
    for inject in &injects {
        for (upstream, prefix, strip_path, keep_host) in places {
            let mut settings = smallest::route(prefix, None);
            settings.upstream = upstream.parse().unwrap();
            settings.origin = Origin::of(&settings.upstream).unwrap();
            (settings.strip_path, settings.keep_host) = (strip_path, keep_host);
            let credential = inject.as_ref().map(|_| Credential {
                reader: token::fuzzing::reader(&metrics),
                metrics: metrics.credential("api"),
                refresher: Arc::new(shutdown::channel().0),
            });
            settings.inject = inject.clone().unwrap_or(settings.inject);
            if keep_host {
                settings.fields = FieldRules {
                    set: vec![SetField {
                        name: HeaderName::from_static("x-tenant"),
                        source: SecretSource::inline("7"),
                        value: field_value("7").unwrap(),
                    }],
                    remove: vec![HeaderName::from_static("x-debug")],
                };
            }
            let connector = Connector::new(settings.origin.clone(), tls.clone(), Duration::from_secs(5)).unwrap();
            let route = Arc::new(Route::new(settings, credential, metrics.route("api")));
            routes.push(RouteShare::new(&route, &connector));
        }
    }
    routes
}

fn forward(which: u8, flags: u8, head: &[u8]) {
    let Some(mut caller) = request(head) else { return };
    // What we add may be more than our own limit for callers.
    if caller.parts.headers.len() > 90 || head.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()) {
        return;
    }
    if flags & 1 == 1 {
        caller.parts.version = Version::HTTP_2;
    }
    // The entry lets neither in.
    if caller.parts.method == Method::TRACE || (caller.target == b"*" && caller.parts.method != Method::OPTIONS) {
        return;
    }
    let Ok(asked) = Memory::default().asked(&caller.parts, &info()) else { return };
    ROUTES.with(|routes| {
        let route = &routes[usize::from(which) % routes.len()];
        let token = token::fuzzing::token(TOKEN);
        let token: Option<&AccessToken> = route.credential.as_ref().map(|_| &token);
        let Some(path) = below_prefix(&caller.target, route) else { return };
        let Ok(sanitized) =
            Sanitized::new(caller.parts.clone(), route, &asked.authority, &Via::named(NAME), caller.body.is_some())
        else {
            return;
        };
        let Ok(authorized) = sanitized.authorize(route, token) else { return };
        let length = caller.body.map(|length| length.map_or(Length::Chunked { trailers: true }, Length::Known));
        let written = upstream::fuzzing::written(authorized.as_head(), length);
        let shown = written.escape_ascii();
        let sent = request(&written).unwrap_or_else(|| unreachable!("the upstream gets no request: {shown}"));
        assert_eq!(sent.length, written.len(), "the upstream gets more than one: {shown}");
        assert_eq!(sent.body, caller.body);
        assert_eq!(sent.parts.method, caller.parts.method);
        let host = if route.settings.keep_host {
            asked.authority.as_str()
        } else {
            route.settings.origin.authority().as_str()
        };
        assert_eq!(lines(&sent.parts.headers, &header::HOST), [host.as_bytes()]);
        is_target(&sent.target, &path, route);
        are_fields(&caller, &sent, route);
        let times = written.windows(TOKEN.len()).filter(|window| *window == TOKEN.as_bytes()).count();
        let in_query = matches!(route.settings.inject, Inject::Query(_));
        assert_eq!(times, usize::from(token.is_some() && !in_query), "{shown}");
    });
}

/// Path and query of a target, as it was written, if that belongs to the route: `*`, or what follows scheme and authority.
fn below_prefix(target: &[u8], route: &Route) -> Option<Vec<u8>> {
    let path = match target {
        b"*" => return Some(target.to_vec()),
        [b'/', ..] => target.to_vec(),
        _ => {
            let authority = target.windows(3).position(|window| window == b"://")? + 3;
            let end = target[authority..]
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .map_or(target.len(), |at| authority + at);
            let slash: &[u8] = if target.get(end) == Some(&b'/') { b"" } else { b"/" };
            [slash, &target[end..]].concat()
        }
    };
    let rest = path.strip_prefix(route.prefix.as_bytes())?;
    matches!(rest, [] | [b'/' | b'?', ..]).then_some(path)
}

fn is_target(sent: &[u8], path: &[u8], route: &Route) {
    let mut wanted = match path {
        b"*" => b"*".to_vec(),
        path => {
            let prefix = if route.strips() { route.prefix.len() } else { 0 };
            [route.base_path.as_bytes(), &path[prefix..]].concat()
        }
    };
    if !wanted.starts_with(b"/") && wanted != b"*" {
        wanted.insert(0, b'/');
    }
    let shown = || format!("{} from {}", sent.escape_ascii(), path.escape_ascii());
    let (Inject::Query(name), true) = (&route.settings.inject, route.credential.is_some()) else {
        return assert_eq!(sent, wanted, "{}", shown());
    };
    let split = |target: &[u8]| {
        let at = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        (target[..at].to_vec(), target.get(at + 1..).unwrap_or_default().to_vec())
    };
    let ((path_sent, query), (path_wanted, query_before)) = (split(sent), split(&wanted));
    assert_eq!(path_sent, path_wanted, "{}", shown());
    let is_ours = |piece: &&[u8]| {
        let found = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
        let found: Vec<u8> = percent_decode(found).map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
        found.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    };
    let pieces = |query: &[u8]| query.split(|byte| matches!(byte, b'&' | b';')).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let after = pieces(&query);
    let (ours, others): (Vec<_>, Vec<_>) = after.iter().map(Vec::as_slice).partition(is_ours);
    let [one] = ours.as_slice() else { unreachable!("one parameter is ours: {}", shown()) };
    let value = one.strip_prefix(format!("{name}=").as_bytes()).unwrap();
    assert_eq!(percent_decode(value).collect::<Vec<u8>>(), TOKEN.as_bytes(), "{}", shown());
    assert_eq!(after.last().map(Vec::as_slice), Some(*one), "{}", shown());
    // Nothing is changed or added but the separator before it.
    let before = pieces(&query_before);
    let mut rest = before.iter().filter(|piece| !piece.is_empty());
    for other in others.iter().filter(|piece| !piece.is_empty()) {
        assert!(rest.any(|piece| piece == other), "{}", shown());
    }
}

fn are_fields(caller: &Read, sent: &Read, route: &Route) {
    let (before, after) = (&caller.parts.headers, &sent.parts.headers);
    let shown = || format!("{before:?} became {after:?}");
    let named: HashSet<Vec<u8>> = before
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    let ends_here = |name: &HeaderName| HOP_BY_HOP.contains(&name.as_str()) || named.contains(name.as_str().as_bytes());
    let is_ours = |name: &HeaderName| ours(route).iter().any(|ours| could_be(name, ours));
    let adds_cookie = matches!(route.settings.inject, Inject::Cookie(_)) && route.credential.is_some();
    // Counted down, as its own tests have it.
    let counts = |name: &HeaderName| *name == header::MAX_FORWARDS && caller.parts.method == Method::OPTIONS;
    for name in after.keys() {
        let is_said_anew = [header::HOST, header::VIA, header::CONTENT_LENGTH].contains(name);
        if is_said_anew || is_ours(name) || counts(name) || is_hop_said_anew(caller, after, name) {
            continue;
        }
        // The caller's cookie may end here and ours be there all the same: `are_cookies` tells them apart.
        let is_replaced = *name == header::COOKIE && adds_cookie;
        assert!(is_replaced || !ends_here(name), "{name} ends here: {}", shown());
        let is_joined = *name == header::COOKIE;
        assert!(is_joined || lines(after, name) == lines(before, name), "{name}: {}", shown());
    }
    let is_old = caller.parts.version == Version::HTTP_10;
    let expects = |name: &HeaderName| *name == header::EXPECT && (caller.body.is_none() || is_old);
    for name in before.keys() {
        let is_said_anew = [header::HOST, header::VIA, header::CONTENT_LENGTH, header::COOKIE].contains(name);
        if !is_said_anew && !is_ours(name) && !ends_here(name) && !expects(name) && !counts(name) {
            assert_eq!(lines(after, name), lines(before, name), "{name} goes on: {}", shown());
        }
    }
    let mut via = if named.contains(&b"via"[..]) { Vec::new() } else { lines(before, &header::VIA) };
    let own = Via::named(NAME).of(caller.parts.version).clone();
    via.push(own.as_bytes());
    assert_eq!(lines(after, &header::VIA), via, "{}", shown());
    are_cookies(before, after, route, named.contains(&b"cookie"[..]));
    if route.settings.keep_host {
        assert_eq!(lines(after, &HeaderName::from_static("x-tenant")), [b"7"], "{}", shown());
        assert!(!after.contains_key("x-debug") && !after.contains_key("x_debug"), "{}", shown());
    }
    if let (Inject::Header { name, scheme }, true) = (&route.settings.inject, route.credential.is_some()) {
        let value = if scheme.is_empty() { TOKEN.to_owned() } else { format!("{scheme} {TOKEN}") };
        assert_eq!(lines(after, name), [value.as_bytes()], "{}", shown());
        assert_eq!(after.keys().filter(|other| could_be(other, name)).count(), 1, "{}", shown());
    }
    if route.credential.is_some() {
        assert!(!after.keys().any(|name| could_be(name, &crate::dpop::FIELD)), "{}", shown());
    }
}

const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Names that a caller has no say in.
fn ours(route: &Route) -> Vec<HeaderName> {
    let rules = ["x-tenant", "x-debug"].into_iter().filter(|_| route.settings.keep_host).map(HeaderName::from_static);
    let injected = route.settings.inject.header().cloned().into_iter().chain([crate::dpop::FIELD.clone()]);
    rules.chain(injected.filter(|_| route.credential.is_some())).collect()
}

/// The same name, or one that CGI cannot tell from it.
fn could_be(name: &HeaderName, ours: &HeaderName) -> bool {
    let bare = |name: &str| name.replace(['-', '_'], "");
    name == ours || (name.as_str().contains('_') && bare(name.as_str()) == bare(ours.as_str()))
}

/// Of what ends here a wish for trailers, a protocol to change to and the chunked coding may be said anew.
fn is_hop_said_anew(caller: &Read, after: &HeaderMap, name: &HeaderName) -> bool {
    let connection = lines(after, &header::CONNECTION);
    match name.as_str() {
        "transfer-encoding" => caller.body == Some(None) && lines(after, name) == [b"chunked"],
        "te" => lines(after, name) == [b"trailers"] && connection == [b"te"],
        "upgrade" => {
            let wanted = after[header::UPGRADE].to_str().unwrap_or_default().to_ascii_lowercase();
            wanted.split(", ").all(|protocol| protocol == "websocket" || protocol.starts_with("websocket/"))
                && connection == [b"Upgrade"]
        }
        "connection" => {
            (connection == [b"te"] && after.contains_key(header::TE))
                || (connection == [b"Upgrade"]
                    && after.contains_key(header::UPGRADE)
                    && !after.contains_key(header::TE))
        }
        _ => false,
    }
}

fn are_cookies(before: &HeaderMap, after: &HeaderMap, route: &Route, is_named: bool) {
    let pairs = |headers: &HeaderMap| {
        let pairs = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        pairs.map(|pair| pair.trim_ascii().to_vec()).filter(|pair| !pair.is_empty()).collect::<Vec<_>>()
    };
    let (sent, came) = (pairs(after), if is_named { Vec::new() } else { pairs(before) });
    let (Inject::Cookie(name), true) = (&route.settings.inject, route.credential.is_some()) else {
        return assert_eq!(sent, came, "cookies are the caller's");
    };
    let is_ours = |pair: &&Vec<u8>| {
        let found = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        percent_decode(found).collect::<Vec<u8>>().trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    };
    let (ours, others): (Vec<_>, Vec<_>) = sent.iter().partition(is_ours);
    assert_eq!(ours, [&format!("{name}={TOKEN}").into_bytes()]);
    assert_eq!(lines(after, &header::COOKIE).len(), 1);
    let mut rest = came.iter();
    assert!(others.iter().all(|other| rest.any(|pair| pair == *other)), "{sent:?} from {came:?}");
}

fn lines<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}
