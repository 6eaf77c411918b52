//! TLS on both sides: what the files hold, what the configurations made of them allow, what a failed handshake means.
//!
//! Owns the making of `rustls` configurations, their renewal when a file changes ([`Watch`]), the names and the end of
//! certificates, and the one-line explanation of handshake failures. The cryptography is `ring`, named explicitly, so
//! that no second provider can be picked up by accident. Versions are 1.2 and 1.3. There is no switch that turns
//! verification off, and nothing that prints holds a private key.

mod certificate;
mod client;
mod explain;
mod files;
mod live;
mod server;
#[cfg(test)]
pub(crate) mod testing;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;

pub use certificate::{CallerName, Summary, caller_names, summary};
pub use client::ClientSettings;
pub use explain::{cause, explain, explain_caller};
pub use files::Role;
pub use live::{Live, Recipe};
pub use server::ServerSettings;
pub use watch::Watch;

/// TLS towards one server, as its files are now.
pub type Client = Live<ClientSettings>;

/// TLS towards the callers, as its files are now.
pub type Server = Live<ServerSettings>;

/// A certificate and its key, both PEM; they may be one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by the intermediate ones.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// A TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read the {role} {path}")]
    Unreadable {
        /// What it is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not hold what it should.
    #[error("the {role} {path} is not usable: {problem}")]
    Malformed {
        /// What it is for.
        role: Role,
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never any of its content.
        problem: String,
    },
    /// The TLS library refuses the whole: a mistake in how bearerd was built.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    /// Which of the files is to blame.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Unreadable { role, .. } | Self::Malformed { role, .. } => Some(*role),
            Self::Setup(_) => None,
        }
    }

    fn malformed(role: Role, path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { role, path: path.to_owned(), problem: problem.into() }
    }
}

/// Nothing older: TLS 1.0 and 1.1 must not be used (RFC 8996).
static VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The name that a certificate must carry.
pub(crate) fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}
