//! Which options curl has, and what of each matters to a token request.

/// What an option is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Url,
    Method,
    Get,
    Head,
    /// `--data` and its kin: joined with `&`, taken as written.
    Data,
    DataBinary,
    DataUrlencode,
    Json,
    Form,
    FormString,
    Header,
    User,
    Bearer,
    UserAgent,
    Referer,
    Cookie,
    Insecure,
    CaFile,
    Certificate,
    CertificateType,
    Key,
    Passphrase,
    Proxy,
    ProxyUser,
    /// The login stands in a file of curl's.
    Netrc {
        takes_value: bool,
    },
    /// Cannot be part of a token request.
    Refused(&'static str),
    /// Means nothing here: output, retries, redirects.
    Silent {
        takes_value: bool,
    },
    /// Would have changed the request or the connection; named where it is dropped.
    Dropped {
        takes_value: bool,
    },
}

impl Meaning {
    pub(super) fn takes_value(self) -> bool {
        match self {
            Self::Silent { takes_value } | Self::Dropped { takes_value } | Self::Netrc { takes_value } => takes_value,
            Self::Get | Self::Head | Self::Insecure | Self::Refused(_) => false,
            _ => true,
        }
    }
}

const SILENT: Meaning = Meaning::Silent { takes_value: false };
const SILENT_VALUE: Meaning = Meaning::Silent { takes_value: true };
const DROPPED: Meaning = Meaning::Dropped { takes_value: false };
const DROPPED_VALUE: Meaning = Meaning::Dropped { takes_value: true };
const NETRC: Meaning = Meaning::Netrc { takes_value: false };

/// Long name, short name (or a space), meaning.
const OPTIONS: &[(&str, char, Meaning)] = &[
    ("url", ' ', Meaning::Url),
    ("request", 'X', Meaning::Method),
    ("get", 'G', Meaning::Get),
    ("head", 'I', Meaning::Head),
    ("data", 'd', Meaning::Data),
    ("data-ascii", ' ', Meaning::Data),
    ("data-raw", ' ', Meaning::Data),
    ("data-binary", ' ', Meaning::DataBinary),
    ("data-urlencode", ' ', Meaning::DataUrlencode),
    ("json", ' ', Meaning::Json),
    ("form", 'F', Meaning::Form),
    ("form-string", ' ', Meaning::FormString),
    ("header", 'H', Meaning::Header),
    ("user", 'u', Meaning::User),
    ("oauth2-bearer", ' ', Meaning::Bearer),
    ("user-agent", 'A', Meaning::UserAgent),
    ("referer", 'e', Meaning::Referer),
    ("cookie", 'b', Meaning::Cookie),
    ("insecure", 'k', Meaning::Insecure),
    ("cacert", ' ', Meaning::CaFile),
    ("cert", 'E', Meaning::Certificate),
    ("cert-type", ' ', Meaning::CertificateType),
    ("key-type", ' ', Meaning::CertificateType),
    ("key", ' ', Meaning::Key),
    ("pass", ' ', Meaning::Passphrase),
    ("proxy", 'x', Meaning::Proxy),
    ("proxy-user", 'U', Meaning::ProxyUser),
    ("next", ':', Meaning::Refused("a second request: import each of them for itself")),
    ("upload-file", 'T', Meaning::Refused("an upload of a file, which no token request is")),
    ("config", 'K', Meaning::Refused("options from a file: write them into the line")),
    ("digest", ' ', Meaning::Refused("Digest authentication, which bearerd does not have")),
    ("ntlm", ' ', Meaning::Refused("NTLM authentication, which bearerd does not have")),
    ("negotiate", ' ', Meaning::Refused("Kerberos authentication, which bearerd does not have")),
    ("aws-sigv4", ' ', Meaning::Refused("a request signed for AWS, which bearerd cannot sign")),
    ("socks5", ' ', Meaning::Refused("a SOCKS proxy; bearerd goes through HTTP proxies: -x http://proxy:3128")),
    (
        "socks5-hostname",
        ' ',
        Meaning::Refused("a SOCKS proxy; bearerd goes through HTTP proxies: -x http://proxy:3128"),
    ),
    ("socks4", ' ', Meaning::Refused("a SOCKS proxy; bearerd goes through HTTP proxies: -x http://proxy:3128")),
    ("socks4a", ' ', Meaning::Refused("a SOCKS proxy; bearerd goes through HTTP proxies: -x http://proxy:3128")),
    ("unix-socket", ' ', Meaning::Refused("a Unix socket; a token endpoint is reached over TCP")),
    ("basic", ' ', SILENT),
    ("anyauth", ' ', SILENT),
    ("silent", 's', SILENT),
    ("show-error", 'S', SILENT),
    ("verbose", 'v', SILENT),
    ("include", 'i', SILENT),
    ("show-headers", ' ', SILENT),
    ("fail", 'f', SILENT),
    ("fail-with-body", ' ', SILENT),
    ("fail-early", ' ', SILENT),
    ("location", 'L', SILENT),
    ("location-trusted", ' ', SILENT),
    ("post301", ' ', SILENT),
    ("post302", ' ', SILENT),
    ("post303", ' ', SILENT),
    ("max-redirs", ' ', SILENT_VALUE),
    ("globoff", 'g', SILENT),
    ("compressed", ' ', SILENT),
    ("no-buffer", 'N', SILENT),
    ("buffer", ' ', SILENT),
    ("progress-bar", '#', SILENT),
    ("no-progress-meter", ' ', SILENT),
    ("progress-meter", ' ', SILENT),
    ("no-silent", ' ', SILENT),
    ("styled-output", ' ', SILENT),
    ("no-styled-output", ' ', SILENT),
    ("output", 'o', SILENT_VALUE),
    ("output-dir", ' ', SILENT_VALUE),
    ("create-dirs", ' ', SILENT),
    ("remote-name", 'O', SILENT),
    ("write-out", 'w', SILENT_VALUE),
    ("stderr", ' ', SILENT_VALUE),
    ("dump-header", 'D', SILENT_VALUE),
    ("cookie-jar", 'c', SILENT_VALUE),
    ("trace", ' ', SILENT_VALUE),
    ("trace-ascii", ' ', SILENT_VALUE),
    ("trace-time", ' ', SILENT),
    ("disable", 'q', SILENT),
    ("netrc", 'n', NETRC),
    ("netrc-optional", ' ', NETRC),
    ("netrc-file", ' ', Meaning::Netrc { takes_value: true }),
    ("max-time", 'm', SILENT_VALUE),
    ("connect-timeout", ' ', SILENT_VALUE),
    ("speed-time", 'y', SILENT_VALUE),
    ("speed-limit", 'Y', SILENT_VALUE),
    ("retry", ' ', SILENT_VALUE),
    ("retry-delay", ' ', SILENT_VALUE),
    ("retry-max-time", ' ', SILENT_VALUE),
    ("retry-all-errors", ' ', SILENT),
    ("retry-connrefused", ' ', SILENT),
    ("http1.0", '0', SILENT),
    ("http1.1", ' ', SILENT),
    ("http2", ' ', SILENT),
    ("http2-prior-knowledge", ' ', SILENT),
    ("http3", ' ', SILENT),
    ("no-alpn", ' ', SILENT),
    ("no-keepalive", ' ', SILENT),
    ("keepalive-time", ' ', SILENT_VALUE),
    ("tcp-nodelay", ' ', SILENT),
    ("tcp-fastopen", ' ', SILENT),
    ("tlsv1", '1', SILENT),
    ("tlsv1.0", ' ', SILENT),
    ("tlsv1.1", ' ', SILENT),
    ("tlsv1.2", ' ', SILENT),
    ("tlsv1.3", ' ', DROPPED),
    ("ssl", ' ', SILENT),
    ("ssl-reqd", ' ', SILENT),
    ("ssl-no-revoke", ' ', SILENT),
    ("ca-native", ' ', SILENT),
    ("ipv4", '4', DROPPED),
    ("ipv6", '6', DROPPED),
    ("tls-max", ' ', DROPPED_VALUE),
    ("ciphers", ' ', DROPPED_VALUE),
    ("tls13-ciphers", ' ', DROPPED_VALUE),
    ("curves", ' ', DROPPED_VALUE),
    ("capath", ' ', DROPPED_VALUE),
    ("crlfile", ' ', DROPPED_VALUE),
    ("pinnedpubkey", ' ', DROPPED_VALUE),
    ("resolve", ' ', DROPPED_VALUE),
    ("connect-to", ' ', DROPPED_VALUE),
    ("dns-servers", ' ', DROPPED_VALUE),
    ("doh-url", ' ', DROPPED_VALUE),
    ("interface", ' ', DROPPED_VALUE),
    ("local-port", ' ', DROPPED_VALUE),
    ("noproxy", ' ', DROPPED_VALUE),
    ("proxy-header", ' ', DROPPED_VALUE),
    ("proxy-cacert", ' ', DROPPED_VALUE),
    ("proxy-cert", ' ', DROPPED_VALUE),
    ("proxy-key", ' ', DROPPED_VALUE),
    ("proxy-insecure", ' ', DROPPED),
    ("proxytunnel", 'p', SILENT),
    ("preproxy", ' ', DROPPED_VALUE),
    ("proxy1.0", ' ', DROPPED_VALUE),
    ("engine", ' ', DROPPED_VALUE),
    ("request-target", ' ', DROPPED_VALUE),
    ("range", 'r', DROPPED_VALUE),
    ("time-cond", 'z', DROPPED_VALUE),
    ("limit-rate", ' ', SILENT_VALUE),
    ("form-escape", ' ', SILENT),
    (
        "variable",
        ' ',
        Meaning::Refused(
            "a variable of curl's own, which is not understood here: write $NAME or the value in its place",
        ),
    ),
    ("url-query", ' ', Meaning::Refused("a field of the query: write it into the URL, or -G -d FIELD")),
];

/// The option of a long name, without its dashes.
pub(super) fn long(name: &str) -> Option<Meaning> {
    OPTIONS.iter().find(|(long, ..)| *long == name).map(|(.., option)| *option)
}

/// The option of a short name.
pub(super) fn short(name: char) -> Option<(&'static str, Meaning)> {
    OPTIONS.iter().find(|(_, short, _)| *short == name && name != ' ').map(|(long, _, option)| (*long, *option))
}

/// The option that was likely meant.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let distance = |long: &str| strsim::damerau_levenshtein(long, name);
    OPTIONS.iter().map(|(long, ..)| *long).min_by_key(|long| distance(long)).filter(|long| distance(long) <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_is_there_twice() {
        for (index, (name, letter, _)) in OPTIONS.iter().enumerate() {
            assert!(OPTIONS.iter().skip(index + 1).all(|(other, ..)| other != name), "--{name}");
            let twice = OPTIONS.iter().skip(index + 1).any(|(_, other, _)| other == letter && *letter != ' ');
            assert!(!twice, "-{letter}");
        }
    }

    #[test]
    fn options_are_found_by_both_names_and_by_a_slip() {
        assert_eq!(long("data-raw"), Some(Meaning::Data));
        assert_eq!(short('d'), Some(("data", Meaning::Data)));
        assert_eq!((short(' '), long("nothing")), (None, None));
        assert_eq!(nearest("haeder"), Some("header"));
        assert_eq!(nearest("something-else"), None);
    }
}
