//! An HTTP proxy on the way to a server: its address, its login, and what is known of that login.
//!
//! Owns the URL of a proxy as it may be written, and the pause after a login was refused: a proxy asks for the password of an
//! account, and a wrong one that is tried with every connection locks that account. Nothing here shows a user
//! name or a password, nor the URL that may hold them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::origin::{Origin, OriginError};
use crate::backoff::doubling;
use crate::secret::{self, Secret, SecretError, SecretSource};
use crate::tls::{self, ClientSettings, TlsError};

/// The first pause after a refused login; each further one doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A proxy that opens ways by CONNECT. Clones are the same proxy and know the same of its login.
#[derive(Clone, Debug)]
pub struct HttpProxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: SecretSource,
    /// As it was when the configuration was read.
    first: Address,
    tls: OnceLock<tls::Client>,
    standing: Mutex<Standing>,
    /// A login that nobody has accepted yet is tried by one connection at a time.
    turn: Semaphore,
}

/// Where a proxy is, and how we log in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) origin: Origin,
    /// The value of `Proxy-Authorization`.
    pub(super) login: Option<Secret>,
}

/// Whether they were written alike and lead to the same place now.
impl PartialEq for HttpProxy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.source == other.0.source && self.0.first == other.0.first)
    }
}

#[derive(Debug)]
enum Standing {
    Unproven,
    Accepted(Secret),
    Refused { login: Secret, until: Instant, times: u32 },
}

/// The login was refused a short while ago.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paused(pub(super) Duration);

/// A text that is no URL of an HTTP proxy. Never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProxyUrl {
    /// Another scheme, or none.
    #[error("must be a URL that begins with http:// (or https:// for TLS to the proxy itself)")]
    Scheme,
    /// `socks5://` and its relatives.
    #[error("SOCKS proxies are not supported: give the URL of an HTTP proxy")]
    Socks,
    /// Something after host and port.
    #[error("must have no path, query or fragment; a / or # in the password is written %2F or %23")]
    Path,
    /// No host, or one that cannot be.
    #[error("must have a host and a port from 1 to 65535, such as http://proxy.example:3128")]
    Host,
    /// A user name or password that cannot be sent.
    #[error("has a user name or password that is not UTF-8 or holds a control character")]
    Login,
}

/// A proxy that cannot be used as it stands in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Its URL is kept somewhere that cannot be read.
    #[error("the URL of the proxy cannot be read")]
    Secret(#[from] SecretError),
    /// Its URL is none.
    #[error("the URL of the proxy {0}")]
    Url(#[from] BadProxyUrl),
}

impl HttpProxy {
    /// The proxy whose URL `source` holds; a file is read again for each connection, a command run again at most every 30 s.
    ///
    /// # Errors
    /// [`ProxyError`] if the URL cannot be read, or is none.
    pub fn new(source: SecretSource) -> Result<Self, ProxyError> {
        let first = parse(source.read_now()?.expose())?;
        let (tls, standing) = (OnceLock::new(), Mutex::new(Standing::Unproven));
        Ok(Self(Arc::new(Inner { source, first, tls, standing, turn: Semaphore::new(1) })))
    }

    /// Where it was when the configuration was read; holds no login.
    pub fn origin(&self) -> &Origin {
        &self.0.first.origin
    }

    /// Where its URL is kept.
    pub fn source(&self) -> &SecretSource {
        &self.0.source
    }

    /// Where it is now.
    pub(super) async fn address(&self) -> Result<Address, ProxyError> {
        if !self.0.source.may_change() {
            return Ok(self.0.first.clone());
        }
        // A command is not run for every connection.
        Ok(parse(secret::glance(self.0.source.read()).await?.expose())?)
    }

    /// TLS to the proxy itself, with the platform's authorities.
    pub(super) fn tls(&self) -> Result<&tls::Client, TlsError> {
        if let Some(client) = self.0.tls.get() {
            return Ok(client);
        }
        let client = tls::Client::load(ClientSettings::default())?;
        Ok(self.0.tls.get_or_init(|| client))
    }

    /// Waits until this login may be tried; whoever gets a permit keeps it until the proxy has answered. With `insists` a
    /// refused login is tried all the same: somebody else counts the tries.
    pub(super) async fn admit(&self, login: &Secret, insists: bool) -> Result<Option<SemaphorePermit<'_>>, Paused> {
        if self.is_accepted(login) {
            return Ok(None);
        }
        // The semaphore is never closed.
        let permit = self.0.turn.acquire().await.ok();
        match &*self.0.standing.lock().unwrap_or_else(PoisonError::into_inner) {
            Standing::Refused { login: refused, until, .. } if refused == login && !insists => {
                let left = until.saturating_duration_since(Instant::now());
                if left > Duration::ZERO {
                    return Err(Paused(left));
                }
            }
            _ => {}
        }
        Ok(permit.filter(|_| !self.is_accepted(login)))
    }

    /// Takes note of what the proxy answered to a login. Whatever is not a 407 comes after the login.
    pub(super) fn learn(&self, login: &Secret, status: StatusCode) {
        let mut standing = self.0.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            *standing = Standing::Accepted(login.clone());
            return;
        }
        let before = match &*standing {
            Standing::Refused { login: refused, times, .. } if refused == login => *times,
            _ => 0,
        };
        let until = Instant::now() + doubling(FIRST_PAUSE, before, LONGEST_PAUSE);
        *standing = Standing::Refused { login: login.clone(), until, times: before.saturating_add(1) };
    }

    fn is_accepted(&self, login: &Secret) -> bool {
        let standing = self.0.standing.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(&*standing, Standing::Accepted(accepted) if accepted == login)
    }
}

/// `http://user:password@host:port`, with `%xx` in user and password (RFC 3986 §3.2.1).
fn parse(text: &str) -> Result<Address, BadProxyUrl> {
    let (scheme, rest) = text.split_once("://").ok_or(BadProxyUrl::Scheme)?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => "http",
        "https" => "https",
        socks if socks.starts_with("socks") => return Err(BadProxyUrl::Socks),
        _ => return Err(BadProxyUrl::Scheme),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at_checked(end).ok_or(BadProxyUrl::Host)?;
    if !matches!(after, "" | "/") {
        return Err(BadProxyUrl::Path);
    }
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let uri: Uri = format!("{scheme}://{host}/").parse().map_err(|_| BadProxyUrl::Host)?;
    let origin = Origin::of(&uri).map_err(|error| match error {
        OriginError::Scheme => BadProxyUrl::Scheme,
        OriginError::Host | OriginError::Brackets | OriginError::UserInfo => BadProxyUrl::Host,
    })?;
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0))
        || tls::server_name(origin.host()).is_none()
    {
        return Err(BadProxyUrl::Host);
    }
    Ok(Address { origin, login: user.map(basic).transpose()? })
}

/// RFC 7617 §2: user and password in UTF-8, which is what proxies have come to expect.
fn basic(user: &str) -> Result<Secret, BadProxyUrl> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let decode = |text: &str| -> Result<Zeroizing<String>, BadProxyUrl> {
        let bytes = Zeroizing::new(percent_decode_str(text).collect::<Vec<u8>>());
        let text = std::str::from_utf8(&bytes).map_err(|_| BadProxyUrl::Login)?;
        if text.chars().any(char::is_control) {
            return Err(BadProxyUrl::Login);
        }
        Ok(Zeroizing::new(text.to_owned()))
    };
    let pair = Zeroizing::new([&*decode(user)?, ":", &*decode(password)?].concat());
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    Ok(Secret::new(["Basic ", &*encoded].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_address_and_login() {
        let check = |text: &str, wanted: &str, login: Option<&str>| {
            let address = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.origin.to_string(), wanted, "{text}");
            let basic = login.map(|login| format!("Basic {}", STANDARD.encode(login)));
            assert_eq!(address.login.as_ref().map(Secret::expose), basic.as_deref(), "{text}");
        };
        check("http://proxy:3128", "http://proxy:3128", None);
        check("HTTP://proxy.example:3128/", "http://proxy.example:3128", None);
        check("https://[::1]:3128", "https://[::1]:3128", None);
        check("http://user:pass@proxy:3128", "http://proxy:3128", Some("user:pass"));
        check("http://user@proxy:3128", "http://proxy:3128", Some("user:"));
        check("http://dom%5Cuser:p%40ss%3Aw%2F%23@proxy:3128", "http://proxy:3128", Some("dom\\user:p@ss:w/#"));
        check("http://u:p@ss:word@proxy:3128", "http://proxy:3128", Some("u:p@ss:word"));
        check("http://%C3%A9:%C3%BC@proxy", "http://proxy", Some("é:ü"));
    }

    #[test]
    fn what_is_no_url_of_an_http_proxy_is_refused_without_being_shown() {
        let check = |text: &str, wanted: BadProxyUrl| {
            let error = parse(text).expect_err(text);
            assert_eq!(error, wanted, "{text}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        };
        check("proxy:3128", BadProxyUrl::Scheme);
        check("", BadProxyUrl::Scheme);
        check("ftp://hunter2@proxy", BadProxyUrl::Scheme);
        check("socks5h://proxy:1080", BadProxyUrl::Socks);
        check("http://", BadProxyUrl::Host);
        check("http://u:hunter2@", BadProxyUrl::Host);
        check("http://proxy:99999", BadProxyUrl::Host);
        check("http://proxy:", BadProxyUrl::Host);
        check("http://proxy:0", BadProxyUrl::Host);
        check("http://pro xy:1", BadProxyUrl::Host);
        check("http://u:hunter2/x@proxy:1", BadProxyUrl::Path);
        check("http://proxy:3128/path", BadProxyUrl::Path);
        check("http://proxy:3128?x", BadProxyUrl::Path);
        check("http://u:%0d%0ahunter2@proxy:1", BadProxyUrl::Login);
        check("http://%ff:hunter2@proxy:1", BadProxyUrl::Login);
    }

    #[test]
    fn nothing_shows_the_login() {
        let proxy = HttpProxy::new(SecretSource::inline("http://user:hunter2@proxy:3128")).unwrap();
        let shown = format!("{proxy:?} {}", proxy.origin());
        assert!(!shown.contains("hunter2") && !shown.contains(&STANDARD.encode("user:hunter2")), "{shown}");
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text)
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_tried_again_after_growing_pauses_and_another_one_at_once() {
        let proxy = HttpProxy::new(SecretSource::inline("http://proxy")).unwrap();
        let (old, new) = (secret("old"), secret("new"));
        let refuse = |login: &Secret| proxy.learn(login, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(proxy.admit(&old, false).await.unwrap().is_some());
            refuse(&old);
            assert_eq!(proxy.admit(&old, false).await.unwrap_err(), Paused(Duration::from_secs(minutes * 60)));
            assert!(proxy.admit(&new, false).await.is_ok() && proxy.admit(&old, true).await.is_ok());
            tokio::time::advance(Duration::from_secs(minutes * 60)).await;
        }
        refuse(&new);
        assert_eq!(proxy.admit(&new, false).await.unwrap_err(), Paused(FIRST_PAUSE));
        proxy.learn(&new, StatusCode::OK);
        assert!(proxy.admit(&new, false).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn one_connection_at_a_time_tries_a_login_that_is_not_proven() {
        let proxy = HttpProxy::new(SecretSource::inline("http://proxy")).unwrap();
        let login = secret("login");
        let first = proxy.admit(&login, false).await.unwrap();
        let mut second = std::pin::pin!(proxy.admit(&login, false));
        tokio::select! {
            biased;
            _ = &mut second => panic!("two at once"),
            () = tokio::task::yield_now() => {}
        }
        proxy.learn(&login, StatusCode::BAD_GATEWAY);
        drop(first);
        assert!(second.await.unwrap().is_none());
    }
}
