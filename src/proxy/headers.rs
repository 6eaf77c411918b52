//! What is taken out of a message's fields before it goes on, in either direction.
//!
//! Pure functions on header maps. The order is fixed elsewhere (`outbound`): strip first, then set.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::dpop;
use crate::http1::is_mere_option;

/// Fields that end at this hop whether or not `Connection` names them (RFC 9110 §7.6.1, RFC 9113 §8.2.2).
static HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Fields that must not come as trailers: they frame, route or authenticate (RFC 9110 §6.5.1).
static NEVER_TRAILERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::HOST,
    header::SET_COOKIE,
    header::TRAILER,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
];

/// Takes out everything that is meant for this hop alone, also what **any** `Connection` line names.
///
/// `TE: trailers` is a wish of the whole chain (RFC 9110 §10.1.4) and is said anew, with the `Connection` option it needs.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if take_hop_by_hop(headers) {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// As [`strip_hop_by_hop`], for messages in which `TE` means nothing: answers and trailers. Returns whether trailers were wished for.
pub(super) fn take_hop_by_hop(headers: &mut HeaderMap) -> bool {
    // One look at each name, so that what is not there costs nothing.
    let present = headers.keys().filter_map(hop_by_hop).fold(0_u16, |present, index| present | 1 << index);
    if present == 0 {
        return false;
    }
    let wants_trailers = headers.contains_key(header::TE) && lists(headers, &header::TE, "trailers");
    let lines = headers.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    let named: Vec<HeaderName> = lines
        .filter(|line| !is_mere_option(line))
        .flat_map(|line| line.split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    let listed = HOP_BY_HOP.iter().enumerate().filter(|(index, _)| present & 1 << index != 0).map(|(_, name)| name);
    for name in named.iter().chain(listed) {
        headers.remove(name);
    }
    wants_trailers
}

/// The place of a name among the fields that end here.
fn hop_by_hop(name: &HeaderName) -> Option<usize> {
    // Names of one length are few, so that each is compared with few.
    let candidates = match name.as_str().len() {
        2 => 6..7,
        7 => 8..9,
        10 => 0..2,
        14 => 9..10,
        16 => 2..3,
        17 => 7..8,
        18 => 3..4,
        19 => 4..5,
        25 => 5..6,
        _ => return None,
    };
    let found = HOP_BY_HOP.get(candidates.clone()).unwrap_or_default().iter().position(|listed| listed == name);
    found.map(|place| candidates.start + place)
}

/// One `Cookie` of the crumbs that HTTP/2 may cut it into (RFC 9113 §8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Joined from legal values with legal bytes.
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, whole);
    }
}

/// Takes out every field that an upstream might read as `injected`: itself and its underscore aliases, which CGI and WSGI
/// servers cannot tell apart.
pub(super) fn strip_injected(headers: &mut HeaderMap, injected: &HeaderName) {
    headers.remove(injected);
    // A look at lengths first: most names are shorter than any alias.
    let shortest = letters(injected).count() + 1;
    let is_alias = |name: &&HeaderName| name.as_str().len() >= shortest && is_alias(name, injected);
    let aliases: Vec<HeaderName> = headers.keys().filter(is_alias).cloned().collect();
    for alias in aliases {
        headers.remove(alias);
    }
}

/// Takes out every proof of possession (RFC 9449 §4.1) that is not ours, under whatever name [`strip_injected`] would look for.
pub(super) fn strip_proof(headers: &mut HeaderMap) {
    // A look at the first letter: hardly any request has such a field, however long its alias is.
    let is_proof = |name: &HeaderName| {
        matches!(name.as_str().as_bytes().first(), Some(b'd' | b'_' | b'-'))
            && (*name == dpop::FIELD || is_alias(name, &dpop::FIELD))
    };
    if headers.keys().any(is_proof) {
        strip_injected(headers, &dpop::FIELD);
    }
}

/// Takes out of trailers what has no business there, and what is `ours` to say.
pub(super) fn strip_trailers(trailers: &mut HeaderMap, ours: &[HeaderName]) {
    take_hop_by_hop(trailers);
    for name in &NEVER_TRAILERS {
        trailers.remove(name);
    }
    for name in ours {
        strip_injected(trailers, name);
    }
}

/// Whether the message is one of gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    content_type.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/grpc"))
        && !content_type.get(16..20).is_some_and(|more| more.eq_ignore_ascii_case(b"-web"))
}

/// Whether a comma-separated field has this member, parameters aside.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|item| item.split(|byte| *byte == b';').next())
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
}

/// Whether the name has an underscore and is otherwise the injected one, wherever either has its dashes.
fn is_alias(name: &HeaderName, injected: &HeaderName) -> bool {
    name.as_str().contains('_') && letters(name).eq(letters(injected))
}

fn letters(name: &HeaderName) -> impl Iterator<Item = u8> {
    name.as_str().bytes().filter(|byte| !matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(parse) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn fields_named_in_every_connection_line_are_removed() {
        let mut headers = map(&[
            ("connection", "close, x-one"),
            ("connection", "X-Two,"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x", "3"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x", "3")]));
    }

    #[test]
    fn hop_by_hop_fields_go_even_if_nobody_names_them() {
        let mut headers = map(&[
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAAA"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn each_of_these_fields_is_found_at_its_place() {
        for (place, name) in HOP_BY_HOP.iter().enumerate() {
            assert_eq!(hop_by_hop(name), Some(place), "{name}");
            let other = HeaderName::try_from(format!("{}x", &name.as_str()[1..])).unwrap();
            assert_eq!(hop_by_hop(&other), None, "{other}");
        }
    }

    #[test]
    fn the_wish_for_trailers_is_said_anew() {
        let mut headers = map(&[("te", "gzip, trailers;q=1"), ("connection", "te")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers"), ("connection", "te")]));
    }

    #[test]
    fn the_injected_field_and_its_aliases_are_removed() {
        let injected = HeaderName::from_static("x-api-key");
        let mut headers = map(&[("x-api-key", "a"), ("x_api_key", "b"), ("x_api-key", "c"), ("x-api-keys", "d")]);
        strip_injected(&mut headers, &injected);
        assert_eq!(headers, map(&[("x-api-keys", "d")]));
        let mut headers =
            map(&[("authorization", "a"), ("author_ization", "b"), ("author-ization", "c"), ("a_b", "d")]);
        strip_injected(&mut headers, &header::AUTHORIZATION);
        assert_eq!(headers, map(&[("author-ization", "c"), ("a_b", "d")]));
    }

    #[test]
    fn a_proof_of_the_callers_own_is_removed() {
        let mut headers =
            map(&[("dpop", "a"), ("dpop", "b"), ("d_pop", "c"), ("dpop_", "d"), ("dpops", "e"), ("d", "f")]);
        strip_proof(&mut headers);
        assert_eq!(headers, map(&[("dpops", "e"), ("d", "f")]));
        for alone in ["dpop", "d_pop", "_dpop", "dp_________op"] {
            let mut headers = map(&[(alone, "a")]);
            strip_proof(&mut headers);
            assert!(headers.is_empty(), "{alone}");
        }
    }

    #[test]
    fn cookie_crumbs_are_joined() {
        let check = |crumbs: &[&str], wanted: &[&str]| {
            let of = |values: &[&str]| map(&values.iter().map(|value| ("cookie", *value)).collect::<Vec<_>>());
            let mut headers = of(crumbs);
            join_cookies(&mut headers);
            assert_eq!(headers, of(wanted));
        };
        check(&[], &[]);
        check(&["a=1; b=2"], &["a=1; b=2"]);
        check(&["a=1", "b=2", "c=3"], &["a=1; b=2; c=3"]);
    }

    #[test]
    fn trailers_cannot_authenticate() {
        let mut trailers =
            map(&[("authorization", "Bearer EVIL"), ("x-api_key", "e"), ("te", "trailers"), ("sum", "1")]);
        strip_trailers(&mut trailers, &[HeaderName::from_static("x-api-key")]);
        assert_eq!(trailers, map(&[("sum", "1")]));
    }
}
