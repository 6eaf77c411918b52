//! The PEM files of one TLS configuration, as they were at one moment.
//!
//! Owns reading and parsing. What is compared for a change and what is used are the same bytes, so that a file which
//! changes in between cannot be missed. Keys are wiped after use; no error shows content.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::digest;
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize, Zeroizing};

use super::{Identity, TlsError, certificate};

/// More is no PEM file of ours: the whole platform store is a few hundred KiB.
const LARGEST: u64 = 8 << 20;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Authorities that a server's certificate may come from.
    Ca,
    /// Authorities that a caller's certificate may come from.
    ClientCa,
    /// Our own certificate.
    Certificate,
    /// Its private key.
    Key,
}

impl Role {
    /// How the configuration calls it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::ClientCa => "client_ca",
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ca => "CA file",
            Self::ClientCa => "CA file for callers",
            Self::Certificate => "certificate file",
            Self::Key => "key file",
        })
    }
}

/// A digest over what the files hold.
pub(super) type Print = [u8; 32];

/// A file that is wanted.
pub(super) type Wanted = (Role, PathBuf);

/// What the files held when they were read. Has no `Debug`: one of them is a private key.
pub struct Files(Vec<Pem>);

struct Pem {
    role: Role,
    path: PathBuf,
    content: io::Result<Zeroizing<Vec<u8>>>,
}

/// The files that `ca` and an identity name.
pub(super) fn wanted(ca: Option<(Role, &PathBuf)>, identity: Option<&Identity>) -> Vec<Wanted> {
    let own = identity.map(|own| [(Role::Certificate, own.certificate.clone()), (Role::Key, own.key.clone())]);
    ca.map(|(role, path)| (role, path.clone())).into_iter().chain(own.into_iter().flatten()).collect()
}

impl Files {
    /// Reads them all. A file that cannot be read is known as such until it is needed.
    pub(super) fn read(wanted: &[Wanted]) -> Self {
        let read = |(role, path): &Wanted| Pem { role: *role, path: path.clone(), content: read(path) };
        Self(wanted.iter().map(read).collect())
    }

    /// Changes with every byte of every file.
    pub(super) fn print(&self) -> Print {
        let mut context = digest::Context::new(&digest::SHA256);
        for pem in &self.0 {
            match &pem.content {
                Ok(bytes) => context.update(digest::digest(&digest::SHA256, bytes).as_ref()),
                Err(error) => context.update(error.kind().to_string().as_bytes()),
            }
        }
        let mut print = [0; 32];
        for (to, from) in print.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        print
    }

    /// The authorities of a file; `None` if there is no such file.
    pub(super) fn roots(&self, role: Role) -> Result<Option<RootCertStore>, TlsError> {
        let Some(pem) = self.of(role) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for (index, certificate) in pem.certificates()?.into_iter().enumerate() {
            let number = index.saturating_add(1);
            roots.add(certificate).map_err(|error| pem.unusable(format!("certificate {number}: {error}")))?;
        }
        Ok(Some(roots))
    }

    /// The certificate with its key, proven to belong together; `None` if there are no such files.
    pub(super) fn identity(&self) -> Result<Option<CertifiedKey>, TlsError> {
        let (Some(certificate), Some(key)) = (self.of(Role::Certificate), self.of(Role::Key)) else { return Ok(None) };
        let chain = certificate.certificates()?;
        let signer = {
            let mut der = key.private_key()?;
            let signer = any_supported_type(&der);
            der.zeroize();
            signer.map_err(|_| {
                key.unusable(
                    "its key is of no kind that can be used: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519",
                )
            })?
        };
        let matches = |chain: Vec<CertificateDer<'static>>| CertifiedKey::new(chain, signer.clone()).keys_match();
        match matches(chain.clone()) {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let shown = certificate.path.display();
                let is_later = chain.iter().skip(1).any(|later| matches(vec![later.clone()]).is_ok());
                return Err(if is_later {
                    certificate.unusable("the certificate of the key must come first, the intermediate ones after it")
                } else {
                    key.unusable(format!("its key is not that of the certificate in {shown}"))
                });
            }
            Err(error) => return Err(certificate.unusable(format!("certificate 1: {error}"))),
        }
        Ok(Some(CertifiedKey::new(chain, signer)))
    }

    /// When what a file holds ends: our own chain with the first of its certificates, authorities with the last of them, since
    /// a bundle keeps old ones beside their successors. Certificates that say it in no known way are left out.
    pub(super) fn ends(&self) -> Vec<(Role, SystemTime)> {
        let end = |pem: &Pem| {
            let all = pem.certificates().ok()?;
            let ends = all.iter().filter_map(|der| certificate::ends(der));
            let end = if pem.role == Role::Certificate { ends.min() } else { ends.max() };
            Some((pem.role, end?))
        };
        self.0.iter().filter(|pem| pem.role != Role::Key).filter_map(end).collect()
    }

    fn of(&self, role: Role) -> Option<&Pem> {
        self.0.iter().find(|pem| pem.role == role)
    }
}

impl Pem {
    fn bytes(&self) -> Result<&[u8], TlsError> {
        self.content.as_deref().map(Vec::as_slice).map_err(|error| {
            // An `io::Error` cannot be cloned.
            let source = error
                .raw_os_error()
                .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error);
            TlsError::Unreadable { role: self.role, path: self.path.clone(), source }
        })
    }

    /// All certificates, at least one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let mut all = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(self.bytes()?) {
            let number = all.len().saturating_add(1);
            // The file may hold a key too, so what the reader stumbled over is not shown.
            let broken = |error: pem::Error| self.unusable(format!("certificate {number}: {}", defect(&error)));
            all.push(certificate.map_err(broken)?);
        }
        if all.is_empty() {
            return Err(self.unusable("it holds no certificate in PEM form"));
        }
        Ok(all)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let bytes = self.bytes()?;
        PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
            pem::Error::NoItemsFound if contains(bytes, b"ENCRYPTED PRIVATE KEY") => {
                self.unusable("its key is encrypted and nobody is there to be asked; openssl pkey writes it without")
            }
            pem::Error::NoItemsFound => self.unusable("it holds no private key in PEM form"),
            _ if contains(bytes, b"Proc-Type: 4,ENCRYPTED") => {
                self.unusable("its key is encrypted and nobody is there to be asked; openssl pkey writes it without")
            }
            other => self.unusable(defect(&other)),
        })
    }

    fn unusable(&self, problem: impl Into<String>) -> TlsError {
        TlsError::malformed(self.role, &self.path, problem)
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Looked at before it is opened: to open a pipe may wait for ever.
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file but a directory, pipe or device"));
    }
    // In one piece, since a buffer that grows leaves copies behind, and it may be a key.
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(found.len().min(LARGEST)).unwrap_or_default() + 64));
    std::fs::File::open(path)?.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 8 MiB"));
    }
    Ok(bytes)
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// What is wrong with a PEM file, without any of its content.
fn defect(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its END line is missing",
        pem::Error::Base64Decode(_) => "what stands between its BEGIN and END lines is not Base64",
        _ => "it is not valid PEM",
    }
}
