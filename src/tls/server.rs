//! TLS towards the callers.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use super::files::{self, Files, Role, Wanted};
use super::live::Recipe;
use super::{Identity, TlsError, VERSIONS, provider};

/// What is offered to callers by ALPN (RFC 7301), the best first. Some clients that are told to speak HTTP/1.0 say so here.
pub(crate) const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1", b"http/1.0"];

/// `[tls]`: what callers are shown, and what they must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Our certificate.
    pub identity: Identity,
    /// A PEM file of authorities; a caller without a certificate of theirs is refused. `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

impl Recipe for ServerSettings {
    type Config = ServerConfig;

    fn wanted(&self) -> Vec<Wanted> {
        files::wanted(self.client_ca.as_ref().map(|ca| (Role::ClientCa, ca)), Some(&self.identity))
    }

    fn make(&self, files: &Files) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(TlsError::Setup)?;
        let other =
            |error: rustls::server::VerifierBuilderError| TlsError::Setup(rustls::Error::General(error.to_string()));
        let builder = match files.roots(Role::ClientCa)? {
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                builder.with_client_cert_verifier(verifier.build().map_err(other)?)
            }
            None => builder.with_no_client_auth(),
        };
        let missing = || TlsError::Setup(rustls::Error::NoCertificatesPresented);
        let own = files.identity()?.ok_or_else(missing)?;
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        if self.client_ca.is_some() {
            // A resumed session would skip the look at a certificate that may have ended since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }
}
