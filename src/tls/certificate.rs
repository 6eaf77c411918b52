//! What is read from a certificate that `rustls` does not tell: when it ends, and whom it names.

use std::fmt;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A name in a caller's certificate: one of its subject alternative names (RFC 5280 §4.2.1.6). The common name is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerName {
    /// Lower case, without final dot.
    Dns(String),
    /// As written: `spiffe://cluster.local/ns/default/sa/app`.
    Uri(String),
    /// An address.
    Address(IpAddr),
    /// A mail address, as written.
    Mail(String),
}

impl CallerName {
    /// The name that a text stands for; its form tells the kind.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must be a name as it stands in a certificate, such as \"app.example.net\"".to_owned());
        }
        if text.contains("://") {
            return Ok(Self::Uri(text.to_owned()));
        }
        if text.contains('@') {
            return Ok(Self::Mail(text.to_owned()));
        }
        if text.contains('*') {
            return Err("must be one name: patterns are not supported".to_owned());
        }
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !text.bytes().all(is_legal) {
            return Err(
                "must be a DNS name, a URI (spiffe://…), an IP address or a mail address of a certificate".to_owned()
            );
        }
        Ok(Self::dns(text))
    }

    fn dns(text: &str) -> Self {
        Self::Dns(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase())
    }

    fn of(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::DnsName(name) => Some(Self::dns(name.as_str())),
            GeneralName::UniformResourceIdentifier(uri) => Some(Self::Uri(uri.as_str().to_owned())),
            GeneralName::Rfc822Name(mail) => Some(Self::Mail(mail.as_str().to_owned())),
            GeneralName::IpAddress(octets) => address(octets.as_bytes()).map(Self::Address),
            _ => None,
        }
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Mail(text) => f.write_str(text),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The names in a certificate that has been verified. One that cannot be read names nobody.
pub fn caller_names(der: &[u8]) -> Vec<CallerName> {
    let Ok(certificate) = Certificate::from_der(der) else { return Vec::new() };
    match certificate.tbs_certificate().get_extension::<SubjectAltName>() {
        Ok(Some((_, SubjectAltName(names)))) => names.iter().filter_map(CallerName::of).collect(),
        _ => Vec::new(),
    }
}

/// What a server's certificate says of itself.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub ends: SystemTime,
    /// Who signed it (RFC 4514).
    pub issuer: String,
}

/// What a certificate says of itself; `None` if it cannot be read.
pub fn summary(der: &[u8]) -> Option<Summary> {
    let certificate = Certificate::from_der(der).ok()?;
    Some(Summary {
        names: caller_names(der).iter().map(ToString::to_string).collect(),
        ends: ends(der)?,
        issuer: certificate.tbs_certificate().issuer().to_string(),
    })
}

/// The end of a certificate's validity; `None` if it cannot be read.
pub(super) fn ends(der: &[u8]) -> Option<SystemTime> {
    let certificate = Certificate::from_der(der).ok()?;
    UNIX_EPOCH.checked_add(certificate.tbs_certificate().validity().not_after.to_unix_duration())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn signed(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_time() {
        let check = |year: i32, seconds: u64| {
            let der = signed(|params| params.not_after = date_time_ymd(year, 3, 1));
            assert_eq!(ends(&der).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs(), seconds, "{year}");
        };
        // UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
        check(2020, 1_583_020_800);
        check(2049, 2_498_169_600);
        check(2050, 2_529_705_600);
        assert_eq!(ends(b"no certificate"), None);
    }

    #[test]
    fn every_kind_of_subject_alternative_name_is_read_and_the_common_name_is_not() {
        let der = signed(|params| {
            params.distinguished_name.push(DnType::CommonName, "common.example");
            params.subject_alt_names = vec![
                SanType::DnsName("App.Example.net".try_into().unwrap()),
                SanType::URI("spiffe://cluster.local/ns/x".try_into().unwrap()),
                SanType::IpAddress([10, 0, 0, 7].into()),
                SanType::Rfc822Name("app@example.net".try_into().unwrap()),
            ];
        });
        let wanted = ["app.example.net", "spiffe://cluster.local/ns/x", "10.0.0.7", "app@example.net"];
        assert_eq!(caller_names(&der), wanted.map(|name| CallerName::parse(name).unwrap()));
        let told = summary(&der).unwrap();
        assert_eq!((told.names.len(), told.issuer.as_str()), (4, "CN=common.example"));
        assert!(summary(b"no certificate").is_none());
        assert_eq!(caller_names(&signed(|_| {})), []);
        assert_eq!(caller_names(b"no certificate"), []);
    }

    #[test]
    fn a_name_in_the_configuration_is_of_the_kind_that_its_form_says() {
        let check = |text: &str, wanted: CallerName| assert_eq!(CallerName::parse(text), Ok(wanted), "{text}");
        check("App.Example.net.", CallerName::Dns("app.example.net".to_owned()));
        check("10.0.0.7", CallerName::Address([10, 0, 0, 7].into()));
        check("::ffff:10.0.0.7", CallerName::Address([10, 0, 0, 7].into()));
        check("spiffe://Cluster/x", CallerName::Uri("spiffe://Cluster/x".to_owned()));
        check("a@b.c", CallerName::Mail("a@b.c".to_owned()));
        for wrong in ["", "*.example.net", "a b", "a/b", "ä"] {
            assert!(CallerName::parse(wrong).is_err(), "{wrong}");
        }
        // A DNS name that looks like an address is not that address.
        assert_ne!(CallerName::Dns("10.0.0.7".to_owned()), CallerName::parse("10.0.0.7").unwrap());
    }
}
