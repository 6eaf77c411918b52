//! Where the fleet's entries are and how they are sealed: the typed, validated form of `[store]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::SecretSource;
use crate::tls::ClientSettings;
use crate::upstream::is_loopback_host;

/// `[store]`, where `kind` is not `memory`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the entries are.
    pub place: Place,
    /// What entries are sealed with: at least 32 characters, the same for the whole fleet.
    pub seal_key: SecretSource,
    /// The key before it, or after it, while not every instance has the other one.
    pub old_seal_key: Option<SecretSource>,
    /// How long one question to the store may take.
    pub timeout: Duration,
}

/// A place for entries.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
pub enum Place {
    /// Files of mode 0600 in a directory: for one instance over its restarts, and for several processes of one host.
    File {
        /// The directory; made if it is missing.
        directory: PathBuf,
    },
    /// A Redis or Valkey.
    Redis(Redis),
}

impl fmt::Display for Place {
    /// `files in /var/lib/bearerd/store`, `redis at cache:6379 with TLS`: without any secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { directory } => write!(f, "files in {}", directory.display()),
            Self::Redis(redis) => redis.fmt(f),
        }
    }
}

impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        let servers = servers.join(", ");
        let tls = if self.tls.is_some() { " with TLS" } else { "" };
        match &self.topology {
            Topology::Standalone if self.database == 0 => write!(f, "redis at {servers}{tls}"),
            Topology::Standalone => write!(f, "redis at {servers}, database {}{tls}", self.database),
            Topology::Sentinel { master } => write!(f, "redis {master:?} of the sentinels {servers}{tls}"),
            Topology::Cluster => write!(f, "redis cluster at {servers}{tls}"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How a Redis or Valkey is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Redis {
    /// The servers: of the data, or of Sentinel, or some nodes of a cluster. At least one.
    pub servers: Vec<Server>,
    /// Who is who among them.
    pub topology: Topology,
    /// The user of an ACL (Redis 6).
    pub username: Option<SecretSource>,
    /// The user's password, or the one of `requirepass`. Read again at each connection.
    pub password: Option<SecretSource>,
    /// The same for Sentinel, where that wants one.
    pub sentinel_username: Option<SecretSource>,
    /// The same for Sentinel, where that wants one.
    pub sentinel_password: Option<SecretSource>,
    /// The number of the database; 0 in clusters.
    pub database: u16,
    /// TLS towards the servers; `None` for plain TCP.
    pub tls: Option<ClientSettings>,
    /// Whether a password may go beyond this machine without TLS. Sentinels and nodes of a cluster name servers that no configuration does.
    pub allow_plain_tcp: bool,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// A host with its port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Server {
    /// Whether it can only be on this machine.
    pub fn is_here(&self) -> bool {
        match self {
            Self::Tcp(host, _) => is_loopback_host(host),
            Self::Unix(_) => true,
        }
    }
}

/// What the servers are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Standalone,
    /// Sentinel says who is the master of this name.
    Sentinel {
        /// The name of the master in Sentinel's configuration.
        master: String,
    },
    /// A cluster.
    Cluster,
}
