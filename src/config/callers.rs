//! `[callers]`: who may use the proxy.

use ipnet::IpNet;

use super::reader::{Keys, Reader};
use super::value;
use crate::reason::Reason;
use crate::tls::CallerName;

pub(super) const KEYS: Keys = Keys {
    name: "[callers]",
    obeyed: &["hosts", "from", "client_names"],
    later: &["uids", "gids", "key", "key_header"],
    // Whatever a newer version knows here, it keeps somebody out.
    protective: &["*"],
};

/// `[callers]`, read.
pub(super) struct Callers {
    pub(super) hosts: Vec<String>,
    /// `None` if not written.
    pub(super) from: Option<Vec<IpNet>>,
    /// `None` if not written.
    pub(super) client_names: Option<Vec<CallerName>>,
}

/// `certificates` is whether callers are asked for one.
pub(super) fn read(reader: &Reader<'_>, certificates: bool) -> Callers {
    let hosts = reader.parsed_items("hosts", value::host).unwrap_or_default();
    let from = reader.parsed_items("from", ranges);
    if reader.items("from").is_some_and(<[_]>::is_empty) {
        reader.reject(
            "from",
            Reason::ConfigWrongValue,
            "would let nobody in; leave it out to listen on loopback alone",
        );
    }
    let client_names = reader.parsed_items("client_names", CallerName::parse);
    if reader.items("client_names").is_some_and(<[_]>::is_empty) {
        reader.wrong("client_names", "would let nobody in; leave it out to allow every certificate of tls.client_ca");
    }
    if client_names.is_some() && !certificates {
        let message = "needs certificates to look at: add to [tls]: client_ca = \"client-ca.pem\"";
        reader.reject("client_names", Reason::ConfigContradiction, message);
    }
    Callers {
        hosts: hosts.into_iter().map(|(host, _)| host).collect(),
        client_names: client_names.map(|names| names.into_iter().map(|(name, _)| name).collect()),
        from: from.map(|from| from.into_iter().flat_map(|(ranges, _)| ranges).collect()),
    }
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
