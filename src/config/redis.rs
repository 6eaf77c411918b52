//! The keys of `[store]` that belong to a Redis or Valkey: addresses, who is who, users, TLS.
//!
//! No message shows a URL: people write passwords there.

use std::path::PathBuf;

use http::Uri;

use super::mistake::Place;
use super::reader::Reader;
use super::{secret, store, tls, value};
use crate::reason::Reason;
use crate::secret::SecretSource;
use crate::store::settings::{Redis, Server, Topology};
use crate::tls::ClientSettings;

/// Those that nothing else has.
pub(super) const KEYS: &[&str] = &[
    "url",
    "sentinel",
    "cluster",
    "username",
    "password",
    "sentinel_username",
    "sentinel_password",
    "allow_plain_tcp",
    "tls",
];

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A URL in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    server: Server,
    is_tls: bool,
    database: u16,
}

/// `None` if it is not wanted, and if something is wrong.
pub(super) fn read(reader: &Reader<'_>, is_wanted: bool) -> Option<Redis> {
    let topology = topology(reader);
    let port = if matches!(topology, Topology::Sentinel { .. }) { SENTINEL_PORT } else { PORT };
    let urls = reader.parsed_items("url", |text| url(text, port));
    let users = Users::read(reader);
    let tls = reader.table("tls", &tls::KEYS);
    let (has_table, tls) = (tls.is_written(), tls::read(&tls));
    let allow_plain_tcp = reader.boolean("allow_plain_tcp").unwrap_or(false);
    if !is_wanted {
        return None;
    }
    let Some(urls) = urls else {
        reader.missing("url", "is required", "redis://localhost:6379/0");
        return None;
    };
    users.check(reader, &topology);
    let urls: Vec<_> = urls.into_iter().map(|(url, _)| url).collect();
    check_servers(reader, &urls, &topology);
    let tls = settings_of_tls(reader, &urls, has_table, tls);
    if users.has_password() && tls.is_none() && !allow_plain_tcp {
        refuse_plain(reader, &urls);
    }
    let database = urls.first().map_or(0, |url| url.database);
    let Users { username, password, sentinel_username, sentinel_password } = users;
    let servers = urls.into_iter().map(|url| url.server).collect();
    Some(Redis {
        servers,
        topology,
        username,
        password,
        sentinel_username,
        sentinel_password,
        database,
        tls,
        allow_plain_tcp,
    })
}

struct Users {
    username: Option<SecretSource>,
    password: Option<SecretSource>,
    sentinel_username: Option<SecretSource>,
    sentinel_password: Option<SecretSource>,
}

impl Users {
    fn read(reader: &Reader<'_>) -> Self {
        let read = |key| secret::non_empty(reader, key);
        Self {
            username: read("username"),
            password: read("password"),
            sentinel_username: read("sentinel_username"),
            sentinel_password: read("sentinel_password"),
        }
    }

    fn has_password(&self) -> bool {
        self.password.is_some() || self.sentinel_password.is_some()
    }

    fn check(&self, reader: &Reader<'_>, topology: &Topology) {
        for (user, password) in [("username", "password"), ("sentinel_username", "sentinel_password")] {
            if reader.has(user) && !reader.has(password) {
                reader.reject(
                    password,
                    Reason::ConfigMissing,
                    format!("is required beside {user}: {password} = {{ file = \"…\" }}"),
                );
            }
        }
        for key in ["sentinel_username", "sentinel_password"] {
            if reader.has(key) && !matches!(topology, Topology::Sentinel { .. }) {
                let message = "is for Sentinel alone: sentinel = \"NAME\" says which master it is asked for";
                reader.reject(key, Reason::ConfigContradiction, message);
            }
        }
    }
}

fn topology(reader: &Reader<'_>) -> Topology {
    let is_cluster = reader.boolean("cluster").unwrap_or(false);
    match reader.non_empty("sentinel") {
        Some(_) if is_cluster => {
            let message = "is not for clusters, which know by themselves who is who: remove one of the two";
            reader.reject("sentinel", Reason::ConfigContradiction, message);
            Topology::Cluster
        }
        Some(master) => Topology::Sentinel { master },
        None if is_cluster => Topology::Cluster,
        None => Topology::Standalone,
    }
}

/// What the URLs are to each other and to what stands beside them.
fn check_servers(reader: &Reader<'_>, urls: &[Url], topology: &Topology) {
    let refuse = |message: &str| reader.reject("url", Reason::ConfigContradiction, message);
    let Some(first) = urls.first() else {
        // An item that is wrong has been told of.
        if reader.items("url").is_some_and(<[_]>::is_empty) {
            reader.wrong("url", "must name one server at least");
        }
        return;
    };
    if urls.iter().any(|url| url.is_tls != first.is_tls) {
        refuse("holds redis:// beside rediss://: TLS is for all of them or for none");
    }
    if urls.iter().any(|url| url.database != first.database) {
        refuse("names different databases: it is one for all of them");
    }
    match topology {
        Topology::Standalone if urls.len() > 1 => {
            refuse("names several servers; say what they are to each other: sentinel = \"MASTER\" or cluster = true");
        }
        Topology::Cluster if first.database != 0 => refuse("names a database, and clusters have the first alone"),
        Topology::Sentinel { .. } | Topology::Cluster
            if urls.iter().any(|url| matches!(url.server, Server::Unix(_))) =>
        {
            refuse("names a Unix socket, and Sentinel and clusters name their servers by host and port");
        }
        _ => {}
    }
}

fn settings_of_tls(
    reader: &Reader<'_>,
    urls: &[Url],
    has_table: bool,
    settings: ClientSettings,
) -> Option<ClientSettings> {
    let is_tls = urls.iter().any(|url| url.is_tls);
    if has_table && !is_tls && !urls.is_empty() {
        let message = "is written, but the URL begins with redis:// (or unix://), which is plain: write rediss://";
        reader.reject("tls", Reason::ConfigContradiction, message);
    }
    is_tls.then_some(settings)
}

/// What is stored is sealed; what is said to get in is not.
fn refuse_plain(reader: &Reader<'_>, urls: &[Url]) {
    if urls.iter().all(|url| url.server.is_here()) {
        return;
    }
    let cure = match reader.node("url").map(|node| &node.place) {
        Some(Place::Flag(_) | Place::Variable(_)) => "in a file [store] allow_plain_tcp = true",
        _ => "allow_plain_tcp = true beside it",
    };
    let message = format!(
        "plain TCP beyond this machine would show the store's password to the network: what is stored is sealed, the \
         password is not; write rediss://, or add {cure}"
    );
    reader.reject("url", Reason::ConfigPlainHttp, message);
}

/// `redis://HOST:PORT/DATABASE`, `rediss://…`, `unix:///PATH?db=DATABASE`.
fn url(text: &str, port: u16) -> Result<Url, String> {
    let wrong = || format!("must be {}", store::forms());
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path.strip_prefix("//").unwrap_or(path));
    }
    if text.contains('#') {
        return Err("must not have a fragment (#…)".to_owned());
    }
    if !text.contains("://") {
        let host = if text.contains(['/', '@']) || text.is_empty() { "HOST:6379" } else { text };
        return Err(format!("must begin with redis:// or rediss://, such as \"redis://{host}/0\""));
    }
    let uri: Uri = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    let is_tls = match uri.scheme_str() {
        Some("redis" | "valkey") => false,
        Some("rediss" | "valkeys") => true,
        _ => return Err(wrong()),
    };
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') {
        let message =
            "must not hold a user or password: write username = \"…\" and password = { file = \"…\" } beside it";
        return Err(message.to_owned());
    }
    if uri.query().is_some() {
        return Err("must have no query: what can be chosen has keys of its own".to_owned());
    }
    let database = database(uri.path().strip_prefix('/').unwrap_or_default())?;
    let server = Server::Tcp(host(authority.host())?, written_port(authority.as_str())?.unwrap_or(port));
    Ok(Url { server, is_tls, database })
}

fn unix(path: &str) -> Result<Url, String> {
    let (path, number) = path.split_once("?db=").unwrap_or((path, ""));
    if !path.starts_with('/') || path.contains(['?', '\0']) {
        return Err("must be the path of a socket from the root on: \"unix:///run/redis/redis.sock\"".to_owned());
    }
    Ok(Url { server: Server::Unix(PathBuf::from(path)), is_tls: false, database: database(number)? })
}

fn host(written: &str) -> Result<String, String> {
    let host = written.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(written);
    value::server_name(host).map_err(|_| "must name a host by DNS name or IP address".to_owned())
}

/// `http` accepts any digits as a port, and none at all.
fn written_port(authority: &str) -> Result<Option<u16>, String> {
    match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        None => Ok(None),
        Some((_, port)) => match port.parse() {
            Ok(0) | Err(_) => Err("must have a port from 1 to 65535, or none".to_owned()),
            Ok(port) => Ok(Some(port)),
        },
    }
}

fn database(text: &str) -> Result<u16, String> {
    match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| "must end in the number of a database, such as /0, or in nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let tcp = |host: &str, port, is_tls, database| {
            Ok(Url { server: Server::Tcp(host.to_owned(), port), is_tls, database })
        };
        for (text, wanted) in [
            ("redis://localhost", tcp("localhost", 6379, false, 0)),
            ("redis://localhost:6380/", tcp("localhost", 6380, false, 0)),
            ("rediss://r.example:6379/15", tcp("r.example", 6379, true, 15)),
            ("rediss://10.0.0.1/2", tcp("10.0.0.1", 6379, true, 2)),
            ("redis://[::1]:7000/0", tcp("::1", 7000, false, 0)),
            ("valkeys://[::1]", tcp("::1", 6379, true, 0)),
        ] {
            assert_eq!(url(text, PORT), wanted, "{text}");
        }
        let unix =
            |path: &str, database| Ok(Url { server: Server::Unix(PathBuf::from(path)), is_tls: false, database });
        assert_eq!(url("unix:///run/r.sock", PORT), unix("/run/r.sock", 0));
        assert_eq!(url("unix:/run/r.sock?db=3", PORT), unix("/run/r.sock", 3));
        assert_eq!(url("redis://a", SENTINEL_PORT), tcp("a", 26379, false, 0));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_showing_it() {
        for (text, phrase) in [
            ("", "\"redis://HOST:6379/0\""),
            ("cache:6379", "\"redis://cache:6379/0\""),
            ("hunter2@cache:6379", "\"redis://HOST:6379/0\""),
            ("http://cache:6379", "must be \"redis://"),
            ("redis://user:hunter2@cache:6379/0", "password = { file"),
            ("redis://:hunter2@cache:6379/0", "username = "),
            ("redis://cache:0/0", "port from 1"),
            ("redis://cache:/0", "port from 1"),
            ("redis://cache:99999/0", ""),
            ("redis://cache/0?timeout=hunter2", "no query"),
            ("redis://cache/hunter2", "number of a database"),
            ("redis://cache/70000", "number of a database"),
            ("redis://cache/0#hunter2", "fragment"),
            ("redis://ca che/0", "not a URL"),
            ("redis:///0", ""),
            ("unix://run/redis.sock", "unix:///run"),
            ("unix:///run/r?db=x", "number of a database"),
            ("unix:///run/r?password=hunter2", "unix:///run"),
        ] {
            let message = url(text, PORT).unwrap_err();
            assert!(message.contains(phrase) && !message.contains("hunter2"), "{text}: {message}");
        }
    }
}
