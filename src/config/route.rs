//! `[routes.*]`: what is forwarded where, with which token.

use std::collections::HashMap;

use super::context::Context;
use super::credential::{Credential, server_url};
use super::listen::{self, Listener};
use super::mistake::Place;
use super::reader::{Keys, Reader};
use super::{ListenAddress, Timeouts};
use super::{callers, dpop, fields, inject, rejection, timeouts, tls, value, ways, words};
use crate::proxy::settings::{self, Callers, HeaderCase, Inject};
use crate::reason::Reason;
use crate::upstream::Protocol;

pub(super) const KEYS: Keys = Keys {
    name: "[routes.NAME]",
    obeyed: &[
        "listen",
        "path",
        "host",
        "upstream",
        "allow_plain_http",
        "credential",
        "strip_path",
        "keep_host",
        "upstream_protocol",
        "upgrades",
        "rejection",
        "inject",
        "tls",
        "proxy",
        "timeouts",
        "headers",
        "header_case",
        "callers",
    ],
    later: &[],
    protective: &[],
};

pub(super) const PROTOCOLS: &[(&str, Protocol)] =
    &[("auto", Protocol::Auto), ("http1", Protocol::Http1), ("h2", Protocol::Http2)];

pub(super) const HEADER_CASES: &[(&str, HeaderCase)] =
    &[("lower", HeaderCase::Lower), ("preserve", HeaderCase::Preserve)];

/// A route, and what the checks over all routes need.
pub(super) struct Route {
    pub(super) name: String,
    pub(super) place: Place,
    /// `None` if it has mistakes.
    pub(super) settings: Option<super::Route>,
    /// Its own listeners; empty if it uses those at the top.
    pub(super) listeners: Vec<Listener>,
    /// What tells it from others on the same listener.
    pub(super) host: Option<String>,
    pub(super) path: String,
    pub(super) credential: Option<String>,
    pub(super) inject: Inject,
    /// Whether rules of its own say who may call from other machines.
    pub(super) says_who: bool,
}

/// One entry of `routes`.
pub(super) fn read(
    reader: &Reader<'_>,
    name: &str,
    credentials: &[Credential],
    (general, callers): (&Timeouts, &Callers),
) -> Route {
    let chosen = credential(reader, credentials);
    let credential = chosen.flatten();
    let base_rejection = credential.map_or_else(rejection::default, |credential| credential.rejection.clone());
    let base_inject = credential.map_or_else(|| inject::default(false), |credential| credential.inject.clone());
    let rejections = reader.table("rejection", &rejection::KEYS);
    rejection::refuse_gap(&rejections);
    let rejection = rejection::read(&rejections, &base_rejection);
    let inject = inject::read(&reader.table("inject", &inject::KEYS), &base_inject);
    let is_bound = credential.is_some_and(|credential| credential.is_bound);
    if is_bound {
        dpop::check_route(reader, &inject);
    }
    if matches!(chosen, Some(None)) {
        refuse_token_tables(reader);
    }
    let listeners = listen::read(reader, "listen").unwrap_or_default();
    let upstream = upstream(reader);
    let mut tls = tls::read(&reader.table("tls", &tls::KEYS));
    // A token that is bound to a certificate is of use with that one alone (RFC 8705 §3).
    tls.identity = tls.identity.or_else(|| credential.and_then(Credential::bound_to).cloned());
    let proxy = upstream.as_ref().and_then(|(_, origin)| ways::read(reader, origin));
    let host = reader.parsed("host", value::host);
    let path = reader.parsed("path", value::route_path).unwrap_or_else(|| "/".to_owned());
    let strip_path = reader.boolean("strip_path").unwrap_or(true);
    let keep_host = reader.boolean("keep_host").unwrap_or(false);
    let timeouts = timeouts::of_route(&reader.table("timeouts", &timeouts::ROUTE_KEYS), general);
    let injected = inject.header().filter(|_| credential.is_some());
    let proof = is_bound.then_some(&crate::dpop::FIELD);
    let fields = fields::read(&reader.table("headers", &fields::KEYS), &[injected, proof]);
    let header_case = reader.choice("header_case", HEADER_CASES, &[]).unwrap_or(HeaderCase::Lower);
    let protocol = reader.choice("upstream_protocol", PROTOCOLS, &[]).unwrap_or_default();
    let upgrades = reader.parsed_items("upgrades", value::upgrade);
    let upgrades =
        upgrades.map_or_else(|| vec!["websocket".to_owned()], |names| names.into_iter().map(|(n, _)| n).collect());
    let credential = credential.map(|credential| credential.name.clone());
    let listen: Vec<_> = listeners.iter().map(|listener| listener.address.clone()).collect();
    let own_inject = inject.clone();
    let callers = callers::of_route(&reader.table("callers", &callers::ROUTE_KEYS), callers, name);
    let says_who = callers.as_ref().is_some_and(|callers| callers.from.is_some() || callers.key.is_some());
    let settings = upstream.map(|(upstream, origin)| settings::Route {
        name: name.to_owned(),
        host: host.clone(),
        path: path.clone(),
        upstream,
        origin,
        credential: credential.clone(),
        strip_path,
        keep_host,
        protocol,
        upgrades,
        rejection,
        inject,
        fields,
        header_case,
        timeouts,
        callers,
    });
    Route {
        name: name.to_owned(),
        place: reader.place().clone(),
        settings: settings.map(|route| super::Route { listen, route, tls, proxy }),
        listeners,
        host,
        path,
        credential,
        inject: own_inject,
        says_who,
    }
}

/// `Some(None)` for `"none"`; `None` if no choice could be made out, which has been recorded.
fn credential<'c>(reader: &Reader<'_>, all: &'c [Credential]) -> Option<Option<&'c Credential>> {
    const SNIPPET: &str = "add [credentials.NAME] with token_endpoint = \"https://…\", client_id = \"…\" and client_secret = \
        { file = \"…\" }, or write credential = \"none\" to forward without a token";
    let names: Vec<_> = all.iter().map(|credential| credential.name.as_str()).collect();
    if reader.has("credential") {
        let written = reader.text("credential")?;
        let found = all.iter().find(|credential| credential.name == written);
        if found.is_none() && written != "none" {
            let message = match names.as_slice() {
                [] => format!("there is no credential at all; {SNIPPET}"),
                names => {
                    let near = words::did_you_mean(written, names);
                    format!("there is no [credentials.{written}], only {}{near}", names.join(", "))
                }
            };
            reader.wrong("credential", message);
            return None;
        }
        return Some(found);
    }
    match all {
        [only] => Some(Some(only)),
        [] => {
            reader.reject("credential", Reason::ConfigMissing, format!("the route needs a credential: {SNIPPET}"));
            None
        }
        _ => {
            let message = format!("must be written, as there are several: {} (or \"none\")", words::one_of(&names));
            reader.reject("credential", Reason::ConfigMissing, message);
            None
        }
    }
}

fn refuse_token_tables(reader: &Reader<'_>) {
    for key in ["rejection", "inject"].into_iter().filter(|key| reader.has(key)) {
        let message = "means nothing with credential = \"none\", which sends no token";
        reader.reject(key, Reason::ConfigContradiction, message);
    }
}

fn upstream(reader: &Reader<'_>) -> Option<(http::Uri, crate::upstream::Origin)> {
    let (uri, origin) = server_url(reader, "upstream", "https://api.example.com")?;
    if uri.query().is_some() {
        reader.wrong("upstream", "must not have a query (?…): it is an origin and a base path");
        return None;
    }
    if let Err(message) = value::plain_path(uri.path()) {
        reader.wrong("upstream", format!("its path {message}"));
        return None;
    }
    Some((uri, origin))
}

/// Records routes that the same request would match. `shared` are the listeners at the top.
pub(super) fn check_duplicates(context: &Context<'_>, routes: &[Route], shared: &[Listener]) {
    let addresses = |route: &Route| {
        let own = if route.listeners.is_empty() { shared } else { &route.listeners };
        own.iter().map(|listener| listener.address.clone()).collect::<Vec<_>>()
    };
    // Only those that ask for the same are compared: there may be thousands of others.
    let mut before: HashMap<_, Vec<&Route>> = HashMap::new();
    for route in routes {
        let earlier = before.entry((&route.host, &route.path)).or_default();
        let same = earlier.iter().find(|other| {
            // Port 0 is another port for each route that asks for one of its own.
            let are_apart = |address: &ListenAddress| {
                address.wants_free_port() && !(route.listeners.is_empty() && other.listeners.is_empty())
            };
            addresses(route).iter().any(|a| addresses(other).contains(a) && !are_apart(a))
        });
        if let Some(other) = same {
            let message = format!(
                "takes the same requests as routes.{}: give one of them another path, host or listen",
                other.name
            );
            let key = format!("routes.{}", route.name);
            context.mistake(route.place.clone(), Reason::ConfigContradiction, key, message);
        }
        earlier.push(route);
    }
}
