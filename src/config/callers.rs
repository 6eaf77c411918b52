//! `[callers]` and `[routes.*.callers]`: who may use the proxy, or one route of it.

use http::HeaderName;
use ipnet::IpNet;

use super::reader::{Keys, Reader};
use super::{accounts, inject, secret, value};
use crate::proxy::settings::{CallerKey, Callers};
use crate::reason::Reason;
use crate::tls::CallerName;

pub(super) const KEYS: Keys = Keys {
    name: "[callers]",
    obeyed: &["hosts", "from", "client_names", "uids", "gids", "key", "key_header"],
    later: &[],
    // Whatever a newer version knows here, it keeps somebody out.
    protective: &["*"],
};

pub(super) const ROUTE_KEYS: Keys = Keys {
    name: "[routes.NAME.callers]",
    obeyed: &["hosts", "from", "uids", "gids", "key", "key_header"],
    later: &["client_names"],
    protective: &["*"],
};

/// Where the shared key is unless written.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-bearerd-key");

/// `[callers]`. `certificates` is whether callers are asked for one.
pub(super) fn read(reader: &Reader<'_>, certificates: bool) -> Callers {
    let client_names = reader.parsed_items("client_names", CallerName::parse);
    if reader.items("client_names").is_some_and(<[_]>::is_empty) {
        reader.wrong("client_names", "would let nobody in; leave it out to allow every certificate of tls.client_ca");
    }
    if client_names.is_some() && !certificates {
        let message = "needs certificates to look at: add to [tls]: client_ca = \"client-ca.pem\"";
        reader.reject("client_names", Reason::ConfigContradiction, message);
    }
    let table = || "[callers]".to_owned();
    let base = Callers {
        hosts: Vec::new(),
        hosts_in: table(),
        from: None,
        from_in: table(),
        client_names: client_names.map(|names| names.into_iter().map(|(name, _)| name).collect()),
        accounts: None,
        key: None,
    };
    overlaid(reader, &base, &table())
}

/// `[routes.NAME.callers]`: what is written there, the rest from `[callers]`. `None` if nothing is.
pub(super) fn of_route(reader: &Reader<'_>, base: &Callers, route: &str) -> Option<Callers> {
    let table = format!("[{}]", super::reader::dotted(&super::reader::dotted("routes", route), "callers"));
    reader.is_written().then(|| overlaid(reader, base, &table))
}

fn overlaid(reader: &Reader<'_>, base: &Callers, table: &str) -> Callers {
    let mut callers = base.clone();
    if let Some(hosts) = reader.parsed_items("hosts", value::host) {
        callers.hosts = hosts.into_iter().map(|(host, _)| host).collect();
        table.clone_into(&mut callers.hosts_in);
    }
    if let Some(from) = reader.parsed_items("from", ranges) {
        callers.from = Some(from.into_iter().flat_map(|(ranges, _)| ranges).collect());
        table.clone_into(&mut callers.from_in);
    }
    if reader.items("from").is_some_and(<[_]>::is_empty) {
        reader.reject(
            "from",
            Reason::ConfigWrongValue,
            "would let nobody in; leave it out to listen on loopback alone",
        );
    }
    if let Some(accounts) = accounts::read(reader, table) {
        callers.accounts = Some(accounts);
    }
    callers.key = key(reader, base.key.as_ref());
    callers
}

fn key(reader: &Reader<'_>, base: Option<&CallerKey>) -> Option<CallerKey> {
    let header = reader.parsed("key_header", inject::injectable);
    let source = match reader.has("key") {
        true => secret::non_empty(reader, "key"),
        false => base.map(|key| key.source.clone()),
    };
    if header.is_some() && source.is_none() && !reader.has("key") {
        reader.reject("key_header", Reason::ConfigContradiction, "needs a key: key = { file = \"…\" }");
    }
    let header = header.or_else(|| base.map(|key| key.header.clone())).unwrap_or(KEY_HEADER);
    Some(CallerKey { source: source?, header })
}

fn ranges(text: &str) -> Result<Vec<IpNet>, String> {
    let words = match text {
        "any" => &["0.0.0.0/0", "::/0"][..],
        "loopback" => &["127.0.0.0/8", "::1/128"],
        other => &[other],
    };
    let parse = |word: &&str| {
        let range = word.parse::<IpNet>().or_else(|error| match word.parse::<std::net::IpAddr>() {
            Ok(address) => Ok(IpNet::from(address)),
            Err(_) => Err(error),
        });
        range.map(|range| range.trunc())
    };
    let parsed: Result<Vec<_>, _> = words.iter().map(parse).collect();
    parsed.map_err(|_| "must be address ranges such as \"10.0.0.0/8\", \"loopback\", or \"any\"".to_owned())
}
