//! TLS towards a server: an upstream or a token endpoint.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::files::{self, Files, Role, Wanted};
use super::live::Recipe;
use super::{Identity, TlsError, VERSIONS, provider};

/// `[*.tls]` towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// A PEM file of authorities to trust instead of the platform's.
    pub ca: Option<PathBuf>,
    /// Shown where the server asks for a certificate.
    pub identity: Option<Identity>,
    /// The name to send and check instead of the URL's host.
    pub server_name: Option<String>,
}

impl Recipe for ClientSettings {
    type Config = ClientConfig;

    fn wanted(&self) -> Vec<Wanted> {
        files::wanted(self.ca.as_ref().map(|ca| (Role::Ca, ca)), self.identity.as_ref())
    }

    /// The given CA, else the platform's roots, else the compiled-in ones with a warning.
    fn make(&self, files: &Files) -> Result<ClientConfig, TlsError> {
        let roots = files.roots(Role::Ca)?.map_or_else(default_roots, Arc::new);
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(TlsError::Setup)?
            .with_root_certificates(roots);
        let mut config = match files.identity()? {
            Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
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
    use crate::tls::Client;
    use crate::tls::testing::{Authority, Directory};

    fn with_ca(content: &str) -> Result<Client, TlsError> {
        let directory = Directory::new();
        Client::load(ClientSettings { ca: Some(directory.write("ca.pem", content)), ..Default::default() })
    }

    #[test]
    fn without_a_ca_the_platforms_or_the_compiled_in_roots_are_trusted() {
        let client = Client::load(ClientSettings::default()).unwrap();
        assert_eq!(client.config().alpn_protocols, [b"http/1.1"]);
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
            let error = with_ca(content).unwrap_err();
            assert_eq!(error.role(), Some(Role::Ca));
            let error = error.to_string();
            assert!(error.contains("ca.pem") && error.contains(wanted), "{content:?} gave {error}");
        };
        check("", "no certificate");
        check("not pem at all", "no certificate");
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1");
        check("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n", "certificate 1");
        let missing = ClientSettings { ca: Some("/nonexistent/ca.pem".into()), ..Default::default() };
        assert!(Client::load(missing).unwrap_err().to_string().contains("/nonexistent/ca.pem"));
        // Whoever opened a pipe would wait for somebody who writes into it.
        for none in ["/dev/null", "/tmp"] {
            let none = ClientSettings { ca: Some(none.into()), ..Default::default() };
            assert!(crate::log::chain(&Client::load(none).unwrap_err()).contains("it is no file"));
        }
    }

    #[test]
    fn a_ca_file_may_hold_several_certificates() {
        let pem = |name: &str| Authority::new(name).pem();
        with_ca(&format!("# comment\n{}{}", pem("a"), pem("b"))).unwrap();
    }

    /// What is said of a certificate and a key file with these contents.
    fn check_identity(certificate: &str, key: &str, wanted: Option<(Role, &str)>) {
        let directory = Directory::new();
        let own = Identity { certificate: directory.write("c.pem", certificate), key: directory.write("k.pem", key) };
        let result = Client::load(ClientSettings { identity: Some(own), ..Default::default() });
        match (result, wanted) {
            (Ok(client), None) => assert!(client.config().client_auth_cert_resolver.has_certs()),
            (Err(error), Some((role, words))) => {
                assert_eq!(error.role(), Some(role), "{error}");
                assert!(error.to_string().contains(words), "{words:?} is not in {error}");
                assert!(!error.to_string().contains("c2VjcmV0"), "{error}");
            }
            (result, wanted) => panic!("{wanted:?}: {result:?}"),
        }
    }

    #[test]
    fn a_certificate_and_its_key_must_belong_together_and_be_readable() {
        let authority = Authority::new("us");
        let (certificate, key) = authority.issue("a.example", |_| {});
        let (other, other_key) = authority.issue("b.example", |_| {});
        check_identity(&certificate, &key, None);
        check_identity(&format!("{certificate}{key}"), &format!("{certificate}{key}"), None);
        check_identity(&format!("{certificate}{}", authority.pem()), &key, None);
        let foreign = Some((Role::Key, "is not that of the certificate in"));
        check_identity(&certificate, &other_key, foreign);
        check_identity(&other, &key, foreign);
        check_identity(
            &format!("{}{certificate}", authority.pem()),
            &key,
            Some((Role::Certificate, "must come first")),
        );
        check_identity(&key, &key, Some((Role::Certificate, "no certificate")));
        check_identity(&certificate, &certificate, Some((Role::Key, "no private key")));
        let broken = |kind: &str, text: &str| format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n");
        check_identity(&certificate, &broken("ENCRYPTED PRIVATE KEY", "c2VjcmV0"), Some((Role::Key, "encrypted")));
        let old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0\n\nc2VjcmV0";
        check_identity(&certificate, &broken("RSA PRIVATE KEY", old), Some((Role::Key, "encrypted")));
        check_identity(&certificate, &broken("PRIVATE KEY", "c2VjcmV0!"), Some((Role::Key, "not Base64")));
        check_identity(&certificate, &broken("PRIVATE KEY", "c2VjcmV0"), Some((Role::Key, "of no kind")));
        check_identity(&certificate, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", Some((Role::Key, "END line")));
    }

    #[test]
    fn nothing_that_prints_holds_a_key() {
        let directory = Directory::new();
        let own = directory.identity(&Authority::new("us"), "a.example");
        let key = std::fs::read_to_string(&own.key).unwrap();
        let client = Client::load(ClientSettings { identity: Some(own), ..Default::default() }).unwrap();
        let shown = format!("{client:?} {:?}", client.config());
        let line = key.lines().nth(1).unwrap();
        // The scalar of a P-256 key in PKCS#8 stands here.
        let der = rcgen::KeyPair::from_pem(&key).unwrap().serialize_der();
        let hex: String = der[36..68].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(line) && !shown.contains(&hex), "{shown}");
    }
}
