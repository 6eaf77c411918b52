//! By what a span is known to others: the place in a trace that a request is given (W3C Trace Context).

use http::HeaderValue;

/// Eight bytes, not all zero.
pub(crate) type SpanId = [u8; 8];

/// A span of ours, and whose child it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace_id: u128,
    pub(crate) span_id: SpanId,
    /// The caller's span.
    pub(crate) parent: Option<SpanId>,
}

impl Context {
    /// The beginning of a trace.
    pub(crate) fn root() -> Self {
        Self { trace_id: fastrand::u128(1..), span_id: fresh(), parent: None }
    }

    /// The child of a span elsewhere.
    pub(crate) fn child_of(trace_id: u128, parent: SpanId) -> Self {
        Self { trace_id, span_id: fresh(), parent: Some(parent) }
    }
}

/// The id of another span.
pub(crate) fn fresh() -> SpanId {
    fastrand::u64(1..).to_be_bytes()
}

/// The field that tells others of a span (W3C Trace Context §3.2).
pub(crate) fn traceparent(trace_id: u128, span_id: SpanId, is_sampled: bool) -> Option<HeaderValue> {
    let text = format!("00-{trace_id:032x}-{:016x}-{:02x}", u64::from_be_bytes(span_id), u8::from(is_sampled));
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_has_every_digit() {
        let said = traceparent(0x1f, [0, 0, 0, 0, 0, 0, 0, 0xa], true).unwrap();
        assert_eq!(said, "00-0000000000000000000000000000001f-000000000000000a-01");
        let said = traceparent(u128::MAX, [0xff; 8], false).unwrap();
        assert_eq!(said, "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00");
    }
}
