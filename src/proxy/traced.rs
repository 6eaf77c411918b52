//! By what a request is known elsewhere: its id, and the trace that it belongs to (W3C Trace Context).
//!
//! A caller's own pass unchanged, whatever they are. Owns what of them is fit to be logged, and the making of ids where that is
//! configured.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Where an id is looked for unless another field is configured.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Tells which span of a trace a request belongs to.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is longer is no id.
const LONGEST_ID: usize = 200;

/// A `traceparent` that is one (W3C Trace Context §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceParent {
    /// 32 hexadecimal digits.
    pub(super) trace_id: String,
    /// 16 hexadecimal digits: the caller's span.
    pub(super) span_id: String,
    /// Whether the caller records it.
    pub(super) sampled: bool,
}

/// Gives a request an id in the field `name`, unless it has one.
pub(super) fn ensure_id(name: &HeaderName, headers: &mut HeaderMap) {
    if !headers.contains_key(name)
        && let Ok(id) = HeaderValue::try_from(fresh_id())
    {
        headers.insert(name, id);
    }
}

/// The id in the field `name`, or in `x-request-id`, if there is one that can be shown.
pub(super) fn id(name: Option<&HeaderName>, headers: &HeaderMap) -> Option<String> {
    let text = only(headers, name.unwrap_or(&X_REQUEST_ID))?;
    let is_fit = (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_fit.then(|| text.to_owned())
}

/// The caller's place in a trace, if it says one.
pub(super) fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let text = only(headers, &TRACEPARENT)?;
    let mut parts = text.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, length: usize| is_hex(text, length) && text.bytes().any(|byte| byte != b'0');
    let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    if !is_known || !is_id(trace_id, 32) || !is_id(span_id, 16) || !is_hex(flags, 2) {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(TraceParent { trace_id: trace_id.to_owned(), span_id: span_id.to_owned(), sampled: flags & 1 == 1 })
}

/// The value of a field that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    value.to_str().ok().filter(|_| values.next().is_none())
}

/// A random UUID (RFC 9562 §5.4).
fn fresh_id() -> String {
    let mut bytes = fastrand::u128(..).to_be_bytes();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_traceparent_is_taken_for_one_only_if_it_is_one() {
        let check = |values: &[&str], wanted: Option<bool>| {
            let found = parent(&headers("traceparent", values));
            assert_eq!(found.as_ref().map(|parent| parent.sampled), wanted, "{values:?}");
            if let Some(parent) = found {
                assert_eq!(parent.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
                assert_eq!(parent.span_id, "00f067aa0ba902b7");
            }
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        check(&[good], Some(true));
        check(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"], Some(false));
        check(&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"], Some(true));
        check(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"], None);
        check(&["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], None);
        check(&["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"], None);
        check(&["00-00000000000000000000000000000000-00f067aa0ba902b7-01"], None);
        check(&["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"], None);
        check(&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"], None);
        check(&["", "x"], None);
        check(&[good, good], None);
        check(&[], None);
    }

    #[test]
    fn an_id_of_the_caller_is_kept_and_one_that_is_none_is_not_shown() {
        let check = |values: &[&str], wanted: Option<&str>| {
            let mut headers = headers("x-request-id", values);
            ensure_id(&X_REQUEST_ID, &mut headers);
            assert_eq!(id(None, &headers).as_deref(), wanted, "{values:?}");
        };
        check(&["abc-1"], Some("abc-1"));
        check(&["a b"], None);
        check(&["a", "b"], None);
        check(&[&"a".repeat(201)], None);
        let mut headers = HeaderMap::new();
        assert_eq!(id(Some(&X_REQUEST_ID), &headers), None);
        ensure_id(&X_REQUEST_ID, &mut headers);
        let made = id(Some(&X_REQUEST_ID), &headers).unwrap();
        assert!(made.len() == 36 && made.as_bytes()[14] == b'4' && b"89ab".contains(&made.as_bytes()[19]), "{made}");
    }
}
