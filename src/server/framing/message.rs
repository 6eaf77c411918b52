//! One request as bytes: its head, then its body, then it is over.
//!
//! Pure. Says of bytes, as they come, how many belong to this request; what it has not passed must not be acted upon.

use super::super::Refusal;
use super::chunks::Chunks;
use super::head::{BodyLength, Head, HeadReader, Places};

/// Where in a request we are.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// The head is not whole yet.
    Head(HeadReader),
    /// So much of the body is to come.
    Length(u64),
    /// Within a chunked body.
    Chunks(Chunks),
    /// Nothing more belongs to it.
    Over,
}

/// What is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// So many bytes, from the first, belong to this request.
    pub(super) granted: usize,
    /// The head that they begin with.
    pub(super) head: Option<(Head, Places)>,
}

impl Message {
    /// Before the first byte of a head of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self::Head(HeadReader::new(limit))
    }

    /// Whether all of it has come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Whether its head is not whole yet.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self, Self::Head(_))
    }

    /// Whether not even its head has begun.
    pub(super) fn is_new(&self) -> bool {
        matches!(self, Self::Head(reader) if reader.is_new())
    }

    /// Whether an answer has no body because of the method.
    pub(super) fn is_head_method(&self) -> bool {
        matches!(self, Self::Head(reader) if reader.is_head_method())
    }

    /// How many bytes before the first line are to be passed over: empty lines (RFC 9112 §2.2).
    pub(super) fn blank(&self, bytes: &[u8]) -> usize {
        if !self.is_new() {
            return 0;
        }
        blank(bytes)
    }

    /// Judges bytes: how many of them, from the first, belong to this request and are in order. Until its head is whole that
    /// is none, and the same bytes must come again with those that follow.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(super) fn judge(&mut self, bytes: &[u8], limit: usize) -> Result<Judged, Refusal> {
        let Self::Head(reader) = self else {
            return self.judge_body(bytes).map(|granted| Judged { granted, head: None });
        };
        let Some(head) = reader.read(bytes)? else { return Ok(Judged { granted: 0, head: None }) };
        let mut body = match head.body {
            BodyLength::Known(0) => Self::Over,
            BodyLength::Known(length) => Self::Length(length),
            BodyLength::Chunked => Self::Chunks(Chunks::new(limit)),
        };
        // What came along is judged at once: what is wrong there is refused before anybody acts on the head.
        let after = body.judge_body(bytes.get(head.length..).unwrap_or_default())?;
        let places = reader.take_places();
        *self = body;
        Ok(Judged { granted: head.length + after, head: Some((head, places)) })
    }

    fn judge_body(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let (taken, is_over) = match self {
            Self::Head(_) | Self::Over => (0, false),
            Self::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Self::Chunks(chunks) => {
                let taken = chunks.read(bytes)?;
                (taken, chunks.is_over())
            }
        };
        if is_over {
            *self = Self::Over;
        }
        Ok(taken)
    }
}

/// How many bytes of empty lines these begin with.
pub(super) fn blank(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some(after) = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")) {
        rest = after;
    }
    bytes.len() - rest.len()
}
