//! `[credentials.*.tls]` and `[routes.*.tls]`: TLS towards a server.

use super::reader::{Keys, Reader};
use super::value;
use crate::reason::Reason;
use crate::tls::{self, ClientSettings};

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.tls] and [routes.NAME.tls]",
    obeyed: &["ca", "server_name"],
    later: &["certificate", "key"],
    protective: &[],
};

pub(super) fn read(reader: &Reader<'_>) -> ClientSettings {
    let ca = reader.non_empty("ca").zip(reader.node("ca"));
    let settings = ClientSettings {
        ca: ca.map(|(path, node)| reader.context().resolve(&path, &node.place)),
        server_name: reader.parsed("server_name", value::server_name),
    };
    if settings.ca.is_some()
        && let Err(error) = tls::client_config(&settings)
    {
        reader.reject("ca", Reason::ConfigFile, crate::log::chain(&error));
    }
    settings
}
