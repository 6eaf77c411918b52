//! Client TLS: which roots are trusted, and what a failed handshake means.
//!
//! Owns the making of `rustls` configurations and the one-line explanation of handshake failures. The
//! cryptography is `ring`, named explicitly, so that no second provider can be picked up by accident. There is
//! no switch that turns verification off.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};

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
    /// The TLS library offers no protocol version that we accept: a mistake in how bearerd was built.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// A client configuration: the given CA, else the platform's roots, else the compiled-in ones with a warning.
///
/// # Errors
/// [`TlsError`] if a CA file was given and cannot be used.
pub fn client_config(settings: &ClientSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match &settings.ca {
        Some(path) => Arc::new(roots_of_file(path)?),
        None => default_roots(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// One line for a person: what was wrong with the peer or its certificate.
pub fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => explain_certificate(problem),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the server does not speak TLS on this port".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the server ended the handshake ({alert:?})"),
        rustls::Error::PeerIncompatible(problem) => {
            format!("the server has no TLS version or cipher that is acceptable ({problem:?})")
        }
        rustls::Error::NoCertificatesPresented => "the server showed no certificate".to_owned(),
        other => other.to_string(),
    }
}

fn explain_certificate(problem: &CertificateError) -> String {
    match problem {
        CertificateError::NotValidForName => "the server's certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().take(4).map(|name| readable_name(name)).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            format!("the server's certificate is not for {:?} but for {names}", &*expected.to_str())
        }
        CertificateError::Expired => "the server's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the server's certificate expired on {}", date(*not_after))
        }
        CertificateError::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate comes from an authority that is not trusted (self-signed, or a private authority that `tls.ca` must name)"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "the server's certificate is signed by an authority of a trusted name but with another key".to_owned()
        }
        other => format!("the server's certificate is not acceptable: {other}"),
    }
}

/// `DnsName("example.com")` as rustls presents it, without the wrapping.
fn readable_name(presented: &str) -> &str {
    presented.split('"').nth(1).unwrap_or(presented)
}

fn date(time: UnixTime) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs())) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => "a date that cannot be shown".to_owned(),
    }
}

/// The name that a certificate must carry.
pub(crate) fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let pem = std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })?;
    let malformed = |problem: String| TlsError::Malformed { path: path.to_owned(), problem };
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let number = index.saturating_add(1);
        let certificate = certificate.map_err(|error| malformed(format!("certificate {number}: {error}")))?;
        roots.add(certificate).map_err(|error| malformed(format!("certificate {number}: {error}")))?;
    }
    if roots.is_empty() {
        return Err(malformed("it holds no certificate in PEM form".to_owned()));
    }
    Ok(roots)
}

/// Read once per process: the platform's store is hundreds of files, and a warning is worth giving once.
fn default_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let problem = found.errors.first().map(ToString::to_string);
        Arc::new(platform_or_compiled_in(found.certs, problem.as_deref()))
    }))
}

fn platform_or_compiled_in(certificates: Vec<CertificateDer<'static>>, problem: Option<&str>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Platform stores hold the odd certificate that no modern parser takes; the others are still good.
    let (_, _ignored) = roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        let problem = problem.unwrap_or("none is installed");
        tracing::warn!("no CA certificates on this machine ({problem}); using those compiled into bearerd");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ca(content: &str) -> Result<Arc<ClientConfig>, TlsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        client_config(&ClientSettings { ca: Some(path), server_name: None })
    }

    #[test]
    fn without_a_ca_the_platforms_or_the_compiled_in_roots_are_trusted() {
        let config = client_config(&ClientSettings::default()).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        assert!(!default_roots().is_empty());
    }

    #[test]
    fn an_image_without_ca_certificates_falls_back_to_the_compiled_in_ones() {
        let roots = platform_or_compiled_in(Vec::new(), Some("no such directory"));
        assert_eq!(roots.len(), webpki_roots::TLS_SERVER_ROOTS.len());
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_an_error_that_names_it() {
        let check = |content: &str, wanted: &str| {
            let error = with_ca(content).unwrap_err().to_string();
            assert!(error.contains("ca.pem") && error.contains(wanted), "{content:?} gave {error}");
        };
        check("", "no certificate");
        check("not pem at all", "no certificate");
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1");
        check("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n", "certificate 1");
        let missing = ClientSettings { ca: Some("/nonexistent/ca.pem".into()), server_name: None };
        assert!(client_config(&missing).unwrap_err().to_string().contains("/nonexistent/ca.pem"));
    }

    #[test]
    fn a_ca_file_may_hold_several_certificates() {
        let pem = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
        with_ca(&format!("# comment\n{}{}", pem("a"), pem("b"))).unwrap();
    }
}
