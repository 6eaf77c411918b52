//! Connecting through a proxy: to it, TLS with it where its URL is https, and CONNECT.
//!
//! Every failure on this way is the proxy's and says so, so that nobody looks for it at the upstream.

use std::io;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::{BadServerName, ConnectError, ConnectFailure, Connector, Found, Offer};
use crate::log::chain;
use crate::tls::server_name;
use crate::upstream::http_proxy::{Address, HttpProxy, Paused};
use crate::upstream::origin::{Origin, Scheme};
use crate::upstream::transport::Transport;
use crate::upstream::tunnel::{self, Blocked};

impl Connector {
    /// A way through the proxy to the origin.
    pub(super) async fn tunnel(
        &self,
        proxy: &HttpProxy,
        deadline: Instant,
    ) -> Result<(Transport, Found), ConnectError> {
        let failed = |source| ConnectError { failure: ConnectFailure::Proxy, source };
        let address = proxy.address().await.map_err(|error| failed(io::Error::other(chain(&error))))?;
        let (mut transport, found) =
            self.reach(proxy, &address.origin, deadline).await.map_err(|error| error.of_proxy(&address.origin))?;
        match timeout_at(deadline, self.ask(proxy, &address, &mut transport)).await {
            Ok(opened) => opened?,
            Err(_) => {
                let what = format!("no answer to CONNECT {}", self.target());
                return Err(self.too_late(&what).of_proxy(&address.origin));
            }
        }
        Ok((transport, found))
    }

    async fn reach(
        &self,
        proxy: &HttpProxy,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<(Transport, Found), ConnectError> {
        let (tcp, found) = self.dial(origin, deadline).await?;
        if origin.scheme() == Scheme::Http {
            return Ok((Transport::Tcp(tcp), found));
        }
        let unusable = |source| ConnectError { failure: ConnectFailure::Tls, source };
        let tls = proxy.tls().map_err(|error| unusable(io::Error::other(chain(&error))))?;
        let name = server_name(origin.host())
            .ok_or_else(|| unusable(io::Error::other(BadServerName(origin.host().to_owned()))))?;
        Ok((Transport::Tls(Box::new(self.handshake((tls, Offer::Http1), &name, tcp, deadline).await?)), found))
    }

    /// Sends CONNECT, with the login if that may be tried now.
    async fn ask(&self, proxy: &HttpProxy, at: &Address, transport: &mut Transport) -> Result<(), ConnectError> {
        let origin = &at.origin;
        let refused = |status, text: String| {
            let failure = ConnectFailure::ProxyRefused(status);
            ConnectError { failure, source: io::Error::other(format!("proxy {} {text}", origin.authority())) }
        };
        let _turn = match &at.login {
            None => None,
            Some(login) => proxy.admit(login, self.insists).await.map_err(|Paused(left)| {
                let left = humantime::format_duration(Duration::from_secs(left.as_secs().saturating_add(1)));
                let text =
                    format!("refused this login (407); it is not tried again for {left}, lest the account is locked");
                refused(StatusCode::PROXY_AUTHENTICATION_REQUIRED, text)
            })?,
        };
        let opened = tunnel::open(transport, &self.target(), at.login.as_ref()).await;
        let status = match &opened {
            Ok(()) => Some(StatusCode::OK),
            Err(Blocked::Status { status, .. }) => Some(*status),
            Err(Blocked::Broken(_)) => None,
        };
        if let Some((login, status)) = at.login.as_ref().zip(status) {
            proxy.learn(login, status);
        }
        match opened {
            Ok(()) => Ok(()),
            Err(Blocked::Broken(source)) => {
                Err(ConnectError { failure: ConnectFailure::Proxy, source }.of_proxy(origin))
            }
            Err(Blocked::Status { status, schemes }) => {
                let text = format!("answered CONNECT {} with {status}", self.target());
                let hint = login_hint(status, at.login.is_some(), &schemes);
                let error = refused(status, format!("{text}{hint}"));
                // That it could not get further says nothing against us.
                let failure = if status.is_server_error() { ConnectFailure::Proxy } else { error.failure };
                Err(ConnectError { failure, ..error })
            }
        }
    }

    /// What a proxy is asked for: host and port, also where the port is the scheme's own.
    fn target(&self) -> String {
        format!("{}:{}", self.origin.authority().host(), self.origin.port())
    }
}

impl ConnectError {
    /// The same step on the way to the proxy is the proxy's failure.
    fn of_proxy(self, proxy: &Origin) -> Self {
        let text = format!("proxy {}: {}", proxy.authority(), self.source);
        Self { failure: ConnectFailure::Proxy, source: io::Error::new(self.source.kind(), text) }
    }
}

/// What may be done about a 407 (RFC 9110 §15.5.8).
fn login_hint(status: StatusCode, has_login: bool, schemes: &[&str]) -> String {
    if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return String::new();
    }
    if !schemes.is_empty() && !schemes.contains(&"Basic") {
        return format!("; it wants a login by {}, and only Basic is supported", schemes.join(" or "));
    }
    if has_login { "; it refused the login" } else { "; it wants a login: http://USER:PASSWORD@HOST:PORT" }.to_owned()
}
