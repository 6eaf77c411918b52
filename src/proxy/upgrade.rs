//! Changing a connection to another protocol (RFC 9110 §7.8): what a caller may ask for, and what counts as a yes.
//!
//! Only what the route allows is asked for, and nothing passes before the upstream has really agreed to one of these.

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use super::attempt::UpstreamConnection;
use super::headers;
use super::held::Held;
use super::problem::Problem;
use super::reply::Account;
use crate::reason::Reason;
use crate::server::Takeover;
use crate::tunnel;

/// What of a request's `Upgrade` may go on: the protocols that the route allows, in the caller's order. A request with a
/// body keeps none: where its body ends and the new protocol begins is where proxies have been fooled.
pub(super) fn wanted(parts: &Parts, has_body: bool, allowed: &[String]) -> Option<HeaderValue> {
    if parts.version != Version::HTTP_11 || parts.method != Method::GET || has_body {
        return None;
    }
    if !parts.headers.contains_key(UPGRADE) || !headers::lists(&parts.headers, &CONNECTION, "upgrade") {
        return None;
    }
    let kept: Vec<&str> = members(&parts.headers).filter(|member| is_allowed(member, allowed)).collect();
    (!kept.is_empty()).then(|| HeaderValue::from_str(&kept.join(", ")).ok()).flatten()
}

/// The protocol that a 101 changes to, if it is one of those that were asked for.
fn agreed(response: &HeaderMap, wanted: &HeaderValue) -> Option<HeaderValue> {
    let wanted = wanted.to_str().ok()?;
    let mut named = members(response);
    let (Some(name), None) = (named.next(), named.next()) else { return None };
    let is_wanted = wanted.split(',').any(|member| member.trim().eq_ignore_ascii_case(name));
    (is_wanted && headers::lists(response, &CONNECTION, "upgrade")).then(|| HeaderValue::from_str(name).ok()).flatten()
}

/// An upstream's yes to changing the protocol.
pub(super) struct Switched {
    protocol: HeaderValue,
    connection: UpstreamConnection,
}

/// What a 101 comes to; `None` for every other answer.
///
/// # Errors
/// [`Problem`] if the upstream changes to what nobody asked for.
pub(super) fn switched(
    response: &mut Response<Held>,
    wanted: Option<&HeaderValue>,
) -> Result<Option<Switched>, Problem> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let protocol = wanted.and_then(|wanted| agreed(response.headers(), wanted));
    match (protocol, response.body_mut().take_connection()) {
        (Some(protocol), Some(connection)) => Ok(Some(Switched { protocol, connection })),
        _ => Err(Problem::new(Reason::UpstreamMalformed, "the upstream changed to a protocol that was not asked for")),
    }
}

impl Switched {
    /// Tells the caller what its connection is from here on.
    pub(super) fn say_so(self, headers: &mut HeaderMap) -> UpstreamConnection {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol);
        self.connection
    }
}

/// Joins the caller's stream with the upstream's once the caller has its 101. The account stays open until both have ended.
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
fn is_allowed(member: &str, allowed: &[String]) -> bool {
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
            assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), wanted_value, "{connection} {upgrade}");
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
            let got = agreed(&headers, &HeaderValue::from_static("websocket"));
            assert_eq!(got.is_some(), yes, "{connection} {upgrade}");
        };
        check("upgrade", "websocket", true);
        check("Upgrade", "WebSocket", true);
        check("close", "websocket", false);
        check("upgrade", "h2c", false);
        check("upgrade", "websocket, h2c", false);
        check("upgrade", "", false);
    }
}
