//! Which host and port a request asks for.
//!
//! Callers name the same ones again and again: what was made of the last name is kept, and compared by its bytes.

use std::cell::RefCell;
use std::rc::Rc;

use http::Version;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme};

use super::problem::Problem;
use crate::guard::NamedHost;
use crate::reason::Reason;
use crate::server::ConnectionInfo;

/// An authority, and what is asked of it for every request.
#[derive(Debug)]
pub(super) struct Asked {
    /// As the caller wrote it.
    pub(super) authority: Authority,
    /// The host for the routes: lower case, without a dot at its end.
    pub(super) host: String,
    /// The host for the callers' rules.
    pub(super) named: NamedHost,
}

/// One worker's memory of the last authority.
#[derive(Debug, Default)]
pub(super) struct Memory(RefCell<Option<Rc<Asked>>>);

impl Asked {
    fn of(authority: Authority) -> Rc<Self> {
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let named = NamedHost::of(authority.as_str());
        Rc::new(Self { authority, host, named })
    }
}

impl Memory {
    /// What a request asks for: in its target (absolute-form, RFC 9112 §3.2.2), else in its one `Host`.
    ///
    /// # Errors
    /// [`Problem`] if it does not say, or not clearly.
    pub(super) fn asked(&self, parts: &Parts, info: &ConnectionInfo) -> Result<Rc<Asked>, Problem> {
        let mut hosts = parts.headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(bad("more than one Host"));
        }
        if let Some(authority) = parts.uri.authority() {
            return self.in_target(parts, info, authority, host);
        }
        match host {
            Some(host) => self.recall(host.as_bytes(), || authority_of(host)),
            // HTTP/1.0 knew no Host, and no browser speaks it.
            None if parts.version == Version::HTTP_10 => {
                let local = info.peer.local().map_or_else(|| "localhost".to_owned(), |local| local.to_string());
                Authority::try_from(local).map(Asked::of).map_err(|_| bad("no Host"))
            }
            None => Err(bad("no Host")),
        }
    }

    /// What is known of an authority, looked into only where it is another than the last one.
    ///
    /// # Errors
    /// Those of `parse`.
    fn recall<E>(&self, written: &[u8], parse: impl FnOnce() -> Result<Authority, E>) -> Result<Rc<Asked>, E> {
        let mut last = self.0.borrow_mut();
        match &*last {
            Some(asked) if asked.authority.as_str().as_bytes() == written => Ok(Rc::clone(asked)),
            _ => Ok(Rc::clone(last.insert(Asked::of(parse()?)))),
        }
    }

    fn in_target(
        &self,
        parts: &Parts,
        info: &ConnectionInfo,
        authority: &Authority,
        host: Option<&HeaderValue>,
    ) -> Result<Rc<Asked>, Problem> {
        let is_http2 = parts.version == Version::HTTP_2;
        // HTTP/2 clients behind something that ends TLS go on saying https.
        let is_ours = |scheme: &Scheme| scheme.as_str() == info.scheme() || (is_http2 && *scheme == Scheme::HTTPS);
        if parts.uri.scheme().is_some_and(|scheme| !is_ours(scheme)) {
            return Err(bad("the request's target has another scheme than this listener"));
        }
        // RFC 9112 §3.2.2: Host is then ignored; one that is no host is malformed all the same.
        let host = host.map(authority_of).transpose()?;
        // RFC 9113 §8.3.1.
        if is_http2 && host.is_some_and(|host| host != *authority) {
            return Err(bad("Host and :authority differ"));
        }
        if authority.as_str().contains('@') {
            return Err(bad("user information before the host"));
        }
        self.recall(authority.as_str().as_bytes(), || Ok(authority.clone()))
    }
}

fn authority_of(host: &HeaderValue) -> Result<Authority, Problem> {
    Authority::try_from(host.as_bytes()).map_err(|_| bad("Host is not a host name"))
}

#[cold]
fn bad(detail: &str) -> Problem {
    Problem::new(Reason::BadRequest, detail)
}
