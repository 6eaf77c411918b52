//! Where a connection goes: scheme, host and port, and nothing else.

use std::fmt;
use std::net::Ipv6Addr;

use http::Uri;
use http::uri::Authority;

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// 80 or 443.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// As written in a URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Scheme, host and port of a server (RFC 6454 §4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// The URI does not name an origin that can be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Neither `http` nor `https`.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
    /// No host.
    #[error("the URL has no host")]
    Host,
    /// `[host]` that is no IPv6 address, or brackets elsewhere (RFC 3986 §3.2.2). Without the brackets it would be the name of somebody.
    #[error("what is in brackets must be an IPv6 address before the port, as in http://[::1]:8080")]
    Brackets,
    /// `user:password@host`.
    #[error("the URL must not carry a user name or password")]
    UserInfo,
}

impl Origin {
    /// The origin of an absolute URI.
    ///
    /// # Errors
    /// [`OriginError`] if scheme or host is missing or unsupported, if brackets hold no address, or if there is user information.
    pub fn of(uri: &Uri) -> Result<Self, OriginError> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(OriginError::Scheme),
        };
        let authority = uri.authority().ok_or(OriginError::Host)?;
        if authority.as_str().contains('@') {
            return Err(OriginError::UserInfo);
        }
        if authority.host().is_empty() {
            return Err(OriginError::Host);
        }
        let bracketed = authority.host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // The parser takes brackets where a port belongs for none.
        let behind = authority.as_str().get(authority.host().len()..).unwrap_or_default();
        if bracketed.is_some_and(|host| host.parse::<Ipv6Addr>().is_err()) || behind.contains(['[', ']']) {
            return Err(OriginError::Brackets);
        }
        Ok(Self { scheme, authority: authority.clone() })
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and port as configured: what `Host` says and what every upstream URI must carry.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The host without brackets: a name or an address.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the scheme's own if none is written.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(self.scheme.default_port())
    }

    /// Whether it is this very machine: `localhost`, `*.localhost` or a loopback address.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.host())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority)
    }
}

/// Whether a host is `localhost`, below `.localhost` (RFC 6761 §6.3) or a loopback address. Without brackets
/// and port.
pub fn is_loopback_host(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Ok(address) = host.parse::<std::net::IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts_are_told_from_others() {
        let check = |host: &str, wanted: bool| assert_eq!(is_loopback_host(host), wanted, "{host}");
        check("localhost", true);
        check("LOCALHOST.", true);
        check("api.localhost", true);
        check("127.0.0.1", true);
        check("127.9.9.9", true);
        check("::1", true);
        check("::ffff:127.0.0.1", true);
        check("notlocalhost", false);
        check("localhost.example.com", false);
        check("0.0.0.0", false);
        check("10.0.0.1", false);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_only() {
        let origin = |text: &str| Origin::of(&text.parse().unwrap());
        assert_eq!(origin("https://a.example/x?y").unwrap().to_string(), "https://a.example");
        assert_eq!(origin("http://[::1]:81/").unwrap().host(), "::1");
        assert_eq!(origin("https://a.example").unwrap().port(), 443);
        assert_eq!(origin("ftp://a.example"), Err(OriginError::Scheme));
        assert_eq!(origin("https://u:p@a.example"), Err(OriginError::UserInfo));
        assert_eq!(origin("/x"), Err(OriginError::Scheme));
        assert_eq!(origin("https://[a.example]"), Err(OriginError::Brackets));
        assert_eq!(origin("https://[127.0.0.1]:443"), Err(OriginError::Brackets));
        assert_eq!(origin("https://a.example:e[]"), Err(OriginError::Brackets));
    }
}
