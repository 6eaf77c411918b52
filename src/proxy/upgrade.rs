//! Changing a connection, or a stream of HTTP/2, to another protocol: what a caller may ask for, and what counts as a yes.
//!
//! Two forms ask for it: `Upgrade` in HTTP/1 (RFC 9110 §7.8) and extended CONNECT in HTTP/2 (RFC 8441). In here and towards the
//! upstream there is the first alone; a caller's CONNECT is told in it, and the answer told back. Only what the route allows is
//! asked for, and nothing passes before the upstream has really agreed to one of these.

use http::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};
use hyper::ext::Protocol;

use super::attempt::UpstreamConnection;
use super::headers;
use super::held::Held;
use super::problem::{Caller, Problem};
use super::reply::Account;
use crate::reason::Reason;
use crate::server::Takeover;
use crate::{tunnel, websocket};

/// What a caller asks to change to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// The protocols, as `Upgrade` lists them.
    protocols: HeaderValue,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// `Upgrade` in a GET.
    Upgrade,
    /// Extended CONNECT, in which a WebSocket has no key (RFC 8441 §5.1): then this one is ours.
    Connect { key: Option<HeaderValue> },
}

/// The protocol of a caller's extended CONNECT.
pub(super) fn connect_protocol(parts: &Parts) -> Option<&str> {
    parts.extensions.get::<Protocol>().filter(|_| parts.method == Method::CONNECT).map(Protocol::as_str)
}

/// What of a caller's wish may go on: the protocols that the route allows, in the caller's order. A request with a body keeps
/// none: where its body ends and the new protocol begins is where proxies have been fooled.
pub(super) fn wanted(parts: &Parts, has_body: bool, allowed: &[String]) -> Option<Wish> {
    if let Some(protocol) = connect_protocol(parts) {
        let protocols = HeaderValue::from_str(protocol).ok().filter(|_| is_allowed(protocol, allowed))?;
        let key = websocket::is_named(protocol.as_bytes()).then(websocket::fresh_key);
        return Some(Wish { protocols, form: Form::Connect { key } });
    }
    if parts.version != Version::HTTP_11 || parts.method != Method::GET || has_body {
        return None;
    }
    if !parts.headers.contains_key(UPGRADE) || !headers::lists(&parts.headers, &CONNECTION, "upgrade") {
        return None;
    }
    let kept: Vec<&str> = members(&parts.headers).filter(|member| is_allowed(member, allowed)).collect();
    let protocols = HeaderValue::from_str(&kept.join(", ")).ok().filter(|_| !kept.is_empty())?;
    Some(Wish { protocols, form: Form::Upgrade })
}

impl Wish {
    /// Says it in a request's fields.
    pub(super) fn say(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, self.protocols.clone());
        if let Form::Connect { key } = &self.form {
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            headers.remove(SEC_WEBSOCKET_KEY);
            headers.extend(key.clone().map(|key| (SEC_WEBSOCKET_KEY, key)));
        }
    }

    /// Whether it came without the key that somebody will have to answer: over HTTP/2 an upstream cannot see that it is missing.
    pub(super) fn lacks_key(&self, headers: &HeaderMap) -> bool {
        websocket::is_named(self.protocols.as_bytes()) && websocket::key(headers).is_none()
    }

    /// What an answer that changes nothing comes to. For an extended CONNECT every 2xx would be a yes (RFC 9110 §9.3.6).
    fn denied(&self, status: StatusCode) -> Result<(), Problem> {
        if self.form == Form::Upgrade || !status.is_success() {
            return Ok(());
        }
        let detail = format!("the upstream answered {} instead of changing the protocol", status.as_u16());
        Err(Problem::new(Reason::UpstreamNoUpgrade, detail))
    }

    /// Whether a yes is meant for us.
    fn is_proven(&self, response: &HeaderMap) -> bool {
        match &self.form {
            Form::Connect { key: Some(key) } => websocket::is_answered(response, key),
            // The caller's own key, which it will check itself; or none.
            Form::Connect { key: None } | Form::Upgrade => true,
        }
    }

    /// The protocol that a 101 changes to, if it is one of those that were asked for.
    fn agreed(&self, response: &HeaderMap) -> Option<HeaderValue> {
        let wanted = self.protocols.to_str().ok()?;
        let mut named = members(response);
        let (Some(name), None) = (named.next(), named.next()) else { return None };
        let is_wanted = wanted.split(',').any(|member| member.trim().eq_ignore_ascii_case(name));
        (is_wanted && headers::lists(response, &CONNECTION, "upgrade"))
            .then(|| HeaderValue::from_str(name).ok())
            .flatten()
    }
}

/// An upstream's yes to changing the protocol.
pub(super) struct Switched {
    protocol: HeaderValue,
    form: Form,
    connection: UpstreamConnection,
}

/// What a 101 comes to; `None` for every other answer.
///
/// # Errors
/// [`Problem`] if the upstream changes to what nobody asked for, or seems to when it does not.
pub(super) fn switched(response: &mut Response<Held>, wish: Option<&Wish>) -> Result<Option<Switched>, Problem> {
    let malformed = |detail: &str| Problem::new(Reason::UpstreamMalformed, detail);
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return wish.map_or(Ok(()), |wish| wish.denied(response.status())).map(|()| None);
    }
    let agreed = wish.and_then(|wish| Some((wish, wish.agreed(response.headers())?)));
    let (Some((wish, protocol)), Some(connection)) = (agreed, response.body_mut().take_connection()) else {
        return Err(malformed("the upstream changed to a protocol that was not asked for"));
    };
    if !wish.is_proven(response.headers()) {
        return Err(malformed("the upstream's Sec-WebSocket-Accept is no answer to the key it was sent"));
    }
    Ok(Some(Switched { protocol, form: wish.form.clone(), connection }))
}

impl Switched {
    /// Tells the caller what its connection, or its stream, is from here on.
    pub(super) fn say_so(self, response: &mut Response<Held>) -> UpstreamConnection {
        match self.form {
            Form::Upgrade => {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                response.headers_mut().insert(UPGRADE, self.protocol);
            }
            Form::Connect { .. } => {
                *response.status_mut() = StatusCode::OK;
                response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
        self.connection
    }
}

/// Takes out of an answer what ends here, but for what a 426 requires: the field must say that (RFC 9110 §15.5.22). Over HTTP/2 there is no
/// such field (RFC 9113 §8.2.2).
pub(super) fn strip_answer(response: &mut Response<Held>, caller: Caller) {
    let requires = response.status() == StatusCode::UPGRADE_REQUIRED && caller == Caller::Http1;
    let headers = response.headers_mut();
    if !requires {
        headers::take_hop_by_hop(headers);
        return;
    }
    let required: Vec<_> = headers.get_all(UPGRADE).iter().cloned().collect();
    headers::take_hop_by_hop(headers);
    for protocols in required {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.append(UPGRADE, protocols);
    }
}

/// Joins the caller's stream with the upstream's once the caller has its yes. The account stays open until both have ended.
pub(super) fn takeover(connection: UpstreamConnection, account: Account) -> Takeover {
    Box::new(move |caller| {
        Box::pin(async move {
            if let Some(upstream) = connection.into_stream().await {
                tunnel::join(caller, upstream).await;
            }
            drop(account);
        })
    })
}

fn members(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(UPGRADE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

/// Whether the name, its version aside, is one of the allowed ones.
pub(super) fn is_allowed(member: &str, allowed: &[String]) -> bool {
    let name = member.split('/').next().unwrap_or_default();
    allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn request(version: Version, method: &str, fields: &[(&str, &str)]) -> Parts {
        let mut builder = Request::builder().version(version).method(method).uri("/");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_allowed_protocols_are_asked_for() {
        let allowed = ["websocket".to_owned(), "spdy/3.1".to_owned()];
        let check = |connection: &str, upgrade: &str, wanted_value: Option<&str>| {
            let parts = request(Version::HTTP_11, "GET", &[("connection", connection), ("upgrade", upgrade)]);
            let got = wanted(&parts, false, &allowed);
            assert_eq!(
                got.as_ref().map(|wish| wish.protocols.to_str().unwrap()),
                wanted_value,
                "{connection} {upgrade}"
            );
        };
        check("Upgrade", "websocket", Some("websocket"));
        check("keep-alive, upgrade", "WebSocket", Some("WebSocket"));
        check("Upgrade", "h2c, websocket", Some("websocket"));
        check("Upgrade", "SPDY/3.1", Some("SPDY/3.1"));
        check("Upgrade", "SPDY/3", None);
        check("Upgrade, HTTP2-Settings", "h2c", None);
        check("keep-alive", "websocket", None);
        check("Upgrade", "", None);
        let fields = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(wanted(&request(Version::HTTP_11, "GET", &fields), true, &allowed), None);
        assert_eq!(wanted(&request(Version::HTTP_10, "GET", &fields), false, &allowed), None);
        assert_eq!(wanted(&request(Version::HTTP_11, "POST", &fields), false, &allowed), None);
        assert_eq!(wanted(&request(Version::HTTP_11, "GET", &fields), false, &[]), None);
    }

    #[test]
    fn only_what_was_asked_for_counts_as_a_yes() {
        let check = |connection: &str, upgrade: &str, yes: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, connection.parse().unwrap());
            headers.insert(UPGRADE, upgrade.parse().unwrap());
            let wish = Wish { protocols: HeaderValue::from_static("websocket"), form: Form::Upgrade };
            let got = wish.agreed(&headers);
            assert_eq!(got.is_some(), yes, "{connection} {upgrade}");
        };
        check("upgrade", "websocket", true);
        check("Upgrade", "WebSocket", true);
        check("close", "websocket", false);
        check("upgrade", "h2c", false);
        check("upgrade", "websocket, h2c", false);
        check("upgrade", "", false);
    }

    #[test]
    fn an_extended_connect_is_told_as_an_upgrade_with_a_key_of_ours() {
        let allowed = ["websocket".to_owned()];
        let connect = |protocol: &'static str| {
            let mut parts = request(Version::HTTP_2, "CONNECT", &[("sec-websocket-key", "the caller's")]);
            parts.extensions.insert(Protocol::from_static(protocol));
            (wanted(&parts, false, &allowed), parts.headers)
        };
        let (wish, mut headers) = connect("websocket");
        let wish = wish.unwrap();
        wish.say(&mut headers);
        assert_eq!(
            (&headers[CONNECTION], &headers[UPGRADE]),
            (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        let key = websocket::key(&headers).unwrap();
        assert!(!wish.lacks_key(&headers));
        let mut answer = HeaderMap::new();
        assert!(!wish.is_proven(&answer));
        answer.insert(SEC_WEBSOCKET_ACCEPT, websocket::answer(key));
        assert!(wish.is_proven(&answer));
        assert_eq!(connect("connect-udp").0, None);
        assert_eq!(wanted(&request(Version::HTTP_2, "CONNECT", &[]), false, &allowed), None);
    }

    #[test]
    fn an_ordinary_answer_never_opens_a_tunnel() {
        let check = |form: Form, status: u16, passes: bool| {
            let wish = Wish { protocols: HeaderValue::from_static("websocket"), form };
            assert_eq!(wish.denied(StatusCode::from_u16(status).unwrap()).is_ok(), passes, "{status}");
        };
        check(Form::Upgrade, 200, true);
        check(Form::Connect { key: None }, 200, false);
        check(Form::Connect { key: None }, 204, false);
        check(Form::Connect { key: None }, 302, true);
        check(Form::Connect { key: None }, 403, true);
    }
}
