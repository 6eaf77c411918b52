//! Client TLS: which roots are trusted.
//!
//! Owns the making of `rustls` configurations. There is no switch that turns verification off.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

/// `[*.tls]` towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// A PEM file of authorities to trust instead of the platform's.
    pub ca: Option<PathBuf>,
    /// The name to send and check instead of the URL's host.
    pub server_name: Option<String>,
}

/// A TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file cannot be read.
    #[error("cannot read the CA file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The CA file holds no certificate, or a broken one.
    #[error("the CA file {path} is not usable: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// A client configuration: the given CA, else the platform's roots, else the compiled-in ones with a warning.
///
/// # Errors
/// [`TlsError`] if a CA file was given and cannot be used.
pub fn client_config(settings: &ClientSettings) -> Result<Arc<ClientConfig>, TlsError> {
    todo!()
}
