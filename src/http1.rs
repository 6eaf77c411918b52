//! HTTP/1 as bytes (RFC 9112), as far as both sides speak it alike: the body as it comes, and the message as it goes.
//!
//! Pure, but for the writing to a stream. Heads differ, so whoever reads or writes one does that at home: `server::framing` and
//! `server::http1`, `upstream::http1`.

pub(crate) mod body;
pub(crate) mod outgoing;

/// Whether all that a `Connection` line says is how this connection goes on (RFC 9112 §9.3). Most say that, and nobody but the reader of
/// the head needs to know it.
pub(crate) fn is_mere_option(line: &[u8]) -> bool {
    line.eq_ignore_ascii_case(b"keep-alive") || line.eq_ignore_ascii_case(b"close")
}
