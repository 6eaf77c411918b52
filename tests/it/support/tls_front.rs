//! TLS in front of a scripted server or behind a plain client, with certificates made for the test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate authority of this test alone.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

/// The certificates that clients showed to a front, in their order.
pub(crate) type Shown = Arc<Mutex<Vec<CertificateDer<'static>>>>;

impl Pair {
    /// A certificate that signed itself.
    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Writes both as `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        std::fs::write(directory.join(format!("{name}.pem")), &self.certificate).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), &self.key).unwrap();
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        let key = KeyPair::from_pem(&self.key).unwrap();
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Two authorities of one name would be told apart by their keys alone.
        params.distinguished_name.push(DnType::CommonName, format!("authority {:?}", key.public_key_raw()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// Writes its certificate where a configuration can name it.
    pub(crate) fn file(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// A certificate for `name`, which may be a URI.
    pub(crate) fn issue(&self, name: &str) -> Pair {
        self.issue_until(name, 4096)
    }

    /// The same, with an end at the beginning of that year.
    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Pair {
        let key = KeyPair::generate().unwrap();
        let is_uri = name.contains("://");
        let mut params = CertificateParams::new(if is_uri { Vec::new() } else { vec![name.to_owned()] }).unwrap();
        if is_uri {
            params.subject_alt_names.push(SanType::URI(name.try_into().unwrap()));
        }
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Lets `server` be reached by TLS under `name`; returns the port to reach it by.
    pub(crate) fn front(&self, name: &str, server: SocketAddr) -> SocketAddr {
        self.front_until(name, server, 4096)
    }

    /// The same with a certificate that ends with that year.
    pub(crate) fn front_until(&self, name: &str, server: SocketAddr, year: i32) -> SocketAddr {
        front_with(&self.issue_until(name, year), server)
    }

    /// A front that chooses one of these protocols (ALPN).
    pub(crate) fn front_offering(&self, name: &str, server: SocketAddr, protocols: &[&str]) -> SocketAddr {
        front_speaking(&self.issue(name), server, protocols)
    }

    /// A front that lets in only clients with a certificate of this authority, and keeps what they show.
    pub(crate) fn front_for_clients(&self, name: &str, server: SocketAddr) -> (SocketAddr, Shown) {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider()).build().unwrap();
        let pair = self.issue(name);
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![pair.der.clone()], pair.private_key())
            .unwrap();
        let shown = Shown::default();
        (serve(TlsAcceptor::from(Arc::new(config)), server, Arc::clone(&shown)), shown)
    }

    /// Lets plain clients reach a TLS server of this authority that calls itself localhost; each connection makes one
    /// handshake, and one that fails ends the client's connection.
    pub(crate) fn tunnel(&self, to: SocketAddr, own: Option<&Pair>) -> SocketAddr {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let config = match own {
            Some(own) => builder.with_client_auth_cert(vec![own.der.clone()], own.private_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let connector = TlsConnector::from(Arc::new(config));
        listen(move |mut client| {
            let connector = connector.clone();
            async move {
                let name = ServerName::try_from("localhost").unwrap();
                if let Ok(stream) = TcpStream::connect(to).await
                    && let Ok(mut server) = connector.connect(name, stream).await
                {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            }
        })
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }
}

/// Lets `server` be reached by TLS with this certificate.
pub(crate) fn front_with(pair: &Pair, server: SocketAddr) -> SocketAddr {
    front_speaking(pair, server, &[])
}

fn front_speaking(pair: &Pair, server: SocketAddr, protocols: &[&str]) -> SocketAddr {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.der.clone()], pair.private_key())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    serve(TlsAcceptor::from(Arc::new(config)), server, Shown::default())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes TLS off each connection and passes the bytes on.
fn serve(acceptor: TlsAcceptor, server: SocketAddr, shown: Shown) -> SocketAddr {
    listen(move |stream| {
        let (acceptor, shown) = (acceptor.clone(), Arc::clone(&shown));
        async move {
            if let Ok(mut caller) = acceptor.accept(stream).await
                && let Ok(mut server) = TcpStream::connect(server).await
            {
                let own = caller.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
                shown.lock().unwrap().extend(own.map(CertificateDer::into_owned));
                // The end of either side is part of many tests.
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
            }
        }
    })
}

/// Serves each connection in a task of a thread that ends with the test process.
fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    });
    address
}
