//! HTTP/1 as bytes (RFC 9112), as far as both sides speak it alike: the body as it comes, and the message as it goes.
//!
//! Pure, but for the writing to a stream. Heads differ, so whoever reads or writes one does that at home: `server::framing` and
//! `server::http1`, `upstream::http1`.

pub(crate) mod body;
pub(crate) mod outgoing;
