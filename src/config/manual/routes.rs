//! `[routes.*]`.

use super::Default::{Is, None, Required, Says};
use super::Kind::{Boolean, Many, Map, Proxy, Secret, Table, Word};
use super::{Form, Key, Kind, Section, key, words};
use crate::config::{fields, route};

pub(super) const ALL: &[Section] = &[
    Section {
        id: "route",
        heading: "[routes.NAME]",
        about: "What is forwarded where, with which token. Any number of them; the longest path that matches wins.",
        keys: &route::KEYS,
        rows: &[ROUTE],
    },
    Section {
        id: "route_headers",
        heading: "[routes.NAME.headers]",
        about: "Applied before the token is set. Fields of the connection and the token's own are refused.",
        keys: &fields::KEYS,
        rows: &[HEADERS],
    },
];

#[rustfmt::skip]
const ROUTE: &[Key] = &[
    key("upstream", Kind::Form(Form::Url), Required, "Where requests go: origin and base path, `http` or `https`."),
    key("listen", Many(&Kind::Form(Form::Listen)), Says("the listeners at the top"), "Listeners of its own."),
    key("path", Kind::Form(Form::Path), Is("\"/\""), "Serves paths at and below this one; matched at a slash, the longest wins."),
    key("host", Kind::Form(Form::Host), Says("every host"), "Serves requests for this `Host`; also those of an application that knows bearerd as its `http_proxy`."),
    key("credential", Kind::Form(Form::Some), Says("the only one"), "A name below `[credentials]`, or `\"none\"` to forward without a token."),
    key("strip_path", Boolean, Is("true"), "Leave the matched `path` out of the upstream's path."),
    key("keep_host", Boolean, Is("false"), "Forward the caller's `Host` instead of the upstream's."),
    key("upstream_protocol", Word(|| words(route::PROTOCOLS)), Is("\"auto\""), "`auto`: HTTP/2 where TLS agrees on it, else HTTP/1; `h2` without TLS is by prior knowledge."),
    key("upgrades", Many(&Kind::Form(Form::Some)), Is("[\"websocket\"]"), "Protocols that a connection may be changed to by `Upgrade`, or a stream of HTTP/2 by extended CONNECT; `[]` for none. Never `h2c`."),
    key("allow_plain_http", Boolean, Is("false"), "Accept an `http` upstream beyond loopback."),
    key("header_case", Word(|| words(route::HEADER_CASES)), Is("\"lower\""), "`preserve` writes names of fields as the caller spelled them, for HTTP/1 upstreams that need it."),
    key("proxy", Proxy, Says("`\"env\"`"), "The HTTP proxy on the way, by CONNECT. `\"env\"` is what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, never for loopback; `\"none\"` is the direct way."),
    key("headers", Table("route_headers"), None, "Fields to set and to remove."),
    key("callers", Table("route_callers"), None, "Who may use this route."),
    key("timeouts", Table("route_timeouts"), None, "Times of this route."),
    key("rejection", Table("rejection"), None, "What rejects the token, where it is another than the credential says; without `gap`."),
    key("inject", Table("inject"), None, "Where the token goes, if not where the credential says."),
    key("tls", Table("tls"), None, "TLS towards the upstream."),
];

#[rustfmt::skip]
const HEADERS: &[Key] = &[
    key("set", Map(Form::Header, &Secret), None, "Fields that every request gets, instead of the caller's. Values may be secrets."),
    key("remove", Many(&Kind::Form(Form::Header)), None, "Names of fields that no request keeps."),
];
