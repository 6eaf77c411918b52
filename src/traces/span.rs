//! A span that has ended, and the message that it becomes.

use std::borrow::Cow;
use std::time::SystemTime;

use super::ids::{Context, SpanId};
use super::message::{self, KeyValue, STATUS_ERROR};
use crate::reason::Reason;

/// No text of a span is longer, in bytes: a queue of spans must not become large by what callers write.
const LONGEST_TEXT: usize = 1024;

/// `SpanKind` of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Server = 2,
    Client = 3,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Cow<'static, str>),
    Integer(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A span that has ended.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) trace_id: u128,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// Whether the parent is a span of another process.
    pub(crate) is_parent_remote: bool,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) has_failed: bool,
    /// Why, in the words of our reason codes.
    pub(crate) failure: Option<Reason>,
}

impl Span {
    /// One of a context, from `start` to `end`.
    pub(crate) fn new(context: Context, kind: Kind, name: impl Into<Cow<'static, str>>, start: SystemTime) -> Self {
        Self {
            trace_id: context.trace_id,
            span_id: context.span_id,
            parent: context.parent,
            is_parent_remote: context.parent.is_some(),
            name: name.into(),
            kind,
            start,
            end: start,
            attributes: Vec::new(),
            has_failed: false,
            failure: None,
        }
    }

    /// One attribute more.
    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push((key, value.into()));
    }

    pub(super) fn to_message(&self) -> message::Span {
        let status = self.has_failed.then(|| message::Status {
            message: self.failure.map(|reason| reason.title().to_owned()).unwrap_or_default(),
            code: STATUS_ERROR,
        });
        // Recorded; and that it is known whether the parent is elsewhere, and whether it is.
        let flags = 0x101 | if self.is_parent_remote { 0x200 } else { 0 };
        message::Span {
            trace_id: self.trace_id.to_be_bytes().to_vec(),
            span_id: self.span_id.to_vec(),
            parent_span_id: self.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name: self.name.clone().into_owned(),
            kind: self.kind as i32,
            start_time_unix_nano: nanoseconds(self.start),
            end_time_unix_nano: nanoseconds(self.end.max(self.start)),
            attributes: self.attributes.iter().map(attribute).collect(),
            status,
            flags,
        }
    }
}

fn attribute((key, value): &(&'static str, Value)) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::text(*key, &**text),
        Value::Integer(number) => KeyValue::integer(*key, *number),
    }
}

fn nanoseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What a caller wrote, at a length that can be kept.
pub(crate) fn shortened(text: &str) -> String {
    let mut end = LONGEST_TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_span_says_who_its_parent_is_and_whether_that_is_elsewhere() {
        let check = |context: Context, is_remote: bool, flags: u32| {
            let mut span = Span::new(context, Kind::Server, "GET", SystemTime::UNIX_EPOCH + Duration::from_nanos(7));
            span.is_parent_remote = is_remote;
            span.end = SystemTime::UNIX_EPOCH;
            let message = span.to_message();
            assert_eq!(
                (message.flags, message.parent_span_id.len()),
                (flags, if context.parent.is_some() { 8 } else { 0 })
            );
            assert_eq!(
                (message.start_time_unix_nano, message.end_time_unix_nano),
                (7, 7),
                "none ends before it begins"
            );
            assert_eq!((message.trace_id.len(), message.span_id.len(), message.kind), (16, 8, 2));
        };
        check(Context::root(), false, 0x101);
        check(Context::child_of(1, [1; 8]), true, 0x301);
        check(Context::child_of(1, [1; 8]), false, 0x101);
    }

    #[test]
    fn what_callers_write_is_cut_between_characters() {
        assert_eq!(shortened("/items"), "/items");
        assert_eq!(shortened(&"ä".repeat(5000)).len(), LONGEST_TEXT);
        assert_eq!(shortened(&format!("a{}", "ä".repeat(5000))).len(), LONGEST_TEXT - 1);
    }
}
