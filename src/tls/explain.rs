//! Why a handshake failed, in one line for a person.

use std::error::Error;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// What the TLS library said, if it is the cause of an error.
pub fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An `io::Error` that wraps another does not give it as its source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| wrapped.and_then(|wrapped| wrapped.downcast_ref()));
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}

/// What was wrong with a server or its certificate.
pub fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate(problem, &SERVER),
        rustls::Error::AlertReceived(alert) => alert_of_server(*alert),
        rustls::Error::PeerIncompatible(problem) => {
            format!("the server has no TLS version or cipher that is acceptable ({problem:?})")
        }
        rustls::Error::NoCertificatesPresented => "the server showed no certificate".to_owned(),
        other if is_no_tls(other) => "the server does not speak TLS on this port".to_owned(),
        other => other.to_string(),
    }
}

/// What was wrong with a caller or its certificate.
pub fn explain_caller(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate(problem, &CALLER),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                format!("the caller did not accept our certificate ({alert:?})")
            }
            AlertDescription::CertificateExpired => "the caller found our certificate expired".to_owned(),
            alert => format!("the caller ended the handshake ({alert:?})"),
        },
        rustls::Error::PeerIncompatible(problem) => {
            format!("the caller has no TLS version or cipher that is acceptable ({problem:?})")
        }
        rustls::Error::NoCertificatesPresented => "the caller showed no certificate".to_owned(),
        rustls::Error::NoApplicationProtocol => "the caller speaks no HTTP version that is offered here".to_owned(),
        other if is_no_tls(other) => "the caller does not speak TLS, which this listener does: https://".to_owned(),
        other => other.to_string(),
    }
}

fn is_no_tls(error: &rustls::Error) -> bool {
    use InvalidMessage::{InvalidContentType, UnknownProtocolVersion};
    matches!(error, rustls::Error::InvalidMessage(InvalidContentType | UnknownProtocolVersion))
}

fn alert_of_server(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::ProtocolVersion | Alert::InsufficientSecurity => {
            format!("the server has no TLS version or cipher that is acceptable ({alert:?})")
        }
        Alert::CertificateRequired | Alert::NoCertificate => {
            format!("the server wants a client certificate; add certificate and key to its `tls` ({alert:?})")
        }
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::UnsupportedCertificate
        | Alert::AccessDenied => {
            format!("the server did not accept our client certificate, or our having none ({alert:?})")
        }
        Alert::UnrecognisedName => "the server knows no such name; `tls.server_name` can send another".to_owned(),
        alert => format!("the server ended the handshake ({alert:?})"),
    }
}

/// How the two sides differ in the telling.
struct Side {
    who: &'static str,
    untrusted: &'static str,
}

const SERVER: Side =
    Side { who: "the server", untrusted: "(self-signed, or a private authority that `tls.ca` must name)" };

const CALLER: Side = Side { who: "the caller", untrusted: "(none in `tls.client_ca`)" };

fn certificate(problem: &CertificateError, side: &Side) -> String {
    let who = side.who;
    match problem {
        CertificateError::NotValidForName => format!("{who}'s certificate is for another name"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().take(4).map(|name| readable_name(name)).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            format!("{who}'s certificate is not for {:?} but for {names}", &*expected.to_str())
        }
        CertificateError::Expired => format!("{who}'s certificate has expired"),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("{who}'s certificate expired on {}", date(*not_after))
        }
        CertificateError::NotValidYet => format!("{who}'s certificate is not valid yet"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("{who}'s certificate is not valid before {}", date(*not_before))
        }
        CertificateError::UnknownIssuer => {
            format!("{who}'s certificate comes from an authority that is not trusted {}", side.untrusted)
        }
        CertificateError::BadSignature => {
            format!("{who}'s certificate is signed by an authority of a trusted name but with another key")
        }
        // `rustls` has no word of its own for what `openssl req -x509` makes: an authority that signed itself.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            format!(
                "{who} shows the certificate of an authority as its own (self-signed, perhaps), which is not acceptable"
            )
        }
        other => format!("{who}'s certificate is not acceptable: {other}"),
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
