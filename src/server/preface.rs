//! Which HTTP a caller speaks, by the first bytes of its connection.
//!
//! A client that knows that we speak HTTP/2 begins with a fixed preface (RFC 9113 §3.4), which is no legal HTTP/1 request.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The version that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The version that these first bytes begin; `None` if it takes more of them to tell.
pub(super) fn protocol(first: &[u8]) -> Option<Protocol> {
    let compared = first.len().min(PREFACE.len());
    if first.get(..compared) != PREFACE.get(..compared) {
        return Some(Protocol::Http1);
    }
    (compared == PREFACE.len()).then_some(Protocol::Http2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_told_from_a_request() {
        let check = |first: &[u8], wanted: Option<Protocol>| assert_eq!(protocol(first), wanted, "{first:?}");
        check(PREFACE, Some(Protocol::Http2));
        check(&[PREFACE, b"\0\0\0"].concat(), Some(Protocol::Http2));
        check(b"", None);
        check(b"P", None);
        check(b"PRI * HTTP/2.0\r\n\r\n", None);
        check(b"PO", Some(Protocol::Http1));
        check(b"G", Some(Protocol::Http1));
        check(b"\r\n", Some(Protocol::Http1));
        check(b"PRI * HTTP/2.0\r\n\r\nXX", Some(Protocol::Http1));
    }
}
