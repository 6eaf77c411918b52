//! The proof in a WebSocket's handshake over HTTP/1: a key that the client makes up and the answer that only a WebSocket server
//! knows to give (RFC 6455 §1.3). Over HTTP/2 there is none (RFC 8441 §5.1), so whoever translates has to give it, or to ask for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use ring::digest;

/// What the server appends to the key.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a protocol that an `Upgrade` or a `:protocol` names is WebSocket.
pub fn is_named(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"websocket")
}

/// A key. It shows that nobody on the way has answered from memory; it need not be hard to guess.
pub fn fresh_key() -> HeaderValue {
    let text = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("YmVhcmVyZCBuZWVkcyBpdA=="))
}

/// The answer to a key.
pub fn answer(key: &HeaderValue) -> HeaderValue {
    let text = [key.as_bytes().trim_ascii(), SUFFIX].concat();
    let text = STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &text));
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The one key of a handshake; `None` if there is none, or none that a server would take.
pub fn key(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else { return None };
    STANDARD.decode(key.as_bytes().trim_ascii()).is_ok_and(|key| key.len() == 16).then_some(key)
}

/// Whether the answer is the one to this key, and the only one.
pub fn is_answered(headers: &HeaderMap, key: &HeaderValue) -> bool {
    let mut answers = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    answers.next() == Some(&answer(key)) && answers.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_fresh_key_is_one_that_a_server_takes() {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_KEY, fresh_key());
        assert!(key(&headers).is_some());
        assert_ne!(fresh_key(), fresh_key());
        headers.append(SEC_WEBSOCKET_KEY, fresh_key());
        assert_eq!(key(&headers), None);
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("c2hvcnQ="));
        assert_eq!(key(&headers), None);
    }

    #[test]
    fn only_the_one_right_answer_counts() {
        let key = fresh_key();
        let mut headers = HeaderMap::new();
        assert!(!is_answered(&headers, &key));
        headers.insert(SEC_WEBSOCKET_ACCEPT, answer(&key));
        assert!(is_answered(&headers, &key));
        headers.append(SEC_WEBSOCKET_ACCEPT, answer(&key));
        assert!(!is_answered(&headers, &key));
        headers.insert(SEC_WEBSOCKET_ACCEPT, answer(&fresh_key()));
        assert!(!is_answered(&headers, &key));
    }
}
